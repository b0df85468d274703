"""`python -m dev.bench.rollback [--faults N] [--at-once K]`: from a fault in a candidate to its last answer.

Services of one pod stand behind the Gateway, each with a Canary of one step at weight 50 that lasts, and each under load. Into the
pod of a candidate a fault is put, half of its answers with 500 or each a second later, and the time is taken until the candidate
answers nobody any more. Then the canary tries the same revision again, in a new pod. With --at-once K the faults come into K
canaries in the same moment; otherwise one fault is over before the next one comes, while other canaries are made ready.

At the end a few healthy releases are promoted: they must cost no request, and their writes are counted too. Progress goes to
standard error. Exit code 1: a figure falls short of its range in ranges.yaml, 2: it could not be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import random
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, TypeVar

from dev import demo
from dev.bench import counters
from dev.bench.counters import OPERATOR_NAMESPACE
from dev.bench.counting import SCRAPE_SECONDS, Counting, writes_of
from dev.bench.figures import Figure, read_ranges, short_of, table
from dev.bench.gateways import Gateway, gateways
from dev.bench.recorder import TooSlow
from dev.bench.requests import Answer, Load, post
from dev.bench.rollback_figures import OK, Fault, NoAnswer, fault_of, figures_of, histogram, parts_table, strays
from dev.bench.shop import CANDIDATE, CHECKS, PORT, SOURCES, STABLE, Judged, Shop, Street, removed
from dev.cluster import progress
from dev.cluster.settings import Settings
from sluice.api.canary_status import CanaryPhase
from sluice.api.durations import parse_duration
from sluice.kube.client import KubeClient
from sluice.kube.errors import KubeError
from sluice.kube.limiter import Limiter
from sluice.kube.resources import NAMESPACES, PODS

FAULTS = {"errors": "/fault?failing=0.5", "latency": "/fault?delay=1"}
SLOW = {"errors": math.inf, "latency": 1.0}
"""Seconds from which an answer is a bad one."""
WINDOWS = {"prometheus": ("5s", "250ms"), "proxy": ("2s", "250ms")}
"""Window and interval of the looks, where the command line does not say it."""
LANES = 3
"""Groups of canaries that are made ready side by side while one of them has its fault."""
MOST_LOAD = 300.0
"""Requests a second to all canaries that have their faults at once."""
ROLLED_BACK_WITHIN = 30.0
READY_WITHIN = 180.0

T = TypeVar("T")
LoadOf = Callable[[Shop], Load]


@dataclass(frozen=True)
class Series:
    """What is measured in one go."""

    judged: Judged
    faults: int
    at_once: int
    rate: float
    """Requests a second to each service."""
    lanes: int
    promotions: int
    gateways: int

    @property
    def name(self) -> str:
        """As in ranges.yaml."""
        return f"rollback-{self.judged.fault}-{self.judged.source}{'-many' if self.at_once > 1 else ''}"

    @property
    def window(self) -> float:
        """Seconds."""
        return parse_duration(self.judged.window).total_seconds()

    @property
    def words(self) -> str:
        """The same for people."""
        return (
            f"{self.faults} faults ({self.judged.fault}), {self.at_once} at once, {self.lanes * self.at_once} canaries, "
            f"{self.rate:g} requests/s each, {self.gateways} gateways; {self.judged.source}, looks every "
            f"{self.judged.interval}, window {self.judged.window}"
        )


@dataclass
class Measurement:
    """One series under way."""

    series: Series
    street: Street
    counting: Counting
    loads: dict[str, Load] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    """Canaries that were rolled back without a fault, and why."""
    missed: list[str] = field(default_factory=list)
    """Faults that could not be followed to their end, and why."""
    disturbed: int = 0
    """Faults that are left out because the operator was replaced meanwhile."""
    rollbacks: int = 0
    _rounds: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _chance: random.Random = field(default_factory=lambda: random.Random(1))

    async def all_faults(self, groups: Sequence[Sequence[Shop]]) -> None:
        """Put all faults in, group by group."""
        self._rounds = math.ceil(self.series.faults / self.series.at_once)
        await asyncio.gather(*(self._lane(group) for group in groups))

    async def _lane(self, group: Sequence[Shop]) -> None:
        number = 0
        while self._rounds > 0:
            self._rounds -= 1
            number += 1
            pod = self.counting.pod
            await self._each(self._ready(shop, number) for shop in group)
            async with self._turn:
                # Faults come at any time between two scrapes and between two looks.
                await asyncio.sleep(self._chance.random())
                found = await self._each(self._hurt(shop) for shop in group)
            await asyncio.gather(*(self._failed(shop) for shop in group))
            self.rollbacks += len(group)
            await self.counting.look()
            if self.counting.pod != pod:
                self.disturbed += len(found)
                self._rounds += 1
                continue
            self.faults += found
            wholes = ", ".join(f"{fault.parts['whole']:.2f}" for fault in found)
            progress.say(f"{len(self.faults)} of {self.series.faults}: {wholes} s")

    async def _each(self, tasks: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """What they return, side by side; those that do not come to an end are noted as missed."""
        found: list[T] = []
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, (TooSlow, NoAnswer, ConnectionError, TimeoutError)):
                self.missed.append(f"{type(result).__name__}: {result}")
                progress.say(f"missed: {self.missed[-1]}")
            elif isinstance(result, BaseException):
                raise result
            else:
                found.append(result)
        return found

    async def _failed(self, shop: Shop) -> None:
        """Bring a canary to where the next round begins. Raises TooSlow."""
        if shop.phase not in (CanaryPhase.ROLLING_BACK, CanaryPhase.FAILED):
            await self.street.ask(shop, f"abort:{time.time_ns()}")
        await self.street.reaches(shop, CanaryPhase.FAILED, READY_WITHIN)

    async def _ready(self, shop: Shop, number: int) -> None:
        """Bring a canary to weight 50, with a window full of good answers. Raises TooSlow."""
        load = self.loads[shop.name]
        while True:
            since, asked = time.time(), len(load.answers)
            if shop.phase == CanaryPhase.FAILED:
                await self.street.ask(shop, f"retry:{time.time_ns()}")
            else:
                await self.street.release(shop, CANDIDATE, number)
            await self.street.sees(
                f"{shop.name} to be at weight 50",
                lambda: shop.phase == CanaryPhase.STEPPING and shop.share == 50,
                READY_WITHIN,
            )
            for address in await self.street.candidate_addresses(shop):
                await post(address, PORT, "/fault?failing=0&delay=0")
            answered = len(load.answers)

            async def serves(answered: int = answered) -> bool:
                return any(answer.version == CANDIDATE for answer in load.answers[answered:])

            await self.street.until(f"{shop.name} to send requests to its candidate", serves, READY_WITHIN)
            await asyncio.sleep(self.series.window + 1)
            if shop.phase == CanaryPhase.STEPPING:
                return
            self.early.append(_why(shop, since, load.answers[asked:]))
            self.rollbacks += 1
            await self.street.reaches(shop, CanaryPhase.FAILED, READY_WITHIN)

    async def _hurt(self, shop: Shop) -> Fault:
        """Put the fault in, and follow it to the candidate's last answer. Raises TooSlow, NoAnswer."""
        load, fault = self.loads[shop.name], self.series.judged.fault
        start = len(load.answers)
        if shop.phase != CanaryPhase.STEPPING:
            raise TooSlow(f"{shop.name} is {shop.phase} before its fault: {shop.moves[-1].why}")
        addresses = await self.street.candidate_addresses(shop)
        answers = await asyncio.gather(*(post(address, PORT, FAULTS[fault]) for address in addresses))
        injected = max((float(answer["at"]) for answer in answers), default=math.nan)
        await self.street.sees(
            f"{shop.name} to be rolled back after its fault",
            lambda: shop.moved(CanaryPhase.ROLLING_BACK, injected) is not None and shop.share == 0,
            ROLLED_BACK_WITHIN,
        )
        decided = shop.moved(CanaryPhase.ROLLING_BACK, injected)
        assert decided is not None
        # Until nothing by the candidate has come for a second more than an answer can take.
        quiet = 1.0 + (SLOW[fault] if SLOW[fault] < math.inf else 0.0)

        async def silent() -> bool:
            return time.time() > max(shop.share_since, _last(load, start)) + quiet

        await self.street.until(f"the candidate of {shop.name} to be silent", silent, ROLLED_BACK_WITHIN)
        return fault_of(
            injected, decided.at, shop.share_since, load.answers[start:], candidate=CANDIDATE, slow=SLOW[fault]
        )


