"""plan_run as given / when / then: each test tells one story of a run in a small world."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sluice.api.pipeline import DataPipelineSpec, DataPipelineStatus
from sluice.api.reasons import Reason
from sluice.api.run import PipelineRunStatus, RunPhase, StepPhase
from sluice.planning.actions import AdoptRun, CancelRun, CreatePod, StopPod
from sluice.planning.run import PIPELINE_GRACE, RECHECK, RunPlan, plan_run
from tests.builders import NOW, after, pipeline_spec, pipeline_view, pod_view, run_scene, run_view, step_dict
from tests.unit.planning.world import World, is_live

CHAIN = pipeline_spec(step_dict("extract"), step_dict("clean", "extract"), step_dict("load", "clean"))
DIAMOND = pipeline_spec("a", step_dict("b", "a"), step_dict("c", "a"), step_dict("d", "b", "c"))
RETRY: dict[str, Any] = {"retry": {"limit": 1, "backoff": {"duration": "10s", "jitter": 0}}}


def started(spec: DataPipelineSpec) -> World:
    """A run whose first pods have been created."""
    world = World(spec)
    world.settle()
    return world


def with_tidy(*steps: dict[str, Any] | str, tidy: dict[str, Any] | None = None, **fields: Any) -> DataPipelineSpec:
    return pipeline_spec(*steps, **{"finally": [tidy or step_dict("tidy")]} | fields)


def finish(world: World, step: str, exit_code: int = 0, **fields: Any) -> None:
    """A minute passes, the step's pod ends, the operator looks."""
    world.advance(minutes=1)
    world.finish(world.pod(step), exit_code, **fields)
    world.settle()


def start(world: World, step: str) -> None:
    """The step's pod starts, and is seen to run."""
    world.start(world.pod(step))
    world.advance(seconds=2)
    world.settle()


def phases(world: World) -> dict[str, str]:
    return {step.name: str(step.phase) for step in world.status.steps}


def steps_created(world: World) -> list[str]:
    return [step for step, _ in world.created]


def stopped(plan: RunPlan) -> list[str]:
    return [action.name for action in plan.after if isinstance(action, StopPod)]


def arguments(plan: RunPlan) -> list[str]:
    (action,) = (action for action in plan.after if isinstance(action, CreatePod))
    found: list[str] = action.manifest["spec"]["containers"][0]["args"]
    return found


def condition(world: World, kind: str) -> tuple[str, str]:
    row = next(row for row in world.status.conditions if row.type == kind)
    return row.status, row.reason


def ends_as(world: World, phase: RunPhase, reason: Reason, message: str | None = None) -> None:
    """The run has ended, says why, and has come to rest."""
    assert (world.status.phase, world.status.reason) == (phase, reason)
    assert world.status.message == message
    world.check_end()


# -- graphs -----------------------------------------------------------------------------------------------------------


def test_a_chain_runs_step_after_step() -> None:
    world = started(CHAIN)
    assert steps_created(world) == ["extract"]
    finish(world, "extract")
    assert steps_created(world) == ["extract", "clean"]
    finish(world, "clean")
    finish(world, "load")
    assert steps_created(world) == ["extract", "clean", "load"]
    ends_as(world, RunPhase.SUCCEEDED, Reason.SUCCEEDED)
    assert (world.status.progress, world.status.duration) == ("3/3", "3m")


def test_the_next_step_is_launched_in_the_same_look_that_sees_the_end_of_the_one_before() -> None:
    world = started(CHAIN)
    world.finish(world.pod("extract"), 0)
    plan = world.look()
    assert [action.step for action in plan.after if isinstance(action, CreatePod)] == ["clean"]
    assert world.status_writes == 2


def test_the_foot_of_a_diamond_waits_for_both_sides() -> None:
    world = started(DIAMOND)
    finish(world, "a")
    assert steps_created(world) == ["a", "b", "c"]
    finish(world, "c")
    assert steps_created(world) == ["a", "b", "c"]
    finish(world, "b")
    assert steps_created(world) == ["a", "b", "c", "d"]


def test_several_roots_start_together() -> None:
    assert steps_created(started(pipeline_spec("a", "b", "c"))) == ["a", "b", "c"]


def test_no_more_steps_run_at_once_than_allowed() -> None:
    world = started(pipeline_spec("a", "b", "c", concurrency={"maxActiveSteps": 2}))
    assert steps_created(world) == ["a", "b"]
    finish(world, "b")
    assert steps_created(world) == ["a", "b", "c"]


def test_a_step_that_waits_for_its_retry_holds_no_place() -> None:
    world = started(pipeline_spec(step_dict("a", **RETRY), "b", concurrency={"maxActiveSteps": 1}))
    finish(world, "a", 1)
    assert (phases(world)["a"], steps_created(world)) == ("Retrying", ["a", "b"])
    world.advance(seconds=11)
    world.settle()
    assert steps_created(world) == ["a", "b"]
    finish(world, "b")
    assert world.created[-1] == ("a", 2)


