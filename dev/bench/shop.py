"""Services with a Canary each, for the benchmark of rollbacks: the pricing example, many times in one namespace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from dev.bench.gateways import Gateway
from dev.bench.manifests import Manifest
from dev.bench.recorder import TooSlow
from dev.cluster.addons import metrics
from sluice.api.canary_status import CanaryPhase
from sluice.api.names import ANNOTATION_CONTROL, API_VERSION, LABEL_CANDIDATE, candidate_name
from sluice.kube.client import KubeClient
from sluice.kube.errors import KubeError
from sluice.kube.resources import (
    CANARIES,
    DEPLOYMENTS,
    HTTP_ROUTES,
    METRIC_SOURCES,
    PODS,
    QUALITY_GATES,
    SERVICES,
    Resource,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "pricing"
STABLE = "good"
CANDIDATE = "failing-later"
"""Tells the candidate's answers from the others. What is wrong with this version is taken out as soon as its pod runs, and long
before it would show."""
PORT = 8080
GATE = "pricing-slo"
SOURCES = ("prometheus", "proxy")
CHECKS: Mapping[str, tuple[Manifest, float]] = {
    "errors": ({"measure": "ErrorRate"}, 0.05),
    "latency": ({"measure": "Latency", "quantile": 0.99}, 0.5),
}
"""What is measured of the candidate, and the most that it may be."""
_MANIFESTS = {"deployment.yaml": DEPLOYMENTS, "service.yaml": SERVICES, "route.yaml": HTTP_ROUTES}


@dataclass(frozen=True)
class Judged:
    """How the gate looks, and at what."""

    source: str
    """One of SOURCES."""
    fault: str
    """One of CHECKS: the gate looks for that only."""
    window: str
    interval: str


def source_spec(source: str, gateways: Sequence[Gateway]) -> Manifest:
    """The spec of one of SOURCES."""
    if source == "prometheus":
        return {"prometheus": {"address": metrics.URL, "proxy": "Traefik"}}
    return {"proxy": {"kind": "Traefik", "addresses": [gateway.metrics for gateway in gateways]}}


def gate(judged: Judged) -> Manifest:
    """The gate of all canaries."""
    measure, most = CHECKS[judged.fault]
    asked = {**measure, "window": judged.window, "minRequests": 5}
    metric = {"source": judged.source, "requests": asked, "max": most, "interval": judged.interval}
    return _object("QualityGate", GATE, {"checks": [{"name": judged.fault, "metric": metric}]})


def canary(name: str, *, hold: str, watch: str = "1m") -> Manifest:
    """A canary of one step at weight 50."""
    spec = {
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "routing": {"gatewayAPI": {"routes": [{"name": name}]}},
        "canary": {"steps": [{"weight": 50, "hold": hold}]},
        "gates": [{"name": GATE}],
        "watch": watch,
    }
    return _object("Canary", name, spec)


def workload(name: str, host: str, image: str, gateway: Gateway) -> list[tuple[Resource, Manifest]]:
    """Deployment, Service and HTTPRoute of the example under another name, with one pod that may be given faults."""
    found: list[tuple[Resource, Manifest]] = []
    for file, resource in _MANIFESTS.items():
        manifest: Manifest = yaml.safe_load((EXAMPLE / file).read_text().replace("name: pricing", f"name: {name}"))
        if resource is DEPLOYMENTS:
            manifest["spec"]["replicas"] = 1
            container = manifest["spec"]["template"]["spec"]["containers"][0]
            container["image"] = image
            # A machine that starts thirty pods answers probes late; a pod that is only slow is to stay behind its Service.
            container["readinessProbe"] |= {"timeoutSeconds": 5, "failureThreshold": 3}
            container["env"] = [
                {"name": "PRICING_VERSION", "value": STABLE},
                {"name": "PRICING_DRAIN", "value": "2"},
                {"name": "PRICING_FAULTS", "value": "allowed"},
                {"name": "RELEASE", "value": "0"},
            ]
        if resource is HTTP_ROUTES:
            manifest["spec"]["hostnames"] = [host]
            manifest["spec"]["parentRefs"] = [{"name": gateway.name, "namespace": gateway.namespace}]
        found.append((resource, manifest))
    return found


def _object(kind: str, name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


@dataclass(frozen=True)
class Move:
    """A change of phase, as the status of a canary tells it."""

    to: str
    at: float
    """When it was decided, by the operator's clock, to the millisecond."""
    why: str


@dataclass
class Shop:
    """What a watch sees of one canary, by its name."""

    name: str
    gateway: Gateway
    phase: str = ""
    moves: list[Move] = field(default_factory=list)
    """Newest last."""
    share: int = 0
    """Weight of the candidate in the route."""
    share_since: float = 0.0
    """When the watch showed it first."""

    def moved(self, to: CanaryPhase, since: float) -> Move | None:
        """The newest move to a phase after a moment."""
        return next((move for move in reversed(self.moves) if move.to == to and move.at > since), None)


