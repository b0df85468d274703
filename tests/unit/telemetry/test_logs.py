"""Logs are structured, come from everywhere, and carry no credential."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sluice.telemetry import logs
from sluice.telemetry.logs import REDACTED, configure, get_logger, redact, redact_text

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IkFB.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"  # a made-up one
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nIABC\n-----END EC PRIVATE KEY-----"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A place to log to; logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# What is written ----------------------------------------------------------------------------------


def test_a_record_is_one_line_of_json(stream: io.StringIO) -> None:
    configure(stream=stream)
    get_logger("sluice.test").info("run started", run="r", attempts=2, labels={"a": ["b"]})

    [record] = records(stream)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "run started",
        "level": "info",
        "logger": "sluice.test",
        "run": "r",
        "attempts": 2,
        "labels": {"a": ["b"]},
    }


def test_the_standard_library_goes_the_same_way(stream: io.StringIO) -> None:
    configure(stream=stream)
    extra = {"k8s_ref": {"name": "flights"}, "settings": "all of Kopf's settings"}
    logging.getLogger("kopf.activities").warning("%s of %d", "two", 3, extra=extra)

    [record] = records(stream)
    assert (record["event"], record["level"], record["logger"]) == ("two of 3", "warning", "kopf.activities")
    assert record["k8s_ref"] == {"name": "flights"}
    assert "settings" not in record


def test_what_is_below_the_level_is_not_written(stream: io.StringIO) -> None:
    configure(stream=stream, level="WARNING")
    get_logger("sluice.test").info("quiet")
    logging.getLogger("kopf").info("quiet")

    assert records(stream) == []


def test_context_is_in_every_record_of_its_task(stream: io.StringIO) -> None:
    configure(stream=stream)
    with structlog.contextvars.bound_contextvars(kind="PipelineRun", name="r"):
        get_logger("sluice.test").info("ours")
        logging.getLogger("aiohttp.client").info("theirs")

    assert [(record["kind"], record["name"]) for record in records(stream)] == [("PipelineRun", "r")] * 2


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_code_but_no_local_variables_and_no_secrets(form: Any, stream: io.StringIO) -> None:
    configure(format=form, stream=stream)

    def connect() -> None:
        hidden_local = "in a local variable"
        raise RuntimeError(f"refused: Authorization: Bearer {JWT}" + hidden_local[:0])

    try:
        connect()
    except RuntimeError:
        get_logger("sluice.test").exception("failed")
        logging.getLogger("kopf").exception("failed")

    text = stream.getvalue()
    assert text.count("RuntimeError: refused") == 2
    assert "in connect" in text
    assert "in a local variable" not in text.replace('"in a local variable"', "").replace(
        '\\"in a local variable\\"', ""
    )
    assert JWT not in text


def test_the_console_form_is_for_eyes(stream: io.StringIO) -> None:
    configure(format="console", stream=stream)
    get_logger("sluice.test").info("run started", run="r", token="t0ps3cr3t")

    assert "run started" in stream.getvalue()
    assert "run=r" in stream.getvalue()
    assert "t0ps3cr3t" not in stream.getvalue()


def test_configuring_again_replaces_the_first(stream: io.StringIO) -> None:
    other = io.StringIO()
    configure(stream=other)
    configure(stream=stream)
    get_logger("sluice.test").info("once")

    assert other.getvalue() == ""
    assert len(records(stream)) == 1


def test_what_json_does_not_know_is_written_as_text(stream: io.StringIO) -> None:
    configure(stream=stream)
    get_logger("sluice.test").info("odd", what=ValueError("x"), raw=b"ab", things={1})

    [record] = records(stream)
    assert (record["what"], record["raw"], record["things"]) == ("x", "ab", [1])


def test_before_it_is_configured_records_are_safe_too(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("sluice.test.unconfigured").warning("careful", password="hunter22", url="https://u:p4ss@host/x")

    [message] = caplog.messages
    assert "careful" in message
    assert "hunter22" not in message
    assert "p4ss" not in message


# What is not --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "access_token",
        "refreshToken",
        "password",
        "db-password",
        "PASSWORD",
        "authorization",
        "Authorization",
        "secret",
        "client_secret",
        "clientSecret",
        "client-key",
        "client-key-data",
        "apiKey",
        "api_key",
        "aws_secret_access_key",
        "private_key",
        "cookie",
        "set-cookie",
        "credentials",
    ],
)
def test_fields_with_the_name_of_a_secret_are_hidden(key: str) -> None:
    assert redact(None, "info", {key: "value"}) == {key: REDACTED}
    assert redact(None, "info", {"deep": [{"down": {key: ["value"]}}]}) == {"deep": [{"down": {key: REDACTED}}]}


@pytest.mark.parametrize(
    "key",
    ["event", "name", "key", "tokens", "secret_name", "secretRef", "passwordless", "keyspace", "tokenizer", "author"],
)
def test_other_fields_are_not(key: str) -> None:
    assert redact(None, "info", {key: "value"}) == {key: "value"}


def test_whether_there_is_a_secret_may_be_said() -> None:
    assert redact(None, "info", {"token": None, "password": True}) == {"token": None, "password": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdefghijklmnop", f"Authorization: Bearer {REDACTED}"),
        ("proxy answered Bearer abcDEF123456 twice", f"proxy answered Bearer {REDACTED} twice"),
        ("{'Authorization': 'Bearer abcdefgh'}", f"{{'Authorization': 'Bearer {REDACTED}'}}"),
        ("authorization: basic dXNlcjpwYXNzd29yZA==", f"authorization: basic {REDACTED}"),
        (f"token is {JWT} ok", f"token is {REDACTED} ok"),
        ("https://user:pa55@git.example.com/r.git", f"https://{REDACTED}@git.example.com/r.git"),
        ("postgresql://u:p@db/x and http://h/ok", f"postgresql://{REDACTED}@db/x and http://h/ok"),
        (f"loaded {KEY} from file", f"loaded {REDACTED} from file"),
        ("loaded -----BEGIN PRIVATE KEY-----\nMII cut off", f"loaded {REDACTED}"),
        ("ghp_" + "a" * 36, REDACTED),
        ("glpat-" + "a" * 20, REDACTED),
        ("AKIA" + "B" * 16, REDACTED),
        ("password=hunter2 user=me", f"password={REDACTED} user=me"),
        ('{"client_secret": "abc", "a": 1}', f'{{"client_secret": "{REDACTED}", "a": 1}}'),
        ("--api-key: 'abc'", f"--api-key: '{REDACTED}'"),
        ("?access_token=abc&x=1", f"?access_token={REDACTED}&x=1"),
        ("AWS_SECRET_ACCESS_KEY=abc/def+ghi", f"AWS_SECRET_ACCESS_KEY={REDACTED}"),
    ],
)
def test_what_looks_like_a_credential_is_hidden_in_texts(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "run flights-daily-20260101t0600-abc123 started",
        "basic check of the bearer plan",
        "basic authentication is not offered",
        'secrets "db" not found',
        "the token expired",
        "key team-a/r is handled",
        "see https://example.com/a@b and mail to a@example.com",
        "image ghcr.io/acme/flights:1.4.2@sha256:abcdef",
        'pods "x" is forbidden: User "system:serviceaccount:sluice:operator" cannot list resource "secrets"',
    ],
)
def test_ordinary_texts_are_left_as_they_are(text: str) -> None:
    assert redact_text(text) == text


@given(text=st.text())
def test_redacting_never_fails_and_twice_is_as_good_as_once(text: str) -> None:
    once = redact_text(text)

    assert redact_text(once) == once


def test_a_long_text_without_credentials_is_read_in_reasonable_steps() -> None:
    """Each pattern has to be linear: these are the inputs on which a careless one is not."""
    for text in (
        "token-" * 40_000,
        "a.eyJ-" * 40_000,
        "-eyJ" * 60_000,
        "a+b." * 50_000,
        "a" * 200_000,
        "://" * 60_000,
        "token" * 40_000,
        "eyJ" * 60_000,
        "-----BEGIN " * 20_000,
        "bearer " * 30_000,
    ):
        logs.redact_text(text)


def test_a_structure_that_is_too_deep_is_cut_not_followed() -> None:
    deep: dict[str, Any] = {}
    deep["again"] = deep

    assert "again" in redact(None, "info", {"value": deep})["value"]
