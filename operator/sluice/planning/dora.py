"""DORA's four keys of the records of rollouts: how often, how fast, how many fail, how long until it is good again. Pure.

    taken_back       which promoted rollouts were undone, and by which
    four_keys        the keys of one canary, or of several together

The bands are the clusters of "Accelerate State of DevOps Report 2024" (DORA, 2024), the newest report that has them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sluice.api.canary_status import RolloutRecord
from sluice.api.pipeline import Delivery
from sluice.planning.canary_history import MAX_ROLLOUTS

FEW: Final = 5
"""Fewer values than this are shown and not judged."""
WITHIN: Final = timedelta(days=7)
"""How long after its promotion a revision may be taken back and count as a failure."""
SHORTEST: Final = timedelta(days=1)
"""Rollouts of less time are counted as of a day, so that one in the first minutes is not hundreds a day."""

Seconds = float


@dataclass(frozen=True)
class History:
    """What is known of the rollouts of a Canary, or of the deliveries of a DataPipeline."""

    namespace: str
    name: str
    created: datetime | None
    """When the object was made; None: not known."""
    rollouts: Sequence[RolloutRecord]
    """Oldest first."""
    kind: str = "Canary"
    """Canary or DataPipeline."""


@dataclass(frozen=True)
class Lengths:
    """Lengths of time, in seconds. Median and 90th percentile are None without any."""

    count: int
    median: Seconds | None
    p90: Seconds | None


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The four keys over a stretch of time."""

    since: datetime
    until: datetime
    outcomes: Mapping[str, int]
    """How many rollouts ended, by outcome."""
    frequency: float
    """Promotions a day."""
    lead: Lengths
    """From commit to production, of promoted changes whose commit time is known."""
    without_commit_time: int
    """Promoted changes whose commit time is not known."""
    failed: int
    """Changes that were rolled back, or promoted and taken back in time."""
    failed_unserved: int
    """Those of `failed` that no request had reached."""
    came: int
    """Changes that came to an end of their own: promoted, or failed."""
    restore: Lengths
    """From the fault to the last request at a good version."""
    backwards: int
    """Lengths that are left out, as a clock ran backwards."""
    cut: bool
    """Whether older records of these canaries are gone, so that less time is looked at than was asked for."""

    @property
    def rollouts(self) -> int:
        """Rollouts that ended."""
        return sum(self.outcomes.values())

    @property
    def promoted(self) -> int:
        """Rollouts that were promoted."""
        return self.outcomes.get("Promoted", 0)

    @property
    def failure_rate(self) -> float | None:
        """Share of the changes that failed, from 0 to 1; None when none came."""
        return self.failed / self.came if self.came else None

    @property
    def bands(self) -> Mapping[str, str | None]:
        """DORA's band of each key; None where there are too few values."""
        rate, lead, restore = self.failure_rate, self.lead, self.restore
        return {
            "frequency": band_of_frequency(self.frequency) if self.promoted >= FEW else None,
            "lead": band_of_lead(lead.median) if lead.median is not None and lead.count >= FEW else None,
            "failures": band_of_failures(rate) if rate is not None and self.came >= FEW else None,
            "restore": band_of_restore(restore.median) if restore.median is not None and restore.count >= FEW else None,
        }


@dataclass(frozen=True)
class Undone:
    """A promoted rollout that was taken back by a later one."""

    rollout: RolloutRecord
    by: RolloutRecord

    @property
    def seconds(self) -> Seconds:
        """From the promotion of the one to that of the other."""
        return (self.by.ended_at - self.rollout.ended_at).total_seconds()


def taken_back(rollouts: Sequence[RolloutRecord], within: timedelta = WITHIN) -> tuple[Undone, ...]:
    """The promoted changes that a revision from before them took the place of, at most `within` after their promotion.

    A return to an earlier revision is no change, and is not taken back itself."""
    promoted = [row for row in rollouts if row.outcome == "Promoted"]
    found = []
    for place, row in enumerate(promoted):
        since: set[str] = {row.revision}
        for later in promoted[place + 1 :]:
            if not row.again and later.again and later.revision not in since:
                if later.ended_at - row.ended_at <= within:
                    found.append(Undone(row, later))
                break
            since.add(later.revision)
    return tuple(found)


def delivered(rows: Iterable[Delivery]) -> tuple[RolloutRecord, ...]:
    """Deliveries of a pipeline as promotions: what a run that succeeds delivers is in use."""
    return tuple(
        RolloutRecord(
            round=place,
            revision=row.revision,
            outcome="Promoted",
            reason="Delivered",
            commit=row.commit,
            commit_time=row.commit_time,
            ended_at=row.delivered_at,
            again=row.again,
        )
        for place, row in enumerate(rows, start=1)
    )


