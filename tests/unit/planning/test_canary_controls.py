"""Requests by annotation: what is understood, what is refused with what is allowed, and that each is answered once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.canary_status import AnsweredControl
from sluice.api.canary_status import CanaryPhase as P
from sluice.planning.canary_controls import ACTIONS, ALLOWED, MAX_CONTROL, requested
from sluice.planning.canary_scene import BadControl, ControlRequest
from tests.unit.planning.canary_world import World, canary_spec


def stepping() -> World:
    world = World(canary_spec())
    world.run()
    world.git("v2")
    world.run(until=P.STEPPING)
    return world


def answer(world: World) -> AnsweredControl:
    world.look()
    assert world.status.control is not None
    return world.status.control


def test_without_an_annotation_nothing_is_asked() -> None:
    assert requested(None, None) is None


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_comes_with_a_nonce_or_is_its_own(action: Any) -> None:
    assert requested(f"{action}:0a1b2c3d", "alice") == ControlRequest(action, "0a1b2c3d", "alice")
    assert requested(action, None) == ControlRequest(action, action, "")


def test_every_action_has_the_phases_in_which_it_can_be_met() -> None:
    assert set(ACTIONS) == set(ALLOWED)


@pytest.mark.parametrize("nonce", ["7", "2026-03-01T12:00:00+01:00", "a_b.c-d"])
def test_a_time_or_a_number_will_do_as_a_nonce(nonce: str) -> None:
    assert requested(f"pause:{nonce}", "alice") == ControlRequest("pause", nonce, "alice")


ALL = "allowed: pause, resume, skip, promote, promoteInFull, abort, retry, each with or without :NONCE"


@pytest.mark.parametrize(
    ("text", "action", "problem"),
    [
        ("pauze:1", "pauze", f'"pauze:1": no such action "pauze"; {ALL}'),
        ("Pause", "Pause", f'"Pause": no such action "Pause"; {ALL}'),
        (" pause", " pause", f'" pause": no such action " pause"; {ALL}'),
        ("", "", f'"": no such action ""; {ALL}'),
        (":1", "", f'":1": no such action ""; {ALL}'),
        ("pause:", "pause", '"pause:": the nonce is empty; allowed: pause alone, or pause:NONCE'),
        (
            "pause:a b",
            "pause",
            '"pause:a b": no such nonce "a b"; allowed are letters, digits and . _ : + -',
        ),
        (
            "pause:\x1b[2J\n",
            "pause",
            r'"pause:\x1b[2J\n": no such nonce "\x1b[2J\n"; allowed are letters, digits and . _ : + -',
        ),
        ("promote-at-once-and-in-full:1", "promote-at-once-and-", 'no such action "promote-at-once-and-in-full"'),
        ("pause:" + "7" * 75, "pause", "has 81 characters; at most 80 are allowed"),
        ("x" * 5000, "x" * 20, "has 5000 characters; at most 80 are allowed"),
    ],
)
def test_what_cannot_be_understood_says_the_value_and_what_is_allowed(text: str, action: str, problem: str) -> None:
    found = requested(text, "alice")
    assert isinstance(found, BadControl)
    assert (found.action, found.by) == (action, "alice")
    assert found.problem.startswith("sluice.dev/control: ")
    assert problem in found.problem
    assert len(found.problem) < 400


def test_a_text_of_the_greatest_length_is_a_request() -> None:
    nonce = "7" * (MAX_CONTROL - len("pause:"))
    assert requested(f"pause:{nonce}", None) == ControlRequest("pause", nonce)


@given(st.text(max_size=200))
def test_whatever_is_written_has_an_answer_that_can_be_kept(text: str) -> None:
    found = requested(text, None)
    assert found is not None
    assert 0 < len(found.nonce) <= MAX_CONTROL
    assert found.nonce.isprintable()
    assert requested(text, None) == found


@given(st.text(min_size=MAX_CONTROL, max_size=200), st.text(min_size=1, max_size=5))
def test_long_texts_that_begin_alike_are_different_requests(text: str, more: str) -> None:
    first, second = requested(text, None), requested(text + more, None)
    assert first is not None
    assert second is not None
    assert first.nonce != second.nonce


@pytest.mark.parametrize("text", ["pauze:1", "pause:", "abort:a b", "x" * 100])
def test_what_cannot_be_understood_is_refused_once_and_changes_nothing(text: str) -> None:
    world = stepping()
    world.settle()
    before = world.status
    world.annotate(text)
    reply = answer(world)
    assert (reply.accepted, reply.by, reply.action) == (False, "alice", text.partition(":")[0][:20])
    lazy = {"control": before.control, "weight_seen": before.weight_seen}
    assert world.status.model_copy(update=lazy) == before
    assert [event for event in world.events if "Control" in event] == ["Warning ControlRefused"]
    world.settle()
    assert world.status.control == reply
    assert [event for event in world.events if "Control" in event] == ["Warning ControlRefused"]


def test_an_action_alone_is_done_once_and_again_after_another_one() -> None:
    world = stepping()
    world.annotate("pause")
    first = answer(world)
    assert (first.accepted, first.nonce) == (True, "pause")
    world.advance(seconds=1)
    assert answer(world) == first
    world.annotate("resume")
    assert answer(world).action == "resume"
    assert world.status.paused is None
    world.annotate("pause")
    assert answer(world).at > first.at
    assert world.status.paused is not None


def test_two_actions_with_the_same_nonce_are_two_requests() -> None:
    world = stepping()
    world.annotate("pause:1")
    assert answer(world).accepted
    world.annotate("resume:1")
    assert answer(world).action == "resume"
    assert world.status.paused is None


def test_a_bad_request_does_not_hide_the_good_one_that_follows() -> None:
    world = stepping()
    world.annotate("abrot:1")
    assert not answer(world).accepted
    world.annotate("abort:1")
    assert answer(world).accepted
    assert world.status.phase is P.ROLLING_BACK
