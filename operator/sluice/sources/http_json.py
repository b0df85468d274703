"""Any HTTP endpoint that answers with JSON: the query of a check is the path, and CEL takes the number out of the answer.

The path cannot leave the address: it begins with / or ?, and has no `..`, so that credentials go where the spec of the
source says.

CEL has no limit of time or memory in this library. So an expression may have one macro (map, filter, all, exists, existsOne),
may not use `body` inside it and makes no list there, and an answer has at most 256 KiB and 10,000 values: then its work is
bounded by the size of the answer times its own length.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import cel

from sluice.api.base import Json
from sluice.api.metric_source import HttpJson
from sluice.planning.metrics import Point, Question, Series, Unaskable
from sluice.sources.access import Access
from sluice.sources.answers import a_moment, a_number
from sluice.sources.base import BadAnswer, BadQuery, Misconfigured

_DEEPEST: Final = 64
_MOST_BYTES: Final = 1 << 18
_MOST_VALUES: Final = 10_000
_MACRO: Final = re.compile(r"\.\s*(?:map|filter|all|exists|exists_one|existsOne|transformList|transformMap\w*)\s*\(")
_BODY: Final = re.compile(r"\bbody\b")
_LITERAL: Final = re.compile(r"(?:^|[^\w\])\"'\s])\s*\[|\{")
"""A list or a map that is made; not the brackets of an index."""


class HttpJsonReader:
    """One endpoint."""

    def __init__(self, spec: HttpJson, access: Access) -> None:
        self._address = spec.address.rstrip("/")
        self._access = replace(access, limits=replace(access.limits, bytes=min(access.limits.bytes, _MOST_BYTES)))
        self._value = _compiled("value", spec.value)
        self._time = _compiled("time", spec.time) if spec.time is not None else None

    def escape(self, text: str) -> str:
        """`text` as part of a path or of a parameter, percent-encoded."""
        if text in (".", ".."):
            raise Unaskable(f"a value that stands in a path may not be {text!r}")
        return quote(text, safe="")

    async def ask(self, question: Question) -> tuple[Series, ...]:
        """One series for each number that `value` gives, with one point. Raises SourceError."""
        answer = await self._access.get(_joined(self._address, question.text))
        _require_small(answer)
        at = question.at if self._time is None else _moment(_evaluated(self._time, "time", answer))
        found = _evaluated(self._value, "value", answer)
        numbers = found if isinstance(found, list) else [found]
        many = len(numbers) > 1
        return tuple(
            Series({"index": str(index)} if many else {}, (Point(at, a_number(number, "what value gives")),))
            for index, number in enumerate(numbers)
        )


def _joined(address: str, query: str) -> str:
    """The URL of a query below `address`. Raises BadQuery where it would lead elsewhere."""
    path = query.strip()
    if not path.startswith(("/", "?")) or not path.isprintable() or any(char in path for char in " \\#"):
        raise BadQuery("the query has to be a path: /... or ?..., without blanks, \\ and #")
    segments = unquote(unquote(path.partition("?")[0])).replace("\\", "/").split("/")
    if "." in segments or ".." in segments:
        raise BadQuery("the query may not have . or .. in its path")
    url = address + path
    here, there = urlsplit(address), urlsplit(url)
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        raise BadQuery("the query leads to another host")
    return url


def _compiled(field: str, expression: str) -> Any:
    # Looked for in the text as it is, quoted parts included: refusing a strange expression is better than being fooled.
    macros = list(_MACRO.finditer(expression))
    if "//" in expression:
        raise Misconfigured(f"http.{field}: comments (//) are not possible")
    if len(macros) > 1:
        raise Misconfigured(f"http.{field}: has {len(macros)} of map, filter, all, exists; at most one is possible")
    if macros and _BODY.search(expression, macros[0].end()):
        raise Misconfigured(f"http.{field}: body cannot be used inside or behind map, filter, all or exists")
    if macros and _LITERAL.search(expression, macros[0].end()):
        raise Misconfigured(f"http.{field}: no list or map can be made inside or behind map, filter, all or exists")
    try:
        return cel.compile(expression)
    except ValueError:
        raise Misconfigured(f"http.{field}: is no CEL expression that can be read") from None


def _evaluated(program: Any, field: str, body: Json) -> object:
    try:
        return program.execute({"body": body})
    except (ValueError, RuntimeError, LookupError, TypeError, ArithmeticError):
        # It may quote what it could not work with, and so is not chained.
        failure = BadAnswer(f"http.{field}: the expression gives nothing for this answer")
    raise failure


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise BadAnswer("what time gives is no RFC 3339 text") from None
        if moment.tzinfo is None:
            raise BadAnswer("what time gives has no time zone")
        return moment.astimezone(UTC)
    if isinstance(value, int | float):
        return a_moment(value, "what time gives")
    raise BadAnswer("what time gives is neither a text nor a number")


def _require_small(answer: Json) -> None:
    """Raise BadAnswer for a document that is too large or too deep for an expression."""
    level, values = [answer], 1
    for _ in range(_DEEPEST):
        level = [
            child
            for one in level
            if isinstance(one, dict | list)
            for child in (one.values() if isinstance(one, dict) else one)
        ]
        values += len(level)
        if values > _MOST_VALUES:
            raise BadAnswer(f"the answer has more than {_MOST_VALUES} values")
        if not level:
            return
    raise BadAnswer("the answer is JSON that is nested too deeply")
