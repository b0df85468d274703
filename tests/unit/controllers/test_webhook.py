"""The webhook server over real TLS: certificates made, renewed and reloaded while it serves."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from kubernetes.aio.client import Configuration

from sluice.controllers.certificates import RENEW_AFTER, ServingCertificate, make_certificate
from sluice.controllers.settings import Settings
from sluice.controllers.webhook import CHECK_EVERY, RETRY_AFTER, WebhookServer
from sluice.kube.client import KubeClient
from sluice.kube.clock import ManualClock
from sluice.kube.connection import Connection
from tests.unit.kube.loopback_api import LoopbackApi, Received, condition

HOST = "sluice-webhook.sluice-system.svc"


async def allow(request: Any, **told: Any) -> Any:
    """The part of Kopf."""
    return {"response": {"uid": request["request"]["uid"], "allowed": True, "webhook": told["webhook"]}}


def settings(mode: str, folder: Path = Path("/nowhere")) -> Settings:
    made = Settings.from_environment({"SLUICE_WEBHOOK_MODE": mode, "SLUICE_WEBHOOK_CERT_DIR": str(folder)})
    return replace(made, webhook_port=0)


@asynccontextmanager
async def serving(server: WebhookServer) -> AsyncIterator[None]:
    """The server, asked for its next value all the time, as Kopf does."""
    configurations = server(allow)
    async with aclosing(configurations) as stream:  # type: ignore[type-var]
        assert await anext(aiter(stream)) == {}
        going_on = asyncio.create_task(anext(aiter(stream)))  # type: ignore[arg-type]
        try:
            yield
        finally:
            going_on.cancel()
            await asyncio.wait([going_on])


async def ask(
    server: WebhookServer, authority: bytes, path: str = "/datapipelines", review: object = None
) -> tuple[dict[str, Any], int]:
    """The answer to a review by a client that trusts only `authority`, and the serial number of the certificate."""
    context = ssl.create_default_context(cadata=authority.decode())
    host, port = server.address
    own = "::1" if ":" in host else "127.0.0.1"
    reader, writer = await asyncio.open_connection(own, port, ssl=context, server_hostname=HOST)
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    body = json.dumps(review or {"request": {"uid": "u1"}}).encode()
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    answer = await reader.read()
    writer.close()
    return json.loads(answer.rpartition(b"\r\n\r\n")[2]), x509.load_der_x509_certificate(certificate).serial_number


class Configured(LoopbackApi):
    """The webhook configurations, as the API server holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.version = 1
        self.bundles = {"datapipelines": "", "qualitygates": "", "clustermetricsources": ""}
        self.mutating: dict[str, str] = {}
        """Of the mutating configuration, which is not there while this is empty."""
        self.failing = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        bundles = self.mutating if "mutatingwebhookconfigurations" in request.path else self.bundles
        if self.failing:
            self.failing -= 1
            self.fail(503, "ServiceUnavailable")
        elif not bundles:
            self.fail(404, "NotFound")
        elif request.method == "GET":
            self.say(
                {
                    "metadata": {"name": "sluice", "resourceVersion": str(self.version)},
                    "webhooks": [
                        {"name": f"{plural}.sluice.dev", "clientConfig": {"caBundle": bundle} if bundle else {}}
                        for plural, bundle in bundles.items()
                    ],
                }
            )
        else:
            test, *changes = await request.json()
            if test["value"] != str(self.version):
                self.fail(422, "Invalid", "test failed")
            else:
                self.version += 1
                paths = {f"/webhooks/{at}/clientConfig/caBundle": name for at, name in enumerate(bundles)}
                bundles |= {paths[change["path"]]: change["value"] for change in changes}
                self.say({})
        return await super().answer(request)

    def trusted(self) -> bytes:
        """What the API server trusts, in PEM: the same for every kind."""
        (bundle,) = {*self.bundles.values(), *self.mutating.values()}
        return base64.b64decode(bundle)

    def writes(self) -> list[Received]:
        """The changes asked for."""
        return [row for row in self.received if row.method == "PATCH"]


@pytest.fixture
async def configured() -> AsyncIterator[Configured]:
    async with Configured() as api:
        yield api


@pytest.fixture
async def client(configured: Configured) -> AsyncIterator[KubeClient]:
    async with KubeClient(Connection(Configuration(host=configured.url))) as made:
        yield made


async def turn(clock: ManualClock, by: timedelta, configured: Configured) -> None:
    """Let the server look again `by` later, and wait until it has."""
    await condition(lambda: clock.pending == 1)
    seen = len(configured.received)
    clock.advance(by.total_seconds())
    await condition(lambda: len(configured.received) > seen and clock.pending == 1)


async def test_its_own_certificate_is_trusted_by_what_it_put_into_the_configuration(
    configured: Configured, client: KubeClient
) -> None:
    server = WebhookServer(settings("self-signed"), client)
    async with serving(server):
        answer, _ = await ask(server, configured.trusted())
        assert answer["response"] == {"uid": "u1", "allowed": True, "webhook": "datapipelines"}
        assert server.problem is None


async def test_without_a_mutating_configuration_it_is_ready_all_the_same(
    configured: Configured, client: KubeClient
) -> None:
    server = WebhookServer(settings("self-signed"), client)
    async with serving(server):
        assert server.problem is None
        asked = [row.path.rpartition("/")[0].rpartition("/")[2] for row in configured.received if row.method == "GET"]
        assert asked == ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"]


