# ruff: noqa: INP001 - beside the scripts that it is about, in no package
"""What Argo CD is to say of each state of our kinds: what the scripts in health/ are tested by, and what docs/gitops.md shows.

The states are made with the models of the API, so that no script is tested on a field that does not exist.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sluice.api.base import Condition, ConditionStatus, StatusModel
from sluice.api.canary_status import CanaryPhase, CanaryStatus, PausedBy
from sluice.api.gate import QualityGateStatus
from sluice.api.metric_source import MetricSourceStatus
from sluice.api.names import API_VERSION
from sluice.api.pipeline import DataPipelineStatus
from sluice.api.reasons import CanaryReason, Reason
from sluice.api.run import PipelineRunStatus, RunPhase

GENERATION = 2
NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)

Object = dict[str, Any]
"""A Kubernetes object as YAML gives it."""


@dataclass(frozen=True)
class Case:
    """One state of an object, and its health."""

    name: str
    """Of the file of test data."""
    state: str
    """In words, for people."""
    object: Object
    health: str
    message: str = ""

    @property
    def kind(self) -> str:
        """The kind of the object."""
        return str(self.object["kind"])


_SPECS: dict[str, tuple[str, Object]] = {
    "DataPipeline": (
        "flights",
        {
            "schedule": {"cron": ["0 6 * * *"], "timeZone": "Asia/Kolkata"},
            "steps": [{"name": "extract", "image": "ghcr.io/acme/flights:1.4.2"}],
        },
    ),
    "PipelineRun": ("flights-x7k2p", {"pipeline": {"name": "flights"}}),
    "Canary": (
        "pricing",
        {
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pricing"},
            "routing": {"gatewayAPI": {"routes": [{"name": "pricing"}]}},
            "canary": {"steps": [{"weight": 5}, {"weight": 50}]},
            "gates": [{"name": "pricing-slo"}],
        },
    ),
    "QualityGate": (
        "pricing-slo",
        {"checks": [{"name": "errors", "metric": {"source": "prom", "query": "errors", "max": 0.01}}]},
    ),
    "MetricSource": ("prom", {"prometheus": {"address": "http://prometheus.monitoring.svc:9090"}}),
    "ClusterMetricSource": ("prom", {"prometheus": {"address": "http://prometheus.monitoring.svc:9090"}}),
}
KINDS = tuple(_SPECS)
"""Every kind that has a health script."""


def made(kind: str, status: StatusModel | None) -> Object:
    """An object of `kind` of generation GENERATION with this status; None: it has none yet."""
    name, spec = _SPECS[kind]
    metadata = {"name": name, "uid": "7c3f3b7e-6f0e-4e0c-9d55-0d3a7b1f2a10", "generation": GENERATION}
    if kind != "ClusterMetricSource":
        metadata["namespace"] = "shop"
    found: Object = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
    return found if status is None else {**found, "status": status.to_dict()}


def conditions(**rows: tuple[ConditionStatus, str, str]) -> tuple[Condition, ...]:
    """Conditions by type, each (status, reason, message)."""
    return tuple(
        Condition(
            type=name,
            status=status,
            reason=reason,
            message=text,
            observed_generation=GENERATION,
            last_transition_time=NOW,
        )
        for name, (status, reason, text) in rows.items()
    )


# -- the kinds --------------------------------------------------------------------------------------------------------


def _pipeline(health: str, reason: Reason, message: str = "") -> Object:
    invalid = health == "Invalid"
    rows = conditions(
        Ready=("False" if invalid else "True", reason, message),
        Reconciling=("False", reason, ""),
        Stalled=("True" if invalid else "False", reason, message if invalid else ""),
    )
    return made("DataPipeline", DataPipelineStatus(observed_generation=GENERATION, health=health, conditions=rows))


def _pipelines() -> Iterator[Case]:
    yield Case(
        "healthy", "the newest run succeeded, or none has ended", _pipeline("Healthy", Reason.AS_SPECIFIED), "Healthy"
    )
    yield Case(
        "suspended", "suspended", _pipeline("Suspended", Reason.SUSPENDED), "Suspended", "no run starts by schedule"
    )
    failed = "flights-x7k2p: step extract failed: ExitCode"
    yield Case(
        "failing", "the newest run failed", _pipeline("Failing", Reason.LAST_RUN_FAILED, failed), "Degraded", failed
    )
    problem = 'spec.steps[0].dependsOn[0]: Not found: "fetch"'
    yield Case(
        "invalid",
        "the spec cannot be acted on",
        _pipeline("Invalid", Reason.INVALID_SPEC, problem),
        "Degraded",
        problem,
    )


def run(phase: RunPhase, message: str | None = None) -> Object:
    """A PipelineRun in this phase."""
    began = None if phase is RunPhase.PENDING else NOW
    status = PipelineRunStatus(
        observed_generation=GENERATION, phase=phase, progress="1/3", message=message, started_at=began
    )
    return made("PipelineRun", status)


def _runs() -> Iterator[Case]:
    told = {
        RunPhase.PENDING: ("Progressing", "waits for flights-b2m4x"),
        RunPhase.RUNNING: ("Progressing", None),
        RunPhase.FINALIZING: ("Progressing", "finally steps"),
        RunPhase.SUCCEEDED: ("Healthy", None),
        RunPhase.FAILED: ("Degraded", "step extract failed: ExitCode"),
        RunPhase.CANCELLED: ("Degraded", "the run was cancelled"),
    }
    for phase, (health, message) in told.items():
        expected = message or ("1/3" if phase is RunPhase.RUNNING else "")
        yield Case(phase.lower(), f"`{phase}`", run(phase, message), health, expected)


def canary(
    phase: CanaryPhase,
    message: str = "",
    *,
    reason: str = "Analysing",
    paused: bool = False,
    stalled: bool = False,
    weight: int = 0,
) -> Object:
    """A Canary in this phase, with the conditions that the operator gives it there."""
    bad = stalled or phase is CanaryPhase.FAILED
    settled = phase is CanaryPhase.STABLE and not bad
    waits = paused or phase is CanaryPhase.APPROVING
    status = CanaryStatus(
        observed_generation=GENERATION,
        phase=phase,
        reason=reason,
        message=message or None,
        weight=weight,
        paused=PausedBy(by="anna", since=NOW) if paused else None,
        conditions=conditions(
            Ready=("True" if settled else "False" if bad else "Unknown", reason, message),
            Reconciling=("False" if bad or settled else "True", reason, ""),
            Stalled=("True" if bad else "False", reason, ""),
            Paused=("True" if waits else "False", reason, ""),
        ),
    )
    return made("Canary", status)


_AT_REST = {
    CanaryPhase.WAITING: ("Progressing", CanaryReason.TARGET_NOT_READY),
    CanaryPhase.STABLE: ("Healthy", CanaryReason.STABLE),
    CanaryPhase.PROMOTING: ("Progressing", CanaryReason.PROMOTING),
    CanaryPhase.RETURNING: ("Progressing", CanaryReason.ROLLED_OUT),
    CanaryPhase.RESTARTING: ("Progressing", CanaryReason.REVISION_CHANGED),
    CanaryPhase.ROLLING_BACK: ("Degraded", CanaryReason.GATE_FAILED),
    CanaryPhase.FAILED: ("Degraded", CanaryReason.ROLLED_BACK),
    CanaryPhase.LEAVING: ("Progressing", CanaryReason.DELETED),
    CanaryPhase.GONE: ("Progressing", CanaryReason.DELETED),
}
"""The phases that a pause changes nothing about."""


def _canaries() -> Iterator[Case]:
    for phase in CanaryPhase:
        state, file = f"`{phase}`", phase.lower()
        if phase in _AT_REST:
            health, reason = _AT_REST[phase]
            said = "" if health == "Healthy" else f"said of {phase}"
            yield Case(file, state, canary(phase, f"said of {phase}", reason=reason), health, said)
        elif phase is CanaryPhase.APPROVING:
            waiting = canary(phase, "waits for promote", reason=CanaryReason.AWAITING_APPROVAL, weight=50)
            yield Case(file, state, waiting, "Suspended", "waits for promote")
        else:
            going = canary(phase, f"said of {phase}", weight=5)
            yield Case(file, state, going, "Progressing", f"weight 5 %: said of {phase}")
            halted = canary(phase, f"said of {phase}", paused=True)
            yield Case(f"{file}-paused", f"{state}, paused", halted, "Suspended", f"paused by anna: said of {phase}")
    yield Case(
        "stable-paused",
        "`Stable`, paused",
        canary(CanaryPhase.STABLE, reason=CanaryReason.STABLE, paused=True),
        "Healthy",
        "paused: the next revision waits for resume",
    )
    yield Case(
        "promoting-paused",
        "`Promoting`, paused: it goes on",
        canary(CanaryPhase.PROMOTING, "the target is rolled", reason=CanaryReason.PROMOTING, paused=True),
        "Progressing",
        "the target is rolled",
    )
    route = "HTTPRoute pricing is not accepted"
    yield Case(
        "stepping-stalled",
        "under way, and a route is not ready or the spec cannot be acted on",
        canary(CanaryPhase.STEPPING, route, reason=CanaryReason.ROUTE_NOT_READY, stalled=True, weight=5),
        "Degraded",
        route,
    )
    problem = "spec.canary.steps[1].weight: Invalid value: 3: must be more than 5"
    yield Case(
        "stable-invalid",
        "at rest, and the spec cannot be acted on",
        canary(CanaryPhase.STABLE, problem, reason=CanaryReason.INVALID_SPEC, stalled=True),
        "Degraded",
        problem,
    )


def _gate(verdict: str, problem: str = "") -> Object:
    reason = Reason.INVALID_SPEC if problem else Reason.AS_SPECIFIED
    rows = conditions(
        Ready=("False" if problem else "True", reason, problem),
        Reconciling=("False", reason, ""),
        Stalled=("True" if problem else "False", reason, ""),
    )
    return made("QualityGate", QualityGateStatus(observed_generation=GENERATION, verdict=verdict, conditions=rows))


def _gates() -> Iterator[Case]:
    yield Case("pass", "evaluated, whatever the verdict", _gate("Pass"), "Healthy", "Pass")
    yield Case("fail", "evaluated, with the verdict Fail", _gate("Fail"), "Healthy", "Fail")
    yield Case("not-evaluated", "not evaluated yet", _gate("NotEvaluated"), "Healthy", "NotEvaluated")
    problem = "spec.checks[0].metric: Required value: a bound"
    yield Case("invalid", "the spec cannot be acted on", _gate("NotEvaluated", problem), "Degraded", problem)


def _source(kind: str, ready: ConditionStatus, reason: Reason, message: str) -> Object:
    rows = conditions(Ready=(ready, reason, message))
    return made(kind, MetricSourceStatus(observed_generation=GENERATION, conditions=rows))


def _sources(kind: str) -> Iterator[Case]:
    yield Case("answers", "it answered when it was last asked", _source(kind, "True", Reason.ANSWERS, ""), "Healthy")
    asked = "it has not been asked yet"
    yield Case("accepted", asked, _source(kind, "True", Reason.ACCEPTED, asked), "Healthy", asked)
    for name, reason, message in (
        ("no-answer", Reason.NO_ANSWER, "connection refused"),
        ("credentials", Reason.CREDENTIALS_UNREADABLE, "there is no Secret prom"),
        ("invalid", Reason.INVALID_SPEC, "spec: exactly one back end is needed"),
    ):
        yield Case(name, f"`{reason}`", _source(kind, "False", reason, message), "Degraded", message)


# -- all of them ------------------------------------------------------------------------------------------------------


def _unseen(kind: str, some: Object) -> Iterator[Case]:
    """States that every kind has."""
    not_yet, newest = "sluice has not looked at it yet", "sluice has not looked at the newest change yet"
    yield Case("without-status", "no status yet", made(kind, None), "Progressing", not_yet)
    half = {**some, "status": {"conditions": []}}
    yield Case("half-written", "a status without observedGeneration", half, "Progressing", not_yet)
    empty = {**some, "status": {"observedGeneration": GENERATION}}
    behind = {**some, "metadata": {**some["metadata"], "generation": GENERATION + 1}}
    yield Case("behind", "an older generation was looked at", behind, "Progressing", newest)
    yield Case(
        "empty", "a status with nothing but observedGeneration", empty, "Progressing", "the status is not complete yet"
    )


COMMON = 4
"""How many of the states of a kind are those that every kind has; they come first."""


def cases(kind: str) -> list[Case]:
    """All states of a kind."""
    own = {"DataPipeline": _pipelines, "PipelineRun": _runs, "Canary": _canaries, "QualityGate": _gates}
    found = list(own[kind]() if kind in own else _sources(kind))
    return [*_unseen(kind, found[0].object), *found]
