"""A Canary as text: one screen, and one line for each change."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from sluice.api.canary_status import CanaryPhase as P
from sluice.cli.canary_screens import CanaryPainting
from sluice.cli.canary_state import CanaryState, read_canary
from sluice.cli.canary_view import changes, render
from tests.unit.cli.canaries import canary_object, canary_state, move
from tests.unit.cli.runs import at

NOW = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
GATE: dict[str, Any] = {
    "name": "pricing-slo",
    "verdict": "Inconclusive",
    "message": "latency: no value",
    "tallies": [
        {"name": "error-rate", "conclusive": 4, "total": 1, "newest": "Pass", "value": 0.25, "message": "0.25 of 1"},
        {"name": "latency", "newest": "Inconclusive", "message": "no value"},
    ],
}
FULL: dict[str, Any] = {
    "reason": "Analysing",
    "message": "step 2/3 at 50%",
    "stableRevision": "aaa",
    "candidateRevision": "bbb",
    "step": 1,
    "progress": "2/3",
    "weight": 50,
    "weightSeen": 5,
    "startedAt": at(0),
    "gates": [GATE],
    "hooks": [
        {"name": "smoke", "key": "u-1/1/BeforeStep-1/smoke", "attempt": 2, "state": "Succeeded", "message": "204"}
    ],
    "paused": {"by": "bob", "since": at(60)},
    "control": {"nonce": "1", "action": "skip", "by": "alice", "at": at(30), "accepted": True},
    "lastMove": move("Stepping", "Stepping", "StepSkipped", 30, by="alice", message="step 1/3 at 5%"),
    "failed": [
        {"revision": "xxx", "reason": "GateFailed", "message": "slo: Fail", "at": at(1)},
        {"revision": "yyy", "reason": "Aborted", "message": "aborted", "at": at(2)},
    ],
    "conditions": [
        {"type": "Ready", "status": "Unknown", "reason": "Analysing", "lastTransitionTime": at(0)},
        {"type": "Paused", "status": "True", "reason": "Paused", "lastTransitionTime": at(60)},
    ],
}


COMMITS: dict[str, Any] = {
    "stableCommit": {"revision": "aaa", "id": "a" * 40, "problem": "no \x1b[31mright"},
    "candidateCommit": {
        "revision": "bbb",
        "id": "b" * 40,
        "author": "Asha",
        "message": "Sell apples",
        "time": at(0),
        "repository": "https://git.example/apps",
    },
    "writeBack": {"round": 1, "revision": "xxx", "state": "Pushed", "commit": "c" * 40, "message": "cccccccc on main"},
}


def screen(state: CanaryState, rows: int | None = None, width: int = 150) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(render(state, NOW, zone=UTC, rows=rows))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_everything_that_is_known_is_on_the_screen() -> None:
    assert screen(canary_state(**FULL)) == [
        "pricing  Stepping  step 2/3  10m  paused",
        "  Analysing: step 2/3 at 50%",
        "  target pricing; stable revision aaa, candidate revision bbb",
        "  weight 50% asked, 5% seen when this was written",
        "  paused by bob since 2026-03-01 12:01:00 UTC",
        "  gates, as last written: looks that pass are not written",
        "    pricing-slo  Inconclusive  latency: no value",
        "      error-rate  Pass          4 conclusive looks; failed: 0 in a row, 1 in all; newest value 0.25; 0.25 of 1",
        "      latency     Inconclusive  0 conclusive looks; failed: 0 in a row, 0 in all; no value",
        "  hooks",
        "    smoke (BeforeStep-1)  Succeeded  attempt 2: 204",
        "  last request",
        "    skip by alice at 2026-03-01 12:00:30 UTC: accepted",
        "  last move",
        "    Stepping to Stepping by alice at 2026-03-01 12:00:30 UTC: StepSkipped: step 1/3 at 5%",
        "  failed revisions",
        "    yyy at 2026-03-01 12:00:02 UTC: Aborted: aborted",
        "    xxx at 2026-03-01 12:00:01 UTC: GateFailed: slo: Fail",
        "  conditions",
        "    Ready   Unknown  Analysing",
        "    Paused  True     Paused",
    ]


def test_a_canary_that_nobody_has_looked_at_says_so() -> None:
    assert screen(canary_state(None)) == [
        "pricing  Waiting",
        "  no operator has looked at it yet",
        "  target pricing; stable revision not known yet",
    ]


@pytest.mark.parametrize("phase", P)
def test_every_phase_has_a_screen(phase: P) -> None:
    assert screen(canary_state(str(phase), reason="Stable"))[0] == f"pricing  {phase}"


def test_a_request_without_an_answer_yet_is_shown_as_such() -> None:
    obj = canary_object(**FULL, asked="abort:2")
    lines = screen(read_canary(obj))
    assert lines[lines.index("  last request") + 1] == "    abort:2: not answered yet"
    assert "    abort:2: not answered yet" not in screen(read_canary(canary_object(**FULL, asked="skip:1")))


def test_a_small_window_keeps_the_top_and_says_what_is_left_out() -> None:
    lines = screen(canary_state(**FULL), rows=6, width=40)
    assert len(lines) == 6
    assert lines[0] == "pricing  Stepping  step 2/3  10m  paused"
    assert lines[-1].startswith("  and 16 more lines: sluice canary")


def test_what_comes_from_others_cannot_command_the_terminal() -> None:
    wild = "a\x1b[2Jb\nc"
    status = {**FULL, "message": wild, "lastMove": move("Stable", "Holding", "NewRevision", message=wild, by=wild)}
    text = "\n".join([*screen(canary_state(**status)), *changes(None, canary_state(**status), NOW, UTC)])
    assert "\x1b" not in text
    assert "a [2Jb c" in text


# -- one line a change ------------------------------------------------------------------------------------------------

STEP = {"reason": "Analysing", "message": "step 1/2 at 5%", "step": 0, "progress": "1/2", "weight": 5}


def test_the_first_line_says_how_it_stands() -> None:
    assert changes(None, canary_state(**STEP), NOW, UTC) == [
        "12:10:00  pricing  Stepping, step 1/2, weight 5%  Analysing: step 1/2 at 5%"
    ]


def test_nothing_new_is_no_line() -> None:
    state = canary_state(**FULL)
    assert changes(state, canary_state(**{**FULL, "weightSeen": 50}), NOW, UTC) == []


def test_a_move_is_told_with_its_own_time_and_who_asked() -> None:
    later = {**STEP, "reason": "Aborted", "message": "aborted", "weight": 0}
    moved = canary_state("RollingBack", **later, lastMove=move("Stepping", "RollingBack", "Aborted", 90, by="alice"))
    assert changes(canary_state(**STEP), moved, NOW, UTC) == [
        "12:01:30  pricing  RollingBack, step 1/2 by alice  Aborted: aborted"
    ]


def test_requests_gates_and_hooks_have_lines_of_their_own() -> None:
    control = {"nonce": "1", "action": "retry", "by": "alice", "at": at(5), "accepted": False, "message": "not here"}
    hook = {"name": "smoke", "key": "u/1/BeforeRollout/smoke", "state": "Failed", "message": "503"}
    new = canary_state(**STEP, control=control, gates=[GATE], hooks=[hook])
    assert changes(canary_state(**STEP), new, NOW, UTC) == [
        "12:00:05  request retry by alice  refused: not here",
        "12:10:00  gate pricing-slo  Inconclusive  latency: no value",
        "12:10:00  hook smoke (BeforeRollout)  Failed  attempt 1: 503",
    ]


def test_a_painting_leaves_its_last_picture() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, height=12, force_terminal=True, color_system=None)
    with CanaryPainting(console) as painting:
        painting.show(canary_state(**STEP))
        painting.notify("no rollout is under way")
        painting.show(canary_state("Stable", reason="Promoted", message="revision bbb"))
    lines = out.getvalue().splitlines()
    assert any("no rollout is under way" in line for line in lines)
    assert lines[-2].strip() == "Promoted: revision bbb"


def test_the_commits_of_the_revisions_are_shown_and_what_was_done_in_git() -> None:
    lines = screen(canary_state(P.STEPPING, **FULL, **COMMITS))
    shown = [line for line in lines if "commit of" in line or "write-back" in line]
    assert shown == [
        "  commit of stable: aaaaaaaa: no  [31mright",
        "  commit of candidate: bbbbbbbb, Asha, 2026-03-01 12:00:00 UTC: Sell apples",
        "  write-back of xxx: Pushed: cccccccc on main",
    ]
