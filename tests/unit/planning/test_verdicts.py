"""The algebra of verdicts: tables for each step, and the properties that make a gate worth trusting."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.planning.verdicts import (
    BADNESS,
    Bounds,
    CheckResult,
    Decision,
    Limits,
    Look,
    NoData,
    Outcome,
    Rhythm,
    ScoreLines,
    Severity,
    Tally,
    combine,
    decide,
    judge_samples,
    judge_value,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)
PASS, WARN, FAIL, INCONCLUSIVE, ERROR = Outcome


def looks(text: str) -> list[Look]:
    """One look a second: P pass, W warn, F fail, i inconclusive, e error."""
    letters = {"P": PASS, "W": WARN, "F": FAIL, "i": INCONCLUSIVE, "e": ERROR}
    return [Look(T0 + timedelta(seconds=n), letters[letter], message="m") for n, letter in enumerate(text)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5.0, PASS),
        (0.0, PASS),
        (9.0, PASS),
        (10.0, WARN),
        (10.1, FAIL),
        (-0.1, FAIL),
        (9.5, WARN),
        (None, INCONCLUSIVE),
        (math.nan, INCONCLUSIVE),
        (math.inf, INCONCLUSIVE),
        (-math.inf, INCONCLUSIVE),
    ],
)
def test_a_value_is_judged_by_its_bounds_and_is_no_evidence_when_it_is_no_number(
    value: float | None, expected: Outcome
) -> None:
    assert judge_value(value, Bounds(0, 10), Bounds(0, 9))[0] is expected


@pytest.mark.parametrize(
    ("history", "limits", "expected"),
    [
        ("", Limits(), INCONCLUSIVE),
        ("P", Limits(), PASS),
        ("W", Limits(), WARN),
        ("F", Limits(), FAIL),
        ("i", Limits(), INCONCLUSIVE),
        ("e", Limits(), ERROR),
        ("Pi", Limits(), INCONCLUSIVE),
        ("iP", Limits(), PASS),
        ("PPF", Limits(consecutive=2), INCONCLUSIVE),
        ("FFP", Limits(consecutive=2), PASS),
        ("FFF", Limits(consecutive=2), FAIL),
        ("FFPFF", Limits(consecutive=2), INCONCLUSIVE),
        ("FPFPFP", Limits(consecutive=2, total=2), FAIL),
        ("FPFP", Limits(consecutive=2, total=2), PASS),
        ("PP", Limits(min_samples=3), INCONCLUSIVE),
        ("PPP", Limits(min_samples=3), PASS),
        ("PiPi", Limits(min_samples=3), INCONCLUSIVE),
        ("i", Limits(no_data=NoData.FAIL), FAIL),
        ("i", Limits(no_data=NoData.FAIL, consecutive=5), FAIL),
        ("ii", Limits(no_data=NoData.COUNT, consecutive=2), INCONCLUSIVE),
        ("iie", Limits(no_data=NoData.COUNT, consecutive=2), FAIL),
        ("FiF", Limits(no_data=NoData.HOLD, consecutive=1), FAIL),
    ],
)
def test_a_history_of_looks_becomes_one_outcome(history: str, limits: Limits, expected: Outcome) -> None:
    assert judge_samples(looks(history), limits)[0] is expected


def test_a_check_has_to_hold_for_as_long_as_it_says() -> None:
    limits = Limits(consecutive=1, sustained=timedelta(seconds=5))
    assert judge_samples(looks("PFPPPP"), limits)[0] is INCONCLUSIVE
    assert judge_samples(looks("PFPPPPP"), limits)[0] is PASS


@pytest.mark.parametrize(
    ("checks", "lines", "expected"),
    [
        ([], None, INCONCLUSIVE),
        ([CheckResult("a", PASS)], None, PASS),
        ([CheckResult("a", PASS), CheckResult("b", FAIL)], None, FAIL),
        ([CheckResult("a", FAIL, Severity.WARN)], None, WARN),
        ([CheckResult("a", ERROR, Severity.WARN)], None, WARN),
        ([CheckResult("a", FAIL, Severity.INFO)], None, INCONCLUSIVE),
        ([CheckResult("a", PASS), CheckResult("b", FAIL, Severity.INFO)], None, PASS),
        ([CheckResult("a", PASS), CheckResult("b", FAIL, Severity.INFO, critical=True)], None, FAIL),
        ([CheckResult("a", INCONCLUSIVE)], None, INCONCLUSIVE),
        ([CheckResult("a", INCONCLUSIVE, no_data=NoData.FAIL)], None, FAIL),
        ([CheckResult("a", ERROR), CheckResult("b", INCONCLUSIVE)], None, ERROR),
        ([CheckResult("a", ERROR), CheckResult("b", FAIL)], None, FAIL),
        ([CheckResult("a", FAIL, exempt=True)], None, WARN),
        ([CheckResult("a", FAIL, exempt=True, critical=True)], None, FAIL),
        ([CheckResult("a", INCONCLUSIVE, exempt=True)], None, INCONCLUSIVE),
        ([CheckResult("a", FAIL, Severity.WARN, weight=9), CheckResult("b", PASS)], ScoreLines(90, 50), FAIL),
        ([CheckResult("a", WARN), CheckResult("b", PASS)], ScoreLines(90, 50), WARN),
        ([CheckResult("a", FAIL), CheckResult("b", PASS, weight=99)], ScoreLines(90, 50), FAIL),
    ],
)
def test_checks_combine_into_a_verdict(checks: list[CheckResult], lines: ScoreLines | None, expected: Outcome) -> None:
    assert combine(checks, lines).outcome is expected


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        (PASS, Decision.CONTINUE),
        (WARN, Decision.CONTINUE),
        (INCONCLUSIVE, Decision.HOLD),
        (ERROR, Decision.HOLD),
        (FAIL, Decision.STOP),
    ],
)
def test_a_verdict_decides_and_a_dry_run_never_stops(outcome: Outcome, decision: Decision) -> None:
    assert decide(outcome) is decision
    assert decide(outcome, dry_run=True) is Decision.CONTINUE


RESULTS = st.builds(
    CheckResult,
    name=st.text("abc", min_size=1, max_size=3),
    outcome=st.sampled_from(list(Outcome)),
    severity=st.sampled_from(list(Severity)),
    weight=st.floats(0, 100),
    critical=st.booleans(),
    exempt=st.booleans(),
    no_data=st.sampled_from(list(NoData)),
)
LINES = st.none() | st.builds(ScoreLines, passing=st.floats(50, 100), warning=st.floats(0, 50))


@given(st.lists(RESULTS, min_size=1, max_size=6), LINES, st.floats(0, 10))
def test_adding_a_failing_blocking_check_never_improves_a_verdict(
    checks: list[CheckResult], lines: ScoreLines | None, weight: float
) -> None:
    before = combine(checks, lines)
    after = combine([*checks, CheckResult("new", FAIL, weight=weight)], lines)
    assert after.outcome is FAIL
    assert BADNESS[after.outcome] >= BADNESS[before.outcome]
    assert after.score <= before.score or before.outcome is INCONCLUSIVE


@given(st.lists(RESULTS, max_size=6), LINES, st.sampled_from([INCONCLUSIVE, ERROR]))
def test_no_evidence_never_passes(checks: list[CheckResult], lines: ScoreLines | None, unknown: Outcome) -> None:
    for severity in (Severity.BLOCK, Severity.WARN):
        assert combine([*checks, CheckResult("new", unknown, severity)], lines).outcome is not PASS


@given(st.text("PWFie", max_size=12), st.integers(0, 3), st.sampled_from(list(NoData)))
def test_a_history_that_ends_without_evidence_never_passes(text: str, limit: int, no_data: NoData) -> None:
    for last in "ie":
        outcome, _ = judge_samples(looks(text + last), Limits(consecutive=limit, no_data=no_data))
        assert outcome in (FAIL, INCONCLUSIVE, ERROR)


@given(st.lists(RESULTS, min_size=1, max_size=6), LINES)
def test_the_order_of_checks_does_not_matter(checks: list[CheckResult], lines: ScoreLines | None) -> None:
    assert combine(checks, lines).outcome is combine(checks[::-1], lines).outcome


# -- when to look -----------------------------------------------------------------------------------------------------


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("interval", "next_sample", "every", "due"),
    [
        pytest.param(0.25, 0.1, 1, 0.1, id="a sample comes before the next look"),
        pytest.param(0.25, 0.25, 1, 0.25, id="at the same time"),
        pytest.param(0.25, 0.6, 1, 0.25, id="it comes later"),
        pytest.param(10, 0.4, 1, 9.4, id="many come, and the last one counts"),
        pytest.param(10, 0.4, 15, 0.4, id="samples are farther apart than looks"),
        pytest.param(0.25, -0.1, 1, 0.25, id="the sample is late"),
        pytest.param(0.25, 0, 1, 0.25, id="it came with the look"),
    ],
)
def test_a_look_is_taken_when_the_last_sample_comes_before_it_is_due(
    interval: float, next_sample: float, every: float, due: float
) -> None:
    rhythm = Rhythm(T0 + seconds(next_sample), seconds(every))
    tally = Tally().with_look(Look(T0, PASS, 1.0, rhythm=rhythm), Limits())
    assert tally.due(seconds(interval)) == T0 + seconds(due)


def test_a_look_without_a_rhythm_is_due_after_its_interval_and_the_first_one_at_once() -> None:
    rhythm = Rhythm(T0 + seconds(0.1), seconds(1))
    tally = Tally().with_look(Look(T0, PASS, 1.0, rhythm=rhythm), Limits())
    forgotten = tally.with_look(Look(T0 + seconds(1), ERROR), Limits())
    assert forgotten.due(seconds(5)) == T0 + seconds(6)
    assert Tally().due(seconds(5)) is None


@given(interval=st.floats(0.25, 120), first=st.floats(-120, 120), every=st.floats(0.05, 120), looks=st.integers(1, 30))
def test_looks_go_on_and_no_two_are_farther_apart_than_the_interval(
    interval: float, first: float, every: float, looks: int
) -> None:
    """And there is at most one more than the interval makes: the one that falls in with the samples."""
    at, times = T0, [T0]
    for _ in range(looks):
        rhythm = Rhythm(T0 + seconds(first), seconds(every))
        due = Tally().with_look(Look(at, PASS, 1.0, rhythm=rhythm), Limits()).due(seconds(interval))
        assert due is not None
        assert at < due <= at + seconds(interval)
        times.append(at := due)
    if every <= interval and first <= 0:
        assert (times[-1] - times[0]).total_seconds() >= (looks - 1) * (interval - every) - 0.001
