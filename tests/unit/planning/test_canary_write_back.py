"""When a rollback is written back: recorded first, for gates only, tried so often, and once over any crash."""

from datetime import timedelta
from typing import Any

import pytest

from sluice.api.canary_status import CanaryPhase as P
from sluice.planning.git_work import ATTEMPTS, wait
from sluice.planning.verdicts import Outcome
from tests.unit.planning.canary_world import World, canary_spec, commit_of

REVERT = {"branch": "main", "onRollback": "Revert"}


def failing(**rule: Any) -> World:
    """A canary whose second version is at its first step, and from now on fails its gate."""
    world = World(canary_spec(writeBack={**REVERT, **rule}))
    world.run()
    world.git("v2")
    world.run(until=P.STEPPING)
    world.metric = Outcome.FAIL
    return world


def state_of(world: World) -> str | None:
    return world.status.write_back.state if world.status.write_back is not None else None


def test_a_gate_that_says_no_has_the_commit_taken_back() -> None:
    world = failing()
    world.run()
    assert (world.status.phase, state_of(world)) == (P.FAILED, "Pushed")
    (action,) = world.taken_back
    assert (action.repository, action.branch, action.path) == ("https://git.example/apps", "main", "apps/pricing")
    assert (action.aside, action.secret) == (False, None)
    wanted = action.wanted
    assert wanted.canary.endswith("/pricing")
    assert (wanted.revision, wanted.commit, wanted.stable) == ("v2", commit_of("v2").id, commit_of("v1").id)
    assert wanted.reason == "GateFailed"
    assert "error-rate" in wanted.message
    assert "Normal WrittenBack" in world.events
    assert world.status.write_back is not None
    assert world.status.write_back.commit == "f" * 40
    world.settle()
    assert len(world.taken_back) == 1


def test_the_spec_comes_before_what_argo_cd_says() -> None:
    world = failing(repository="https://git.example/other", path="p", secret={"name": "bot"}, onRollback="RevertBranch")
    world.run()
    (action,) = world.taken_back
    assert (action.repository, action.path, action.secret, action.aside) == (
        "https://git.example/other",
        "p",
        "bot",
        True,
    )


def test_requests_go_back_before_git_is_written_to_in_no_case_later() -> None:
    world = failing()
    world.write_answer = "Running"
    world.run()
    assert (world.status.phase, world.status.weight, state_of(world)) == (P.FAILED, 0, "Pending")


@pytest.mark.parametrize("cut", range(6))
def test_a_crash_at_any_write_leads_to_the_same_record(cut: int) -> None:
    world = failing()
    for _ in world.ticks(60):
        world.look(cut)
        if world.status.phase is P.ROLLING_BACK:
            break
    world.look(cut)
    world.run()
    assert state_of(world) == "Pushed"
    assert len({(row.round, row.attempt) for row in world.taken_back}) == 1, "what is done again is the same"


def test_nothing_is_done_for_a_person_a_slow_start_or_without_being_asked_for() -> None:
    world = failing(onRollback="None")
    world.run()
    assert (world.status.phase, state_of(world)) == (P.FAILED, None)
    world = failing()
    world.metric = Outcome.PASS
    world.ask("abort", "1")
    world.run()
    assert (world.status.phase, state_of(world)) == (P.FAILED, None)
    world = World(canary_spec(writeBack=REVERT))
    world.run()
    world.broken = {"v2"}
    world.git("v2")
    world.run()
    assert (world.status.phase, state_of(world), world.taken_back) == (P.FAILED, None, [])


def test_an_old_failure_is_not_written_back_when_it_is_asked_for_later() -> None:
    world = failing(onRollback="None")
    world.run()
    world.spec = canary_spec(writeBack=REVERT)
    world.settle()
    assert (state_of(world), world.taken_back) == (None, [])


def test_a_repository_that_is_away_is_told_at_once_and_tried_for_an_hour() -> None:
    world = failing()
    world.write_answer = "Again"
    world.run(until=P.ROLLING_BACK)
    while len(world.taken_back) < 2:
        world.look()
    world.look()
    assert (state_of(world), world.events.count("Warning WriteBackFailed")) == ("Pending", 1)
    for _ in range(3 * ATTEMPTS):
        world.look()
    assert [row.attempt for row in world.taken_back] == list(range(1, ATTEMPTS + 1))
    assert state_of(world) == "Failed"
    assert world.events.count("Warning WriteBackFailed") == 2


def test_a_repository_that_is_back_after_a_while_gets_its_revert() -> None:
    world = failing()
    world.write_answer = "Again"
    world.run(until=P.ROLLING_BACK)
    while len(world.taken_back) < 7:
        world.look()
    world.write_answer = "Pushed"
    world.settle()
    assert state_of(world) == "Pushed"


def test_attempts_are_at_most_five_minutes_apart_and_go_on_for_an_hour() -> None:
    waits = [wait(number) for number in range(1, ATTEMPTS + 1)]
    assert [row.total_seconds() for row in waits[:6]] == [0, 5, 20, 80, 300, 300]
    assert timedelta(hours=1) <= sum(waits, timedelta(0)) <= timedelta(minutes=65)
    assert wait(10_000) == timedelta(minutes=5)


def test_what_is_not_needed_is_told() -> None:
    world = failing()
    world.write_answer = "NotNeeded"
    world.run()
    assert state_of(world) == "NotNeeded"
    assert "Normal WriteBackNotNeeded" in world.events


@pytest.mark.parametrize(
    ("problem", "tracked", "said"),
    [("no right", True, "the commit is not known: no right"), ("", False, "the target does not say which commit")],
)
def test_without_a_commit_a_person_has_to(problem: str, tracked: bool, said: str) -> None:
    world = World(canary_spec(writeBack=REVERT))
    world.commit_problem, world.tracked = problem, tracked
    world.run()
    world.git("v2")
    world.run(until=P.STEPPING)
    world.metric = Outcome.FAIL
    world.run()
    assert state_of(world) == "Failed"
    assert world.status.write_back is not None
    assert world.status.write_back.message.startswith(said)


def test_a_fix_that_comes_first_makes_it_unnecessary() -> None:
    world = failing()
    world.write_answer = "Running"
    world.run()
    world.crash()
    world.metric = Outcome.PASS
    world.git("v3")
    world.run(until=P.STEPPING)
    assert state_of(world) == "NotNeeded"
    assert len(world.taken_back) == 1


def test_the_next_failure_has_a_record_of_its_own() -> None:
    world = failing()
    world.run()
    world.git("v1")
    world.metric = Outcome.PASS
    world.run()
    world.git("v3")
    world.run(until=P.STEPPING)
    world.metric = Outcome.FAIL
    world.run()
    assert [row.wanted.revision for row in world.taken_back] == ["v2", "v3"]
    assert world.status.write_back is not None
    assert (world.status.write_back.revision, state_of(world)) == ("v3", "Pushed")
