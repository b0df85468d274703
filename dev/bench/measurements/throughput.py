"""F03: how many one-step runs are carried out a second when many are submitted at once."""

from __future__ import annotations

from dev.bench.bench import Bench
from dev.bench.figures import Figure, percentile
from dev.bench.manifests import SIMULATED


async def measure(bench: Bench) -> list[Figure]:
    """Runs / time from the first submit to the last end."""
    count = bench.options.burst_runs
    pipeline = await bench.pipeline(1, SIMULATED)
    before = await bench.operator()
    submitted = await bench.submit_all(pipeline, count)
    first = min(moment for _, moment in submitted)
    submitting = max(moment for _, moment in submitted) - first
    await bench.all_ended([run for run, _ in submitted], max(120.0, count / 5))
    ends = [run.ended for name, _ in submitted if (run := bench.recorder.runs[name]).ended is not None]
    lasted = max(ends) - first
    bad = sum(bench.recorder.runs[name].phase != "Succeeded" for name, _ in submitted)
    own = (await bench.operator()).since(before)
    cpu = own.total("process_cpu_seconds_total")
    middle = percentile(ends, 0.5) - first
    note = (
        f"{count} runs in {lasted:.1f} s, {bad} not succeeded; submitting took {submitting:.1f} s, "
        f"half had ended after {middle:.1f} s"
    )
    return [
        Figure("throughput", count / lasted, "runs/s", note),
        Figure("throughput-cpu", cpu / count * 1000, "ms/run", f"the operator's CPU, {cpu / lasted:.2f} cores"),
    ]
