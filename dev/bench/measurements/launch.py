"""F01 and F02: how soon a pod follows its cause, as a watch outside the operator sees it."""

from __future__ import annotations

import asyncio
import time

from dev.bench.bench import Bench
from dev.bench.figures import Figure, percentile, spread
from dev.bench.manifests import SIMULATED

CHAINS = 25
STEPS = 10
IDLE_RUNS = 100
RATE = 10
"""Runs a second."""


async def measure_steps(bench: Bench) -> list[Figure]:
    """From the event that shows a step's container ended to the ADDED event of the next step's pod, in chains of ten,
    one chain after another."""
    pipeline = await bench.pipeline(STEPS, SIMULATED)
    before = await bench.operator()
    samples: list[float] = []
    for _ in range(CHAINS):
        run, _ = await bench.submit(pipeline)
        await bench.all_ended([run], 60)
        pods = bench.recorder.pods_of(run)
        for number in range(1, STEPS):
            ended, added = pods[f"s{number}"].ended, pods[f"s{number + 1}"].added
            if ended is not None:
                samples.append(added - ended)
    own = (await bench.operator()).since(before)
    name = "sluice_step_launch_seconds"
    return [
        Figure("step-launch-p50", percentile(samples, 0.5), "s", spread(samples)),
        Figure("step-launch-p99", percentile(samples, 0.99), "s"),
        Figure("step-launch-own-p50", own.quantile(name, 0.5), "s", "the operator's histogram: at most"),
        Figure("step-launch-own-p99", own.quantile(name, 0.99), "s", "the operator's histogram: at most"),
    ]


async def measure_runs(bench: Bench) -> list[Figure]:
    """From before the POST of a run to the ADDED event of its pod, one run at a time."""
    pipeline = await bench.pipeline(1, SIMULATED)
    samples: list[float] = []
    for _ in range(IDLE_RUNS):
        run, submitted = await bench.submit(pipeline)
        await bench.all_ended([run], 30)
        samples.append(bench.recorder.pods_of(run)["s1"].added - submitted)
        await asyncio.sleep(0.1)
    return [
        Figure("run-launch-idle-p50", percentile(samples, 0.5), "s", spread(samples)),
        Figure("run-launch-idle-p99", percentile(samples, 0.99), "s"),
    ]


async def measure_runs_at_rate(bench: Bench) -> list[Figure]:
    """The same with ten runs submitted each second, whether or not the earlier ones have got on."""
    pipeline = await bench.pipeline(1, SIMULATED)
    count = RATE * bench.options.rate_seconds
    began = time.perf_counter()
    tasks = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(bench.submit(pipeline)))
    submitted = await asyncio.gather(*tasks)
    await bench.all_ended([run for run, _ in submitted], 120)
    added = {pod.run: pod.added for pod in bench.recorder.pods.values()}
    samples = [added[run] - moment for run, moment in submitted]
    return [
        Figure("run-launch-rate-p50", percentile(samples, 0.5), "s", spread(samples)),
        Figure("run-launch-rate-p99", percentile(samples, 0.99), "s", f"{RATE} runs/s for {count / RATE:g} s"),
    ]