# -- failures and retries ---------------------------------------------------------------------------------------------


def test_a_retry_succeeds() -> None:
    world = started(pipeline_spec(step_dict("a", **RETRY)))
    finish(world, "a", 3, term_message="no rows")
    step = world.step("a")
    assert (step.phase, step.reason, step.message, step.retries) == (
        StepPhase.RETRYING,
        Reason.EXIT_CODE,
        "exit code 3: no rows",
        1,
    )
    assert step.retry_at == world.wake_at == world.now + timedelta(seconds=10)
    world.advance(seconds=9.999)
    world.settle()
    assert world.created == [("a", 1)]
    world.advance(seconds=0.001)
    world.settle()
    assert world.created == [("a", 1), ("a", 2)]
    finish(world, "a")
    ends_as(world, RunPhase.SUCCEEDED, Reason.SUCCEEDED)
    assert [(row.attempt, row.reason, row.exit_code) for row in world.step("a").failures] == [(1, Reason.EXIT_CODE, 3)]


def test_retries_are_exhausted() -> None:
    world = started(pipeline_spec(step_dict("a", **RETRY)))
    finish(world, "a", 3)
    world.advance(seconds=10)
    world.settle()
    finish(world, "a", 4)
    ends_as(world, RunPhase.FAILED, Reason.STEPS_FAILED, "a: ExitCode: exit code 4")
    assert condition(world, "Stalled") == ("True", "StepsFailed")
    assert condition(world, "Succeeded") == ("False", "StepsFailed")
    assert condition(world, "Reconciling") == ("False", "StepsFailed")


def test_failures_of_the_cluster_are_retried_without_being_asked_for() -> None:
    world = started(pipeline_spec("a"))
    for attempt in (1, 2, 3):
        assert world.created[-1] == ("a", attempt)
        finish(world, "a", 137, disruption="EvictionByEvictionAPI", deleting=True)
        world.advance(minutes=2)
        world.settle()
    finish(world, "a", 137, disruption="EvictionByEvictionAPI", deleting=True)
    ends_as(world, RunPhase.FAILED, Reason.STEPS_FAILED, "a: Evicted: EvictionByEvictionAPI")
    assert (world.step("a").attempt, world.step("a").infrastructure_retries, world.step("a").retries) == (4, 3, 0)


def test_one_branch_fails_while_the_other_goes_on() -> None:
    world = started(pipeline_spec("a", "b", step_dict("a2", "a"), step_dict("b2", "b")))
    finish(world, "a", 1)
    assert phases(world) == {"a": "Failed", "b": "Pending", "a2": "UpstreamFailed", "b2": "Waiting"}
    finish(world, "b")
    finish(world, "b2")
    assert phases(world)["b2"] == "Succeeded"
    ends_as(world, RunPhase.FAILED, Reason.STEPS_FAILED, "a: ExitCode: exit code 1")


def test_what_comes_after_a_failure_is_upstream_failed_to_the_last_step() -> None:
    world = started(CHAIN)
    finish(world, "extract", 1)
    assert phases(world) == {"extract": "Failed", "clean": "UpstreamFailed", "load": "UpstreamFailed"}
    assert world.step("load").message == "clean did not succeed"
    assert world.status.progress == "3/3"


def test_several_failures_are_counted_in_the_message() -> None:
    world = started(pipeline_spec("a", "b"))
    world.finish(world.pod("a"), 1)
    world.finish(world.pod("b"), 2)
    world.settle()
    assert world.status.message == "a: ExitCode: exit code 1 (and 1 more)"


def test_failures_and_the_end_are_told_in_events() -> None:
    world = started(pipeline_spec(step_dict("a", **RETRY)))
    world.finish(world.pod("a"), 3)
    told = [(row.type, row.reason, row.message) for row in world.look().occurrences]
    assert told == [("Warning", Reason.RETRYING, "a: attempt 1 failed (ExitCode: exit code 3); the next one follows")]
    world.advance(seconds=10)
    world.settle()
    world.advance(seconds=50)
    world.finish(world.pod("a"), 3)
    told = [(row.type, row.reason, row.message) for row in world.look().occurrences]
    assert told == [
        ("Warning", Reason.EXIT_CODE, "a: exit code 3"),
        ("Warning", Reason.STEPS_FAILED, "1/1 steps in 1m: a: ExitCode: exit code 3"),
    ]
    assert world.look().occurrences == ()


