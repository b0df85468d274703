"""F04: what the operator writes to the API server, counted on both sides.

The API server's counters do not say who wrote. What only the operator writes to is told apart by its resource: runs,
their status, pipelines' status, revisions, and pods (POST, which the benchmark does not do meanwhile). Events, which
everybody writes, are read instead: those in the benchmark's namespace that name the operator. Runs in other namespaces
disturb both counts, and are reported.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from dev.bench import counters
from dev.bench.bench import Bench
from dev.bench.counters import Scrape
from dev.bench.figures import Figure
from dev.bench.manifests import SIMULATED
from sluice.api.names import FIELD_MANAGER
from sluice.kube.resources import EVENTS, LEASES

CHAINS = 5
STEPS = 10
SINGLE = 40
QUIET_SECONDS = 60
_WRITES = ("create", "patch", "apply", "delete")
_OURS = {"pipelineruns", "datapipelines", "controllerrevisions"}

Row = tuple[str, str]
"""(verb, resource with its subresource)"""


async def measure(bench: Bench) -> list[Figure]:
    """Writes a step, in chains of ten and in runs of one step."""
    return [
        *await _count(bench, "chain", steps=STEPS, runs=CHAINS),
        *await _count(bench, "single", steps=1, runs=SINGLE),
    ]


async def measure_quiet(bench: Bench) -> list[Figure]:
    """Writes in a minute in which nothing changes."""
    await bench.pipeline(STEPS, SIMULATED)
    await bench.settled()
    before = await bench.operator()
    await asyncio.sleep(QUIET_SECONDS)
    growth = (await bench.operator()).since(before)
    writes = sum(own_writes(growth).values())
    return [Figure("writes-quiet", writes * 60 / QUIET_SECONDS, "1/min", disturbance(bench, growth))]


async def _count(bench: Bench, name: str, *, steps: int, runs: int) -> list[Figure]:
    pipeline = await bench.pipeline(steps, SIMULATED)
    await bench.settled()
    operator, server, events = (
        await bench.operator(),
        await counters.api_server(bench.client),
        await _events(bench),
    )
    for _ in range(runs):
        run, _ = await bench.submit(pipeline)
        await bench.all_ended([run], 60)
    await bench.settled()
    own = (await bench.operator()).since(operator)
    seen = (await counters.api_server(bench.client)).since(server)
    done = runs * steps
    mine, theirs = own_writes(own), _server_writes(seen)
    theirs["POST", "pipelineruns"] -= runs  # the benchmark's own
    theirs["POST or PATCH", "events"] = await _events(bench) - events
    status = theirs["PATCH", "pipelineruns/status"] + theirs["PATCH", "datapipelines/status"]
    reconciles = own.total("sluice_reconcile_total")
    disturbed = disturbance(bench, own)
    return [
        Figure(f"writes-{name}", sum(mine.values()) / done, "1/step", per_step(mine, done) + disturbed),
        Figure(f"writes-{name}-server", sum(theirs.values()) / done, "1/step", per_step(theirs, done)),
        Figure(
            f"status-writes-{name}",
            status / max(1.0, reconciles),
            "1/reconcile",
            f"{status} in {reconciles:.0f} reconciles, {own.total('sluice_reconcile_total', result='changed'):.0f} "
            "of which changed the status",
        ),
    ]


def own_writes(growth: Scrape) -> Counter[Row]:
    """The operator's writes by its own count, but for the lease, which it renews every two seconds whatever it does."""
    rows = growth.by("sluice_api_requests_total", "verb", "resource")
    return Counter(
        {
            (verb, resource): count
            for (verb, resource), count in rows.items()
            if verb in _WRITES and resource != LEASES.label
        }
    )


def _server_writes(growth: Scrape) -> Counter[Row]:
    rows: Counter[Row] = Counter()
    found = growth.by("apiserver_request_total", "verb", "group", "resource", "subresource")
    for (verb, group, resource, subresource), count in found.items():
        new_pod = (verb, group, resource, subresource) == ("POST", "", "pods", "")
        if new_pod or (resource in _OURS and verb in ("POST", "PATCH", "PUT", "APPLY", "DELETE")):
            rows[verb, f"{resource}/{subresource}" if subresource else resource] += count
    return rows


async def _events(bench: Bench) -> int:
    """How often the operator has said something of the benchmark's objects."""
    found = await bench.client.list(EVENTS, bench.namespace)
    return sum(
        int(event.get("count") or 1)
        for event in found.items
        if (event.get("source") or {}).get("component") == FIELD_MANAGER
    )


def per_step(rows: Counter[Row], steps: int) -> str:
    """The rows as text, divided by the number of steps."""
    return ", ".join(
        f"{verb} {resource} {count / steps:.2f}" for (verb, resource), count in sorted(rows.items()) if count
    )


def disturbance(bench: Bench, growth: Scrape) -> str:
    """Says so when others had runs meanwhile; else empty."""
    foreign = bench.foreign_runs(growth)
    return f"; DISTURBED by {foreign} runs of others" if foreign else ""
