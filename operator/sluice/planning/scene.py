"""What the steps of a run are judged by, and what comes of it: the values that the functions on steps share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sluice.api.base import Json
from sluice.api.pipeline import DataPipelineSpec
from sluice.api.reasons import Reason
from sluice.api.run import Interval, StepStatus
from sluice.planning.actions import CreatePod, Settings, StopPod, TakeLook, TallyKey
from sluice.planning.observed import PodView
from sluice.planning.pods import RunIdentity
from sluice.planning.verdicts import Tally
from sluice.planning.views import GateView, Refusal, RunView


@dataclass(frozen=True)
class Stop:
    """The list is stopping: nothing more is launched, what is live is ended."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Scene:
    """All that the steps of a run are judged by, besides their own statuses."""

    identity: RunIdentity
    spec: DataPipelineSpec
    pods: Mapping[str, PodView]
    """Pods of the run by name."""
    refusals: Mapping[str, Refusal]
    """Refusals by pod name."""
    gates: Mapping[str, GateView]
    """QualityGates by name."""
    tallies: Mapping[TallyKey, Tally]
    """What the operator remembers of looks at metrics; what it does not is in the status of the step."""
    interval: Interval | None
    """The data interval of the run."""
    siblings: Sequence[RunView]
    """Other runs of the pipeline, where a gate compares with them."""
    values: Callable[[Mapping[str, StepStatus]], Mapping[str, Json]]
    """Values of references, given the statuses known so far."""
    settings: Settings
    now: datetime


@dataclass
class Progress:
    """The result: new statuses by name, actions, and when to look again."""

    statuses: dict[str, StepStatus]
    create: list[CreatePod] = field(default_factory=list)
    stop: list[StopPod] = field(default_factory=list)
    looks: list[TakeLook] = field(default_factory=list)
    wake_at: datetime | None = None

    def wake(self, moment: datetime | None) -> None:
        """Look again at `moment` at the latest."""
        if moment is not None and (self.wake_at is None or moment < self.wake_at):
            self.wake_at = moment

    @property
    def ended(self) -> bool:
        """True when every step has ended."""
        return all(status.phase.ended for status in self.statuses.values())
