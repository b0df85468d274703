"""What the operator did while something went on: its counters, summed up over its pods, and its writes a canary."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dev.bench import counters
from dev.bench.counters import Scrape
from dev.bench.figures import Figure
from dev.bench.measurements.writes import own_writes, per_step
from sluice.kube.client import KubeClient
from sluice.kube.errors import KubeError

SCRAPE_SECONDS = 3.0


@dataclass
class Counting:
    """The operator's metrics while it may be replaced: growth is summed up over its pods."""

    client: KubeClient
    restarts: int = 0
    pod: str = ""
    memory: float = 0.0
    """The most resident memory that was seen, in bytes."""
    _last: Scrape | None = None
    _sums: dict[tuple[str, counters.Labels], float] = field(default_factory=dict)

    async def look(self) -> None:
        """Add what has grown since the last look."""
        try:
            pod, now = await counters.operator_pod(self.client), await counters.operator(self.client)
        except (LookupError, KubeError):
            return  # it is being replaced; the next look finds what there is
        self.memory = max(self.memory, now.total("process_resident_memory_bytes"))
        if self._last is not None:
            self.restarts += pod != self.pod
            earlier = self._last if pod == self.pod else Scrape({})
            for key, value in now.since(earlier).samples.items():
                self._sums[key] = self._sums.get(key, 0.0) + value
        self.pod, self._last = pod, now

    async def begin(self) -> None:
        """Forget what has grown, once what follows the making of objects is written."""
        await asyncio.sleep(SCRAPE_SECONDS)
        await self.look()
        self.taken()

    def taken(self) -> Scrape:
        """What has grown until the last look; counting begins anew."""
        sums, self._sums = self._sums, {}
        return Scrape(sums)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Counting]:
        """Look every few seconds until the end of the block."""

        async def go_on() -> None:
            while True:
                await self.look()
                await asyncio.sleep(SCRAPE_SECONDS)

        looking = asyncio.create_task(go_on())
        try:
            yield self
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


def writes_of(name: str, growth: Scrape, canaries: int, namespace: str) -> Figure:
    """The operator's writes for each canary, Events included. The note says so when others had canaries or runs meanwhile."""
    rows = own_writes(growth)
    ended = growth.by("sluice_canary_rollouts_total", "namespace") + growth.by("sluice_runs_total", "namespace")
    foreign = sum(count for (where,), count in ended.items() if where != namespace)
    if not canaries:
        return Figure(name, math.nan, "1/canary", "no canaries")
    note = per_step(rows, canaries) + (f"; DISTURBED by {foreign} rollouts or runs of others" if foreign else "")
    return Figure(name, sum(rows.values()) / canaries, "1/canary", note)
