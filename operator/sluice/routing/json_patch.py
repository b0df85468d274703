"""A JSON patch (RFC 6902) in the making: each operation is noted, and done at once to a copy of the document.

So positions in lists are always those that the operation will find, and the copy is what the API server will have.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

Key = str | int


class Draft:
    """One document, and the operations on it so far."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document: dict[str, Any] = copy.deepcopy(dict(document))
        self._version: str = document["metadata"]["resourceVersion"]
        self._operations: list[dict[str, Any]] = []

    @property
    def patch(self) -> tuple[dict[str, Any], ...]:
        """The operations after a test of the document's version; none if nothing changes."""
        if not self._operations:
            return ()
        return ({"op": "test", "path": "/metadata/resourceVersion", "value": self._version}, *self._operations)

    def set(self, value: Any, *path: Key) -> None:
        """Have this value at a key of an object; nothing is noted where it is there already."""
        *way, last = path
        parent = self._at(way)
        if last in parent and parent[last] == value:
            return
        self._note("replace" if last in parent else "add", path, value)
        parent[last] = copy.deepcopy(value)

    def insert(self, value: Any, *path: Key) -> None:
        """Put a value into a list, before what is at that position."""
        *way, last = path
        self._note("add", path, value)
        self._at(way).insert(last, copy.deepcopy(value))

    def remove(self, *path: Key) -> None:
        """Take out a key of an object or a position of a list; a key that is not there is no error."""
        *way, last = path
        parent = self._at(way)
        if isinstance(parent, dict) and last not in parent:
            return
        self._operations.append({"op": "remove", "path": _pointer(path)})
        del parent[last]

    def _note(self, operation: str, path: Sequence[Key], value: Any) -> None:
        self._operations.append({"op": operation, "path": _pointer(path), "value": copy.deepcopy(value)})

    def _at(self, way: list[Key]) -> Any:
        found: Any = self.document
        for key in way:
            found = found[key]
        return found


def _pointer(path: Sequence[Key]) -> str:
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in path)
