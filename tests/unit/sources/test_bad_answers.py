"""What no back end promises: every source meets every bad answer with a SourceError, and shows no credential."""

from __future__ import annotations

import gzip
import json
import re
import socket
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from sluice.planning.metrics import Question
from sluice.sources.base import (
    BadAnswer,
    BadQuery,
    Denied,
    Misconfigured,
    SourceError,
    Throttled,
    TimedOut,
    TooLarge,
    Unreachable,
)
from sluice.sources.http import Http
from sluice.sources.registry import READERS
from tests.unit.sources.back_end import AT, SECRET, BackEnd, reader_of, secret, spec_of

QUERIES = {"http": "/value", "cloud_watch": '[{"Id": "a"}]'}
BACK_ENDS: dict[str, dict[str, Any]] = {
    "prometheus": {"prometheus": {}, "bearer": secret()},
    "http": {"http": {"value": "body.value"}, "basic": {"username": secret("user"), "password": secret()}},
    "datadog": {"datadog": {"apiKey": secret(), "applicationKey": secret("app")}},
    "influxdb": {"influxdb": {"organization": "acme"}, "bearer": secret()},
    "graphite": {"graphite": {}, "basic": {"username": secret("user"), "password": secret()}},
    "new_relic": {"newRelic": {"account": 1, "apiKey": secret()}},
    "cloud_watch": {
        "cloudWatch": {"region": "ap-south-1", "accessKeyId": secret("id"), "secretAccessKey": secret()},
    },
}
every_back_end = pytest.mark.parametrize("name", BACK_ENDS)


def configured(name: str, url: str, **more: Any) -> Any:
    fields = {key: dict(value) for key, value in BACK_ENDS[name].items()}
    fields[next(iter(fields))]["address"] = url
    return spec_of(**fields, **more)


def question(name: str) -> Question:
    return Question(QUERIES.get(name, "up"), AT)


