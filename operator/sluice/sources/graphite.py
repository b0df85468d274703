"""Graphite's render API: POST /render, with the query as its target.

It knows only windows: an instant query asks for the last maxAge and takes the newest point. Points that are null are points
that are not there.
"""

from __future__ import annotations

import re
from typing import Final

from sluice.api.base import Json
from sluice.api.metric_source import Graphite
from sluice.planning.metrics import Point, Question, Series, Unaskable
from sluice.sources.access import Access
from sluice.sources.answers import a_list, a_moment, a_number, a_pair, an_object, in_order, labels

_PART: Final = re.compile(r"[A-Za-z0-9_.:/%~@-]*")


class GraphiteReader:
    """One Graphite."""

    def __init__(self, spec: Graphite, access: Access) -> None:
        self._url = f"{spec.address.rstrip('/')}/render"
        self._access = access

    def escape(self, text: str) -> str:
        """`text` as part of a path. Graphite's quotes have no escapes, so what could be a pattern is refused."""
        if not _PART.fullmatch(text):
            raise Unaskable(
                f"a value in a Graphite target may only hold letters, digits and _.:/%~@-, not {text[:50]!r}"
            )
        return text

    async def ask(self, question: Question) -> tuple[Series, ...]:
        """The series that answer `question`. Raises SourceError."""
        form = {
            "target": question.text,
            "format": "json",
            "from": str(int(question.since.timestamp())),
            "until": str(int(question.at.timestamp())),
        }
        answer = await self._access.post_form(self._url, form)
        return tuple(_one(an_object(row, "a series")) for row in a_list(answer, "the answer"))


def _one(row: dict[str, Json]) -> Series:
    points = []
    for pair in a_list(row.get("datapoints"), "datapoints"):
        value, at = a_pair(pair, "a point")
        if value is not None:
            points.append(Point(a_moment(at, "the time of a point"), a_number(value, "the value of a point")))
    return Series({**labels(row.get("tags")), "target": str(row.get("target", ""))}, in_order(points))
