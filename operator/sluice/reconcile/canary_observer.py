"""From the caches to the scene of a canary: what its target, candidate, Services, routes and gates are at this moment."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sluice.api import names
from sluice.api.canary import CanarySpec, Config, Match
from sluice.api.canary_status import CanaryPhase
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock
from sluice.kube.errors import Forbidden, KubeError, NotFound
from sluice.kube.resources import AUTOSCALERS, CONFIG_MAPS, GATEWAY_CLASSES, GATEWAYS, REPLICA_SETS, SECRETS
from sluice.planning.canary_commits import application_of
from sluice.planning.canary_scene import (
    SLOT_PHASES,
    AutoscalerView,
    CanaryScene,
    CanaryView,
    CandidateView,
    Dependency,
    HookResult,
    Origin,
    RouteView,
    ServicesView,
    Share,
    TargetView,
)
from sluice.planning.canary_spec import gate_names, is_routed, mirrors, service_name, steered
from sluice.planning.candidate import autoscales, candidate_labels, picks, revision_of, same_rules, template_hash
from sluice.planning.views import GateView
from sluice.reconcile.caches import BY_CANARY, BY_CANDIDATE, BY_NAMESPACE, UNDER_WAY, Caches
from sluice.reconcile.commits import Commits
from sluice.reconcile.measurer import Measurer
from sluice.reconcile.workloads import DeploymentRow, controller_of
from sluice.routing import gateway_status
from sluice.routing.base import (
    Backend,
    Before,
    Condition,
    Cookie,
    Header,
    HeaderPattern,
    Pair,
    Router,
    RoutingError,
    Seen,
    Standing,
    Wish,
)
from sluice.routing.registry import ROUTERS

CONFIG_SECONDS: Final = 10.0
"""How long the content of a config that was read counts as current."""

GATEWAY_SECONDS: Final = 60.0
"""How long what was read of a GatewayClass counts as current."""

AUTOSCALER_SECONDS: Final = 10.0
"""How long what was read of an autoscaler counts as current."""

RouteKey = tuple[str, str, str]
"""Namespace, kind and name."""


class ConfigsUnreadable(Exception):
    """A ConfigMap or Secret of the spec cannot be read, so that the revision is not known."""


@dataclass
class Memory:
    """What is known of a canary beside the API server: refusals, and the content of its configs."""

    routes: dict[tuple[str, str], str] = field(default_factory=dict)
    """Why a route could not be changed, by kind and name."""
    candidate: str = ""
    """Why the candidate could not be made."""
    gateways: dict[tuple[str, str], tuple[float, Mapping[str, Any] | None]] = field(default_factory=dict)
    """When the class of a Gateway was read, on the monotonic clock, and what it said."""
    autoscaler: tuple[float, AutoscalerView | None] | None = None
    """When the autoscalers were read, on the monotonic clock, and the target's."""
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
        row = self.target_row(view)
        return CanaryScene(
            canary=view,
            target=await self._target(view, row, configs) if row is not None else None,
            candidate=self._candidate(view),
            routes=await self._routes(view, memory),
            autoscaler=await self._autoscaler(view, row, memory),
            services=self._services(view, row),
            foreign=memory.candidate or self._foreign(view, row),
            gates=self._gates(view),
            tallies=self._measurer.tallies(view.uid),
            hooks=hooks,
            commits=self._commits.commits(view.uid),
            write_back=self._commits.written(view.uid),
            control=view.control,
            dependencies=self._dependencies(view),
            slot_free=self._slot_free(view),
            now=self._clock.now(),
        )

    # -- target and candidate ---------------------------------------------------------------------------

    def target_row(self, view: CanaryView) -> DeploymentRow | None:
        """The target; without a spec that can be read, what was adopted before."""
        if view.spec is not None:
            found = self._caches.deployments.get(view.namespace, view.spec.target.name)
        else:
            found = next(iter(self._caches.deployments.by_index(BY_CANARY, (view.namespace, view.name))), None)
        return found if found is not None and not found.deleting else None

    async def _target(self, view: CanaryView, row: DeploymentRow, configs: str) -> TargetView:
        revision = revision_of(row.template, configs)
        cached = self._caches.deployments.cached(row.namespace, row.name)
        held = row.held and row.paused
        running: str | None = revision
        if row.paused:
            waits = view.status.phase is CanaryPhase.WAITING
            running = await self._running(row, configs) if waits else view.status.stable_revision
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
            paused=row.paused,
            held=held,
            replicas=row.replicas,
            total=row.total,
            updated=row.updated,
            available=row.available,
            least_available=row.least_available,
            recreate=row.recreate,
            configured=not configs or row.configs == configs or unknown,
            origin=self._origin(row),
        )

    def _origin(self, row: DeploymentRow) -> Origin:
        application = application_of(row.tracking, row.namespace, row.name) if self._commits.access.argocd else ""
        return Origin(row.commit, row.repository, application)

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

    def _candidate(self, view: CanaryView) -> CandidateView | None:
        row = self.candidate_row(view)
        if row is None:
            return None
        return CandidateView(
            uid=row.uid,
            revision=row.revision,
            generation=row.generation,
            observed_generation=row.observed_generation,
            replicas=row.replicas,
            available=row.available,
            deleting=row.deleting,
        )

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

    # -- Services and routes ----------------------------------------------------------------------------

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
            candidate_fits=stable is None or (candidate is not None and candidate.ports == stable.ports),
            both=tuple(sorted(row.name for row in rows if not row.candidate_of and picks(dict(row.selector), labels))),
            selects=stable is None or not stable.selector or picks(dict(stable.selector), dict(target.labels)),
        )

    async def _routes(self, view: CanaryView, memory: Memory) -> list[RouteView]:
        found = []
        for kind, name, rule, preview in steered(view.spec, view.status.routes):
            row = self._caches.routes(kind).get(view.namespace, name)
            if row is None:
                continue
            pair = self.pair(view, row.obj, rule)
            lacking = "" if preview else await self._lacking(view, memory, kind, row.obj)
            found.append(self._route(view, memory, kind, row.obj, pair, preview=preview, lacking=lacking))
        return found

    def _route(
        self,
        view: CanaryView,
        memory: Memory,
        kind: str,
        route: Mapping[str, Any],
        pair: Pair | None,
        *,
        preview: bool,
        lacking: str,
    ) -> RouteView:
        router, name = ROUTERS[kind], route["metadata"]["name"]
        record = next((row.before for row in view.status.routes if (row.kind, row.name) == (kind, name)), None)
        said = router.answer(route)
        message = memory.routes.get((kind, name), "") or (said.message if said.standing is Standing.REFUSED else "")
        before, seen, as_matched = None, None, False
        if pair is not None:
            try:
                untouched = router.remember(route, pair)
                before = untouched.dump()
                if record is None:  # what cannot be done is said before anything is
                    router.steer(route, pair, wish(Share(0, matched=True), view.spec), untouched)
            except RoutingError as error:
                if record is None and router.seen(route, pair).weights:
                    message = message or str(error)
            known = before_of(record or before)
            seen = router.seen(route, pair, known)
            as_matched = seen.matched > 0 and _as_matched(router, route, pair, seen, view.spec, known)
        share = round(seen.most) if seen is not None and seen.weights else None
        mirrors = set(seen.mirrors) if seen is not None else set()
        return RouteView(
            name=name,
            kind=kind,
            preview=preview,
            resource_version=route["metadata"]["resourceVersion"],
            stable=None if share is None else 100 - share,
            candidate=None if share is None else share,
            settled=said.standing is Standing.ACCEPTED and not message,
            even=seen is not None and len(set(seen.weights)) <= 1,
            matched=seen is not None and seen.matched > 0,
            as_matched=as_matched,
            mirror=None if len(mirrors) > 1 else next(iter(mirrors), 0),
            lacking=lacking,
            before=before,
            message=message,
        )

    async def _lacking(self, view: CanaryView, memory: Memory, kind: str, route: Mapping[str, Any]) -> str:
        """What a gateway of the route does not claim, of what the spec asks for. Raises KubeError."""
        wishes = [] if view.spec is None else [Wish(mirror=percent) for percent in mirrors(view.spec)]
        needed = sorted({feature for one in wishes for feature in ROUTERS[kind].features(one)})
        if not needed:
            return ""
        now = self._clock.monotonic()
        for parent in (route.get("spec") or {}).get("parentRefs") or ():
            if (parent.get("kind") or "Gateway") != "Gateway":
                continue
            gateway = parent.get("namespace") or view.namespace, parent["name"]
            known = memory.gateways.get(gateway)
            if known is None or now - known[0] >= GATEWAY_SECONDS:
                known = memory.gateways[gateway] = now, await self._gateway_class(*gateway)
            found = known[1]
            if found is not None and (missing := gateway_status.lacking(found, needed)):
                return f"GatewayClass {found['metadata']['name']} does not claim to support {', '.join(missing)}"
        return ""

    async def _gateway_class(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The class of a Gateway; None when either does not exist: the route's own status says so."""
        try:
            gateway = await self._client.get(GATEWAYS, namespace, name)
            return await self._client.get(GATEWAY_CLASSES, None, gateway["spec"]["gatewayClassName"])
        except NotFound:
            return None
        except Forbidden:
            return {"metadata": {"name": f"of Gateway {namespace}/{name}, which cannot be read,"}}

    def pair(self, view: CanaryView, route: Mapping[str, Any], rule: str | None) -> Pair | None:
        """Between whom a route divides requests: by the port at which it names the target's Service."""
        if view.spec is None:
            service, candidate = self._names_without_spec(view)
        else:
            service, candidate = service_name(view.spec), names.candidate_name(view.spec.target.name)
        for row in (route.get("spec") or {}).get("rules") or ():
            for backend in row.get("backendRefs") or ():
                if backend.get("name") == service and backend.get("port"):
                    port = int(backend["port"])
                    return Pair(Backend(service, port), Backend(candidate, port), rule)
        return None

    def _names_without_spec(self, view: CanaryView) -> tuple[str, str]:
        target = self.target_row(view)
        name = target.name if target is not None else ""
        return name, names.candidate_name(name)

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
        target = self.target_row(view)
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


def wish(share: Share, spec: CanarySpec | None) -> Wish:
    """What a router is asked for."""
    matches = spec.canary.match if share.matched and spec is not None and spec.canary is not None else ()
    return Wish(share.weight, tuple(_condition(one) for one in matches), share.mirror)


def _condition(match: Match) -> Condition:
    if match.cookie is not None:
        return Cookie(match.cookie.name, match.cookie.value)
    if match.header is None:
        raise ValueError("neither header nor cookie")  # refused at admission
    if match.header.pattern is not None:
        return HeaderPattern(match.header.name, match.header.pattern)
    return Header(match.header.name, match.header.value or "")


def _as_matched(
    router: Router, route: Mapping[str, Any], pair: Pair, seen: Seen, spec: CanarySpec | None, before: Before
) -> bool:
    """Whether the rules for what matches are those of the spec: with them, and all else as it is, nothing is to be changed."""
    if seen.weight is None or len(set(seen.mirrors)) > 1:
        return False
    asked = Share(seen.weight, matched=True, mirror=next(iter(seen.mirrors), 0))
    try:
        return not router.steer(route, pair, wish(asked, spec), before)
    except RoutingError:
        return False


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


def before_of(text: str | None) -> Before:
    """How a route was, as far as it is on record."""
    return Before.load(text) if text else Before(())