@dataclass
class Street:
    """A namespace of shops, watched: `async with street.watched()`."""

    client: KubeClient
    namespace: str
    shops: dict[str, Shop] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _watches: list[asyncio.Task[None]] = field(default_factory=list)

    def host(self, name: str) -> str:
        """The host name of a shop's route."""
        return f"{name}.{self.namespace}.local"

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Street]:
        """Watch canaries and routes until the end of the block."""
        for resource, note in ((CANARIES, self._note_canary), (HTTP_ROUTES, self._note_route)):
            version = (await self.client.list(resource, self.namespace)).resource_version
            self._watches.append(asyncio.create_task(self._watch(resource, version, note)))
        try:
            yield self
        finally:
            for task in self._watches:
                task.cancel()
            await asyncio.gather(*self._watches, return_exceptions=True)

    async def open(self, name: str, image: str, gateway: Gateway, *, hold: str, watch: str = "1m") -> Shop:
        """Make a shop with its canary, and wait until what runs is the stable revision. Raises TooSlow."""
        for resource, manifest in workload(name, self.host(name), image, gateway):
            await self.client.create(resource, self.namespace, manifest)
        await self.until(f"{name} to run", lambda: self._runs(name), 120)
        shop = self.shops[name] = Shop(name, gateway)
        await self.client.create(CANARIES, self.namespace, canary(name, hold=hold, watch=watch))
        await self.reaches(shop, CanaryPhase.STABLE, 30)
        return shop

    async def judge(self, judged: Judged, gateways: Sequence[Gateway]) -> None:
        """Make the source and the gate."""
        source = _object("MetricSource", judged.source, source_spec(judged.source, gateways))
        await self.client.create(METRIC_SOURCES, self.namespace, source)
        await self.client.create(QUALITY_GATES, self.namespace, gate(judged))

    async def release(self, shop: Shop, version: str, number: int) -> None:
        """Commit another version."""
        path = "/spec/template/spec/containers/0/env"
        patch = [
            {"op": "replace", "path": f"{path}/0/value", "value": version},
            {"op": "replace", "path": f"{path}/3/value", "value": str(number)},
        ]
        await self.client.patch_json(DEPLOYMENTS, self.namespace, shop.name, patch)

    async def ask(self, shop: Shop, control: str) -> None:
        """Ask something of the canary, as ACTION:NONCE."""
        patch = {"metadata": {"annotations": {ANNOTATION_CONTROL: control}}}
        await self.client.patch_merge(CANARIES, self.namespace, shop.name, patch)

    async def candidate_addresses(self, shop: Shop) -> list[str]:
        """Addresses of the candidate's pods."""
        found = await self.client.list(PODS, self.namespace, label_selector=f"{LABEL_CANDIDATE}={shop.name}")
        return [
            pod["status"]["podIP"]
            for pod in found.items
            if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("podIP")
        ]

    async def reaches(self, shop: Shop, phase: CanaryPhase, seconds: float) -> None:
        """Wait for a phase. Raises TooSlow."""
        await self.sees(f"{shop.name} to be {phase}", lambda: shop.phase == phase, seconds)

    async def sees(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until `condition` holds; it is looked at after each event. Raises TooSlow."""
        deadline = time.monotonic() + seconds
        while not condition():
            self._changed.clear()
            for task in self._watches:
                if task.done():
                    task.result()
            left = deadline - time.monotonic()
            if left <= 0:
                where = ", ".join(f"{shop.name} {shop.phase} {shop.share}" for shop in self.shops.values())
                raise TooSlow(f"{what}: not within {seconds:g} s; {where}")
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, 5.0))
            except TimeoutError:
                continue

    async def until(self, what: str, holds: Callable[[], Any], seconds: float) -> None:
        """Ask until the answer is yes. Raises TooSlow."""
        deadline = time.monotonic() + seconds
        while not await holds():
            if time.monotonic() > deadline:
                raise TooSlow(f"{what}: not within {seconds:g} s")
            await asyncio.sleep(0.25)

    async def _runs(self, name: str) -> bool:
        status = (await self.client.get(DEPLOYMENTS, self.namespace, name)).get("status") or {}
        return bool(status.get("availableReplicas"))

    async def _watch(self, resource: Resource, version: str, note: Callable[[Mapping[str, Any], float], None]) -> None:
        while True:
            events = self.client.watch(resource, self.namespace, resource_version=version)
            async with aclosing(events):
                async for kind, obj in events:
                    now = time.time()
                    version = obj["metadata"]["resourceVersion"]
                    if kind in ("ADDED", "MODIFIED"):
                        note(obj, now)
                        self._changed.set()

    def _note_canary(self, obj: Mapping[str, Any], _: float) -> None:
        shop, status = self.shops.get(obj["metadata"]["name"]), obj.get("status") or {}
        if shop is None or not status:
            return
        shop.phase = status.get("phase") or ""
        last = status.get("lastMove")
        if last is None:
            return
        move = Move(last["toPhase"], seconds_of(last["at"]), last.get("message") or last["reason"])
        if not shop.moves or shop.moves[-1] != move:
            shop.moves.append(move)

    def _note_route(self, route: Mapping[str, Any], now: float) -> None:
        shop = self.shops.get(route["metadata"]["name"])
        if shop is None:
            return
        share = share_of(route, candidate_name(shop.name))
        if share != shop.share:
            shop.share, shop.share_since = share, now


def share_of(route: Mapping[str, Any], backend: str) -> int:
    """The weight of a backend in the first rule of a route; 0 where it has none."""
    rows = route["spec"]["rules"][0].get("backendRefs") or []
    return sum(int(row.get("weight", 1)) for row in rows if row["name"] == backend)


def seconds_of(text: str) -> float:
    """A moment of a status, in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


async def removed(client: KubeClient, street: Street) -> None:
    """Delete the canaries before their namespace goes, so that the operator takes its finalizers off. Raises KubeError."""
    for name in street.shops:
        await client.delete(CANARIES, street.namespace, name)

    async def gone() -> bool:
        try:
            return not (await client.list(CANARIES, street.namespace)).items
        except KubeError:
            return False

    await street.until("the canaries to be gone", gone, 90)
