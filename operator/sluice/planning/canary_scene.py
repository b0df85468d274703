"""What a canary is judged by: plain, frozen values, and the questions that guards and states ask of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sluice.api import names
from sluice.api.canary import CanarySpec, CanaryStep, GateUse, Hook, HookPoint
from sluice.api.canary_status import (
    CanaryPhase,
    CanaryStatus,
    ControlAction,
    FailedRevision,
    PastRevision,
)
from sluice.api.commits import CommitRecord
from sluice.api.durations import parse_duration
from sluice.planning.actions import TallyKey
from sluice.planning.origins import NOWHERE, Origin
from sluice.planning.verdicts import Tally
from sluice.planning.views import GateView

DEFAULT_HOLD = timedelta(minutes=1)
DEFAULT_WATCH = timedelta(minutes=1)
DEFAULT_PROGRESS = timedelta(minutes=10)
DEFAULT_ROLLBACK = timedelta(seconds=30)
DEFAULT_NO_EVIDENCE = timedelta(minutes=5)
DRAIN = timedelta(seconds=10)
"""From the write of the routes until the candidate's pods go: proxies act on a route late, and say sooner that they accept it
(Traefik took up to 5 s when thirty routes changed at once)."""

FULL = 100
_PREVIEWED = frozenset(
    {
        CanaryPhase.PREVIEWING,
        CanaryPhase.APPROVING,
        CanaryPhase.SWITCHING,
        CanaryPhase.WATCHING,
        CanaryPhase.KEEPING,
        CanaryPhase.PROMOTING,
    }
)


@dataclass(frozen=True, kw_only=True)
class CanaryView:
    """A Canary."""

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    spec: CanarySpec | None
    """None when it cannot be read, or must not be acted on; `problem` says why."""
    problem: str
    status: CanaryStatus
    finalized: bool = True
    """Whether it has our finalizer, so that it cannot go before what it did is undone."""
    readable: bool = True
    """False when the status is not ours: nothing is done then."""
    control: "ControlRequest | BadControl | None" = None
    """What its annotation asks for."""


@dataclass(frozen=True, kw_only=True)
class TargetView:
    """The user's Deployment."""

    name: str
    uid: str
    resource_version: str
    generation: int
    observed_generation: int
    revision: str
    """Hash of the pod template and of the configs that belong to it."""
    running: str | None
    """Revision of the pods that serve, as far as it can be told."""
    adopted: bool
    """Whether it says that it is this Canary's."""
    paused: bool
    held: bool
    """Whether it was sluice that paused it."""
    replicas: int
    total: int
    """Pods that exist."""
    updated: int
    """Pods of the template that is stated."""
    available: int
    least_available: int
    """What a rolling update of it leaves: replicas minus maxUnavailable."""
    images: tuple[str, ...] = ()
    """Of its containers."""
    taken: bool = False
    """Whether it says that it is another Canary's, and that one stays: a Canary was renamed, or there are two of one target."""
    named: bool = True
    """Whether its Service leads to every pod that is ready: a router finds nobody else."""
    recreate: bool = False
    """Whether its strategy is Recreate: the pods of two versions must not run side by side."""
    configured: bool = True
    """Whether its template names the configs as they are, so that its pods have them or get them."""
    origin: Origin = NOWHERE

    @property
    def ours(self) -> bool:
        """Whether anything is on it that has to go with this Canary."""
        return self.adopted or (self.held and not self.taken)

    @property
    def serving(self) -> bool:
        """Whether it can take all requests."""
        return self.available >= max(1, self.least_available)

    @property
    def rolled_out(self) -> bool:
        """Whether every pod is of the stated template and available, as `kubectl rollout status` has it."""
        seen = self.observed_generation >= self.generation
        whole = self.updated == self.total == self.replicas and self.available >= self.replicas
        return seen and whole and not self.paused and self.configured


@dataclass(frozen=True, kw_only=True)
class CandidateView:
    """The Deployment that sluice makes of the new template."""

    uid: str
    revision: str
    generation: int
    observed_generation: int
    replicas: int
    available: int
    deleting: bool
    named: bool = True
    """Whether its Service leads to every pod that is ready."""

    def up(self, replicas: int) -> bool:
        """Whether it has so many pods, all of them available and found by whom its Service leads there."""
        seen = self.observed_generation >= self.generation and not self.deleting and self.named
        return seen and self.replicas >= replicas and self.available >= self.replicas


