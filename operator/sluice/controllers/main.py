"""Starts the operator, and stops it."""

import asyncio
import contextlib
import logging
import platform
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import kopf

from sluice import __version__
from sluice.api.names import GROUP
from sluice.controllers.essence import NothingRemembered
from sluice.controllers.handlers import register
from sluice.controllers.settings import BadSetting, Settings
from sluice.controllers.webhook import WebhookServer
from sluice.kube.client import KubeClient
from sluice.kube.clock import SystemClock
from sluice.kube.errors import KubeError
from sluice.kube.lease import Lease
from sluice.kube.limiter import Limiter
from sluice.planning.actions import Settings as PlanSettings
from sluice.reconcile.commits import GitAccess
from sluice.reconcile.engine import Engine, Scope
from sluice.telemetry import logs, metrics

STOP_SECONDS = 10.0

log = logs.get_logger(__name__)


def kopf_settings(webhook: WebhookServer | None) -> kopf.OperatorSettings:
    """Kopf as the shell that it is here: it watches and serves, and writes nothing by itself."""
    settings = kopf.OperatorSettings()
    settings.networking.request_timeout = 20
    settings.networking.connect_timeout = 5
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.posting.enabled = False
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.diffbase_storage = NothingRemembered()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.admission.server = webhook
    return settings


async def done_before(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work`, unless `stop` is set first: then it is given up. Whether it was done."""
    task, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        task.result()
        return True
    finally:
        task.cancel()
        stopped.cancel()


@contextlib.asynccontextmanager
async def the_lease(settings: Settings, lost: Callable[[], None]) -> AsyncIterator[Lease | None]:
    """The lease, with a client of its own that load cannot delay; None: nobody else writes. It is handed on at the end."""
    if not settings.lease:
        yield None
        return
    async with await KubeClient.connect(user_agent=f"sluice/{__version__} lease") as client:
        lease = Lease(
            client,
            SystemClock(),
            namespace=settings.own_namespace,
            name=settings.lease,
            identity=settings.own_name,
            lost=lambda _: lost(),
        )
        try:
            yield lease
        finally:
            await lease.release()


async def operate(settings: Settings) -> int:
    """Run the operator until it is told to stop. The exit code: 1 after the loss of the lease."""
    metrics.BUILD_INFO.labels(__version__, platform.python_version()).set(1)
    limiter = Limiter(rate=settings.api_qps, burst=settings.api_burst)
    code = 0

    def lost() -> None:
        nonlocal code
        code = 1
        signal.raise_signal(signal.SIGTERM)  # whoever handles it by then

    async with (
        the_lease(settings, lost) as lease,
        await KubeClient.connect(
            limiter=limiter,
            fence=lease.require if lease is not None else None,
            user_agent=f"sluice/{__version__}",
        ) as client,
    ):
        engine = Engine(
            client,
            scope=Scope(settings.namespaces),
            settings=PlanSettings(
                pod_template=settings.pod_template,
                gate_image=settings.gate_image,
                canaries_at_once=settings.canaries_at_once,
            ),
            workers=settings.workers,
            instance=settings.own_name,
            git=GitAccess(
                folder=settings.git_folder,
                repositories=settings.git_repositories,
                protocols=settings.git_protocols,
                argocd=settings.argocd_namespace,
            ),
        )
        webhook = WebhookServer(settings, client) if settings.webhook_mode != "off" else None
        telemetry = metrics.TelemetryServer(
            port=settings.metrics_port,
            healthy=lambda: None,
            ready=lambda: (
                (lease.problem if lease is not None else None)
                or engine.problem()
                or (webhook.problem if webhook is not None else None)
            ),
        )
        await telemetry.start()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        registry = kopf.OperatorRegistry()
        register(registry, engine, client, webhooks=webhook is not None)
        try:
            if (lease is None or await done_before(stop, lease.acquire())) and await done_before(stop, engine.start()):
                # Kopf takes the signals over. Given `stop` too it would end 5 s late, waiting for somebody to set it.
                await kopf.operator(
                    registry=registry,
                    settings=kopf_settings(webhook),
                    clusterwide=not settings.namespaces,
                    namespaces=settings.namespaces,
                    standalone=True,
                    identity=settings.own_name,  # type: ignore[arg-type]  # Kopf's guess needs a name in /etc/passwd
                )
        finally:
            await engine.stop(STOP_SECONDS)
            await telemetry.stop()
            log.info("stopped")
    return code


def main() -> int:
    """Exit code 0 after a stop that was asked for, 1 when it could not start or lost its lease, 2 for bad settings."""
    try:
        settings = Settings.from_environment()
    except BadSetting as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure(format=settings.log_format, level=settings.log_level.upper())
    # A line for every event and every review, each with all of Kopf's settings, is not for people.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        return asyncio.run(operate(settings))
    except KubeError:
        log.exception("cannot start")
        return 1
