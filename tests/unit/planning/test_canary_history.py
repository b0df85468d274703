"""The records of rollouts: one for each that ended, with its times, in no write of its own."""

import json
from datetime import timedelta
from typing import Any

import pytest

from sluice.api.canary_status import CanaryPhase as P
from sluice.api.canary_status import CanaryStatus, RolloutRecord
from sluice.api.commits import CommitRecord
from sluice.planning.canary_history import MAX_ROLLOUTS, unserved
from sluice.planning.verdicts import Outcome
from tests.builders import NOW
from tests.unit.planning.canary_world import World, canary_spec, commit_of


def started(**fields: Any) -> World:
    world = World(canary_spec(**fields))
    world.run()
    return world


def outcomes(world: World) -> list[tuple[str, str, str]]:
    return [(row.revision, row.outcome, row.reason) for row in world.status.rollouts]


def test_adopting_a_target_is_no_rollout() -> None:
    assert started().status.rollouts == ()


def test_a_promotion_leaves_its_commit_and_its_times_in_their_order() -> None:
    world = started()
    world.git("v2")
    world.run()
    (row,) = world.status.rollouts
    assert (row.outcome, row.reason, row.commit) == ("Promoted", "Promoted", commit_of("v2").id)
    assert row.started_at is not None
    assert row.requests_at is not None
    assert row.started_at <= row.requests_at < row.ended_at == world.status.finished_at
    assert (row.failed_at, row.restored_at, row.again) == (None, None, None)
    assert world.status.requests_at is None


def test_a_rollback_says_when_the_fault_was_seen_and_when_the_requests_were_sent_back() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.STEPPING)
    world.run_once()
    world.advance(seconds=30)
    world.metric = Outcome.FAIL
    world.run()
    (row,) = world.status.rollouts
    assert (row.outcome, row.reason) == ("RolledBack", "GateFailed")
    assert row.failed_at == world.status.failed[0].at
    assert row.requests_at is not None
    assert row.restored_at is not None
    assert row.requests_at < row.failed_at <= row.restored_at < row.ended_at
    assert row.restored_at - row.failed_at < timedelta(seconds=1), "the draining of the candidate is not waited for"


def test_a_candidate_that_never_was_ready_had_no_request() -> None:
    world = started()
    world.broken = {"v2"}
    world.git("v2")
    world.run()
    (row,) = world.status.rollouts
    assert (row.outcome, row.reason, row.requests_at, row.restored_at) == (
        "RolledBack",
        "CandidateNotReady",
        None,
        None,
    )


def test_what_a_person_ends_is_aborted() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.STEPPING)
    world.run_once()
    world.ask("abort", "1")
    world.run()
    assert outcomes(world) == [("v2", "Aborted", "Aborted")]
    assert world.status.rollouts[0].requests_at is not None


def test_a_second_try_is_a_record_of_its_own() -> None:
    world = started()
    world.metric = Outcome.FAIL
    world.git("v2")
    world.run()
    world.metric = Outcome.PASS
    world.ask("retry", "1")
    world.run()
    assert [row[1] for row in outcomes(world)] == ["RolledBack", "Promoted"]
    assert [row.round for row in world.status.rollouts] == [1, 2]
    assert [row.again for row in world.status.rollouts] == [None, None]


def test_a_revert_in_mid_run_and_a_newer_revision_end_it() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.WATCHING)
    world.git("v3")
    world.run(until=P.STEPPING)
    world.run_once()
    world.git("v1")
    world.run()
    assert outcomes(world) == [("v2", "Superseded", "RevisionChanged"), ("v3", "Reverted", "Reverted")]
    assert world.status.rollouts[1].restored_at is not None


@pytest.mark.parametrize("phase", [P.PROMOTING, P.RETURNING])
def test_a_newer_revision_after_the_decision_leaves_the_promotion(phase: P) -> None:
    world = started()
    world.git("v2")
    world.run(until=phase)
    world.git("v3")
    world.run()
    assert outcomes(world) == [("v2", "Promoted", "RevisionChanged"), ("v3", "Promoted", "Promoted")]


def test_a_failed_revision_that_another_one_follows_leaves_no_second_record() -> None:
    world = started()
    world.metric = Outcome.FAIL
    world.git("v2")
    world.run()
    world.metric = Outcome.PASS
    world.git("v3")
    world.run()
    assert [row[1] for row in outcomes(world)] == ["RolledBack", "Promoted"]


def test_a_failed_revision_that_is_reverted_leaves_no_second_record() -> None:
    world = started()
    world.metric = Outcome.FAIL
    world.git("v2")
    world.run()
    world.git("v1")
    world.run()
    assert [row[1] for row in outcomes(world)] == ["RolledBack"]