def test_what_goes_well_is_not_told_in_events() -> None:
    world = started(pipeline_spec("a"))
    world.finish(world.pod("a"), 0)
    plan = world.look()
    assert (plan.status and plan.status.phase, plan.occurrences) == (RunPhase.SUCCEEDED, ())


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_the_clock_of_a_step_stops_its_pod() -> None:
    world = started(pipeline_spec(step_dict("a", timeouts={"step": "5m"})))
    start(world, "a")
    assert world.wake_at == NOW + timedelta(minutes=5)
    world.now = NOW + timedelta(minutes=5)
    world.settle()
    assert (world.pod("a").stopping, world.step("a").stopping) == (True, Reason.STEP_TIMED_OUT)
    world.obey(world.pod("a"))
    world.settle()
    ends_as(world, RunPhase.FAILED, Reason.STEPS_FAILED, "a: StepTimedOut: ran for longer than 5m")
    assert (world.step("a").exit_code, world.step("a").stopping) == (143, None)


def test_a_step_that_timed_out_does_not_succeed_by_exiting_with_0_when_it_is_told_to_stop() -> None:
    world = started(pipeline_spec(step_dict("a", timeouts={"step": "5m"})))
    start(world, "a")
    world.advance(minutes=6)
    world.settle()
    world.end(world.pod("a"), 0, settled=False)
    world.settle()
    assert phases(world) == {"a": "Running"}
    world.put(replace(world.pod("a"), phase="Failed", reason="DeadlineExceeded"))
    world.settle()
    ends_as(world, RunPhase.FAILED, Reason.STEPS_FAILED, "a: StepTimedOut: ran for longer than 5m")


def test_a_step_that_timed_out_is_retried() -> None:
    world = started(pipeline_spec(step_dict("a", timeouts={"step": "5m"}, **RETRY)))
    start(world, "a")
    world.advance(minutes=6)
    world.settle()
    world.obey(world.pod("a"))
    world.settle()
    assert (world.step("a").phase, world.step("a").reason) == (StepPhase.RETRYING, Reason.STEP_TIMED_OUT)


def test_the_clock_of_a_step_is_the_pipelines_unless_it_has_its_own() -> None:
    spec = pipeline_spec("a", step_dict("b", timeouts={"step": "1m"}), timeouts={"step": "2m"})
    world = started(spec)
    start(world, "a")
    start(world, "b")
    world.now = NOW + timedelta(seconds=90)
    world.settle()
    assert [pod.step for pod in world.pods.values() if pod.stopping] == ["b"]


def test_a_pod_that_no_node_takes_is_removed_when_its_clock_runs_out() -> None:
    world = started(pipeline_spec(step_dict("a", timeouts={"pending": "2m"}), "b"))
    world.put(replace(world.pod("a"), unschedulable_message="0/3 nodes are available"))
    world.start(world.pod("b"))
    world.advance(seconds=2)
    world.settle()
    assert (world.step("a").phase, world.step("a").reason) == (StepPhase.PENDING, Reason.UNSCHEDULABLE)
    world.advance(minutes=2)
    world.settle()
    step = world.step("a")
    assert (step.phase, step.reason) == (StepPhase.FAILED, Reason.UNSCHEDULABLE)
    assert step.message == "not started within 2m: 0/3 nodes are available"
    assert [pod.step for pod in world.pods.values()] == ["b"]


def test_a_step_keeps_its_reason_while_its_pod_is_being_deleted() -> None:
    world = started(pipeline_spec(step_dict("a", timeouts={"step": "1m"})))
    start(world, "a")
    world.advance(minutes=2)
    world.settle()
    writes = world.status_writes
    world.put(replace(world.pod("a"), deleting=True))
    world.settle()
    assert (world.status_writes, world.step("a").message) == (writes, "ran for longer than 1m")
    world.remove(world.pod("a"))
    world.settle()
    ends_as(world, RunPhase.FAILED, Reason.STEPS_FAILED, "a: StepTimedOut: ran for longer than 1m")


def test_an_attempt_that_is_to_be_stopped_is_stopped_although_the_operator_crashed_before_and_it_started() -> None:
    world = started(pipeline_spec(step_dict("a", timeouts={"pending": "2m"})))
    world.schedule(world.pod("a"))
    world.advance(minutes=2)
    world.look(1)
    assert (world.step("a").stopping, world.pod("a").stopping) == (Reason.PENDING_TIMED_OUT, False)
    world.start(world.pod("a"))
    world.settle()
    assert world.pod("a").stopping


def test_the_clock_of_the_run_stops_what_is_live_and_starts_nothing_more() -> None:
    world = started(pipeline_spec("a", step_dict("b", "a"), timeouts={"run": "10m"}))
    start(world, "a")
    world.now = NOW + timedelta(minutes=10)
    world.settle()
    assert phases(world) == {"a": "Running", "b": "Cancelled"}
    world.obey(world.pod("a"))
    world.settle()
    ends_as(world, RunPhase.FAILED, Reason.RUN_TIMED_OUT, "the run lasted longer than 10m")
    assert world.step("a").phase is StepPhase.FAILED


