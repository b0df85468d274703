"""The New Relic source against answers in the shapes of the NerdGraph documentation, not of a live account."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.planning.metrics import Series, Unaskable
from sluice.planning.verdicts import Outcome
from sluice.sources.base import BadAnswer, BadQuery, Denied, SourceError, Throttled
from sluice.sources.http import Http
from tests.unit.sources.back_end import (
    AT,
    EPOCH,
    SECRET,
    BackEnd,
    instant,
    judged,
    over_ten_minutes,
    reader_of,
    secret,
    spec_of,
    values,
)


def answer(*results: dict[str, Any], facets: list[str] | None = None, end: Any = EPOCH * 1000) -> dict[str, Any]:
    metadata = {"facets": facets, "timeWindow": {"end": end}}
    return {"data": {"actor": {"account": {"nrql": {"results": list(results), "metadata": metadata}}}}}


def error(kind: str) -> dict[str, Any]:
    return {"data": None, "errors": [{"message": "no luck", "extensions": {"errorClass": kind}, "path": ["actor"]}]}


def spec(url: str) -> Any:
    return spec_of(newRelic={"address": url, "account": 7, "apiKey": secret()})


async def ask(back_end: BackEnd, http: Http, question: Any = None) -> tuple[Series, ...]:
    return await reader_of(spec(back_end.url), http).ask(question or instant("SELECT count(*) FROM Transaction"))


async def test_nrql_is_a_variable_of_the_query(back_end: BackEnd, http: Http) -> None:
    back_end.say(answer({"count": 5}))
    (series,) = await ask(back_end, http)
    assert [(point.at, point.value) for point in series.points] == [(AT, 5)]
    (asked,) = back_end.asked
    assert (asked.method, asked.path, asked.headers["API-Key"]) == ("POST", "/graphql", SECRET)
    assert asked.json["variables"] == {"account": 7, "nrql": "SELECT count(*) FROM Transaction"}


async def test_facets_are_series(back_end: BackEnd, http: Http) -> None:
    rows = [{"facet": name, "appName": name, "average.duration": value} for name, value in (("a", 0.5), ("b", 1))]
    back_end.say(answer(*rows, facets=["appName"]))
    series = await ask(back_end, http)
    assert values(series) == [[0.5], [1]]
    assert [one.labels["facet"] for one in series] == ['"a"', '"b"']


async def test_buckets_of_time_are_points(back_end: BackEnd, http: Http) -> None:
    rows = [
        {"beginTimeSeconds": EPOCH - 60 * n, "endTimeSeconds": EPOCH - 60 * (n - 1), "count": n} for n in (12, 2, 1)
    ]
    back_end.say(answer(*rows))
    assert values(await ask(back_end, http, over_ten_minutes())) == [[2, 1]]


async def test_one_percentile_is_a_number(back_end: BackEnd, http: Http) -> None:
    back_end.say(answer({"percentile.duration": {"95": 0.25}}))
    assert values(await ask(back_end, http)) == [[0.25]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (answer(), "no data"),
        (answer({"average.duration": None}), "no data"),
        (answer({"count": 1}, end=(EPOCH - 400) * 1000), "stale"),
        (answer({"count": 1}, end=str((EPOCH + 400) * 1000)), "future"),
        (answer({"facet": "a", "count": 1}, {"facet": "b", "count": 1}), "2 series"),
    ],
)
async def test_what_is_no_evidence_is_inconclusive(body: object, message: str, back_end: BackEnd, http: Http) -> None:
    back_end.say(body)
    look = judged(await ask(back_end, http))
    assert look.outcome is Outcome.INCONCLUSIVE
    assert message in look.message


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("BAD_USER_INPUT", BadQuery),
        ("ACCESS_DENIED", Denied),
        ("TOO_MANY_REQUESTS", Throttled),
        ("SERVER_ERROR", BadAnswer),
    ],
)
async def test_errors_with_status_200_are_errors(
    kind: str, expected: type[SourceError], back_end: BackEnd, http: Http
) -> None:
    back_end.say(error(kind))
    with pytest.raises(expected, match=r"^no luck$"):
        await ask(back_end, http)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"count": 1, "sum.x": 2}, "2 values in a row: select one"),
        ({}, "0 values in a row"),
        ({"percentile.duration": {"50": 1, "95": 2}}, "2 values: select one"),
        ({"latest.name": "x"}, "is a text and no number"),
    ],
)
async def test_a_row_has_one_number(row: dict[str, Any], complaint: str, back_end: BackEnd, http: Http) -> None:
    back_end.say(answer(row))
    with pytest.raises(BadAnswer, match=complaint):
        await ask(back_end, http)


def test_a_value_cannot_end_its_text(http: Http) -> None:
    reader = reader_of(spec("http://x"), http)
    assert reader.escape("it's \\") == "it\\'s \\\\"
    for text in ('"', "`", "a\nb"):
        with pytest.raises(Unaskable):
            reader.escape(text)