def test_an_earlier_revision_that_comes_again_is_marked_and_has_no_commit_of_its_own() -> None:
    world = started()
    for revision in ("v2", "v1", "v3", "v2"):
        world.git(revision)
        world.run()
    assert [(row.revision, row.again) for row in world.status.rollouts] == [
        ("v2", None),
        ("v1", True),
        ("v3", None),
        ("v2", True),
    ]
    assert [bool(row.commit) for row in world.status.rollouts] == [True, False, True, False]


def test_a_deleted_canary_says_what_became_of_its_rollout() -> None:
    world = started()
    world.git("v2")
    world.run(until=P.STEPPING)
    world.deleting = True
    world.run(until=P.LEAVING)
    assert outcomes(world) == [("v2", "Deleted", "Deleted")]


def test_a_hold_that_was_broken_is_a_promotion_that_says_so() -> None:
    world = World(canary_spec(), webhook=False)
    world.run()
    world.git("v2")
    for _ in range(8):
        world.controllers()
        world.kubelet()
        world.endpoints()
    world.run()
    assert outcomes(world) == [("v2", "Promoted", "HoldBroken")]


def test_a_commit_that_becomes_known_after_the_end_is_joined_by_its_revision() -> None:
    world = started()
    world.tracked = False
    world.git("v2")
    world.run()
    (row,) = world.status.rollouts
    assert row.commit == ""
    world.commits["v2"] = commit_of("v2").model_copy(update={"time": NOW})
    assert world.look()
    (joined,) = world.status.rollouts
    assert (joined.commit, joined.commit_time) == (commit_of("v2").id, NOW)
    world.settle()


def test_a_commit_whose_time_cannot_be_read_is_joined_once() -> None:
    world = started()
    world.git("v2")
    world.run()
    assert world.status.rollouts[0].commit_time is None
    world.settle()


@pytest.mark.parametrize("good", [True, False])
def test_the_end_of_a_rollout_and_its_record_are_one_write(*, good: bool) -> None:
    world = started()
    world.metric = Outcome.PASS if good else Outcome.FAIL
    world.git("v2")
    for _ in world.ticks():
        before = world.status
        world.look()
        assert bool(world.status.rollouts) == (world.status.finished_at is not None and world.status.round == 1)
        if world.status.rollouts and not before.rollouts:
            break
    assert world.status.finished_at is not None
    assert (before.finished_at, before.rollouts) == (None, ())
    world.run()
    world.settle()


def full_record(number: int) -> RolloutRecord:
    moment = NOW + timedelta(milliseconds=number)
    return RolloutRecord(
        round=10**6 + number,
        revision=f"{number:010x}",
        outcome="RolledBack",
        reason="WriteBackNotNeeded",
        commit="f" * 40,
        commit_time=moment,
        started_at=moment,
        requests_at=moment,
        failed_at=moment,
        restored_at=moment,
        ended_at=moment,
        again=True,
    )


def test_the_newest_fifty_are_kept_in_at_most_32_kib() -> None:
    world = started()
    world.status = world.status.model_copy(
        update={"rollouts": tuple(full_record(n) for n in range(1, MAX_ROLLOUTS + 1))}
    )
    world.git("v2")
    world.run()
    rows = world.status.rollouts
    assert (len(rows), rows[0], rows[-1].revision) == (50, full_record(2), "v2")
    assert len(json.dumps([full_record(n).to_dict() for n in range(50)])) <= 32 * 1024


def test_a_record_is_read_as_it_was_written() -> None:
    row = full_record(1)
    status = CanaryStatus(rollouts=(row,))
    assert CanaryStatus.model_validate(status.to_dict()).rollouts == (row,)


def test_since_when_what_is_applied_does_not_run() -> None:
    world = started()
    assert unserved(world.status) is None
    world.git("v2")
    world.run(until=P.STEPPING)
    seen = world.status.started_at
    assert unserved(world.status) == seen
    world.metric = Outcome.FAIL
    world.run()
    assert (world.status.phase, unserved(world.status)) == (P.FAILED, seen)
    world.git("v1")
    world.run()
    assert unserved(world.status) is None
    world.advance(hours=1)
    world.git("v2")
    world.run()
    assert (world.status.phase, unserved(world.status)) == (P.FAILED, world.status.since), "it failed before"


def test_a_commit_of_another_revision_is_not_taken() -> None:
    world = started()
    world.tracked = False
    world.git("v2")
    world.run()
    world.commits["v3"] = CommitRecord(revision="v3", id="a" * 40)
    assert not world.look()