async def failure(name: str, url: str, http: Http, **more: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await reader_of(configured(name, url, **more), http).ask(question(name))
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in shown
    assert "s3cr3t" not in shown
    assert len(str(caught.value)) < 500
    return caught.value


def test_every_back_end_is_tried_here() -> None:
    assert set(BACK_ENDS) == set(READERS)


BAD: dict[str, tuple[Callable[[BackEnd], object], type[SourceError]]] = {
    "asked too often": (lambda it: it.say("slow down", 429, {"Retry-After": "30"}), Throttled),
    "no such user": (lambda it: it.echo(401), Denied),
    "not allowed": (lambda it: it.echo(403), Denied),
    "a bad query, with all that was sent": (lambda it: it.echo(400), BadQuery),
    "a broken server, with all that was sent": (lambda it: it.echo(500), BadAnswer),
    "a proxy without a server": (lambda it: it.say("<html><h1>Bad gateway</h1></html>", 502), BadAnswer),
    "a page": (lambda it: it.say("<!doctype html><title>Log in</title>"), BadAnswer),
    "truncated JSON": (lambda it: it.say('{"status": "success", "data": {"resul'), BadAnswer),
    "an answer that breaks off": (lambda it: it.cut(b'{"status": "success"'), BadAnswer),
    "another JSON": (lambda it: it.say({"a": {"b": [1]}}), BadAnswer),
    "null": (lambda it: it.say("null"), BadAnswer),
    "NaN in JSON": (lambda it: it.say('{"value": NaN}'), BadAnswer),
    "a name twice": (lambda it: it.say('{"value": 1, "value": 2}'), BadAnswer),
    "endless nesting": (lambda it: it.say("[" * 100_000), BadAnswer),
    "no text at all": (lambda it: it.say(b"\xff\xfe\x00"), BadAnswer),
    "a number of many digits": (lambda it: it.say('{"value": ' + "9" * 10_000 + "}"), BadAnswer),
    "a redirect to another host": (lambda it: it.say("", 302, {"Location": "http://evil.example/?a=b"}), BadAnswer),
    "a redirect of a form": (lambda it: it.say("", 307, {"Location": "//evil.example/"}), BadAnswer),
    "an encoding nobody asked for": (lambda it: it.say(b"x", 200, {"Content-Encoding": "br"}), BadAnswer),
    "broken gzip": (lambda it: it.say(b"nothing", 200, {"Content-Encoding": "gzip"}), BadAnswer),
    "half of gzip": (
        lambda it: it.say(gzip.compress(b'{"value": 1}')[:-9], 200, {"Content-Encoding": "gzip"}),
        BadAnswer,
    ),
    "a gzip bomb": (lambda it: it.flood(64 << 20, compressed=True), TooLarge),
}


@every_back_end
@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_answer_is_a_source_error_without_credentials(
    name: str, bad: str, back_end: BackEnd, http: Http
) -> None:
    begin, expected = BAD[bad]
    begin(back_end)
    error = await failure(name, back_end.url, http)
    # A JSON that is another one may be read as a failed query.
    assert isinstance(error, (expected, BadQuery) if bad == "another JSON" else expected), repr(error)


@pytest.mark.parametrize("name", sorted(BACK_ENDS.keys() - {"influxdb"}))  # there it means that there are no tables
async def test_an_empty_answer_is_a_bad_one(name: str, back_end: BackEnd, http: Http) -> None:
    back_end.say(b"")
    assert isinstance(await failure(name, back_end.url, http), BadAnswer)


async def test_the_back_ends_words_are_shown_without_the_credentials_in_them(back_end: BackEnd, http: Http) -> None:
    back_end.echo(400)
    assert re.match(r"HTTP 400: you sent .*\[redacted\]", str(await failure("prometheus", back_end.url, http)))


async def test_words_are_cut_behind_the_redaction(back_end: BackEnd, http: Http) -> None:
    back_end.say(SECRET * 2000, 500)
    assert str(await failure("graphite", back_end.url, http)).endswith("...")


async def test_being_asked_too_often_says_until_when(back_end: BackEnd, http: Http) -> None:
    back_end.say("slow down", 429, {"Retry-After": "30"})
    assert (
        str(await failure("prometheus", back_end.url, http)) == "HTTP 429, asked too often, Retry-After 30: slow down"
    )


async def test_html_of_an_error_is_shown_as_its_text(back_end: BackEnd, http: Http) -> None:
    back_end.say("<html><style>p {}</style><h1>Bad &amp; gateway</h1></html>", 502)
    assert str(await failure("graphite", back_end.url, http)) == "HTTP 502: Bad & gateway"


@every_back_end
async def test_an_answer_of_a_gigabyte_is_cut_off(name: str, back_end: BackEnd, http: Http) -> None:
    back_end.flood(1 << 30)
    assert isinstance(await failure(name, back_end.url, http), TooLarge)
    assert back_end.sent < 100 << 20  # what fits into the buffers of both sides, not what it would have sent


async def test_an_error_of_a_gigabyte_is_cut_off(back_end: BackEnd, http: Http) -> None:
    back_end.flood(1 << 30, status=500)
    assert isinstance(await failure("prometheus", back_end.url, http), BadAnswer)
    assert back_end.sent < 100 << 20


async def test_an_announced_gigabyte_is_not_begun(back_end: BackEnd, http: Http) -> None:
    back_end.say(b" " * 2000)
    assert isinstance(await failure("prometheus", back_end.url, http, maxBytes=1024), TooLarge)


@every_back_end
async def test_an_answer_that_does_not_come_is_timed_out(name: str, back_end: BackEnd, http: Http) -> None:
    back_end.hang()
    assert isinstance(await failure(name, back_end.url, http, timeout="100ms"), TimedOut)


async def test_an_answer_that_does_not_end_is_timed_out(back_end: BackEnd, http: Http) -> None:
    back_end.drip()
    assert isinstance(await failure("prometheus", back_end.url, http, timeout="100ms"), TimedOut)


@every_back_end
async def test_a_refused_connection_is_unreachable(name: str, http: Http) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert isinstance(await failure(name, f"http://127.0.0.1:{port}", http), Unreachable)


async def test_a_name_that_nobody_has_is_unreachable(http: Http) -> None:
    assert isinstance(await failure("prometheus", "http://nobody.invalid", http), Unreachable)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254",
        "http://[fe80::1]",
        "http://[::ffff:169.254.169.254]",
        "http://[fd00:ec2::254]",
        "http://100.100.100.200",
    ],
)
async def test_the_metadata_of_clouds_is_not_asked(url: str, http: Http) -> None:
    assert isinstance(await failure("http", url, http), Misconfigured)


async def test_after_a_redirect_nobody_else_was_asked(back_end: BackEnd, http: Http) -> None:
    async with BackEnd() as other:
        other.say({"value": 1})
        back_end.say("", 302, {"Location": f"{other.url}/value"})
        await failure("http", back_end.url, http)
        assert other.asked == []


async def test_a_source_goes_on_after_a_failure(back_end: BackEnd, http: Http) -> None:
    back_end.flood(4 << 20).say({"value": 0.5})
    await failure("http", back_end.url, http)
    (series,) = await reader_of(configured("http", back_end.url), http).ask(question("http"))
    assert series.points[0].value == 0.5


async def test_a_compressed_answer_is_read(back_end: BackEnd, http: Http) -> None:
    back_end.say(gzip.compress(json.dumps({"value": 0.5}).encode()), 200, {"Content-Encoding": "gzip"})
    (series,) = await reader_of(configured("http", back_end.url), http).ask(question("http"))
    assert series.points[0].value == 0.5
