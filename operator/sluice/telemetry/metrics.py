"""Every metric the operator exports, in one place, and the small HTTP server that exposes them.

A metric is defined here and nowhere else, so that this file is the reference of names, labels and units. Label values
come from closed sets or from object names; never from messages, error texts or anything else without a bound.

Histograms have explicit buckets: API calls and queue work are milliseconds to seconds, steps and runs are seconds to
hours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter and histogram, which nobody asked for

REGISTRY: Final = CollectorRegistry(auto_describe=True)
"""The operator's own registry. Kopf and other libraries that write to prometheus_client's global one do not end up in
it."""

_CALL_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for one API call or one piece of work: 1 ms to the request timeout of 10 s."""

_WAIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0)
"""Bounds for waiting in a queue or a limiter: half a millisecond to a minute."""

_LAUNCH_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
"""Bounds for a cause to be followed by its pod: 5 ms to five minutes."""

_DURATION_SECONDS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)
"""Bounds for users' work: a second to a day."""

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR

_LEAD_SECONDS: Final = tuple(
    hours * _HOUR for hours in (1 / 12, 0.25, 0.5, 1, 3, 6, 12, 24, 48, 168, 336, 720, 2160, 4320)
)
"""Bounds for a commit to reach production: five minutes to half a year, with those of DORA's bands among them."""

_RESTORE_SECONDS: Final = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, _HOUR, 6 * _HOUR, _DAY, 7 * _DAY)
"""Bounds for all to be good again: a second to a week, with those of DORA's bands among them."""

# Calls to the API server --------------------------------------------------------------------------

API_REQUESTS: Final = Counter(
    "sluice_api_requests_total",
    "Requests sent to the Kubernetes API server, by HTTP status code or by kind of transport failure.",
    ("verb", "resource", "code"),
    registry=REGISTRY,
)
API_REQUEST_SECONDS: Final = Histogram(
    "sluice_api_request_seconds",
    "Time from sending a request to having its whole answer. Watches and log streams are not observed.",
    ("verb", "resource"),
    buckets=_CALL_SECONDS,
    registry=REGISTRY,
)
API_LIMITER_WAIT_SECONDS: Final = Histogram(
    "sluice_api_limiter_wait_seconds",
    "Time a request waited for the client's own limits (requests in flight, requests per second) before it was sent.",
    buckets=_WAIT_SECONDS,
    registry=REGISTRY,
)
API_IN_FLIGHT: Final = Gauge(
    "sluice_api_requests_in_flight",
    "Requests sent to the API server whose answer is awaited. Watches and log streams are not counted.",
    registry=REGISTRY,
)

# Informers ----------------------------------------------------------------------------------------

INFORMER_OBJECTS: Final = Gauge(
    "sluice_informer_objects", "Objects held in the cache of a resource.", ("resource",), registry=REGISTRY
)
INFORMER_EVENTS: Final = Counter(
    "sluice_informer_events_total", "Watch events received.", ("resource", "type"), registry=REGISTRY
)
INFORMER_LISTS: Final = Counter(
    "sluice_informer_lists_total",
    "Full lists of a resource, by cause: start, expired (410), crashed (an object could not be read), resync.",
    ("resource", "cause"),
    registry=REGISTRY,
)
INFORMER_RECONNECTS: Final = Counter(
    "sluice_informer_reconnects_total",
    "Watches opened again, by cause: ended (by the server), silent (nothing received), expired, failed, crashed.",
    ("resource", "cause"),
    registry=REGISTRY,
)
INFORMER_IDLE_SECONDS: Final = Gauge(
    "sluice_informer_idle_seconds",
    "Time since anything at all was received for a resource, bookmarks included. Above 90 s the watch is opened again.",
    ("resource",),
    registry=REGISTRY,
)
INFORMER_LISTENER_ERRORS: Final = Counter(
    "sluice_informer_listener_errors_total", "Listeners of a cache that raised.", ("resource",), registry=REGISTRY
)

# Work queue ---------------------------------------------------------------------------------------

