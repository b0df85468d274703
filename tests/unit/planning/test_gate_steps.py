"""A gate as a step: what becomes of the step for what its pod says, what metrics say, and what is missing."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.api.gate import QualityGateSpec, QualityGateStatus
from sluice.api.pipeline import DataPipelineSpec
from sluice.api.run import Interval, PipelineRunStatus, RunPhase, StepPhase, StepStatus
from sluice.planning.actions import CreatePod, Settings, StopPod, TakeLook, TallyKey
from sluice.planning.metrics import limits_of
from sluice.planning.observed import PodView
from sluice.planning.run import RunPlan, plan_run
from sluice.planning.verdicts import Look, Outcome, Tally
from sluice.planning.views import GateView, RunView
from tests.builders import NOW, ended_pod, pipeline_spec, run_scene, run_view, running_pod, step_dict

PASS, WARN, FAIL, INCONCLUSIVE, ERROR = Outcome
ON_DATA = {"name": "rows", "data": {"source": "extract", "rowCount": {"min": 1}}}
ON_METRIC = {
    "name": "errors",
    "metric": {"source": "prom", "query": 'e{job="$(args.job)"}', "max": 1, "interval": "10s"},
}


def gate_view(*checks: dict[str, Any], generation: int = 1, uid: str = "gate-1", **spec: Any) -> GateView:
    raw = {"checks": list(checks), **spec}
    return GateView(
        namespace="data",
        name="clean",
        uid=uid,
        generation=generation,
        deleting=False,
        raw_spec=raw,
        spec=QualityGateSpec.model_validate(raw),
        problem="",
        status=QualityGateStatus(),
    )


def pipeline(**gate: Any) -> DataPipelineSpec:
    """extract -> check (the gate) -> publish."""
    check = {"name": "check", "dependsOn": ["extract"], "gate": {"name": "clean", **gate}}
    return pipeline_spec(step_dict("extract"), check, step_dict("publish", "check"))


class Story:
    """A run whose step `extract` has succeeded, told look by look. Tallies are what the operator remembers."""

    def __init__(self, gate: GateView | None, **use: Any) -> None:
        self.spec = pipeline(**use)
        self.gate = gate
        self.now = NOW
        self.pods: dict[str, PodView] = {}
        self.tallies: dict[TallyKey, Tally] = {}
        self.occurrences: list[str] = []
        self.cancel = False
        outputs = {"uri": "/data/raw.parquet"}
        extract = StepStatus(name="extract", phase=StepPhase.SUCCEEDED, attempt=1, outputs=outputs)  # type: ignore[arg-type]
        waiting = [StepStatus(name=name) for name in ("check", "publish")]
        self.status = PipelineRunStatus(
            phase=RunPhase.RUNNING, started_at=NOW, revision="flights-0123456789", steps=(extract, *waiting)
        )
        self.writes = 0
        self.wake_at: datetime | None = None
        self.looks: list[TakeLook] = []

    def look(self) -> RunPlan:
        """Plan, and carry the plan out until it is at rest."""
        for _ in range(8):
            plan = plan_run(
                run_scene(
                    self.spec,
                    run=run_view(status=self.status, spec={"cancel": True} if self.cancel else {}),
                    pods=tuple(self.pods.values()),
                    gates={"clean": self.gate} if self.gate is not None else {},
                    tallies=self.tallies,
                    settings=Settings(gate_image="runner:1"),
                    now=self.now,
                )
            )
            self.wake_at = plan.wake_at
            self.looks = [action for action in plan.after if isinstance(action, TakeLook)]
            self.occurrences += [str(occurrence.reason) for occurrence in plan.occurrences]
            if plan.status is not None:
                written = json.loads(json.dumps(plan.status.to_dict()))
                self.status = PipelineRunStatus.model_validate(written)
                self.writes += 1
            for action in plan.after:
                if isinstance(action, CreatePod):
                    name = action.manifest["metadata"]["name"]
                    self.pods.setdefault(name, running_pod(name=name, step=action.step, attempt=action.attempt))
                if isinstance(action, StopPod):
                    self.pods.pop(action.name, None)
            if plan.status is None and (plan.wake_at is None or plan.wake_at > self.now):
                return plan
        raise AssertionError("it does not come to rest")

    def advance(self, **lengths: float) -> None:
        self.now += timedelta(**lengths)
        self.look()

    @property
    def check(self) -> StepStatus:
        return self.status.steps[1]

    def pod_says(self, verdict: str, exit_code: int = 0, **more: Any) -> None:
        """The pod of the newest attempt ends."""
        answer = {"verdict": verdict, "score": 80, "weight": 1, "counting": 1, "worst": "rows", "message": "m", **more}
        pod = self.pods[self.check.pod or ""]
        text = json.dumps(answer) if exit_code == 0 else "killed"
        ended = ended_pod(exit_code, name=pod.name, step="check", attempt=pod.attempt, term_message=text)
        self.pods[pod.name] = replace(ended, finished_at=self.now)
        self.look()

    def metric_says(self, outcome: Outcome, value: float | None = None) -> None:
        """Every look that is asked for is taken, now."""
        assert self.looks, "no look was asked for"
        for action in self.looks:
            tally = self.tallies.get(action.key, action.known)
            look = Look(self.now, outcome, value, f"{outcome}")
            self.tallies[action.key] = tally.with_look(look, limits_of(action.check))
        self.look()


@pytest.mark.parametrize(
    ("verdict", "phase", "reason"),
    [
        ("Pass", "Succeeded", None),
        ("Warn", "Succeeded", "GateWarned"),
        ("Fail", "Failed", "GateFailed"),
        ("Inconclusive", "Running", None),
        ("Error", "Running", None),
    ],
)
def test_what_the_pod_says_decides_the_step(verdict: str, phase: str, reason: str | None) -> None:
    story = Story(gate_view(ON_DATA))
    story.look()
    assert story.check.phase is StepPhase.PENDING
    story.pod_says(verdict)
    assert (story.check.phase, story.check.reason) == (phase, reason)
    assert story.check.gate is not None
    assert story.check.gate.verdict == verdict
    started = {pod.step for pod in story.pods.values()}
    assert ("publish" in started) == (phase == "Succeeded"), "nothing is published unless the gate lets it"


@pytest.mark.parametrize(
    "text", ["", "all is well", '{"verdict": "Fine"}', '{"score": 100}', '{"verdict": "Pass", "score": "x"}']
)
def test_an_answer_that_is_no_verdict_fails_the_step(text: str) -> None:
    story = Story(gate_view(ON_DATA))
    story.look()
    pod = story.pods[story.check.pod or ""]
    story.pods[pod.name] = ended_pod(0, name=pod.name, step="check", term_message=text)
    story.look()
    assert (story.check.phase, story.check.reason) == ("Failed", "OutputInvalid")


def test_a_pod_that_crashes_fails_the_step_as_any_pod_does() -> None:
    story = Story(gate_view(ON_DATA))
    story.look()
    story.pod_says("Pass", exit_code=137)
    assert (story.check.phase, story.check.reason) == ("Failed", "ExitCode")


def test_the_pod_is_told_the_gate_and_where_the_data_lies() -> None:
    gate = gate_view(ON_DATA, sources=[{"name": "planes", "uri": "/data/planes-$(interval.start.date).csv"}])
    story = Story(gate, args={"job": "$(run.name)"}, passing="/data/$(run.name).parquet")
    plan = story_pod(story)
    env = {row["name"]: row for row in plan["spec"]["containers"][0]["env"]}
    document = json.loads(env["SLUICE_GATE"]["value"].replace("$$", "$"))
    assert document["sources"] == {"extract": "/data/raw.parquet"}
    assert document["args"] == {"job": "flights-1"}
    assert document["passing"] == "/data/flights-1.parquet"
    assert document["spec"]["sources"][0]["uri"] == "/data/planes-$(interval.start.date).csv"
    assert plan["spec"]["containers"][0]["image"] == "runner:1"
    assert plan["spec"]["containers"][0]["resources"]["limits"]["memory"] == "1Gi"


def test_the_evaluation_ends_before_the_pod_is_ended() -> None:
    story = Story(gate_view(ON_DATA))
    steps = [{**row, "timeouts": {"step": "10m"}} if row["name"] == "check" else row for row in raw_steps(story)]
    story.spec = pipeline_spec(*steps)
    env = {row["name"]: row.get("value") for row in story_pod(story)["spec"]["containers"][0]["env"]}
    assert env["SLUICE_GATE_TIMEOUT"] == "540"


def raw_steps(story: Story) -> list[dict[str, Any]]:
    """The steps as a manifest has them."""
    rows: list[dict[str, Any]] = story.spec.to_dict()["steps"]
    return rows


def story_pod(story: Story) -> Mapping[str, Any]:
    """The pod that the first look asks for."""
    plan = plan_run(
        run_scene(
            story.spec,
            run=run_view(status=story.status),
            gates={"clean": story.gate} if story.gate is not None else {},
            settings=Settings(gate_image="runner:1"),
        )
    )
    return next(action.manifest for action in plan.after if isinstance(action, CreatePod))


def earlier_run(name: str, day: int, revision: str, uri: str, phase: RunPhase = RunPhase.SUCCEEDED) -> RunView:
    """A run of an earlier interval, with an output of its step `extract`."""
    start = NOW + timedelta(days=day)
    step = StepStatus(name="extract", phase=StepPhase.SUCCEEDED, outputs={"uri": uri})
    interval = Interval(start=start, end=start + timedelta(days=1))
    return run_view(name, status=PipelineRunStatus(phase=phase, revision=revision, interval=interval, steps=(step,)))


@pytest.mark.parametrize(
    ("baseline", "expected"), [("LastRun", "/r2"), ("StableRevision", "/same"), ("SameWeekday", None)]
)
def test_a_baseline_is_the_output_of_an_earlier_run_that_succeeded(baseline: str, expected: str | None) -> None:
    source = {"name": "before", "baseline": baseline, "step": "extract"}
    check = {
        "name": "moved",
        "data": {"source": "extract", "drift": {"column": "x", "source": "before", "method": "KS", "max": 1}},
    }
    gate = gate_view(check, sources=[source])
    own = Interval(start=NOW, end=NOW + timedelta(days=1))
    siblings = (
        earlier_run("flights-r1", -3, "old", "/r1"),
        earlier_run("flights-r2", -2, "flights-0123456789", "/r2"),
        earlier_run("flights-r3", -1, "old", "/failed", RunPhase.FAILED),
        earlier_run("flights-r4", 1, "flights-0123456789", "/later"),
        earlier_run("flights-r5", 0, "old", "/same"),
    )
    story = Story(gate)
    status = story.status.model_copy(update={"interval": own})
    scene = run_scene(
        story.spec, run=run_view(status=status), gates={"clean": gate}, siblings=siblings, settings=Settings()
    )
    pod = next(action.manifest for action in plan_run(scene).after if isinstance(action, CreatePod))
    env = {row["name"]: row for row in pod["spec"]["containers"][0]["env"]}
    assert json.loads(env["SLUICE_GATE"]["value"].replace("$$", "$"))["sources"].get("before") == expected


def test_data_that_says_nothing_is_looked_at_again_until_it_does() -> None:
    story = Story(gate_view(ON_DATA), hold={"interval": "30s", "alertAfter": "1m"})
    story.look()
    story.pod_says("Error")
    assert (story.check.phase, story.check.attempt) == ("Running", 1)
    story.advance(seconds=29)
    assert story.check.attempt == 1
    story.advance(seconds=1)
    assert story.check.attempt == 2
    story.pod_says("Pass")
    assert story.check.phase is StepPhase.SUCCEEDED
    assert "GateHolding" not in story.occurrences


def test_a_gate_that_holds_alerts_once_and_gives_up_at_its_limit() -> None:
    story = Story(gate_view(ON_DATA), hold={"interval": "1m", "limit": "5m", "alertAfter": "90s"})
    story.look()
    for _ in range(6):
        if story.check.phase.live:
            story.pod_says("Error")
            story.advance(minutes=1)
    assert (story.check.phase, story.check.reason) == ("Failed", "GateUndecided")
    assert story.occurrences.count("GateHolding") == 1


def test_metrics_are_asked_without_a_pod_and_let_the_step_pass() -> None:
    story = Story(gate_view(ON_METRIC), args={"job": "extract-$(run.name)"})
    story.look()
    assert (story.check.phase, story.check.pod) == ("Running", None)
    assert story.looks[0].values["args.job"] == "extract-flights-1"
    story.metric_says(PASS, 0.5)
    assert story.check.phase is StepPhase.SUCCEEDED


def test_an_argument_without_a_value_is_no_text_to_ask_with() -> None:
    story = Story(gate_view(ON_METRIC), args={"job": "$(steps.extract.outputs.lost)", "other": "x"})
    story.look()
    assert {name for name in story.looks[0].values if name.startswith("args.")} == {"args.other"}


def test_a_metric_has_to_hold_for_as_long_as_it_says_and_passing_looks_write_nothing() -> None:
    metric = {**ON_METRIC["metric"], "for": "1m"}  # type: ignore[dict-item]
    story = Story(gate_view({**ON_METRIC, "metric": metric}))
    story.look()
    writes = story.writes
    for _ in range(6):
        story.metric_says(PASS, 0.5)
        assert story.check.phase is StepPhase.RUNNING
        assert story.writes == writes
        story.advance(seconds=10)
    story.metric_says(PASS, 0.5)
    assert story.check.phase is StepPhase.SUCCEEDED


def test_a_metric_that_fails_ends_the_step_with_its_value() -> None:
    story = Story(gate_view(ON_METRIC))
    story.look()
    story.metric_says(FAIL, 7.0)
    assert (story.check.phase, story.check.reason) == ("Failed", "GateFailed")
    assert story.check.gate is not None
    assert [(row.name, row.value) for row in story.check.gate.checks] == [("errors", 7.0)]


def test_metrics_that_are_down_hold_alert_and_go_on_when_they_are_back() -> None:
    story = Story(gate_view(ON_METRIC), hold={"alertAfter": "1m"})
    story.look()
    for _ in range(12):  # two minutes
        story.metric_says(ERROR)
        assert story.check.phase is StepPhase.RUNNING
        story.advance(seconds=10)
    assert story.check.reason == "GateHolding"
    assert story.occurrences.count("GateHolding") == 1
    story.metric_says(PASS, 0.1)
    assert (story.check.phase, story.check.reason) == ("Succeeded", None)


def test_failed_looks_survive_a_restart_of_the_operator() -> None:
    metric = {**ON_METRIC["metric"], "failureLimit": {"consecutive": 2}}  # type: ignore[dict-item]
    story = Story(gate_view({**ON_METRIC, "metric": metric}))
    story.look()
    for _ in range(2):
        story.metric_says(FAIL, 7.0)
        story.tallies.clear()  # what was only remembered is gone
        story.advance(seconds=10)
        assert story.check.phase is StepPhase.RUNNING
    story.metric_says(FAIL, 7.0)
    assert (story.check.phase, story.check.reason) == ("Failed", "GateFailed")


def test_a_warning_check_on_a_metric_is_looked_at_before_the_step_goes_on() -> None:
    story = Story(gate_view(ON_DATA, {**ON_METRIC, "severity": "Warn"}))
    story.look()
    story.pod_says("Pass")
    assert story.check.phase is StepPhase.RUNNING
    story.metric_says(FAIL, 9.0)
    assert (story.check.phase, story.check.reason) == ("Succeeded", "GateWarned")


def test_a_failing_metric_ends_the_step_while_its_pod_still_runs() -> None:
    story = Story(gate_view(ON_DATA, ON_METRIC))
    story.look()
    pod = story.check.pod
    story.metric_says(FAIL, 9.0)
    assert story.check.phase is StepPhase.FAILED
    assert pod not in story.pods, "its pod is stopped"


def test_a_gate_that_comes_late_is_waited_for() -> None:
    story = Story(None)
    story.look()
    assert (story.check.phase, story.check.reason) == ("Pending", "GateNotFound")
    story.gate = gate_view(ON_DATA)
    story.advance(seconds=5)
    story.pod_says("Pass")
    assert story.check.phase is StepPhase.SUCCEEDED


def test_a_gate_that_never_comes_fails_the_step() -> None:
    story = Story(None)
    story.look()
    story.advance(minutes=10)
    assert (story.check.phase, story.check.reason) == ("Failed", "GateNotFound")


def test_a_gate_that_is_deleted_under_way_does_not_pass() -> None:
    story = Story(gate_view(ON_METRIC))
    story.look()
    story.gate = None
    story.advance(seconds=5)
    assert story.check.reason == "GateNotFound"
    story.advance(minutes=11)
    assert story.check.phase is StepPhase.FAILED


def test_an_edited_gate_is_evaluated_anew() -> None:
    story = Story(gate_view(ON_DATA))
    story.look()
    story.gate = gate_view(ON_DATA, generation=2)
    story.advance(seconds=1)
    assert story.check.attempt == 2
    assert story.check.gate is not None
    assert story.check.gate.generation == 2
    story.pod_says("Pass")
    assert story.check.phase is StepPhase.SUCCEEDED


def test_an_edited_gate_has_its_whole_time_again() -> None:
    story = Story(gate_view(ON_METRIC), hold={"limit": "10m"})
    story.look()
    story.metric_says(ERROR)
    story.advance(minutes=9)
    story.gate = gate_view(ON_METRIC, generation=2)
    story.advance(seconds=1)
    story.metric_says(ERROR)
    story.advance(minutes=9)
    assert story.check.phase is StepPhase.RUNNING
    story.advance(minutes=2)
    assert (story.check.phase, story.check.reason) == ("Failed", "GateUndecided")


def test_a_dry_run_goes_on_whatever_is_found() -> None:
    story = Story(gate_view(ON_DATA, dryRun=True))
    story.look()
    story.pod_says("Fail")
    assert (story.check.phase, story.check.reason) == ("Succeeded", "GateWarned")
    assert story.check.gate is not None
    assert (story.check.gate.verdict, story.check.gate.dry_run) == ("Fail", True)


def test_a_score_line_can_fail_what_severities_let_pass() -> None:
    story = Story(gate_view(ON_DATA, score={"pass": 95, "warn": 90}))
    story.look()
    story.pod_says("Warn")
    assert (story.check.phase, story.check.reason) == ("Failed", "GateFailed")


@pytest.mark.parametrize("checks", [[ON_DATA], [ON_METRIC], [ON_DATA, ON_METRIC]])
def test_a_cancelled_run_ends_its_gate(checks: list[dict[str, Any]]) -> None:
    story = Story(gate_view(*checks))
    story.look()
    story.cancel = True
    for pod in list(story.pods.values()):
        story.pods[pod.name] = replace(pod, running_since=None, scheduled=False, phase="Pending")
    story.advance(seconds=2)
    if story.check.phase.live:
        story.pods.clear()
        story.advance(seconds=2)
    assert story.check.phase is StepPhase.CANCELLED


# -- random histories -------------------------------------------------------------------------------------------------

EVENTS = ("pod", "metric", "restart", "edit", "delete", "apply", "wait", "wait long")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from(list(Outcome))), max_size=25), st.integers(1, 3))
def test_whatever_happens_nothing_is_published_without_evidence(history: list[tuple[str, Outcome]], kind: int) -> None:
    checks = [check for bit, check in ((1, ON_DATA), (2, ON_METRIC)) if kind & bit]
    story = Story(gate_view(*checks), hold={"interval": "30s", "limit": "20m"})
    story.look()
    generation = 1
    before = story.check
    for event, outcome in history:
        pod = story.pods.get(story.check.pod or "")
        if event == "pod" and pod is not None and pod.exit_code is None and story.check.phase.live:
            story.pod_says(outcome)
        elif event == "metric" and story.looks:
            story.metric_says(outcome, 1.0)
        elif event == "restart":
            story.tallies.clear()
            story.look()
        elif event in ("edit", "apply"):
            generation += 1
            story.gate = gate_view(*checks, generation=generation)
            story.look()
        elif event == "delete":
            story.gate = None
            story.look()
        else:
            story.advance(minutes=5 if event == "wait long" else 0.25)
        after = story.check
        assert not before.phase.ended or after == before, "what has ended stays as it is"
        assert after.attempt >= before.attempt
        if story.pods and any(pod.step == "publish" for pod in story.pods.values()):
            assert after.gate is not None
            assert (after.phase, after.gate.decision) == ("Succeeded", "Continue")
            assert after.gate.verdict in ("Pass", "Warn")
        if after.phase is StepPhase.SUCCEEDED and kind & 1:
            assert after.gate is not None
            assert after.gate.data is not None
            assert after.gate.data.verdict in ("Pass", "Warn")
        if after.phase.live and story.gate is not None:
            waiting = story.looks or any(pod.exit_code is None for pod in story.pods.values())
            assert waiting or story.wake_at is not None, "nothing would wake this run"
        before = after