@dataclass(frozen=True, kw_only=True)
class AutoscalerView:
    """The HorizontalPodAutoscaler of the target."""

    name: str
    most: int
    """The highest number of pods that it allows."""
    floor: int | None
    """The lowest number that the candidate's own allows; None: the candidate has none of the same rules."""


@dataclass(frozen=True)
class Share:
    """What the candidate gets of the requests."""

    weight: int = 0
    """Percent of the requests."""
    matched: bool = False
    """Whether it gets those that spec.canary.match tells apart, whatever the weight."""
    mirror: int = 0
    """Percent of the requests of which it gets a copy."""

    def as_asked(self) -> dict[str, int | bool | None]:
        """The fields of a status that ask for it."""
        return {"weight": self.weight, "matched": self.matched or None, "mirror": self.mirror or None}


NOTHING = Share()


@dataclass(frozen=True, kw_only=True)
class RouteView:
    """A route, reduced to the weights of the two sides. A side that it does not name has None."""

    name: str
    kind: str
    preview: bool
    """Whether it is the preview route of a blue-green canary."""
    resource_version: str
    stable: int | None
    candidate: int | None
    settled: bool
    """Whether the router has accepted the weights that are stated."""
    even: bool = True
    """False where rules of the route divide their requests differently; the weights are then those of the rule with the most
    for the candidate."""
    matched: bool = False
    """Whether it has rules of ours that send requests of some kind to the candidate."""
    as_matched: bool = False
    """Whether these rules are what spec.canary.match asks for."""
    mirror: int | None = 0
    """Percent of the requests of which the candidate gets a copy; None where rules of the route differ."""
    before: str | None = None
    """What has to be known to give the route back as it was, of a route that the candidate has no part in yet."""
    message: str = ""
    """Why it is not settled, in the words of the route's condition."""
    lacking: str = ""
    """What its gateway does not claim that it can, and the spec asks for."""

    @property
    def share(self) -> float:
        """Share of the requests that go to the candidate by weight, in percent."""
        total = (self.stable or 0) + (self.candidate or 0)
        return 100 * (self.candidate or 0) / total if total else 0.0

    @property
    def reaches_candidate(self) -> bool:
        """Whether it states that the candidate gets any request, be it a copy."""
        return bool(self.candidate) or self.matched or self.mirror != 0

    def says(self, share: Share) -> bool:
        """Whether what is stated is this. With weight 0 the candidate need not be named."""
        if self.mirror != share.mirror or not (self.as_matched if share.matched else not self.matched):
            return False
        if share.weight == 0:
            return not self.candidate and bool(self.stable)
        return self.even and (self.stable, self.candidate) == (FULL - share.weight, share.weight)

    def gives_more(self, share: Share) -> bool:
        """Whether the candidate would get requests that it does not get now."""
        return (
            share.weight > self.share
            or (share.matched and not self.as_matched)
            or (share.mirror > 0 and share.mirror != self.mirror)
        )

    def gives_less(self, share: Share) -> bool:
        """Whether the target would get requests that it does not get now."""
        return share.weight < self.share or (self.matched and not share.matched)


@dataclass(frozen=True, kw_only=True)
class ServicesView:
    """The Services that matter to a canary."""

    stable: str
    """Name of the Service of the target."""
    found: bool
    """Whether it exists."""
    candidate: str = ""
    """Name of the candidate's Service."""
    candidate_fits: bool = True
    """Whether the candidate's Service is there, with the ports of the target's."""
    both: tuple[str, ...] = ()
    """Services of the user's that would send requests to the pods of the candidate, past the weights."""
    selects: bool = True
    """Whether the Service of the target selects the target's pods."""


@dataclass(frozen=True)
class Dependency:
    """A Canary that this one waits for."""

    name: str
    stable: bool
    """False also when it does not exist."""


@dataclass(frozen=True)
class HookResult:
    """What is remembered of a hook's call."""

    attempt: int
    state: Literal["Running", "Succeeded", "Failed", "GivenUp"]
    message: str = ""


@dataclass(frozen=True)
class WriteBackResult:
    """What is remembered of work in Git."""

    round: int
    attempt: int
    state: Literal["Running", "Pushed", "NotNeeded", "Failed", "Again"]
    """Again: it failed for now."""
    commit: str | None = None
    message: str = ""


