"""The status of a QualityGate and of a MetricSource: what is seen of them, in the object that a user looks at. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sluice.api.base import ConditionStatus, set_conditions
from sluice.api.gate import QualityGateStatus
from sluice.api.metric_source import MetricSourceStatus
from sluice.api.reasons import Reason
from sluice.api.run import GateResult
from sluice.planning.actions import Plan, StatusT, same
from sluice.planning.gates import check_gate
from sluice.planning.views import GateView, RunView, SourceView


@dataclass(frozen=True)
class Answer:
    """What became of the newest question to a metric source."""

    reason: Reason
    """Answers, NoAnswer or CredentialsUnreadable."""
    message: str = ""


def plan_gate(gate: GateView, runs: Iterable[RunView], now: datetime) -> Plan[QualityGateStatus]:
    """The status of a gate: the newest evaluation among `runs`, or what is on record already."""
    problem = gate.problem or (str(errors[0]) if gate.spec is not None and (errors := check_gate(gate.spec)) else "")
    status = gate.status.model_copy(update={"observed_generation": gate.generation})
    newest = _newest(gate, runs)
    if newest is not None and (status.evaluated_at is None or _millis(newest[2]) > _millis(status.evaluated_at)):
        run, step, at, result = newest
        status = status.model_copy(
            update={
                "verdict": result.verdict,
                "score": result.score,
                "worst_check": result.worst_check,
                "message": result.message,
                "run": run,
                "step": step,
                "evaluated_at": at,
            }
        )
    if status.verdict is None:
        status = status.model_copy(update={"verdict": Reason.NOT_EVALUATED})
    ready: ConditionStatus = "False" if problem else "True"
    reason = Reason.INVALID_SPEC if problem else Reason.AS_SPECIFIED
    wanted: dict[str, tuple[ConditionStatus, str, str]] = {
        "Ready": (ready, reason, problem),
        "Reconciling": ("False", reason, ""),
        "Stalled": ("True" if problem else "False", reason, ""),
    }
    status = status.model_copy(update={"conditions": set_conditions(status.conditions, wanted, gate.generation, now)})
    return _if_new(status, gate.status)


def _millis(moment: datetime) -> int:
    """Statuses have milliseconds; what is compared has to have no more."""
    return int(moment.timestamp() * 1000)


def _newest(gate: GateView, runs: Iterable[RunView]) -> tuple[str, str, datetime, GateResult] | None:
    found = [
        (run.name, step.name, step.gate.evaluated_at, step.gate)
        for run in runs
        for step in run.status.steps
        if step.gate is not None
        and step.gate.uid == gate.uid
        and step.gate.verdict is not None
        and step.gate.evaluated_at is not None
    ]
    return max(found, key=lambda row: (row[2], row[0], row[1]), default=None)


def plan_source(source: SourceView, answer: Answer | None, now: datetime) -> Plan[MetricSourceStatus]:
    """The status of a metric source: whether it answered when it was last asked. It is not asked without need."""
    known = {condition.type: condition for condition in source.status.conditions}.get("Ready")
    ready: tuple[ConditionStatus, str, str]
    if source.spec is None:
        ready = ("False", Reason.INVALID_SPEC, source.problem)
    elif answer is not None:
        ready = ("True" if answer.reason is Reason.ANSWERS else "False", answer.reason, answer.message)
    elif known is not None and known.observed_generation == source.generation:
        ready = (known.status, known.reason, known.message)
    else:
        ready = ("True", Reason.ACCEPTED, "it has not been asked yet")
    conditions = set_conditions(source.status.conditions, {"Ready": ready}, source.generation, now)
    status = source.status.model_copy(update={"observed_generation": source.generation, "conditions": conditions})
    return _if_new(status, source.status)


def _if_new(status: StatusT, before: StatusT) -> Plan[StatusT]:
    return Plan(None if same(status, before) else status)