async def test_a_mutating_configuration_trusts_it_too_and_that_is_kept(
    configured: Configured, client: KubeClient
) -> None:
    clock = ManualClock(datetime.now(UTC))
    configured.mutating = {"hold": "", "control": ""}
    server = WebhookServer(settings("self-signed"), client, clock=clock)
    async with serving(server):
        before = configured.trusted()
        configured.mutating["hold"] = ""
        configured.version += 1
        await turn(clock, CHECK_EVERY, configured)
        assert configured.trusted() == before
        assert server.problem is None


async def test_targets_of_canaries_are_reviewed_by_it_and_not_by_kopf(
    configured: Configured, client: KubeClient
) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {}}
    request = {"uid": "u2", "object": target, "oldObject": target, "userInfo": {"username": "jo"}}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    server = WebhookServer(settings("self-signed"), client)
    async with serving(server):
        answer, _ = await ask(server, configured.trusted(), "/hold", review)
        assert answer["response"] == {"uid": "u2", "allowed": True}


async def test_its_own_certificate_is_renewed_without_a_restart(configured: Configured, client: KubeClient) -> None:
    clock = ManualClock(datetime.now(UTC) - RENEW_AFTER - timedelta(hours=1))
    server = WebhookServer(settings("self-signed"), client, clock=clock)
    async with serving(server):
        first = configured.trusted()
        _, before = await ask(server, first)
        await turn(clock, CHECK_EVERY, configured)
        assert len(configured.writes()) == 1, "nothing to renew yet"
        clock.jump(RENEW_AFTER.total_seconds())
        await turn(clock, CHECK_EVERY, configured)
        assert configured.trusted().startswith(first), "the old authority stays until it ends"
        _, after = await ask(server, configured.trusted())
        assert after != before
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask(server, first)


async def test_an_authority_that_somebody_removed_is_put_back(configured: Configured, client: KubeClient) -> None:
    clock = ManualClock(datetime.now(UTC))
    server = WebhookServer(settings("self-signed"), client, clock=clock)
    async with serving(server):
        configured.bundles["qualitygates"] = ""
        configured.version += 1
        await turn(clock, CHECK_EVERY, configured)
        await ask(server, configured.trusted())


async def test_it_is_not_ready_until_the_api_server_took_its_authority_and_tries_again_soon(
    configured: Configured, client: KubeClient
) -> None:
    clock = ManualClock(datetime.now(UTC))
    server = WebhookServer(settings("self-signed"), client, clock=clock)
    assert server.problem
    configured.failing = 1
    async with serving(server):
        assert "cannot be updated" in (server.problem or "")
        await turn(clock, RETRY_AFTER, configured)
        assert server.problem is None
        await ask(server, configured.trusted())


async def test_a_write_that_meets_another_one_is_done_again(configured: Configured, client: KubeClient) -> None:
    server = WebhookServer(settings("self-signed"), client)
    answer = configured.answer
    others: list[int] = []

    async def overtake(request: web.Request) -> web.StreamResponse:
        if request.method == "PATCH" and not others:
            others.append(1)
            configured.version += 1
        return await answer(request)

    configured.answer = overtake  # type: ignore[method-assign]
    async with serving(server):
        assert server.problem is None
        assert len(configured.writes()) == 2


# Certificates from files


def write(folder: Path, certificate: ServingCertificate) -> None:
    """As a Secret's volume does: everything is replaced at once."""
    for name, content in (("tls.crt", certificate.certificate), ("tls.key", certificate.key)):
        fresh = folder / f"{name}.new"
        fresh.write_bytes(content)
        fresh.rename(folder / name)


async def test_files_are_read_again_when_they_change(tmp_path: Path, client: KubeClient) -> None:
    clock = ManualClock(datetime.now(UTC))
    first, second = (make_certificate("sluice-webhook", "sluice-system", clock.now()) for _ in range(2))
    write(tmp_path, first)
    server = WebhookServer(settings("files", tmp_path), client, clock=clock)
    async with serving(server):
        await ask(server, first.authority)
        write(tmp_path, second)
        await look_again(clock, CHECK_EVERY)
        await ask(server, second.authority)
        assert server.problem is None


async def look_again(clock: ManualClock, by: timedelta) -> None:
    """Let the server look at its files again."""
    await condition(lambda: clock.pending == 1)
    clock.advance(by.total_seconds())
    await condition(lambda: clock.pending == 1)


async def test_files_that_are_missing_take_the_readiness_away_until_they_are_there(
    tmp_path: Path, client: KubeClient
) -> None:
    clock = ManualClock(datetime.now(UTC))
    certificate = make_certificate("sluice-webhook", "sluice-system", clock.now())
    server = WebhookServer(settings("files", tmp_path), client, clock=clock)
    async with serving(server):
        assert "no usable certificate" in (server.problem or "")
        write(tmp_path, certificate)
        await look_again(clock, RETRY_AFTER)
        assert server.problem is None
        await ask(server, certificate.authority)

        away = (tmp_path / "tls.crt").rename(tmp_path / "elsewhere")
        await look_again(clock, CHECK_EVERY)
        assert server.problem
        away.rename(tmp_path / "tls.crt")
        await look_again(clock, RETRY_AFTER)
        assert server.problem is None


async def test_a_key_that_does_not_fit_takes_the_readiness_away(tmp_path: Path, client: KubeClient) -> None:
    clock = ManualClock(datetime.now(UTC))
    first, second = (make_certificate("sluice-webhook", "sluice-system", clock.now()) for _ in range(2))
    write(tmp_path, first)
    server = WebhookServer(settings("files", tmp_path), client, clock=clock)
    async with serving(server):
        (tmp_path / "tls.key").write_bytes(second.key)
        await look_again(clock, CHECK_EVERY)
        assert "no usable certificate" in (server.problem or "")
        write(tmp_path, second)
        await look_again(clock, RETRY_AFTER)
        await ask(server, second.authority)
