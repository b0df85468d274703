"""A PipelineRun as the CLI sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from sluice.api.run import PipelineRunStatus, StepStatus
from sluice.cli.errors import CliError


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
    try:
        status = PipelineRunStatus.model_validate(obj.get("status") or {})
    except ValidationError as error:
        row = error.errors()[0]
        field = ".".join(map(str, ("status", *row["loc"])))
        name = metadata["name"]
        raise CliError(
            f'cannot read PipelineRun "{name}": {field}: {row["msg"]}; it may be of a newer sluice than this one'
        ) from error
    return RunState(
        name=metadata["name"],
        uid=metadata["uid"],
        pipeline=(spec.get("pipeline") or {}).get("name", ""),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        cancelling=bool(spec.get("cancel")),
        status=status,
    )
