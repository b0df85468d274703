"""A PipelineRun as the CLI sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.api.run import PipelineRunStatus, StepStatus
from sluice.cli.reading import read_status


@dataclass(frozen=True)
class RunState:
    """What is shown of a run."""

    name: str
    uid: str
    pipeline: str
    created: datetime
    cancelling: bool
    status: PipelineRunStatus

    @property
    def noticed(self) -> bool:
        """Whether an operator has looked at it."""
        return self.status.observed_generation is not None

    def step(self, name: str) -> StepStatus | None:
        """The status of one step."""
        return next((step for step in self.status.steps if step.name == name), None)


def read_run(obj: Mapping[str, Any]) -> RunState:
    """The state in an object of the API server."""
    metadata, spec = obj["metadata"], obj.get("spec") or {}
    return RunState(
        name=metadata["name"],
        uid=metadata["uid"],
        pipeline=(spec.get("pipeline") or {}).get("name", ""),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        cancelling=bool(spec.get("cancel")),
        status=read_status(PipelineRunStatus, obj, "PipelineRun"),
    )
