"""A small world for the tests of plan_canary: an API server, a Deployment controller, a kubelet, a router that lags.

The executor applies a plan in its order (status, then actions) and can be stopped before any of these writes; what it only
remembered is gone then. The rules that must hold are checked on the write that would break them.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sluice.api.canary import CanarySpec
from sluice.api.canary_status import CanaryPhase, CanaryStatus, ControlAction
from sluice.api.commits import CommitRecord
from sluice.api.gate import QualityGateSpec, QualityGateStatus
from sluice.planning.actions import TakeLook, TallyKey
from sluice.planning.canary import plan_canary
from sluice.planning.canary_actions import (
    AdoptTarget,
    ApplyAutoscaler,
    ApplyCandidate,
    CanaryAction,
    CanaryPlan,
    DeleteCandidate,
    DeleteService,
    DisownTarget,
    EndHook,
    HoldTarget,
    LetGo,
    PutForward,
    ReleaseTarget,
    RunHook,
    ScaleTarget,
    SetWeights,
    TakeBack,
)
from sluice.planning.canary_controls import requested
from sluice.planning.canary_scene import (
    AutoscalerView,
    BadControl,
    CanaryScene,
    CanaryView,
    CandidateView,
    ControlRequest,
    Dependency,
    HookResult,
    RouteView,
    Share,
    TargetView,
    WriteBackResult,
)
from sluice.planning.metrics import limits_of
from sluice.planning.origins import Origin, ReadCommit
from sluice.planning.verdicts import Look, Outcome, Tally
from sluice.planning.views import GateView
from tests.builders import NAMESPACE, NOW

P = CanaryPhase
NEVER = 10**6
UP = (P.HOLDING, P.PREPARING, P.PREVIEWING, P.STEPPING, P.APPROVING, P.SWITCHING, P.WATCHING, P.KEEPING, P.PROMOTING)


def canary_spec(**fields: Any) -> CanarySpec:
    """A canary of two steps with one gate; `fields` in the words of the manifest, None takes one away."""
    defaults: dict[str, Any] = {
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pricing"},
        "routing": {"gatewayAPI": {"routes": [{"name": "pricing"}]}},
        "canary": {"steps": [{"weight": 5, "hold": "1m"}, {"weight": 50, "hold": "1m"}]},
        "gates": [{"name": "slo"}],
    }
    rows = {key: value for key, value in (defaults | fields).items() if value is not None}
    return CanarySpec.model_validate(rows)


def gate_view(**metric: Any) -> GateView:
    """The gate `slo`: one check on a metric."""
    fields = {"source": "prom", "query": "q", "max": 1, "interval": "10s", **metric}
    rule = {key: value for key, value in fields.items() if value is not None}
    raw = {"checks": [{"name": "error-rate", "metric": rule}]}
    return GateView(
        namespace=NAMESPACE,
        name="slo",
        uid="gate-1",
        generation=1,
        deleting=False,
        raw_spec=raw,
        spec=QualityGateSpec.model_validate(raw),
        problem="",
        status=QualityGateStatus(),
    )


def commit_of(revision: str, problem: str = "") -> CommitRecord:
    """The commit of a revision, as it is found out."""
    if problem:
        return CommitRecord(revision=revision, problem=problem)
    digits = revision.encode().hex().ljust(40, "0")
    return CommitRecord(
        revision=revision, id=digits, author="Asha", repository="https://git.example/apps", path="apps/pricing"
    )


@dataclass
class Pod:
    """A pod of either Deployment."""

    revision: str
    ready: bool = False
    named: bool = False
    """Whether the Service leads to it."""


def all_named(pods: Iterable[Pod]) -> bool:
    """Whether the Service leads to all that are ready."""
    return all(pod.named for pod in pods if pod.ready)


@dataclass
class Target:
    """The user's Deployment."""

    revision: str = "v1"
    version: int = 1
    generation: int = 1
    observed: int = 1
    adopted: bool = False
    paused: bool = False
    held: bool = False
    replicas: int = 3
    pods: list[Pod] = field(default_factory=lambda: [Pod("v1", ready=True, named=True) for _ in range(3)])


