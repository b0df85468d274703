"""plan_pipeline: revisions, due runs, retention, status; no tick lost and none doubled, whenever the operator dies."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.api.commits import CommitRecord
from sluice.api.pipeline import DataPipelineSpec, DataPipelineStatus
from sluice.api.reasons import Reason
from sluice.api.run import PipelineRunStatus, RunPhase
from sluice.planning.actions import CreateRevision, CreateRun, DeleteRevision, DeleteRun, ReadPipelineCommit
from sluice.planning.origins import Origin, ReadCommit
from sluice.planning.pipeline import KEEP_REVISIONS, PipelinePlan, PipelineScene, current_revision, plan_pipeline
from sluice.planning.views import RevisionView, RunView
from tests.builders import NOW, after, pipeline_spec, pipeline_view, revision_view, run_view, step_dict


def scene(spec: DataPipelineSpec | None = None, **fields: Any) -> PipelineScene:
    of_pipeline = {key: fields.pop(key) for key in ("status", "created", "deleting", "problem") if key in fields}
    defaults: dict[str, Any] = {
        "pipeline": pipeline_view(spec or pipeline_spec(), **of_pipeline),
        "runs": (),
        "revisions": (),
        "now": NOW,
    }
    return PipelineScene(**(defaults | fields))


def scheduled(*cron: str, zone: str = "UTC", **fields: Any) -> DataPipelineSpec:
    return pipeline_spec("extract", schedule={"cron": list(cron) or ["0 6 * * *"], "timeZone": zone, **fields})


def created_runs(plan: PipelinePlan) -> list[CreateRun]:
    return [action for action in plan.before if isinstance(action, CreateRun)]


def ended(name: str, age: int, phase: RunPhase = RunPhase.SUCCEEDED, **fields: Any) -> RunView:
    status = PipelineRunStatus(phase=phase, finished_at=after(hours=-age), revision=fields.pop("revision", None))
    return run_view(name, uid=name, created=after(hours=-age), status=status, **fields)


# -- commits ----------------------------------------------------------------------------------------------------------

ORIGIN = Origin(application="data")


def asked(plan: PipelinePlan) -> list[ReadPipelineCommit]:
    return [action for action in plan.after if isinstance(action, ReadPipelineCommit)]


def test_the_commit_of_a_revision_is_asked_for_until_it_is_on_record() -> None:
    name = current_revision(pipeline_view())
    plan = plan_pipeline(scene(origin=ORIGIN))
    assert asked(plan) == [ReadPipelineCommit("flights", "pipeline-1", ReadCommit(name, ORIGIN, None, None))]
    assert plan.status is not None
    assert (plan.status.commit, plan.status.revision_commit) == (None, None)

    found = CommitRecord(revision=name, id="5f2b" * 10, author="Anna", message="Add flights")
    known = scene(status=plan.status, revisions=[revision_view(name=name)], origin=ORIGIN, commits={name: found})
    plan = plan_pipeline(known)
    assert plan.status is not None
    assert (plan.status.commit, plan.status.revision_commit) == ("5f2b5f2b", found)
    assert asked(plan) == []
    after_restart = replace(known, pipeline=pipeline_view(status=plan.status), commits={})
    assert (plan_pipeline(after_restart).status, plan_pipeline(after_restart).after) == (None, ())


def test_a_new_revision_has_another_commit() -> None:
    old = CommitRecord(revision="flights-before", id="1" * 40)
    status = DataPipelineStatus(commit="11111111", revision_commit=old)
    plan = plan_pipeline(scene(status=status, origin=ORIGIN, commits={old.revision: old}))
    assert plan.status is not None
    assert (plan.status.commit, plan.status.revision_commit) == (None, None)
    assert len(asked(plan)) == 1


def test_a_pipeline_that_says_nothing_of_its_commit_is_not_asked_about() -> None:
    assert asked(plan_pipeline(scene())) == []


# -- revisions --------------------------------------------------------------------------------------------------------


def test_a_new_spec_is_recorded_before_the_status_says_so() -> None:
    plan = plan_pipeline(scene())
    (create,) = plan.before
    assert isinstance(create, CreateRevision)
    assert (create.number, create.pipeline, create.pipeline_uid) == (1, "flights", "pipeline-1")
    assert create.name.startswith("flights-")
    assert plan.status is not None
    assert plan.status.revision is not None
    assert (plan.status.revision.name, plan.status.revision.number) == (create.name, 1)


def test_a_recorded_spec_is_not_recorded_again_and_a_converged_pipeline_is_left_alone() -> None:
    first = plan_pipeline(scene())
    name = current_revision(pipeline_view())
    plan = plan_pipeline(scene(status=first.status, revisions=[revision_view(name=name)]))
    assert (plan.status, plan.before, plan.after, plan.occurrences, plan.wake_at) == (None, (), (), (), None)


def test_a_spec_that_comes_back_is_its_old_revision() -> None:
    name = current_revision(pipeline_view())
    revisions = [revision_view(name=name, number=1), revision_view(name="flights-x", number=2)]
    plan = plan_pipeline(scene(revisions=revisions))
    assert plan.before == ()
    assert plan.status is not None
    assert plan.status.revision is not None
    assert plan.status.revision.number == 1


def test_numbers_count_up_even_when_revisions_are_gone() -> None:
    status = plan_pipeline(scene(revisions=[revision_view(name="flights-x", number=7)])).status
    plan = plan_pipeline(scene(pipeline_spec("other"), status=status))
    (create,) = plan.before
    assert isinstance(create, CreateRevision)
    assert create.number == 9


def test_the_order_of_keys_makes_no_revision() -> None:
    one = pipeline_view(raw_spec={"a": 1, "b": {"c": 2, "d": 3}})
    other = pipeline_view(raw_spec={"b": {"d": 3, "c": 2}, "a": 1})
    assert current_revision(one) == current_revision(other)
    assert current_revision(one) != current_revision(pipeline_view(raw_spec={"a": 1}))


def test_revisions_that_no_run_needs_are_removed_oldest_first() -> None:
    revisions = [revision_view(name=f"flights-{number}", uid=str(number), number=number) for number in range(1, 14)]
    plan = plan_pipeline(scene(revisions=revisions, runs=[ended("r", 1, revision="flights-1")]))
    gone = [action.name for action in plan.after if isinstance(action, DeleteRevision)]
    assert gone == ["flights-2", "flights-3", "flights-4", "flights-5"]
    made = [action for action in plan.before if isinstance(action, CreateRevision)]
    assert len(revisions) + len(made) - len(gone) == KEEP_REVISIONS


def test_every_edit_leaves_as_many_revisions_as_are_kept_without_another_look() -> None:
    kept: dict[str, RevisionView] = {}
    for number in range(1, 15):
        pipeline = pipeline_view(raw_spec={"description": f"edit {number}"})
        plan = plan_pipeline(scene(pipeline=pipeline, revisions=list(kept.values())))
        for action in (*plan.before, *plan.after):
            match action:
                case CreateRevision():
                    kept[action.name] = revision_view(name=action.name, uid=action.name, number=action.number)
                case DeleteRevision():
                    del kept[action.name]
        assert sorted(row.number for row in kept.values()) == list(range(max(1, number - 9), number + 1))


# -- invalid, deleting ------------------------------------------------------------------------------------------------


def test_an_invalid_pipeline_starts_nothing_and_says_why_once() -> None:
    spec = pipeline_spec(step_dict("a", "a"), schedule={"cron": ["* * * * *"], "timeZone": "UTC"})
    plan = plan_pipeline(scene(spec, created=after(hours=-1)))
    assert (plan.before, plan.after, plan.wake_at) == ((), (), None)
    assert plan.status is not None
    assert plan.status.health == "Invalid"
    message = 'spec.steps[0].dependsOn[0]: Invalid value: "a": a step cannot depend on itself'
    ready = {row.type: (row.status, row.reason, row.message) for row in plan.status.conditions}
    assert ready["Ready"] == ("False", "InvalidSpec", message)
    assert ready["Stalled"] == ("True", "InvalidSpec", message)
    assert [row.message for row in plan.occurrences] == [message]
    again = plan_pipeline(scene(spec, status=plan.status, created=after(hours=-1), now=after(hours=5)))
    assert (again.status, again.occurrences) == (None, ())


def test_a_pipeline_that_is_being_deleted_is_left_alone() -> None:
    plan = plan_pipeline(scene(scheduled("* * * * *"), deleting=True, created=after(days=-1)))
    assert (plan.status, plan.before, plan.after, plan.wake_at) == (None, (), (), None)


# -- schedule ---------------------------------------------------------------------------------------------------------


def test_a_run_is_created_at_its_tick_with_its_interval() -> None:
    plan = plan_pipeline(scene(scheduled(), created=after(hours=-5)))
    (create,) = created_runs(plan)
    assert (create.due, create.pipeline_uid) == (NOW, "pipeline-1")
    assert create.spec.interval is not None
    assert (create.spec.interval.start, create.spec.interval.end) == (after(days=-1), NOW)
    assert create.spec.revision == current_revision(pipeline_view(scheduled()))
    assert create.name.startswith("flights-20260301t0600-")
    assert plan.status is not None
    assert (plan.status.last_tick, plan.status.next_run, plan.wake_at) == (NOW, after(days=1), after(days=1))


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        pytest.param({}, "2026-03-03 06:00 UTC", id="the next tick"),
        pytest.param({"timeZone": "Asia/Kolkata"}, "2026-03-03 06:00 IST", id="on the schedule's own clock"),
        pytest.param({"suspend": True}, "suspended", id="suspended"),
        pytest.param({"end": "2026-03-02T07:00:00Z"}, "over", id="ended"),
    ],
)
def test_the_next_run_is_told_or_why_there_is_none(schedule: dict[str, Any], told: str) -> None:
    plan = plan_pipeline(scene(scheduled(**schedule), created=after(hours=-5), now=after(hours=1)))
    assert plan.status is not None
    assert plan.status.next == told


def test_a_pipeline_without_a_schedule_is_run_by_hand_next() -> None:
    plan = plan_pipeline(scene())
    assert plan.status is not None
    assert plan.status.next == "by hand"


def test_before_its_first_tick_a_pipeline_waits_for_it() -> None:
    plan = plan_pipeline(scene(scheduled(), created=after(hours=-5), now=after(seconds=-1)))
    assert created_runs(plan) == []
    assert plan.wake_at == NOW


def test_a_tick_whose_run_is_there_makes_no_other_even_of_another_revision() -> None:
    interval = {"start": "2026-03-01T06:00:00Z", "end": "2026-03-02T06:00:00Z"}
    there = run_view("any", scheduled=True, spec={"interval": interval, "revision": "flights-old"})
    plan = plan_pipeline(scene(scheduled(), created=after(hours=-5), runs=[there]))
    assert created_runs(plan) == []
    assert plan.status is not None
    assert plan.status.last_tick == NOW


def test_a_run_that_a_person_made_for_an_interval_does_not_stand_in_for_the_schedule() -> None:
    interval = {"start": "2026-03-01T06:00:00Z", "end": "2026-03-02T06:00:00Z"}
    plan = plan_pipeline(
        scene(scheduled(), created=after(hours=-5), runs=[run_view("any", spec={"interval": interval})])
    )
    assert len(created_runs(plan)) == 1


@pytest.mark.parametrize(
    ("catch_up", "due", "skipped"),
    [
        pytest.param({}, [0], 3, id="by default only the newest"),
        pytest.param({"catchUp": {"policy": "Latest"}}, [0], 3, id="Latest"),
        pytest.param({"catchUp": {"policy": "All"}}, [-3, -2, -1, 0], 0, id="All, oldest first"),
        pytest.param({"catchUp": {"policy": "All", "limit": 2}}, [-1, 0], 2, id="All, the newest two"),
        pytest.param({"catchUp": {"policy": "Skip"}}, [], 4, id="Skip"),
        pytest.param({"catchUp": {"policy": "Skip"}, "startingDeadline": "2h"}, [-1, 0], 2, id="Skip with patience"),
    ],
)
def test_missed_ticks(catch_up: dict[str, Any], due: list[int], skipped: int) -> None:
    spec = scheduled("0 * * * *", **catch_up)
    status = DataPipelineStatus(last_tick=after(hours=-4))
    plan = plan_pipeline(scene(spec, status=status, now=after(minutes=30)))
    assert [create.due for create in created_runs(plan)] == [after(hours=hour) for hour in due]
    assert plan.status is not None
    assert plan.status.last_tick == NOW
    told = [row.message.split()[0] for row in plan.occurrences if row.reason is Reason.INTERVAL_SKIPPED]
    assert told == ([str(skipped)] if skipped else [])


@pytest.mark.parametrize("suspend", [False, True])
def test_a_schedule_that_is_added_later_has_missed_nothing_before(suspend: bool) -> None:
    by_hand = plan_pipeline(scene(created=after(days=-3), status=DataPipelineStatus(last_tick=after(days=-2)))).status
    assert by_hand is not None
    spec = scheduled("0 * * * *", suspend=suspend, catchUp={"policy": "All"})
    added = plan_pipeline(scene(spec, created=after(days=-3), status=by_hand, now=after(minutes=30)))
    assert (created_runs(added), added.occurrences) == ([], ())
    assert added.status is not None
    resumed = scheduled("0 * * * *", catchUp={"policy": "All"})
    later = plan_pipeline(scene(resumed, created=after(days=-3), status=added.status, now=after(hours=1)))
    assert [create.due for create in created_runs(later)] == [after(hours=1)]


def test_a_suspended_schedule_starts_nothing() -> None:
    plan = plan_pipeline(scene(scheduled(suspend=True), created=after(days=-3)))
    assert (created_runs(plan), plan.wake_at) == ([], None)
    assert plan.status is not None
    assert (plan.status.health, plan.status.schedule) == ("Suspended", "0 6 * * * UTC (suspended)")


class Cluster:
    """A pipeline with a schedule under an operator that may die between any two writes."""

    def __init__(self, spec: DataPipelineSpec) -> None:
        self.spec = spec
        self.now = NOW
        self.status = DataPipelineStatus()
        self.runs: dict[str, RunView] = {}
        self.revisions: dict[str, RevisionView] = {}
        self.deleted: set[str] = set()

    def look(self, writes: int = 10**6) -> PipelinePlan:
        looked_at = scene(
            self.spec,
            status=self.status,
            runs=tuple(self.runs.values()),
            revisions=tuple(self.revisions.values()),
            now=self.now,
        )
        plan = plan_pipeline(looked_at)
        assert plan_pipeline(looked_at) == plan
        for write in [*plan.before, *([plan.status] if plan.status is not None else []), *plan.after][:writes]:
            match write:
                case CreateRun():
                    assert write.name not in self.runs
                    assert write.spec.revision in self.revisions
                    self.runs[write.name] = run_view(
                        write.name, uid=write.name, created=self.now, scheduled=True,
                        spec=write.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
                    )  # fmt: skip
                case CreateRevision():
                    self.revisions[write.name] = revision_view(name=write.name, number=write.number)
                case DataPipelineStatus():
                    stored = json.loads(json.dumps(write.to_dict()))
                    self.status = DataPipelineStatus.model_validate(stored)
                case DeleteRun():
                    assert self.runs.pop(write.name).phase.ended
                    self.deleted.add(write.name)
                case _:
                    raise AssertionError(write)
        return plan

    def end_all(self) -> None:
        for name, run in self.runs.items():
            ended_status = PipelineRunStatus(phase=RunPhase.SUCCEEDED, finished_at=self.now)
            self.runs[name] = replace(run, status=ended_status)


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 7 * 3600)),
        st.tuples(st.just("crash"), st.integers(0, 4)),
        st.tuples(st.just("look"), st.just(0)),
        st.tuples(st.just("edit"), st.integers(0, 2)),
        st.tuples(st.just("end"), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(moves=MOVES)
def test_no_tick_is_lost_and_none_doubled(moves: list[tuple[str, int]]) -> None:
    def spec(image: int) -> DataPipelineSpec:
        return pipeline_spec(
            step_dict("extract") | {"image": f"flights:{image}"},
            schedule={"cron": ["0 */3 * * *"], "timeZone": "Europe/Berlin", "catchUp": {"policy": "All"}},
            retention={"succeeded": 2},
        )

    cluster = Cluster(spec(0))
    ever: dict[str, datetime] = {}
    for move, size in [*moves, ("look", 0), ("look", 0)]:
        match move:
            case "pass":
                cluster.now += timedelta(seconds=size)
            case "edit":
                cluster.spec = spec(size)
            case "end":
                cluster.end_all()
            case _:
                cluster.look(size if move == "crash" else 10**6)
        for name, run in cluster.runs.items():
            assert run.spec is not None
            assert run.spec.interval is not None
            ever[name] = run.spec.interval.end
    ticks = sorted(ever.values())
    wanted = [NOW + timedelta(hours=hour) for hour in range(1, 24 * 30) if (hour + 7) % 3 == 0]
    wanted = [tick for tick in wanted if tick <= cluster.now]
    assert ticks == wanted
    plan = cluster.look()
    assert (plan.status, plan.before, plan.after) == (None, (), ())
    assert plan.wake_at is not None
    assert plan.wake_at > cluster.now


# -- retention and status ---------------------------------------------------------------------------------------------


def test_ended_runs_beyond_the_limits_are_removed_oldest_first() -> None:
    spec = pipeline_spec("a", retention={"succeeded": 1, "failed": 2})
    runs = [
        ended("s1", 9), ended("s2", 8), ended("s3", 1),
        ended("f1", 7, RunPhase.FAILED), ended("c1", 6, RunPhase.CANCELLED), ended("f2", 5, RunPhase.FAILED),
        run_view("going", uid="g", created=after(hours=-20), status=PipelineRunStatus(phase=RunPhase.RUNNING)),
    ]  # fmt: skip
    plan = plan_pipeline(scene(spec, runs=runs))
    assert [action.name for action in plan.after if isinstance(action, DeleteRun)] == ["s1", "s2", "f1"]


def test_a_limit_of_0_keeps_none() -> None:
    spec = pipeline_spec("a", retention={"succeeded": 0})
    plan = plan_pipeline(scene(spec, runs=[ended("s1", 1)]))
    assert [action.name for action in plan.after if isinstance(action, DeleteRun)] == ["s1"]


@pytest.mark.parametrize(
    ("runs", "health"),
    [
        pytest.param([], "Healthy", id="no run yet"),
        pytest.param([ended("a", 2, RunPhase.FAILED), ended("b", 1)], "Healthy", id="the newest run succeeded"),
        pytest.param([ended("a", 2), ended("b", 1, RunPhase.FAILED)], "Failing", id="the newest run failed"),
        pytest.param(
            [ended("a", 2), ended("b", 1, RunPhase.CANCELLED)], "Healthy", id="a run that was cancelled says nothing"
        ),
    ],
)
def test_the_health_of_a_pipeline_is_that_of_its_newest_run(runs: list[RunView], health: str) -> None:
    plan = plan_pipeline(scene(runs=runs))
    assert plan.status is not None
    assert plan.status.health == health


def test_the_status_counts_what_is_under_way_and_names_the_newest_run() -> None:
    runs = [ended("a", 2), run_view("b", status=PipelineRunStatus(phase=RunPhase.RUNNING))]
    plan = plan_pipeline(scene(runs=runs))
    assert plan.status is not None
    assert plan.status.active_runs == 1
    assert plan.status.last_run is not None
    assert (plan.status.last_run.name, plan.status.last_run.phase) == ("b", "Running")