QUEUE_DEPTH: Final = Gauge(
    "sluice_queue_depth", "Keys that are ready and wait for a worker.", ("kind",), registry=REGISTRY
)
QUEUE_IN_FLIGHT: Final = Gauge("sluice_queue_in_flight", "Keys that are being handled.", ("kind",), registry=REGISTRY)
QUEUE_WAIT_SECONDS: Final = Histogram(
    "sluice_queue_wait_seconds",
    "Time from a key becoming ready to the start of its handler.",
    ("kind",),
    buckets=_WAIT_SECONDS,
    registry=REGISTRY,
)
QUEUE_WORK_SECONDS: Final = Histogram(
    "sluice_queue_work_seconds", "Time one run of a handler took.", ("kind",), buckets=_CALL_SECONDS, registry=REGISTRY
)
QUEUE_RETRIES: Final = Counter(
    "sluice_queue_retries_total",
    "Handlers that raised; their keys are tried again later.",
    ("kind",),
    registry=REGISTRY,
)
QUEUE_WAKES: Final = Counter(
    "sluice_queue_wakes_total", "Keys made ready by their wake time.", ("kind",), registry=REGISTRY
)

# Events -------------------------------------------------------------------------------------------

EVENTS_RECORDED: Final = Counter(
    "sluice_events_recorded_total",
    "Kubernetes Events by outcome: created, repeated (an earlier one was counted up), dropped (queue full), failed.",
    ("outcome",),
    registry=REGISTRY,
)

# Reconciling --------------------------------------------------------------------------------------

RECONCILES: Final = Counter(
    "sluice_reconcile_total",
    "Reconciles by kind and result: unchanged, changed, conflict, error.",
    ("kind", "result"),
    registry=REGISTRY,
)

# Runs and steps -----------------------------------------------------------------------------------

RUNS: Final = Counter(
    "sluice_runs_total", "Runs that ended, by their final phase.", ("namespace", "pipeline", "phase"), registry=REGISTRY
)
RUN_ACTIVE: Final = Gauge(
    "sluice_run_active", "Runs that have not ended.", ("namespace", "pipeline"), registry=REGISTRY
)
RUN_DURATION_SECONDS: Final = Histogram(
    "sluice_run_duration_seconds",
    "Time from a run's start to its end.",
    ("namespace", "pipeline"),
    buckets=_DURATION_SECONDS,
    registry=REGISTRY,
)
STEPS: Final = Counter(
    "sluice_steps_total",
    "Steps that ended, by phase and reason. Reasons come from a closed set.",
    ("phase", "reason"),
    registry=REGISTRY,
)
STEP_DURATION_SECONDS: Final = Histogram(
    "sluice_step_duration_seconds",
    "Time from the start of a step's last attempt to its end.",
    buckets=_DURATION_SECONDS,
    registry=REGISTRY,
)
STEP_LAUNCH_SECONDS: Final = Histogram(
    "sluice_step_launch_seconds",
    "Time from seeing a step end to having created the pod of a step that waited for it.",
    buckets=_LAUNCH_SECONDS,
    registry=REGISTRY,
)
RUN_LAUNCH_SECONDS: Final = Histogram(
    "sluice_run_launch_seconds",
    "Time from a run being submitted to its first pod being created.",
    buckets=_LAUNCH_SECONDS,
    registry=REGISTRY,
)
SCHEDULE_LATENESS_SECONDS: Final = Histogram(
    "sluice_schedule_lateness_seconds",
    "Time from a schedule's instant to the creation of its run.",
    buckets=_LAUNCH_SECONDS,
    registry=REGISTRY,
)

# Gates --------------------------------------------------------------------------------------------

