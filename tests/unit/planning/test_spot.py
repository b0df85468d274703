"""Spot nodes first, others after."""

from datetime import timedelta
from typing import Any

import pytest

from sluice.api.reasons import Reason
from sluice.api.run import StepPhase
from sluice.planning.actions import CreatePod
from sluice.planning.run import plan_run
from sluice.planning.spot import moves_on, on_spot
from tests.builders import NOW, pipeline_spec, pod_view, run_scene, run_view, step, step_dict

SPOT: dict[str, Any] = {"nodeSelector": {"capacity": "spot"}, "tolerations": [{"key": "spot", "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("spot", "attempt", "expected"),
    [(None, 1, False), ({}, 1, True), ({}, 2, False), ({"attempts": 3}, 3, True), ({"attempts": 3}, 4, False)],
)
def test_the_first_attempts_are_made_on_spot_nodes(spot: dict[str, Any] | None, attempt: int, expected: bool) -> None:
    assert on_spot(step("a", spot=spot), attempt) is expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (Reason.UNSCHEDULABLE, True),
        (Reason.PENDING_TIMED_OUT, True),
        (Reason.IMAGE_PULL_FAILED, False),
        (Reason.EXIT_CODE, False),
        (Reason.PREEMPTED, False),
    ],
)
def test_only_a_missing_node_moves_a_step_on(reason: Reason, expected: bool) -> None:
    assert moves_on(step("a", spot=SPOT), 1, reason) is expected
    assert not moves_on(step("a", spot=SPOT), 2, reason)


def test_a_step_without_a_spot_node_goes_elsewhere_at_once_and_keeps_its_retries() -> None:
    spec = pipeline_spec(
        step_dict("a", spot={**SPOT, "wait": "30s"}, podTemplate={"spec": {"nodeSelector": {"zone": "south"}}})
    )
    first = plan_run(run_scene(spec))
    assert first.status is not None
    [create] = [action for action in first.after if isinstance(action, CreatePod)]
    assert create.manifest["spec"]["nodeSelector"] == {"zone": "south", "capacity": "spot"}
    assert create.manifest["spec"]["tolerations"] == [{"key": "spot", "operator": "Exists"}]

    pod = pod_view(name=first.status.steps[0].pod, step="a", scheduled=False, unschedulable_message="0/3 nodes match")
    late = NOW + timedelta(seconds=31)
    waiting = plan_run(run_scene(spec, run=run_view(status=first.status), pods=[pod], now=late))
    assert waiting.status is not None
    assert waiting.status.steps[0].stopping == Reason.UNSCHEDULABLE

    gone = plan_run(run_scene(spec, run=run_view(status=waiting.status), now=late + timedelta(seconds=2)))
    assert gone.status is not None
    status = gone.status.steps[0]
    if status.phase is StepPhase.RETRYING:
        gone = plan_run(run_scene(spec, run=run_view(status=gone.status), now=late + timedelta(seconds=3)))
        assert gone.status is not None
        status = gone.status.steps[0]
    [create] = [action for action in gone.after if isinstance(action, CreatePod)]
    assert (status.attempt, status.retries, status.infrastructure_retries) == (2, 0, 0)
    assert create.manifest["spec"]["nodeSelector"] == {"zone": "south"}
    assert "tolerations" not in create.manifest["spec"]
