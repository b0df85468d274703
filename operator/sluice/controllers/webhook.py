"""The HTTPS server of the admission webhook, in the shape that Kopf asks for: an async generator that serves while it runs.

Kopf's own servers read their certificate once. This one renews it without a restart: the TLS context is reloaded in
place, so new connections get the new certificate and old ones go on. In mode `self-signed` it also keeps the caBundle
of the webhook configuration up to date; in mode `files` somebody else (cert-manager) does, and renews the files.
"""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kopf
from aiohttp import web

from sluice.controllers.certificates import ServingCertificate, make_certificate, merge_bundle
from sluice.controllers.settings import Settings
from sluice.kube.client import KubeClient
from sluice.kube.errors import Conflict, KubeError
from sluice.kube.resources import VALIDATING_WEBHOOKS
from sluice.telemetry.logs import get_logger

CHECK_EVERY = timedelta(minutes=1)
MAX_REVIEW_BYTES = 8 * 1024 * 1024
"""A review holds the old and the new object, 1.5 MiB each at most."""

log = get_logger(__name__)


class WebhookServer:
    """`settings.admission.server` of Kopf. `ready` says whether reviews can be answered."""

    def __init__(self, settings: Settings, client: KubeClient) -> None:
        self._settings = settings
        self._client = client
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._loaded: tuple[int, ...] = ()
        self._own: ServingCertificate | None = None
        self.problem: str | None = "the webhook has not started"

    async def __call__(self, review: kopf.WebhookFn) -> AsyncIterator[kopf.WebhookClientConfig]:
        """Serve until cancelled."""
        await self._renew()
        app = web.Application(client_max_size=MAX_REVIEW_BYTES)

        async def handle(request: web.Request) -> web.StreamResponse:
            answer = await review(await request.json(), webhook=request.match_info["id"], headers=dict(request.headers))
            return web.json_response(answer)

        app.router.add_post("/{id}", handle)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, port=self._settings.webhook_port, ssl_context=self._context).start()
            log.info("webhook serves", port=self._settings.webhook_port, mode=self._settings.webhook_mode)
            yield {}
            while True:
                await self._publish()
                await asyncio.sleep(CHECK_EVERY.total_seconds())
                await self._renew()
        finally:
            await runner.cleanup()

    async def _renew(self) -> None:
        """Load a certificate if the one in use is about to end, or if its files have changed."""
        try:
            if self._settings.webhook_mode == "files":
                await asyncio.to_thread(self._load_files)
            else:
                now = datetime.now(UTC)
                if self._own is None or now >= self._own.renew_at:
                    self._own = make_certificate(self._settings.webhook_service, self._settings.own_namespace, now)
                    # Clients have to trust the new authority before they meet it.
                    await self._publish()
                    await asyncio.to_thread(self._load_own, self._own)
        except (OSError, ssl.SSLError) as error:
            self.problem = f"no usable certificate: {error}"
            log.warning("webhook certificate cannot be loaded", error=str(error))

    def _load_files(self) -> None:
        paths = [self._settings.webhook_cert_dir / name for name in ("tls.crt", "tls.key")]
        stamp = tuple(path.stat().st_mtime_ns for path in paths)
        if stamp != self._loaded:
            self._context.load_cert_chain(str(paths[0]), str(paths[1]))
            self._loaded = stamp
            self.problem = None
            log.info("webhook certificate loaded", folder=str(self._settings.webhook_cert_dir))

    def _load_own(self, own: ServingCertificate) -> None:
        # The ssl module reads only files. They live for this call, in memory-backed /tmp of the pod, mode 0600.
        with tempfile.TemporaryDirectory() as folder:
            chain, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
            chain.write_bytes(own.certificate)
            key.touch(mode=0o600)
            key.write_bytes(own.key)
            self._context.load_cert_chain(str(chain), str(key))
        log.info("webhook certificate made", renew_at=own.renew_at.isoformat())

    async def _publish(self) -> None:
        """Put our authority into the webhook configuration; does nothing when it is there."""
        if self._own is None:
            return
        try:
            await self._publish_once(self._own)
        except Conflict:
            with contextlib.suppress(Conflict):
                await self._publish_once(self._own)
        except KubeError as error:
            self.problem = f"the webhook configuration cannot be updated: {error}"
            log.warning("caBundle cannot be updated", error=str(error))

    async def _publish_once(self, own: ServingCertificate) -> None:
        name = self._settings.webhook_config
        found = await self._client.get(VALIDATING_WEBHOOKS, None, name)
        operations: list[dict[str, Any]] = []
        for index, webhook in enumerate(found.get("webhooks") or []):
            current = webhook["clientConfig"].get("caBundle") or ""
            wanted = merge_bundle(current, own.authority, datetime.now(UTC))
            if wanted != current:
                path = f"/webhooks/{index}/clientConfig/caBundle"
                operations.append({"op": "add", "path": path, "value": wanted})
        if operations:
            test = {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]}
            await self._client.patch_json(VALIDATING_WEBHOOKS, None, name, [test, *operations])
            log.info("caBundle updated", configuration=name)
        self.problem = None
