"""A JSON patch applied as RFC 6902 says, and no more kindly: what an API server would do with it."""

import copy
from typing import Any


class NotApplicable(Exception):
    """The API server would refuse the patch."""


def apply(document: dict[str, Any], operations: Any) -> dict[str, Any]:
    """The patched document, of the next version if anything was changed."""
    new = copy.deepcopy(document)
    for operation in operations:
        _apply(new, operation)
    if operations:
        new["metadata"]["resourceVersion"] = str(int(new["metadata"]["resourceVersion"]) + 1)
    return new


def _apply(document: Any, operation: dict[str, Any]) -> None:
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    parent = document
    for part in way:
        parent = parent[_position(parent, part, len(parent) - 1) if isinstance(parent, list) else part]
    kind = operation["op"]
    if isinstance(parent, list):
        key: Any = _position(parent, last, len(parent) - (kind != "add"))
    else:
        key = last
        if kind != "add" and key not in parent:
            raise NotApplicable(f"{kind} of a member that is not there: {operation['path']}")
    match kind:
        case "test":
            if parent[key] != operation["value"]:
                raise NotApplicable(f"test of {operation['path']}: {parent[key]!r}")
        case "remove":
            del parent[key]
        case "add" if isinstance(parent, list):
            parent.insert(key, copy.deepcopy(operation["value"]))
        case "add" | "replace":
            parent[key] = copy.deepcopy(operation["value"])
        case _:
            raise NotApplicable(f"unknown operation {kind}")


def _position(items: list[Any], text: str, last: int) -> int:
    if not text.isdigit() or int(text) > last:
        raise NotApplicable(f"no position {text} in a list of {len(items)}")
    return int(text)
