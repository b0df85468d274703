"""The namespace that a benchmark works in, and what measurements do there."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dev.bench import counters, manifests
from dev.bench.counters import Scrape
from dev.bench.manifests import Manifest
from dev.bench.recorder import Recorder, TooSlow
from dev.cluster import progress
from sluice.kube.client import KubeClient
from sluice.kube.errors import ApiError
from sluice.kube.limiter import Limiter
from sluice.kube.resources import DATA_PIPELINES, NAMESPACES, PIPELINE_RUNS

SIDE_BY_SIDE = 32
"""Requests of the load generator that are under way at once."""
READY_SECONDS = 30
"""How long a new pipeline may take until it can be run."""
INTERNAL_ERROR = 500


@dataclass(frozen=True)
class Options:
    """What can be chosen on the command line."""

    burst_runs: int = 600
    rate_seconds: int = 30


@dataclass
class Bench:
    """A namespace with a recorder."""

    client: KubeClient
    namespace: str
    recorder: Recorder
    options: Options
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def pipeline(self, steps: int, template: Manifest) -> str:
        """Make a pipeline and wait until it can be run; its name."""
        name = f"p{next(self._numbers)}"
        deadline = time.perf_counter() + READY_SECONDS
        while True:
            try:
                await self.client.create(DATA_PIPELINES, self.namespace, manifests.pipeline(name, steps, template))
                break
            except ApiError as error:
                # Right after a start of the operator, its webhook cannot be reached for a moment.
                if error.code != INTERNAL_ERROR or time.perf_counter() > deadline:
                    raise
            await asyncio.sleep(0.5)
        while time.perf_counter() < deadline:
            status = (await self.client.get(DATA_PIPELINES, self.namespace, name)).get("status") or {}
            if status.get("revision"):
                await asyncio.sleep(1)  # its other first writes
                return name
            await asyncio.sleep(0.1)
        raise TooSlow(f"DataPipeline {name} got no revision within {READY_SECONDS} s: is the operator running?")

    async def submit(self, pipeline: str) -> tuple[str, float]:
        """Create a run; its name and the moment before the request."""
        name = f"{pipeline}-r{next(self._numbers)}"
        before = time.perf_counter()
        await self.client.create(PIPELINE_RUNS, self.namespace, manifests.run(name, pipeline))
        return name, before

    async def submit_all(self, pipeline: str, count: int) -> list[tuple[str, float]]:
        """Create `count` runs as fast as it goes."""
        places = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one() -> tuple[str, float]:
            async with places:
                return await self.submit(pipeline)

        return await asyncio.gather(*(one() for _ in range(count)))

    async def all_ended(self, runs: Iterable[str], seconds: float) -> None:
        """Wait until all `runs` have ended."""
        waiting = set(runs)

        def done() -> bool:
            waiting.difference_update([run for run in waiting if self.recorder.ended(run)])
            return not waiting

        await self.recorder.until("the end of all runs", done, seconds)

    async def settled(self, seconds: float = 3.0) -> None:
        """Give what follows a run (retention, Events, the pipeline's status) time to be written."""
        writes = -1.0
        deadline = time.perf_counter() + 120
        while time.perf_counter() < deadline:
            found = (await self.operator()).total("sluice_api_requests_total")
            if found == writes:
                return
            writes = found
            await asyncio.sleep(seconds)

    async def operator(self) -> Scrape:
        """The operator's metrics now."""
        return await counters.operator(self.client)

    def foreign_runs(self, growth: Scrape) -> int:
        """Runs of other namespaces that ended within `growth`: they disturb what is counted."""
        ended = growth.by("sluice_runs_total", "namespace")
        return sum(count for (namespace,), count in ended.items() if namespace != self.namespace)


@asynccontextmanager
async def bench(kubeconfig: str, options: Options) -> AsyncIterator[Bench]:
    """A Bench in a namespace of its own, which is removed at the end."""
    namespace = f"bench-{os.getpid()}-{int(time.time()) % 100_000}"
    limiter = Limiter(in_flight=256, rate=10_000, burst=10_000)
    async with await KubeClient.connect(kubeconfig=kubeconfig, limiter=limiter, user_agent="sluice-bench") as client:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
        await client.create(NAMESPACES, None, body)
        recorder = Recorder(client, namespace)
        try:
            await recorder.start()
            yield Bench(client, namespace, recorder, options)
        finally:
            await recorder.stop()
            await client.delete(NAMESPACES, None, namespace)
            progress.say(f"namespace {namespace} is being removed")
