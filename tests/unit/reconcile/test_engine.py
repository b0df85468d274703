"""The engine against a small API server: what goes wrong between operator and cluster, and what it does then."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from sluice.kube.client import KubeClient
from sluice.kube.clock import ManualClock
from sluice.kube.connection import Connection
from sluice.kube.resources import CONTROLLER_REVISIONS, DATA_PIPELINES, PIPELINE_RUNS, PODS, Resource
from sluice.planning.actions import Settings
from sluice.reconcile.engine import RESYNC_CHECK, Engine, Scope
from sluice.telemetry.metrics import REGISTRY
from tests.builders import step_dict
from tests.unit.kube.loopback_api import condition
from tests.unit.reconcile.small_api import SmallApi, refusal

SECONDS = 10.0
"""How long a test waits for what the engine is to do."""


class World:
    """An API server, an engine that works on it, and the part of Kopf."""

    def __init__(self, api: SmallApi, engine: Engine, clock: ManualClock) -> None:
        self.api = api
        self.engine = engine
        self.clock = clock
        self.watch()

    def watch(self) -> None:
        """Tell the engine of every change, as Kopf does."""
        self.api.told = lambda kind, event, obj: (
            self.engine.observe(kind, event, obj) if kind in (DATA_PIPELINES.kind, PIPELINE_RUNS.kind) else None
        )

    def miss(self) -> None:
        """Tell it nothing, as while Kopf's watch is broken."""
        self.api.told = lambda _kind, _event, _object: None

    def pipeline(self, *steps: dict[str, Any] | str, **spec: Any) -> dict[str, Any]:
        """Apply the pipeline `flights`."""
        rows = [step_dict(row) if isinstance(row, str) else row for row in steps or ("extract",)]
        return self.api.put(DATA_PIPELINES, {"metadata": {"name": "flights"}, "spec": {"steps": rows, **spec}})

    def run(self, name: str = "flights-1", **spec: Any) -> dict[str, Any]:
        """Create a run of it."""
        return self.api.put(
            PIPELINE_RUNS, {"metadata": {"name": name}, "spec": {"pipeline": {"name": "flights"}, **spec}}
        )

    def status(self, resource: Resource, name: str) -> dict[str, Any]:
        """The status of an object; {} when there is none."""
        place = (resource.path(), "data", name)
        return self.api.objects.get(place, {}).get("status", {})

    def phase(self, run: str = "flights-1") -> str | None:
        """The phase of a run."""
        return self.status(PIPELINE_RUNS, run).get("phase")

    def steps_of_pods(self) -> list[str]:
        """The step of every pod there is."""
        return [pod["metadata"]["labels"]["sluice.dev/step"] for pod in self.api.all_of(PODS)]

    def end_pods(self, code: int = 0) -> None:
        """Every container ends."""
        for pod in self.api.all_of(PODS):
            ended = {"exitCode": code, "finishedAt": "2026-01-01T00:00:01Z", "startedAt": "2026-01-01T00:00:00Z"}
            status = {
                "phase": "Failed" if code else "Succeeded",
                "conditions": [{"type": "PodScheduled", "status": "True"}],
                "containerStatuses": [{"name": "step", "state": {"terminated": ended}}],
            }
            self.api.put(PODS, {**pod, "status": status})

    async def until(self, holds: Callable[[], Any], *, turn: float = 0.0) -> None:
        """Wait until something holds. With `turn`, the clock goes on by so many seconds again and again."""
        async with asyncio.timeout(SECONDS):
            while not holds():
                await asyncio.sleep(0.002)
                if turn:
                    self.clock.advance(turn)

    async def rest(self) -> None:
        """Wait until nothing is under way, and nothing follows from it."""
        for _ in range(3):
            await self.engine._queue.idle()
            await asyncio.sleep(0.02)


