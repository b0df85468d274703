"""What a proxy's counters come to: increments over a window, shares, and quantiles. Pure.

    counted(proxy, samples)             -> {key: Counts}   the counters of one scrape, by Service
    Track.add(at, counts)                                  scrapes of one proxy in order, restarts evened out
    Track.over(window, longest)         -> Growth | None   what was added within the window; None: not covered yet
    measured(question, growths, at)     -> Series          the number that was asked for, or why it is no evidence

A counter that is not there counts as 0, so that the first failure counts; it has to be known, though, that the proxy was
scraped before. A counter that fell began anew at 0.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Final

from sluice.api.durations import format_duration
from sluice.planning.metrics import LONGEST_WINDOW, Point, RequestsQuestion, Series
from sluice.sources.base import BadAnswer
from sluice.sources.exposition import Sample
from sluice.sources.proxies import ProxySeries

STRETCH: Final = 60.0
"""By how many seconds a window may be longer than was asked for, where scrapes are far apart."""
_LONGEST: Final = LONGEST_WINDOW.total_seconds() + STRETCH
_MANY_PAGES: Final = 256
_RHYTHM: Final = 5
"""Scrapes that tell how far they are apart, of which some may have failed."""
_NEARNESS: Final = 0.02
"""Pages of a track that are this part of their age apart are near enough to each other."""


@dataclass(frozen=True)
class Counts:
    """Requests to one Service, since its proxy began or within a window."""

    requests: float = 0.0
    failures: float = 0.0
    bounds: tuple[float, ...] = ()
    """Upper bounds of the buckets of their duration, in seconds, rising; the last one may be infinite."""
    within: tuple[float, ...] = ()
    """Requests that took no longer, for each bound."""

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return self._joined(other, 1.0)

    def minus(self, other: Counts) -> Counts:
        """What is left of it without `other`."""
        return self._joined(other, -1.0)

    def since(self, before: Counts) -> Counts:
        """What was added to `before`. All of it where any counter fell: then it began anew."""
        grown = self.minus(before)
        fell = grown.requests < 0 or grown.failures < 0 or any(count < 0 for count in grown.within)
        return self if fell else grown

    def _joined(self, other: Counts, sign: float) -> Counts:
        requests, failures = self.requests + sign * other.requests, self.failures + sign * other.failures
        if self.bounds == other.bounds:
            within = tuple(a + sign * b for a, b in zip(self.within, other.within, strict=True))
            return Counts(requests, failures, other.bounds, within)
        mine = dict(zip(self.bounds, self.within, strict=True))
        others = dict(zip(other.bounds, other.within, strict=True))
        bounds = tuple(sorted({*mine, *others}))
        within = tuple(mine.get(bound, 0.0) + sign * others.get(bound, 0.0) for bound in bounds)
        return Counts(requests, failures, bounds, within)


@dataclass(frozen=True)
class Growth:
    """What was added to the counters of one proxy, in how many seconds."""

    counts: Counts
    seconds: float


# -- one scrape -------------------------------------------------------------------------------------------------------


def counted(proxy: ProxySeries, samples: Iterable[Sample]) -> dict[str, Counts]:
    """The counters of one scrape by the key of their Service, over all ports, methods and codes. Raises BadAnswer."""
    seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    requests: dict[str, tuple[float, float]] = {}
    buckets: dict[str, dict[float, float]] = {}
    for sample in samples:
        key = proxy.key_of(sample.labels.get(proxy.service, ""))
        if key is None:
            continue
        identity = (sample.name, frozenset(sample.labels.items()))
        if identity in seen:
            raise BadAnswer(f"a series of {sample.name} is there twice")
        seen.add(identity)
        if not (math.isfinite(sample.value) and sample.value >= 0):
            raise BadAnswer(f"a counter of {sample.name} is {sample.value:g}")
        if sample.name == proxy.requests:
            total, failed = requests.get(key, (0.0, 0.0))
            failure = sample.value if _failed(sample.labels.get(proxy.code, "")) else 0.0
            requests[key] = (total + sample.value, failed + failure)
        elif sample.name == proxy.buckets:
            row, bound = buckets.setdefault(key, {}), _bound(sample)
            row[bound] = row.get(bound, 0.0) + sample.value
    return {key: _counts(requests.get(key, (0.0, 0.0)), buckets.get(key, {})) for key in {*requests, *buckets}}


def _counts(requests: tuple[float, float], buckets: dict[float, float]) -> Counts:
    bounds = tuple(sorted(buckets))
    return Counts(*requests, bounds, tuple(buckets[bound] for bound in bounds))


def _failed(code: str) -> bool:
    return len(code) == 3 and code.startswith("5")


def _bound(sample: Sample) -> float:
    try:
        bound = float(sample.labels.get("le", ""))
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise BadAnswer(f"a bucket of {sample.name} has no bound")
    return bound


# -- scrapes over time ------------------------------------------------------------------------------------------------


class Track:
    """The counters of one Service at one proxy, scrape after scrape."""

    def __init__(self) -> None:
        self._raw: Counts | None = None
        self._pages: list[tuple[float, Counts]] = []
        """(moment, all that was added since the first one), oldest first."""

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def newest(self) -> float:
        """The moment of the newest scrape, in seconds; minus infinity before the first."""
        return self._pages[-1][0] if self._pages else -math.inf

    @property
    def rhythm(self) -> tuple[float, float] | None:
        """(Moment of the next scrape, seconds from one to the next), as the newest ones came; None: there are too few."""
        times = [at for at, _ in self._pages[-_RHYTHM - 1 :]]
        if len(times) < 2:
            return None
        every = median(later - earlier for earlier, later in pairwise(times))
        return times[-1] + every, every

    def add(self, at: float, counts: Counts, *, keep: float = _LONGEST, restarted: bool = False) -> None:
        """A scrape at `at`, in seconds; one that is not newer is passed over. What is older than `keep` is dropped.

        `restarted`: the proxy is known to have begun anew since the scrape before.
        """
        if at <= self.newest:
            return
        if self._raw is None:
            total = Counts(bounds=counts.bounds, within=(0.0,) * len(counts.bounds))
        else:
            total = self._pages[-1][1].plus(counts if restarted else counts.since(self._raw))
        self._raw = counts
        self._pages.append((at, total))
        drop = bisect_right(self._pages, at - keep, key=lambda page: page[0]) - 1
        if drop > 0:
            del self._pages[:drop]
        if len(self._pages) > _MANY_PAGES:
            self._thin(at)

    def _thin(self, now: float) -> None:
        """Drop pages that are near to each other for their age, so that their number stays bounded."""
        kept = self._pages[:1]
        for page in self._pages[1:-1]:
            if page[0] - kept[-1][0] >= _NEARNESS * (now - page[0]):
                kept.append(page)
        self._pages = [*kept, self._pages[-1]]

    def over(self, window: float, longest: float = math.inf) -> Growth | None:
        """What was added from `window` seconds before the newest scrape, or a little earlier; None: it is not known.

        `longest`: how many seconds before the newest scrape it may begin at most.
        """
        start = bisect_right(self._pages, self.newest - window, key=lambda page: page[0]) - 1
        if start < 0:
            return None
        at, total = self._pages[start]
        seconds = self.newest - at
        if seconds > min(window + STRETCH, longest):
            return None
        return Growth(self._pages[-1][1].minus(total), seconds)


# -- the number -------------------------------------------------------------------------------------------------------


def measured(question: RequestsQuestion, growths: Sequence[Growth | None], at: datetime) -> Series:
    """What the growth at all replicas of a proxy comes to at `at`."""
    known = [growth for growth in growths if growth is not None]
    if len(known) < len(growths) or not known:
        return doubtful(f"no history yet: {format_duration(question.window)} are not covered by samples")
    total = Counts()
    for growth in known:
        total = total.plus(growth.counts)
    latency = question.measure == "Latency"
    seen = (total.within[-1] if total.within else 0.0) if latency else total.requests
    if seen < question.min_requests:
        window = format_duration(timedelta(seconds=max(growth.seconds for growth in known)))
        return doubtful(f"{seen:g} requests within {window}, minRequests is {question.min_requests}")
    match question.measure:
        case "SuccessRate":
            return _number(1.0 - total.failures / total.requests, at)
        case "ErrorRate":
            return _number(total.failures / total.requests, at)
        case "Rate":
            return _number(sum(growth.counts.requests / growth.seconds for growth in known), at)
        case "Latency":
            return _latency(question.quantile, total, at)


def doubtful(why: str) -> Series:
    """An answer that is no evidence."""
    return Series({}, (), doubt=why)


def _number(value: float, at: datetime, floor: str = "") -> Series:
    return Series({}, (Point(at, value),), floor=floor)


def _latency(quantile: float, total: Counts, at: datetime) -> Series:
    value, beyond = quantile_of(quantile, total.bounds, total.within)
    if value is None:
        return doubtful("the proxy has no buckets of latency to take a quantile of")
    return _number(value, at, f"the quantile is beyond the proxy's last bucket, {value:g}s" if beyond else "")


def quantile_of(quantile: float, bounds: Sequence[float], within: Sequence[float]) -> tuple[float | None, bool]:
    """(The quantile, whether it is beyond the last finite bound, which then stands for it).

    As Prometheus' histogram_quantile: linear between the bounds of a bucket, of which the first begins at 0, and counts
    that fall from one bucket to the next are evened out. None without a finite bucket, an infinite one, or any request.
    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    counts, most = [], 0.0
    for count in within:
        most = max(most, count)
        counts.append(most)
    if len(bounds) < 2 or bounds[-1] != math.inf or counts[-1] <= 0:
        return None, False
    rank = quantile * counts[-1]
    index = next((n for n, count in enumerate(counts[:-1]) if count >= rank), None)
    if index is None:
        return bounds[-2], True
    upper = bounds[index]
    if index == 0 and upper <= 0:
        return upper, False
    lower, below = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
    inside = counts[index] - below
    # Rounding may not carry it out of its bucket.
    return (upper if inside <= 0 else min(upper, lower + (upper - lower) * (rank - below) / inside)), False
