"""A Canary as the CLI sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.api.canary_status import CanaryPhase, CanaryStatus
from sluice.api.names import ANNOTATION_CONTROL
from sluice.cli.reading import read_status

AT_REST = frozenset({CanaryPhase.STABLE, CanaryPhase.FAILED})
"""Phases in which no rollout is under way, and none is wanted."""


@dataclass(frozen=True)
class CanaryState:
    """What is shown of a Canary."""

    name: str
    namespace: str
    uid: str
    target: str
    deleting: bool
    control: str | None
    """The text of the control annotation."""
    status: CanaryStatus

    @property
    def noticed(self) -> bool:
        """Whether an operator has looked at it."""
        return self.status.observed_generation is not None

    @property
    def resting(self) -> bool:
        """Whether nothing more is to come by itself."""
        return self.noticed and not self.deleting and self.status.phase in AT_REST

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON: the status, and what it is the status of."""
        return {"name": self.name, "namespace": self.namespace, "target": self.target, **self.status.to_dict()}


def read_canary(obj: Mapping[str, Any]) -> CanaryState:
    """The state in an object of the API server."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    return CanaryState(
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        uid=metadata["uid"],
        target=(spec.get("target") or {}).get("name", ""),
        deleting="deletionTimestamp" in metadata,
        control=(metadata.get("annotations") or {}).get(ANNOTATION_CONTROL),
        status=read_status(CanaryStatus, obj, "Canary"),
    )
