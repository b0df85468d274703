"""Carries out the actions of canaries, and decides nothing. Every action can be done twice, or be found done already."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sluice.api import names
from sluice.api.base import Json
from sluice.api.canary_status import CanaryPhase
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock
from sluice.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound
from sluice.kube.resources import AUTOSCALERS, CANARIES, DEPLOYMENTS, GRPC_ROUTES, HTTP_ROUTES, SERVICES, Resource
from sluice.planning.actions import TakeLook
from sluice.planning.canary_actions import (
    AdoptTarget,
    ApplyAutoscaler,
    ApplyCandidate,
    ApplyService,
    CanaryAction,
    DeleteCandidate,
    DeleteService,
    DisownTarget,
    EndHook,
    Finalize,
    HoldTarget,
    LetGo,
    PutForward,
    ReleaseTarget,
    RunHook,
    ScaleTarget,
    SetWeights,
    TakeBack,
)
from sluice.planning.canary_scene import NOTHING, CanaryView
from sluice.planning.canary_spec import is_routed, service_name, steered
from sluice.planning.candidate import (
    candidate_autoscaler,
    candidate_deployment,
    candidate_service,
    revision_of,
    template_hash,
)
from sluice.planning.origins import ReadCommit
from sluice.reconcile.caches import BY_NAMESPACE, Caches
from sluice.reconcile.canary_observer import CanaryObserver
from sluice.reconcile.canary_routes import before_of, wish
from sluice.reconcile.commits import Commits
from sluice.reconcile.hooks import Hooks
from sluice.reconcile.measurer import Measurer
from sluice.reconcile.queue import Key
from sluice.reconcile.workloads import DeploymentRow, ServiceRow, belongs_to
from sluice.routing.base import Patch, RoutingError
from sluice.routing.registry import ROUTERS
from sluice.telemetry import metrics
from sluice.telemetry.logs import get_logger

TRIES: Final = 5
"""How often a route is patched anew after a Conflict: routers write its status at any time."""

log = get_logger(__name__)


class CanaryExecutor:
    """Does what the plan of one canary asks for."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        clock: Clock,
        measurer: Measurer,
        hooks: Hooks,
        commits: Commits,
        observer: CanaryObserver,
    ) -> None:
        self._client = client
        self._clock = clock
        self._caches = caches
        self._measurer = measurer
        self._hooks = hooks
        self._commits = commits
        self._observer = observer

    async def run(self, view: CanaryView, actions: Iterable[CanaryAction]) -> None:
        """Do all `actions`, side by side. Raises the first error when all have been tried."""
        results = await asyncio.gather(*(self._do(view, action) for action in actions), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _do(self, view: CanaryView, action: CanaryAction) -> None:
        match action:
            case SetWeights():
                await self._set_weights(view, action)
            case TakeLook():
                self._measurer.start(view.namespace, action)
            case RunHook():
                self._hooks.start(view.namespace, view.name, view.uid, action, _facts(view, action))
            case EndHook():
                await self._hooks.end(view.namespace, view.name, view.uid, action)
            case ReadCommit():
                self._commits.read(Key(CANARIES.kind, view.namespace, view.name), view.uid, action)
            case TakeBack() | PutForward():
                self._commits.write(Key(CANARIES.kind, view.namespace, view.name), view.uid, action)
            case ApplyCandidate():
                await self._apply_candidate(view, action)
            case ApplyAutoscaler():
                await self._apply_autoscaler(view, action)
            case ScaleTarget():
                await self._patch_target(view, action.target, _only(action, {}, {"replicas": action.replicas}))
                log.info("scaled the target", canary=view.name, target=action.target, replicas=action.replicas)
            case DeleteCandidate():
                await self._delete_candidate(view, action)
            case ApplyService():
                await self._apply_service(view)
            case DeleteService():
                await self._delete_service(view)
            case AdoptTarget():
                patch = {"metadata": {"uid": action.uid, "labels": {names.LABEL_CANARY: view.name}}}
                await self._patch_target(view, action.target, patch)
            case HoldTarget():
                notes = {names.ANNOTATION_HELD: names.HELD}
                await self._patch_target(view, action.target, _only(action, notes, {"paused": True}))
                log.info("held the target", canary=view.name, target=action.target)
            case ReleaseTarget():
                await self._release(view, action)
            case DisownTarget():
                await self._disown(view, action)
            case Finalize():
                await self._finalize(view)
            case LetGo():
                await self._let_go(view)

    # -- the Canary itself ------------------------------------------------------------------------------

    async def _finalize(self, view: CanaryView) -> None:
        found = await self._client.get(CANARIES, view.namespace, view.name)
        finalizers = found["metadata"].get("finalizers") or []
        if found["metadata"]["uid"] == view.uid and names.FINALIZER_CANARY not in finalizers:
            found = await self._set_finalizers(view, found, [*finalizers, names.FINALIZER_CANARY])
        self._caches.canaries.upsert(found)

    async def _let_go(self, view: CanaryView) -> None:
        try:
            found = await self._client.get(CANARIES, view.namespace, view.name)
        except NotFound:
            return
        finalizers = found["metadata"].get("finalizers") or []
        if found["metadata"]["uid"] != view.uid or names.FINALIZER_CANARY not in finalizers:
            return
        await self._set_finalizers(view, found, [one for one in finalizers if one != names.FINALIZER_CANARY])
        log.info("let the canary go", canary=view.name)

    async def _set_finalizers(
        self, view: CanaryView, found: Mapping[str, Any], finalizers: list[str]
    ) -> dict[str, Any]:
        metadata = {"resourceVersion": found["metadata"]["resourceVersion"], "finalizers": finalizers}
        return await self._client.patch_merge(CANARIES, view.namespace, view.name, {"metadata": metadata})

    # -- the target -------------------------------------------------------------------------------------

    async def _patch_target(self, view: CanaryView, target: str, patch: Mapping[str, Any]) -> None:
        try:
            written = await self._client.patch_merge(DEPLOYMENTS, view.namespace, target, patch)
        except NotFound:
            return  # it is gone, and its event will come
        except Conflict:
            await self._reread_target(view.namespace, target)
            raise
        self._caches.deployments.upsert(written)

    async def _reread_target(self, namespace: str, name: str) -> None:
        """Our cache was behind: the next plan shall see what is."""
        try:
            self._caches.deployments.upsert(await self._client.get(DEPLOYMENTS, namespace, name))
        except NotFound:
            return

    async def _release(self, view: CanaryView, action: ReleaseTarget) -> None:
        configs = await self._observer.configs(view, self._observer.memory(view.uid))
        row = self._caches.deployments.get(view.namespace, action.target)
        if row is None or revision_of(row.template, configs) != action.revision:
            return  # not what was let in: the next plan sees it
        spec: dict[str, Any] = {"paused": None}
        if configs and row.configs != configs:
            spec["template"] = {"metadata": {"annotations": {names.ANNOTATION_CONFIGS: configs}}}
        await self._patch_target(view, action.target, _only(action, {names.ANNOTATION_HELD: None}, spec))
        log.info("released the target", canary=view.name, target=action.target, revision=action.revision)

    async def _disown(self, view: CanaryView, action: DisownTarget) -> None:
        row = self._caches.deployments.get(view.namespace, action.target)
        spec: dict[str, Any] = {"paused": None} if row is not None and row.held and row.paused else {}
        patch = _only(action, {names.ANNOTATION_HELD: None}, spec)
        patch["metadata"]["labels"] = {names.LABEL_CANARY: None}
        await self._patch_target(view, action.target, patch)

    # -- the candidate ----------------------------------------------------------------------------------

    async def _apply_candidate(self, view: CanaryView, action: ApplyCandidate) -> None:
        if view.spec is None:
            return
        target = await self._client.get(DEPLOYMENTS, view.namespace, view.spec.target.name)
        memory = self._observer.memory(view.uid)
        configs = await self._observer.configs(view, memory)
        if revision_of(template_hash(target["spec"]["template"]), configs) != action.revision:
            self._caches.deployments.upsert(target)
            return
        body = candidate_deployment(
            view.name,
            view.uid,
            target,
            action.revision,
            replicas=action.replicas,
            routed=is_routed(view.spec),
            configs=configs,
        )
        name = body["metadata"]["name"]
        try:
            if action.uid is None:
                written = await self._client.create(DEPLOYMENTS, view.namespace, body)
            else:
                body["metadata"]["uid"] = action.uid
                written = await self._client.apply(DEPLOYMENTS, view.namespace, body, force=True)
        except AlreadyExists:
            written = await self._client.get(DEPLOYMENTS, view.namespace, name)
            if belongs_to(written) != view.uid:
                memory.candidate = f'Deployment "{name}" is not of this Canary; it needs that name for the candidate'
        except (Invalid, Forbidden) as error:
            if error.retryable:
                raise
            memory.candidate = f"the candidate was refused: {error.message}"
            return
        else:
            memory.candidate = ""
            log.info("applied the candidate", canary=view.name, revision=action.revision, replicas=action.replicas)
        self._caches.deployments.upsert(written)

    async def _apply_autoscaler(self, view: CanaryView, action: ApplyAutoscaler) -> None:
        row, memory = self._observer.candidate_row(view), self._observer.memory(view.uid)
        if row is None or row.uid != action.uid:
            return
        memory.autoscaler = None
        try:
            theirs = await self._client.get(AUTOSCALERS, view.namespace, action.autoscaler)
            candidate = {"metadata": {"name": row.name, "uid": row.uid}}
            body = candidate_autoscaler(view.name, candidate, theirs, action.floor)
            await self._client.apply(AUTOSCALERS, view.namespace, body, force=True)
        except NotFound:
            return  # the target has none any more
        log.info("applied the autoscaler of the candidate", canary=view.name, floor=action.floor)

    async def _delete_candidate(self, view: CanaryView, action: DeleteCandidate) -> None:
        row = self._observer.candidate_row(view)
        if row is None or row.uid != action.uid:
            return
        if not await self._delete(DEPLOYMENTS, row):
            return
        self._caches.deployments.remove(view.namespace, row.name, uid=row.uid)
        log.info("removed the candidate", canary=view.name, candidate=row.name)

    async def _delete_service(self, view: CanaryView) -> None:
        for row in self._caches.services.by_index(BY_NAMESPACE, view.namespace):
            ours = (row.candidate_of, row.owner_uid) == (view.name, view.uid)
            if ours and await self._delete(SERVICES, row):
                self._caches.services.remove(view.namespace, row.name, uid=row.uid)

    async def _delete(self, resource: Resource, row: DeploymentRow | ServiceRow) -> bool:
        """Whether the object is gone, and not another that has its name by now."""
        try:
            await self._client.delete(resource, row.namespace, row.name, uid=row.uid)
        except Conflict:
            return False
        return True

    async def _apply_service(self, view: CanaryView) -> None:
        if view.spec is None:
            return
        stable = self._caches.services.get(view.namespace, service_name(view.spec))
        if stable is None:
            return
        ports = [dict(port) for port in stable.ports]
        target = self._caches.deployments.get(view.namespace, view.spec.target.name)
        if target is None:
            return
        body = candidate_service(view.name, view.uid, {"metadata": {"name": target.name, "uid": target.uid}}, ports)
        name = body["metadata"]["name"]
        found = self._caches.services.get(view.namespace, name)
        if found is not None and found.owner_uid != view.uid:
            return  # somebody else's; the canary says so and waits
        try:
            written = await self._client.apply(SERVICES, view.namespace, body, force=True)
        except (Invalid, Forbidden) as error:
            if error.retryable:
                raise
            self._observer.memory(view.uid).candidate = f"the candidate's Service was refused: {error.message}"
            return
        self._caches.services.upsert(written)

    # -- routes -----------------------------------------------------------------------------------------

    async def _set_weights(self, view: CanaryView, action: SetWeights) -> None:
        """Bring one route to the weights, whatever its version is by now: what the patch changes is worked out anew."""
        store = self._caches.routes(action.kind)
        resource = GRPC_ROUTES if action.kind == "GRPCRoute" else HTTP_ROUTES
        row = store.get(view.namespace, action.route)
        route = row.obj if row is not None else None
        problems = self._observer.memory(view.uid).routes.refused
        place = (action.kind, action.route)
        for left in reversed(range(TRIES)):
            if route is None:
                return
            try:
                patch = self._patch_of(view, action, route)
                if patch:
                    written = await self._client.patch_json(resource, view.namespace, action.route, patch)
                    store.upsert(written)
                    log.info("weights", canary=view.name, route=action.route, candidate=action.share.weight)
            except NotFound:
                return
            except Conflict:
                if not left:
                    raise
                found = await self._client.get(resource, view.namespace, action.route)
                store.upsert(found)
                route = {**found, "kind": action.kind}
                continue
            except (RoutingError, ApiError) as error:
                if isinstance(error, ApiError) and error.retryable:
                    raise
                problems[place] = error.message if isinstance(error, ApiError) else str(error)
                log.warning("route refused", canary=view.name, route=action.route, problem=problems[place])
                return
            problems.pop(place, None)
            if view.status.phase is CanaryPhase.ROLLING_BACK and view.status.last_move is not None:
                taken = self._clock.now() - view.status.last_move.at
                metrics.CANARY_ROLLBACK_SECONDS.observe(max(0.0, taken.total_seconds()))
            return

    def _patch_of(self, view: CanaryView, action: SetWeights, route: Mapping[str, Any]) -> Patch:
        rules = {(kind, name): rule for kind, name, rule, _ in steered(view.spec, view.status.routes)}
        pair = self._observer.routes.pair(view, route, rules.get((action.kind, action.route)))
        if pair is None:
            return ()
        router, before = ROUTERS[action.kind], before_of(action.before)
        if action.share == NOTHING:
            return router.restore(route, pair, before)
        return router.steer(route, pair, wish(action.share, view.spec), before)


def _only(action: Any, annotations: Mapping[str, str | None], spec: Mapping[str, Any]) -> dict[str, Any]:
    """A patch that applies only while the object is as it was seen."""
    metadata = {"uid": action.uid, "resourceVersion": action.resource_version, "annotations": dict(annotations)}
    return {"metadata": metadata, **({"spec": dict(spec)} if spec else {})}


def _facts(view: CanaryView, action: RunHook) -> dict[str, Json]:
    """What a hook is told."""
    status = view.status
    return {
        "canary": view.name,
        "namespace": view.namespace,
        "target": view.spec.target.name if view.spec is not None else "",
        "phase": str(status.phase),
        "step": status.step,
        "weight": status.weight,
        "stableRevision": status.stable_revision,
        "candidateRevision": status.candidate_revision,
        "point": action.hook.at,
    }
