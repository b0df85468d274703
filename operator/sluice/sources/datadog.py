"""Datadog's query API, version 1: GET /api/v1/query.

It knows only windows: an instant query asks for the last maxAge and takes the newest point. Distances of points are Datadog's
own choice, or `.rollup()` in the query. Points that are null are points that are not there.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from sluice.api.base import Json
from sluice.api.metric_source import Datadog
from sluice.planning.metrics import Point, Question, Series, Unaskable
from sluice.sources.access import Access
from sluice.sources.answers import a_list, a_moment, a_number, a_pair, an_object, in_order
from sluice.sources.base import BadQuery

_DEFAULT: Final = "https://api.datadoghq.com"
_MILLISECOND: Final = timedelta(milliseconds=1)
_TAG: Final = re.compile(r"[A-Za-z0-9_./:-]*")


class DatadogReader:
    """One Datadog organization."""

    def __init__(self, spec: Datadog, access: Access) -> None:
        self._address = (spec.address or _DEFAULT).rstrip("/")
        keys = {"DD-API-KEY": access.secret(spec.api_key), "DD-APPLICATION-KEY": access.secret(spec.application_key)}
        self._access = access.with_headers(keys)

    def escape(self, text: str) -> str:
        """`text` as a tag or part of a name. The language has no quotes, so what tags cannot hold is refused."""
        if not _TAG.fullmatch(text):
            raise Unaskable(f"a value in a Datadog query may only hold letters, digits and _./:-, not {text[:50]!r}")
        return text

    async def ask(self, question: Question) -> tuple[Series, ...]:
        """The series that answer `question`. Raises SourceError."""
        window = {
            "from": str(int(question.since.timestamp())),
            "to": str(int(question.at.timestamp())),
            "query": question.text,
        }
        answer = an_object(await self._access.get(f"{self._address}/api/v1/query?{urlencode(window)}"), "the answer")
        if answer.get("status") != "ok" or answer.get("error"):
            raise BadQuery(f"the query failed: {self._access.quoted(str(answer.get('error')))}")
        return tuple(_one(an_object(row, "a series")) for row in a_list(answer.get("series"), "series"))


def _one(row: dict[str, Json]) -> Series:
    points = []
    for pair in a_list(row.get("pointlist"), "pointlist"):
        at, value = a_pair(pair, "a point")
        if value is not None:
            moment = a_moment(at, "the time of a point", unit=_MILLISECOND)
            points.append(Point(moment, a_number(value, "the value of a point")))
    return Series({"metric": str(row.get("metric", "")), "scope": str(row.get("scope", ""))}, in_order(points))
