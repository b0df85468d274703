"""What admission does to the target of a canary, and to what people ask of a Canary, before it is stored.

A target is a Deployment with the label LABEL_CANARY. A new pod template pauses it in the same request, so that its old
pods serve on; ANNOTATION_HELD says that this pause is sluice's and not its user's. Doing it twice changes nothing, and
the operator's own requests are left alone: it is the operator that lets a target go.

The chart says the same in CEL (templates/policy-hold.yaml), for API servers that need no webhook for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.api.names import ANNOTATION_CONTROL, ANNOTATION_CONTROL_BY, ANNOTATION_HELD, GROUP, HELD, LABEL_CANARY

Object = Mapping[str, Any]
"""A Kubernetes object as JSON gives it."""


@dataclass(frozen=True)
class Edit:
    """Let the request in with these changes, a JSON patch (RFC 6902) of the new object."""

    operations: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Refusal:
    """Do not let the request in."""

    message: str


Answer = Edit | Refusal | None
"""None: the request is let in as it is."""


def review(old: Object | None, new: Object, *, user: str, operator: str) -> Answer:
    """What becomes of the request of `user` that makes `new` out of `old`; `old` is None when it creates an object.

    `operator` is the name under which the operator itself asks.
    """
    if user == operator:
        return None
    match str(new["apiVersion"]).partition("/")[0], new["kind"]:
        case "apps", "Deployment":
            return hold(old, new) if old is not None else None
        case group, "Canary" if group == GROUP:
            return sign(old, new, user)
        case _:
            return None


def hold(old: Object, new: Object) -> Answer:
    """Keep a target on its old pods when its pod template changes, and held until the operator lets it go.

    A pause of its user's stays the user's. It becomes sluice's when the user ends it: only the operator knows whether
    there is a new template by then, and lets the target go at once when there is none.
    """
    canary = _mark(old, "labels", LABEL_CANARY)
    if not canary:
        return None
    was_paused, is_paused = _paused(old), _paused(new)
    held = was_paused and _mark(old, "annotations", ANNOTATION_HELD) == HELD
    changed = old["spec"].get("template") != new["spec"].get("template")
    lost = _mark(new, "labels", LABEL_CANARY) != canary or (held and _mark(new, "annotations", ANNOTATION_HELD) != HELD)
    if held and not (is_paused or changed or lost):
        return Refusal(_still_held(str(new["metadata"]["name"]), canary))
    starts = not is_paused if was_paused and not held else changed
    operations = _put(new, "labels", LABEL_CANARY, canary)
    if starts or held:
        operations += _put(new, "annotations", ANNOTATION_HELD, HELD)
        operations += [] if is_paused else [{"op": "add", "path": "/spec/paused", "value": True}]
    return _edit(operations)


def sign(old: Object | None, new: Object, user: str) -> Answer:
    """Have beside the request in a Canary's control annotation the name of who wrote it, and nobody else's."""
    before = _mark(old, "annotations", ANNOTATION_CONTROL) if old is not None else ""
    control = _mark(new, "annotations", ANNOTATION_CONTROL)
    if not control:
        by = ""
    elif control != before:
        by = user
    else:
        by = _mark(old, "annotations", ANNOTATION_CONTROL_BY) if old is not None else ""
    return _edit(_put(new, "annotations", ANNOTATION_CONTROL_BY, by))


def _still_held(deployment: str, canary: str) -> str:
    return (
        f'Deployment "{deployment}" is held back by Canary "{canary}", which lets its new version in step by step; see '
        f"`kubectl get canary {canary}`. To let it in at once: `sluice canary promote --full {canary}`; to give it up: "
        f"`sluice canary abort {canary}`; to do without: delete the Canary"
    )


def _paused(deployment: Object) -> bool:
    return bool(deployment["spec"].get("paused"))


def _mark(item: Object, field: str, name: str) -> str:
    """A label or annotation; "" when it is not there."""
    return str((item["metadata"].get(field) or {}).get(name) or "")


def _put(item: Object, field: str, name: str, value: str) -> list[dict[str, Any]]:
    """Operations after which a label or annotation has this value; "" takes it away."""
    marks = item["metadata"].get(field)
    path = f"/metadata/{field}"
    pointer = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
    if not value:
        return [{"op": "remove", "path": pointer}] if marks and name in marks else []
    if not marks:
        return [{"op": "add", "path": path, "value": {name: value}}]
    return [{"op": "add", "path": pointer, "value": value}] if marks.get(name) != value else []


def _edit(operations: list[dict[str, Any]]) -> Edit | None:
    return Edit(tuple(operations)) if operations else None
