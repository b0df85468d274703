"""`python -m dev.bench.canaries [--canaries N]`: many canaries in one moment, on simulated pods.

Deployments of one pod on kwok's node, each with a Canary of one step that divides requests by pods, and a gate that asks
Prometheus. All get a new version at once. Said are the most rollouts that were under way together, which the operator's cap must
hold, the time until all are promoted, the operator's writes for each, its memory and its CPU.

Progress goes to standard error. Exit code 1: a figure falls short of its range in ranges.yaml, 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from dev.bench.counting import SCRAPE_SECONDS, Counting, writes_of
from dev.bench.figures import Figure, read_ranges, short_of, table
from dev.bench.manifests import BUSYBOX, SIMULATED, Manifest
from dev.bench.recorder import TooSlow
from dev.cluster import progress
from dev.cluster.addons import metrics
from dev.cluster.settings import Settings
from sluice.api.canary_status import CanaryPhase
from sluice.api.names import API_VERSION
from sluice.kube.client import KubeClient
from sluice.kube.errors import KubeError
from sluice.kube.limiter import Limiter
from sluice.kube.resources import CANARIES, DEPLOYMENTS, METRIC_SOURCES, NAMESPACES, QUALITY_GATES
from sluice.planning.canary_scene import SLOT_PHASES

ADOPTED_WITHIN = 300.0
PROMOTED_WITHIN = 900.0
SAID_EVERY = 10.0


@dataclass
class Crowd:
    """The canaries of a namespace, as a watch sees them: `async with crowd.watched()`."""

    client: KubeClient
    namespace: str
    phases: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Phase and number of the rollout, by name."""
    most: int = 0
    """The most that took one of the places for rollouts together."""

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Crowd]:
        """Watch until the end of the block."""
        task = asyncio.create_task(self._watch())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, what: str, holds: Callable[[], int], wanted: int, seconds: float) -> None:
        """Wait until `holds` counts `wanted`; says now and then how many do. Raises TooSlow."""
        began, said = time.monotonic(), time.monotonic()
        while (count := holds()) < wanted:
            now = time.monotonic()
            if now - began > seconds:
                raise TooSlow(f"{what}: {count} of {wanted} within {seconds:g} s")
            if now - said > SAID_EVERY:
                said = now
                progress.say(f"{what}: {count} of {wanted}; under way {self.under_way()}, at most {self.most}")
            await asyncio.sleep(0.2)

    def under_way(self) -> int:
        """How many take a place now."""
        return sum(phase in SLOT_PHASES for phase, _ in self.phases.values())

    def rests(self, rounds: int) -> int:
        """How many are stable after so many rollouts."""
        return sum((phase, tried) == (CanaryPhase.STABLE, rounds) for phase, tried in self.phases.values())

    async def _watch(self) -> None:
        version = (await self.client.list(CANARIES, self.namespace)).resource_version
        while True:
            events = self.client.watch(CANARIES, self.namespace, resource_version=version)
            async with aclosing(events):
                async for kind, obj in events:
                    version = obj["metadata"]["resourceVersion"]
                    if kind in ("ADDED", "MODIFIED"):
                        status = obj.get("status") or {}
                        self.phases[obj["metadata"]["name"]] = status.get("phase") or "", status.get("round") or 0
                        self.most = max(self.most, self.under_way())


