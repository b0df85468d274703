"""The HTTP/JSON source: the path it asks for, the numbers and times that CEL takes, and what it refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sluice.planning.metrics import Series, Unaskable
from sluice.planning.verdicts import Outcome
from sluice.sources.base import BadAnswer, BadQuery, Misconfigured
from sluice.sources.http import Http
from tests.unit.sources.back_end import AT, EPOCH, BackEnd, instant, judged, reader_of, spec_of, values


def spec(address: str, value: str = "body.value", time: str | None = None) -> Any:
    return spec_of(http={"address": address, "value": value, "time": time})


async def ask(back_end: BackEnd, http: Http, query: str = "/value", **fields: Any) -> tuple[Series, ...]:
    return await reader_of(spec(back_end.url, **fields), http).ask(instant(query))


@pytest.mark.parametrize(
    ("expression", "body", "found"),
    [
        ("body.value", {"value": 3}, [[3]]),
        ("body.a.b[0]", {"a": {"b": [0.5]}}, [[0.5]]),
        ("double(body.value)", {"value": "2.5"}, [[2.5]]),
        ("body.errors / body.all", {"errors": 1.0, "all": 4.0}, [[0.25]]),
        ("body.rows.map(r, r.v)", {"rows": [{"v": 1}, {"v": 2.5}]}, [[1], [2.5]]),
        ("body.rows.map(r, r.v[0])", {"rows": [{"v": [1, 2]}]}, [[1]]),
        ('body.rows.map(r, r["v"][1])', {"rows": [{"v": [1, 2]}]}, [[2]]),
        ("body.rows", {"rows": [7]}, [[7]]),
        ("body.rows", {"rows": []}, []),
        ("size(body)", [1, 2], [[2]]),
    ],
)
async def test_the_expression_takes_the_numbers(
    expression: str, body: object, found: list[list[float]], back_end: BackEnd, http: Http
) -> None:
    back_end.say(body)
    assert values(await ask(back_end, http, value=expression)) == found


@pytest.mark.parametrize(
    "time", ["body.at", "timestamp(body.text)", "body.text", "body.text_zone"], ids=["seconds", "time", "text", "zone"]
)
async def test_the_time_of_a_number_may_be_seconds_or_a_text(time: str, back_end: BackEnd, http: Http) -> None:
    old = AT - timedelta(minutes=7)
    back_end.say(
        {"value": 0, "at": old.timestamp(), "text": "2026-01-01T11:53:00Z", "text_zone": "2026-01-01T17:23:00+05:30"}
    )
    (series,) = await ask(back_end, http, time=time)
    assert series.points[0].at == old
    assert judged((series,)).outcome is Outcome.INCONCLUSIVE


async def test_without_a_time_a_number_is_of_the_moment_of_the_look(back_end: BackEnd, http: Http) -> None:
    back_end.say({"value": 1})
    (series,) = await ask(back_end, http)
    assert series.points[0].at == AT


@pytest.mark.parametrize(
    ("body", "fields", "complaint"),
    [
        ({"value": "NaN"}, {}, "what value gives is a text and no number"),
        ({"value": True}, {}, "is a boolean"),
        ({"value": None}, {}, "is null"),
        ({"other": 1}, {}, "http.value: the expression gives nothing"),
        ({"value": 1}, {"value": "body.value / 0"}, "http.value: the expression gives nothing"),
        ({"value": 1}, {"time": "body.at"}, "http.time: the expression gives nothing"),
        ({"value": 1, "at": "noon"}, {"time": "body.at"}, "no RFC 3339 text"),
        ({"value": 1, "at": "2026-01-01T12:00:00"}, {"time": "body.at"}, "no time zone"),
        ({"value": 1, "at": 1e300}, {"time": "body.at"}, "is no time"),
        ({"value": 1, "at": None}, {"time": "body.at"}, "neither a text nor a number"),
        ({"value": list(range(10_001))}, {}, "more than 10000 values"),
        ({"value": 1}, {"value": "duration('1s')"}, "is something else and no number"),
    ],
)
async def test_what_the_expression_cannot_take_is_a_bad_answer(
    body: object, fields: dict[str, Any], complaint: str, back_end: BackEnd, http: Http
) -> None:
    back_end.say(body)
    with pytest.raises(BadAnswer, match=complaint):
        await ask(back_end, http, **fields)


async def test_an_answer_of_many_levels_is_refused_before_the_expression_sees_it(back_end: BackEnd, http: Http) -> None:
    back_end.say("[" * 70 + "]" * 70)
    with pytest.raises(BadAnswer, match="nested too deeply"):
        await ask(back_end, http)


async def test_not_a_number_from_an_expression_is_inconclusive(back_end: BackEnd, http: Http) -> None:
    back_end.say({"value": "NaN"})
    assert judged(await ask(back_end, http, value="double(body.value)")).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("body.", "is no CEL expression"),
        ("body.a.map(x, body.a)", "body cannot be used inside"),
        ("body.a.map(x, x.map(y, y))", "has 2 of map"),
        ("body.a.map(x, [x, x]).map(x, [x, x])", "has 2 of map"),
        ("body.a .\n map (x, body.a)", "body cannot be used inside"),
        ("body.a.map//\n(x, body.a)", "comments"),
        ("body.a.map(x, [x, x, x])", "no list or map can be made"),
        ("body.a.map(x, {'a': x})", "no list or map can be made"),
    ],
)
def test_an_expression_without_end_is_refused_when_the_source_is_made(
    expression: str, complaint: str, http: Http
) -> None:
    with pytest.raises(Misconfigured, match=complaint):
        reader_of(spec("http://x", value=expression), http)


@pytest.mark.parametrize(
    "query",
    [
        "@evil.example/",
        ".evil.example/",
        ":1/",
        "evil",
        "http://evil.example/",
        "/../admin",
        "/a/%2e%2e/admin",
        "/a/%252e%252e/admin",
        "/a\\..\\admin",
        "/a b",
        "/a#b",
        "/a\nHost: evil",
        "",
    ],
)
async def test_the_query_cannot_lead_away_from_the_address(query: str, back_end: BackEnd, http: Http) -> None:
    back_end.say({"value": 1})
    with pytest.raises(BadQuery, match="the query"):
        await ask(back_end, http, query)
    assert back_end.asked == []


@pytest.mark.parametrize("query", ["?job=a%20b", "/x?job=a%20b", "//x?job=a%20b"])
async def test_the_query_goes_behind_the_address(query: str, back_end: BackEnd, http: Http) -> None:
    back_end.say({"value": 1})
    await ask(back_end, http, query)
    assert back_end.asked[0].query == {"job": "a b"}


def test_a_value_is_percent_encoded(http: Http) -> None:
    reader = reader_of(spec("http://x"), http)
    assert reader.escape("a/b?c&d=é ") == "a%2Fb%3Fc%26d%3D%C3%A9%20"
    with pytest.raises(Unaskable):
        reader.escape("..")


async def test_the_answer_of_now_is_as_old_as_it_says(back_end: BackEnd, http: Http) -> None:
    back_end.say({"value": 0.5, "at": EPOCH + 120})
    look = judged(await ask(back_end, http, time="body.at"))
    assert (look.outcome, look.message) == (Outcome.INCONCLUSIVE, "a sample is 2m in the future: the clocks differ")