def _why(shop: Shop, since: float, answers: Sequence[Answer]) -> str:
    """What is known of a rollback without a fault."""
    moves = [move for move in shop.moves if move.to == CanaryPhase.ROLLING_BACK]
    newest = next((move for move in reversed(moves) if move.at > since), None)
    before = next((move for move in reversed(moves) if move.at <= since), None)
    bad = sum(answer.version == CANDIDATE and answer.status != OK for answer in answers)
    if newest is None:
        return f"{shop.name} is {shop.phase}"
    after = f", {newest.at - before.at:.1f} s after the rollback before" if before is not None else ""
    return f"{newest.why}{after}; {bad} of its answers since were bad"


def _last(load: Load, start: int) -> float:
    """When the candidate answered last."""
    return max((answer.ended for answer in load.answers[start:] if answer.version == CANDIDATE), default=0.0)


async def measure(client: KubeClient, series: Series, image: str) -> list[Figure]:
    """One series: prints what was seen, and returns the figures. Raises TooSlow, LookupError, KubeError."""
    namespace = f"bench-rollback-{os.getpid()}-{series.judged.fault}-{series.judged.source}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await client.create(NAMESPACES, None, body)
    street, counting = Street(client, namespace), Counting(client)
    measurement = Measurement(series, street, counting)
    before, began = os.getloadavg()[0], time.monotonic()

    def load_of(shop: Shop) -> Load:
        return Load(shop.gateway.address, shop.gateway.port, street.host(shop.name), "/quote?item=apple", series.rate)

    try:
        async with gateways(client, namespace, series.gateways) as doors, street.watched(), counting.running():
            await street.judge(series.judged, doors)
            names = [f"shop-{number}" for number in range(series.lanes * series.at_once)]
            shops = await asyncio.gather(
                *(street.open(name, image, door, hold="3h") for name, door in zip(names, cycle(doors), strict=False))
            )
            measurement.loads = {shop.name: load_of(shop) for shop in shops}
            await counting.begin()
            async with AsyncExitStack() as stack:
                for load in measurement.loads.values():
                    await stack.enter_async_context(load.running())
                groups = [shops[first :: series.lanes] for first in range(series.lanes)]
                await measurement.all_faults(groups)
            await asyncio.sleep(SCRAPE_SECONDS)
            await counting.look()
            growth, seconds = counting.taken(), time.monotonic() - began
            promoted = await _promote(street, counting, series, image, doors[0], load_of)
            await removed(client, street)
    finally:
        # Also where the measurement breaks off.
        print(f"\n== {series.name}: {series.words}\n{_seen(measurement)}", flush=True)
        with contextlib.suppress(KubeError):
            await client.delete(NAMESPACES, None, namespace)
        progress.say(f"namespace {namespace} is being removed")
    cores = growth.total("process_cpu_seconds_total") / seconds
    print(f"load average {before:.1f} to {os.getloadavg()[0]:.1f}; the operator took {cores:.2f} cores", flush=True)
    answers = [answer for load in measurement.loads.values() for answer in load.answers]
    return [
        *figures_of(series.name, measurement.faults),
        strays(answers, CANDIDATE),
        Figure("rollback-early", float(len(measurement.early)), "canaries", "rolled back without a fault"),
        Figure("rollback-missed", float(len(measurement.missed)), "rounds", "without an end"),
        writes_of("rollback-writes", growth, measurement.rollbacks, namespace),
        *promoted,
    ]


