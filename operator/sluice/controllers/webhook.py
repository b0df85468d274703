"""The HTTPS server of the admission webhook, in the shape that Kopf asks for: an async generator that serves while it
runs.

Kopf's own servers read their certificate once. This one renews it without a restart: the TLS context is reloaded in
place, so new connections get the new certificate and old ones go on. In mode `self-signed` it also keeps the caBundle
of the webhook configuration up to date; in mode `files` somebody else (cert-manager) does, and renews the files.

A certificate that cannot be read or made known takes the readiness away, and is tried again soon.
"""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import kopf
from aiohttp import web

from sluice.controllers import hold
from sluice.controllers.certificates import ServingCertificate, make_certificate, merge_bundle
from sluice.controllers.settings import Settings
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock, SystemClock
from sluice.kube.errors import Conflict, KubeError, NotFound
from sluice.kube.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Resource
from sluice.telemetry.logs import get_logger

CHECK_EVERY = timedelta(minutes=1)
RETRY_AFTER = timedelta(seconds=5)
MAX_REVIEW_BYTES = 8 * 1024 * 1024
"""A review holds the old and the new object, 1.5 MiB each at most."""

log = get_logger(__name__)


class WebhookServer:
    """`settings.admission.server` of Kopf. `problem` says why reviews cannot be answered; None when they can."""

    def __init__(self, settings: Settings, client: KubeClient, *, clock: Clock | None = None) -> None:
        self.problem: str | None = "the webhook has not started"
        self._settings = settings
        self._client = client
        self._clock = clock or SystemClock()
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._stamp: tuple[int, ...] = ()
        """Times of change of the files that are loaded."""
        self._own: ServingCertificate | None = None
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on; tells which port was chosen when it was asked for as 0."""
        if self._runner is None or not self._runner.addresses:
            return "", self._settings.webhook_port
        host, port = self._runner.addresses[0][:2]
        return str(host), int(port)

    async def __call__(self, review: kopf.WebhookFn) -> AsyncIterator[kopf.WebhookClientConfig]:
        """Serve until cancelled."""
        await self._keep_certificate()
        app = web.Application(client_max_size=MAX_REVIEW_BYTES)

        async def handle(request: web.Request) -> web.StreamResponse:
            answer = await review(await request.json(), webhook=request.match_info["id"], headers=dict(request.headers))
            return web.json_response(answer)

        app.router.add_post(hold.PATH, hold.handler(self._settings.own_user))
        app.router.add_post("/{id}", handle)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, port=self._settings.webhook_port, ssl_context=self._context).start()
            log.info("webhook serves", port=self.address[1], mode=self._settings.webhook_mode)
            yield {}
            while True:
                await self._clock.sleep((CHECK_EVERY if self.problem is None else RETRY_AFTER).total_seconds())
                await self._keep_certificate()
        finally:
            await self._runner.cleanup()

    async def _keep_certificate(self) -> None:
        """Have a valid certificate in use, and known to the API server."""
        try:
            if self._settings.webhook_mode == "files":
                await asyncio.to_thread(self._load_files)
            else:
                await self._keep_own()
        except (OSError, ssl.SSLError) as error:
            self.problem = f"no usable certificate: {error}"
            log.warning("webhook certificate cannot be loaded", error=str(error))
        except KubeError as error:
            self.problem = f"the webhook configuration cannot be updated: {error}"
            log.warning("caBundle cannot be updated", error=str(error))
        else:
            self.problem = None

    # Certificates from files ---------------------------------------------------------------------------

    def _load_files(self) -> None:
        paths = [self._settings.webhook_cert_dir / name for name in ("tls.crt", "tls.key")]
        stamp = tuple(path.stat().st_mtime_ns for path in paths)
        if stamp == self._stamp:
            return
        self._stamp = ()  # files that do not fit together are read again, even when the earlier ones come back
        self._context.load_cert_chain(str(paths[0]), str(paths[1]))
        self._stamp = stamp
        log.info("webhook certificate loaded", folder=str(self._settings.webhook_cert_dir))

    # Certificates of our own ---------------------------------------------------------------------------

    async def _keep_own(self) -> None:
        now = self._clock.now()
        if self._own is not None and now < self._own.renew_at:
            await self._publish(self._own)
            return
        fresh = make_certificate(self._settings.webhook_service, self._settings.own_namespace, now)
        # Clients have to trust the new authority before they meet it.
        await self._publish(fresh)
        await asyncio.to_thread(self._load_own, fresh)
        self._own = fresh

    def _load_own(self, own: ServingCertificate) -> None:
        # The ssl module reads only files. They live for this call, in the pod's own /tmp, mode 0600.
        with tempfile.TemporaryDirectory() as folder:
            chain, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
            chain.write_bytes(own.certificate)
            key.touch(mode=0o600)
            key.write_bytes(own.key)
            self._context.load_cert_chain(str(chain), str(key))
        log.info("webhook certificate made", renew_at=own.renew_at.isoformat())

    async def _publish(self, own: ServingCertificate) -> None:
        """Put our authority into the webhook configurations; does nothing where it is there."""
        for resource in (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS):
            try:
                await self._publish_once(resource, own)
            except Conflict:
                await self._publish_once(resource, own)

    async def _publish_once(self, resource: Resource, own: ServingCertificate) -> None:
        name = self._settings.webhook_config
        try:
            found = await self._client.get(resource, None, name)
        except NotFound:
            if resource is MUTATING_WEBHOOKS:
                return  # a policy of the API server's does its work
            raise
        operations: list[dict[str, Any]] = []
        for index, webhook in enumerate(found.get("webhooks") or []):
            current = webhook["clientConfig"].get("caBundle") or ""
            wanted = merge_bundle(current, own.authority, self._clock.now())
            if wanted != current:
                path = f"/webhooks/{index}/clientConfig/caBundle"
                operations.append({"op": "add", "path": path, "value": wanted})
        if operations:
            test = {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]}
            await self._client.patch_json(resource, None, name, [test, *operations])
            log.info("caBundle updated", kind=resource.kind, configuration=name)
