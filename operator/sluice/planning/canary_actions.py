"""What the plan of a canary asks the executor to do. Each action is idempotent and carries what it relies on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.api.base import Json
from sluice.api.canary import Hook
from sluice.api.canary_status import CanaryStatus
from sluice.api.gate import Check
from sluice.planning.actions import Occurrence
from sluice.planning.verdicts import Tally


@dataclass(frozen=True)
class AdoptTarget:
    """Label the target, so that admission holds its new templates back."""

    target: str
    uid: str


@dataclass(frozen=True)
class HoldTarget:
    """Pause the target and mark that it was sluice. Only while it is as it was seen."""

    target: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class ReleaseTarget:
    """Let the target go on to the template that was seen. Only while it is as it was seen."""

    target: str
    uid: str
    resource_version: str
    revision: str


@dataclass(frozen=True)
class DisownTarget:
    """Take label, mark and pause off the target."""

    target: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class ApplyCandidate:
    """Create the candidate from the target's template, or bring its number of pods to `replicas`."""

    revision: str
    """The template that is meant: another one in the target by now makes this action nothing."""
    target_resource_version: str
    replicas: int
    uid: str | None
    """UID of the candidate that is there; None: there is none."""


@dataclass(frozen=True)
class DeleteCandidate:
    """Remove the candidate and its Service."""

    uid: str


@dataclass(frozen=True)
class SetWeights:
    """Weights of both sides in one route. Only while the route is as it was seen."""

    route: str
    kind: str
    stable: int
    candidate: int
    resource_version: str


CanaryTallyKey = tuple[int, str, int, str]
"""Stage of the canary, UID of the gate, its generation, name of the check."""


@dataclass(frozen=True)
class TakeCanaryLook:
    """Ask a metric source once, and add what it says to the tally. One look at a time for each key."""

    gate: str
    key: CanaryTallyKey
    check: Check
    values: Mapping[str, Json]
    known: Tally


@dataclass(frozen=True)
class RunHook:
    """Call a hook. Under way already, or called before under this key and attempt: nothing more is done."""

    hook: Hook
    key: str
    attempt: int
    timeout: timedelta


@dataclass(frozen=True)
class LetGo:
    """Take the finalizer off the Canary."""


CanaryAction = (
    AdoptTarget
    | HoldTarget
    | ReleaseTarget
    | DisownTarget
    | ApplyCandidate
    | DeleteCandidate
    | SetWeights
    | TakeCanaryLook
    | RunHook
    | LetGo
)


@dataclass(frozen=True)
class CanaryPlan:
    """What is to be done: the status first, so that a crash loses nothing, then the actions, then the Events."""

    status: CanaryStatus | None
    """The status as it shall be; None leaves it alone."""
    actions: tuple[CanaryAction, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()
    wake_at: datetime | None = None
