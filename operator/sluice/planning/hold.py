"""What admission does to hold a Deployment back, and to know who asks something of a Canary. Pure.

The target of a Canary has a label. A new pod template of it is let in paused, so that the pods that serve go on, and the
operator lets the new version in by a candidate of its own. The operator's own changes are never touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.api import names

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Review:
    """What becomes of a request: operations of a JSON patch, or a refusal with its reason. Without either it is let in."""

    patch: tuple[dict[str, Any], ...] = ()
    refusal: str = ""


@dataclass
class _Draft:
    """A patch in the making. Maps of metadata that are missing are made with their first entry."""

    obj: Object
    operations: list[dict[str, Any]] = field(default_factory=list)

    def set(self, field_name: str, key: str, value: str) -> None:
        """Have an entry in metadata.labels or metadata.annotations."""
        there = self.obj["metadata"].get(field_name)
        if there is not None and there.get(key) == value:
            return
        path = f"/metadata/{field_name}"
        if not there and not any(row["path"] == path for row in self.operations):
            self.operations.append({"op": "add", "path": path, "value": {}})
        self.operations.append({"op": "add", "path": f"{path}/{_escaped(key)}", "value": value})

    def drop(self, field_name: str, key: str) -> None:
        """Take an entry out."""
        if key in (self.obj["metadata"].get(field_name) or {}):
            self.operations.append({"op": "remove", "path": f"/metadata/{field_name}/{_escaped(key)}"})

    def pause(self) -> None:
        """Let the Deployment be paused."""
        if not self.obj["spec"].get("paused"):
            self.operations.append({"op": "add", "path": "/spec/paused", "value": True})


def review(kind: str, old: Object | None, new: Object, user: str, operator: str) -> Review:
    """What admission does with the request of `user` that makes `new` of `old` (None: a new object). `operator` is the
    user name of the operator itself."""
    if user == operator:
        return Review()
    if kind == "Canary":
        return _review_canary(old, new, user)
    if kind == "Deployment" and old is not None:
        return _review_deployment(old, new)
    return Review()


def _review_deployment(old: Object, new: Object) -> Review:
    canary = _entry(old, "labels", names.LABEL_CANARY)
    if not canary:
        return Review()
    was_held = _entry(old, "annotations", names.ANNOTATION_HELD) == names.HELD and bool(old["spec"].get("paused"))
    changed = old["spec"].get("template") != new["spec"].get("template")
    if was_held and not changed and not new["spec"].get("paused"):
        name = new["metadata"].get("name", "")
        return Review(
            refusal=f'Deployment "{name}" is held back by Canary "{canary}", which lets its new version in step by step; '
            f"see `kubectl get canary {canary}`. To let it in at once: `sluice canary promote --full {canary}`; to give it "
            f"up: `sluice canary abort {canary}`; to do without: delete the Canary"
        )
    draft = _Draft(new)
    draft.set("labels", names.LABEL_CANARY, canary)
    by_user = bool(old["spec"].get("paused")) and not was_held
    if was_held or (changed and not by_user):
        draft.set("annotations", names.ANNOTATION_HELD, names.HELD)
        draft.pause()
    return Review(tuple(draft.operations))


def _review_canary(old: Object | None, new: Object, user: str) -> Review:
    """Who wrote the request is what the API server says, and nobody else."""
    before = _entry(old, "annotations", names.ANNOTATION_CONTROL) if old is not None else None
    asked = _entry(new, "annotations", names.ANNOTATION_CONTROL)
    by = _entry(old, "annotations", names.ANNOTATION_CONTROL_BY) if old is not None else None
    draft = _Draft(new)
    if asked is not None and asked != before:
        by = user
    elif asked is None:
        by = None
    if by is not None:
        draft.set("annotations", names.ANNOTATION_CONTROL_BY, by)
    else:
        draft.drop("annotations", names.ANNOTATION_CONTROL_BY)
    return Review(tuple(draft.operations))


def _entry(obj: Object, field_name: str, key: str) -> str | None:
    value = (obj["metadata"].get(field_name) or {}).get(key)
    return str(value) if value is not None else None


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
