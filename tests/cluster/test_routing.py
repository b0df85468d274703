"""Routers on a real gateway: what the patches do to traffic, and what they leave alone. Needs the add-on gateway."""

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sluice.kube.client import KubeClient
from sluice.kube.errors import Conflict
from sluice.kube.resources import GATEWAY_CLASSES, GRPC_ROUTES, HTTP_ROUTES
from sluice.routing.base import Backend, Before, Cookie, Header, Pair, Patch, Standing, Wish
from sluice.routing.gateway_api import GRPC_ROUTE, HTTP_ROUTE
from sluice.routing.gateway_status import lacking
from tests.cluster.gateway import PARENT, Gateway, http_route, service, speaker
from tests.cluster.kit import Manifest, Namespace

pytestmark = pytest.mark.gateway

PAIR = Pair(Backend("stable", 80), Backend("candidate", 80))
TAGGED = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-shop", "value": "1"}]}}


class Route:
    """An HTTPRoute of a test, read and patched as the operator does it."""

    def __init__(self, namespace: Namespace, client: KubeClient, gateway: Gateway) -> None:
        self.name = namespace.name
        self.host = f"{namespace.name}.local"
        self.namespace = namespace
        self.gateway = gateway
        self._client = client

    async def read(self) -> Manifest:
        return await self._client.get(HTTP_ROUTES, self.namespace.name, "shop")

    async def patch(self, operations: Patch) -> Manifest:
        return await self._client.patch_json(HTTP_ROUTES, self.namespace.name, "shop", operations)

    async def change(self, make: Callable[[Manifest], Patch]) -> Manifest:
        """Patch, and try again where the gateway has written its status meanwhile."""
        while True:
            route = await self.read()
            operations = make(route)
            if not operations:
                return route
            try:
                return await self.patch(operations)
            except Conflict:
                continue

    async def steer(self, wish: Wish, before: Before) -> Manifest:
        return await self.change(lambda route: HTTP_ROUTE.steer(route, PAIR, wish, before))

    async def restore(self, before: Before) -> Manifest:
        return await self.change(lambda route: HTTP_ROUTE.restore(route, PAIR, before))

    async def standing(self, *, of: Standing, seconds: float = 20) -> str:
        """Wait until the parents say this of the route; their message."""
        deadline = time.monotonic() + seconds
        while (answer := HTTP_ROUTE.answer(await self.read())).standing is not of:
            assert time.monotonic() < deadline, answer
            await asyncio.sleep(0.05)
        return answer.message

    async def ask(self, count: int = 1, path: str = "/", **headers: str) -> dict[str, int]:
        return dict(await asyncio.to_thread(self.gateway.ask, self.host, count, path, **headers))

    async def reaches(self, expected: set[str], count: int = 20, **headers: str) -> float:
        """Ask until exactly these answer; the seconds that it took."""
        started = time.monotonic()
        while set(answers := await self.ask(count, **headers)) != expected:
            assert time.monotonic() < started + 30, answers
        return time.monotonic() - started


@pytest.fixture
async def client(namespace: Namespace) -> AsyncIterator[KubeClient]:
    async with await KubeClient.connect(kubeconfig=str(namespace.kubeconfig)) as connected:
        yield connected


@pytest.fixture
async def route(namespace: Namespace, client: KubeClient) -> Route:
    """A route with several rules, of which one sends all to `stable`; both services answer."""
    gateway = Gateway.find(namespace)
    namespace.apply(
        *speaker("stable"),
        *speaker("candidate"),
        service("other", app="stable"),
        http_route(
            "shop",
            {
                "matches": [{"path": {"type": "Exact", "value": "/other"}}],
                "backendRefs": [{"name": "other", "port": 80, "weight": 7}],
            },
            {"filters": [TAGGED], "timeouts": {"request": "10s"}, "backendRefs": [{"name": "stable", "port": 80}]},
            host=f"{namespace.name}.local",
        ),
    )
    for name in ("stable", "candidate"):
        namespace.kubectl("rollout", "status", "deployment", name, "--timeout=90s")
    found = Route(namespace, client, gateway)
    await found.reaches({"stable"})
    return found