def test_a_run_without_clocks_is_woken_after_a_day() -> None:
    assert started(pipeline_spec("a")).plan().wake_at is not None
    world = started(pipeline_spec("a"))
    start(world, "a")
    assert world.wake_at == NOW + timedelta(hours=24)


# -- cancel -----------------------------------------------------------------------------------------------------------


def test_a_cancel_before_the_start_ends_the_run_without_a_pod() -> None:
    world = World(with_tidy("a"))
    world.cancel = True
    world.settle()
    ends_as(world, RunPhase.CANCELLED, Reason.CANCELLED, "cancelled before it started")
    assert (world.created, world.status.steps) == ([], ())


def test_a_cancel_in_mid_run_stops_pods_and_then_runs_finally_steps() -> None:
    world = started(with_tidy("a", step_dict("b", "a"), step_dict("c", **RETRY)))
    start(world, "a")
    finish(world, "c", 1)
    world.cancel = True
    world.settle()
    assert phases(world) == {"a": "Running", "b": "Cancelled", "c": "Cancelled", "tidy": "Waiting"}
    assert world.pod("a").stopping
    world.obey(world.pod("a"))
    world.settle()
    assert (world.status.phase, world.created[-1]) == (RunPhase.FINALIZING, ("tidy", 1))
    finish(world, "tidy")
    ends_as(world, RunPhase.CANCELLED, Reason.CANCELLED, "the run was cancelled")


def test_a_step_that_succeeds_before_the_cancel_reaches_it_has_succeeded() -> None:
    world = started(pipeline_spec("a"))
    world.cancel = True
    world.finish(world.pod("a"), 0)
    world.settle()
    ends_as(world, RunPhase.SUCCEEDED, Reason.SUCCEEDED)


@pytest.mark.parametrize(("exit_code", "phase"), [(0, RunPhase.SUCCEEDED), (1, RunPhase.FAILED)])
def test_a_cancel_while_finalizing_changes_nothing(exit_code: int, phase: RunPhase) -> None:
    world = started(with_tidy("a", tidy=step_dict("tidy", args=["$(run.outcome)"])))
    finish(world, "a", exit_code)
    writes = world.status_writes
    world.cancel = True
    world.settle()
    assert (world.status_writes, world.pod("tidy").stopping) == (writes, False)
    finish(world, "tidy")
    assert world.status.phase is phase


def test_a_cancel_between_the_record_of_an_attempt_and_its_pod_makes_no_pod() -> None:
    world = World(pipeline_spec("a"))
    world.look(1)
    assert (world.step("a").phase, world.pods) == (StepPhase.PENDING, {})
    world.cancel = True
    world.settle()
    assert world.wake_at == after(seconds=1), "its pod may be there and the cache not know it yet"
    world.advance(seconds=1)
    world.settle()
    ends_as(world, RunPhase.CANCELLED, Reason.CANCELLED, "the run was cancelled")
    assert world.created == []


# -- finally ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exit_code", "told", "phase"),
    [
        pytest.param(0, ["Succeeded", "Succeeded", "Succeeded", ""], RunPhase.SUCCEEDED, id="success"),
        pytest.param(3, ["Failed", "StepsFailed", "Failed", "ExitCode"], RunPhase.FAILED, id="failure"),
    ],
)
def test_finally_steps_run_and_are_told_what_happened_after(exit_code: int, told: list[str], phase: RunPhase) -> None:
    words = ["$(run.outcome)", "$(run.reason)", "$(steps.a.phase)", "$(steps.a.reason)"]
    world = started(with_tidy("a", tidy=step_dict("tidy", args=words)))
    world.finish(world.pod("a"), exit_code)
    assert arguments(world.look()) == told
    assert world.status.phase is RunPhase.FINALIZING
    finish(world, "tidy")
    assert world.status.phase is phase
    world.check_end()


def test_finally_steps_run_after_a_timeout() -> None:
    world = started(with_tidy("a", tidy=step_dict("tidy", args=["$(run.reason)"]), timeouts={"run": "10m"}))
    start(world, "a")
    world.advance(minutes=10)
    world.settle()
    world.obey(world.pod("a"))
    assert arguments(world.look()) == ["RunTimedOut"]
    start(world, "tidy")
    world.advance(minutes=10)
    world.settle()
    assert is_live(world.pod("tidy"))
    assert not world.pod("tidy").stopping, "the clock of the run is not that of finally steps"
    finish(world, "tidy")
    ends_as(world, RunPhase.FAILED, Reason.RUN_TIMED_OUT, "the run lasted longer than 10m")


