"""The heart of the operator: caches and informers feed one queue; a worker observes, plans, writes and acts.

    event -> cache -> queue -> observe -> plan -> before, status, after -> API server

The answer to every write goes into the caches at once, so that the next plan sees it. A status is written only over the
version of the object that it was planned for: a conflict means that the cache was behind, and the object is read and
looked at again. Anything else that fails is tried again by the queue.
"""

import asyncio
import contextlib
import itertools
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sluice.api.base import StatusModel
from sluice.api.names import API_VERSION, GROUP, LABEL_PIPELINE, LABEL_RUN
from sluice.kube.backoff import Backoff
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock, SystemClock
from sluice.kube.errors import Conflict, KubeError, NotFound
from sluice.kube.events import EventRecorder, ObjectRef
from sluice.kube.informer import Informer
from sluice.kube.resources import (
    CANARIES,
    CLUSTER_METRIC_SOURCES,
    CONTROLLER_REVISIONS,
    DATA_PIPELINES,
    METRIC_SOURCES,
    PIPELINE_RUNS,
    PODS,
    QUALITY_GATES,
    Resource,
)
from sluice.kube.store import Cached, Change, Store
from sluice.planning.actions import CreatePod, CreateRun, Occurrence, Plan, Settings, Subject
from sluice.planning.canary_actions import CanaryPlan
from sluice.planning.gate_pods import uses_gate, wants_runs
from sluice.planning.gate_status import plan_gate, plan_source
from sluice.planning.observed import PodView
from sluice.planning.pipeline import PipelineScene, current_revision, plan_pipeline
from sluice.planning.run import RunScene, plan_run
from sluice.planning.views import GateView, PipelineView, RevisionView, RunView, SourceView
from sluice.reconcile.caches import BY_GATE, BY_PIPELINE, BY_RUN, LIVE_BY_PIPELINE, WAITING_BY_PIPELINE, Caches
from sluice.reconcile.canaries import CANARY, Canaries
from sluice.reconcile.commits import Commits, GitAccess
from sluice.reconcile.executor import Executor
from sluice.reconcile.measurer import Measurer, Place
from sluice.reconcile.measures import (
    count_holding,
    forget_gate,
    forget_pipeline,
    record_gates,
    record_pipeline,
    record_run,
)
from sluice.reconcile.patches import merge_patch
from sluice.reconcile.queue import Key, WorkQueue
from sluice.telemetry import metrics
from sluice.telemetry.logs import get_logger

PIPELINE: Final = "DataPipeline"
RUN: Final = "PipelineRun"
GATE: Final = "QualityGate"
SOURCE: Final = "MetricSource"
CLUSTER_SOURCE: Final = "ClusterMetricSource"