@dataclass(frozen=True)
class ControlRequest:
    """What the annotation asks for."""

    action: ControlAction
    nonce: str
    by: str = ""


@dataclass(frozen=True)
class BadControl:
    """An annotation that asks for nothing that there is. It is answered, so that whoever wrote it learns of it."""

    action: str
    nonce: str
    problem: str
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class CanaryScene:
    """All that a canary is judged by."""

    canary: CanaryView
    target: TargetView | None
    candidate: CandidateView | None
    routes: Sequence[RouteView]
    """Routes of the spec that exist."""
    autoscaler: AutoscalerView | None = None
    services: ServicesView = field(default_factory=lambda: ServicesView(stable="", found=True))
    unnamed: str = ""
    """A pod that is ready, and that its Service does not lead to yet: it does so shortly, and nothing tells of it."""
    foreign: str = ""
    """What is in the way of the candidate: an object of somebody else's with its name, or a refusal of the API server's."""
    gates: Mapping[str, GateView] = field(default_factory=dict)
    tallies: Mapping[TallyKey, Tally] = field(default_factory=dict)
    """What is remembered of looks; what is not is in the status."""
    hooks: Mapping[str, HookResult] = field(default_factory=dict)
    """What is remembered of hooks, by key."""
    commits: Mapping[str, CommitRecord] = field(default_factory=dict)
    """What was found out about commits, by revision."""
    write_back: WriteBackResult | None = None
    forward: WriteBackResult | None = None
    control: ControlRequest | BadControl | None = None
    dependencies: Sequence[Dependency] = ()
    slot_free: bool = True
    """Whether the cap on canaries at once leaves room."""
    now: datetime


SLOT_PHASES = frozenset(
    {
        CanaryPhase.PREPARING,
        CanaryPhase.PREVIEWING,
        CanaryPhase.STEPPING,
        CanaryPhase.APPROVING,
        CanaryPhase.SWITCHING,
        CanaryPhase.WATCHING,
        CanaryPhase.KEEPING,
        CanaryPhase.PROMOTING,
        CanaryPhase.RETURNING,
        CanaryPhase.ROLLING_BACK,
    }
)
"""Phases in which a canary takes one of the places that there are for rollouts at once."""


def length(text: str | None, default: timedelta) -> timedelta:
    """A duration of the spec, or its default."""
    return parse_duration(text) if text is not None else default


def plan_hash(spec: CanarySpec) -> str:
    """Hash of what a rollout follows: another one in mid-run means that its step numbers mean something else."""
    parts = spec.model_dump_json(include={"canary", "blue_green", "routing", "candidate", "target"})
    return names.short_hash(parts, length=10)


def top_weight(spec: CanarySpec) -> int:
    """The weight of the watch: all requests, unless the candidate is smaller, or there is no router to move them."""
    if spec.routing.gateway_api is None:
        return max((step.weight for step in spec.canary.steps), default=0) if spec.canary is not None else 0
    ceiling = spec.candidate.ceiling if spec.candidate is not None else None
    return FULL if ceiling is None else ceiling