def test_a_finally_step_that_fails_fails_a_run_that_had_succeeded() -> None:
    world = started(with_tidy("a"))
    finish(world, "a")
    finish(world, "tidy", 2)
    ends_as(world, RunPhase.FAILED, Reason.FINALLY_FAILED, "tidy: ExitCode: exit code 2")
    assert world.status.outcome is RunPhase.SUCCEEDED


def test_a_finally_step_that_fails_does_not_hide_why_the_run_failed() -> None:
    world = started(with_tidy("a"))
    finish(world, "a", 1)
    finish(world, "tidy", 2)
    ends_as(world, RunPhase.FAILED, Reason.STEPS_FAILED, "a: ExitCode: exit code 1")


def test_a_finally_step_waits_for_another() -> None:
    world = started(pipeline_spec("a", **{"finally": [step_dict("second", "first"), step_dict("first")]}))
    finish(world, "a")
    assert steps_created(world) == ["a", "first"]
    finish(world, "first")
    assert steps_created(world) == ["a", "first", "second"]
    finish(world, "second")
    ends_as(world, RunPhase.SUCCEEDED, Reason.SUCCEEDED)


def test_finally_steps_have_a_clock_of_their_own() -> None:
    world = started(with_tidy("a", timeouts={"finally": "5m"}))
    finish(world, "a")
    start(world, "tidy")
    world.advance(minutes=5)
    world.settle()
    assert world.pod("tidy").stopping
    world.obey(world.pod("tidy"))
    world.settle()
    ends_as(
        world,
        RunPhase.FAILED,
        Reason.FINALLY_TIMED_OUT,
        "tidy: FinallyTimedOut: finally steps ran for longer than 5m",
    )


def test_a_finally_step_gets_the_declared_default_of_an_output_that_never_came() -> None:
    row = step_dict("a", outputs=[{"name": "uri", "default": "nowhere"}])
    world = started(with_tidy(row, tidy=step_dict("tidy", args=["$(steps.a.outputs.uri)"])))
    world.finish(world.pod("a"), 1)
    assert arguments(world.look()) == ["nowhere"]


# -- outputs ----------------------------------------------------------------------------------------------------------

PASSING = pipeline_spec("a", step_dict("b", "a", args=["$(steps.a.outputs.uri)", "$(steps.a.outputs.n ?? 7)"]))


def test_an_output_goes_to_the_next_step() -> None:
    world = started(PASSING)
    world.finish(world.pod("a"), 0, term_message='{"uri": "s3://$(HOME)", "rows": 5}')
    assert arguments(world.look()) == ["s3://$$(HOME)", "7"]
    assert world.step("a").outputs == {"uri": "s3://$(HOME)", "rows": 5}


def test_an_output_that_is_missing_fails_the_step_that_needs_it() -> None:
    world = started(PASSING)
    finish(world, "a", 0, term_message='{"url": "x"}')
    ends_as(
        world,
        RunPhase.FAILED,
        Reason.STEPS_FAILED,
        "b: OutputMissing: $(steps.a.outputs.uri) has no value and no default",
    )
    assert steps_created(world) == ["a"]


def test_what_depends_on_a_step_that_could_not_be_built_is_not_launched_in_the_same_look() -> None:
    world = started(pipeline_spec(*PASSING.to_dict()["steps"], step_dict("c", "b")))
    finish(world, "a", 0, term_message="{}")
    assert phases(world) == {"a": "Succeeded", "b": "Failed", "c": "UpstreamFailed"}
    assert steps_created(world) == ["a"]


def test_a_number_is_the_same_argument_before_and_after_it_was_stored() -> None:
    world = started(pipeline_spec("a", step_dict("b", "a", args=["$(steps.a.outputs.n)"])))
    world.finish(world.pod("a"), 0, term_message='{"n": 1.0}')
    assert arguments(world.look(1)) == ["1"]
    assert arguments(world.look()) == ["1"]


def test_outputs_of_a_run_beyond_its_limit_fail_the_step_that_brought_them_and_no_other() -> None:
    rows = [step_dict(f"s{number}", outputs=[{"name": "x"}]) for number in range(40)]
    world = started(pipeline_spec(*rows, "plain"))
    for number in range(40):
        world.finish(world.pod(f"s{number}"), 0, term_message=f'{{"x": "{"y" * 4000}"}}')
    world.finish(world.pod("plain"), 0)
    world.settle()
    assert phases(world)["plain"] == "Succeeded"
    failed = [step for step in world.status.steps if step.phase is StepPhase.FAILED]
    assert {step.reason for step in failed} == {Reason.OUTPUT_TOO_LARGE}
    assert [step.name for step in failed] == [f"s{number}" for number in range(32, 40)]


# -- pods that go astray ----------------------------------------------------------------------------------------------


