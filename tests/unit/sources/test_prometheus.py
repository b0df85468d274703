"""The Prometheus source against answers in the shapes that the HTTP API's documentation gives.

test_prometheus_real.py asks a real server; these are the answers that one cannot be brought to give.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from sluice.planning.metrics import Point, Question, Series
from sluice.planning.verdicts import Outcome
from sluice.sources.base import BadAnswer, BadQuery, SourceError
from sluice.sources.http import Http
from sluice.sources.prometheus import PrometheusReader
from tests.unit.sources.back_end import (
    AT,
    EPOCH,
    BackEnd,
    instant,
    judged,
    over_ten_minutes,
    reader_of,
    spec_of,
    values,
)


def vector(*rows: tuple[dict[str, str], float, str], **more: Any) -> dict[str, Any]:
    result = [{"metric": labels, "value": [at, text]} for labels, at, text in rows]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


ONE = vector(({"job": "a"}, EPOCH, "0.072"))


async def ask(back_end: BackEnd, http: Http, question: Question | None = None) -> tuple[Series, ...]:
    return await reader_of(spec_of(prometheus={"address": f"{back_end.url}/"}), http).ask(question or instant())


async def test_an_instant_query_is_a_form_with_its_time(back_end: BackEnd, http: Http) -> None:
    back_end.say(ONE)
    assert await ask(back_end, http) == (Series({"job": "a"}, (Point(AT, 0.072),)),)
    (asked,) = back_end.asked
    assert (asked.method, asked.path, asked.form["query"]) == ("POST", "/api/v1/query", "up")
    assert float(asked.form["time"]) == EPOCH


async def test_a_range_query_ends_at_the_moment_of_the_look(back_end: BackEnd, http: Http) -> None:
    rows = [[EPOCH - 60, "1"], [EPOCH, "2.5"]]
    back_end.say({"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": rows}]}})
    assert values(await ask(back_end, http, over_ten_minutes())) == [[1, 2.5]]
    (asked,) = back_end.asked
    assert asked.path == "/api/v1/query_range"
    form = {name: float(asked.form[name]) for name in ("start", "end", "step")}
    assert form == {"start": EPOCH - 600, "end": EPOCH, "step": 60}


async def test_partial_answers_are_declined_before_they_are_given(back_end: BackEnd, http: Http) -> None:
    back_end.say(ONE)
    await ask(back_end, http)
    assert back_end.asked[0].form["partial_response"] == "false"
    assert back_end.asked[0].form["deny_partial_response"] == "1"


async def test_a_scalar_is_one_series(back_end: BackEnd, http: Http) -> None:
    back_end.say({"status": "success", "data": {"resultType": "scalar", "result": [EPOCH, "1"]}})
    assert await ask(back_end, http) == (Series({}, (Point(AT, 1),)),)


@pytest.mark.parametrize(("text", "value"), [("+Inf", math.inf), ("-Inf", -math.inf), ("1e3", 1000.0)])
async def test_infinity_is_passed_on(text: str, value: float, back_end: BackEnd, http: Http) -> None:
    back_end.say(vector(({}, EPOCH, text)))
    assert values(await ask(back_end, http)) == [[value]]


@pytest.mark.parametrize(
    ("answer", "metric", "message"),
    [
        pytest.param(vector(), {}, "no data", id="empty"),
        pytest.param(vector(({}, EPOCH, "NaN")), {}, "NaN is not a measurement", id="NaN"),
        pytest.param(vector(({}, EPOCH, "-Inf")), {}, "Inf is not a measurement", id="infinite"),
        pytest.param(
            vector(({"a": "1"}, EPOCH, "0"), ({"a": "2"}, EPOCH, "0")),
            {},
            "2 series and no reduce: one is needed, or reduce: min, max, sum or avg",
            id="two series",
        ),
        pytest.param(
            vector(({"a": "1"}, EPOCH, "0"), ({"a": "2"}, EPOCH, "NaN")),
            {"reduce": "max"},
            "NaN is not a measurement (1 of 2 samples)",
            id="NaN in one of two",
        ),
        pytest.param(
            vector(({}, EPOCH - 301, "0")),
            {},
            "stale: the newest sample is 5m1s old, maxAge is 5m",
            id="stale",
        ),
        pytest.param(
            vector(({}, EPOCH + 90, "0")), {}, "a sample is 1m30s in the future: the clocks differ", id="future"
        ),
    ],
)
async def test_what_is_no_evidence_is_inconclusive(
    answer: object, metric: dict[str, Any], message: str, back_end: BackEnd, http: Http
) -> None:
    back_end.say(answer)
    look = judged(await ask(back_end, http), **metric)
    assert look.outcome is Outcome.INCONCLUSIVE
    assert look.message == message


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ({"status": "success", "data": {"resultType": "string", "result": [EPOCH, "x"]}}, "result is a string"),
        ({"status": "success", "data": {"resultType": "streams", "result": []}}, "result is a streams"),
        ({**ONE, "warnings": ["store s3 did not answer"]}, "partial or doubtful: store s3 did not answer"),
        ({**ONE, "isPartial": True}, "the answer is partial"),
        ({**ONE, "warnings": "x"}, "warnings is a text"),
        (vector(({}, EPOCH, "many")), "no number"),
        (vector(({}, 1e300, "1")), "no time"),
        ({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1]}]}}, "1 parts"),
        ({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}}]}}, "is null and no list"),
        ({"status": "success", "data": {"resultType": "vector", "result": [[1, "1"]]}}, "a series is a list"),
        (
            {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "histogram": []}]}},
            "native histogram",
        ),
        ({"status": "success"}, "data is null"),
    ],
)
async def test_what_the_api_does_not_promise_is_a_bad_answer(
    answer: object, complaint: str, back_end: BackEnd, http: Http
) -> None:
    back_end.say(answer)
    with pytest.raises(BadAnswer, match=complaint):
        await ask(back_end, http)


async def test_infos_are_passed_over(back_end: BackEnd, http: Http) -> None:
    back_end.say({**ONE, "infos": ["metric might not be a counter"]})
    assert values(await ask(back_end, http)) == [[0.072]]


@pytest.mark.parametrize(("status", "expected"), [(400, BadQuery), (422, BadQuery), (503, BadAnswer)])
async def test_the_servers_own_words_are_told(
    status: int, expected: type[SourceError], back_end: BackEnd, http: Http
) -> None:
    back_end.say({"status": "error", "errorType": "bad_data", "error": "parse error: unexpected <eof>"}, status)
    with pytest.raises(expected, match=rf"^HTTP {status}: parse error: unexpected <eof>$"):
        await ask(back_end, http)


# -- how old a sample is ----------------------------------------------------------------------------------------------


async def test_a_short_max_age_asks_for_the_time_of_the_scrape(back_end: BackEnd, http: Http) -> None:
    back_end.say(vector(({"__name__": "up", "job": "a"}, EPOCH, "1"), ({"job": "b"}, EPOCH, "1")))
    back_end.say(vector(({"job": "a"}, EPOCH, str(EPOCH - 100)), ({"job": "b"}, EPOCH, str(EPOCH + 1))))
    series = await ask(back_end, http, Question("up", AT, max_age=timedelta(minutes=1)))
    assert [one.points[0].at.timestamp() for one in series] == [EPOCH - 100, EPOCH]
    assert back_end.asked[0].form["lookback_delta"] == "60.000"
    assert back_end.asked[1].form["query"] == "timestamp((\nup\n))"
    look = judged(series, maxAge="1m", reduce="max")
    assert look.outcome is Outcome.INCONCLUSIVE
    assert "stale" in look.message


async def test_a_long_max_age_does_not_make_the_server_look_back_farther(back_end: BackEnd, http: Http) -> None:
    back_end.say(ONE)
    await ask(back_end, http, Question("up", AT, max_age=timedelta(hours=1)))
    (asked,) = back_end.asked
    assert asked.form["lookback_delta"] == "300.000"


# -- texts in queries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("/api/v1", "/api/v1"),
        ('a"} or vector(0) #', "a\\x22} or vector(0) #"),
        ("a\\", "a\\\\"),
        ("two\nlines", "two\\nlines"),
        ("it's `it`", "it\\x27s \\x60it\\x60"),
        (".*", ".*"),
    ],
)
def test_a_label_value_cannot_end_its_text(text: str, written: str) -> None:
    assert PrometheusReader.escape(None, text) == written  # type: ignore[arg-type]