COALESCE: Final = timedelta(seconds=1)
"""How long a pipeline's or a gate's status may lag behind its runs and canaries, so that many changes cost few writes."""
RESYNC: Final = timedelta(minutes=10)
"""How often our own kinds are listed, in case an event was lost."""
RESYNC_CHECK: Final = timedelta(seconds=5)
"""How soon they are listed after Kopf had to list them: it does not tell what it finds gone."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Scope:
    """Which namespaces the operator looks after; none means all."""

    namespaces: tuple[str, ...] = ()

    def selections(self) -> tuple[str | None, ...]:
        """One argument for a list or watch each."""
        return self.namespaces or (None,)


class Engine:
    """See the module. `start`, feed with `observe`, `stop`."""

    def __init__(
        self,
        client: KubeClient,
        *,
        scope: Scope,
        settings: Settings,
        workers: int,
        instance: str,
        clock: Clock | None = None,
        git: GitAccess | None = None,
    ) -> None:
        self.caches = Caches.empty()
        self._client = client
        self._settings = settings
        self._clock = clock or SystemClock()
        self._events = EventRecorder(client, instance=instance)
        self._measurer = Measurer(client, self.caches, self._clock, looked=self._looked, answered=self._source_answered)
        self._commits = Commits(client, self._clock, git or GitAccess(), found=self._add)
        self._executor = Executor(client, self.caches, self._clock, self._measurer, self._commits)
        self._canaries = Canaries(
            client,
            self.caches,
            self._clock,
            self._measurer,
            add=self._add,
            later=self._later,
            carry_out=self._carry_out,
            commits=self._commits,
            at_once=settings.canaries_at_once,
        )
        self._queue = WorkQueue(self._handle, workers=workers, clock=self._clock)
        self._own_write: Key | None = None
        self._run_seen: dict[tuple[str, str], float] = {}
        """When a run without a pod was first seen, on the monotonic clock; for a metric."""
        self._pod_ended: dict[tuple[str, str], float] = {}
        """When the newest end of a pod of a run was seen; for a metric."""
        self._start_locks: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()
        self._resync: asyncio.Task[None] | None = None
        self._unsure: set[Resource] = set()
        """Kinds of which a deletion may have gone unseen."""
        self._watched: list[Informer[Any]] = []
        for namespace in scope.selections():
            self._watched += self._informers(client, namespace)
            self._watched += self._canaries.informers(client, namespace)
        if not scope.namespaces:
            self._watched.append(Informer(client, CLUSTER_METRIC_SOURCES, self.caches.cluster_sources))
        self._listed = [
            (resource, Informer(client, resource, store, namespace=namespace))
            for namespace in scope.selections()
            for resource, store in self._by_kopf()
        ]
        """Pipelines and runs: listed here, watched by Kopf."""
        self._reconcilers: dict[str, Callable[[Key], Awaitable[datetime | None]]] = {
            PIPELINE: self._reconcile_pipeline,
            RUN: self._reconcile_run,
            GATE: self._reconcile_gate,
            SOURCE: self._reconcile_source,
            CLUSTER_SOURCE: self._reconcile_source,
            CANARY: self._canaries.reconcile,
        }

    def _informers(self, client: KubeClient, namespace: str | None) -> list[Informer[Any]]:
        caches = self.caches
        return [
            Informer(client, PODS, caches.pods, namespace=namespace, label_selector=LABEL_RUN),
            Informer(
                client, CONTROLLER_REVISIONS, caches.revisions, namespace=namespace, label_selector=LABEL_PIPELINE
            ),
            Informer(client, QUALITY_GATES, caches.gates, namespace=namespace),
            Informer(client, METRIC_SOURCES, caches.sources, namespace=namespace),
        ]

    # Starting and stopping ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Fill the caches, then begin to work. Returns when the first look at the cluster is complete."""
        self.caches.pipelines.subscribe(self._pipeline_changed)
        self.caches.runs.subscribe(self._run_changed)
        self.caches.revisions.subscribe(self._revision_changed)
        self.caches.pods.subscribe(self._pod_changed)
        self.caches.gates.subscribe(self._gate_changed)
        self.caches.sources.subscribe(self._source_changed)
        self.caches.cluster_sources.subscribe(self._source_changed)
        self._canaries.subscribe()
        for informer in self._watched:
            informer.start()
        await asyncio.gather(*(self._first_list(resource, informer) for resource, informer in self._listed))
        await asyncio.gather(*(informer.synced.wait() for informer in self._watched))
        self._events.start()
        self._queue.start()
        self._resync = asyncio.create_task(self._resync_forever(), name="resync")
        log.info(
            "caches are filled",
            pipelines=len(self.caches.pipelines),
            runs=len(self.caches.runs),
            pods=len(self.caches.pods),
        )

    async def _first_list(self, resource: Resource, informer: Informer[Any]) -> None:
        """The API server may be away, or the roles and CRDs not there yet: that passes; a restart would not help."""
        backoff = Backoff(base=0.2, cap=10.0)
        for failures in itertools.count(1):
            try:
                await informer.relist("start")
            except KubeError as error:
                log.warning("cannot list yet", resource=resource.label, error=str(error), failures=failures)
                await self._clock.sleep(backoff.delay(failures))
            else:
                return

    async def stop(self, deadline: float) -> None:
        """End in order: no more work, then the watches, then the Events that are still unwritten."""
        if self._resync is not None:
            self._resync.cancel()
        await self._queue.stop(deadline)
        await self._measurer.stop()
        await self._canaries.stop()
        await self._commits.stop()
        for informer in self._watched:
            await informer.stop()
        await self._events.close(deadline)

    def problem(self) -> str | None:
        """Why the engine does not get on, None when it does."""
        for informer in (*self._watched, *(informer for _, informer in self._listed)):
            if not informer.synced.is_set():
                return f"{informer.store.name} have not been listed yet"
        return None

    def observe(self, kind: str, event: str | None, obj: dict[str, Any]) -> None:
        """An event that Kopf saw: of one of our kinds, with its type (None for what a list of Kopf's shows)."""
        resource, store = self._of(kind)
        metadata = obj["metadata"]
        if event == "DELETED":
            store.remove(
                metadata["namespace"],
                metadata["name"],
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
            )
            return
        if event is None:
            self._unsure.add(resource)
        store.upsert(obj)

    async def _resync_forever(self) -> None:
        """List our own kinds now and then, and whenever Kopf's watch had a gap, at the start for one."""
        due = self._clock.monotonic() + RESYNC.total_seconds()
        while True:
            await self._clock.sleep(RESYNC_CHECK.total_seconds())
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + RESYNC.total_seconds()
                self._unsure.update(resource for resource, _ in self._listed)
            unsure, self._unsure = self._unsure, set()
            for resource, informer in self._listed:
                if resource not in unsure:
                    continue
                try:
                    await informer.relist("resync")
                except KubeError as error:
                    log.warning("resync failed", resource=resource.label, error=str(error))
                    self._unsure.add(resource)
                except Exception:
                    log.exception("resync crashed", resource=resource.label)

    # Who has to be looked at after a change ------------------------------------------------------------

    def _add(self, key: Key) -> None:
        if key != self._own_write:
            self._queue.add(key)

    def _later(self, key: Key) -> None:
        """Have it looked at soon, with whatever else comes until then."""
        self._queue.wake_at(key, self._clock.now() + COALESCE)

    def _pipeline_changed(self, change: Change[PipelineView]) -> None:
        namespace, name = change.key
        self._add(Key(PIPELINE, namespace, name))
        if change.old is not None and (change.new is None or change.new.uid != change.old.uid):
            self._commits.forget(change.old.uid)
        if change.new is not None:
            record_pipeline(change.old.value if change.old is not None else None, change.new.value)
        if change.new is None:
            self._forget_if_gone(namespace, name)
        elif change.old is None or self._returned_to_a_known_revision(change.old.value, change.new.value):
            self._add_waiting(namespace, name)

    def _returned_to_a_known_revision(self, old: PipelineView, new: PipelineView) -> bool:
        """Whether an edit took effect at once for runs that wait; one to a new revision does when that is recorded."""
        if old.generation == new.generation:
            return False
        return self.caches.revisions.get(new.namespace, current_revision(new)) is not None

    def _revision_changed(self, change: Change[RevisionView]) -> None:
        if change.old is None and change.new is not None:
            self._add_waiting(change.new.value.namespace, change.new.value.pipeline)
        elif change.new is None and change.old is not None:
            # Removed by hand, or that of an earlier pipeline of the same name: the current one may have to be recorded.
            # Not at once: in a namespace that goes, the pipeline goes a moment later.
            key = Key(PIPELINE, change.old.value.namespace, change.old.value.pipeline)
            self._later(key)

    def _run_changed(self, change: Change[RunView]) -> None:
        namespace, name = change.key
        self._add(Key(RUN, namespace, name))
        old = change.old.value if change.old is not None else None
        new = change.new.value if change.new is not None else None
        view = new or old
        if view is None or not view.pipeline:
            return
        if new is not None and new.waiting:
            self._run_seen.setdefault(change.key, self._clock.monotonic())
        self._count_holding(namespace, old, new)
        over = new is None or new.phase.ended
        if old is not None and new is not None and old.uid == new.uid:
            record_run(old, new.status)
            for gate in record_gates(old, new.status):
                self._later(Key(GATE, namespace, gate))
        if old is None or new is None or old.phase != new.phase:
            self._later(Key(PIPELINE, namespace, view.pipeline))
            self._count_active(namespace, view.pipeline)
        if over and old is not None and not old.phase.ended:
            self._add_waiting(namespace, view.pipeline)
        if over:
            self._run_seen.pop(change.key, None)
            self._pod_ended.pop(change.key, None)
            self._executor.refusals.pop(change.key, None)
            self._measurer.forget(view.uid)
        if new is None:
            self._forget_if_gone(namespace, view.pipeline)

    def _pod_changed(self, change: Change[PodView]) -> None:
        cached = change.new or change.old
        if cached is None or not cached.value.run:
            return
        pod = cached.value
        ended = pod.exit_code is not None and (change.old is None or change.old.value.exit_code is None)
        run = self.caches.runs.get(pod.namespace, pod.run)
        if ended and run is not None and not run.phase.ended:
            self._pod_ended[pod.namespace, pod.run] = self._clock.monotonic()
        self._add(Key(RUN, pod.namespace, pod.run))

    def _count_holding(self, namespace: str, *views: RunView | None) -> None:
        gates = {step.gate.name for view in views if view is not None for step in view.status.steps if step.gate}
        for gate in gates:
            if (namespace, gate) in self.caches.gates:
                count_holding(namespace, gate, self.caches.runs.by_index(BY_GATE, (namespace, gate)))

    def _gate_changed(self, change: Change[GateView]) -> None:
        namespace, name = change.key
        self._add(Key(GATE, namespace, name))
        old = change.old.value if change.old is not None else None
        new = change.new.value if change.new is not None else None
        if new is None:
            forget_gate(namespace, name)
        if old is not None and new is not None and (old.uid, old.generation) == (new.uid, new.generation):
            return
        for run in self.caches.runs.by_index(BY_GATE, change.key):
            if not run.phase.ended:
                self._add(Key(RUN, namespace, run.name))

    def _source_changed(self, change: Change[SourceView]) -> None:
        namespace, name = change.key
        if change.new is None or (
            change.old is not None and change.old.value.generation != change.new.value.generation
        ):
            self._measurer.answers.pop(change.key, None)
        self._add(Key(SOURCE if namespace else CLUSTER_SOURCE, namespace, name))

    def _looked(self, namespace: str, subject: Subject) -> None:
        self._queue.add(Key(subject.kind, namespace, subject.name))

    def _source_answered(self, place: Place) -> None:
        namespace, name = place
        self._queue.add(Key(SOURCE if namespace else CLUSTER_SOURCE, namespace, name))

    def _add_waiting(self, namespace: str, pipeline: str) -> None:
        """The runs of a pipeline that have not started."""
        for run in self.caches.runs.by_index(WAITING_BY_PIPELINE, (namespace, pipeline)):
            self._add(Key(RUN, namespace, run.name))

    def _count_active(self, namespace: str, pipeline: str) -> None:
        live = self.caches.runs.count(LIVE_BY_PIPELINE, (namespace, pipeline))
        metrics.RUN_ACTIVE.labels(namespace, pipeline).set(live)

    def _forget_if_gone(self, namespace: str, pipeline: str) -> None:
        """The last of a pipeline and its runs takes the series of its metrics with it."""
        if (namespace, pipeline) in self.caches.pipelines:
            return
        if not self.caches.runs.count(BY_PIPELINE, (namespace, pipeline)):
            forget_pipeline(namespace, pipeline)

    # One look at one object ----------------------------------------------------------------------------

    async def _handle(self, key: Key) -> datetime | None:
        try:
            wake = await self._reconcilers[key.kind](key)
        except Conflict:
            metrics.RECONCILES.labels(key.kind, "conflict").inc()
            await self._refresh(key)
            raise
        except Exception:
            metrics.RECONCILES.labels(key.kind, "error").inc()
            raise
        return wake

    async def _refresh(self, key: Key) -> None:
        resource, store = self._of(key.kind)
        cached = store.cached(key.namespace, key.name)
        try:
            store.upsert(await self._client.get(resource, key.namespace or None, key.name))
        except NotFound:
            if cached is not None:
                store.remove(key.namespace, key.name, uid=cached.uid)

    def _by_kopf(self) -> tuple[tuple[Resource, Store[Any]], ...]:
        """The kinds that Kopf watches."""
        return (DATA_PIPELINES, self.caches.pipelines), (PIPELINE_RUNS, self.caches.runs)

    def _ours(self) -> tuple[tuple[Resource, Store[Any]], ...]:
        return (
            *self._by_kopf(),
            (QUALITY_GATES, self.caches.gates),
            (METRIC_SOURCES, self.caches.sources),
            (CLUSTER_METRIC_SOURCES, self.caches.cluster_sources),
            (CANARIES, self.caches.canaries),
        )

    def _of(self, kind: str) -> tuple[Resource, Store[Any]]:
        return next((resource, store) for resource, store in self._ours() if resource.kind == kind)

    async def _reconcile_gate(self, key: Key) -> datetime | None:
        cached = self.caches.gates.cached(key.namespace, key.name)
        if cached is None or cached.value.deleting:
            return None
        runs = self.caches.runs.by_index(BY_GATE, (key.namespace, key.name))
        canaries = self.caches.canaries.by_index(BY_GATE, (key.namespace, key.name))
        plan = plan_gate(cached.value, runs, canaries, self._clock.now())
        await self._carry_out(key, cached, plan)
        return plan.wake_at

    async def _reconcile_source(self, key: Key) -> datetime | None:
        _, store = self._of(key.kind)
        cached = store.cached(key.namespace, key.name)
        if cached is None:
            return None
        plan = plan_source(cached.value, self._measurer.answers.get((key.namespace, key.name)), self._clock.now())
        await self._carry_out(key, cached, plan)
        return plan.wake_at

    async def _reconcile_pipeline(self, key: Key) -> datetime | None:
        cached = self.caches.pipelines.cached(key.namespace, key.name)
        if cached is None:
            return None
        pipeline = cached.value
        place = (key.namespace, key.name)
        revisions = self.caches.revisions.by_index(BY_PIPELINE, place)
        scene = PipelineScene(
            pipeline=pipeline,
            runs=self.caches.runs.by_index(BY_PIPELINE, place),
            revisions=[row for row in revisions if row.pipeline_uid == pipeline.uid],
            origin=self._commits.origin(pipeline.origin, f"{GROUP}/{PIPELINE}", key.namespace, key.name),
            commits=self._commits.commits(pipeline.uid),
            now=self._clock.now(),
        )
        plan = plan_pipeline(scene)
        await self._carry_out(key, cached, plan)
        for action in plan.before:
            if isinstance(action, CreateRun):
                late = (self._clock.now() - action.due).total_seconds()
                metrics.SCHEDULE_LATENESS_SECONDS.observe(max(0.0, late))
        return plan.wake_at

    async def _reconcile_run(self, key: Key) -> datetime | None:
        run = self.caches.runs.get(key.namespace, key.name)
        if run is None or not run.waiting:
            return await self._look_at_run(key)
        # Whether a run may start depends on those that have: of one pipeline, one run at a time decides, and the next
        # sees what it wrote. Two that start in the same moment would both find a free place.
        async with self._start_lock(key.namespace, run.pipeline):
            return await self._look_at_run(key)

    def _start_lock(self, namespace: str, pipeline: str) -> contextlib.AbstractAsyncContextManager[Any]:
        view = self.caches.pipelines.get(namespace, pipeline)
        if view is None or view.spec is None or view.spec.concurrency is None:
            return contextlib.nullcontext()
        return self._start_locks.setdefault((namespace, pipeline), asyncio.Lock())

    async def _look_at_run(self, key: Key) -> datetime | None:
        cached = self.caches.runs.cached(key.namespace, key.name)
        if cached is None:
            return None
        run = cached.value
        pipeline = self.caches.pipelines.get(key.namespace, run.pipeline)
        if pipeline is not None and pipeline.deleting:
            pipeline = None if run.status.started_at is None else pipeline
        pods = self.caches.pods.by_index(BY_RUN, (key.namespace, key.name))
        origin = self._origin(run)
        revision = await self._revision(run, pipeline, origin)
        gates = self._gates(key.namespace, revision)
        scene = RunScene(
            run=run,
            pipeline=pipeline,
            revision=revision,
            origin=origin,
            pods=[pod for pod in pods if pod.run_uid == run.uid],
            siblings=self._siblings(run, gates.values()),
            refusals=self._executor.refusals.get((key.namespace, key.name), {}),
            gates=gates,
            tallies=self._measurer.tallies(run.uid),
            settings=self._settings,
            now=self._clock.now(),
        )
        plan = plan_run(scene)
        await self._carry_out(key, cached, plan)
        self._measure_launch(key, plan)
        if any(isinstance(action, CreatePod) for action in plan.after) and self._refused(key):
            return self._clock.now()
        return plan.wake_at

    def _gates(self, namespace: str, revision: RevisionView | None) -> dict[str, GateView]:
        """The gates that the steps of a revision wait for."""
        if revision is None or revision.spec is None:
            return {}
        found = {name: self.caches.gates.get(namespace, name) for name in uses_gate(revision.spec)}
        return {name: gate for name, gate in found.items() if gate is not None}

    def _siblings(self, run: RunView, gates: Iterable[GateView]) -> Sequence[RunView]:
        """The other runs of the pipeline. A run that has not started has to know them, and one with a gate that compares."""
        if run.phase.ended or (run.status.started_at is not None and not wants_runs(gates)):
            return ()
        return self.caches.runs.by_index(BY_PIPELINE, (run.namespace, run.pipeline))

    def _origin(self, run: RunView) -> RunView | None:
        """The run that one which has not started is a rerun of."""
        if not run.waiting or run.spec is None or run.spec.rerun is None:
            return None
        return self.caches.runs.get(run.namespace, run.spec.rerun.of)

    async def _revision(
        self, run: RunView, pipeline: PipelineView | None, origin: RunView | None
    ) -> RevisionView | None:
        """The revision that the run names or would get. The cache may lag behind a revision that was just made."""
        name = run.status.revision or (origin.status.revision if origin is not None else None)
        name = name or (run.spec.revision if run.spec is not None else None)
        if name is None:
            if pipeline is None or (run.spec is not None and run.spec.rerun is not None):
                return None
            name = current_revision(pipeline)
        found = self.caches.revisions.get(run.namespace, name)
        if found is None and not run.phase.ended:
            try:
                self.caches.revisions.upsert(await self._client.get(CONTROLLER_REVISIONS, run.namespace, name))
            except NotFound:
                if pipeline is not None:
                    self._queue.add(Key(PIPELINE, pipeline.namespace, pipeline.name))
            found = self.caches.revisions.get(run.namespace, name)
        return found if found is not None and found.pipeline == run.pipeline else None

    def _refused(self, key: Key) -> bool:
        return bool(self._executor.refusals.get((key.namespace, key.name)))

    def _measure_launch(self, key: Key, plan: Plan[Any]) -> None:
        place = (key.namespace, key.name)
        if not any(isinstance(action, CreatePod) for action in plan.after):
            return
        now = self._clock.monotonic()
        if (seen := self._run_seen.pop(place, None)) is not None:
            metrics.RUN_LAUNCH_SECONDS.observe(now - seen)
        elif (ended := self._pod_ended.pop(place, None)) is not None:
            metrics.STEP_LAUNCH_SECONDS.observe(now - ended)

    async def _carry_out(
        self,
        key: Key,
        seen: Cached[Any],
        plan: Plan[Any] | CanaryPlan,
        act: Callable[[str, Iterable[Any]], Awaitable[None]] | None = None,
    ) -> None:
        """The plan's order: `before`, the status, `after`, the Events. Of an object that is gone nothing follows."""
        run: Callable[[str, Iterable[Any]], Awaitable[None]] = act or self._executor.run
        await run(key.namespace, plan.before)
        if plan.status is not None and not await self._write_status(key, seen, plan.status):
            return
        metrics.RECONCILES.labels(key.kind, "unchanged" if plan.status is None else "changed").inc()
        try:
            await run(key.namespace, plan.after)
        finally:
            self._record(key, seen, plan.occurrences)

    async def _write_status(self, key: Key, seen: Cached[Any], after: StatusModel) -> bool:
        """Whether the object that was `seen` has the status `after` now; False when it is gone. Raises Conflict when it
        has changed since."""
        resource, store = self._of(key.kind)
        patch = merge_patch(seen.value.status.as_read(), after.to_dict())
        try:
            written = await self._client.patch_status(
                resource, key.namespace or None, key.name, patch, resource_version=str(seen.resource_version)
            )
        except NotFound:
            store.remove(key.namespace, key.name, uid=seen.uid)
            return False
        with self._quietly(key):
            store.upsert(written)
        return True

    @contextlib.contextmanager
    def _quietly(self, key: Key) -> Iterator[None]:
        """Our own write is no reason to look at the object again: the plan that led to it is being carried out."""
        self._own_write = key
        try:
            yield
        finally:
            self._own_write = None

    def _record(self, key: Key, seen: Cached[Any], occurrences: Sequence[Occurrence]) -> None:
        regarding = ObjectRef(API_VERSION, key.kind, key.namespace, key.name, seen.uid)
        for occurrence in occurrences:
            self._events.record(regarding, occurrence.type, occurrence.reason, occurrence.message)