def test_a_pod_that_was_seen_and_is_gone_was_lost() -> None:
    world = started(pipeline_spec("a"))
    start(world, "a")
    world.remove(world.pod("a"))
    world.settle()
    step = world.step("a")
    assert (step.phase, step.reason, step.infrastructure_retries) == (StepPhase.RETRYING, Reason.POD_LOST, 1)


def test_a_pod_that_is_being_deleted_is_waited_for() -> None:
    world = started(pipeline_spec("a"))
    start(world, "a")
    world.put(replace(world.pod("a"), deleting=True))
    world.advance(hours=1)
    world.settle()
    assert (phases(world), len(world.created)) == ({"a": "Running"}, 1)


def test_a_pod_that_the_api_server_refuses_fails_its_step() -> None:
    world = World(pipeline_spec(step_dict("a", **RETRY)))
    world.refused_steps = {"a"}
    world.settle()
    ends_as(
        world,
        RunPhase.FAILED,
        Reason.STEPS_FAILED,
        "a: PodRejected: spec.containers[0].image: Invalid value",
    )


def test_a_name_that_a_foreign_pod_has_fails_the_step() -> None:
    world = World(pipeline_spec("a"))
    name = world.plan().after[0].manifest["metadata"]["name"]  # type: ignore[union-attr]
    world.put(pod_view(name=name, run_uid="another", spec_hash="another"))
    world.settle()
    assert (world.status.phase, world.status.reason) == (RunPhase.FAILED, Reason.STEPS_FAILED)
    assert world.status.message == "a: NameTaken: another pod has this name"
    assert list(world.pods) == [name], "it is none of our business"


def test_after_a_crash_a_refusal_is_found_out_again() -> None:
    world = World(pipeline_spec("a"))
    world.refused_steps = {"a"}
    world.look()
    world.crash()
    world.settle()
    assert phases(world) == {"a": "Failed"}


def test_a_crash_between_the_record_and_the_pod_costs_nothing() -> None:
    world = World(pipeline_spec("a"))
    world.look(1)
    assert (world.step("a").attempt, world.created) == (1, [])
    world.settle()
    assert world.created == [("a", 1)]


def test_a_crash_between_the_record_of_a_retry_and_its_pod_costs_no_attempt() -> None:
    world = started(pipeline_spec(step_dict("a", **RETRY)))
    start(world, "a")
    finish(world, "a", 1)
    world.advance(seconds=10)
    world.look(1)
    assert (world.step("a").attempt, world.created) == (2, [("a", 1)])
    world.settle()
    assert world.created == [("a", 1), ("a", 2)]
    assert world.step("a").infrastructure_retries == 0


def test_live_pods_of_a_run_that_has_ended_are_stopped_once() -> None:
    ended = PipelineRunStatus(phase=RunPhase.FAILED)
    pods = [
        pod_view(name="waits", uid="1"),
        pod_view(name="runs", uid="2", scheduled=True, phase="Running", running_since=NOW),
        pod_view(name="over", uid="3", phase="Succeeded", exit_code=0),
        pod_view(name="ends", uid="4", phase="Running", exit_code=0),
        pod_view(name="goes", uid="5", deleting=True),
        pod_view(name="stops", uid="6", scheduled=True, stopping=True),
    ]
    plan = plan_run(run_scene(run=run_view(status=ended), pods=pods))
    assert plan.status is None
    assert plan.after == (StopPod("waits", "1", delete=True), StopPod("runs", "2", delete=False))


def test_a_live_pod_that_no_step_knows_is_stopped_while_the_run_goes_on() -> None:
    world = started(pipeline_spec("a"))
    world.put(pod_view(name="stray", uid="x", step="a", attempt=9))
    assert stopped(world.look()) == ["stray"]


# -- what a run needs before it starts --------------------------------------------------------------------------------


def test_a_run_whose_pipeline_is_not_there_is_given_a_moment_and_then_fails() -> None:
    waiting = plan_run(run_scene(pipeline=None, revision=None, now=NOW + PIPELINE_GRACE - RECHECK))
    assert (waiting.status, waiting.wake_at) == (None, NOW + PIPELINE_GRACE)
    plan = plan_run(run_scene(pipeline=None, revision=None, now=NOW + PIPELINE_GRACE))
    assert plan.status is not None
    assert (plan.status.phase, plan.status.reason) == (RunPhase.FAILED, Reason.PIPELINE_NOT_FOUND)
    assert plan.status.message == 'there is no DataPipeline "flights" in data'
    assert plan.status.finished_at == NOW + PIPELINE_GRACE


def test_a_run_whose_named_revision_is_not_there_is_given_a_moment_and_then_fails() -> None:
    run = run_view(spec={"revision": "flights-old"})
    assert plan_run(run_scene(run=run, revision=None)).wake_at == NOW + RECHECK
    plan = plan_run(run_scene(run=run, revision=None, now=NOW + PIPELINE_GRACE))
    assert plan.status is not None
    assert (plan.status.phase, plan.status.reason) == (RunPhase.FAILED, Reason.REVISION_NOT_FOUND)


