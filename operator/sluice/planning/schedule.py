"""Ticks of a schedule. A tick is a moment at which a run is due; its data interval begins at the tick before.

Clock changes follow Debian's cron, as cronsim implements it: a line with a fixed hour whose local time is skipped runs once
right after the gap, one whose local time comes twice runs once; a line with `*` or `*/n` as its hour follows real time, so an
hourly line has 23 or 25 ticks on such a day. Every tick is a moment in UTC, so no two ticks are the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from sluice.api.pipeline import Schedule
from sluice.api.run import Interval
from sluice.api.schema import FieldError, invalid, not_found

ENUMERATION_LIMIT = 1000
"""Ticks looked at when catching up: the newest so many. A minute-line that was down for a day has 1,440."""


@dataclass(frozen=True)
class Tick:
    """A moment at which a run is due, with the data interval that it covers."""

    at: datetime
    interval: Interval


def zone(name: str) -> ZoneInfo:
    """The IANA zone `name`. KeyError when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise KeyError(name) from error


def check_schedule(schedule: Schedule, field: str) -> Iterator[FieldError]:
    """What is wrong with a schedule beyond its shape."""
    try:
        zone(schedule.time_zone)
    except KeyError:
        yield not_found(
            f"{field}.timeZone", schedule.time_zone, "must be an IANA time zone such as Asia/Kolkata or UTC"
        )
    for index, line in enumerate(schedule.cron):
        at = f"{field}.cron[{index}]"
        fields = len(line.split())
        if fields != 5:
            yield invalid(at, line, f"must have five fields (minute hour day month weekday), not {fields}")
            continue
        try:
            next(CronSim(line, datetime(2024, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            yield invalid(at, line, f"is no cron line: {error}")
        except StopIteration:
            yield invalid(at, line, "never comes")
    if schedule.start is not None and schedule.end is not None and schedule.start >= schedule.end:
        yield invalid(f"{field}.end", schedule.end.isoformat(), "must be after start")


def _moments(schedule: Schedule, origin: datetime, *, reverse: bool) -> Iterator[datetime]:
    """The ticks after (or, in reverse, before) `origin`, nearest first, without twins, all lines together."""
    local = origin.astimezone(zone(schedule.time_zone))
    lines = [CronSim(line, local, reverse=reverse) for line in schedule.cron]
    heads: list[datetime | None] = [_next(line) for line in lines]
    while True:
        alive = [head for head in heads if head is not None]
        if not alive:
            return
        nearest = max(alive) if reverse else min(alive)
        yield nearest
        heads = [_next(line) if head == nearest else head for line, head in zip(lines, heads, strict=True)]


def _next(line: CronSim) -> datetime | None:
    moment = next(line, None)
    return None if moment is None else moment.astimezone(UTC)


def next_tick(schedule: Schedule, after: datetime) -> datetime | None:
    """The first tick later than `after`, within start and end; None when there is none."""
    if schedule.start is not None:
        after = max(after, schedule.start - timedelta(seconds=1))
    for moment in _moments(schedule, after, reverse=False):
        return None if schedule.end is not None and moment > schedule.end else moment
    return None


def previous_tick(schedule: Schedule, before: datetime) -> datetime | None:
    """The last tick earlier than `before`, whatever start says: the begin of the first interval lies before it."""
    return next(_moments(schedule, before, reverse=True), None)


def tick_at(schedule: Schedule, moment: datetime) -> Tick:
    """The tick at `moment`, with its interval."""
    return Tick(moment, Interval(start=previous_tick(schedule, moment) or moment, end=moment))


def last_complete_interval(schedule: Schedule, now: datetime) -> Interval | None:
    """The newest interval that had ended by `now`."""
    end = previous_tick(schedule, now + timedelta(seconds=1))
    return tick_at(schedule, end).interval if end is not None else None


def due_ticks(schedule: Schedule, after: datetime, now: datetime) -> list[datetime]:
    """The ticks in (after, now], oldest first; of very many only the newest ENUMERATION_LIMIT."""
    found: list[datetime] = []
    for moment in _moments(schedule, now + timedelta(microseconds=1), reverse=True):
        if moment <= after or len(found) == ENUMERATION_LIMIT:
            break
        if (schedule.start is None or moment >= schedule.start) and (schedule.end is None or moment <= schedule.end):
            found.append(moment)
    return found[::-1]
