"""What a plan asks the executor to do. Each action is idempotent and names the object that it is about."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from sluice.api.base import Json, Model, StatusModel
from sluice.api.gate import Check
from sluice.api.pod_template import PodTemplate
from sluice.api.reasons import CanaryReason, Reason
from sluice.api.run import PipelineRunSpec
from sluice.planning.origins import ReadCommit
from sluice.planning.verdicts import Tally

StatusT = TypeVar("StatusT", bound=StatusModel)


@dataclass(frozen=True)
class CreatePod:
    """Create the pod of one attempt of a step. The name is taken: success if it is our pod, an error if it is not."""

    step: str
    attempt: int
    manifest: dict[str, Any]


@dataclass(frozen=True)
class StopPod:
    """End a pod: by a deadline in the past, so that its logs stay, or where it has nothing to show, by deletion."""

    name: str
    uid: str
    delete: bool


@dataclass(frozen=True)
class AdoptRun:
    """Make the pipeline the owner of a run that a person created, so that it goes when the pipeline goes."""

    run: str
    uid: str
    pipeline: str
    pipeline_uid: str
    rerun_of: str | None = None
    """The run that it is a rerun of, for its label."""


@dataclass(frozen=True)
class CancelRun:
    """Ask for the end of another run (concurrency policy Replace)."""

    run: str
    uid: str


@dataclass(frozen=True)
class CreateRevision:
    """Record the spec as an immutable revision."""

    name: str
    number: int
    pipeline: str
    pipeline_uid: str
    data: dict[str, Any]


@dataclass(frozen=True)
class DeleteRevision:
    """Remove a revision that no run refers to."""

    name: str
    uid: str


@dataclass(frozen=True)
class CreateRun:
    """Create the scheduled run of an interval."""

    name: str
    pipeline: str
    pipeline_uid: str
    due: datetime
    spec: PipelineRunSpec


@dataclass(frozen=True)
class DeleteRun:
    """Remove an ended run that is beyond the retention limits."""

    name: str
    uid: str


TallyKey = tuple[str | int, str, int, str]
"""Step of a run or stage of a canary, UID of its gate, generation of that, name of the check."""


@dataclass(frozen=True)
class Subject:
    """The object of our own that something is asked for: a run or a canary."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class TakeLook:
    """Ask a metric source once, and add what it says to the check's tally. One look at a time for each key."""

    subject: Subject
    key: TallyKey
    check: Check
    values: Mapping[str, Json]
    """Values of the references in its query."""
    known: Tally
    """What to go on from where nothing is remembered."""
    begin: datetime | None = None
    """Requests that were counted before are about something else."""


@dataclass(frozen=True)
class ReadPipelineCommit:
    """Find out about the commit of a pipeline's revision."""

    pipeline: str
    uid: str
    read: ReadCommit


Action = (
    CreatePod
    | StopPod
    | TakeLook
    | AdoptRun
    | CancelRun
    | CreateRevision
    | DeleteRevision
    | CreateRun
    | DeleteRun
    | ReadPipelineCommit
)


@dataclass(frozen=True)
class Occurrence:
    """Something worth an Event."""

    type: Literal["Normal", "Warning"]
    reason: Reason | CanaryReason
    message: str


@dataclass(frozen=True)
class Plan(Generic[StatusT]):
    """What is to be done, in this order: `before`, then the status, then `after`, then the Events.

    An action stands in `before` when the status must not say so until it is done (the run of a tick exists before the tick
    counts as dealt with), and in `after` when it relies on what the status says (an attempt is on record before its pod is).
    """

    status: StatusT | None
    """The status as it shall be; None leaves it alone."""
    before: tuple[Action, ...] = ()
    after: tuple[Action, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()
    wake_at: datetime | None = None
    """When to look again although nothing has changed."""


@dataclass(frozen=True)
class Settings:
    """What the operator was started with, as far as plans depend on it."""

    pod_template: PodTemplate | None = None
    canaries_at_once: int | None = None
    """Canaries that may be under way side by side; None: any number."""
    gate_image: str = "sluice-gate"
    """Image of the pods that evaluate the data checks of gates."""


def same(one: Model | None, other: Model | None) -> bool:
    """Whether two statuses are written alike."""
    if one == other:
        return True  # cheap where most parts are the very same objects
    return (one.to_dict() if one is not None else None) == (other.to_dict() if other is not None else None)
