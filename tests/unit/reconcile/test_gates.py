"""Gates on metrics in the engine: a real HTTP source on the loopback address, which answers, fails, and comes back."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from sluice.api.gate import Check
from sluice.kube.resources import CLUSTER_METRIC_SOURCES, METRIC_SOURCES, PIPELINE_RUNS, QUALITY_GATES, SECRETS
from sluice.planning.actions import Subject, TakeLook
from sluice.planning.verdicts import Outcome, Tally
from tests.unit.reconcile.test_engine import World, started


class Source:
    """Speaks as much of Prometheus' API as an instant query needs; answers with `value`, or with `code`."""

    def __init__(self) -> None:
        self.url = ""
        self.value = "0.5"
        self.code = 200
        self.asked: list[dict[str, Any]] = []
        self.credentials: list[str | None] = []
        self.now = 0.0
        self.failures = 0
        """Of as many requests that its page of a proxy tells of."""

    async def page(self, _request: web.Request) -> web.Response:
        service = 'service="shop-web-canary-http-80@kubernetesgateway"'
        rows = (f'traefik_service_requests_total{{code="{code}",{service}}} {self.failures}' for code in (200, 500))
        return web.Response(text="\n".join(rows))

    async def answer(self, request: web.Request) -> web.Response:
        form = dict(await request.post()) if request.method == "POST" else dict(request.query)
        self.asked.append(form)
        self.credentials.append(request.headers.get("Authorization"))
        if self.code != 200:
            return web.json_response({"status": "error", "errorType": "internal", "error": "no"}, status=self.code)
        at = float(str(form["time"])) if "time" in form else self.now
        series = [{"metric": {"job": "x"}, "value": [at, self.value]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": series}})


@asynccontextmanager
async def source() -> AsyncIterator[Source]:
    made = Source()
    app = web.Application()
    app.router.add_route("*", "/api/v1/query", made.answer)
    app.router.add_get("/metrics", made.page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    made.url = f"http://127.0.0.1:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()


@pytest.fixture
async def prom() -> AsyncIterator[Source]:
    async with source() as made:
        yield made


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with started() as made:
        yield made


def apply(
    world: World, prom: Source, *, cluster: bool = False, auth: dict[str, Any] | None = None, **metric: Any
) -> None:
    """A source, a gate that asks it, and a run of a pipeline that waits for the gate."""
    spec = {"prometheus": {"address": prom.url}, **(auth or {})}
    if cluster:
        world.api.put(CLUSTER_METRIC_SOURCES, {"metadata": {"name": "prom"}, "spec": spec}, namespace="")
    else:
        world.api.put(METRIC_SOURCES, {"metadata": {"name": "prom"}, "spec": spec})
    check = {"name": "errors", "metric": {"source": "prom", "query": "e", "max": 1, "interval": "10s", **metric}}
    world.api.put(QUALITY_GATES, {"metadata": {"name": "slo"}, "spec": {"checks": [check]}})
    world.pipeline({"name": "check", "gate": {"name": "slo"}, "image": None})
    world.run()


def check_of(world: World) -> dict[str, Any]:
    steps = world.status(PIPELINE_RUNS, "flights-1").get("steps") or [{}]
    return dict(steps[0])


def ready(world: World) -> tuple[str, str]:
    """Status and reason of the source's condition Ready."""
    conditions = world.status(METRIC_SOURCES, "prom").get("conditions") or [{"status": "", "reason": ""}]
    return conditions[0]["status"], conditions[0]["reason"]


@pytest.mark.parametrize("cluster", [False, True])
async def test_a_metric_lets_the_run_go_on_and_the_gate_shows_its_verdict(
    world: World, prom: Source, cluster: bool
) -> None:
    apply(world, prom, cluster=cluster)
    await world.until(lambda: world.phase() == "Succeeded", turn=0.1)
    await world.until(lambda: world.status(QUALITY_GATES, "slo").get("verdict") == "Pass", turn=0.5)
    assert world.status(QUALITY_GATES, "slo")["run"] == "flights-1"
    if not cluster:
        await world.until(lambda: ready(world) == ("True", "Answers"), turn=0.1)


async def test_a_metric_beyond_its_bound_stops_the_run(world: World, prom: Source) -> None:
    prom.value = "7"
    apply(world, prom)
    await world.until(lambda: world.phase() == "Failed", turn=0.1)
    assert check_of(world)["reason"] == "GateFailed"
    assert "7" in check_of(world)["message"]


@pytest.mark.parametrize("value", ["NaN", "+Inf"])
async def test_what_is_no_number_holds_the_run(world: World, prom: Source, value: str) -> None:
    prom.value = value
    apply(world, prom)
    await world.until(lambda: check_of(world).get("reason") == "GateHolding", turn=1.0)
    assert world.phase() == "Running"


async def test_a_source_that_is_down_holds_the_run_and_it_goes_on_when_it_is_back(world: World, prom: Source) -> None:
    prom.code = 503
    apply(world, prom)
    await world.until(lambda: check_of(world).get("reason") == "GateHolding", turn=1.0)
    await world.until(lambda: ready(world) == ("False", "NoAnswer"), turn=0.1)
    assert world.phase() == "Running"
    prom.code = 200
    await world.until(lambda: world.phase() == "Succeeded", turn=1.0)
    await world.until(lambda: ready(world) == ("True", "Answers"), turn=0.1)


async def test_a_source_that_is_not_there_holds_the_run(world: World, prom: Source) -> None:
    apply(world, prom, source="other")
    await world.until(lambda: check_of(world).get("reason") == "GateHolding", turn=1.0)
    assert 'MetricSource "other"' in check_of(world)["message"]


async def test_credentials_come_from_a_secret_and_never_reach_a_status(world: World, prom: Source) -> None:
    secret = {"metadata": {"name": "token"}, "data": {"t": base64.b64encode(b"hush-hush\n").decode()}}
    world.api.put(SECRETS, secret)
    apply(world, prom, auth={"bearer": {"name": "token", "key": "t"}})
    await world.until(lambda: world.phase() == "Succeeded", turn=0.1)
    assert prom.credentials[0] == "Bearer hush-hush"
    assert "hush" not in str([world.api.all_of(kind) for kind in (PIPELINE_RUNS, METRIC_SOURCES, QUALITY_GATES)])


async def test_credentials_that_cannot_be_read_hold_the_run_and_say_so(world: World, prom: Source) -> None:
    apply(world, prom, auth={"bearer": {"name": "token", "key": "t"}})
    await world.until(lambda: ready(world) == ("False", "CredentialsUnreadable"), turn=0.5)
    assert world.phase() == "Running"
    secret = {"metadata": {"name": "token"}, "data": {"t": base64.b64encode(b"hush").decode()}}
    world.api.put(SECRETS, secret)
    await world.until(lambda: world.phase() == "Succeeded", turn=1.0)


async def test_passing_looks_write_nothing(world: World, prom: Source) -> None:
    metric = {"for": "5m"}
    apply(world, prom, **metric)
    await world.until(lambda: len(prom.asked) >= 2, turn=1.0)
    await world.rest()
    before = len(world.api.writes())
    await world.until(lambda: len(prom.asked) >= 10, turn=1.0)
    assert len(world.api.writes()) == before


async def test_looks_are_taken_at_their_interval_and_one_at_a_time(world: World, prom: Source) -> None:
    apply(world, prom, interval="30s", minSamples=3)
    start = world.clock.now()
    await world.until(lambda: world.phase() == "Succeeded", turn=1.0)
    assert len(prom.asked) == 3
    assert (world.clock.now() - start).total_seconds() >= 60


async def test_a_gate_that_is_deleted_ends_its_looks(world: World, prom: Source) -> None:
    apply(world, prom, **{"for": "1h"})
    await world.until(lambda: len(prom.asked) >= 2, turn=1.0)
    world.api.remove(QUALITY_GATES, "slo")
    await world.until(lambda: check_of(world).get("reason") == "GateNotFound", turn=0.1)
    await world.rest()
    asked = len(prom.asked)
    await world.until(lambda: world.phase() == "Failed", turn=10.0)
    assert len(prom.asked) == asked


async def test_a_check_on_requests_holds_a_pipeline_that_has_no_candidate(world: World, prom: Source) -> None:
    apply(world, prom, query=None, requests={"measure": "ErrorRate"})
    await world.until(lambda: check_of(world).get("reason") == "GateHolding", turn=1.0)
    assert (
        "requests is for gates of canaries, which say whose: canary.namespace has no value"
        in check_of(world)["message"]
    )


async def test_what_was_scraped_of_a_proxy_is_there_at_the_next_look(world: World, prom: Source) -> None:
    proxy = {"kind": "Traefik", "addresses": [f"{prom.url}/metrics"]}
    world.api.put(METRIC_SOURCES, {"metadata": {"name": "prom"}, "spec": {"proxy": proxy}})
    await world.until(lambda: world.engine.caches.sources.get("data", "prom") is not None)
    metric = {"source": "prom", "requests": {"measure": "ErrorRate", "window": "1s", "minRequests": 4}, "max": 0.1}
    check = Check.model_validate({"name": "errors", "metric": metric})
    key = ("5", "gate", 1, "errors")
    values = {"canary.namespace": "shop", "canary.service": "web", "canary.candidate": "web-canary"}
    measurer = world.engine._measurer

    async def look() -> Tally:
        measurer.start("data", TakeLook(Subject("Canary", "none", "canary"), key, check, values, Tally()))
        await asyncio.gather(*measurer._under_way.values())
        return measurer.tallies("canary")[key]

    first = await look()
    assert (first.newest, first.message) == (Outcome.INCONCLUSIVE, "no history yet: 1.0s are not covered by samples")
    prom.failures = 2
    deadline = asyncio.get_running_loop().time() + 10
    while not (tally := await look()).failed:
        assert asyncio.get_running_loop().time() < deadline, tally
        await asyncio.sleep(0.25)  # the pace of looks; what a proxy counts goes by the real clock
    assert tally.value == 0.5


async def test_what_was_known_of_a_canarys_earlier_stages_is_dropped(world: World) -> None:
    metric = {"source": "away", "query": "up", "max": 1}
    check = Check.model_validate({"name": "up", "metric": metric})
    measurer = world.engine._measurer
    for stage in (1, 2):
        subject = Subject("Canary", "none", "canary")
        measurer.start("data", TakeLook(subject, (stage, "gate", 1, "up"), check, {}, Tally()))
    await asyncio.gather(*measurer._under_way.values())
    assert [key[0] for key in measurer.tallies("canary")] == [1, 2]
    measurer.keep_only("canary", 2)
    assert [key[0] for key in measurer.tallies("canary")] == [2]
