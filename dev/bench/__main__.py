"""`python -m dev.bench [--only NAME]... [-o table|json]`: exit code 1 when a figure falls short of its range.

Progress goes to standard error, the result to standard output. The cluster is the one of `python -m dev.cluster up
--addons kwok`, or the one of $SLUICE_KUBECONFIG, which needs kwok's node as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dev.bench.bench import Bench, Options, bench
from dev.bench.counters import OPERATOR_NAMESPACE, operator_pod
from dev.bench.figures import Figure, document, read_ranges, short_of, table
from dev.bench.measurements import MEASUREMENTS
from dev.bench.recorder import TooSlow
from dev.cluster import progress
from dev.cluster.settings import Settings
from sluice.kube.errors import KubeError
from sluice.kube.resources import PODS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dev.bench", description="Measure the operator on the cluster.")
    parser.add_argument(
        "--only", action="append", choices=MEASUREMENTS, metavar="NAME", help=f"one of {', '.join(MEASUREMENTS)}"
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--runs", type=int, default=600, help="runs submitted at once (throughput), at most 5000")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurements that were asked for."""
    options = _parser().parse_args(argv)
    kubeconfig = str(Settings.from_environment().kubeconfig)
    chosen = options.only or list(MEASUREMENTS)
    try:
        about, figures = asyncio.run(_measure(kubeconfig, chosen, Options(burst_runs=min(5000, options.runs))))
    except (KubeError, TooSlow, LookupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    ranges = read_ranges()
    short = short_of(figures, ranges)
    if options.output == "json":
        print(json.dumps(document(figures, ranges, about), indent=2))
    else:
        print("\n".join(f"{name}: {value}" for name, value in about.items()))
        print(table(figures, ranges))
        judged = sum(figure.name in ranges for figure in figures)
        print(f"bench: {judged - len(short)} of {judged} figures are in their range")
    return 1 if short else 0


async def _measure(kubeconfig: str, chosen: Sequence[str], options: Options) -> tuple[dict[str, Any], list[Figure]]:
    figures: list[Figure] = []
    loads: dict[str, str] = {}
    async with bench(kubeconfig, options) as place:
        about = await _about(place)
        for name, measurement in MEASUREMENTS.items():
            if name not in chosen:
                continue
            with progress.part(name):
                before = os.getloadavg()[0]
                figures += await measurement(place)
                loads[name] = f"{before:.1f} to {os.getloadavg()[0]:.1f}"
    return {**about, "load average": ", ".join(f"{name} {load}" for name, load in loads.items())}, figures


async def _about(place: Bench) -> dict[str, Any]:
    pod = await place.client.get(PODS, OPERATOR_NAMESPACE, await operator_pod(place.client))
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "kubernetes": (await place.client.version())["gitVersion"],
        "cores": os.cpu_count(),
        "operator": pod["spec"]["containers"][0]["image"],
    }


if __name__ == "__main__":
    sys.exit(main())
