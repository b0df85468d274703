"""New Relic's NerdGraph API: an NRQL query by POST /graphql.

The query selects one number and says its own window, `SINCE 5 minutes ago`. FACET makes several series, TIMESERIES several
points; with `range` in the check, points outside its window are passed over. A row of TIMESERIES has the time
at which its bucket ends, all others the end of the query's window.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from sluice.api.base import Json
from sluice.api.metric_source import NewRelic
from sluice.planning.metrics import Point, Question, Series, Unaskable
from sluice.sources.access import Access
from sluice.sources.answers import a_list, a_moment, a_number, an_object, in_order
from sluice.sources.base import BadAnswer, BadQuery, Denied, SourceError, Throttled
from sluice.sources.http import parse_json, words_of

_DEFAULT: Final = "https://api.newrelic.com"
_QUERY: Final = (
    "query($account: Int!, $nrql: Nrql!) { actor { account(id: $account) { nrql(query: $nrql) "
    "{ results metadata { facets timeWindow { end } } } } } }"
)
_NO_VALUES: Final = frozenset(("facet", "beginTimeSeconds", "endTimeSeconds", "timestamp", "comparison"))
_REFUSED: Final = re.compile(r"[\"`\x00-\x1f\x7f]")


_FAILURES: Final[Mapping[str, type[SourceError]]] = {
    "ACCESS_DENIED": Denied,
    "UNAUTHORIZED": Denied,
    "TOO_MANY_REQUESTS": Throttled,
    "SERVER_ERROR": BadAnswer,
    "TIMEOUT": BadAnswer,
}


class NewRelicReader:
    """One New Relic account."""

    def __init__(self, spec: NewRelic, access: Access) -> None:
        self._url = f"{(spec.address or _DEFAULT).rstrip('/')}/graphql"
        self._account = spec.account
        self._access = access.with_headers({"API-Key": access.secret(spec.api_key)})

    def escape(self, text: str) -> str:
        """`text` inside an NRQL string in single quotes."""
        if _REFUSED.search(text):
            raise Unaskable(f"a value in NRQL may not hold double quotes, ` and control characters: {text[:50]!r}")
        return text.replace("\\", "\\\\").replace("'", "\\'")

    async def ask(self, question: Question) -> tuple[Series, ...]:
        """The series that answer `question`. Raises SourceError."""
        document = {"query": _QUERY, "variables": {"account": self._account, "nrql": question.text}}
        body = await self._access.send("POST", self._url, json.dumps(document).encode(), "application/json")
        answer = an_object(parse_json(body), "the answer")
        if answer.get("errors"):
            raise self._failure(body)
        found: Json = answer
        for name in ("data", "actor", "account", "nrql"):
            found = an_object(found, "the answer").get(name)
        nrql = an_object(found, "nrql")
        metadata = nrql.get("metadata")
        end = _end(metadata if isinstance(metadata, dict) else {}, question)
        facets = metadata.get("facets") if isinstance(metadata, dict) else None
        names = frozenset(map(str, facets)) if isinstance(facets, list) else frozenset()
        rows = [an_object(row, "a result") for row in a_list(nrql.get("results"), "results")]
        return tuple(_series(rows, names, end, question))

    def _failure(self, body: bytes) -> SourceError:
        """What errors in an answer mean whose status is 200, by the class that they state."""
        kinds = set(re.findall(r'"errorClass"\s*:\s*"(\w+)"', body.decode("utf-8", "replace")))
        said = self._access.quoted(words_of(body))
        for kind, failure in _FAILURES.items():
            if kind in kinds:
                return failure(said)
        return BadQuery(said)


def _end(metadata: dict[str, Json], question: Question) -> datetime:
    window = metadata.get("timeWindow")
    end = window.get("end") if isinstance(window, dict) else None
    if end is None:
        return question.at
    if isinstance(end, str) and end.isdigit():
        end = int(end)
    return a_moment(end, "the end of the window", unit=timedelta(milliseconds=1))


def _series(rows: list[dict[str, Json]], facets: frozenset[str], end: datetime, question: Question) -> Iterator[Series]:
    found: dict[str, list[Point]] = {}
    for row in rows:
        facet = row.get("facet")
        points = found.setdefault("" if facet is None else json.dumps(facet), [])
        value = _value(row, facets)
        if value is None:
            continue
        at = row.get("endTimeSeconds")
        moment = end if at is None else a_moment(at, "endTimeSeconds")
        if at is None or question.window is None or moment >= question.since:
            points.append(Point(moment, value))
    for facet_text, points in found.items():
        yield Series({"facet": facet_text} if facet_text else {}, in_order(points))


def _value(row: dict[str, Json], facets: frozenset[str]) -> float | None:
    """The one number of a row; None where New Relic had nothing to make it of."""
    values = {name: value for name, value in row.items() if name not in _NO_VALUES and name not in facets}
    if len(values) != 1:
        raise BadAnswer(f"the query gives {len(values)} values in a row: select one")
    ((name, value),) = values.items()
    if isinstance(value, dict):  # percentile(x, 95) gives {"95": 0.2}
        if len(value) != 1:
            raise BadAnswer(f"{name[:50]} gives {len(value)} values: select one")
        (value,) = value.values()
    return None if value is None else a_number(value, "the value of a row")
