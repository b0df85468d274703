"""Amazon CloudWatch's GetMetricData; the query of a check is a list of MetricDataQueries in JSON.

It knows only windows: an instant query asks for the last maxAge and takes the newest point. Requests are signed with AWS
Signature Version 4, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, written out
here because it is forty lines and botocore is eighty megabytes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from sluice.api.base import Json
from sluice.api.metric_source import CloudWatch
from sluice.planning.metrics import Point, Question, Series, Unaskable
from sluice.sources.access import Access
from sluice.sources.answers import a_list, a_moment, a_number, an_object, in_order
from sluice.sources.base import BadAnswer, BadQuery, Denied, Misconfigured, SourceError, Throttled
from sluice.sources.http import parse_json, words_of

_TARGET: Final = "GraniteServiceVersion20100801.GetMetricData"
_CONTENT_TYPE: Final = "application/x-amz-json-1.0"
_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+")
_REFUSED: Final = re.compile(r"[\"'`\\(){}\[\]\x00-\x1f\x7f]")
_DENIED: Final = (
    "AccessDenied",
    "UnrecognizedClient",
    "InvalidSignature",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "ExpiredToken",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "OptInRequired",
    "NotAuthorized",
)
_THROTTLED: Final = ("Throttling", "RequestLimitExceeded", "TooManyRequests", "LimitExceeded")


@dataclass(frozen=True)
class Signer:
    """A pair of access keys, for one region and service."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str
    service: str

    def authorization(self, method: str, url: str, headers: Mapping[str, str], body: bytes, at: datetime) -> str:
        """The Authorization header of a request. All of `headers` are signed; Host and X-Amz-Date are among them."""
        stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        canonical = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        signed = ";".join(sorted(canonical))
        request = "\n".join(
            (
                method,
                quote(urlsplit(url).path or "/", safe="/%~"),
                _canonical_query(urlsplit(url).query),
                *(f"{name}:{canonical[name]}" for name in sorted(canonical)),
                "",
                signed,
                hashlib.sha256(body).hexdigest(),
            )
        )
        text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
        key = f"AWS4{self.secret_access_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"Credential={self.access_key_id}/{scope}"
        return f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={signed}, Signature={signature}"


def _canonical_query(query: str) -> str:
    pairs = sorted(
        (quote(name, safe="~"), quote(value, safe="~")) for name, value in parse_qsl(query, keep_blank_values=True)
    )
    return "&".join(f"{name}={value}" for name, value in pairs)


class CloudWatchReader:
    """CloudWatch in one region."""

    def __init__(self, spec: CloudWatch, access: Access) -> None:
        if "Authorization" in access.headers:
            raise Misconfigured("bearer and basic have no use with cloudWatch, which signs its requests")
        if not _REGION.fullmatch(spec.region):
            raise Misconfigured(f"cloudWatch.region: {spec.region!r} is no region, such as ap-south-1")
        suffix = "amazonaws.com.cn" if spec.region.startswith("cn-") else "amazonaws.com"
        self._url = f"{(spec.address or f'https://monitoring.{spec.region}.{suffix}').rstrip('/')}/"
        self._access = access
        self._signer = Signer(
            access.secret(spec.access_key_id), access.secret(spec.secret_access_key), spec.region, "monitoring"
        )

    def escape(self, text: str) -> str:
        """`text` inside a JSON string, which may hold an expression with quotes of its own: those are refused."""
        if _REFUSED.search(text):
            raise Unaskable(f"a value in a CloudWatch query may not hold quotes, brackets and \\: {text[:50]!r}")
        return text

    async def ask(self, question: Question) -> tuple[Series, ...]:
        """The series that answer `question`. Raises SourceError."""
        document = {
            "MetricDataQueries": _queries(question.text),
            "StartTime": int(question.since.timestamp()),
            "EndTime": int(question.at.timestamp()),
            "ScanBy": "TimestampAscending",
        }
        body = json.dumps(document).encode()
        headers = {
            "Content-Type": _CONTENT_TYPE,
            "Host": urlsplit(self._url).netloc,
            "X-Amz-Date": question.at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"),
            "X-Amz-Target": _TARGET,
        }
        signature = self._signer.authorization("POST", self._url, headers, body, question.at)
        access = self._access.with_headers({**headers, "Authorization": signature})
        answer = await access.send("POST", self._url, body, _CONTENT_TYPE, complaint=_complaint)
        return tuple(_series(an_object(parse_json(answer), "the answer")))


def _queries(text: str) -> Json:
    try:
        queries = parse_json(text.encode())
    except BadAnswer:
        queries = None
    if not isinstance(queries, list) or not queries:
        raise BadQuery("the query has to be a list of MetricDataQueries in JSON")
    return queries


def _complaint(status: int, body: bytes) -> SourceError | None:
    """AWS says in a field what the status does not: most errors are a 400."""
    try:
        answer = parse_json(body)
    except BadAnswer:
        return None
    kind = answer.get("__type") if isinstance(answer, dict) else None
    if not isinstance(kind, str):
        return None
    name = kind.rpartition("#")[2]
    said = f"HTTP {status} {name}: {words_of(body)}"
    if name.startswith(_THROTTLED):
        return Throttled(said)
    return Denied(said) if name.startswith(_DENIED) else None


def _series(answer: dict[str, Json]) -> list[Series]:
    if answer.get("NextToken"):
        raise BadAnswer("the answer has more pages: make the window shorter or the period longer")
    if answer.get("Messages"):
        raise BadAnswer("the answer is partial: CloudWatch says that not all metrics could be read")
    return [_one(an_object(row, "a result")) for row in a_list(answer.get("MetricDataResults"), "MetricDataResults")]


def _one(row: dict[str, Json]) -> Series:
    if row.get("StatusCode") != "Complete":
        raise BadAnswer(f"the answer is not complete: {str(row.get('StatusCode'))[:30]}")
    times, values = a_list(row.get("Timestamps"), "Timestamps"), a_list(row.get("Values"), "Values")
    if len(times) != len(values):
        raise BadAnswer(f"the answer has {len(times)} times and {len(values)} values")
    points = [
        Point(a_moment(at, "a timestamp"), a_number(value, "a value")) for at, value in zip(times, values, strict=True)
    ]
    return Series({"id": str(row.get("Id", "")), "label": str(row.get("Label", ""))}, in_order(points))