@dataclass
class Ours:
    """The candidate."""

    uid: str
    revision: str
    replicas: int
    pods: list[Pod]
    deleting: bool = False
    floor: int | None = None


@dataclass
class Route:
    """A route: what is stated, and what the router does."""

    preview: bool = False
    stable: int = 1
    candidate: int | None = None
    matched: bool = False
    mirror: int = 0
    version: int = 1
    applied: tuple[int, int, bool, int] = (1, 0, False, 0)

    @property
    def stated(self) -> tuple[int, int, bool, int]:
        """What it says, as a router reads it."""
        return self.stable, self.candidate or 0, self.matched, self.mirror


class World:
    """One canary and all that it is about."""

    def __init__(self, spec: CanarySpec, *, webhook: bool = True) -> None:
        self.spec = spec
        self.webhook = webhook
        self.now = NOW
        self.deleting = False
        self.finalizer = True
        self.status = CanaryStatus()
        self.target = Target()
        self.ours: Ours | None = None
        self.autoscaled: int | None = None
        """The most pods that an autoscaler of the target allows; None: it has none."""
        self.routes: dict[str, Route] = {}
        if spec.routing.gateway_api is not None:
            self.routes = {route.name: Route() for route in spec.routing.gateway_api.routes}
            if spec.blue_green is not None and spec.blue_green.preview is not None:
                self.routes[spec.blue_green.preview.name] = Route(preview=True)
        self.gates: dict[str, GateView] = {"slo": gate_view()}
        self.metric: Outcome = Outcome.PASS
        self.broken: set[str] = set()
        """Revisions whose pods never become ready."""
        self.control: ControlRequest | BadControl | None = None
        self.dependencies: list[Dependency] = []
        self.router_away = False
        self.hook_answer = "Succeeded"
        self.hook_effects: dict[tuple[str, int], int] = {}
        self.tallies: dict[TallyKey, Tally] = {}
        self.hooks: dict[str, HookResult] = {}
        self.tracked = True
        """Whether the target says which commit it comes from."""
        self.commits: dict[str, CommitRecord] = {}
        self.commit_problem = ""
        self.written: WriteBackResult | None = None
        self.write_answer: Any = "Pushed"
        self.taken_back: list[TakeBack] = []
        self.forwarded: WriteBackResult | None = None
        self.put_forward: list[PutForward] = []
        self.good_looks: dict[int, datetime] = {}
        self.wake_at: datetime | None = None
        self.successor = False
        """Whether another Canary has taken the target over."""
        self.idle = False
        self.events: list[str] = []
        self.weights: list[int] = []
        self.writes = 0
        self.retried: set[str] = set()
        self.by_request: set[int] = set()
        self._uids = 0

    # -- the API server's side ---------------------------------------------------------------------------------------

    def view(self) -> CanaryView:
        """The Canary as it is stored."""
        return CanaryView(
            namespace=NAMESPACE,
            name="pricing",
            uid="canary-1",
            generation=1,
            deleting=self.deleting,
            spec=self.spec,
            problem="",
            status=self.status,
        )

    def scene(self) -> CanaryScene:
        """What is seen."""
        target, ours = self.target, self.ours
        shown = [pod.revision for pod in target.pods if pod.ready]
        seen = None
        if ours is not None:
            seen = CandidateView(
                uid=ours.uid,
                revision=ours.revision,
                generation=1,
                observed_generation=1,
                replicas=ours.replicas,
                available=sum(pod.ready for pod in ours.pods),
                deleting=ours.deleting,
                named=all_named(ours.pods),
            )
        autoscaler = None
        if self.autoscaled is not None:
            floor = ours.floor if ours is not None else None
            autoscaler = AutoscalerView(name="pricing", most=self.autoscaled, floor=floor)
        return CanaryScene(
            canary=self.view(),
            autoscaler=autoscaler,
            target=TargetView(
                name="pricing",
                uid="target-1",
                resource_version=str(target.version),
                generation=target.generation,
                observed_generation=target.observed,
                revision=target.revision,
                running=max(set(shown), key=shown.count) if shown else None,
                adopted=target.adopted and not self.successor,
                taken=self.successor,
                paused=target.paused,
                held=target.held,
                replicas=target.replicas,
                total=len(target.pods),
                updated=sum(pod.revision == target.revision for pod in target.pods),
                available=self.available(),
                least_available=target.replicas - 1,
                named=all_named(target.pods),
                images=(f"registry.example/pricing:{target.revision}", "registry.example/proxy:1"),
                origin=Origin(application="pricing") if self.tracked else Origin(),
            ),
            candidate=seen,
            routes=[
                RouteView(
                    name=name,
                    kind="HTTPRoute",
                    preview=route.preview,
                    resource_version=str(route.version),
                    stable=route.stable,
                    candidate=route.candidate,
                    settled=route.applied == route.stated,
                    matched=route.matched,
                    as_matched=route.matched,
                    mirror=route.mirror,
                )
                for name, route in self.routes.items()
            ],
            gates=dict(self.gates),
            tallies=dict(self.tallies),
            hooks=dict(self.hooks),
            commits=dict(self.commits),
            write_back=self.written,
            forward=self.forwarded,
            control=self.control,
            dependencies=tuple(self.dependencies),
            now=self.now,
        )

    def available(self) -> int:
        """Pods of the target that answer."""
        return sum(pod.ready for pod in self.target.pods)

    # -- what happens around it --------------------------------------------------------------------------------------

    def git(self, revision: str) -> None:
        """A commit changes the template; admission holds it back."""
        target = self.target
        if revision == target.revision:
            return
        target.revision = revision
        if target.adopted and self.webhook:
            target.paused = target.held = True
        self._touch(spec=True)

    def scale(self, replicas: int) -> None:
        """The target gets another size; an unready pod goes first."""
        target = self.target
        kept = sorted(target.pods, key=lambda pod: not pod.ready)[:replicas]
        target.pods = kept + [Pod(target.revision) for _ in range(replicas - len(kept))]
        target.replicas = replicas
        self._touch(spec=True)

    def _touch(self, *, spec: bool) -> None:
        self.target.version += 1
        self.target.generation += spec

    def controllers(self) -> None:
        """The Deployment controller looks once: it rolls an unpaused target on, and the candidate to its size."""
        target, ours = self.target, self.ours
        target.observed = target.generation
        if not target.paused:
            for pod in target.pods:
                if pod.revision != target.revision and (not pod.ready or self.available() >= target.replicas):
                    pod.revision, pod.ready, pod.named = target.revision, False, False
                    break
        if ours is not None and ours.deleting:
            self.ours = None
        elif ours is not None:
            ours.pods = (ours.pods + [Pod(ours.revision) for _ in range(ours.replicas)])[: ours.replicas]

    def kubelet(self) -> None:
        """Pods become ready, if they can."""
        for pod in [*self.target.pods, *(self.ours.pods if self.ours is not None else [])]:
            pod.ready = pod.ready or pod.revision not in self.broken

    def endpoints(self) -> None:
        """The Services lead to the pods that are ready."""
        for pod in [*self.target.pods, *(self.ours.pods if self.ours is not None else [])]:
            pod.named = pod.ready

    def router(self) -> None:
        """The router does what the routes state, unless it is away."""
        for route in self.routes.values() if not self.router_away else ():
            route.applied = route.stated

    def reset(self) -> None:
        """Somebody applies the routes as they are in Git."""
        for route in self.routes.values():
            route.stable, route.candidate = 100, 0
            route.matched, route.mirror = False, 0
            route.version += 1

    def ask(self, action: ControlAction, nonce: str) -> None:
        """Somebody annotates the Canary."""
        self.control = ControlRequest(action, nonce, "alice")

    def annotate(self, text: str) -> None:
        """Somebody writes the annotation by hand."""
        self.control = requested(text, "alice")

    def advance(self, **lengths: float) -> None:
        """Time passes."""
        self.now += timedelta(**lengths)

    # -- the operator's side -----------------------------------------------------------------------------------------

    def plan(self) -> tuple[CanaryScene, CanaryPlan]:
        """What the planner says now; it has to say so twice."""
        scene = self.scene()
        plan = plan_canary(scene)
        assert plan_canary(replace(scene)) == plan, "the same scene gives the same plan"
        return scene, plan

    def look(self, writes: int = NEVER, race: Callable[[], None] | None = None) -> bool:
        """Plan, then apply at most so many writes; fewer than there are is a crash. Whether anything was written."""
        if not self.finalizer:
            return False  # the Canary does not exist any more
        scene, plan = self.plan()
        if race is not None:
            race()
        todo: list[CanaryStatus | CanaryAction] = [plan.status] if plan.status is not None else []
        todo += plan.after
        done = False
        for write in todo[:writes]:
            if isinstance(write, CanaryStatus):
                self._write_status(scene, write)
                done = True
            else:
                done |= self._act(scene, write)
        if writes >= len(todo):
            self.events += [f"{row.type} {row.reason}" for row in plan.occurrences]
        else:
            self.crash()
        self.wake_at = plan.wake_at
        self.idle = not done and writes >= len(todo)
        return done

    def crash(self) -> None:
        """What was only remembered is gone."""
        self.tallies, self.hooks, self.commits, self.written, self.forwarded = {}, {}, {}, None, None

    def settle(self) -> None:
        """Look until there is nothing to do at this moment."""
        for _ in range(20):
            if not self.look():
                if not self.finalizer:
                    return
                _, plan = self.plan()
                assert plan.status is None, "at rest nothing is written"
                return
        raise AssertionError(f"the planner does not come to rest: {self.status}")

    def _write_status(self, scene: CanaryScene, written: CanaryStatus) -> None:
        before = self.status
        status = CanaryStatus.model_validate(json.loads(json.dumps(written.to_dict())))
        assert status.to_dict() != before.to_dict(), "a status is written only when it changed"
        assert status.round - before.round in (0, 1)
        assert status.stage >= before.stage
        assert before.phase is not P.GONE
        if status.round == before.round and before.phase in UP and status.phase in UP:
            assert status.weight >= before.weight, "weights rise, or the candidate is taken out"
        self._check_evidence(before, status)
        if status.pending is not None and status.pending.action.startswith("promote"):
            self.by_request.add(status.round)
        if status.control != before.control and status.control is not None and status.control.accepted:
            if status.control.action.startswith("promote") or status.control.action == "skip":
                self.by_request.add(status.round)
            if status.control.action == "retry":
                self.retried |= {scene.target.revision if scene.target is not None else ""}
        new = {row.revision for row in status.failed} - {row.revision for row in before.failed}
        self.retried -= new
        self.status = status
        self.writes += 1

    def _check_evidence(self, before: CanaryStatus, status: CanaryStatus) -> None:
        """A step, a watch, is only left towards promotion when its own evidence is good and of now."""
        asked = self.control is not None and self.control.action in ("promote", "promoteInFull", "skip")
        judged = (P.STEPPING, P.WATCHING, P.KEEPING)
        on = status.phase in (P.STEPPING, P.APPROVING, P.SWITCHING, P.WATCHING, P.KEEPING, P.PROMOTING)
        moved = (before.phase, before.step) != (status.phase, status.step) and status.round == before.round
        if before.phase in judged and on and moved and not asked and before.round not in self.by_request:
            assert self.spec.gates
            last = self.good_looks.get(before.stage)
            assert last is not None, "no evidence never promotes"
            assert self.now - last <= timedelta(seconds=41), "evidence of long ago is none"

    def _act(self, scene: CanaryScene, action: CanaryAction) -> bool:
        """Apply one action, and say whether something changed."""
        before = self._image()
        match action:
            case AdoptTarget():
                self.target.adopted = True
            case HoldTarget():
                if action.resource_version == str(self.target.version):
                    self.target.paused = self.target.held = True
                    self._touch(spec=True)
            case ReleaseTarget():
                self._release(action)
            case DisownTarget():
                self._disown(action)
            case ApplyCandidate():
                self._apply(action)
            case DeleteCandidate():
                self._delete(action)
            case ApplyAutoscaler():
                if self.ours is not None and self.ours.uid == action.uid:
                    self.ours.floor = action.floor
                    self.ours.replicas = max(self.ours.replicas, action.floor)
            case ScaleTarget():
                if action.resource_version == str(self.target.version):
                    self.scale(action.replicas)
            case SetWeights():
                self._set_weights(scene, action)
            case TakeLook():
                self._take_look(scene, action)
            case RunHook():
                self._run_hook(action)
            case EndHook():
                assert not any(any(route.stated[1:]) for route in self.routes.values()), "first the requests go back"
                self.hooks[action.key] = HookResult(action.attempt, "GivenUp")
            case ReadCommit():
                self.commits[action.revision] = commit_of(action.revision, self.commit_problem)
            case PutForward():
                self._put_forward(action)
            case TakeBack():
                self._take_back(action)
            case DeleteService():
                assert self.ours is None, "the candidate's Service goes last"
                assert not any(any(route.stated[1:]) for route in self.routes.values())
            case LetGo():
                assert self.deleting
                self.finalizer = False
        changed = self._image() != before
        self.writes += changed and not isinstance(action, TakeLook | RunHook | ReadCommit | TakeBack | PutForward)
        return changed

    def _image(self) -> str:
        return repr(
            (
                self.target,
                self.ours,
                self.routes,
                self.tallies,
                self.hooks,
                self.commits,
                self.written,
                self.forwarded,
                self.finalizer,
            )
        )

    def _release(self, action: ReleaseTarget) -> None:
        if action.resource_version != str(self.target.version):
            return
        assert self.status.phase in (P.PROMOTING, P.RETURNING, P.STABLE)
        assert self.target.revision in (self.status.stable_revision, self.status.candidate_revision)
        assert self.target.revision not in {row.revision for row in self.status.failed} - self.retried
        self.target.paused = self.target.held = False
        self._touch(spec=True)

    def _disown(self, action: DisownTarget) -> None:
        if action.resource_version == str(self.target.version):
            assert self.deleting
            self.target.adopted = self.target.held = self.target.paused = False
            self._touch(spec=True)

    def _apply(self, action: ApplyCandidate) -> None:
        if action.target_resource_version != str(self.target.version):
            return
        assert self.status.candidate_revision == action.revision == self.target.revision, "it is on record"
        assert self.status.phase in UP
        failed = {row.revision for row in self.status.failed}
        assert action.revision not in failed, "a failed revision is not tried again"
        if self.ours is None:
            assert action.uid is None
            self._uids += 1
            self.ours = Ours(f"candidate-{self._uids}", action.revision, action.replicas, [])
        elif self.ours.uid == action.uid:
            assert self.ours.revision == action.revision
            self.ours.replicas = action.replicas

    def _delete(self, action: DeleteCandidate) -> None:
        if self.ours is None or self.ours.uid != action.uid:
            return
        for route in self.routes.values():
            assert not any(route.stated[1:]), "its requests go before its pods do"
            assert not any(route.applied[1:]), "its requests go before its pods do"
        assert self.available() >= self.target.replicas - 1, "the only healthy copy is never removed"
        self.ours.deleting = True

    def _set_weights(self, scene: CanaryScene, action: SetWeights) -> None:
        route = self.routes[action.route]
        if action.resource_version != str(route.version):
            return
        share = action.share
        if not route.preview:
            recorded = Share(self.status.weight, bool(self.status.matched), self.status.mirror or 0)
            assert share == recorded, "what is asked for is on record"
        given = 100 * route.stated[1] / sum(route.stated[:2])
        if share.weight > given or (share.matched and not route.matched) or share.mirror > route.mirror:
            assert scene.candidate is not None
            assert scene.candidate.available >= max(1, scene.candidate.replicas), "only to pods that are ready"
            assert self.ours is not None
            assert all_named(self.ours.pods), "only to pods that a router finds"
            assert scene.candidate.revision == self.status.candidate_revision
            assert self.status.phase in UP
            failed = {row.revision for row in self.status.failed}
            assert scene.candidate.revision not in failed, "a failed revision gets nothing"
        else:
            assert self.available() >= 1, "only to pods that are ready"
            lost = self.ours is None or not any(pod.ready for pod in self.ours.pods)
            urgent = self.status.phase is P.ROLLING_BACK or lost
            assert urgent or all_named(self.target.pods), "only to pods that a router finds"
        route.stable, route.candidate = 100 - share.weight, share.weight
        route.matched, route.mirror = share.matched, share.mirror
        route.version += 1
        if not route.preview:
            self.weights.append(share.weight)

    def _take_look(self, scene: CanaryScene, action: TakeLook) -> None:
        value = {Outcome.PASS: 0.5, Outcome.FAIL: 7.2}.get(self.metric)
        look = Look(self.now, self.metric, value, f"{value} of 1" if value is not None else "no answer")
        known = self.tallies.get(action.key, action.known)
        self.tallies[action.key] = known.with_look(look, limits_of(action.check))
        assert action.begin == self.status.started_at, "what an earlier candidate did is not held against this one"
        for route in scene.routes:
            assert route.settled, "what is measured is what was asked for"
            assert route.preview or round(route.share) == self.status.weight
            assert route.preview or (route.matched, route.mirror) == (
                bool(self.status.matched),
                self.status.mirror or 0,
            )
        if self.metric in (Outcome.PASS, Outcome.WARN):
            self.good_looks[action.key[0]] = self.now

    def _run_hook(self, action: RunHook) -> None:
        assert any(row.key == action.key and row.attempt == action.attempt for row in self.status.hooks), "on record"
        self.hook_effects.setdefault((action.key, action.attempt), 0)
        self.hook_effects[action.key, action.attempt] += 1
        state: Any = self.hook_answer
        self.hooks[action.key] = HookResult(action.attempt, state, "answered")

    def _put_forward(self, action: PutForward) -> None:
        record = self.status.forward
        assert record is not None
        assert (record.round, record.attempt, record.state) == (action.round, action.attempt, "Pending"), "on record"
        assert action.wanted.revision == self.status.stable_revision, "what is stable is brought on"
        assert self.now >= record.due, "after the soak"
        self.put_forward.append(action)
        found = "e" * 40 if self.write_answer == "Pushed" else None
        self.forwarded = WriteBackResult(action.round, action.attempt, self.write_answer, found, "so it was")

    def _take_back(self, action: TakeBack) -> None:
        record = self.status.write_back
        assert record is not None
        assert (record.round, record.attempt, record.state) == (action.round, action.attempt, "Pending"), "on record"
        assert action.wanted.revision in {row.revision for row in self.status.failed}, "what failed is taken back"
        assert action.wanted.commit == commit_of(action.wanted.revision).id
        assert self.status.weight == 0 or self.status.phase is P.ROLLING_BACK
        self.taken_back.append(action)
        found = "f" * 40 if self.write_answer == "Pushed" else None
        self.written = WriteBackResult(action.round, action.attempt, self.write_answer, found, "so it was")

    # -- to the end --------------------------------------------------------------------------------------------------

    def ticks(self, limit: int = 400) -> Iterator[None]:
        """The cluster does what it is asked to, one thing after the other; time passes as the planner wants."""
        for _ in range(limit):
            yield
            before = self._image()
            self.controllers()
            self.kubelet()
            self.endpoints()
            self.router()
            if self.idle and self._image() == before and self.wake_at is not None:
                self.now = max(self.now + timedelta(milliseconds=50), self.wake_at)

    def run_once(self) -> None:
        """One tick of everything."""
        self.look()
        for index, _ in enumerate(self.ticks(2)):
            if index:
                return

    @property
    def resting(self) -> bool:
        """Whether nothing more is to come by itself."""
        return self.status.phase in (P.STABLE, P.FAILED, P.APPROVING, P.GONE, P.WAITING)

    def run(self, *, until: CanaryPhase | None = None, writes: Iterator[int] | None = None) -> None:
        """Go on until a phase is reached, or until all is at rest."""
        for _ in self.ticks():
            moved = self.look(next(writes, NEVER) if writes is not None else NEVER)
            if until is not None and self.status.phase is until:
                return
            if until is None and not moved and self.resting:
                target = self.target
                calm = all(route.applied == route.stated for route in self.routes.values())
                if calm and (target.paused or all(pod.revision == target.revision for pod in target.pods)):
                    return
        raise AssertionError(f"{until or 'rest'} is not reached: {self.status}")
