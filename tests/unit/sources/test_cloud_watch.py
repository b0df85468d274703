"""The CloudWatch source: signatures against AWS's published vectors, answers in the shapes of its API reference.

The vectors are those of the Signature Version 4 test suite and of the IAM user guide. No live account was asked.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sluice.planning.metrics import Series, Unaskable
from sluice.planning.verdicts import Outcome
from sluice.sources.base import BadAnswer, BadQuery, Denied, Misconfigured, SourceError, Throttled
from sluice.sources.cloud_watch import Signer
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

SUITE = {"Host": "example.amazonaws.com", "X-Amz-Date": "20150830T123600Z"}
FORM = {**SUITE, "Content-Type": "application/x-www-form-urlencoded"}
BASE = "https://example.amazonaws.com/"


@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "signature"),
    [
        pytest.param(
            *("GET", BASE, SUITE, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            id="get-vanilla",
        ),
        pytest.param(
            *("POST", BASE, SUITE, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            id="post-vanilla",
        ),
        pytest.param(
            *("GET", f"{BASE}?Param2=value2&Param1=value1", SUITE, b""),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            id="get-vanilla-query-order-key-case",
        ),
        pytest.param(
            *("GET", f"{BASE}ሴ", SUITE, b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
            id="get-utf8",
        ),
        pytest.param(
            *("POST", BASE, FORM, b"Param1=value1"),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            id="post-x-www-form-urlencoded",
        ),
    ],
)
def test_a_request_of_the_test_suite_has_its_signature(
    method: str, url: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    signer = Signer("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service")
    signed = signer.authorization(method, url, headers, body, datetime(2015, 8, 30, 12, 36, tzinfo=UTC))
    assert signed.endswith(f", Signature={signature}")


def test_the_request_of_the_user_guide_has_its_header() -> None:
    signer = Signer("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "iam")
    signed = signer.authorization(
        "GET",
        "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
        {
            "Host": "iam.amazonaws.com",
            "X-Amz-Date": "20150830T123600Z",
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        },
        b"",
        datetime(2015, 8, 30, 12, 36, tzinfo=UTC),
    )
    assert signed == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


def test_a_signer_does_not_show_its_secret() -> None:
    assert SECRET not in repr(Signer("id", SECRET, "r", "s"))


# -- answers ----------------------------------------------------------------------------------------------------------

QUERY = '[{"Id": "errors", "Expression": "m1 / m2", "Period": 60}]'


def answer(*points: tuple[float, Any], status: str = "Complete", **more: Any) -> dict[str, Any]:
    row = {"Id": "errors", "Label": "Errors", "StatusCode": status}
    row |= {"Timestamps": [at for at, _ in points], "Values": [value for _, value in points]}
    return {"MetricDataResults": [row], "Messages": [], **more}


def spec(url: str | None, region: str = "ap-south-1", **more: Any) -> Any:
    keys = {"accessKeyId": secret("id"), "secretAccessKey": secret()}
    return spec_of(cloudWatch={"address": url, "region": region, **keys}, **more)


async def ask(back_end: BackEnd, http: Http, question: Any = None) -> tuple[Series, ...]:
    return await reader_of(spec(back_end.url), http).ask(question or instant(QUERY))


async def test_queries_are_sent_signed_for_the_window(back_end: BackEnd, http: Http) -> None:
    back_end.say(answer((EPOCH - 60, 0.5), (EPOCH - 120, 0.25)))
    series = await ask(back_end, http)
    assert values(series) == [[0.25, 0.5]]
    (asked,) = back_end.asked
    assert asked.headers["X-Amz-Target"] == "GraniteServiceVersion20100801.GetMetricData"
    assert asked.headers["Content-Type"] == "application/x-amz-json-1.0"
    assert f"http://{asked.headers['Host']}" == back_end.url
    assert "/20260101/ap-south-1/monitoring/aws4_request" in asked.headers["Authorization"]
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-target" in asked.headers["Authorization"]
    assert asked.json == {
        "MetricDataQueries": json.loads(QUERY),
        "StartTime": EPOCH - 300,
        "EndTime": EPOCH,
        "ScanBy": "TimestampAscending",
    }


async def test_a_range_asks_for_its_window(back_end: BackEnd, http: Http) -> None:
    back_end.say(answer())
    await ask(back_end, http, over_ten_minutes(QUERY))
    assert back_end.asked[0].json["StartTime"] == EPOCH - 600


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"MetricDataResults": []}, "no data"),
        (answer(), "no data"),
        (answer((EPOCH - 400, 0)), "stale"),
        (answer((EPOCH + 100, 0)), "future"),
        ({"MetricDataResults": answer((EPOCH, 0))["MetricDataResults"] * 2}, "2 series"),
    ],
)
async def test_what_is_no_evidence_is_inconclusive(body: object, message: str, back_end: BackEnd, http: Http) -> None:
    back_end.say(body)
    look = judged(await ask(back_end, http))
    assert look.outcome is Outcome.INCONCLUSIVE
    assert message in look.message


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (answer((EPOCH, 0), status="PartialData"), "not complete: PartialData"),
        (answer((EPOCH, 0), status="InternalError"), "not complete: InternalError"),
        (answer((EPOCH, 0), NextToken="x"), "more pages"),
        (answer((EPOCH, 0), Messages=[{"Code": "Forbidden", "Value": "x"}]), "partial"),
        (answer((EPOCH, "0")), "is a text and no number"),
        ({"MetricDataResults": [{"StatusCode": "Complete", "Timestamps": [1], "Values": []}]}, "1 times and 0 values"),
    ],
)
async def test_what_is_not_whole_is_a_bad_answer(body: object, complaint: str, back_end: BackEnd, http: Http) -> None:
    back_end.say(body)
    with pytest.raises(BadAnswer, match=complaint):
        await ask(back_end, http)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("com.amazon.coral.service#ThrottlingException", Throttled),
        ("com.amazon.coral.service#AccessDeniedException", Denied),
        ("UnrecognizedClientException", Denied),
        ("com.amazonaws.cloudwatch#InvalidParameterValueException", BadQuery),
    ],
)
async def test_the_kind_of_an_error_says_more_than_its_status(
    kind: str, expected: type[SourceError], back_end: BackEnd, http: Http
) -> None:
    back_end.say({"__type": kind, "message": f"not with {SECRET}"}, 400)
    with pytest.raises(expected, match=r"^HTTP 400.*: not with \[redacted\]$"):
        await ask(back_end, http)


@pytest.mark.parametrize("query", ["", "m1 / m2", "{}", "[]", '[{"Id": NaN}]'])
async def test_a_query_is_a_list_of_queries(query: str, back_end: BackEnd, http: Http) -> None:
    with pytest.raises(BadQuery, match="list of MetricDataQueries"):
        await ask(back_end, http, instant(query))


@pytest.mark.parametrize("region", ["x.evil.example/", "ap-south", "AP-SOUTH-1", "a@b-1"])
def test_a_region_cannot_lead_to_another_host(region: str, http: Http) -> None:
    with pytest.raises(Misconfigured, match="is no region"):
        reader_of(spec(None, region), http)


def test_a_bearer_token_has_no_use(http: Http) -> None:
    with pytest.raises(Misconfigured, match="signs its requests"):
        reader_of(spec(None, bearer=secret()), http)


def test_a_value_cannot_end_a_text_or_an_expression_in_it(http: Http) -> None:
    reader = reader_of(spec(None), http)
    assert reader.escape("app/web-1") == "app/web-1"
    for text in ('"', "'", "\\", "(", "}", "a\nb"):
        with pytest.raises(Unaskable):
            reader.escape(text)
