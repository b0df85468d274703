"""The Prometheus source against answers in the shapes that the HTTP API's documentation gives.

test_prometheus_real.py asks a real server; these are the answers that one cannot be brought to give.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from sluice.planning.metrics import Point, Question, RequestsQuestion, Series, look_at
from sluice.planning.verdicts import Outcome
from sluice.sources.base import BadAnswer, BadQuery, Misconfigured, SourceError
from sluice.sources.http import Http
from sluice.sources.prometheus import PrometheusReader
from tests.unit.sources.back_end import (
    AT,
    EPOCH,
    BackEnd,
    check_of,
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


# -- what a proxy counts ----------------------------------------------------------------------------------------------

TRAEFIK = {"instance": "traefik:9100", "job": "traefik"}
WEB = {"service": "team-web-http-80@kubernetesgateway", "method": "GET", "protocol": "http"}


def matrix(*rows: tuple[dict[str, str], list[tuple[float, float]]]) -> dict[str, Any]:
    result = [
        {"metric": {**TRAEFIK, **labels}, "values": [[EPOCH + at, f"{count:g}"] for at, count in samples]}
        for labels, samples in rows
    ]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def witness(*times: float, **target: str) -> tuple[dict[str, str], list[tuple[float, float]]]:
    return {"__name__": "traefik_config_reloads_total", **target}, [(at, 3) for at in times]


def requests(
    code: str, *samples: tuple[float, float], **target: str
) -> tuple[dict[str, str], list[tuple[float, float]]]:
    return {"__name__": "traefik_service_requests_total", "code": code, **WEB, **target}, list(samples)


async def measure(back_end: BackEnd, http: Http, measure: Any = "ErrorRate", **more: Any) -> Series:
    spec = spec_of(prometheus={"address": back_end.url, "proxy": "Traefik"})
    asked = RequestsQuestion(measure, "team", "web", timedelta(seconds=5), **more)
    (series,) = await reader_of(spec, http).ask(Question("", AT, requests=asked))
    return series


STEADY = requests("200", (-7, 100), (-6, 110), (-1, 160))


@pytest.mark.parametrize(
    ("answer", "number", "value"),
    [
        pytest.param(
            [witness(-7, -6, -1), STEADY, requests("500", (-1, 50))], "ErrorRate", 0.5, id="the first failures"
        ),
        pytest.param([witness(-7, -6, -1), STEADY], "Rate", 10, id="a rate"),
        pytest.param([witness(-6, -1), requests("200", (-1, 9))], "SuccessRate", 1, id="a new Service"),
        pytest.param(
            [
                witness(-6, -3, -1),
                requests("200", (-6, 100), (-3, 4), (-1, 6)),
                requests("500", (-6, 9), (-3, 2), (-1, 2)),
            ],
            "ErrorRate",
            0.25,
            id="began anew",
        ),
        pytest.param(
            [
                *(witness(-6, -1, instance=name) for name in "ab"),
                requests("200", (-6, 100), (-1, 110), instance="a"),
                requests("500", (-6, 0), (-1, 30), instance="b"),
            ],
            "ErrorRate",
            0.75,
            id="two replicas",
        ),
    ],
)
async def test_a_measure_comes_from_the_samples_of_counters(
    answer: list[Any], number: str, value: float, back_end: BackEnd, http: Http
) -> None:
    back_end.say(matrix(*answer))
    series = await measure(back_end, http, number)
    assert series.points == (Point(AT - timedelta(seconds=1), pytest.approx(value)),)


async def test_latency_comes_from_buckets(back_end: BackEnd, http: Http) -> None:
    name = {"__name__": "traefik_service_request_duration_seconds_bucket", "code": "200", **WEB}
    counts = {"0.1": (10.0, 15.0), "0.5": (10.0, 20.0), "+Inf": (10.0, 20.0)}
    rows = [({**name, "le": le}, [(-6.0, before), (-1.0, after)]) for le, (before, after) in counts.items()]
    back_end.say(matrix(witness(-6, -1), *rows))
    assert (await measure(back_end, http, "Latency", quantile=0.75)).points[0].value == pytest.approx(0.3)
    assert back_end.asked[0].form["query"] == (
        '{__name__=~"traefik_config_reloads_total|traefik_service_request_duration_seconds_bucket",'
        'service=~"|team-web-http-[0-9]+@kubernetesgateway"}[20000ms]'
    )


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param([], "no data: traefik_config_reloads_total of the proxy is not there", id="no proxy"),
        pytest.param([witness(-3, -1), requests("200", (-3, 1), (-1, 9))], "no history yet", id="just begun"),
        pytest.param([witness(-7, -6, -1)], "0 requests within 5.0s, minRequests is 1", id="no requests"),
        pytest.param(
            [witness(-6, -1), witness(-3, -1, instance="new"), STEADY], "no history yet", id="a replica that is new"
        ),
    ],
)
async def test_counters_that_say_nothing_are_no_evidence(
    answer: list[Any], why: str, back_end: BackEnd, http: Http
) -> None:
    back_end.say(matrix(*answer))
    series = await measure(back_end, http)
    assert not series.points
    assert why in series.doubt


@pytest.mark.parametrize(("seconds", "values"), [(7, [0.5]), (6, [0.5]), (5.9, [])])
async def test_samples_from_before_are_about_something_else(
    seconds: float, values: list[float], back_end: BackEnd, http: Http
) -> None:
    back_end.say(matrix(witness(-7, -6, -1), STEADY, requests("500", (-1, 50))))
    series = await measure(back_end, http, begin=AT - timedelta(seconds=seconds))
    assert [point.value for point in series.points] == values
    assert bool(series.doubt) is not bool(values)


async def test_a_replica_that_is_no_longer_scraped_makes_the_answer_stale(back_end: BackEnd, http: Http) -> None:
    back_end.say(matrix(witness(-7, -6, -1), STEADY, witness(-10, -4, instance="gone")))
    series = await measure(back_end, http)
    check = check_of(query=None, requests={"measure": "ErrorRate", "window": "5s"}, maxAge="3s")
    assert look_at(check, [series], AT).message == "stale: the newest sample is 4.0s old, maxAge is 3.0s"


@pytest.mark.parametrize(
    ("scrapes", "seconds"),
    [
        pytest.param([(-8.7, -7.7, -6.7, -5.7, -4.7, -3.7, -2.7, -1.7, -0.7)], 0.32, id="the next one"),
        pytest.param([(-6.7, -5.7, -3.7, -2.7, -1.7, -0.7)], 0.32, id="one was missed"),
        pytest.param([(-7.1, -6.1, -5.1, -4.1, -3.1, -2.1, -1.1)], 0.05, id="it is late: it may come at any moment"),
        pytest.param([(-7.7, -6.7, -5.7, -4.7, -3.7, -2.7, -1.7)], None, id="it does not come"),
        pytest.param([(-6.3, -1.3), (-6.4, -3.4, -0.4)], 2.62, id="two replicas"),
        pytest.param([(-0.7,)], None, id="the first one"),
    ],
)
async def test_when_the_next_sample_is_due_is_told(
    scrapes: list[tuple[float, ...]], seconds: float | None, back_end: BackEnd, http: Http
) -> None:
    back_end.say(matrix(*(witness(*times, instance=f"{number}") for number, times in enumerate(scrapes))))
    rhythm = (await measure(back_end, http)).rhythm
    assert (rhythm is not None) is (seconds is not None)
    if rhythm is not None and seconds is not None:
        assert (rhythm.next_at - AT).total_seconds() == pytest.approx(seconds, abs=1e-5)


async def test_a_prometheus_that_names_no_proxy_is_told(http: Http) -> None:
    asked = Question("", AT, requests=RequestsQuestion("Rate", "team", "web"))
    with pytest.raises(Misconfigured, match=r"requests needs prometheus.proxy, .*: Traefik"):
        await reader_of(spec_of(prometheus={"address": "http://prometheus"}), http).ask(asked)


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
