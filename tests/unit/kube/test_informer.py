"""The informer keeps its store equal to the cluster, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes.aio.client import Configuration

from sluice.kube.backoff import Backoff
from sluice.kube.client import KubeClient
from sluice.kube.clock import ManualClock
from sluice.kube.connection import Connection
from sluice.kube.errors import ServerError
from sluice.kube.informer import Informer
from sluice.kube.limiter import Limiter
from sluice.kube.resources import PODS
from sluice.kube.store import Store
from sluice.telemetry.metrics import REGISTRY
from tests.unit.kube.loopback_api import LoopbackCluster, condition

AT_ONCE = Backoff(base=0.0, cap=0.0)


def color_of(obj: Mapping[str, Any]) -> str:
    return str(obj["color"])


class Watched:
    """An informer of the cluster, and waiting for its store to be as it should."""

    def __init__(self, client: KubeClient, **options: Any) -> None:
        self.store = Store("pods", color_of)
        self.informer = Informer(client, PODS, self.store, **{"backoff": AT_ONCE, **options})
        self._changed = asyncio.Event()
        self.store.subscribe(lambda _change: self._changed.set())

    @property
    def colors(self) -> dict[str, str]:
        return {item.key[1]: item.value for item in self.store.items()}

    async def until(self, expected: Mapping[str, str]) -> None:
        while self.colors != expected:
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def watching(client: KubeClient, **options: Any) -> AsyncIterator[Watched]:
    watched = Watched(client, **options)
    watched.informer.start()
    try:
        yield watched
    finally:
        await watched.informer.stop()


def count(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(metric, {"resource": "pods", **labels}) or 0


async def test_it_lists_in_pages_and_then_follows_the_watch(
    cluster: LoopbackCluster, cluster_client: KubeClient
) -> None:
    for number in range(5):
        cluster.put(f"p{number}", color="red")
    async with watching(cluster_client, page_size=2) as watched:
        await watched.informer.synced.wait()
        assert len(watched.colors) == 5
        assert cluster.lists_served == 3

        cluster.put("p1", color="blue")
        cluster.put("p9", color="green")
        cluster.delete("p0")
        await watched.until({"p1": "blue", "p2": "red", "p3": "red", "p4": "red", "p9": "green"})

    assert cluster.lists_served == 3


async def test_selectors_and_the_namespace_are_passed_on(cluster: LoopbackCluster, cluster_client: KubeClient) -> None:
    options = {"namespace": "team-a", "label_selector": "sluice.dev/run", "field_selector": "spec.nodeName=n"}
    async with watching(cluster_client, **options):
        await condition(lambda: cluster.watches_opened == 1)

    for request in cluster.received:
        assert request.path == "/api/v1/namespaces/team-a/pods"
        assert request.query["labelSelector"] == "sluice.dev/run"
        assert request.query["fieldSelector"] == "spec.nodeName=n"


async def test_a_watch_that_ends_is_opened_again_where_it_was(
    cluster: LoopbackCluster, cluster_client: KubeClient
) -> None:
    cluster.put("a", color="red")
    async with watching(cluster_client) as watched:
        await condition(lambda: cluster.watches_opened == 1)
        cluster.put("a", color="blue")
        cluster.end_watches()
        await condition(lambda: cluster.watches_opened == 2)
        cluster.put("a", color="green")
        await watched.until({"a": "green"})

    assert cluster.lists_served == 1
    assert [one.query["resourceVersion"] for one in cluster.received if "watch" in one.query] == ["101", "102"]


async def test_a_bookmark_moves_the_version_on(cluster: LoopbackCluster, cluster_client: KubeClient) -> None:
    async with watching(cluster_client):
        await condition(lambda: cluster.watches_opened == 1)
        cluster.version = 5000
        cluster.bookmark()
        cluster.end_watches()
        await condition(lambda: cluster.watches_opened == 2)

    assert cluster.received[-1].query["resourceVersion"] == "5000"


async def test_history_that_is_gone_means_listing_again(cluster: LoopbackCluster, cluster_client: KubeClient) -> None:
    lists = count("sluice_informer_lists_total", cause="expired")
    cluster.put("a", color="red")
    cluster.put("b", color="red")
    async with watching(cluster_client) as watched:
        await condition(lambda: cluster.watches_opened == 1)
        await watched.until({"a": "red", "b": "red"})
        cluster.refuse_next = away = 1_000_000
        cluster.end_watches()
        await condition(lambda: cluster.refuse_next < away)
        cluster.delete("a")
        cluster.put("b", color="blue")
        cluster.put("c", color="green")
        cluster.compact()
        cluster.refuse_next = 0
        await watched.until({"b": "blue", "c": "green"})

    assert count("sluice_informer_lists_total", cause="expired") == lists + 1


async def test_a_410_inside_the_watch_means_listing_again(cluster: LoopbackCluster, cluster_client: KubeClient) -> None:
    async with watching(cluster_client) as watched:
        await condition(lambda: cluster.watches_opened == 1)
        gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
        cluster.tell(json.dumps(gone).encode() + b"\n")
        await condition(lambda: cluster.lists_served == 2)
        cluster.put("a", color="red")
        await watched.until({"a": "red"})


async def test_a_list_that_expires_between_pages_is_complete_in_the_end(
    cluster: LoopbackCluster, cluster_client: KubeClient
) -> None:
    for number in range(6):
        cluster.put(f"p{number}", color="red")
    cluster.page_loses_history = True
    async with watching(cluster_client, page_size=2) as watched:
        await watched.until({f"p{number}": "red" for number in range(6)})


@pytest.mark.parametrize(
    "line", [b"{{{\n", b'{"type":"MODIFIED","object":{}}\n', b'{"type":"UNHEARD","object":{"metadata":{}}}\n']
)
async def test_nonsense_in_the_watch_does_not_stop_it(
    cluster: LoopbackCluster, cluster_client: KubeClient, line: bytes
) -> None:
    async with watching(cluster_client) as watched:
        await condition(lambda: cluster.watches_opened == 1)
        cluster.tell(line)
        await condition(lambda: cluster.watches_opened == 2)
        cluster.put("a", color="red")
        await watched.until({"a": "red"})


async def test_an_object_that_cannot_be_read_does_not_stop_it(
    cluster: LoopbackCluster, cluster_client: KubeClient
) -> None:
    async with watching(cluster_client) as watched:
        await condition(lambda: cluster.watches_opened == 1)
        cluster.put("bad")
        await condition(lambda: count("sluice_informer_reconnects_total", cause="crashed") > 0)
        cluster.put("bad", color="red")
        await watched.until({"bad": "red"})


async def test_a_server_that_is_away_is_asked_again_and_again(
    cluster: LoopbackCluster, cluster_client: KubeClient
) -> None:
    cluster.refuse_next = 4
    cluster.put("a", color="red")
    async with watching(cluster_client) as watched:
        await watched.until({"a": "red"})
        assert watched.informer.synced.is_set()


async def test_between_attempts_it_waits_longer_each_time(cluster: LoopbackCluster, cluster_client: KubeClient) -> None:
    clock = ManualClock()
    backoff = Backoff(base=1.0, cap=8.0, random=random.Random(1))
    cluster.refuse_next = 5
    async with watching(cluster_client, clock=clock, backoff=backoff) as watched:
        for attempt, longest in enumerate([1.0, 2.0, 4.0, 8.0, 8.0], start=1):
            await condition(lambda expected=attempt: len(cluster.received) == expected and clock.pending == 1)  # type: ignore[misc]
            clock.advance(longest / 2 - 0.001)
            assert clock.pending == 1
            clock.advance(longest / 2 + 0.001)
        await watched.informer.synced.wait()


async def test_a_server_that_ends_watches_at_once_is_not_asked_in_a_tight_loop(
    cluster: LoopbackCluster, cluster_client: KubeClient
) -> None:
    clock = ManualClock()
    async with watching(cluster_client, clock=clock, backoff=Backoff(base=1.0, cap=8.0)):
        await condition(lambda: cluster.watches_opened == 1)
        cluster.end_watches()
        await condition(lambda: clock.pending == 1)
        assert cluster.watches_opened == 1
        clock.advance(1.0)
        await condition(lambda: cluster.watches_opened == 2)


async def test_a_silent_watch_is_opened_again(cluster: LoopbackCluster, cluster_client: KubeClient) -> None:
    before = count("sluice_informer_reconnects_total", cause="silent")
    async with watching(cluster_client, inactivity=0.02):
        await condition(lambda: cluster.watches_opened >= 3)

    assert count("sluice_informer_reconnects_total", cause="silent") >= before + 2
    assert cluster.lists_served == 1


async def test_relisting_alone_primes_the_store_and_repairs_it_later(
    cluster: LoopbackCluster, cluster_client: KubeClient
) -> None:
    cluster.put("a", color="red")
    watched = Watched(cluster_client)

    assert await watched.informer.relist() == "101"
    assert watched.informer.synced.is_set()
    cluster.delete("a")
    cluster.put("b", color="blue")
    await watched.informer.relist()
    assert watched.colors == {"b": "blue"}


async def test_a_relist_that_fails_changes_nothing(cluster: LoopbackCluster, cluster_client: KubeClient) -> None:
    cluster.put("a", color="red")
    watched = Watched(cluster_client)
    await watched.informer.relist()
    cluster.refuse_next = 1
    with pytest.raises(ServerError):
        await watched.informer.relist()

    assert watched.colors == {"a": "red"}


async def test_it_stops_and_keeps_what_it_has(cluster: LoopbackCluster, cluster_client: KubeClient) -> None:
    cluster.put("a", color="red")
    async with watching(cluster_client) as watched:
        await watched.informer.synced.wait()
        with pytest.raises(RuntimeError, match="already started"):
            watched.informer.start()
    await watched.informer.stop()

    assert watched.colors == {"a": "red"}


async def test_it_says_how_long_it_has_heard_nothing(cluster: LoopbackCluster, cluster_client: KubeClient) -> None:
    clock = ManualClock()
    async with watching(cluster_client, clock=clock) as watched:
        await condition(lambda: cluster.watches_opened == 1)
        clock.advance(40)
        assert watched.informer.idle_seconds == 40
        assert count("sluice_informer_idle_seconds") == 40
        cluster.put("a", color="red")
        await watched.until({"a": "red"})
        assert watched.informer.idle_seconds == 0


Happening = tuple[str, str]

happenings = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "delete", "end", "compact", "refuse", "bookmark", "nonsense", "breathe"]),
        st.sampled_from("abc"),
    ),
    max_size=25,
)


@given(story=happenings)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_the_store_becomes_equal_to_the_cluster(story: list[Happening]) -> None:
    async def play() -> None:
        async with LoopbackCluster() as cluster:
            connection = Connection(Configuration(host=cluster.url))
            async with (
                KubeClient(connection, limiter=Limiter(rate=100_000, burst=100_000)) as client,
                watching(client, page_size=1) as watched,
            ):
                for number, (what, name) in enumerate(story):
                    await happen(cluster, what, name, number)
                await watched.until({name: str(obj["color"]) for (_, name), obj in cluster.objects.items()})

    asyncio.run(play())


async def happen(cluster: LoopbackCluster, what: str, name: str, number: int) -> None:
    match what:
        case "put":
            cluster.put(name, color=f"color-{number}")
        case "delete":
            if ("team-a", name) in cluster.objects:
                cluster.delete(name)
        case "end":
            cluster.end_watches()
        case "compact":
            cluster.compact()
        case "refuse":
            cluster.refuse_next += 1
        case "bookmark":
            cluster.bookmark()
        case "nonsense":
            cluster.tell(b"{{{\n")
        case _:
            seen = len(cluster.received)
            for _ in range(20):
                await asyncio.sleep(0)
                if len(cluster.received) > seen:
                    break
