"""The Datadog source against answers in the shapes of its API reference (Query timeseries data, v1), not of a live account."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.planning.metrics import Series, Unaskable
from sluice.planning.verdicts import Outcome
from sluice.sources.base import BadAnswer, BadQuery, Denied
from sluice.sources.http import Http
from tests.unit.sources.back_end import (
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


def answer(*pointlists: list[list[Any]], **more: Any) -> dict[str, Any]:
    series = [
        {
            "metric": "trace.errors",
            "display_name": "trace.errors",
            "scope": f"service:s{number}",
            "tag_set": [f"service:s{number}"],
            "interval": 60,
            "length": len(pointlist),
            "start": (EPOCH - 600) * 1000,
            "end": EPOCH * 1000,
            "expression": "avg:trace.errors{*}",
            "pointlist": pointlist,
            "unit": None,
        }
        for number, pointlist in enumerate(pointlists)
    ]
    return {
        "status": "ok",
        "res_type": "time_series",
        "from_date": (EPOCH - 600) * 1000,
        "to_date": EPOCH * 1000,
        "query": "avg:trace.errors{*}",
        "message": "",
        "group_by": ["service"],
        "series": series,
        **more,
    }


def spec(url: str) -> Any:
    return spec_of(datadog={"address": url, "apiKey": secret(), "applicationKey": secret("app")})


async def ask(back_end: BackEnd, http: Http, question: Any = None) -> tuple[Series, ...]:
    return await reader_of(spec(back_end.url), http).ask(question or instant("avg:trace.errors{*}"))


async def test_a_query_asks_for_the_window_with_both_keys(back_end: BackEnd, http: Http) -> None:
    back_end.say(answer([[(EPOCH - 60) * 1000.0, 0.5], [EPOCH * 1000.0, 0.25]]))
    series = await ask(back_end, http)
    assert values(series) == [[0.5, 0.25]]
    assert series[0].labels == {"metric": "trace.errors", "scope": "service:s0"}
    (asked,) = back_end.asked
    assert asked.path == "/api/v1/query"
    assert asked.query == {"from": str(EPOCH - 300), "to": str(EPOCH), "query": "avg:trace.errors{*}"}
    assert asked.headers["DD-API-KEY"] == asked.headers["DD-APPLICATION-KEY"] == SECRET
    assert judged(series).value == 0.25


async def test_a_range_asks_for_its_window(back_end: BackEnd, http: Http) -> None:
    back_end.say(answer())
    assert await ask(back_end, http, over_ten_minutes()) == ()
    assert back_end.asked[0].query["from"] == str(EPOCH - 600)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (answer(), "no data"),
        (answer([]), "no data"),
        (answer([[EPOCH * 1000, None]]), "no data"),
        (answer([[(EPOCH - 400) * 1000, 0]]), "stale"),
        (answer([[(EPOCH + 100) * 1000, 0]]), "future"),
        (answer([[EPOCH * 1000, 0]], [[EPOCH * 1000, 0]]), "2 series"),
    ],
)
async def test_what_is_no_evidence_is_inconclusive(body: object, message: str, back_end: BackEnd, http: Http) -> None:
    back_end.say(body)
    look = judged(await ask(back_end, http))
    assert look.outcome is Outcome.INCONCLUSIVE
    assert message in look.message


async def test_a_failed_query_with_status_200_is_a_bad_query(back_end: BackEnd, http: Http) -> None:
    back_end.say({"status": "error", "error": "Rule 'scope_expr' didn't match at 'x'", "series": []})
    with pytest.raises(BadQuery, match="the query failed: Rule 'scope_expr' didn't match at 'x'"):
        await ask(back_end, http)


async def test_wrong_keys_are_denied(back_end: BackEnd, http: Http) -> None:
    back_end.say({"errors": ["Forbidden"]}, 403)
    with pytest.raises(Denied, match="HTTP 403: Forbidden"):
        await ask(back_end, http)


@pytest.mark.parametrize("point", [[1], [EPOCH * 1000, "0.5"], ["x", 1], [1e300, 1], 5])
async def test_a_point_of_another_shape_is_a_bad_answer(point: Any, back_end: BackEnd, http: Http) -> None:
    back_end.say(answer([point]))
    with pytest.raises(BadAnswer):
        await ask(back_end, http)


def test_a_value_can_only_be_a_tag(http: Http) -> None:
    reader = reader_of(spec("http://x"), http)
    assert reader.escape("team-a/eu_1:x.y") == "team-a/eu_1:x.y"
    for text in ("a,b", "a}", "a b", "*", "a{"):
        with pytest.raises(Unaskable):
            reader.escape(text)
