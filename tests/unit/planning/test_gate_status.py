"""What `kubectl get` shows of gates and metric sources: the newest evaluation, and whether a source answers."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sluice.api.canary_status import CanaryStatus, JudgedBy
from sluice.api.gate import QualityGateStatus
from sluice.api.metric_source import MetricSourceSpec, MetricSourceStatus
from sluice.api.reasons import Reason
from sluice.api.run import GateResult, PipelineRunStatus, StepStatus
from sluice.planning.canary_scene import CanaryView
from sluice.planning.gate_status import Answer, plan_gate, plan_source
from sluice.planning.views import GateView, RunView, SourceView
from tests.builders import NOW, after, run_view
from tests.unit.planning.canary_world import World, canary_spec
from tests.unit.planning.test_gate_steps import ON_DATA, gate_view


def run_with(name: str, minutes: float, verdict: str | None = "Pass", uid: str = "gate-1") -> RunView:
    """A run whose gate was evaluated so many minutes after NOW."""
    result = GateResult(
        name="clean", uid=uid, generation=1, verdict=verdict, score=90, evaluated_at=NOW + timedelta(minutes=minutes)
    )
    return run_view(name, status=PipelineRunStatus(steps=(StepStatus(name="check", gate=result),)))


def shown(gate: GateView, *runs: RunView) -> QualityGateStatus:
    plan = plan_gate(gate, runs, (), NOW)
    assert plan.status is not None
    return plan.status


def settled(gate: GateView, *runs: RunView) -> GateView:
    """The gate with the status that was planned for it."""
    status = QualityGateStatus.model_validate(shown(gate, *runs).to_dict())
    return replace(gate, status=status)


def test_a_gate_shows_its_newest_evaluation() -> None:
    status = shown(
        gate_view(ON_DATA), run_with("flights-1", 1), run_with("flights-2", 3, "Fail"), run_with("flights-3", 2)
    )
    assert (status.verdict, status.run, status.step, status.score) == ("Fail", "flights-2", "check", 90)


def canary_with(minutes: float, verdict: str = "Pass", uid: str = "gate-1", **fields: Any) -> CanaryView:
    """A canary that the gate judged last so many minutes after NOW."""
    row = JudgedBy(name="clean", uid=uid, verdict=verdict, at=NOW + timedelta(minutes=minutes), **fields)
    return replace(World(canary_spec()).view(), status=CanaryStatus(judged=(row,)))


def judged(gate: GateView, *canaries: CanaryView) -> QualityGateStatus:
    plan = plan_gate(gate, [run_with("flights-1", 1)], canaries, NOW)
    return plan.status or gate.status


def test_a_gate_shows_what_it_came_to_in_a_canary() -> None:
    status = judged(gate_view(ON_DATA), canary_with(3, "Fail", message="errors: 0.5 of 0.01", worst_check="errors"))
    assert (status.verdict, status.evaluated_by, status.worst_check) == ("Fail", "canary/pricing", "errors")
    assert (status.message, status.score, status.run, status.step) == ("errors: 0.5 of 0.01", None, None, None)
    status = judged(gate_view(ON_DATA), canary_with(0.5), canary_with(9, uid="another"))
    assert (status.verdict, status.evaluated_by) == ("Pass", "run/flights-1")


def test_the_same_verdict_of_a_canary_is_not_written_at_each_step() -> None:
    gate = replace(gate_view(ON_DATA), status=judged(gate_view(ON_DATA), canary_with(3)))
    assert judged(gate, canary_with(3.5)).evaluated_at == NOW + timedelta(minutes=3)
    assert judged(gate, canary_with(13)).evaluated_at == NOW + timedelta(minutes=13)
    failed = judged(gate, canary_with(4, "Fail"))
    assert (failed.verdict, failed.evaluated_at) == ("Fail", NOW + timedelta(minutes=4))


def test_a_gate_that_was_never_evaluated_says_so() -> None:
    assert shown(gate_view(ON_DATA)).verdict == "NotEvaluated"
    assert shown(gate_view(ON_DATA), run_with("flights-1", 1, None)).verdict == "NotEvaluated"


def test_an_earlier_gate_of_the_same_name_does_not_count() -> None:
    assert shown(gate_view(ON_DATA), run_with("flights-1", 1, uid="gone")).verdict == "NotEvaluated"


def test_what_was_shown_stays_when_its_run_is_gone_and_a_converged_gate_is_not_written() -> None:
    gate = settled(gate_view(ON_DATA), run_with("flights-1", 1, "Warn"))
    assert plan_gate(gate, [run_with("flights-1", 1, "Warn")], (), after(hours=1)).status is None
    assert plan_gate(gate, [], (), after(hours=1)).status is None
    assert gate.status.verdict == "Warn"


def test_a_gate_that_cannot_work_is_stalled() -> None:
    status = shown(gate_view({"name": "odd", "data": {"source": "t"}}))
    conditions = {row.type: (row.status, row.reason) for row in status.conditions}
    assert conditions["Ready"] == ("False", "InvalidSpec")
    assert conditions["Stalled"][0] == "True"


def source_view(spec: dict[str, Any] | None = None, **fields: Any) -> SourceView:
    given = MetricSourceSpec.model_validate(spec or {"prometheus": {"address": "http://p:9090"}})
    defaults: dict[str, Any] = {
        "namespace": "data",
        "name": "prom",
        "uid": "s-1",
        "generation": 1,
        "spec": given,
        "problem": "",
        "status": MetricSourceStatus(),
    }
    return SourceView(**(defaults | fields))


@pytest.mark.parametrize(
    ("source", "answer", "expected"),
    [
        (source_view(), None, ("True", "Accepted")),
        (source_view(), Answer(Reason.ANSWERS), ("True", "Answers")),
        (source_view(), Answer(Reason.NO_ANSWER, "HTTP 503"), ("False", "NoAnswer")),
        (source_view(), Answer(Reason.CREDENTIALS_UNREADABLE, "no"), ("False", "CredentialsUnreadable")),
        (replace(source_view(), spec=None, problem="odd"), None, ("False", "InvalidSpec")),
    ],
)
def test_a_source_shows_whether_it_answers(
    source: SourceView, answer: Answer | None, expected: tuple[str, str]
) -> None:
    status = plan_source(source, answer, NOW).status
    assert status is not None
    assert [(row.status, row.reason) for row in status.conditions] == [expected]


def test_what_a_source_last_said_is_kept_over_a_restart_until_its_spec_changes() -> None:
    status = plan_source(source_view(), Answer(Reason.NO_ANSWER, "HTTP 503"), NOW).status
    assert status is not None
    known = source_view(status=status)
    assert plan_source(known, None, after(hours=1)).status is None
    changed = plan_source(source_view(status=status, generation=2), None, NOW).status
    assert changed is not None
    assert changed.conditions[0].reason == "Accepted"
