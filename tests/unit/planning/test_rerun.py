"""Reruns: which steps run again, what is taken over, what is refused, and that no crash or history changes it."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from sluice.api.pipeline import DataPipelineSpec
from sluice.api.reasons import Reason
from sluice.api.run import GateResult, PipelineRunStatus, Rerun, RunPhase, StepPhase, StepStatus
from sluice.planning.actions import AdoptRun, CreatePod
from sluice.planning.graph import ancestors, descendants
from sluice.planning.pipeline import PipelineScene, plan_pipeline
from sluice.planning.rerun import run_again, steps_at_start
from sluice.planning.run import PIPELINE_GRACE, RECHECK, RunPlan, plan_run
from sluice.planning.views import RunView
from tests.builders import after, pipeline_spec, pipeline_view, revision_view, run_scene, run_view, step_dict
from tests.unit.planning.test_run_histories import EXAMPLES, Histories, pipelines
from tests.unit.planning.world import World

REVISION = revision_view().name
CHAIN = pipeline_spec(
    step_dict("extract"),
    step_dict("clean", "extract", args=["$(steps.extract.outputs.uri)", "$(params.carrier)", "$(interval.start)"]),
    step_dict("load", "clean", args=["$(steps.extract.outputs.uri)", "$(steps.clean.outputs.rows)"]),
    params=[{"name": "carrier", "default": "ALL"}],
    **{"finally": [step_dict("tidy")]},
)
GATED = pipeline_spec(
    step_dict("extract"),
    {"name": "check", "dependsOn": ["extract"], "gate": {"name": "flights-raw"}},
    step_dict("publish", "check"),
)
INTERVAL = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
OUTPUTS = {"extract": {"uri": "/data/raw $(HOME)"}, "clean": {"rows": 3}}


def old_run(name: str = "flights-0", *, spec: dict[str, Any] | None = None, **phases: str) -> RunView:
    """A run that started and ended, with its steps in these phases."""
    steps = [
        {"name": step, "phase": phase, "attempt": 2, "pod": f"pod-{step}-2"}
        | ({"outputs": OUTPUTS[step]} if phase == "Succeeded" and step in OUTPUTS else {})
        for step, phase in phases.items()
    ]
    failed = any(phase != "Succeeded" for phase in phases.values())
    status = PipelineRunStatus.model_validate(
        {
            "phase": "Failed" if failed else "Succeeded",
            "startedAt": "2026-03-02T05:00:00Z",
            "revision": REVISION,
            "interval": INTERVAL,
            "params": {"carrier": "AA"},
            "steps": steps,
        }
    )
    return run_view(name, spec=spec, status=status)


FAILED_LOAD = old_run(extract="Succeeded", clean="Succeeded", load="Failed", tidy="Succeeded")


def rerun(old: RunView | None, *from_: str, spec: DataPipelineSpec = CHAIN, **fields: Any) -> RunPlan:
    """The first look at a rerun of `old`."""
    wanted = {"rerun": {"of": old.name if old is not None else "flights-0", "from": list(from_)}}
    scene = run_scene(spec, origin=old, run=run_view(spec=wanted | fields.pop("wanted", {})))
    return plan_run(run_scene(spec, **{**vars(scene), **fields}))


def begun(old: RunView, *from_: str, spec: DataPipelineSpec = CHAIN) -> World:
    """A rerun whose first pods have been created."""
    world = World(spec, origin=old, from_=from_)
    world.settle()
    return world


def finish(world: World, step: str, exit_code: int = 0, **fields: Any) -> None:
    world.advance(minutes=1)
    world.finish(world.pod(step), exit_code, **fields)
    world.settle()


def taken(world: World) -> dict[str, str | None]:
    return {step.name: step.taken_from for step in world.status.steps if step.taken_from is not None}


# -- what runs again --------------------------------------------------------------------------------------------------


def test_only_what_failed_and_what_is_downstream_runs_again_and_finally_steps_do() -> None:
    old = old_run(extract="Succeeded", clean="Failed", load="UpstreamFailed", tidy="Succeeded")
    world = begun(old)
    assert taken(world) == {"extract": "flights-0"}
    finish(world, "clean", term_message='{"rows": 4}')
    finish(world, "load")
    finish(world, "tidy")
    assert world.created == [("clean", 1), ("load", 1), ("tidy", 1)]
    assert (world.status.phase, world.status.progress) == (RunPhase.SUCCEEDED, "4/4")
    world.check_end()


def test_from_a_step_on_all_that_is_downstream_runs_again() -> None:
    world = begun(FAILED_LOAD, "clean")
    assert taken(world) == {"extract": "flights-0"}
    assert [step for step, _ in world.created] == ["clean"]


def test_a_branch_beside_is_left_alone() -> None:
    spec = pipeline_spec("a", step_dict("b", "a"), step_dict("c", "a"), step_dict("d", "b", "c"))
    world = begun(old_run(a="Succeeded", b="Succeeded", c="Failed", d="UpstreamFailed"), spec=spec)
    assert list(taken(world)) == ["a", "b"]
    assert world.created == [("c", 1)]


def test_what_failed_runs_again_also_when_another_step_is_named() -> None:
    spec = pipeline_spec("a", "b", "c")
    world = begun(old_run(a="Succeeded", b="Failed", c="Succeeded"), "a", spec=spec)
    assert list(taken(world)) == ["c"]


@pytest.mark.parametrize("phase", ["Failed", "UpstreamFailed", "Cancelled", "Skipped", "Waiting"])
def test_nothing_but_success_is_taken_over(phase: str) -> None:
    assert run_again(CHAIN, old_run(extract=phase, clean="Succeeded", load="Succeeded").status, ()) == {
        "extract",
        "clean",
        "load",
        "tidy",
    }


def test_when_only_a_finally_step_failed_only_finally_steps_run() -> None:
    old = old_run(extract="Succeeded", clean="Succeeded", load="Succeeded", tidy="Failed")
    world = begun(old)
    assert (world.created, world.status.phase) == ([("tidy", 1)], RunPhase.FINALIZING)
    assert world.status.outcome is RunPhase.SUCCEEDED
    finish(world, "tidy")
    assert world.status.phase is RunPhase.SUCCEEDED


def test_a_run_that_succeeded_is_run_again_from_a_step_on() -> None:
    world = begun(old_run(extract="Succeeded", clean="Succeeded", load="Succeeded", tidy="Succeeded"), "load")
    assert world.created == [("load", 1)]


def test_a_step_that_ran_again_has_its_retries_anew() -> None:
    spec = pipeline_spec(step_dict("a", retry={"limit": 1, "backoff": {"duration": "0s"}}))
    world = begun(old_run(a="Failed"), spec=spec)
    finish(world, "a", 1)
    assert world.created == [("a", 1), ("a", 2)]


# -- gates ------------------------------------------------------------------------------------------------------------


def gated(check: str, publish: str) -> RunView:
    old = old_run(extract="Succeeded", check=check, publish=publish)
    verdict = GateResult(name="flights-raw", verdict="Pass" if check == "Succeeded" else "Fail", score=97.0)
    steps = [step.model_copy(update={"gate": verdict}) if step.name == "check" else step for step in old.status.steps]
    return run_view("flights-0", status=old.status.model_copy(update={"steps": tuple(steps)}))


def test_a_gate_that_passed_stays_passed_with_its_verdict_while_its_data_stay() -> None:
    world = begun(gated("Succeeded", "Failed"), spec=GATED)
    check = world.step("check")
    assert check.gate is not None
    assert (check.taken_from, check.gate.verdict, check.gate.score) == ("flights-0", "Pass", 97.0)
    assert world.created == [("publish", 1)]


@pytest.mark.parametrize(
    ("old", "from_"),
    [
        pytest.param(gated("Failed", "UpstreamFailed"), (), id="it did not pass"),
        pytest.param(gated("Succeeded", "Failed"), ("extract",), id="its data are made again"),
        pytest.param(gated("Succeeded", "Failed"), ("check",), id="it is named"),
    ],
)
def test_a_gate_is_asked_again(old: RunView, from_: tuple[str, ...]) -> None:
    check, publish = steps_at_start(GATED, old, Rerun(of=old.name, from_=list(from_)))[1:]
    assert check == StepStatus(name="check")
    assert publish == StepStatus(name="publish")


# -- what is taken over -----------------------------------------------------------------------------------------------


def test_revision_params_interval_and_outputs_are_those_of_the_old_run() -> None:
    world = begun(FAILED_LOAD)
    status = world.status
    assert status.rerun_of is not None
    assert (status.rerun_of.name, status.rerun_of.uid) == (FAILED_LOAD.name, FAILED_LOAD.uid)
    assert (status.revision, status.params) == (REVISION, {"carrier": "AA"})
    assert status.interval == FAILED_LOAD.status.interval
    assert {step.name: step.outputs for step in status.steps if step.outputs} == OUTPUTS


def test_who_reads_outputs_is_given_what_it_would_have_been_given_in_the_old_run() -> None:
    plan = rerun(FAILED_LOAD)
    (pod,) = (action for action in plan.after if isinstance(action, CreatePod))
    assert pod.manifest["spec"]["containers"][0]["args"] == ["/data/raw $$(HOME)", "3"]
    again = rerun(FAILED_LOAD, "clean")
    (pod,) = (action for action in again.after if isinstance(action, CreatePod))
    assert pod.manifest["spec"]["containers"][0]["args"] == ["/data/raw $$(HOME)", "AA", "2026-03-01T00:00:00Z"]


def test_a_rerun_of_a_rerun_knows_where_each_step_ran() -> None:
    first = old_run("flights-0", extract="Succeeded", clean="Failed", load="UpstreamFailed")
    second = begun(first)
    finish(second, "clean", term_message='{"rows": 4}')
    finish(second, "load", 1)
    finish(second, "tidy")
    third = World(CHAIN, origin=second.view(), name="flights-2")
    third.settle()
    assert taken(third) == {"extract": "flights-0", "clean": "flights-1"}
    assert third.step("clean").outputs == {"rows": 4}
    assert third.created == [("load", 1)]


def test_steps_that_were_taken_over_are_no_news() -> None:
    warned = FAILED_LOAD.status.steps[0].model_copy(update={"reason": Reason.GATE_WARNED, "message": "rows: 3"})
    steps = (warned, *FAILED_LOAD.status.steps[1:])
    plan = rerun(run_view("flights-0", status=FAILED_LOAD.status.model_copy(update={"steps": steps})))
    assert plan.status is not None
    assert plan.status.steps[0].reason == Reason.GATE_WARNED
    assert plan.occurrences == ()


def test_the_old_run_is_not_needed_any_more_once_the_rerun_has_started() -> None:
    world = begun(FAILED_LOAD)
    assert world.status.phase is RunPhase.RUNNING
    started = run_view(spec={"rerun": {"of": "flights-0"}}, status=world.status)
    assert plan_run(run_scene(CHAIN, run=started, origin=None, pods=tuple(world.pods.values()))).status is None


def test_a_rerun_is_labelled_with_the_run_that_it_is_one_of() -> None:
    plan = plan_run(
        run_scene(CHAIN, origin=FAILED_LOAD, run=run_view(spec={"rerun": {"of": "flights-0"}}, owned=False))
    )
    (adopt,) = (action for action in plan.after if isinstance(action, AdoptRun))
    assert adopt.rerun_of == "flights-0"


# -- what is refused --------------------------------------------------------------------------------------------------


def refusal(plan: RunPlan) -> tuple[str | None, str | None]:
    assert plan.status is not None
    assert plan.status.phase.ended
    assert not any(isinstance(action, CreatePod) for action in plan.after)
    return plan.status.reason, plan.status.message


NEVER_STARTED = run_view("flights-0", status=PipelineRunStatus(phase=RunPhase.FAILED))
RUNNING = run_view("flights-0", status=FAILED_LOAD.status.model_copy(update={"phase": RunPhase.FINALIZING}))
ALL_WELL = old_run(extract="Succeeded", clean="Succeeded", load="Succeeded", tidy="Succeeded")
OF_ANOTHER = old_run(spec={"pipeline": {"name": "orders"}}, extract="Failed")
REFUSED_RERUN = run_view(
    "flights-0", spec={"rerun": {"of": "flights-x"}}, status=PipelineRunStatus(phase=RunPhase.CANCELLED)
)


@pytest.mark.parametrize(
    ("old", "wanted", "words"),
    [
        pytest.param(
            RUNNING, {}, '"flights-0": is Finalizing; only a run that has ended can be run again', id="still running"
        ),
        pytest.param(ALL_WELL, {}, "has succeeded, so there is nothing to run again", id="nothing to run again"),
        pytest.param(
            NEVER_STARTED, {}, "never started, so there is nothing to take over; make another run", id="never started"
        ),
        pytest.param(
            REFUSED_RERUN, {}, 'never started.*run "flights-x" again instead', id="a rerun that never started"
        ),
        pytest.param(
            OF_ANOTHER, {}, 'is a run of pipeline "orders"; it must be one of "flights"', id="another pipeline"
        ),
        pytest.param(
            FAILED_LOAD,
            {"rerun": {"of": "flights-0", "from": ["clean", "laod"]}},
            r'spec\.rerun\.from\[1\]: Not found: "laod": .*these: extract, clean, load, tidy',
            id="a step that is not there",
        ),
        pytest.param(
            FAILED_LOAD,
            {"params": {"carrier": "UA"}},
            r'spec\.params\.carrier: Invalid value: "UA": a rerun has that of run "flights-0", which is "AA"',
            id="another parameter",
        ),
        pytest.param(
            FAILED_LOAD, {"params": {"mode": "full"}}, 'run "flights-0" had no such parameter', id="one more parameter"
        ),
        pytest.param(
            FAILED_LOAD, {"interval": {**INTERVAL, "end": "2026-03-03T00:00:00Z"}}, r"spec\.interval", id="interval"
        ),
        pytest.param(FAILED_LOAD, {"revision": "flights-9"}, rf"spec\.revision.*{REVISION}", id="another revision"),
    ],
)
def test_a_rerun_is_refused_with_the_field_and_what_is_allowed(
    old: RunView, wanted: dict[str, Any], words: str
) -> None:
    reason, message = refusal(rerun(old, wanted=wanted))
    assert reason == Reason.RERUN_REFUSED
    assert message is not None
    assert re.search(words, message), message


def test_what_is_given_as_it_was_is_no_difference() -> None:
    given = {"params": {"carrier": "AA"}, "interval": INTERVAL, "revision": REVISION}
    plan = rerun(FAILED_LOAD, wanted=given)
    assert plan.status is not None
    assert plan.status.phase is RunPhase.RUNNING


@pytest.mark.parametrize("gone", ["run", "revision"])
def test_what_is_not_there_is_waited_for_a_moment_and_then_refused(gone: str) -> None:
    old = None if gone == "run" else FAILED_LOAD
    missing = {} if gone == "run" else {"revision": None}
    plan = rerun(old, **missing)
    assert (plan.status, plan.wake_at) == (None, after(seconds=RECHECK.total_seconds()))
    reason, message = refusal(rerun(old, now=after(seconds=PIPELINE_GRACE.total_seconds()), **missing))
    assert message is not None
    if gone == "run":
        assert (reason, message) == (Reason.RERUN_REFUSED, 'there is no PipelineRun "flights-0" in data to run again')
    else:
        assert (reason, REVISION in message) == (Reason.REVISION_NOT_FOUND, True)


def test_of_two_reruns_of_one_run_the_first_goes_and_the_other_does_not() -> None:
    wanted = {"rerun": {"of": "flights-0"}}
    one, two = run_view("flights-1", spec=wanted), run_view("flights-2", spec=wanted, created=after(seconds=1))
    plans = [plan_run(run_scene(CHAIN, origin=FAILED_LOAD, run=run, siblings=(one, two))) for run in (one, two)]
    assert plans[0].status is not None
    assert plans[0].status.phase is RunPhase.RUNNING
    assert refusal(plans[1]) == (
        Reason.CONCURRENCY_FORBIDDEN,
        "flights-0 is being run again already, by flights-1",
    )
    over = run_view("flights-1", spec=wanted, status=FAILED_LOAD.status)
    later = plan_run(run_scene(CHAIN, origin=FAILED_LOAD, run=two, siblings=(over, two)))
    assert later.status is not None
    assert later.status.phase is RunPhase.RUNNING


# -- retention --------------------------------------------------------------------------------------------------------


def test_a_run_that_a_rerun_waits_to_take_steps_over_from_is_kept() -> None:
    pipeline = pipeline_view(pipeline_spec("a", retention={"failed": 0}))
    old = old_run(a="Failed")
    waiting = run_view("flights-1", spec={"rerun": {"of": old.name}})

    def removed(*runs: RunView) -> list[str]:
        plan = plan_pipeline(PipelineScene(pipeline=pipeline, runs=runs, revisions=(), now=after(hours=1)))
        return [getattr(action, "name", "") for action in plan.after]

    assert removed(old, waiting) == []
    assert removed(old) == [old.name]


# -- any graph, any history -------------------------------------------------------------------------------------------


@st.composite
def ended_runs(draw: st.DrawFn) -> tuple[DataPipelineSpec, RunView, list[str]]:
    """A pipeline, what became of its steps, whether or not that could have happened, and steps to run again."""
    spec = draw(pipelines())
    ends = st.sampled_from([phase for phase in StepPhase if phase.ended] + [StepPhase.SUCCEEDED] * 6)
    phases = {step.name: str(draw(ends)) for step in spec.all_steps()}
    from_ = draw(st.lists(st.sampled_from(sorted(phases)), max_size=2, unique=True))
    return spec, old_run(**phases), from_


@settings(deadline=None, max_examples=200)
@given(ended_runs())
def test_exactly_those_steps_are_taken_over_that_stand_on_nothing_but_success(
    case: tuple[DataPipelineSpec, RunView, list[str]],
) -> None:
    spec, old, from_ = case
    known = {step.name: step for step in old.status.steps}
    graph = {step.name: step.depends_on for step in spec.steps}
    steps = steps_at_start(spec, old, Rerun(of=old.name, from_=from_))
    assert [step.name for step in steps] == [step.name for step in spec.all_steps()]
    for step in steps:
        below = {step.name, *ancestors(graph, step.name)}
        stays = step.name in graph and all(
            known[name].phase is StepPhase.SUCCEEDED and name not in from_ for name in below
        )
        if stays:
            assert step == known[step.name].model_copy(update={"taken_from": old.name})
        else:
            assert step == StepStatus(name=step.name)


@given(pipelines(), st.data())
def test_descendants_are_who_have_one_of_the_steps_among_their_ancestors(
    spec: DataPipelineSpec, data: st.DataObject
) -> None:
    graph = {step.name: step.depends_on for step in spec.steps}
    names = data.draw(st.sets(st.sampled_from(sorted(graph))))
    assert descendants(graph, names) == names | {name for name in graph if ancestors(graph, name) & names}


class Reruns(Histories):
    """Random histories of reruns: of runs that ended in any way, and of reruns of those. The rules are in `world.py`."""

    @initialize(case=ended_runs(), refused=st.integers(0, 20), crash=st.integers(0, 3))
    def begin(  # type: ignore[override]
        self, case: tuple[DataPipelineSpec, RunView, list[str]], refused: int, crash: int
    ) -> None:
        spec, old, from_ = case
        self.world = World(spec, origin=old, from_=from_)
        everyone = [step.name for step in spec.all_steps()]
        self.world.refused_steps = {everyone[refused]} if refused < len(everyone) else set()
        self.world.look(crash)

    @precondition(lambda self: self.world.status.phase.ended and self.world.status.started_at is not None)
    @rule(index=st.integers(0, 20), crash=st.integers(0, 3))
    def is_run_again(self, index: int, crash: int) -> None:
        old = self.world
        everyone = [step.name for step in old.spec.all_steps()]
        from_ = [everyone[index]] if index < len(everyone) else []
        number = int(old.name.removeprefix("flights-")) + 1
        self.world = World(old.spec, origin=old.view(), from_=from_, name=f"flights-{number}")
        self.world.now = old.now
        self.world.look(crash)


Reruns.TestCase.settings = settings(
    max_examples=EXAMPLES // 2,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestReruns = Reruns.TestCase
