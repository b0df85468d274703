"""From what was seen of a fault to how long it lasted, and where the time went. Pure.

injected ------------> decided ------------> routed ------------> last answer
          metric                 write                proxy

Times are seconds since 1970, of one clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dev.bench.figures import Figure, percentile
from dev.bench.requests import Answer

OK = 200
BAR = 50
"""Characters of the longest bar of a histogram."""
MOST_TIMES = 5
"""Moments that are named of requests that failed."""
PARTS = ("metric", "write", "proxy", "whole")


class NoAnswer(Exception):
    """The candidate answered nothing after its fault."""


@dataclass(frozen=True)
class Fault:
    """One fault, from its injection to the last answer of the version that had it."""

    injected: float
    first: float
    """First bad answer at the client; NaN when no client met the fault."""
    decided: float
    """As the status says."""
    routed: float
    """When a watch showed a route without requests for the candidate."""
    last: float
    """Last answer by the candidate, good or bad."""
    last_sent: float
    """When the last request was sent that the candidate answered."""
    met: int
    """Bad answers of the candidate."""

    @property
    def parts(self) -> dict[str, float]:
        """Seconds of each of PARTS; `proxy` is less than 0 where the last answer came before the watch's event."""
        return {
            "metric": self.decided - self.injected,
            "write": self.routed - self.decided,
            "proxy": self.last - self.routed,
            "whole": self.last - self.injected,
        }


def fault_of(
    injected: float, decided: float, routed: float, answers: Iterable[Answer], *, candidate: str, slow: float = math.inf
) -> Fault:
    """What `answers` say of a fault of the version `candidate`; those that took `slow` seconds are bad too.

    Raises NoAnswer.
    """
    after = [answer for answer in answers if answer.ended >= injected]
    ours = [answer for answer in after if answer.version == candidate]
    if not ours:
        raise NoAnswer(f"none of {len(after)} answers after the fault is by {candidate}")
    bad = [answer for answer in ours if answer.status != OK or answer.seconds >= slow]
    return Fault(
        injected,
        min((answer.ended for answer in bad), default=math.nan),
        decided,
        routed,
        max(answer.ended for answer in ours),
        max(answer.sent for answer in ours),
        len(bad),
    )


def strays(answers: Sequence[Answer], candidate: str) -> Figure:
    """Requests that failed and were not answered by the candidate, by status (0: no answer) and time: nothing should make any."""
    found = sorted((answer for answer in answers if answer.status != OK and answer.version != candidate), key=_ended)
    kinds = "".join(
        f"; {count} with {status}" for status, count in sorted(Counter(one.status for one in found).items())
    )
    times = list(dict.fromkeys(f"{datetime.fromtimestamp(one.ended, UTC):%H:%M:%S}" for one in found))
    when = f"; at {', '.join(times[:MOST_TIMES])}{' and later' if len(times) > MOST_TIMES else ''}" if times else ""
    return Figure("rollback-stray", float(len(found)), "requests", f"of {len(answers)}{kinds}{when}")


def _ended(answer: Answer) -> float:
    return answer.ended


def histogram(samples: Sequence[float], width: float = 0.25) -> str:
    """One line for each `width` seconds between the least and the most; empty ranges in between are shown."""
    counts: dict[int, int] = {}
    for sample in samples:
        place = math.floor(sample / width + 1e-9)
        counts[place] = counts.get(place, 0) + 1
    if not counts:
        return "no samples"
    most = max(counts.values())
    return "\n".join(
        f"{place * width:6.2f} to {(place + 1) * width:5.2f} s {counts.get(place, 0):5} "
        f"{'#' * math.ceil(counts.get(place, 0) * BAR / most)}".rstrip()
        for place in range(min(counts), max(counts) + 1)
    )


def parts_table(faults: Sequence[Fault]) -> str:
    """Median, p90, p99 and the most of each part, in seconds."""
    rows = [("part", *_HEADS), *((name, *_row([fault.parts[name] for fault in faults])) for name in PARTS)]
    rows.append(("first bad answer", *_row([fault.first - fault.injected for fault in faults if fault.met])))
    rows.append(("last request sent", *_row([fault.last_sent - fault.injected for fault in faults])))
    return "\n".join(f"{name:18}" + "".join(f"{value:>9}" for value in values) for name, *values in rows)


_HEADS = ("median", "p90", "p99", "most")


def _row(samples: Sequence[float]) -> tuple[str, ...]:
    values = (*(percentile(samples, share) for share in (0.5, 0.9, 0.99)), max(samples, default=math.nan))
    return tuple(f"{value:.3f}" for value in values)


def figures_of(name: str, faults: Sequence[Fault]) -> list[Figure]:
    """The whole time and the requests that met the fault, for `name` as in ranges.yaml."""
    whole = [fault.parts["whole"] for fault in faults]
    met = [float(fault.met) for fault in faults]
    return [
        Figure(f"{name}-p50", percentile(whole, 0.5), "s", f"{len(faults)} faults"),
        Figure(f"{name}-p99", percentile(whole, 0.99), "s", f"most {max(whole, default=math.nan):.3f}"),
        Figure(f"{name}-met", percentile(met, 0.5), "requests", f"most {max(met, default=math.nan):g}"),
    ]