async def test_a_weight_moves_its_share_of_the_traffic_and_nothing_else(route: Route) -> None:
    old = await route.read()
    before = HTTP_ROUTE.remember(old, PAIR)
    patched = await route.steer(Wish(20), before)
    moved = await route.reaches({"stable", "candidate"}, count=10)
    print(f"patch to first answer by the candidate: {moved * 1000:.0f} ms")
    assert HTTP_ROUTE.seen(patched, PAIR).weight == 20
    await route.standing(of=Standing.ACCEPTED)

    answers = await route.ask(1000)
    print(f"answers at weight 20: {answers}")
    assert answers["stable"] + answers["candidate"] == 1000
    assert abs(answers["candidate"] - 200) <= 10

    expected = copy.deepcopy(old["spec"])
    (backend,) = expected["rules"][1]["backendRefs"]
    expected["rules"][1]["backendRefs"] = [{**backend, "weight": 80}, {**backend, "name": "candidate", "weight": 20}]
    assert patched["spec"] == expected

    stopped = time.monotonic()
    await route.steer(Wish(0), before)
    await route.reaches({"stable"}, count=10)
    print(f"patch to last answer by the candidate: {(time.monotonic() - stopped) * 1000:.0f} ms")
    restored = await route.restore(before)
    assert restored["spec"] == old["spec"]
    assert await route.ask(50) == {"stable": 50}


async def test_requests_with_a_header_or_a_cookie_go_to_the_candidate(route: Route) -> None:
    old = await route.read()
    before = HTTP_ROUTE.remember(old, PAIR)
    wish = Wish(conditions=(Header("x-canary", "always"), Cookie("beta", "yes")))
    patched = await route.steer(wish, before)
    assert (
        HTTP_ROUTE.steer(patched, PAIR, wish, before) == ()
    )  # the API server has added nothing that would be put right
    await route.reaches({"candidate"}, x_canary="always")
    assert await route.ask(50, cookie="a=b; beta=yes; c=d") == {"candidate": 50}
    assert await route.ask(50, cookie="a=b; beta=yesterday") == {"stable": 50}
    assert await route.ask(50) == {"stable": 50}
    restored = await route.restore(before)
    assert restored["spec"] == old["spec"]
    await route.reaches({"stable"}, x_canary="always")


async def test_a_patch_for_an_older_version_is_refused(route: Route) -> None:
    old = await route.read()
    operations = HTTP_ROUTE.steer(old, PAIR, Wish(20), HTTP_ROUTE.remember(old, PAIR))
    route.namespace.kubectl("annotate", "httproute", "shop", "seen=1")
    with pytest.raises(Conflict):
        await route.patch(operations)


async def test_a_refusal_is_told_in_the_words_of_the_routes_condition(route: Route) -> None:
    missing = Pair(PAIR.stable, Backend("missing", 80))
    old = await route.read()
    await route.change(lambda now: HTTP_ROUTE.steer(now, missing, Wish(20), HTTP_ROUTE.remember(old, missing)))
    message = await route.standing(of=Standing.REFUSED)
    print(message)
    assert "ResolvedRefs=False (BackendNotFound)" in message


async def test_a_grpc_route_is_patched_and_given_back(route: Route, client: KubeClient) -> None:
    route.namespace.apply(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GRPCRoute",
            "metadata": {"name": "calls"},
            "spec": {
                "parentRefs": [PARENT],
                "hostnames": [f"grpc.{route.host}"],
                "rules": [
                    {
                        "matches": [{"method": {"service": "shop.Pricing", "method": "Quote"}}],
                        "backendRefs": [{"name": "stable", "port": 80}],
                    }
                ],
            },
        }
    )

    async def change(make: Any) -> Manifest:
        while True:
            try:
                now = await client.get(GRPC_ROUTES, route.namespace.name, "calls")
                return await client.patch_json(GRPC_ROUTES, route.namespace.name, "calls", make(now))
            except Conflict:
                continue

    old = await client.get(GRPC_ROUTES, route.namespace.name, "calls")
    before = GRPC_ROUTE.remember(old, PAIR)
    wish = Wish(20, (Header("x-canary", "always"),), mirror=10)
    new = await change(lambda now: GRPC_ROUTE.steer(now, PAIR, wish, before))
    assert GRPC_ROUTE.seen(new, PAIR).weight == 20
    assert GRPC_ROUTE.steer(new, PAIR, wish, before) == ()
    restored = await change(lambda now: GRPC_ROUTE.restore(now, PAIR, before))
    assert restored["spec"] == old["spec"]


async def test_the_api_takes_a_mirror_and_the_gateway_says_that_it_knows_none(route: Route, client: KubeClient) -> None:
    old = await route.read()
    before = HTTP_ROUTE.remember(old, PAIR)
    wish = Wish(mirror=10)
    patched = await route.steer(wish, before)
    assert HTTP_ROUTE.steer(patched, PAIR, wish, before) == ()
    await route.reaches({"500"})  # so it has to be asked before, not after
    restored = await route.restore(before)
    assert restored["spec"] == old["spec"]
    gateway_class = await client.get(GATEWAY_CLASSES, None, "sluice-gateway")
    assert lacking(gateway_class, HTTP_ROUTE.features(wish)) == HTTP_ROUTE.features(wish)