@asynccontextmanager
async def started(*, away: int = 0, prepare: Callable[[SmallApi], None] = lambda _api: None) -> AsyncIterator[World]:
    clock = ManualClock()
    async with SmallApi(clock) as api, KubeClient(Connection(Configuration(host=api.url))) as client:
        engine = Engine(client, scope=Scope(), settings=Settings(), workers=4, instance="test", clock=clock)
        world = World(api, engine, clock)
        prepare(api)
        api.away = away
        starting = asyncio.create_task(engine.start())
        await world.until(starting.done, turn=1.0)
        await starting
        try:
            yield world
        finally:
            await engine.stop(1.0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with started() as made:
        yield made


def metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_a_run_is_started_adopted_followed_and_ended_with_four_writes(world: World) -> None:
    pipeline = world.pipeline()
    await world.until(lambda: world.status(DATA_PIPELINES, "flights").get("health") == "Healthy")
    await world.rest()
    world.api.received.clear()
    world.run()
    await world.until(world.steps_of_pods)
    world.end_pods()
    await world.until(lambda: world.phase() == "Succeeded")
    await world.rest()
    kinds = [(method, path.split("/")[-2 if method == "PATCH" else -1]) for method, path in world.api.writes()]
    assert sorted(kinds) == [
        ("PATCH", "flights-1"),
        ("PATCH", "flights-1"),
        ("PATCH", "pipelineruns"),
        ("POST", "pods"),
    ]
    owner = world.api.get(PIPELINE_RUNS, "flights-1")["metadata"]["ownerReferences"][0]
    assert owner["uid"] == pipeline["metadata"]["uid"]


async def test_nothing_is_written_once_all_is_done(world: World) -> None:
    world.pipeline()
    world.run()
    await world.until(world.steps_of_pods)
    world.end_pods()
    await world.until(lambda: world.phase() == "Succeeded")
    await world.until(lambda: world.status(DATA_PIPELINES, "flights").get("activeRuns") == 0, turn=1.0)
    await world.rest()
    world.api.received.clear()
    for _ in range(20):
        world.clock.advance(60.0)
        await world.rest()
    assert world.api.writes() == []
    assert [row.path for row in world.api.received if row.method == "GET"], "it did look"


async def test_an_api_server_that_is_away_at_the_start_is_waited_for() -> None:
    async with started(away=12) as world:
        world.pipeline()
        await world.until(lambda: world.status(DATA_PIPELINES, "flights").get("health") == "Healthy")


async def test_it_is_not_ready_before_all_is_listed() -> None:
    clock = ManualClock()
    async with SmallApi(clock) as api, KubeClient(Connection(Configuration(host=api.url))) as client:
        engine = Engine(client, scope=Scope(), settings=Settings(), workers=4, instance="test", clock=clock)
        api.before = lambda _method, path: refusal(403, "Forbidden") if path.endswith("pipelineruns") else None
        starting = asyncio.create_task(engine.start())
        await condition(lambda: engine.problem() == "pipelineruns have not been listed yet")
        assert not starting.done()
        starting.cancel()
        await engine.stop(1.0)


async def test_a_deletion_that_kopf_missed_is_found_soon_after_it_listed_again(world: World) -> None:
    first = world.pipeline(concurrency={"policy": "Queue"})
    world.run("flights-1")
    await world.until(lambda: world.phase("flights-1") == "Running")
    world.run("flights-2")
    await world.until(lambda: world.status(PIPELINE_RUNS, "flights-2").get("reason") == "Queued")
    world.miss()
    world.api.remove(PIPELINE_RUNS, "flights-1")
    world.watch()
    world.engine.observe(DATA_PIPELINES.kind, None, first)
    world.engine.observe(PIPELINE_RUNS.kind, None, world.api.get(PIPELINE_RUNS, "flights-2"))
    await world.until(lambda: world.phase("flights-2") == "Running", turn=RESYNC_CHECK.total_seconds() / 5)


async def test_the_status_of_a_pipeline_is_not_written_into_its_namesake(world: World) -> None:
    world.pipeline(schedule={"cron": ["* * * * *"], "timeZone": "UTC"})
    await world.until(lambda: world.status(DATA_PIPELINES, "flights").get("nextRun"))
    replaced: list[str] = []

    def replace(method: str, path: str) -> web.Response | None:
        """While the run of a tick is being made, the pipeline is deleted and made again."""
        if method == "POST" and path.endswith("pipelineruns") and not replaced:
            world.api.remove(DATA_PIPELINES, "flights")
            new = world.pipeline(schedule={"cron": ["* * * * *"], "timeZone": "UTC", "suspend": True})
            replaced.append(new["metadata"]["uid"])
        return None

    world.api.before = replace
    await world.until(lambda: replaced, turn=10.0)
    await world.until(lambda: world.status(DATA_PIPELINES, "flights").get("observedGeneration"), turn=0.1)
    assert world.api.get(DATA_PIPELINES, "flights")["metadata"]["uid"] == replaced[0]
    assert "lastTick" not in world.status(DATA_PIPELINES, "flights")


def _revision(world: World) -> str:
    return world.api.all_of(CONTROLLER_REVISIONS)[0]["metadata"]["name"]


async def test_no_pod_is_made_for_a_run_that_goes_while_its_status_is_written(world: World) -> None:
    world.pipeline()
    await world.until(lambda: world.status(DATA_PIPELINES, "flights").get("health") == "Healthy")

    def vanish(method: str, path: str) -> None:
        if method == "PATCH" and path.endswith("flights-1/status"):
            world.miss()
            world.api.remove(PIPELINE_RUNS, "flights-1")
            world.watch()

    world.api.before = vanish
    world.run()
    await world.until(
        lambda: ("data", "flights-1") not in world.engine.caches.runs and not world.api.all_of(PIPELINE_RUNS)
    )
    await world.rest()
    assert not [path for method, path in world.api.writes() if method == "POST" and path.endswith("pods")]


async def test_a_run_that_ended_is_counted_although_what_follows_fails(world: World) -> None:
    world.pipeline()
    world.run()
    await world.until(world.steps_of_pods)
    pod = world.api.all_of(PODS)[0]
    stray = {**pod, "metadata": {**pod["metadata"], "name": "stray", "uid": "stray"}}
    failed: list[str] = []

    def fail(method: str, path: str) -> web.Response | None:
        if method == "DELETE" and len(failed) < 2:
            failed.append(path)
            return refusal(500, "InternalError")
        return None

    labels = {"namespace": "data", "pipeline": "flights", "phase": "Succeeded"}
    before = metric("sluice_runs_total", **labels) or 0.0
    world.api.before = fail
    world.end_pods()
    world.api.put(PODS, stray)
    await world.until(lambda: world.phase() == "Succeeded")
    await world.until(lambda: not world.api.objects.get((PODS.path(), "data", "stray")), turn=1.0)
    assert failed
    assert metric("sluice_runs_total", **labels) == before + 1


async def test_the_series_of_a_pipeline_go_with_its_last_run(world: World) -> None:
    world.pipeline()
    world.run()
    await world.until(lambda: world.phase() == "Running")
    assert metric("sluice_run_active", namespace="data", pipeline="flights") == 1
    world.api.remove(DATA_PIPELINES, "flights")
    world.api.remove(PIPELINE_RUNS, "flights-1")
    await world.rest()
    assert metric("sluice_run_active", namespace="data", pipeline="flights") is None


async def test_a_waiting_run_starts_when_the_pipeline_returns_to_a_revision_that_lets_it(world: World) -> None:
    world.pipeline()
    await world.until(lambda: world.status(DATA_PIPELINES, "flights").get("health") == "Healthy")
    world.pipeline(concurrency={"policy": "Queue"})
    await world.until(lambda: world.status(DATA_PIPELINES, "flights")["revision"]["number"] == 2)
    world.run("flights-1")
    await world.until(lambda: world.phase("flights-1") == "Running")
    world.run("flights-2")
    await world.until(lambda: world.status(PIPELINE_RUNS, "flights-2").get("reason") == "Queued")
    world.pipeline()
    await world.until(lambda: world.phase("flights-2") == "Running")


async def test_a_revision_that_somebody_removed_is_recorded_again(world: World) -> None:
    world.pipeline()
    await world.until(lambda: world.api.all_of(CONTROLLER_REVISIONS))
    await world.rest()
    name = _revision(world)
    world.api.remove(CONTROLLER_REVISIONS, name)
    await world.until(lambda: world.api.all_of(CONTROLLER_REVISIONS), turn=0.1)
    assert _revision(world) == name


async def test_a_revision_of_an_earlier_pipeline_is_waited_out_and_one_of_nobody_is_replaced(world: World) -> None:
    world.pipeline()
    await world.until(lambda: world.api.all_of(CONTROLLER_REVISIONS))
    await world.rest()
    name, version = _revision(world), lambda: world.status(DATA_PIPELINES, "flights").get("health")
    world.api.remove(DATA_PIPELINES, "flights")
    made = world.pipeline()
    await world.rest()
    assert version() is None, "the old revision is still there"
    world.api.remove(CONTROLLER_REVISIONS, name)
    await world.until(lambda: version() == "Healthy", turn=0.1)
    orphan = world.api.get(CONTROLLER_REVISIONS, name)
    assert orphan["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]

    world.api.remove(DATA_PIPELINES, "flights")
    orphan["metadata"].pop("ownerReferences")
    world.api.put(CONTROLLER_REVISIONS, orphan)
    made = world.pipeline()
    await world.until(lambda: version() == "Healthy", turn=0.1)
    assert world.api.get(CONTROLLER_REVISIONS, name)["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("exceeded quota: pods=10", "Running"),
        ('error looking up service account data/default: serviceaccount "default" not found', "Running"),
        ("violates PodSecurity", "Failed"),
    ],
)
async def test_a_pod_that_is_refused_is_tried_again_only_when_that_can_help(
    world: World, message: str, outcome: str
) -> None:
    refused: list[str] = []

    def refuse(method: str, path: str) -> web.Response | None:
        if method == "POST" and path.endswith("/pods") and len(refused) < 3:
            refused.append(path)
            return refusal(403, "Forbidden", message)
        return None

    world.api.before = refuse
    world.pipeline()
    world.run()
    await world.until(lambda: world.phase() == outcome and (world.api.all_of(PODS) or outcome == "Failed"), turn=0.5)
    assert len(world.api.all_of(PODS)) == (outcome == "Running")


async def test_stopping_takes_no_longer_than_it_may(world: World) -> None:
    hanging = asyncio.Event()
    answer = world.api.answer

    async def hang(request: web.Request) -> web.StreamResponse:
        if request.method == "POST" and request.path.endswith("/pods"):
            hanging.set()
            await asyncio.Event().wait()
        return await answer(request)

    world.api.answer = hang  # type: ignore[method-assign]
    world.pipeline()
    world.run()
    await hanging.wait()
    async with asyncio.timeout(5):
        await world.engine.stop(0.1)


async def test_a_rerun_takes_over_what_succeeded_and_counts_only_what_ran(world: World) -> None:
    world.pipeline("extract", step_dict("load", "extract"))
    world.run("flights-1")
    await world.until(lambda: world.steps_of_pods() == ["extract"])
    world.end_pods()
    await world.until(lambda: sorted(world.steps_of_pods()) == ["extract", "load"])
    load = next(pod for pod in world.api.all_of(PODS) if pod["metadata"]["labels"]["sluice.dev/step"] == "load")
    ended = {"exitCode": 1, "finishedAt": "2026-01-01T00:00:01Z", "startedAt": "2026-01-01T00:00:00Z"}
    failed = {"phase": "Failed", "containerStatuses": [{"name": "step", "state": {"terminated": ended}}]}
    world.api.put(PODS, {**load, "status": failed})
    await world.until(lambda: world.phase("flights-1") == "Failed")
    await world.rest()
    old = world.api.get(PIPELINE_RUNS, "flights-1")
    world.pipeline("other")
    await world.rest()
    counted = metric("sluice_steps_total", phase="Succeeded", reason="Completed") or 0

    world.run("flights-2", rerun={"of": "flights-1"})
    await world.until(lambda: world.steps_of_pods().count("load") == 2)
    world.end_pods()
    await world.until(lambda: world.phase("flights-2") == "Succeeded")
    await world.rest()
    assert sorted(world.steps_of_pods()) == ["extract", "load", "load"]
    assert metric("sluice_steps_total", phase="Succeeded", reason="Completed") == counted + 1
    again = world.api.get(PIPELINE_RUNS, "flights-2")
    assert again["metadata"]["labels"] == {"sluice.dev/pipeline": "flights", "sluice.dev/rerun-of": "flights-1"}
    assert again["status"]["revision"] == old["status"]["revision"]
    assert [step.get("takenFrom") for step in again["status"]["steps"]] == ["flights-1", None]
    assert world.api.get(PIPELINE_RUNS, "flights-1") == old


async def test_a_rerun_of_nothing_ends_with_the_reason_and_starts_nothing(world: World) -> None:
    world.pipeline()
    world.run("flights-2", rerun={"of": "nobody"})
    await world.until(lambda: world.phase("flights-2") == "Failed", turn=1.0)
    assert world.status(PIPELINE_RUNS, "flights-2")["reason"] == "RerunRefused"
    assert world.steps_of_pods() == []