def test_a_run_under_way_whose_revision_is_deleted_ends_and_leaves_no_pod_running() -> None:
    status = plan_run(run_scene(pipeline_spec("a", step_dict("b", "a")))).status
    assert status is not None
    pod = pod_view(name=status.steps[0].pod, step="a", phase="Running")
    run = run_view(status=status)
    plan = plan_run(run_scene(run=run, revision=None, pods=[pod]))
    assert plan.status is not None
    assert (plan.status.phase, plan.status.reason) == (RunPhase.FAILED, Reason.REVISION_NOT_FOUND)
    assert {step.phase for step in plan.status.steps} == {StepPhase.CANCELLED}
    assert [action.name for action in plan.after if isinstance(action, StopPod)] == [pod.name]


def test_a_run_of_an_invalid_pipeline_that_never_had_a_revision_fails_at_once() -> None:
    pipeline = pipeline_view(status=DataPipelineStatus(health="Invalid", observed_generation=1))
    plan = plan_run(run_scene(pipeline=pipeline, revision=None))
    assert plan.status is not None
    assert (plan.status.phase, plan.status.reason) == (RunPhase.FAILED, Reason.INVALID_SPEC)


def test_params_that_do_not_fit_end_a_run_before_it_starts() -> None:
    spec = with_tidy("a", params=[{"name": "day"}])
    plan = plan_run(run_scene(spec))
    assert plan.status is not None
    assert (plan.status.phase, plan.status.reason) == (RunPhase.FAILED, Reason.INVALID_PARAMS)
    assert plan.status.message == "spec.params.day: Required value: a string without a default"
    assert (plan.after, plan.wake_at) == ((), None)


def test_a_run_that_cannot_be_read_fails() -> None:
    plan = plan_run(run_scene(run=replace(run_view(), spec=None, problem="spec.pipeline: Required value")))
    assert plan.status is not None
    assert (plan.status.phase, plan.status.reason) == (RunPhase.FAILED, Reason.INVALID_SPEC)


def test_a_run_that_is_being_deleted_is_left_alone() -> None:
    plan = plan_run(run_scene(run=run_view(deleting=True, owned=False)))
    assert (plan.status, plan.before, plan.after, plan.wake_at) == (None, (), (), None)


def test_a_run_waits_in_the_queue_until_its_clock_runs_out() -> None:
    spec = pipeline_spec("a", concurrency={"policy": "Queue"}, timeouts={"queue": "10m"})
    busy = run_view("flights-0", status=PipelineRunStatus(phase=RunPhase.RUNNING, started_at=NOW))
    waiting = plan_run(run_scene(spec, siblings=[busy]))
    assert waiting.status is not None
    assert (waiting.status.phase, waiting.status.reason) == (RunPhase.PENDING, Reason.QUEUED)
    assert (waiting.status.message, waiting.wake_at) == ("waits for flights-0", after(minutes=10))

    again = plan_run(run_scene(spec, siblings=[busy], run=run_view(status=waiting.status)))
    assert (again.status, again.after) == (None, ())

    late = plan_run(run_scene(spec, siblings=[busy], now=after(minutes=10)))
    assert late.status is not None
    assert (late.status.phase, late.status.reason) == (RunPhase.FAILED, Reason.QUEUE_TIMED_OUT)
    assert late.status.message == "not started within 10m, behind flights-0"

    free = plan_run(run_scene(spec, run=run_view(status=waiting.status)))
    assert free.status is not None
    assert free.status.phase is RunPhase.RUNNING


def test_a_run_that_replaces_another_asks_for_its_end_once() -> None:
    spec = pipeline_spec("a", concurrency={"policy": "Replace"})
    running = PipelineRunStatus(phase=RunPhase.RUNNING, started_at=NOW)
    busy = run_view("flights-0", status=running)
    assert plan_run(run_scene(spec, siblings=[busy])).after == (CancelRun("flights-0", "run-0"),)
    asked = run_view("flights-0", status=running, spec={"cancel": True})
    assert plan_run(run_scene(spec, siblings=[asked])).after == ()


def test_a_run_that_is_forbidden_ends_as_cancelled() -> None:
    spec = with_tidy("a", concurrency={"policy": "Forbid"})
    busy = run_view("flights-0", status=PipelineRunStatus(phase=RunPhase.RUNNING, started_at=NOW))
    plan = plan_run(run_scene(spec, siblings=[busy]))
    assert plan.status is not None
    assert (plan.status.phase, plan.status.reason) == (RunPhase.CANCELLED, Reason.CONCURRENCY_FORBIDDEN)
    assert plan.status.message == "other runs are under way: flights-0"