def _object(kind: str, name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def deployment(name: str) -> Manifest:
    """One pod that kwok plays."""
    labels = {"app": name}
    container = {"name": "main", "image": BUSYBOX, "env": [{"name": "RELEASE", "value": "0"}]}
    spec = {**SIMULATED["spec"], "containers": [container], "automountServiceAccountToken": False}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def canary(name: str) -> Manifest:
    """One step by the share of pods."""
    spec = {
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "routing": {"replicas": {}},
        "canary": {"steps": [{"weight": 50, "hold": "5s"}]},
        "gates": [{"name": "calm"}],
        "watch": "5s",
    }
    return _object("Canary", name, spec)


async def measure(client: KubeClient, count: int) -> list[Figure]:
    """Raises TooSlow, KubeError."""
    namespace = f"bench-canaries-{os.getpid()}"
    await client.create(NAMESPACES, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    counting, crowd = Counting(client), Crowd(client, namespace)
    metric = {"source": "prometheus", "query": "vector(0)", "max": 1, "interval": "5s"}
    gate = _object("QualityGate", "calm", {"checks": [{"name": "zero", "metric": metric}]})
    source = _object("MetricSource", "prometheus", {"prometheus": {"address": metrics.URL}})
    names = [f"shop-{number}" for number in range(count)]
    try:
        async with crowd.watched(), counting.running():
            await client.create(METRIC_SOURCES, namespace, source)
            await client.create(QUALITY_GATES, namespace, gate)
            for name in names:
                await client.create(DEPLOYMENTS, namespace, deployment(name))
                await client.create(CANARIES, namespace, canary(name))
            await crowd.until("adopted", lambda: crowd.rests(0), count, ADOPTED_WITHIN)
            await counting.begin()
            patch: list[dict[str, Any]] = [
                {"op": "replace", "path": "/spec/template/spec/containers/0/env/0/value", "value": "1"}
            ]
            began = time.monotonic()
            await asyncio.gather(*(client.patch_json(DEPLOYMENTS, namespace, name, patch) for name in names))
            await crowd.until("promoted", lambda: crowd.rests(1), count, PROMOTED_WITHIN)
            seconds = time.monotonic() - began
            await asyncio.sleep(SCRAPE_SECONDS)
            await counting.look()
            growth = counting.taken()
            for name in names:
                await client.delete(CANARIES, namespace, name)
            await _gone(client, namespace)
    finally:
        with contextlib.suppress(KubeError):
            await client.delete(NAMESPACES, None, namespace)
        progress.say(f"namespace {namespace} is being removed")
    cpu = growth.total("process_cpu_seconds_total")
    return [
        Figure("canaries-under-way", float(crowd.most), "canaries", f"of {count}, the most at once"),
        Figure("canaries-seconds", seconds, "s", f"from the commit to the last of {count} promoted"),
        writes_of("canaries-writes", growth, count, namespace),
        Figure("canaries-memory", counting.memory / 2**20, "MiB", "resident, the most"),
        Figure("canaries-cpu", cpu / count, "s/canary", "of the operator"),
        Figure("canaries-restarts", float(counting.restarts), "restarts", "of the operator meanwhile"),
    ]


async def _gone(client: KubeClient, namespace: str) -> None:
    """The operator takes its finalizers off before the namespace goes."""
    deadline = time.monotonic() + 120
    while (await client.list(CANARIES, namespace)).items:
        if time.monotonic() > deadline:
            raise TooSlow("the canaries are not gone within 120 s")
        await asyncio.sleep(0.5)


async def _measured(kubeconfig: str, count: int) -> list[Figure]:
    limiter = Limiter(in_flight=64, rate=10_000, burst=10_000)
    async with await KubeClient.connect(kubeconfig=kubeconfig, limiter=limiter, user_agent="sluice-bench") as client:
        return await measure(client, count)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say whether the targets are met."""
    options = argparse.ArgumentParser(prog="python -m dev.bench.canaries", description="Many canaries at once.")
    options.add_argument("--canaries", type=int, default=300, help="by default 300; at most 1000")
    count = min(1000, max(1, options.parse_args(argv).canaries))
    try:
        with progress.part(f"{count} canaries"):
            figures = asyncio.run(_measured(str(Settings.from_environment().kubeconfig), count))
    except (KubeError, TooSlow, LookupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    ranges = read_ranges()
    short = short_of(figures, ranges)
    judged = sum(figure.name in ranges for figure in figures)
    print(f"{table(figures, ranges)}\ncanaries: {judged - len(short)} of {judged} figures are in their range")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
