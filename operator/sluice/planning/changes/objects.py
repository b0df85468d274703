"""One side of a comparison: manifests by who they are, and what can be asked of them together."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeVar

from pydantic import ValidationError

from sluice.api.base import Model
from sluice.api.canary import CanarySpec
from sluice.api.gate import QualityGateSpec
from sluice.api.names import GROUP
from sluice.api.pipeline import DataPipelineSpec
from sluice.api.schema import as_stored
from sluice.planning.changes.fields import FieldChange
from sluice.planning.validation import check_manifest

Manifest = Mapping[str, Any]
SpecT = TypeVar("SpecT", bound=Model)


@dataclass(frozen=True, order=True)
class Ref:
    """Which object."""

    kind: str
    namespace: str
    """As it is written; empty where none is."""
    name: str
    group: str = ""
    """Of its apiVersion; empty for the core."""
    unit: str = ""
    """What it came from, so that two overlays of one base are kept apart: the folder of a kustomization or a chart, else empty."""

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"

    @property
    def ours(self) -> bool:
        """Whether it is of a kind of sluice."""
        return self.group == GROUP

    @classmethod
    def of(cls, manifest: Manifest, unit: str = "") -> "Ref | None":
        """Who an object is; None when it says neither kind nor name."""
        kind, metadata, version = manifest.get("kind"), manifest.get("metadata"), manifest.get("apiVersion")
        if not isinstance(kind, str) or not isinstance(metadata, dict):
            return None
        name = metadata.get("name") or metadata.get("generateName")
        namespace = metadata.get("namespace")
        group = version.split("/")[0] if isinstance(version, str) and "/" in version else ""
        if not isinstance(name, str):
            return None
        return cls(kind, namespace if isinstance(namespace, str) else "", name, group, unit)


class Level(StrEnum):
    """How much something matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Effect:
    """One thing that will happen, for people."""

    message: str
    level: Level = Level.INFO
    at: tuple[Ref, str] | None = None
    """The object of the new tree, and the path of the field in it, that an error is about."""


def warning(message: str) -> Effect:
    """Something to look at before it is merged."""
    return Effect(message, Level.WARNING)


def error(message: str, ref: Ref, path: str) -> Effect:
    """Something that must not be merged."""
    return Effect(message, Level.ERROR, (ref, path))


class What(StrEnum):
    """What becomes of an object."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"


@dataclass(frozen=True)
class Change:
    """What becomes of one object, and what follows from it."""

    ref: Ref
    what: What
    before: Ref | None = None
    """Who it was, when it is renamed."""
    fields: tuple[FieldChange, ...] = ()
    more_fields: int = 0
    """Fields that differ beyond those that are listed."""
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True)
class Tree:
    """All objects of one side."""

    objects: Mapping[Ref, Manifest] = field(default_factory=dict)

    def spec(self, ref: Ref, model: type[SpecT]) -> SpecT | None:
        """The spec of a valid object of ours; None when it is not there, or cannot be acted on."""
        found = self._specs.get(ref)
        return found if isinstance(found, model) else None

    @cached_property
    def _specs(self) -> dict[Ref, Model]:
        models: dict[str, type[Model]] = {
            "DataPipeline": DataPipelineSpec,
            "Canary": CanarySpec,
            "QualityGate": QualityGateSpec,
        }
        found: dict[Ref, Model] = {}
        for ref, manifest in self.objects.items():
            if not ref.ours or ref.kind not in models or check_manifest(dict(manifest)):
                continue
            try:
                found[ref] = models[ref.kind].model_validate(as_stored(dict(manifest))["spec"])
            except ValidationError:
                continue  # What is wrong with it is said by the check of the manifests.
        return found

    def of(self, model: type[SpecT]) -> Iterator[tuple[Ref, SpecT]]:
        """All valid objects with such a spec."""
        for ref, spec in self._specs.items():
            if isinstance(spec, model):
                yield ref, spec

    def find(self, near: Ref, kind: str, name: str, group: str) -> Manifest | None:
        """The object that one at `near` means by a name: of the same namespace, rather of the same unit than of another."""
        named = [ref for ref in self._places.get((group, kind, near.namespace, name), ()) if beside(near, ref)]
        best = next((ref for ref in named if ref.unit == near.unit), named[0] if named else None)
        return self.objects[best] if best is not None else None

    @cached_property
    def _places(self) -> dict[tuple[str, str, str, str], list[Ref]]:
        found: dict[tuple[str, str, str, str], list[Ref]] = {}
        for ref in self.objects:
            found.setdefault((ref.group, ref.kind, ref.namespace, ref.name), []).append(ref)
        return found


def beside(one: Ref, other: Ref) -> bool:
    """Whether two objects belong together: one namespace; and one unit, or two of which one is that of plain files."""
    return one.namespace == other.namespace and (one.unit == other.unit or "" in (one.unit, other.unit))


def listed(names: Iterable[str]) -> str:
    """Names for people, in order: a, b and c."""
    parts = list(dict.fromkeys(names))
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else "none"


def stored_spec(manifest: Manifest | None) -> dict[str, Any]:
    """The spec of an object of ours as the API server stores it; {} when there is none."""
    if manifest is None:
        return {}
    spec = as_stored(dict(manifest)).get("spec")
    return spec if isinstance(spec, dict) else {}
