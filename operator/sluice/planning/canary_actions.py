"""What the plan of a canary asks the executor to do. Each action is idempotent and carries what it relies on."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.api.canary import Hook
from sluice.api.canary_status import CanaryStatus
from sluice.planning.actions import Occurrence, TakeLook
from sluice.planning.canary_scene import Share
from sluice.planning.forwarding import Promoted
from sluice.planning.origins import ReadCommit
from sluice.planning.write_back import RolledBack


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
class Finalize:
    """Put the finalizer on the Canary, before anything is done that would have to be undone."""


@dataclass(frozen=True)
class ApplyService:
    """Have the candidate's Service, with the ports of the target's."""


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
class ApplyAutoscaler:
    """Have an autoscaler for the candidate, with the rules of the target's and at least `floor` pods."""

    uid: str
    """UID of the candidate: its autoscaler goes with it."""
    autoscaler: str
    floor: int


@dataclass(frozen=True)
class ScaleTarget:
    """Have so many pods of the target, which its autoscaler has made smaller while it had no requests."""

    target: str
    uid: str
    resource_version: str
    replicas: int


@dataclass(frozen=True)
class DeleteCandidate:
    """Remove the candidate."""

    uid: str


@dataclass(frozen=True)
class DeleteService:
    """Remove the candidate's Service."""


@dataclass(frozen=True)
class SetWeights:
    """What the candidate gets of the requests of one route."""

    route: str
    kind: str
    share: Share
    """Nothing: the route is given back as it was."""
    resource_version: str
    before: str | None = None
    """How it was."""


@dataclass(frozen=True)
class RunHook:
    """Call a hook. Under way already, or called before under this key and attempt: nothing more is done."""

    hook: Hook
    key: str
    attempt: int
    timeout: timedelta


@dataclass(frozen=True)
class EndHook:
    """End the call of a hook that nobody waits for any more, and remove its Job if it has one."""

    name: str
    key: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class GitWork:
    """Something that is pushed to a repository. Under way already: nothing more is done."""

    round: int
    attempt: int
    repository: str
    branch: str
    secret: str | None
    aside: bool
    """Whether it goes to a branch of its own."""


@dataclass(frozen=True, kw_only=True)
class TakeBack(GitWork):
    """Take a commit back in Git."""

    path: str | None
    wanted: RolledBack


@dataclass(frozen=True, kw_only=True)
class PutForward(GitWork):
    """Commit a version to the next environment."""

    wanted: Promoted


@dataclass(frozen=True)
class LetGo:
    """Take the finalizer off the Canary."""


CanaryAction = (
    Finalize
    | ApplyService
    | AdoptTarget
    | HoldTarget
    | ReleaseTarget
    | DisownTarget
    | ApplyCandidate
    | ApplyAutoscaler
    | ScaleTarget
    | DeleteCandidate
    | DeleteService
    | SetWeights
    | TakeLook
    | RunHook
    | EndHook
    | ReadCommit
    | TakeBack
    | PutForward
    | LetGo
)


@dataclass(frozen=True)
class CanaryPlan:
    """What is to be done: the status first, so that a crash loses nothing, then the actions, then the Events."""

    status: CanaryStatus | None
    """The status as it shall be; None leaves it alone."""
    after: tuple[CanaryAction, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()
    wake_at: datetime | None = None
    before: tuple[CanaryAction, ...] = ()
    """Always empty: nothing is done that is not on record."""