def lead_time(row: RolloutRecord) -> Seconds | None:
    """From the commit to production; None where it is not known, or was not reached. Below 0: a clock ran backwards."""
    if row.outcome != "Promoted" or row.commit_time is None:
        return None
    return (row.ended_at - row.commit_time).total_seconds()


def time_to_restore(row: RolloutRecord) -> Seconds | None:
    """From the fault that was seen until all requests were sent back; None where no request had reached the candidate."""
    if row.failed_at is None or row.restored_at is None or row.requests_at is None:
        return None
    return (row.restored_at - row.failed_at).total_seconds()


def four_keys(histories: Iterable[History], now: datetime, window: timedelta, within: timedelta = WITHIN) -> Keys:
    """The keys of all `histories` together, over the time of `window` up to `now`."""
    parts = [_part(history, now - window, within) for history in histories]
    start = min((part.since for part in parts), default=now - window)
    rows = [row for part in parts for row in part.rows]
    undone = [row for part in parts for row in part.undone]
    outcomes: dict[str, int] = {}
    for row in rows:
        outcomes[row.outcome] = outcomes.get(row.outcome, 0) + 1
    changes = [row for row in rows if not row.again]
    promoted = [row for row in changes if row.outcome == "Promoted"]
    bad = [row for row in changes if _failed(row)]
    leads = [seconds for row in promoted if (seconds := lead_time(row)) is not None]
    restores = [seconds for row in rows if (seconds := time_to_restore(row)) is not None]
    restores += [row.seconds for row in undone]
    days = max(now - start, SHORTEST) / timedelta(days=1)
    return Keys(
        since=start,
        until=now,
        outcomes=outcomes,
        frequency=outcomes.get("Promoted", 0) / days,
        lead=_lengths(leads),
        without_commit_time=len(promoted) - len(leads),
        failed=len(bad) + len(undone),
        failed_unserved=sum(row.requests_at is None for row in bad),
        came=len(promoted) + len(bad),
        restore=_lengths(restores),
        backwards=sum(seconds < 0 for seconds in (*leads, *restores)),
        cut=any(part.cut for part in parts),
    )


@dataclass(frozen=True)
class _Part:
    since: datetime
    rows: Sequence[RolloutRecord]
    undone: Sequence[Undone]
    cut: bool


def _part(history: History, start: datetime, within: timedelta) -> _Part:
    """What counts of one canary: a full list says nothing of the time before its first record."""
    rollouts = history.rollouts
    ends = [row.ended_at for row in rollouts]
    full = len(rollouts) >= MAX_ROLLOUTS and min(ends) > start
    known = min(ends) if full else min((one for one in (history.created, *ends) if one is not None), default=start)
    since = max(start, known)
    undone = [row for row in taken_back(rollouts, within) if row.rollout.ended_at >= since]
    return _Part(since, [row for row in rollouts if row.ended_at >= since], undone, full)


def _failed(row: RolloutRecord) -> bool:
    """Whether it failed before it was promoted. What a person withdrew before any request reached it has not."""
    withdrawn = row.outcome in ("Aborted", "Reverted") and row.requests_at is not None
    return row.outcome == "RolledBack" or withdrawn


def _lengths(values: Sequence[Seconds]) -> Lengths:
    good = sorted(value for value in values if value >= 0)
    return Lengths(len(good), percentile(good, 0.5), percentile(good, 0.9))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value below which `share` of the ordered values lie, between two of them in proportion; None without any."""
    if not ordered:
        return None
    place = (len(ordered) - 1) * share
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


# -- bands ------------------------------------------------------------------------------------------------------------

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR


def band_of_frequency(a_day: float) -> str:
    """More than one a day, one a week, one a month (of 30 days)."""
    if a_day > 1:
        return "Elite"
    if a_day >= 1 / 7:
        return "High"
    return "Medium" if a_day >= 1 / 30 else "Low"


def band_of_lead(seconds: Seconds) -> str:
    """Less than a day, a week, a month (of 30 days)."""
    if seconds < _DAY:
        return "Elite"
    if seconds < 7 * _DAY:
        return "High"
    return "Medium" if seconds < 30 * _DAY else "Low"


def band_of_failures(rate: float) -> str:
    """At most 5 %, at most 20 %. The report's Medium has 10 %, less than its High: it is no band of its own here."""
    if rate <= 0.05:
        return "Elite"
    return "High" if rate <= 0.2 else "Low"


def band_of_restore(seconds: Seconds) -> str:
    """Less than an hour, less than a day. The report's Medium is less than a day too."""
    if seconds < _HOUR:
        return "Elite"
    return "High" if seconds < _DAY else "Low"
