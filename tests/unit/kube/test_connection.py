"""Where the API server is, who we are, and how tokens stay fresh."""

from __future__ import annotations

import ipaddress
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import incluster_config

from sluice.kube.client import KubeClient
from sluice.kube.clock import ManualClock
from sluice.kube.connection import Connection
from sluice.kube.errors import ConnectionFailed, NotConfigured
from sluice.kube.resources import PODS
from tests.unit.kube.loopback_api import LoopbackApi


@pytest.fixture(autouse=True)
def no_cluster_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The developer's own kubeconfig and proxies are not looked at."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def kubeconfig(path: Path, user: dict[str, Any], server: str = "http://127.0.0.1:1", **cluster: Any) -> str:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


# Which configuration ------------------------------------------------------------------------------


async def test_the_named_kubeconfig_is_used(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", {"token": "t1"}, "http://127.0.0.1:1/")
    connection = await Connection.load(kubeconfig=path)

    assert connection.host == "http://127.0.0.1:1"
    assert await connection.authorization() == "Bearer t1"


async def test_else_the_one_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path / "config", {"token": "t1"}, "http://127.0.0.1:2"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")

    assert (await Connection.load()).host == "http://127.0.0.1:2"


async def test_else_the_service_account_of_the_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("sa-token")
    (tmp_path / "ca.crt").write_bytes(Authority().pem)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    connection = await Connection.load()

    assert connection.host == "https://192.0.2.1:443"
    assert await connection.authorization() == "bearer sa-token"


async def test_else_the_one_in_the_home_directory(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", {}, "http://127.0.0.1:3")
    connection = await Connection.load()

    assert connection.host == "http://127.0.0.1:3"
    assert await connection.authorization() is None


async def test_without_any_it_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=r"no kubeconfig at .*\.kube/config, and not running in a pod"):
        await Connection.load()


async def test_in_a_pod_without_a_token_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(NotConfigured, match="service account"):
        await Connection.load()


@pytest.mark.parametrize("text", ["{", "[]", "a: b", ""])
async def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(NotConfigured, match=str(path)):
        await Connection.load(kubeconfig=str(path))


async def test_an_unknown_context_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured):
        await Connection.load(kubeconfig=kubeconfig(tmp_path / "config", {}), context="elsewhere")


# Tokens -------------------------------------------------------------------------------------------


async def test_a_token_that_changed_in_its_file_is_used_within_a_minute(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    clock = ManualClock()
    path = kubeconfig(tmp_path / "config", {"tokenFile": str(token)})
    connection = await Connection.load(kubeconfig=path, clock=clock)
    token.write_text("second")

    assert await connection.authorization() == "Bearer first"
    clock.advance(61)
    assert await connection.authorization() == "Bearer second"


async def test_while_the_kubeconfig_is_broken_the_earlier_token_stays(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "config"
    connection = await Connection.load(kubeconfig=kubeconfig(path, {"token": "first"}), clock=clock)
    path.write_text("{")
    clock.advance(61)
    assert await connection.authorization() == "Bearer first"

    kubeconfig(path, {"token": "second"})
    clock.advance(61)
    assert await connection.authorization() == "Bearer second"


# Proxies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "api.example.com"}, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
    ],
)
async def test_the_proxy_of_the_environment_is_used_unless_it_excludes_the_host(
    environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    connection = Connection(Configuration(host="https://api.example.com:6443"))

    assert connection.request_options.get("proxy") == proxy


async def test_a_netrc_for_the_host_is_not_used(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password s3cr3t\n")
    async with LoopbackApi() as api, KubeClient(Connection(Configuration(host=api.url))) as client:
        api.say({})
        await client.get(PODS, "team-a", "p")

    assert "Authorization" not in api.received[0].headers


# TLS ----------------------------------------------------------------------------------------------


class Authority:
    """Issues certificates for this test."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificate = self._sign(self._name, self._key, authority=True)

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        certificate = self._sign(subject, key).public_bytes(pem)
        return certificate, key.private_bytes(pem, pkcs8, serialization.NoEncryption())

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool = False
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        usage = x509.KeyUsage(True, False, False, False, False, authority, authority, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if not authority:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            names = x509.SubjectAlternativeName([address, x509.DNSName("kubernetes.default.svc")])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


@asynccontextmanager
async def tls_server(authority: Authority, folder: Path) -> AsyncIterator[str]:
    """An API server that asks for a client certificate and tells whom it sees."""
    certificate, key = authority.issue("apiserver")
    (folder / "server.pem").write_bytes(certificate + key)
    (folder / "ca.pem").write_bytes(authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        subject = dict(item[0] for item in request.transport.get_extra_info("peercert")["subject"])
        return web.json_response({"seen": subject["commonName"]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def as_data(**files: bytes) -> dict[str, str]:
    return {f"{name.replace('_', '-')}-data": b64encode(content).decode() for name, content in files.items()}


async def test_a_client_certificate_is_shown_and_the_server_is_checked(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("admin")
    async with tls_server(authority, tmp_path) as url:
        user = as_data(client_certificate=certificate, client_key=key)
        path = kubeconfig(tmp_path / "config", user, url, **as_data(certificate_authority=authority.pem))
        async with await KubeClient.connect(kubeconfig=path) as client:
            assert await client.get(PODS, "team-a", "p") == {"seen": "admin"}


async def test_a_server_name_may_be_given(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("admin")
    cluster = {**as_data(certificate_authority=authority.pem), "tls-server-name": "kubernetes.default.svc"}
    async with tls_server(authority, tmp_path) as url:
        user = as_data(client_certificate=certificate, client_key=key)
        path = kubeconfig(tmp_path / "config", user, url, **cluster)
        async with await KubeClient.connect(kubeconfig=path) as client:
            assert await client.get(PODS, "team-a", "p") == {"seen": "admin"}


async def test_a_server_of_another_authority_is_refused(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("admin")
    async with tls_server(authority, tmp_path) as url:
        user = as_data(client_certificate=certificate, client_key=key)
        path = kubeconfig(tmp_path / "config", user, url, **as_data(certificate_authority=Authority().pem))
        async with await KubeClient.connect(kubeconfig=path) as client:
            with pytest.raises(ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(PODS, "team-a", "p")
