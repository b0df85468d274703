"""Reading decoded answers: each function gives what it is named after, or raises BadAnswer and says what stood there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sluice.api.base import Json
from sluice.planning.metrics import Point
from sluice.sources.base import BadAnswer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def an_object(value: Json, what: str) -> dict[str, Json]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise BadAnswer(f"{what} is {_kind(value)} and no object")
    return value


def a_list(value: Json, what: str) -> list[Json]:
    """A JSON array."""
    if not isinstance(value, list):
        raise BadAnswer(f"{what} is {_kind(value)} and no list")
    return value


def a_pair(value: Json, what: str) -> tuple[Json, Json]:
    """Two things in a list."""
    found = a_list(value, what)
    if len(found) != 2:
        raise BadAnswer(f"{what} has {len(found)} parts and not 2")
    return found[0], found[1]


def a_number(value: Json, what: str) -> float:
    """A number, which may be infinite. A boolean is none, nor is a text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadAnswer(f"{what} is {_kind(value)} and no number")
    try:
        return float(value)
    except OverflowError:
        raise BadAnswer(f"{what} is too large a number") from None


def a_moment(value: Json, what: str, *, unit: timedelta = timedelta(seconds=1)) -> datetime:
    """A moment given as a number of `unit` since 1970."""
    number = a_number(value, what)
    try:
        return _EPOCH + number * unit
    except (OverflowError, ValueError):  # ValueError: NaN
        raise BadAnswer(f"{what} is no time") from None


def labels(value: Json) -> dict[str, str]:
    """An object as labels."""
    return {name: str(text) for name, text in value.items()} if isinstance(value, dict) else {}


def in_order(points: list[Point]) -> tuple[Point, ...]:
    """Points, the oldest first."""
    return tuple(sorted(points, key=lambda point: point.at))


def _kind(value: Json) -> str:
    if isinstance(value, bool):
        return "a boolean"
    names: dict[type, str] = {str: "a text", list: "a list", dict: "an object", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), "something else")