def _seen(measurement: Measurement) -> str:
    """What is to be said of the faults, and of those that are none."""
    faults = measurement.faults
    lines = [parts_table(faults), histogram([fault.parts["whole"] for fault in faults])]
    if measurement.counting.restarts:
        lines.append(
            f"the operator was replaced {measurement.counting.restarts} times; {measurement.disturbed} faults are left out"
        )
    lines += [f"rolled back without a fault: {text}" for text in measurement.early]
    lines += [f"missed: {text}" for text in measurement.missed]
    return "\n".join(lines)


async def _promote(
    street: Street, counting: Counting, series: Series, image: str, door: Gateway, load_of: LoadOf
) -> list[Figure]:
    """Promote healthy releases one after another, under load: their writes, and the requests that failed."""
    if not series.promotions:
        return []
    shop = await street.open("healthy", image, door, hold="5s", watch="5s")
    load = load_of(shop)
    await counting.begin()
    async with load.running():
        for number in range(1, series.promotions + 1):
            await street.release(shop, STABLE, number)
            await street.sees(f"release {number} of {shop.name} to begin", lambda: shop.phase != CanaryPhase.STABLE, 10)
            await street.reaches(shop, CanaryPhase.STABLE, READY_WITHIN)
            progress.say(f"promoted {number} of {series.promotions}")
        await asyncio.sleep(SCRAPE_SECONDS)
    await counting.look()
    growth = counting.taken()
    failed = sum(answer.status != 200 for answer in load.answers)
    return [
        writes_of("promotion-writes", growth, series.promotions, street.namespace),
        Figure("promotion-failed", float(failed), "requests", f"of {len(load.answers)}"),
    ]


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m dev.bench.rollback", description="Measure rollbacks.")
    options.add_argument("--faults", type=_count, default=100, help="of each series, by default 100")
    options.add_argument("--at-once", type=_count, default=1, help="canaries that have a fault in the same moment")
    options.add_argument("--source", action="append", choices=SOURCES, help="by default both")
    options.add_argument("--fault", action="append", choices=CHECKS, help="by default errors")
    options.add_argument("--rate", type=float, help="requests a second to each service, by default 60, and 300 to all")
    options.add_argument("--window", help="of the check, by default 5s with prometheus and 2s with proxy")
    options.add_argument("--interval", help="of its looks, by default 250ms")
    options.add_argument(
        "--lanes", type=_count, help=f"groups made ready side by side, by default {LANES}, 1 with --at-once"
    )
    options.add_argument(
        "--gateways", type=_count, default=1, help="that divide the canaries, by default 1; with proxy only"
    )
    options.add_argument("--promotions", type=int, default=3, help="healthy releases after the faults, by default 3")
    return options


