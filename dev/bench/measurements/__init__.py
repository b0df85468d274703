"""The measurements, by name, in the order in which they are taken: memory first, before load has left its traces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dev.bench.bench import Bench
from dev.bench.figures import Figure
from dev.bench.measurements import chain, launch, memory, throughput, writes

Measurement = Callable[[Bench], Awaitable[list[Figure]]]

MEASUREMENTS: dict[str, Measurement] = {
    "memory": memory.measure,
    "quiet": writes.measure_quiet,
    "step-launch": launch.measure_steps,
    "run-launch": launch.measure_runs,
    "run-launch-rate": launch.measure_runs_at_rate,
    "throughput": throughput.measure,
    "writes": writes.measure,
    "chain": chain.measure,
}
