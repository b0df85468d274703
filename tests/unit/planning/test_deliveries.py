"""When a revision of a pipeline counts as delivered, whatever becomes of its runs."""

from typing import Any

import pytest

from sluice.api.commits import CommitRecord
from sluice.api.pipeline import DataPipelineStatus, Delivery
from sluice.api.run import PipelineRunStatus, RunPhase
from sluice.planning.actions import DeleteRun
from sluice.planning.deliveries import MAX_DELIVERIES, with_delivery
from sluice.planning.dora import History, delivered, four_keys
from sluice.planning.pipeline import PipelineScene, current_revision, plan_pipeline
from sluice.planning.views import RunView
from tests.builders import NOW, after, pipeline_spec, pipeline_view, revision_view, run_view
from tests.unit.planning.test_dora import LONG_AGO, MONTH


def run(name: str, hour: float, revision: str = "a", phase: RunPhase = RunPhase.SUCCEEDED) -> RunView:
    """One that ended at an hour."""
    status = PipelineRunStatus(phase=phase, finished_at=after(hours=hour), revision=revision)
    return run_view(name, uid=name, created=after(hours=hour - 1), status=status)


def delivery(revision: str, hour: float, **fields: Any) -> Delivery:
    return Delivery(revision=revision, run=f"run-{revision}", delivered_at=after(hours=hour), **fields)


def status(*rows: Delivery, **fields: Any) -> DataPipelineStatus:
    return DataPipelineStatus(deliveries=rows, **fields)


def told(found: DataPipelineStatus) -> list[tuple[str, str, bool]]:
    return [(row.revision, row.run, bool(row.again)) for row in found.deliveries]


@pytest.mark.parametrize(
    ("before", "runs", "expected"),
    [
        ((), [], []),
        ((), [run("r", 1, phase=RunPhase.FAILED), run("s", 1, phase=RunPhase.RUNNING)], []),
        ((), [run("r", 1, revision="b")], []),
        ((), [run("late", 3), run("first", 1), run("next", 2)], [("a", "first", False)]),
        ((delivery("a", 1),), [run("later", 2)], [("a", "run-a", False)]),
        ((delivery("b", 2),), [run("r", 3)], [("b", "run-b", False), ("a", "r", False)]),
        ((delivery("b", 2),), [run("of-before", 1)], [("b", "run-b", False)]),
        (
            (delivery("a", 1), delivery("b", 2)),
            [run("of-before", 1), run("of-now", 3)],
            [("a", "run-a", False), ("b", "run-b", False), ("a", "of-now", True)],
        ),
    ],
)
def test_the_first_run_that_succeeds_delivers_the_current_revision(
    before: tuple[Delivery, ...], runs: list[RunView], expected: list[tuple[str, str, bool]]
) -> None:
    found = with_delivery(status(*before), "a", runs)
    assert told(found) == expected
    assert with_delivery(found, "a", runs) == found, "once"


COMMIT = CommitRecord(revision="a", id="5f2b" * 10, time=NOW)


def test_a_commit_that_becomes_known_later_is_joined() -> None:
    found = with_delivery(status(delivery("a", 1), revision_commit=COMMIT), "a", [])
    assert (found.deliveries[0].commit, found.deliveries[0].commit_time) == (COMMIT.id, NOW)
    assert with_delivery(found, "a", []) == found


@pytest.mark.parametrize(
    ("row", "commit"),
    [
        (delivery("a", 1, again=True), COMMIT),
        (delivery("b", 1), COMMIT),
        (delivery("a", 1), COMMIT.model_copy(update={"id": ""})),
    ],
)
def test_a_commit_of_something_else_is_not(row: Delivery, commit: CommitRecord) -> None:
    assert with_delivery(status(row, revision_commit=commit), "a", []).deliveries == (row,)


def test_the_newest_fifty_are_kept() -> None:
    rows = [delivery(f"r{number}", number / 100) for number in range(MAX_DELIVERIES)]
    found = with_delivery(status(*rows), "a", [run("r", 2)])
    assert (len(found.deliveries), found.deliveries[0].revision, found.deliveries[-1].revision) == (50, "r1", "a")


def test_a_delivery_is_on_record_in_the_status_that_is_written_before_its_run_is_pruned() -> None:
    spec = pipeline_spec("extract", retention={"succeeded": 0, "failed": 0})
    name = current_revision(pipeline_view(spec))
    runs = [run("only", -1, revision=name)]
    scene = PipelineScene(pipeline=pipeline_view(spec), runs=runs, revisions=[revision_view(name=name)], now=NOW)
    plan = plan_pipeline(scene)
    assert plan.status is not None
    assert told(plan.status) == [(name, "only", False)]
    assert [action.name for action in plan.after if isinstance(action, DeleteRun)] == ["only"]
    later = PipelineScene(
        pipeline=pipeline_view(spec, status=plan.status), runs=[], revisions=[revision_view(name=name)], now=NOW
    )
    following = plan_pipeline(later).status or plan.status
    assert told(following) == [(name, "only", False)]


def test_deliveries_are_promotions_and_a_return_takes_back() -> None:
    rows = [delivery("a", -72), delivery("b", -48, commit_time=after(hours=-49)), delivery("a", -24, again=True)]
    found = four_keys([History("data", "flights", LONG_AGO, delivered(rows), "DataPipeline")], NOW, MONTH)
    assert (found.promoted, found.came, found.failed, found.lead.median) == (3, 2, 1, 3600.0)
    assert found.restore.median == 24 * 3600.0
