"""The Graphite source against answers in the shapes of the render API's documentation, not of a live server."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.planning.metrics import Series, Unaskable
from sluice.planning.verdicts import Outcome
from sluice.sources.base import BadAnswer, BadQuery
from sluice.sources.http import Http
from tests.unit.sources.back_end import (
    EPOCH,
    BackEnd,
    instant,
    judged,
    over_ten_minutes,
    reader_of,
    spec_of,
    values,
)


def answer(*datapoints: list[list[Any]]) -> list[dict[str, Any]]:
    return [
        {"target": f"errors.s{n}", "tags": {"name": "errors", "n": str(n)}, "datapoints": points}
        for n, points in enumerate(datapoints)
    ]


async def ask(back_end: BackEnd, http: Http, question: Any = None) -> tuple[Series, ...]:
    return await reader_of(spec_of(graphite={"address": back_end.url}), http).ask(question or instant("errors.s0"))


async def test_a_target_is_rendered_as_json_over_the_window(back_end: BackEnd, http: Http) -> None:
    back_end.say(answer([[0.5, EPOCH - 60], [0.25, EPOCH], [None, EPOCH + 60]]))
    series = await ask(back_end, http)
    assert values(series) == [[0.5, 0.25]]
    assert series[0].labels == {"target": "errors.s0", "name": "errors", "n": "0"}
    (asked,) = back_end.asked
    assert (asked.method, asked.path) == ("POST", "/render")
    assert asked.form == {"target": "errors.s0", "format": "json", "from": str(EPOCH - 300), "until": str(EPOCH)}
    assert judged(series).value == 0.25


async def test_a_range_asks_for_its_window(back_end: BackEnd, http: Http) -> None:
    back_end.say([])
    assert await ask(back_end, http, over_ten_minutes()) == ()
    assert back_end.asked[0].form["from"] == str(EPOCH - 600)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "no data"),
        (answer([[None, EPOCH]]), "no data"),
        (answer([[0, EPOCH - 400]]), "stale"),
        (answer([[0, EPOCH + 100]]), "future"),
        (answer([[0, EPOCH]], [[0, EPOCH]]), "2 series"),
        (f'[{{"target": "a", "datapoints": [[1e9999, {EPOCH}]]}}]', "Inf is not a measurement"),
    ],
)
async def test_what_is_no_evidence_is_inconclusive(body: object, message: str, back_end: BackEnd, http: Http) -> None:
    back_end.say(body)
    look = judged(await ask(back_end, http))
    assert look.outcome is Outcome.INCONCLUSIVE
    assert message in look.message


async def test_an_error_page_is_told_as_text(back_end: BackEnd, http: Http) -> None:
    back_end.say("<html><body><pre>Invalid target\nx(</pre></body></html>", 400)
    with pytest.raises(BadQuery, match=r"^HTTP 400: Invalid target x\($"):
        await ask(back_end, http)


@pytest.mark.parametrize("body", [{"a": 1}, [1], [{"datapoints": [[1]]}], [{"datapoints": [["1", 1]]}], [{}]])
async def test_another_shape_is_a_bad_answer(body: object, back_end: BackEnd, http: Http) -> None:
    back_end.say(body)
    with pytest.raises(BadAnswer):
        await ask(back_end, http)


def test_a_value_can_only_be_part_of_a_path(http: Http) -> None:
    reader = reader_of(spec_of(graphite={"address": "http://x"}), http)
    assert reader.escape("web-1.acme_eu") == "web-1.acme_eu"
    for text in ("*", "a,b", "{a}", "a)", "a'", 'a"', "a;b", "a b"):
        with pytest.raises(Unaskable):
            reader.escape(text)
