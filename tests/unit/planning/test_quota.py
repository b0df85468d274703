"""A pod for which the quota has no room: the run says so, asks again from time to time, and goes on when there is room."""

from dataclasses import replace
from datetime import datetime, timedelta

from sluice.api.reasons import Reason
from sluice.api.run import PipelineRunStatus, StepPhase
from sluice.planning.actions import CreatePod
from sluice.planning.run import RunPlan, plan_run
from sluice.planning.steps import QUOTA_RECHECK
from sluice.planning.views import Refusal
from tests.builders import NOW, after, pipeline_spec, run_scene, run_view

MESSAGE = "exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3"


def asked(plan: RunPlan) -> bool:
    return any(isinstance(action, CreatePod) for action in plan.after)


def launched() -> PipelineRunStatus:
    """The status of a run whose only step is about to have a pod."""
    status = plan_run(run_scene()).status
    assert status is not None
    return status


def look(status: PipelineRunStatus, now: datetime, message: str = MESSAGE, at: datetime = NOW) -> RunPlan:
    """What is planned for a run of `status` when the quota had no room at `at`."""
    (step,) = status.steps
    assert step.pod is not None
    refusal = Refusal(step.pod, message, Reason.QUOTA_EXCEEDED, at)
    spec = pipeline_spec(timeouts={"run": "1h"})
    return plan_run(run_scene(spec, run=run_view(status=status), refusals={step.pod: refusal}, now=now))


def test_a_step_without_room_says_so_and_is_not_asked_for_again_at_once() -> None:
    plan = look(launched(), NOW)
    assert plan.status is not None
    (step,) = plan.status.steps
    assert (step.phase, step.reason, step.message) == (StepPhase.PENDING, Reason.QUOTA_EXCEEDED, MESSAGE)
    assert not asked(plan)
    assert plan.wake_at == NOW + QUOTA_RECHECK
    assert [(row.reason, row.message) for row in plan.occurrences] == [(Reason.QUOTA_EXCEEDED, f"extract: {MESSAGE}")]


def test_its_pod_is_asked_for_again_after_a_while() -> None:
    status = look(launched(), NOW).status
    assert status is not None
    plan = look(status, NOW + QUOTA_RECHECK)
    assert asked(plan)
    assert plan.status is None
    assert plan.occurrences == ()


def test_that_others_use_more_or_less_of_the_quota_is_no_news() -> None:
    status = look(launched(), NOW).status
    assert status is not None
    later = look(status, after(minutes=1), MESSAGE.replace("used: pods=3", "used: pods=4"), at=after(minutes=1))
    assert (later.status, later.occurrences) == (None, ())


def test_waiting_for_room_ends_with_the_time_of_the_run() -> None:
    status = look(launched(), NOW).status
    assert status is not None
    plan = look(status, after(hours=1), at=after(hours=1) - timedelta(seconds=1))
    assert plan.status is not None
    assert (plan.status.phase.ended, plan.status.steps[0].reason) == (True, Reason.RUN_TIMED_OUT)
    assert not asked(plan)


def test_a_final_refusal_fails_the_step() -> None:
    status = launched()
    (step,) = status.steps
    assert step.pod is not None
    refusal = Refusal(step.pod, "violates PodSecurity", Reason.POD_REJECTED, NOW)
    plan = plan_run(replace(run_scene(), run=run_view(status=status), refusals={step.pod: refusal}))
    assert plan.status is not None
    assert (plan.status.steps[0].phase, plan.status.steps[0].reason) == (StepPhase.FAILED, Reason.POD_REJECTED)
