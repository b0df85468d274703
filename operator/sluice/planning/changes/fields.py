"""The fields in which two JSON values differ, by paths that people can read: `spec.steps[clean].image`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sluice.api.base import Json

MAX_FIELDS = 50
"""Fields listed of one object; of more, their number is said."""
MAX_SHOWN = 200
"""Longest value that is shown, in characters."""


@dataclass(frozen=True)
class FieldChange:
    """One field that differs."""

    path: str
    before: str | None
    """As JSON, strings without quotes; None: it was not there."""
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.path}: {self.after} (new)"
        if self.after is None:
            return f"{self.path}: {self.before} (removed)"
        return f"{self.path}: {self.before} -> {self.after}"


def field_changes(before: Json, after: Json, path: str = "") -> Iterator[FieldChange]:
    """The fields that differ. Items of a list with names of their own are told apart by these, not by their places."""
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _members(before, after, path, ".")
        return
    if isinstance(before, list) and isinstance(after, list):
        one, other = _by_name(before), _by_name(after)
        if one is not None and other is not None:
            yield from _members(one, other, path, "[]")
            if one.keys() == other.keys() and list(one) != list(other):
                yield FieldChange(path, _order(one), _order(other))
            return
        if len(before) == len(after) and not any(isinstance(item, str | int | float) for item in (*before, *after)):
            for index, (first, second) in enumerate(zip(before, after, strict=True)):
                yield from field_changes(first, second, f"{path}[{index}]")
            return
    if _written(before) != _written(after):
        yield FieldChange(path, show(before), show(after))


def _written(value: Json) -> str:
    """A value as JSON: in Python true is 1."""
    return json.dumps(value, sort_keys=True)


def _members(before: dict[str, Json], after: dict[str, Json], path: str, how: str) -> Iterator[FieldChange]:
    for name in [*before, *(name for name in after if name not in before)]:
        at = f"{path}[{name}]" if how == "[]" else f"{path}.{name}" if path else name
        if name not in before:
            yield FieldChange(at, None, show(after[name]))
        elif name not in after:
            yield FieldChange(at, show(before[name]), None)
        else:
            yield from field_changes(before[name], after[name], at)


def _by_name(items: list[Json]) -> dict[str, Json] | None:
    """{name: item}, None when the items have no names, or not each its own."""
    named: dict[str, Json] = {}
    for item in items:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name in named:
            return None
        named[name] = item
    return named


def _order(named: dict[str, Json]) -> str:
    return f"in the order {', '.join(named)}"


def show(value: Json) -> str:
    """A value for people: strings as they are, in one line; everything else as JSON; cut when it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text)} characters)"
