"""From a spec to a reader: which Secrets it needs, how they are sent, and what cannot work."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.api.metric_source import BACKENDS, SecretKey
from sluice.planning.metrics import Question, RequestsQuestion
from sluice.sources.base import Denied, Misconfigured
from sluice.sources.http import Http
from sluice.sources.registry import READERS, build, secrets_of
from sluice.sources.scrapes import Scrapes
from tests.unit.sources.back_end import AT, BackEnd, instant, reader_of, secret, spec_of

EMPTY = {"status": "success", "data": {"resultType": "vector", "result": []}}
PROMETHEUS = {"address": "http://prometheus"}
OTHERS: dict[str, dict[str, Any]] = {
    "http": {**PROMETHEUS, "value": "body.x"},
    "datadog": {"apiKey": secret(), "applicationKey": secret()},
    "influxdb": {**PROMETHEUS, "organization": "acme"},
    "graphite": PROMETHEUS,
    "new_relic": {"account": 1, "apiKey": secret()},
    "cloud_watch": {"region": "ap-south-1", "accessKeyId": secret(), "secretAccessKey": secret()},
}


def test_every_back_end_of_the_api_has_a_reader() -> None:
    assert (*READERS, "proxy") == BACKENDS


def test_a_source_needs_each_key_of_a_secret_once() -> None:
    spec = spec_of(
        cloudWatch={"region": "ap-south-1", "accessKeyId": secret("id"), "secretAccessKey": secret("key")},
        tls={"ca": secret("ca")},
        basic={"username": secret("id"), "password": {**secret(), "namespace": "other"}},
    )
    assert secrets_of(spec) == (
        SecretKey(name="metrics", key="id"),
        SecretKey(name="metrics", key="key"),
        SecretKey(name="metrics", key="key", namespace="other"),
        SecretKey(name="metrics", key="ca"),
    )


def test_every_source_of_the_document_can_be_built(http: Http) -> None:
    text = (Path(__file__).parents[3] / "docs" / "metric-sources.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    specs = [
        spec_of(**document["spec"])
        for block in blocks
        for document in yaml.safe_load_all(block)
        if document["kind"] == "MetricSource"
    ]
    for spec in specs:
        reader_of(spec, http, "text")
    assert {name for spec in specs for name in BACKENDS if getattr(spec, name) is not None} == set(BACKENDS)


@pytest.mark.parametrize("name", [name for name in READERS if name != "prometheus"])
async def test_a_source_that_knows_no_proxy_names_those_that_do(name: str, http: Http) -> None:
    spec = spec_of(**{name: OTHERS[name]})
    question = Question("", AT, requests=RequestsQuestion("Rate", "team", "web"))
    with pytest.raises(
        Misconfigured, match=r"cannot answer requests: prometheus \(with its field proxy\) and proxy can"
    ):
        await reader_of(spec, http).ask(question)


def test_a_source_without_credentials_needs_none() -> None:
    assert secrets_of(spec_of(prometheus=PROMETHEUS)) == ()


async def test_a_bearer_token_is_sent_without_the_line_break_at_its_end(back_end: BackEnd, http: Http) -> None:
    back_end.say(EMPTY)
    await reader_of(spec_of(prometheus={"address": back_end.url}, bearer=secret()), http, "token\n").ask(instant())
    assert back_end.asked[0].headers["Authorization"] == "Bearer token"


async def test_user_and_password_are_sent_as_basic_authentication(back_end: BackEnd, http: Http) -> None:
    back_end.say(EMPTY)
    spec = spec_of(prometheus={"address": back_end.url}, basic={"username": secret("user"), "password": secret("pass")})
    user, password = secrets_of(spec)
    await build(spec, {user: "ümit", password: "p:w"}, http, Scrapes()).ask(instant())
    scheme, _, pair = back_end.asked[0].headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair).decode()) == ("Basic", "ümit:p:w")


async def test_plain_headers_are_sent(back_end: BackEnd, http: Http) -> None:
    back_end.say(EMPTY)
    spec = spec_of(prometheus={"address": back_end.url, "headers": {"X-Scope-OrgID": "team-a"}})
    await reader_of(spec, http).ask(instant())
    assert back_end.asked[0].headers["X-Scope-OrgID"] == "team-a"


@pytest.mark.parametrize("text", ["", " \n", "two\nlines", "nul\x00"])
def test_a_credential_that_no_header_can_hold_is_denied_without_showing_it(text: str, http: Http) -> None:
    with pytest.raises(Denied, match=r'key "key" of Secret metrics (is empty|holds a line break)') as caught:
        reader_of(spec_of(prometheus=PROMETHEUS, bearer=secret()), http, text)
    assert "lines" not in str(caught.value)


def test_a_credential_that_is_not_there_is_denied(http: Http) -> None:
    with pytest.raises(Denied, match='key "key" of Secret metrics is not there, or the operator may not read it'):
        build(spec_of(prometheus=PROMETHEUS, bearer=secret()), {}, http, Scrapes())


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "exactly one back end is needed, not 0"),
        ({"prometheus": PROMETHEUS, "graphite": PROMETHEUS}, "exactly one back end is needed, not 2"),
        (
            {
                "prometheus": PROMETHEUS,
                "bearer": secret(),
                "basic": {"username": secret("user"), "password": secret()},
            },
            "bearer and basic are both given",
        ),
        ({"prometheus": {**PROMETHEUS, "headers": {"Authorization": "x"}}}, "headers: Authorization cannot be set"),
        ({"prometheus": {**PROMETHEUS, "headers": {"X-A": "a\r\nX-B: b"}}}, "X-A holds a control character"),
        ({"prometheus": {**PROMETHEUS, "headers": {"X A": "a"}}}, "'X A' is no name of a header"),
    ],
)
def test_a_spec_that_cannot_work_is_told(fields: dict[str, Any], complaint: str, http: Http) -> None:
    with pytest.raises(Misconfigured, match=complaint):
        reader_of(spec_of(**fields), http)


@pytest.mark.parametrize(("given", "seconds"), [(None, 10), ("5s", 5), ("10m", 60), ("0s", 0.1)])
async def test_the_time_limit_is_the_users_up_to_a_minute(
    given: str | None, seconds: float, back_end: BackEnd, http: Http
) -> None:
    back_end.say(EMPTY)
    await reader_of(spec_of(prometheus={"address": back_end.url}, timeout=given), http).ask(instant())
    assert back_end.asked[0].form["timeout"] == f"{seconds:g}s"
