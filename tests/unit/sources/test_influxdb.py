"""The InfluxDB source against annotated CSV as the documentation of InfluxDB 2 shows it, not from a live server."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sluice.planning.metrics import Series
from sluice.planning.verdicts import Outcome
from sluice.sources.base import BadAnswer, BadQuery, Denied
from sluice.sources.http import Http
from tests.unit.sources.back_end import (
    AT,
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

HEAD = """#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,{type},string,string\r
#group,false,false,true,true,false,false,true,true\r
#default,mean,,,,,,,\r
,result,table,_start,_stop,_time,_value,_field,host\r
"""
ROW = ",,{table},2026-01-01T11:55:00Z,2026-01-01T12:00:00Z,{time},{value},errors,{host}\r\n"


def table(*values: str, number: int = 0, host: str = "a", kind: str = "double", time: str = "12:00:00.5Z") -> str:
    rows = "".join(
        ROW.format(table=number, value=value, host=host, time=f"2026-01-01T{time}" if time else "") for value in values
    )
    return HEAD.format(type=kind) + rows + "\r\n"


ERRORS = (
    "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,panic: out of memory,897\r\n"
)


def spec(url: str) -> Any:
    return spec_of(influxdb={"address": url, "organization": "acme & sons"}, bearer=secret())


async def ask(back_end: BackEnd, http: Http, question: Any = None) -> tuple[Series, ...]:
    return await reader_of(spec(back_end.url), http).ask(question or instant('from(bucket: "b")'))


async def test_flux_is_sent_with_the_moment_of_the_look_and_a_token(back_end: BackEnd, http: Http) -> None:
    back_end.say(table("0.25", time="11:59:59.123456789Z"))
    (series,) = await ask(back_end, http)
    assert [point.value for point in series.points] == [0.25]
    assert series.points[0].at.microsecond == 123456
    assert series.labels == {"_field": "errors", "host": "a"}
    (asked,) = back_end.asked
    assert (asked.method, asked.path, asked.query) == ("POST", "/api/v2/query", {"org": "acme & sons"})
    assert asked.headers["Authorization"] == f"Token {SECRET}"
    assert asked.json["query"] == 'from(bucket: "b")'
    assert asked.json["now"] == "2026-01-01T12:00:00.000Z"


async def test_tables_are_series(back_end: BackEnd, http: Http) -> None:
    back_end.say(table("1", "2", kind="long") + table("3", number=1, host="b"))
    assert values(await ask(back_end, http)) == [[1, 2], [3]]


async def test_a_table_without_an_empty_line_before_it_is_one_too(back_end: BackEnd, http: Http) -> None:
    back_end.say(table("1").rstrip() + "\r\n" + table("3", number=1, host="b"))
    assert values(await ask(back_end, http)) == [[1], [3]]


async def test_an_aggregate_has_the_end_of_its_window_as_its_time(back_end: BackEnd, http: Http) -> None:
    text = table("1").replace("_time", "_other")
    back_end.say(text)
    assert (await ask(back_end, http))[0].points[0].at == AT


async def test_points_outside_the_window_are_passed_over(back_end: BackEnd, http: Http) -> None:
    back_end.say(table("1", time="11:49:59Z"))
    assert values(await ask(back_end, http, over_ten_minutes())) == [[]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "no data"),
        ("\r\n", "no data"),
        (table(""), "no data"),
        (table("NaN"), "NaN is not a measurement"),
        (table("+Inf"), "Inf is not a measurement"),
        (table("0", time="11:50:00Z"), "stale"),
        (table("0", time="12:05:00Z"), "future"),
        (table("0") + table("0", number=1, host="b"), "2 series"),
    ],
)
async def test_what_is_no_evidence_is_inconclusive(body: str, message: str, back_end: BackEnd, http: Http) -> None:
    back_end.say(body)
    look = judged(await ask(back_end, http))
    assert look.outcome is Outcome.INCONCLUSIVE
    assert message in look.message


async def test_infinity_is_passed_on(back_end: BackEnd, http: Http) -> None:
    back_end.say(table("-Inf"))
    assert values(await ask(back_end, http)) == [[-math.inf]]


@pytest.mark.parametrize("body", [ERRORS, table("1") + ERRORS], ids=["alone", "behind a table"])
async def test_an_error_table_is_a_failed_query(body: str, back_end: BackEnd, http: Http) -> None:
    back_end.say(body)
    with pytest.raises(BadQuery, match="the query failed: panic: out of memory"):
        await ask(back_end, http)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (table("1", kind="string"), "no numbers in a column _value"),
        (table("1").replace("_value", "value"), "no numbers in a column _value"),
        (table("many"), "a value in the answer is no number"),
        (table("1", time="noon"), "no RFC 3339|not RFC 3339"),
        (table("1", time="").replace("2026-01-01T12:00:00Z", ""), "neither _time nor _stop"),
        (table("1")[:-30], "cells"),
        (table("1").partition("\r\n")[2], "no annotated CSV"),
        ('"a', "not CSV"),
        ('{"a": 1}', "no annotated CSV"),
    ],
)
async def test_another_shape_is_a_bad_answer(body: str, complaint: str, back_end: BackEnd, http: Http) -> None:
    back_end.say(body)
    with pytest.raises(BadAnswer, match=complaint):
        await ask(back_end, http)


async def test_the_servers_own_words_are_told(back_end: BackEnd, http: Http) -> None:
    back_end.say({"code": "unauthorized", "message": "unauthorized access"}, 401)
    with pytest.raises(Denied, match=r"^HTTP 401: unauthorized access$"):
        await ask(back_end, http)


@pytest.mark.parametrize(
    ("text", "written"), [('a"b', 'a\\"b'), ("a\\", "a\\\\"), ("${x}", "\\${x}"), ("$x", "$x"), ("a\r\nb", "a\\r\\nb")]
)
def test_a_value_cannot_end_its_text_or_begin_an_expression(text: str, written: str, http: Http) -> None:
    assert reader_of(spec("http://x"), http).escape(text) == written
