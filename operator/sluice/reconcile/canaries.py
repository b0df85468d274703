"""Canaries: what wakes them, and one look at one of them. The queue and the writing of statuses are the engine's."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sluice.api.canary_status import CanaryPhase
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock
from sluice.kube.informer import Informer
from sluice.kube.resources import CANARIES, DEPLOYMENTS, GRPC_ROUTES, HTTP_ROUTES, QUALITY_GATES, SERVICES
from sluice.kube.store import Cached, Change
from sluice.planning.canary import plan_canary
from sluice.planning.canary_actions import CanaryAction, CanaryPlan
from sluice.planning.canary_scene import SLOT_PHASES, CanaryView
from sluice.planning.views import GateView
from sluice.reconcile.caches import BY_GATE, BY_NAMESPACE, BY_NEED, BY_ROUTE, BY_TARGET, Caches
from sluice.reconcile.canary_executor import CanaryExecutor
from sluice.reconcile.canary_observer import CONFIG_SECONDS, CanaryObserver, ConfigsUnreadable
from sluice.reconcile.commits import Commits
from sluice.reconcile.hooks import Hooks
from sluice.reconcile.measurer import Measurer
from sluice.reconcile.measures import forget_canary, record_canary
from sluice.reconcile.queue import Key
from sluice.reconcile.workloads import DeploymentRow, RouteRow, ServiceRow
from sluice.telemetry.logs import get_logger

CANARY: Final = "Canary"
UNNAMED_SECONDS: Final = 0.1
"""When to look again for a pod that its Service does not lead to yet."""
BEFORE_START: Final = frozenset(CanaryPhase) - SLOT_PHASES - {CanaryPhase.LEAVING, CanaryPhase.GONE}
"""Phases from which a canary may take one of the places for rollouts."""

CarryOut = Callable[
    [Key, Cached[Any], CanaryPlan, Callable[[str, Iterable[CanaryAction]], Awaitable[None]]], Awaitable[None]
]

log = get_logger(__name__)


class Canaries:
    """See the module."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        clock: Clock,
        measurer: Measurer,
        *,
        add: Callable[[Key], None],
        later: Callable[[Key], None],
        carry_out: CarryOut,
        commits: Commits,
        at_once: int | None = None,
    ) -> None:
        """`add` puts a key into the queue, and `later` one that can wait for what is urgent; `carry_out` writes the status of a
        plan and has its actions done. At most `at_once` canaries are under way; None sets no limit."""
        self._caches = caches
        self._clock = clock
        self._measurer = measurer
        self._add = add
        self._later = later
        self._carry_out = carry_out
        self._hooks = Hooks(client, clock, called=self._called)
        self._commits = commits
        self._observer = CanaryObserver(client, caches, clock, measurer, self._commits, at_once=at_once)
        self._executor = CanaryExecutor(client, caches, clock, measurer, self._hooks, self._commits, self._observer)
        self._starting = asyncio.Lock() if at_once is not None else None

    def informers(self, client: KubeClient, namespace: str | None) -> list[Informer[Any]]:
        """What has to be watched in a namespace, or in all. Clusters without the Gateway API have no routes."""
        caches = self._caches
        return [
            Informer(client, CANARIES, caches.canaries, namespace=namespace),
            Informer(client, DEPLOYMENTS, caches.deployments, namespace=namespace),
            Informer(client, SERVICES, caches.services, namespace=namespace),
            Informer(client, HTTP_ROUTES, caches.http_routes, namespace=namespace, optional=True),
            Informer(client, GRPC_ROUTES, caches.grpc_routes, namespace=namespace, optional=True),
        ]

    def subscribe(self) -> None:
        """Listen to the caches."""
        self._caches.canaries.subscribe(self._canary_changed)
        self._caches.deployments.subscribe(self._deployment_changed)
        self._caches.services.subscribe(self._service_changed)
        self._caches.http_routes.subscribe(lambda change: self._route_changed("HTTPRoute", change))
        self._caches.grpc_routes.subscribe(lambda change: self._route_changed("GRPCRoute", change))
        self._caches.gates.subscribe(self._gate_changed)

    async def stop(self) -> None:
        """Give up all hooks."""
        await self._hooks.stop()

    # Who has to be looked at after a change ------------------------------------------------------------

    def _wake(self, views: Iterable[CanaryView]) -> None:
        for view in views:
            self._add(Key(CANARY, view.namespace, view.name))

    def _canary_changed(self, change: Change[CanaryView]) -> None:
        namespace, name = change.key
        self._add(Key(CANARY, namespace, name))
        old = change.old.value if change.old is not None else None
        new = change.new.value if change.new is not None else None
        if old is not None and (new is None or new.uid != old.uid):
            self._measurer.forget(old.uid)
            self._hooks.forget(old.uid)
            self._commits.forget(old.uid)
            self._observer.forget(old.uid)
        if new is None:
            forget_canary(namespace, name)
        else:
            record_canary(old, new)
            for row in new.status.judged if old is None or old.status.judged != new.status.judged else ():
                self._later(Key(QUALITY_GATES.kind, namespace, row.name))
            self._measurer.keep_only(new.uid, new.status.stage)
        if old is None or new is None or old.status.phase is not new.status.phase:
            self._wake(self._caches.canaries.by_index(BY_NEED, change.key))
            self._wake_waiting()

    def _wake_waiting(self) -> None:
        """Those that wait for a place."""
        if self._starting is not None:
            self._wake(
                item.value for item in self._caches.canaries.items() if item.value.status.phase is CanaryPhase.HOLDING
            )

    def _deployment_changed(self, change: Change[DeploymentRow]) -> None:
        for cached in (change.old, change.new):
            if cached is None:
                continue
            row = cached.value
            self._wake(self._caches.canaries.by_index(BY_TARGET, change.key))
            for canary in {row.canary, row.candidate_of} - {""}:
                self._add(Key(CANARY, row.namespace, canary))

    def _service_changed(self, change: Change[ServiceRow]) -> None:
        """Any Service of the namespace may be one that finds the candidate's pods."""
        namespace, _ = change.key
        rows = self._caches.canaries.by_index(BY_NAMESPACE, namespace)
        self._wake(rows)

    def _route_changed(self, kind: str, change: Change[RouteRow]) -> None:
        namespace, name = change.key
        for view in self._caches.canaries.by_index(BY_ROUTE, (namespace, kind, name)):
            self._observer.memory(view.uid).routes.refused.pop((kind, name), None)
            self._add(Key(CANARY, namespace, view.name))

    def _gate_changed(self, change: Change[GateView]) -> None:
        old, new = change.old, change.new
        if old is not None and new is not None and old.value.generation == new.value.generation:
            return
        self._wake(self._caches.canaries.by_index(BY_GATE, change.key))

    def _called(self, namespace: str, name: str) -> None:
        self._add(Key(CANARY, namespace, name))

    # One look at one canary ----------------------------------------------------------------------------

    async def reconcile(self, key: Key) -> datetime | None:
        """Observe, plan, write, act; when to look again."""
        cached = self._caches.canaries.cached(key.namespace, key.name)
        if cached is None or not cached.value.readable:
            return None
        # Of those that may take a place (one plan leads there from rest) one at a time decides; the next sees what it wrote.
        may_start = cached.value.status.phase in BEFORE_START
        async with self._starting if self._starting is not None and may_start else contextlib.nullcontext():
            return await self._look(key, cached)

    async def _look(self, key: Key, cached: Cached[CanaryView]) -> datetime | None:
        view = cached.value
        try:
            scene = await self._observer.scene(view, self._hooks.results(view.uid))
        except ConfigsUnreadable as error:
            scene = await self._observer.scene(replace(view, spec=None, problem=str(error)), {})
        plan = plan_canary(scene)

        async def act(_: str, actions: Iterable[CanaryAction]) -> None:
            await self._executor.run(self._newest(view), actions)

        await self._carry_out(key, cached, plan, act)
        unwatched = [UNNAMED_SECONDS] if scene.unnamed else []
        if view.spec is not None and view.spec.configs:
            unwatched.append(CONFIG_SECONDS)
        wakes = [self._clock.now() + timedelta(seconds=seconds) for seconds in unwatched]
        return min((wake for wake in (plan.wake_at, *wakes) if wake is not None), default=None)

    def _newest(self, view: CanaryView) -> CanaryView:
        """The canary with the status that was just written."""
        found = self._caches.canaries.get(view.namespace, view.name)
        return found if found is not None and found.uid == view.uid else view
