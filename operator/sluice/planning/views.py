"""What the planner is shown of sluice's own kinds and of revisions. Made by `sluice.reconcile` from the caches."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sluice.api.gate import QualityGateSpec, QualityGateStatus
from sluice.api.metric_source import MetricSourceSpec, MetricSourceStatus
from sluice.api.pipeline import DataPipelineSpec, DataPipelineStatus
from sluice.api.reasons import Reason
from sluice.api.run import PipelineRunSpec, PipelineRunStatus, RunPhase
from sluice.planning.origins import NOTHING_STATED, StatedOrigin


@dataclass(frozen=True, kw_only=True)
class PipelineView:
    """A DataPipeline."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    deleting: bool
    raw_spec: dict[str, Any]
    """The spec as it was written: what a revision records."""
    spec: DataPipelineSpec | None
    """None when it cannot be read; `problem` says why."""
    problem: str
    status: DataPipelineStatus
    origin: StatedOrigin = NOTHING_STATED
    """What its annotations say of the commit that it comes from."""


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A PipelineRun."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    deleting: bool
    owned: bool
    """Whether a pipeline is its owner."""
    scheduled: bool
    """Whether the operator made it for a tick of the schedule."""
    spec: PipelineRunSpec | None
    problem: str
    status: PipelineRunStatus
    readable: bool = True
    """False when the API server holds a status that this version cannot read; `status` is then a blank one."""

    @property
    def pipeline(self) -> str:
        """Name of its pipeline; empty when its spec cannot be read."""
        return self.spec.pipeline.name if self.spec is not None else ""

    @property
    def phase(self) -> RunPhase:
        """Where it stands."""
        return self.status.phase

    @property
    def waiting(self) -> bool:
        """Whether it has not started, and still may."""
        return self.status.started_at is None and not self.phase.ended


@dataclass(frozen=True, kw_only=True)
class RevisionView:
    """A ControllerRevision of a pipeline."""

    namespace: str
    name: str
    uid: str
    pipeline: str
    pipeline_uid: str
    """UID of its owner."""
    number: int
    spec: DataPipelineSpec | None
    """None when it cannot be read (it was written by a newer operator, or by hand)."""


@dataclass(frozen=True, kw_only=True)
class GateView:
    """A QualityGate."""

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    raw_spec: dict[str, Any]
    """The spec as it was written: what a pod that evaluates it is given."""
    spec: QualityGateSpec | None
    """None when it cannot be read; `problem` says why."""
    problem: str
    status: QualityGateStatus


@dataclass(frozen=True, kw_only=True)
class SourceView:
    """A MetricSource, or without a namespace a ClusterMetricSource."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: MetricSourceSpec | None
    """None when it cannot be read; `problem` says why."""
    problem: str
    status: MetricSourceStatus


@dataclass(frozen=True)
class Refusal:
    """The API server's no to creating a pod."""

    pod: str
    message: str
    reason: Reason
    """PodRejected and NameTaken are final; QuotaExceeded may pass."""
    at: datetime
    """When it was said."""
