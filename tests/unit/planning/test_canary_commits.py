"""Where revisions come from: what Argo CD's objects say, what is asked once, and what is put on record."""

from typing import Any

import pytest

from sluice.api.canary_status import CanaryPhase as P
from sluice.planning.origins import Applied, ReadCommit, application_of, applied, is_commit
from tests.unit.planning.canary_world import World, canary_spec, commit_of

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
SOURCE = {"repoURL": "https://git.example/apps", "path": "./"}


def application(*, sync: str = "", phase: str = "", asked: str = "", done: str = "", **source: Any) -> dict[str, Any]:
    state = {"phase": phase, "operation": {"sync": {"revision": asked}}, "syncResult": {"revision": done}}
    spec = {"source": {"repoURL": "https://git.example/apps", "path": "apps/pricing", **source}}
    return {"spec": spec, "status": {"sync": {"revision": sync}, "operationState": state}}


@pytest.mark.parametrize(
    ("said", "commit"),
    [
        ({"sync": A}, A),
        ({"sync": A, "phase": "Succeeded", "asked": B, "done": B}, B),
        ({"sync": A, "phase": "Running", "asked": C, "done": B}, C),
        ({"sync": A, "phase": "Running", "asked": "main", "done": ""}, A),
        ({"sync": "v1.2.3"}, ""),
        ({}, ""),
    ],
)
def test_while_a_sync_runs_its_operation_tells_the_commit(said: dict[str, str], commit: str) -> None:
    found = applied(application(**said))
    assert (found.commit, found.path) == (commit, "apps/pricing")
    assert bool(found.problem) is not bool(commit)


def test_what_has_no_commit_says_so() -> None:
    assert "Helm" in applied(application(sync=A, chart="pricing")).problem
    assert "several sources" in applied({"spec": {"sources": [SOURCE]}}).problem
    assert applied({}) == Applied(problem="the Application has not said which commit it applies")
    assert applied(application(sync=A, path=".")).path == ""


def test_a_tracking_id_counts_on_the_object_that_it_names() -> None:
    assert application_of("pricing:apps/Deployment:shop/pricing", "apps/Deployment", "shop", "pricing") == "pricing"
    assert application_of("pricing:apps/Deployment:shop/pricing", "apps/Deployment", "shop", "copy") == ""
    assert application_of("pricing:apps/Deployment:shop/pricing", "apps/Deployment", "other", "pricing") == ""
    assert application_of("", "apps/Deployment", "shop", "pricing") == ""
    assert is_commit(A)
    assert not is_commit("main")


def test_each_revision_is_asked_about_once_and_its_commit_goes_with_it() -> None:
    world = World(canary_spec())
    world.run()
    assert world.status.stable_commit == commit_of("v1")
    assert world.status.commit == commit_of("v1").id[:8]
    world.git("v2")
    world.run(until=P.STEPPING)
    assert (world.status.stable_commit, world.status.candidate_commit) == (commit_of("v1"), commit_of("v2"))
    assert world.status.commit == commit_of("v2").id[:8]
    world.run()
    assert (world.status.stable_commit, world.status.candidate_commit) == (commit_of("v2"), None)
    world.crash()
    _, plan = world.plan()
    assert not [row for row in plan.after if isinstance(row, ReadCommit)]


def test_a_failure_is_said_once_and_in_nobodys_way() -> None:
    world = World(canary_spec())
    world.commit_problem = "it cannot be read"
    world.run()
    world.git("v2")
    world.run()
    assert (world.status.phase, world.status.stable_revision) == (P.STABLE, "v2")
    record = world.status.stable_commit
    assert record is not None
    assert (record.id, record.problem, world.status.commit) == ("", "it cannot be read", None)
    world.commit_problem = ""
    world.crash()
    world.settle()
    assert world.status.stable_commit == record


def test_nothing_is_asked_where_the_target_says_nothing() -> None:
    world = World(canary_spec())
    world.tracked = False
    world.run()
    assert world.commits == {}
    assert world.status.stable_commit is None
