"""F05: resident memory of the operator, idle and with runs under way."""

from __future__ import annotations

import time

from dev.bench.bench import Bench
from dev.bench.figures import Figure
from dev.bench.manifests import NEVER_SCHEDULED
from sluice.kube.resources import PIPELINE_RUNS

LIVE_RUNS = 300
MIB = 1024 * 1024


async def measure(bench: Bench) -> list[Figure]:
    """Memory before and with 300 runs whose pod waits. "Idle" is as found: the note says how old the process is."""
    before = await bench.operator()
    age = time.time() - before.total("process_start_time_seconds")
    ended = before.total("sluice_runs_total")
    pipeline = await bench.pipeline(1, NEVER_SCHEDULED)
    runs = [name for name, _ in await bench.submit_all(pipeline, LIVE_RUNS)]
    wanted = set(runs)
    await bench.recorder.until(
        "a pod for each run", lambda: wanted <= {pod.run for pod in bench.recorder.pods.values()}, 120
    )
    await bench.settled()
    live = await bench.operator()
    for run in runs:
        await bench.client.delete(PIPELINE_RUNS, bench.namespace, run)
    await bench.settled()
    note = f"process {age:.0f} s old, {ended:.0f} runs before"
    return [
        Figure("memory-idle", before.total("process_resident_memory_bytes") / MIB, "MiB", note),
        Figure("memory-300-live", live.total("process_resident_memory_bytes") / MIB, "MiB", f"{LIVE_RUNS} live runs"),
    ]
