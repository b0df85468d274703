"""InfluxDB 2: a Flux query by POST /api/v2/query, answered in annotated CSV.

The query says its own window, `range(start: -5m)`; `now()` in it is the moment of the look. With `range` in the check,
points outside its window are passed over. A row's time is `_time`, or `_stop` where an aggregate took `_time` away.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from sluice.api.metric_source import InfluxDB
from sluice.planning.metrics import Point, Question, Series
from sluice.sources.access import Access
from sluice.sources.answers import in_order
from sluice.sources.base import BadAnswer, BadQuery

_NUMBERS = ("double", "long", "unsignedLong")
_NO_LABELS = ("", "result", "table", "_start", "_stop", "_time", "_value")


class InfluxReader:
    """One organization of an InfluxDB."""

    def __init__(self, spec: InfluxDB, access: Access) -> None:
        self._url = f"{spec.address.rstrip('/')}/api/v2/query?{urlencode({'org': spec.organization})}"
        self._access = access

    def escape(self, text: str) -> str:
        """`text` inside a Flux string in double quotes, where `${` would begin an expression."""
        text = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
        return text.replace("\n", "\\n").replace("\r", "\\r")

    async def ask(self, question: Question) -> tuple[Series, ...]:
        """The series that answer `question`. Raises SourceError."""
        document = {
            "query": question.text,
            "type": "flux",
            "now": question.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "dialect": {"header": True, "delimiter": ",", "annotations": ["datatype", "group", "default"]},
        }
        body = await self._access.send(
            "POST", self._url, json.dumps(document).encode(), "application/json", accept="application/csv"
        )
        if error := _error(body):
            raise BadQuery(f"the query failed: {self._access.quoted(error)}")
        return tuple(_series(body, question))


@dataclass(frozen=True)
class _Table:
    """The head of a table: names, types, which columns group, and defaults, by position."""

    names: Sequence[str]
    types: Sequence[str]
    groups: Sequence[str]
    defaults: Sequence[str]

    @property
    def is_error(self) -> bool:
        """Whether its rows are errors that came up after the answer had begun."""
        return {"error", "reference"} <= set(self.names)

    def row(self, cells: Sequence[str]) -> dict[str, str]:
        """The cells by name, with defaults where they are empty."""
        if len(cells) != len(self.names):
            raise BadAnswer(f"a row of CSV has {len(cells)} cells, its header {len(self.names)}")
        return {name: cell or default for name, cell, default in zip(self.names, cells, self.defaults, strict=True)}


def _error(body: bytes) -> str:
    """What is said in a table of errors, which may come behind tables of results; empty when there is none."""
    for table, row in _rows(body):
        if table.is_error:
            return row["error"] or "no reason given"
    return ""


def _series(body: bytes, question: Question) -> Iterator[Series]:
    found: dict[tuple[tuple[str, str], ...], list[Point]] = {}
    for table, row in _rows(body):
        kind = dict(zip(table.names, table.types, strict=True)).get("_value")
        if kind not in _NUMBERS:
            raise BadAnswer("the query gives no numbers in a column _value")
        key = tuple(
            (name, row[name])
            for name, group in zip(table.names, table.groups, strict=True)
            if group == "true" and name not in _NO_LABELS
        )
        points = found.setdefault((("result", row.get("result", "")), ("table", row.get("table", "")), *key), [])
        if not row["_value"]:
            continue
        point = Point(_moment(row), _number(row["_value"]))
        if question.window is None or point.at >= question.since:
            points.append(point)
    for key, points in found.items():
        yield Series({name: text for name, text in key if name not in _NO_LABELS}, in_order(points))


def _rows(body: bytes) -> Iterator[tuple[_Table, dict[str, str]]]:
    notes: dict[str, list[str]] = {}
    table: _Table | None = None
    try:
        for cells in csv.reader(io.StringIO(body.decode("utf-8"), newline=""), strict=True):
            if not any(cells):
                notes, table = {}, None
            elif cells[0] in ("#datatype", "#group", "#default"):
                if table is not None:
                    notes, table = {}, None
                notes[cells[0]] = cells
            elif table is None:
                table = _head(cells, notes)
            else:
                yield table, table.row(cells)
    except (csv.Error, UnicodeDecodeError):
        broken = True
    else:
        broken = False
    if broken:
        raise BadAnswer("the answer is not CSV, or not all of it")


def _head(names: list[str], notes: dict[str, list[str]]) -> _Table:
    if {"error", "reference"} <= set(names):
        blank = [""] * len(names)
        return _Table(names, blank, blank, blank)
    lines = [notes.get(name, []) for name in ("#datatype", "#group", "#default")]
    if any(len(line) != len(names) for line in lines):
        raise BadAnswer("the answer is no annotated CSV: is this an InfluxDB 2?")
    types, groups, (_, *defaults) = lines
    return _Table(names, types, groups, ["", *defaults])


def _moment(row: dict[str, str]) -> datetime:
    text = row.get("_time") or row.get("_stop")
    if not text:
        raise BadAnswer("the query gives neither _time nor _stop, so the age of its values is not known")
    try:
        # Python reads at most six digits of a second.
        whole, dot, rest = text.partition(".")
        digits = rest.rstrip("Z")[:6]
        return datetime.fromisoformat(f"{whole}{dot}{digits}Z" if dot else whole)
    except ValueError:
        raise BadAnswer("a time in the answer is not RFC 3339") from None


def _number(text: str) -> float:
    try:
        return float(text)  # also NaN, +Inf and -Inf
    except ValueError:
        raise BadAnswer("a value in the answer is no number") from None
