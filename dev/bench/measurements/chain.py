"""F01 and F04: a chain of ten steps on the real node, against ten bare pods made one after another, in turns."""

from __future__ import annotations

import time

from dev.bench.bench import Bench
from dev.bench.figures import Figure, percentile
from dev.bench.manifests import REAL, bare_pod
from dev.bench.measurements.writes import disturbance, own_writes, per_step
from dev.cluster import progress
from sluice.kube.resources import PODS

ROUNDS = 5
STEPS = 10


async def measure(bench: Bench) -> list[Figure]:
    """From before the first POST to the event that shows the end: of the run, of the last pod."""
    pipeline = await bench.pipeline(STEPS, REAL)
    before = await bench.operator()
    chains: list[float] = []
    bare: list[float] = []
    for number in range(1, ROUNDS + 1):
        run, began = await bench.submit(pipeline)
        await bench.all_ended([run], 180)
        chains.append((bench.recorder.runs[run].ended or began) - began)
        bare.append(await _bare_pods(bench, number))
        progress.say(f"     round {number} of {ROUNDS}: chain {chains[-1]:.2f} s, bare pods {bare[-1]:.2f} s")
    await bench.settled()
    growth = (await bench.operator()).since(before)
    written = own_writes(growth)
    listed = ", ".join(f"{a:.1f}:{b:.1f}" for a, b in zip(chains, bare, strict=True))
    return [
        Figure("chain", percentile(chains, 0.5), "s", f"median of {ROUNDS} chains of {STEPS}"),
        Figure("chain-bare", percentile(bare, 0.5), "s", f"median of {ROUNDS} times {STEPS} bare pods"),
        Figure("chain-ratio", sum(chains) / sum(bare), "", f"all chains to all bare pods; {listed}"),
        Figure(
            "writes-chain-real",
            sum(written.values()) / (ROUNDS * STEPS),
            "1/step",
            per_step(written, ROUNDS * STEPS) + disturbance(bench, growth),
        ),
    ]


async def _bare_pods(bench: Bench, round_number: int) -> float:
    began = time.perf_counter()
    last = began
    for number in range(1, STEPS + 1):
        name = f"bare-{round_number}-{number}"
        await bench.client.create(PODS, bench.namespace, bare_pod(name))
        await bench.recorder.until(f"the end of pod {name}", lambda name=name: _ended(bench, name), 60)  # type: ignore[misc]
        last = bench.recorder.pods[name].ended or last
    return last - began


def _ended(bench: Bench, name: str) -> bool:
    pod = bench.recorder.pods.get(name)
    return pod is not None and pod.ended is not None
