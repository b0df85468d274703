"""The status of a QualityGate and of a MetricSource: what is seen of them, in the object that a user looks at. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sluice.api.base import ConditionStatus, set_conditions
from sluice.api.gate import QualityGateStatus
from sluice.api.metric_source import MetricSourceStatus
from sluice.api.reasons import Reason
from sluice.planning.actions import Plan, StatusT, same
from sluice.planning.canary_scene import CanaryView
from sluice.planning.gates import check_gate
from sluice.planning.views import GateView, RunView, SourceView


@dataclass(frozen=True)
class Answer:
    """What became of the newest question to a metric source."""

    reason: Reason
    """Answers, NoAnswer or CredentialsUnreadable."""
    message: str = ""


AGAIN: Final = timedelta(minutes=10)
"""A canary that comes to the same verdict again is not written down sooner: it may do so at every step."""


@dataclass(frozen=True)
class _Evaluation:
    """What a gate has come to somewhere."""

    at: datetime
    verdict: str
    by: str
    message: str | None
    score: float | None = None
    worst_check: str | None = None
    run: str | None = None
    step: str | None = None


def plan_gate(
    gate: GateView, runs: Iterable[RunView], canaries: Iterable[CanaryView], now: datetime
) -> Plan[QualityGateStatus]:
    """The status of a gate: the newest evaluation among `runs` and `canaries`, or what is on record already."""
    problem = gate.problem or (str(errors[0]) if gate.spec is not None and (errors := check_gate(gate.spec)) else "")
    status = gate.status.model_copy(update={"observed_generation": gate.generation})
    found = [*_in_runs(gate, runs), *_in_canaries(gate, canaries)]
    newest = max(found, key=lambda row: (row.at, row.by, row.step or ""), default=None)
    if newest is not None and _is_news(newest, status):
        status = status.model_copy(
            update={
                "verdict": newest.verdict,
                "score": newest.score,
                "worst_check": newest.worst_check,
                "message": newest.message,
                "evaluated_by": newest.by,
                "run": newest.run,
                "step": newest.step,
                "evaluated_at": newest.at,
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


def _is_news(newest: _Evaluation, status: QualityGateStatus) -> bool:
    if status.evaluated_at is None or status.verdict is None:
        return True
    if _millis(newest.at) <= _millis(status.evaluated_at):
        return False
    same_again = (newest.by, newest.verdict, newest.worst_check) == (
        status.evaluated_by,
        status.verdict,
        status.worst_check,
    )
    return newest.run is not None or not same_again or newest.at - status.evaluated_at >= AGAIN


def _in_runs(gate: GateView, runs: Iterable[RunView]) -> Iterator[_Evaluation]:
    for run in runs:
        for step in run.status.steps:
            result = step.gate
            if step.taken_from is not None:
                continue  # it was evaluated in another run
            if result is None or result.uid != gate.uid or result.verdict is None or result.evaluated_at is None:
                continue
            yield _Evaluation(
                at=result.evaluated_at,
                verdict=result.verdict,
                by=f"run/{run.name}",
                message=result.message,
                score=result.score,
                worst_check=result.worst_check,
                run=run.name,
                step=step.name,
            )


def _in_canaries(gate: GateView, canaries: Iterable[CanaryView]) -> Iterator[_Evaluation]:
    for canary in canaries:
        for row in canary.status.judged:
            if row.uid == gate.uid:
                yield _Evaluation(
                    row.at,
                    row.verdict,
                    f"canary/{canary.name}",
                    row.message,
                    score=row.score,
                    worst_check=row.worst_check,
                )


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
