"""From the caches to the scene of a canary: what its target, candidate, Services, routes and gates are at this moment."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sluice.api import names
from sluice.api.canary import Config
from sluice.api.canary_status import CanaryPhase
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock
from sluice.kube.errors import KubeError, NotFound
from sluice.kube.resources import AUTOSCALERS, CONFIG_MAPS, ENDPOINT_SLICES, PODS, REPLICA_SETS, SECRETS
from sluice.planning.canary_actions import PutForward, TakeBack
from sluice.planning.canary_scene import (
    SLOT_PHASES,
    AutoscalerView,
    CanaryScene,
    CanaryView,
    CandidateView,
    Dependency,
    HookResult,
    ServicesView,
    TargetView,
)
from sluice.planning.canary_spec import gate_names, is_routed, service_name
from sluice.planning.candidate import autoscales, candidate_labels, picks, revision_of, same_rules, template_hash
from sluice.planning.endpoints import unnamed
from sluice.planning.views import GateView
from sluice.reconcile.caches import BY_CANDIDATE, BY_NAMESPACE, UNDER_WAY, Caches
from sluice.reconcile.canary_routes import RouteMemory, RouteObserver
from sluice.reconcile.commits import Commits
from sluice.reconcile.measurer import Measurer
from sluice.reconcile.workloads import DeploymentRow, controller_of

CONFIG_SECONDS: Final = 10.0
"""How long the content of a config that was read counts as current."""

GIVING_BACK: Final = (CanaryPhase.PROMOTING, CanaryPhase.RETURNING)
"""Phases after which the target gets the requests back, with other pods than before."""

AUTOSCALER_SECONDS: Final = 10.0
"""How long what was read of an autoscaler counts as current."""


class ConfigsUnreadable(Exception):
    """A ConfigMap or Secret of the spec cannot be read, so that the revision is not known."""


@dataclass
class Memory:
    """What is known of a canary beside the API server: refusals, and the content of its configs."""

    routes: RouteMemory = field(default_factory=RouteMemory)
    candidate: str = ""
    """Why the candidate could not be made."""
    autoscaler: tuple[float, AutoscalerView | None] | None = None
    """When the autoscalers were read, on the monotonic clock, and the target's."""
    named: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By Service: UID and version of its Deployment when it led to every pod that was ready."""
    unnamed: str = ""
    """A pod that its Service does not lead to yet."""
    configs: tuple[float, str] | None = None
    """When the configs were read, on the monotonic clock, and the hash of their content."""


class CanaryObserver:
    """See the module."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        clock: Clock,
        measurer: Measurer,
        commits: Commits,
        *,
        at_once: int | None,
    ) -> None:
        self._commits = commits
        self._client = client
        self._caches = caches
        self._clock = clock
        self._measurer = measurer
        self._at_once = at_once
        self._memories: dict[str, Memory] = {}
        self.routes = RouteObserver(client, caches, clock)

    def memory(self, uid: str) -> Memory:
        """What is remembered of a canary."""
        return self._memories.setdefault(uid, Memory())

    def forget(self, uid: str) -> None:
        """The canary is gone."""
        self._memories.pop(uid, None)

    async def scene(self, view: CanaryView, hooks: Mapping[str, HookResult]) -> CanaryScene:
        """All that the canary is judged by. Raises ConfigsUnreadable, KubeError."""
        memory = self.memory(view.uid)
        configs = await self.configs(view, memory)
        row = self._caches.target_of(view)
        memory.unnamed = ""
        return CanaryScene(
            canary=view,
            target=await self._target(view, row, configs) if row is not None else None,
            candidate=await self._candidate(view),
            routes=await self.routes.look(view, memory.routes),
            autoscaler=await self._autoscaler(view, row, memory),
            services=self._services(view, row),
            unnamed=memory.unnamed,
            foreign=memory.candidate or self._foreign(view, row),
            gates=self._gates(view),
            tallies=self._measurer.tallies(view.uid),
            hooks=hooks,
            commits=self._commits.commits(view.uid),
            write_back=self._commits.written(view.uid, TakeBack),
            forward=self._commits.written(view.uid, PutForward),
            control=view.control,
            dependencies=self._dependencies(view),
            slot_free=self._slot_free(view),
            now=self._clock.now(),
        )

    # -- target and candidate ---------------------------------------------------------------------------

    async def _target(self, view: CanaryView, row: DeploymentRow, configs: str) -> TargetView:
        revision = revision_of(row.template, configs)
        cached = self._caches.deployments.cached(row.namespace, row.name)
        held = row.held and row.paused
        running: str | None = revision
        if row.paused:
            waits = view.status.phase is CanaryPhase.WAITING
            running = await self._running(row, configs) if waits else view.status.stable_revision
        named = True
        if view.spec is not None and is_routed(view.spec) and view.status.phase in GIVING_BACK:
            named = await self._is_named(view, service_name(view.spec), row)
        unknown = row.configs is None and view.status.stable_revision in (None, revision)
        return TargetView(
            name=row.name,
            uid=row.uid,
            resource_version=str(cached.resource_version) if cached is not None else "",
            generation=row.generation,
            observed_generation=row.observed_generation,
            revision=revision,
            running=running,
            adopted=row.canary == view.name,
            images=row.images,
            taken=row.canary != view.name and self._stays(row.namespace, row.canary),
            paused=row.paused,
            held=held,
            replicas=row.replicas,
            total=row.total,
            updated=row.updated,
            available=row.available,
            least_available=row.least_available,
            recreate=row.recreate,
            named=named,
            configured=not configs or row.configs == configs or unknown,
            origin=self._commits.origin(row.origin, "apps/Deployment", row.namespace, row.name),
        )

    def _stays(self, namespace: str, name: str) -> bool:
        """Whether there is a Canary of this name that is not being deleted."""
        found = self._caches.canaries.get(namespace, name)
        return found is not None and not found.deleting

    async def _running(self, row: DeploymentRow, configs: str) -> str | None:
        """The revision of the ReplicaSet that has most of a paused target's pods."""
        found = await self._client.list(REPLICA_SETS, row.namespace)
        ours = [one for one in found.items if controller_of(one) == row.uid]
        best = max(ours, key=lambda one: (one.get("status") or {}).get("availableReplicas", 0), default=None)
        if best is None or not (best.get("status") or {}).get("availableReplicas"):
            return None
        template = best["spec"]["template"]
        labels = {k: v for k, v in (template["metadata"].get("labels") or {}).items() if k != "pod-template-hash"}
        plain = {**template, "metadata": {**template["metadata"], "labels": labels}}
        return revision_of(template_hash(plain), configs)

    def candidate_row(self, view: CanaryView) -> DeploymentRow | None:
        """The candidate's Deployment."""
        rows = self._caches.deployments.by_index(BY_CANDIDATE, (view.namespace, view.name))
        return next((row for row in rows if row.owner_uid == view.uid), None)

    async def _candidate(self, view: CanaryView) -> CandidateView | None:
        row = self.candidate_row(view)
        if row is None:
            return None
        routed = view.spec is not None and is_routed(view.spec)
        serves = routed and view.status.phase in SLOT_PHASES and row.available >= row.replicas > 0
        return CandidateView(
            uid=row.uid,
            revision=row.revision,
            generation=row.generation,
            observed_generation=row.observed_generation,
            replicas=row.replicas,
            available=row.available,
            deleting=row.deleting,
            named=not serves or await self._is_named(view, row.name, row),
        )

    async def _is_named(self, view: CanaryView, service: str, row: DeploymentRow) -> bool:
        """Whether a Service leads to every pod that is ready. Looked at until it does, after each change of the Deployment.

        Raises KubeError.
        """
        memory, found = self.memory(view.uid), self._caches.services.get(view.namespace, service)
        cached = self._caches.deployments.cached(row.namespace, row.name)
        state = row.uid, str(cached.resource_version) if cached is not None else ""
        if found is None or not found.selector or memory.named.get(service) == state:
            return True
        selector = ",".join(f"{key}={value}" for key, value in found.selector)
        pods = await self._client.list(PODS, view.namespace, label_selector=selector)
        theirs = f"kubernetes.io/service-name={service}"
        slices = await self._client.list(ENDPOINT_SLICES, view.namespace, label_selector=theirs)
        waiting = unnamed(pods.items, slices.items)
        if waiting:
            memory.unnamed = f'Service "{service}" does not lead to pod {waiting[0]} yet'
            return False
        memory.named[service] = state
        return True

    def _foreign(self, view: CanaryView, target: DeploymentRow | None) -> str:
        """An object of somebody else's that has a name of ours."""
        if target is None:
            return ""
        name = names.candidate_name(target.name)
        for kind, found in (
            ("Deployment", self._caches.deployments.get(view.namespace, name)),
            ("Service", self._caches.services.get(view.namespace, name)),
        ):
            if found is not None and found.owner_uid != view.uid:
                return f'{kind} "{name}" is not of this Canary; it needs that name for the candidate'
        return ""

    async def _autoscaler(self, view: CanaryView, row: DeploymentRow | None, memory: Memory) -> AutoscalerView | None:
        """The target's autoscaler, while it matters: read now and then, not watched. Raises KubeError."""
        if row is None or view.status.phase not in SLOT_PHASES:
            memory.autoscaler = None
            return None
        now = self._clock.monotonic()
        if memory.autoscaler is None or now - memory.autoscaler[0] >= AUTOSCALER_SECONDS:
            found = (await self._client.list(AUTOSCALERS, row.namespace)).items
            memory.autoscaler = now, _autoscaler_of(found, row.name)
        return memory.autoscaler[1]

    # -- Services ----------------------------------------------------------------------------

    def _services(self, view: CanaryView, target: DeploymentRow | None) -> ServicesView:
        if view.spec is None or target is None:
            return ServicesView(stable="", found=True)
        name, ours = service_name(view.spec), names.candidate_name(target.name)
        stable = self._caches.services.get(view.namespace, name)
        candidate = self._caches.services.get(view.namespace, ours)
        labels = candidate_labels(view.name, dict(target.labels), target.selected_by, routed=is_routed(view.spec))
        rows = self._caches.services.by_index(BY_NAMESPACE, view.namespace)
        return ServicesView(
            stable=name,
            found=stable is not None,
            candidate=ours,
            candidate_fits=stable is None
            or (candidate is not None and candidate.ports == stable.ports and target.uid in candidate.owners),
            both=tuple(sorted(row.name for row in rows if not row.candidate_of and picks(dict(row.selector), labels))),
            selects=stable is None or not stable.selector or picks(dict(stable.selector), dict(target.labels)),
        )

    # -- what judges it ---------------------------------------------------------------------------------

    def _gates(self, view: CanaryView) -> dict[str, GateView]:
        found = {name: self._caches.gates.get(view.namespace, name) for name in gate_names(view.spec)}
        return {name: gate for name, gate in found.items() if gate is not None}

    def _dependencies(self, view: CanaryView) -> list[Dependency]:
        if view.spec is None:
            return []
        rows = []
        for need in view.spec.depends_on:
            other = self._caches.canaries.get(view.namespace, need.name)
            rows.append(Dependency(need.name, other is not None and self._is_stable(other)))
        return rows

    def _is_stable(self, view: CanaryView) -> bool:
        """Whether a canary rests, and its target states no other revision that has not been seen yet."""
        target = self._caches.target_of(view)
        if view.status.phase is not CanaryPhase.STABLE or target is None:
            return False
        return bool(view.spec and view.spec.configs) or target.template == view.status.stable_revision

    def _slot_free(self, view: CanaryView) -> bool:
        if self._at_once is None:
            return True
        others = [one for one in self._caches.canaries.by_index(UNDER_WAY, "") if one.uid != view.uid]
        return len(others) < self._at_once

    async def configs(self, view: CanaryView, memory: Memory) -> str:
        """Hash of the content of all configs of the spec; empty without any. Raises ConfigsUnreadable."""
        wanted = view.spec.configs if view.spec is not None else []
        if not wanted:
            return ""
        now = self._clock.monotonic()
        if memory.configs is None or now - memory.configs[0] >= CONFIG_SECONDS:
            contents = [await self._content(view.namespace, config) for config in wanted]
            digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()[:10]
            memory.configs = now, digest
        return memory.configs[1]

    async def _content(self, namespace: str, config: Config) -> list[Any]:
        resource = CONFIG_MAPS if config.kind == "ConfigMap" else SECRETS
        try:
            found = await self._client.get(resource, namespace, config.name)
        except NotFound:
            return [config.kind, config.name, None]
        except KubeError as error:
            raise ConfigsUnreadable(f'{config.kind} "{config.name}" cannot be read: {error}') from error
        return [config.kind, config.name, found.get("data"), found.get("binaryData")]


def _autoscaler_of(found: Sequence[Mapping[str, Any]], target: str) -> AutoscalerView | None:
    theirs = next((one for one in found if autoscales(one, target)), None)
    if theirs is None:
        return None
    ours = next((one for one in found if autoscales(one, names.candidate_name(target))), None)
    return AutoscalerView(
        name=theirs["metadata"]["name"],
        most=theirs["spec"]["maxReplicas"],
        floor=ours["spec"].get("minReplicas", 1) if ours is not None and same_rules(theirs, ours) else None,
    )