def _count(text: str) -> int:
    """A number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a number from 1")
    return int(text)


def series_of(options: argparse.Namespace) -> list[Series]:
    """All series that were asked for."""
    lanes = options.lanes or (LANES if options.at_once == 1 else 1)
    rate = options.rate or min(60.0, MOST_LOAD / options.at_once)
    return [
        Series(
            Judged(source, fault, options.window or WINDOWS[source][0], options.interval or WINDOWS[source][1]),
            options.faults,
            options.at_once,
            rate,
            lanes,
            options.promotions,
            options.gateways if source == "proxy" else 1,
        )
        for fault in options.fault or ["errors"]
        for source in options.source or SOURCES
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say whether the targets are met."""
    series = series_of(parser().parse_args(argv))
    try:
        figures = asyncio.run(_measure_all(str(Settings.from_environment().kubeconfig), series))
    except (KubeError, TooSlow, LookupError, ConnectionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    ranges = read_ranges()
    short = short_of(figures, ranges)
    judged = sum(figure.name in ranges for figure in figures)
    print(f"\n{table(figures, ranges)}")
    print(f"rollback: {judged - len(short)} of {judged} figures are in their range")
    return 1 if short else 0


async def _measure_all(kubeconfig: str, all_series: Sequence[Series]) -> list[Figure]:
    figures: list[Figure] = []
    limiter = Limiter(in_flight=256, rate=10_000, burst=10_000)
    async with await KubeClient.connect(kubeconfig=kubeconfig, limiter=limiter, user_agent="sluice-bench") as client:
        pod = await client.get(PODS, OPERATOR_NAMESPACE, await counters.operator_pod(client))
        version = (await client.version())["gitVersion"]
        print(
            f"{datetime.now(UTC).isoformat(timespec='seconds')}; Kubernetes {version}; {os.cpu_count()} cores; operator "
            f"{pod['spec']['containers'][0]['image']}"
        )
        image = demo.images()["example-pricing"]
        for series in all_series:
            with progress.part(series.name):
                figures += await measure(client, series, image)
    return figures


if __name__ == "__main__":
    sys.exit(main())