def test_a_run_of_a_person_is_adopted_once() -> None:
    adopt = AdoptRun("flights-1", "run-1", "flights", "pipeline-1")
    assert adopt in plan_run(run_scene(run=run_view(owned=False))).after
    assert adopt not in plan_run(run_scene(run=run_view(owned=True))).after
    ended = PipelineRunStatus(phase=RunPhase.SUCCEEDED)
    assert plan_run(run_scene(run=run_view(owned=False, status=ended))).after == (adopt,)


# -- status -----------------------------------------------------------------------------------------------------------


def test_a_run_records_what_it_is_run_with() -> None:
    spec = pipeline_spec(
        "a",
        params=[{"name": "carrier", "default": "ALL"}, {"name": "day"}],
        schedule={"cron": ["0 6 * * *"], "timeZone": "UTC"},
    )
    plan = plan_run(run_scene(spec, run=run_view(spec={"params": {"day": "x"}})))
    assert plan.status is not None
    assert plan.status.params == {"carrier": "ALL", "day": "x"}
    assert plan.status.revision == "flights-0123456789"
    assert plan.status.interval is not None
    assert (plan.status.interval.start, plan.status.interval.end) == (after(days=-1), NOW)
    assert (plan.status.observed_generation, plan.status.started_at) == (1, NOW)


def test_dates_are_those_of_the_schedules_zone() -> None:
    spec = pipeline_spec(
        step_dict("a", args=["$(interval.end)", "$(interval.end.date)"]),
        schedule={"cron": ["0 6 * * *"], "timeZone": "Asia/Kolkata"},
    )
    interval = {"start": "2026-03-01T20:00:00Z", "end": "2026-03-02T20:00:00Z"}
    plan = plan_run(run_scene(spec, run=run_view(spec={"interval": interval})))
    assert arguments(plan) == ["2026-03-02T20:00:00Z", "2026-03-03"]


def test_a_short_step_costs_no_write_that_says_it_runs() -> None:
    world = started(CHAIN)
    for name in ("extract", "clean", "load"):
        world.advance(milliseconds=300)
        world.start(world.pod(name))
        world.settle()
        world.advance(milliseconds=300)
        world.finish(world.pod(name), 0)
        world.settle()
    ends_as(world, RunPhase.SUCCEEDED, Reason.SUCCEEDED)
    assert world.status_writes == 4


def test_waiting_for_a_node_and_an_image_costs_no_write_either() -> None:
    world = started(pipeline_spec("a"))
    world.advance(seconds=3)
    world.schedule(world.pod("a"))
    world.settle()
    world.advance(seconds=4)
    world.start(world.pod("a"))
    world.settle()
    world.advance(milliseconds=300)
    world.finish(world.pod("a"), 0)
    world.settle()
    ends_as(world, RunPhase.SUCCEEDED, Reason.SUCCEEDED)
    assert world.status_writes == 2


def test_a_pod_that_waits_for_long_is_on_record() -> None:
    world = started(pipeline_spec("a"))
    world.advance(seconds=29)
    world.settle()
    assert (world.step("a").pod_uid, world.wake_at) == (None, after(seconds=30))
    world.advance(seconds=1)
    world.settle()
    assert (world.step("a").pod_uid, world.status_writes) == (world.pod("a").uid, 2)


def test_a_node_whose_clock_is_wrong_does_not_hide_a_step_that_runs() -> None:
    world = started(pipeline_spec("a"))
    world.put(replace(world.pod("a"), phase="Running", scheduled=True, running_since=after(hours=1)))
    world.advance(seconds=30)
    world.settle()
    assert phases(world) == {"a": "Running"}


def test_a_long_step_is_seen_to_run() -> None:
    world = started(pipeline_spec("a"))
    world.start(world.pod("a"))
    world.settle()
    assert (phases(world), world.wake_at) == ({"a": "Pending"}, after(seconds=1))
    world.advance(seconds=1)
    world.settle()
    assert (phases(world), world.step("a").started_at, world.status_writes) == ({"a": "Running"}, NOW, 2)


def test_a_message_that_only_counts_up_is_not_written_again() -> None:
    world = started(pipeline_spec("a"))
    world.advance(seconds=2)
    for wait in ("10s", "20s", "40s"):
        text = f"Back-off pulling image: {wait}"
        world.put(replace(world.pod("a"), scheduled=True, waiting_reason="ImagePullBackOff", waiting_message=text))
        world.settle()
    assert (world.step("a").message, world.status_writes) == ("Back-off pulling image: 10s", 2)


def test_a_run_that_has_converged_is_left_alone() -> None:
    world = started(pipeline_spec("a"))
    start(world, "a")
    for _ in range(3):
        world.advance(minutes=1)
        plan = world.plan()
        assert (plan.status, plan.before, plan.after, plan.occurrences) == (None, (), (), ())
