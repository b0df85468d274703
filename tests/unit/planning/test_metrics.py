"""Metric checks: the question, what answers come to, and what is refused before anybody asks."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.base import Json
from sluice.api.gate import Check
from sluice.planning.metrics import (
    Point,
    Question,
    RequestsQuestion,
    Series,
    Unaskable,
    ask,
    check_metric,
    failed_look,
    interval_of,
    limits_of,
    look_at,
)
from sluice.planning.verdicts import Limits, NoData, Outcome

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAN, INF = math.nan, math.inf
VALUES: dict[str, Json] = {
    "args.service": "pricing",
    "args.evil": 'x"} or vector(0) #',
    "args.limit": 5,
    "params.carrier": "AA",
    "run.name": "flights-1",
    "interval.start": "2026-01-01T00:00:00Z",
    "interval.start.date": "2026-01-01",
}


def check(name: str = "errors", on_no_data: str | None = None, **metric: Any) -> Check:
    given_bounds = {"min", "max"} & metric.keys()
    bounds = {} if given_bounds else {"max": 0.01}
    row = {"name": name, "onNoData": on_no_data, "metric": {"source": "prom", "query": "q", **bounds, **metric}}
    return Check.model_validate(row)


def built_in(measure: str = "ErrorRate", **more: Any) -> dict[str, Any]:
    """A check on requests instead of a query."""
    return {"query": None, "requests": {"measure": measure, **more}}


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def series(*values: float, age: float = 0, step: float = 15, **labels: str) -> Series:
    """Samples at a distance of `step` seconds, the newest `age` seconds old."""
    last = len(values) - 1
    return Series(
        labels, tuple(Point(AT - timedelta(seconds=age + step * (last - n)), v) for n, v in enumerate(values))
    )


# -- the question -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text"),
    [
        pytest.param('up{job="$(args.service)"}', 'up{job="pricing"}', id="an argument"),
        pytest.param('x{c="$(params.carrier)",r="$(run.name)"}', 'x{c="AA",r="flights-1"}', id="parameter and run"),
        pytest.param('x{d="$(interval.start.date)"}', 'x{d="2026-01-01"}', id="the interval"),
        pytest.param("x > $(args.limit)", "x > 5", id="a plain number outside quotes"),
        pytest.param("x @ $(interval.start)", "x @ 2026-01-01T00:00:00Z", id="a time outside quotes"),
        pytest.param('x{p="$(args.evil)"}', 'x{p="x\\"} or vector(0) #"}', id="quotes in quotes are escaped"),
        pytest.param("x{p='$(args.evil)'}", "x{p='x\\\"} or vector(0) #'}", id="single quotes are quotes"),
        pytest.param('x{a="b$",c=~"^$(args.service)$"}', 'x{a="b$",c=~"^pricing$"}', id="a dollar of its own stays"),
        pytest.param('x{c=~"$$(args.service)"}', 'x{c=~"$pricing"}', id="two dollars are no escape here"),
        pytest.param('x{c="$(foo)"}', 'x{c="$(foo)"}', id="another word stays"),
        pytest.param('x{c="$(args.none ?? a"b)"}', 'x{c="a\\"b"}', id="a default is escaped too"),
        pytest.param('x{u="http://h/$(args.evil)"}', 'x{u="http://h/x\\"} or vector(0) #"}', id="// in quotes"),
    ],
)
def test_references_are_filled_in(query: str, text: str) -> None:
    assert ask(check(query=query), VALUES, escape, AT) == Question(text, AT)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ('x{c="$(args.none)"}', r"the query has \$\(args.none\), which has no value and no default"),
        ('x{c="$(steps.a.outputs.b)"}', "has no value"),
        ("x > $(args.evil)", "outside quotes"),
        ('x{a="b"} > $(args.evil)', "outside quotes"),
        ("# it's\nx > $(args.evil)", "outside quotes"),
        ("// don't\nx > $(args.evil)", "outside quotes"),
        ('# "\nx > $(args.evil) # "', "outside quotes"),
    ],
)
def test_what_cannot_be_filled_in_is_not_asked(query: str, complaint: str) -> None:
    with pytest.raises(Unaskable, match=complaint):
        ask(check(query=query), VALUES, escape, AT)


@given(st.text())
def test_no_value_ends_the_text_that_it_stands_in(value: str) -> None:
    text = ask(check(query='x{a="$(args.v)"}'), {"args.v": value}, escape, AT).text
    inside = text.removeprefix('x{a="').removesuffix('"}')
    assert inside.replace("\\\\", "").replace('\\"', "").count('"') == 0


@pytest.mark.parametrize(
    ("metric", "question"),
    [
        ({}, Question("q", AT, None, None, timedelta(minutes=5))),
        ({"maxAge": "1m"}, Question("q", AT, None, None, timedelta(minutes=1))),
        ({"range": {"window": "10m"}}, Question("q", AT, timedelta(minutes=10), timedelta(seconds=15))),
        ({"range": {"window": "1h", "step": "1m"}}, Question("q", AT, timedelta(hours=1), timedelta(minutes=1))),
    ],
)
def test_the_question_has_the_checks_window(metric: dict[str, Any], question: Question) -> None:
    assert ask(check(**metric), {}, escape, AT) == question


def test_a_question_looks_back_over_its_window_or_max_age() -> None:
    assert Question("q", AT).since == AT - timedelta(minutes=5)
    assert Question("q", AT, timedelta(hours=1)).since == AT - timedelta(hours=1)


CANARY: dict[str, Json] = {
    "canary.namespace": "shop",
    "canary.service": "pricing",
    "canary.candidate": "pricing-canary",
    "canary.weight": 5,
}


@pytest.mark.parametrize(
    ("metric", "asked", "max_age"),
    [
        pytest.param(built_in(), RequestsQuestion("ErrorRate", "shop", "pricing-canary"), 30, id="defaults"),
        pytest.param(built_in(of="Stable"), RequestsQuestion("ErrorRate", "shop", "pricing"), 30, id="stable"),
        pytest.param(
            built_in("Latency", of="Candidate", quantile=0.5, window="1500ms", minRequests=20, failures="5xx"),
            RequestsQuestion("Latency", "shop", "pricing-canary", timedelta(seconds=1.5), 0.5, 20),
            15,
            id="all said",
        ),
        pytest.param(
            {**built_in("Rate", window="5m"), "maxAge": "2s"},
            RequestsQuestion("Rate", "shop", "pricing-canary", timedelta(minutes=5)),
            2,
            id="a maxAge of its own",
        ),
    ],
)
def test_what_is_built_in_is_asked_of_a_service_of_the_canary(
    metric: dict[str, Any], asked: RequestsQuestion, max_age: float
) -> None:
    question = ask(check(**metric), CANARY, escape, AT)
    assert question == Question("", AT, max_age=timedelta(seconds=max_age), requests=asked)
    begun = ask(check(**metric), CANARY, escape, AT, AT)
    assert begun.requests == replace(asked, begin=AT)


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        (VALUES, "canary.namespace"),
        ({**CANARY, "canary.candidate": ""}, "canary.candidate"),
        ({name: text for name, text in CANARY.items() if name != "canary.candidate"}, "canary.candidate"),
    ],
)
def test_what_is_built_in_cannot_be_asked_outside_of_a_canary(values: dict[str, Json], missing: str) -> None:
    with pytest.raises(
        Unaskable, match=f"requests is for gates of canaries, which say whose: {missing} has no value here"
    ):
        ask(check(**built_in()), values, escape, AT)


@pytest.mark.parametrize("metric", [{"query": None}, {**built_in(), "query": "up"}])
def test_a_check_asks_one_thing(metric: dict[str, Any]) -> None:
    with pytest.raises(Unaskable, match="exactly one of query, requests is needed"):
        ask(check(**metric), CANARY, escape, AT)


def test_a_query_may_name_the_canary() -> None:
    asked = ask(check(query='x{s="$(canary.candidate)"} > $(canary.weight)'), CANARY, escape, AT)
    assert asked.text == 'x{s="pricing-canary"} > 5'


# -- the answer -------------------------------------------------------------------------------------------------------

RANGE = {"range": {"window": "10m"}}


def over(how: str) -> dict[str, Any]:
    return {"range": {"window": "10m", "over": how}}


@pytest.mark.parametrize(
    ("metric", "answer", "outcome", "value", "message"),
    [
        pytest.param({}, [series(0.005)], "Pass", 0.005, "0.005", id="within"),
        pytest.param({}, [series(0.072)], "Fail", 0.072, "0.072 is not <= 0.01", id="above max"),
        pytest.param({"min": 3}, [series(2)], "Fail", 2, "2 is not >= 3", id="below min"),
        pytest.param({"min": 0, "max": 1}, [series(1)], "Pass", 1, "1", id="ends are included"),
        pytest.param({"warn": {"max": 0.005}}, [series(0.008)], "Warn", 0.008, "0.008 is not <= 0.005", id="warn"),
        pytest.param({"max": 3}, [series(9, 1)], "Pass", 1, "1", id="an instant takes the newest sample"),
        pytest.param({"max": 3, **RANGE}, [series(1, 2, 6)], "Pass", 3, "3", id="a range is averaged by default"),
        pytest.param({"max": 3, **over("last")}, [series(9, 1)], "Pass", 1, "1", id="last"),
        pytest.param({"max": 3, **over("min")}, [series(9, 1, 9)], "Pass", 1, "1", id="min"),
        pytest.param({"max": 3, **over("max")}, [series(1, 9, 1)], "Fail", 9, "9 is not <= 3", id="max"),
        pytest.param({"max": 3, "reduce": "max"}, [series(1), series(9)], "Fail", 9, "9 is not <= 3", id="worst"),
        pytest.param({"max": 3, "reduce": "min"}, [series(1), series(9)], "Pass", 1, "1", id="best"),
        pytest.param({"max": 3, "reduce": "sum"}, [series(1), series(2)], "Pass", 3, "3", id="sum"),
        pytest.param({"max": 3, "reduce": "avg"}, [series(1), series(9)], "Fail", 5, "5 is not <= 3", id="avg"),
        pytest.param({"max": 3, "reduce": "max"}, [series(1)], "Pass", 1, "1", id="one series with reduce"),
        pytest.param(
            {"max": 3, "reduce": "max", **RANGE},
            [series(1, 3), series(4, 0)],
            *("Pass", 2, "2"),
            id="first over time, then across series",
        ),
    ],
)
def test_a_whole_answer_is_judged(
    metric: dict[str, Any], answer: list[Series], outcome: str, value: float, message: str
) -> None:
    look = look_at(check(**metric), answer, AT)
    assert (look.at, look.outcome, look.value, look.message) == (AT, Outcome(outcome), value, message)


HUGE = 1.7e308
NO_EVIDENCE = [
    pytest.param({}, [], "no data", id="no series"),
    pytest.param({}, [series()], "no data", id="a series without samples"),
    pytest.param({"reduce": "max"}, [series(0), series()], "no data in 1 of 2 series", id="one without samples"),
    pytest.param({}, [series(0), series(0)], "2 series and no reduce", id="two series"),
    pytest.param({}, [series(0, age=301)], "stale: the newest sample is 5m1s old, maxAge is 5m", id="stale"),
    pytest.param(
        {"maxAge": "30s"}, [series(0, age=31)], "stale: the newest sample is 31s old, maxAge is 30s", id="age"
    ),
    pytest.param({"reduce": "max"}, [series(0), series(0, age=400)], "stale: the newest sample of one of 2", id="one"),
    pytest.param(RANGE, [series(0, 0, age=301)], "stale", id="a range that ended"),
    pytest.param({}, [series(0, age=-61)], "a sample is 1m1s in the future", id="future"),
    pytest.param({"reduce": "min"}, [series(0), series(0, age=-61)], "in the future", id="one in the future"),
    pytest.param({}, [series(NAN)], "NaN is not a measurement", id="NaN"),
    pytest.param({}, [series(INF)], "Inf is not a measurement", id="infinite"),
    pytest.param({"min": 0}, [series(INF)], "Inf is not a measurement", id="infinite above min"),
    pytest.param(RANGE, [series(0, NAN, 0)], "NaN is not a measurement (1 of 3 samples)", id="NaN in a range"),
    pytest.param(over("min"), [series(0, INF)], "Inf is not a measurement (1 of 2 samples)", id="hidden by min"),
    *(
        pytest.param({"reduce": how}, [series(a), series(b)], "NaN is not a measurement", id=f"NaN, {how}, {a}")
        for how in ("min", "max", "sum", "avg")
        for a, b in ((NAN, 0), (0, NAN))
    ),
    pytest.param({"reduce": "sum", "min": 0}, [series(HUGE), series(HUGE)], "inf is not a measurement", id="overflow"),
    pytest.param({"reduce": "avg", "min": 0}, [series(HUGE), series(HUGE)], "inf is not", id="overflow of avg"),
    pytest.param({"min": None, "max": None}, [series(0)], "neither min nor max", id="no bounds"),
    pytest.param({}, [Series({}, (), doubt="3 requests, 20 are needed")], "3 requests, 20 are needed", id="doubt"),
    pytest.param(
        {"max": 6},
        [Series({}, series(5).points, floor="the last bucket ends at 5s")],
        "at least 5: the last bucket ends at 5s",
        id="a number that may be greater",
    ),
    pytest.param(
        built_in(window="1s"), [series(0, age=16)], "stale: the newest sample is 16s old, maxAge is 15s", id="requests"
    ),
]


@pytest.mark.parametrize(("metric", "answer", "message"), NO_EVIDENCE)
def test_what_is_no_evidence_is_inconclusive(metric: dict[str, Any], answer: list[Series], message: str) -> None:
    look = look_at(check(**metric), answer, AT)
    assert (look.outcome, look.value) == (Outcome.INCONCLUSIVE, None)
    assert message in look.message


def test_a_number_that_may_be_greater_fails_where_it_is_too_great_already() -> None:
    look = look_at(check(max=0.5), [Series({}, series(5).points, floor="the last bucket ends at 5s")], AT)
    assert (look.outcome, look.message) == (Outcome.FAIL, "5 is not <= 0.5")


def test_a_clock_that_is_a_little_ahead_is_borne() -> None:
    assert look_at(check(), [series(0, age=-60)], AT).outcome is Outcome.PASS


def test_a_nan_that_last_passes_over_is_not_part_of_the_answer() -> None:
    assert look_at(check(**over("last")), [series(NAN, 0)], AT).outcome is Outcome.PASS


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(
    answers=st.lists(st.lists(numbers, max_size=4), max_size=4),
    reduce=st.sampled_from([None, "min", "max", "sum", "avg"]),
    how=st.sampled_from([None, "last", "min", "max", "avg"]),
)
def test_a_pass_has_finite_samples_only(answers: list[list[float]], reduce: str | None, how: str | None) -> None:
    metric: dict[str, Any] = {"min": -1e300, "max": 1e300, "reduce": reduce} | (over(how) if how else {})
    look = look_at(check(**metric), [series(*values) for values in answers], AT)
    if look.outcome is Outcome.PASS:
        used = [values if how not in (None, "last") else values[-1:] for values in answers]
        assert used
        assert all(used)
        assert all(math.isfinite(value) for values in used for value in values)
        assert len(used) == 1 or reduce is not None


def test_an_error_is_an_error_without_credentials_and_not_endless() -> None:
    look = failed_look("HTTP 401: Authorization: Bearer abcdef123456 " + "x" * 1000, AT)
    assert (look.outcome, look.at, look.value) == (Outcome.ERROR, AT, None)
    assert "abcdef123456" not in look.message
    assert len(look.message) < 600


# -- looks over time --------------------------------------------------------------------------------------------------


def test_limits_are_strict_by_default() -> None:
    assert limits_of(check()) == Limits(0, None, 1, timedelta(0), NoData.HOLD)


def test_limits_are_the_checks() -> None:
    given_limits = {"failureLimit": {"consecutive": 2, "total": 5}, "minSamples": 3, "for": "5m"}
    assert limits_of(check(on_no_data="Count", **given_limits)) == Limits(2, 5, 3, timedelta(minutes=5), NoData.COUNT)


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, 30), ("1m", 60), ("250ms", 0.25), ("1ms", 0.25), ("0s", 0.25), ("2s", 2)]
)
def test_looks_have_a_distance(text: str | None, seconds: float) -> None:
    assert interval_of(check(interval=text)) == timedelta(seconds=seconds)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "error"),
    [
        ({"min": None, "max": None}, "m.max: Required value: max, min or both are needed"),
        ({"min": 2, "max": 1}, "m.min: Invalid value: 2.0: must not be above max, 1"),
        ({"max": INF}, 'm.max: Invalid value: "inf": must be a finite number'),
        ({"warn": {}}, "m.warn.max: Required value: max, min or both are needed"),
        ({"warn": {"min": 2, "max": 1}}, "m.warn.min: Invalid value: 2.0: must not be above max, 1"),
        (
            {"query": "x $(args.f(x))"},
            'm.query: Invalid value: "$(args.f(x": cannot be read: $(NAME) or $(NAME ?? default), without '
            "parentheses inside",
        ),
        (
            {"query": "x $(run.nam)"},
            'm.query: Invalid value: "$(run.nam)": a query has no such reference; allowed: args.NAME, params.NAME, '
            "interval.start, interval.end, interval.start.date, interval.end.date, run.name, run.namespace, run.uid, "
            "run.pipeline, run.revision, canary.name, canary.namespace, canary.target, canary.service, "
            "canary.candidate, canary.revision, canary.weight",
        ),
        (
            {"query": "x $(canary.weights)"},
            'm.query: Invalid value: "$(canary.weights)": a query has no such reference; allowed: args.NAME, params.NAME, '
            "interval.start, interval.end, interval.start.date, interval.end.date, run.name, run.namespace, run.uid, "
            "run.pipeline, run.revision, canary.name, canary.namespace, canary.target, canary.service, "
            "canary.candidate, canary.revision, canary.weight",
        ),
        (built_in(window="999ms"), 'm.requests.window: Invalid value: "999ms": must be from 1s to 10m'),
        (built_in(window="11m"), 'm.requests.window: Invalid value: "11m": must be from 1s to 10m'),
        (
            {**built_in(), "range": {"window": "1m"}},
            'm.range: Invalid value: {"window":"1m"}: is for a query: requests has its own window',
        ),
        (
            {**built_in(), "reduce": "max"},
            'm.reduce: Invalid value: "max": is for a query: requests comes to one number',
        ),
        ({"range": {"window": "0s"}}, 'm.range.window: Invalid value: "0s": must be longer than 0s'),
        ({"range": {"window": "1m", "step": "0s"}}, 'm.range.step: Invalid value: "0s": must be longer than 0s'),
        (
            {"range": {"window": "1m", "step": "2m"}},
            'm.range.step: Invalid value: "2m": must not be longer than window, 1m',
        ),
        ({"range": {"window": "10s"}}, 'm.range.step: Invalid value: "15s": must not be longer than window, 10s'),
        (
            {"range": {"window": "24h", "step": "1s"}},
            'm.range.step: Invalid value: "1s": makes 86400 samples of the window; at most 11000',
        ),
        (
            {"failureLimit": {"total": 3}},
            "m.failureLimit.total: Invalid value: 3: has no effect while consecutive is 0: the first failed look fails "
            "the check",
        ),
    ],
)
def test_a_check_that_could_say_nothing_is_refused(metric: dict[str, Any], error: str) -> None:
    errors = [str(each) for each in check_metric(check(**metric), "m")]
    assert errors == [error]


@pytest.mark.parametrize(
    "metric",
    [
        {},
        {"min": 1, "max": 1, "warn": {"max": 1}},
        {"query": 'x{a="$(args.a)",b="$(params.b ?? c)",c="$(run.name)",d="$(foo)"}'},
        {"range": {"window": "1h", "step": "1m"}},
        {"range": {"window": "15s"}},
        {"failureLimit": {"consecutive": 2, "total": 3}},
        {"failureLimit": {"total": 0}},
        {"query": 'x{ns="$(canary.namespace)",s="$(canary.service)",c="$(canary.candidate)"} > $(canary.weight)'},
        {"query": 'x{a="$(canary.name)",b="$(canary.target)",c="$(canary.revision)"}'},
        built_in(),
        {**built_in(window="1s", minRequests=20), "interval": "250ms", "maxAge": "2s"},
    ],
)
def test_a_check_that_can_be_asked_has_no_errors(metric: dict[str, Any]) -> None:
    assert list(check_metric(check(**metric), "m")) == []
