"""Whether a run may start beside others."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.pipeline import Concurrency
from sluice.api.run import PipelineRunStatus, RunPhase
from sluice.planning.concurrency import Admission, Decision, admit
from sluice.planning.views import RunView
from tests.builders import after, run_view


def concurrency(policy: str, limit: int | None = None) -> Concurrency:
    return Concurrency.model_validate({"policy": policy, "maxActiveRuns": limit})


def run(name: str, age: int = 0, phase: RunPhase = RunPhase.PENDING, **fields: Any) -> RunView:
    """A run created `age` seconds ago; beyond Pending it has started."""
    started: datetime | None = after(seconds=-age) if phase is not RunPhase.PENDING else None
    status = PipelineRunStatus(phase=phase, started_at=started)
    return run_view(name, uid=name, created=after(seconds=-age), status=status, **fields)


RUNNING, OLDER, ME, YOUNGER = run("r", 30, RunPhase.RUNNING), run("o", 20), run("me", 10), run("y", 5)


def verdict(decision: Decision) -> tuple[Admission, list[str], list[str]]:
    return decision.admission, [one.name for one in decision.ahead], [one.name for one in decision.replace]


@pytest.mark.parametrize(
    ("policy", "siblings", "expected"),
    [
        pytest.param(concurrency("Allow"), [RUNNING, OLDER], (Admission.START, [], []), id="Allow has no limit"),
        pytest.param(concurrency("Queue"), [], (Admission.START, [], []), id="Queue, alone"),
        pytest.param(concurrency("Queue"), [ME, YOUNGER], (Admission.START, [], []), id="Queue, first in line"),
        pytest.param(concurrency("Queue"), [RUNNING], (Admission.WAIT, ["r"], []), id="Queue waits"),
        pytest.param(
            concurrency("Queue"), [OLDER], (Admission.WAIT, ["o"], []), id="Queue waits behind an older run"
        ),
        pytest.param(
            concurrency("Queue", 2), [RUNNING], (Admission.START, [], []), id="Queue, a place is free"
        ),
        pytest.param(
            concurrency("Queue", 2), [OLDER, RUNNING], (Admission.WAIT, ["r", "o"], []), id="Queue, no place is free"
        ),
        pytest.param(concurrency("Forbid"), [RUNNING], (Admission.REFUSE, ["r"], []), id="Forbid refuses"),
        pytest.param(concurrency("Forbid"), [YOUNGER], (Admission.START, [], []), id="Forbid, a younger one"),
        pytest.param(concurrency("Replace"), [RUNNING], (Admission.WAIT, ["r"], ["r"]), id="Replace cancels"),
        pytest.param(
            concurrency("Replace", 2), [OLDER, RUNNING], (Admission.WAIT, ["r", "o"], ["r"]),
            id="Replace cancels the oldest, and no more than it has to",
        ),
        pytest.param(
            concurrency("Replace"), [OLDER, RUNNING], (Admission.WAIT, ["r", "o"], ["r", "o"]),
            id="Replace cancels those that wait too",
        ),
        pytest.param(
            concurrency("Queue"), [run("e", 30, RunPhase.FAILED)], (Admission.START, [], []), id="ended runs are over"
        ),
        pytest.param(
            concurrency("Queue"), [run("d", 30, deleting=True)], (Admission.START, [], []), id="so are deleted ones"
        ),
        pytest.param(
            concurrency("Queue"), [run("f", 30, RunPhase.FINALIZING)], (Admission.WAIT, ["f"], []),
            id="a run that finalizes is under way",
        ),
        pytest.param(
            concurrency("Queue"), [run("y", 0, RunPhase.RUNNING)], (Admission.WAIT, ["y"], []),
            id="a younger run that has started stands before",
        ),
        pytest.param(concurrency("Queue"), [run("a", 10)], (Admission.WAIT, ["a"], []), id="of one age, by name"),
        pytest.param(concurrency("Queue"), [run("z", 10)], (Admission.START, [], []), id="of one age, by name, first"),
    ],
)  # fmt: skip
def test_a_run(policy: Concurrency, siblings: list[RunView], expected: object) -> None:
    assert verdict(admit(ME, siblings, policy)) == expected


def test_without_rules_every_run_starts() -> None:
    assert admit(ME, [RUNNING, OLDER], None).admission is Admission.START


@given(
    policy=st.sampled_from(["Queue", "Forbid", "Replace"]),
    limit=st.integers(1, 3),
    runs=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([RunPhase.PENDING, RunPhase.PENDING, RunPhase.RUNNING])),
        max_size=6,
    ),
)
def test_runs_looked_at_in_the_same_moment_never_start_beyond_the_limit(
    policy: str, limit: int, runs: list[tuple[int, RunPhase]]
) -> None:
    everyone = [run(f"r{index}", age, phase) for index, (age, phase) in enumerate(runs)]
    started = [one for one in everyone if one.status.started_at is not None]
    rules = concurrency(policy, limit)
    starting = [
        one for one in everyone
        if one.status.started_at is None and admit(one, everyone, rules).admission is Admission.START
    ]  # fmt: skip
    assert len(starting) <= max(0, limit - len(started))
    if everyone and len(started) < limit and len(started) < len(everyone):
        assert starting, "a free place is not left empty"