@dataclass(frozen=True)
class Moment:
    """A scene together with the status as it has been worked out so far."""

    scene: CanaryScene
    status: CanaryStatus

    @property
    def now(self) -> datetime:
        """The time."""
        return self.scene.now

    @property
    def spec(self) -> CanarySpec | None:
        """What the user wants; None when it cannot be acted on."""
        return self.scene.canary.spec

    @property
    def phase(self) -> CanaryPhase:
        """Where the canary stands."""
        return self.status.phase

    @property
    def since(self) -> datetime:
        """When the phase, or its newest weight, began."""
        return self.status.since or self.now

    @property
    def routed(self) -> bool:
        """Whether a router divides the requests. Without a spec, the routes that are there tell."""
        return self.spec.routing.gateway_api is not None if self.spec is not None else bool(self.scene.routes)

    @property
    def steps(self) -> Sequence[CanaryStep]:
        """The steps; none of a blue-green canary."""
        return self.spec.canary.steps if self.spec is not None and self.spec.canary is not None else ()

    @property
    def step(self) -> CanaryStep | None:
        """The current step."""
        index = self.status.step
        return self.steps[index] if index is not None and index < len(self.steps) else None

    @property
    def step_weight(self) -> int:
        """The weight of the current step, below the ceiling."""
        return min(self.step.weight, top_weight(self.spec)) if self.step is not None and self.spec is not None else 0

    @property
    def share(self) -> Share:
        """What the candidate was asked to get."""
        return Share(self.status.weight, bool(self.status.matched), self.status.mirror or 0)

    @property
    def step_share(self) -> Share:
        """What the current step wants it to get."""
        return Share(self.step_weight, self._matching, (self.step.mirror or 0) if self.step is not None else 0)

    @property
    def top_share(self) -> Share:
        """What it gets after the switch."""
        return Share(top_weight(self.spec) if self.spec is not None else 0, self._matching)

    @property
    def preview_share(self) -> Share:
        """What it gets of the preview route."""
        shown = self.phase in _PREVIEWED and self.spec is not None and self.spec.blue_green is not None
        return Share(FULL) if shown else NOTHING

    @property
    def _matching(self) -> bool:
        return self.spec is not None and self.spec.canary is not None and bool(self.spec.canary.match)

    @property
    def gate_uses(self) -> Sequence[GateUse]:
        """The gates that judge the current phase."""
        spec = self.spec
        if spec is None or self.status.in_full:
            return ()
        if self.phase in (CanaryPhase.WATCHING, CanaryPhase.KEEPING):
            return spec.gates
        if spec.blue_green is not None:
            return spec.blue_green.checks
        return spec.gates if self.step is None or self.step.gates is None else self.step.gates

    def route_before(self, route: RouteView) -> str | None:
        """How a route was before the rollout."""
        record = next((row for row in self.status.routes if (row.kind, row.name) == (route.kind, route.name)), None)
        return record.before if record is not None else route.before

    @property
    def trusted(self) -> frozenset[str | None]:
        """Revisions that may roll out: the stable one, and from its promotion on the candidate's."""
        promoted = self.phase in (CanaryPhase.PROMOTING, CanaryPhase.RETURNING)
        return frozenset({self.status.stable_revision, self.status.candidate_revision if promoted else None} - {None})

    @property
    def remembered(self) -> FailedRevision | None:
        """The record of the target's revision among those that failed."""
        revision = self.scene.target.revision if self.scene.target is not None else None
        return next((row for row in self.status.failed if row.revision == revision), None)

    @property
    def trusted_before(self) -> PastRevision | None:
        """The record of the target's revision among those that spec.rollback.window lets in again."""
        window = self.spec.rollback.window if self.spec is not None and self.spec.rollback is not None else None
        revision = self.scene.target.revision if self.scene.target is not None else None
        recent = self.status.past[-window:] if window else ()
        return next((row for row in recent if row.revision == revision), None)

    def hooks(self, point: HookPoint) -> Sequence[Hook]:
        """The hooks of a point of the rollout."""
        return [hook for hook in self.spec.hooks if hook.at == point] if self.spec is not None else ()

    def replicas(self, weight: int) -> int:
        """How many pods the candidate needs for `weight`."""
        target, stated = self.scene.target, self.spec.candidate if self.spec is not None else None
        pods = target.replicas if target is not None else 1
        if not self.routed:
            return 0 if weight <= 0 else max(1, round(pods * weight / max(1, FULL - weight)))
        if stated is not None and stated.replicas is not None:
            return stated.replicas
        if stated is not None and stated.by_weight:
            return max(1, math.ceil(pods * weight / FULL))
        return max(1, pods)

    def up(self, weight: int) -> bool:
        """Whether the candidate is ready for `weight`."""
        candidate = self.scene.candidate
        known = candidate is not None and candidate.revision == self.status.candidate_revision
        return known and candidate is not None and candidate.up(self.replicas(weight))

    @property
    def wanted_of_target(self) -> int:
        """How many pods the target needs, to take over from a candidate that an autoscaler has made as large as it is."""
        target, candidate, autoscaler = self.scene.target, self.scene.candidate, self.scene.autoscaler
        own = target.replicas if target is not None else 0
        if own == 0 or candidate is None or autoscaler is None or not self.routed:
            return own
        return max(own, min(candidate.available, autoscaler.most))

    @property
    def candidate_alive(self) -> bool:
        """Whether the candidate can answer anything."""
        candidate = self.scene.candidate
        return candidate is not None and not candidate.deleting and candidate.available > 0