GATE_EVALUATIONS: Final = Counter(
    "sluice_gate_evaluations_total",
    "Gates that were evaluated to their end in a step, by verdict.",
    ("namespace", "gate", "verdict"),
    registry=REGISTRY,
)
GATE_SCORE: Final = Gauge(
    "sluice_gate_score", "Score of the newest evaluation, 0 to 100.", ("namespace", "gate"), registry=REGISTRY
)
GATE_HOLDING: Final = Gauge(
    "sluice_gate_holding", "Steps that their gate holds for want of evidence.", ("namespace", "gate"), registry=REGISTRY
)
CANARY_WEIGHT: Final = Gauge(
    "sluice_canary_weight",
    "Share of the requests that the candidate was given, in percent.",
    ("namespace", "canary"),
    registry=REGISTRY,
)
CANARY_PHASE: Final = Gauge(
    "sluice_canary_phase", "1 for the phase that a canary is in.", ("namespace", "canary", "phase"), registry=REGISTRY
)
CANARY_ROLLOUTS: Final = Counter(
    "sluice_canary_rollouts_total",
    "Rollouts that ended, by result (Promoted, Failed) and reason.",
    ("namespace", "canary", "result", "reason"),
    registry=REGISTRY,
)
CANARY_STEP_SECONDS: Final = Histogram(
    "sluice_canary_step_seconds",
    "How long a step was held until it passed or failed.",
    buckets=_DURATION_SECONDS,
    registry=REGISTRY,
)
CANARY_ROLLBACK_SECONDS: Final = Histogram(
    "sluice_canary_rollback_seconds",
    "From the decision to roll back until a route had been told to send the candidate nothing.",
    buckets=_CALL_SECONDS,
    registry=REGISTRY,
)
CANARY_UNSERVED: Final = Gauge(
    "sluice_canary_unserved_timestamp_seconds",
    "Since when the revision that is applied has not been the one that runs, in seconds since 1970. No series while it is.",
    ("namespace", "canary"),
    registry=REGISTRY,
)
DELIVERY_ROLLOUTS: Final = Counter(
    "sluice_delivery_rollouts_total",
    "Rollouts that ended, by outcome: Promoted, RolledBack, Aborted, Reverted, Superseded, Deleted.",
    ("namespace", "canary", "outcome"),
    registry=REGISTRY,
)
DELIVERY_LEAD_SECONDS: Final = Histogram(
    "sluice_delivery_lead_time_seconds",
    "From the commit of a revision to its promotion, where the time of the commit is known.",
    ("namespace", "canary"),
    buckets=_LEAD_SECONDS,
    registry=REGISTRY,
)
DELIVERY_RESTORE_SECONDS: Final = Histogram(
    "sluice_delivery_restore_seconds",
    "From the fault that was seen until all requests were sent back (RolledBack, Aborted), or from a promotion until an"
    " earlier revision was promoted again (TakenBack).",
    ("namespace", "canary", "outcome"),
    buckets=_RESTORE_SECONDS,
    registry=REGISTRY,
)
DELIVERY_TAKEN_BACK: Final = Counter(
    "sluice_delivery_taken_back_total",
    "Rollouts that were promoted and taken back within seven days by an earlier revision.",
    ("namespace", "canary"),
    registry=REGISTRY,
)
DELIVERY_PIPELINES: Final = Counter(
    "sluice_delivery_pipelines_total",
    "Revisions of pipelines whose first run succeeded.",
    ("namespace", "pipeline"),
    registry=REGISTRY,
)
DELIVERY_PIPELINE_LEAD_SECONDS: Final = Histogram(
    "sluice_delivery_pipeline_lead_time_seconds",
    "From the commit of a pipeline's revision to the end of its first run that succeeded, where the time of the commit is known.",
    ("namespace", "pipeline"),
    buckets=_LEAD_SECONDS,
    registry=REGISTRY,
)
METRIC_QUERIES: Final = Counter(
    "sluice_metric_queries_total",
    "Questions to metric sources, by result: answered, or the kind of failure.",
    ("namespace", "source", "result"),
    registry=REGISTRY,
)
METRIC_QUERY_SECONDS: Final = Histogram(
    "sluice_metric_query_seconds",
    "Time from asking a metric source to its answer or failure.",
    buckets=_CALL_SECONDS,
    registry=REGISTRY,
)

# The process --------------------------------------------------------------------------------------

BUILD_INFO: Final = Gauge(
    "sluice_build_info", "Always 1; the labels say what is running.", ("version", "python"), registry=REGISTRY
)

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


def render() -> bytes:
    """All metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)


class TelemetryServer:
    """Serves `/metrics`, `/healthz` (is the process alive) and `/readyz` (may it be relied on) over plain HTTP.

    `healthy` and `ready` return None when all is well, else a short sentence saying what is not, which is the body of
    the 503.
    """

    def __init__(
        self,
        *,
        host: str | None = None,
        port: int = 8080,
        healthy: Callable[[], str | None] = lambda: None,
        ready: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._host = host
        self._port = port
        self._healthy = healthy
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Bind and serve. Raises OSError when the port is taken."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._probe(self._healthy))
        app.router.add_get("/readyz", self._probe(self._ready))
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner

    @property
    def port(self) -> int:
        """The port that is listened on; tells which one was chosen when it was asked for as 0."""
        if self._runner is None or not self._runner.addresses:
            return self._port
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the listening socket and all connections. Harmless when not started."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @staticmethod
    def _probe(check: Callable[[], str | None]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(_request: web.Request) -> web.StreamResponse:
            problem = check()
            return web.Response(text="ok\n") if problem is None else web.Response(text=f"{problem}\n", status=503)

        return handle
