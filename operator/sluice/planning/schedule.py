"""Ticks of a schedule. A tick is a moment at which a run is due; its data interval begins at the tick before.

Clock changes follow Debian's cron, as cronsim implements it: a line with a fixed hour whose local time is skipped runs once
right after the gap, one whose local time comes twice runs once; a line with `*` or `*/n` as its hour follows real time, so an
hourly line has 23 or 25 ticks on such a day. Every tick is a moment in UTC, so no two ticks are the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from sluice.api.pipeline import Schedule
from sluice.api.run import Interval
from sluice.api.schema import FieldError, invalid, not_found

ENUMERATION_LIMIT = 1000
"""Ticks looked at when catching up: the newest so many. A minute-line that was down for a day has 1,440."""

_HORIZON = timedelta(days=366 * 50)
"""cronsim gives up on a line that does not come for so long."""
_INSTANT = timedelta(microseconds=1)


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


def _after(schedule: Schedule, origin: datetime) -> Iterator[datetime]:
    """The ticks later than `origin`, in order, all lines together, without twins."""
    local = origin.astimezone(zone(schedule.time_zone))
    lines = [CronSim(line, local) for line in schedule.cron]
    heads = [_later(line, origin) for line in lines]
    while alive := [head for head in heads if head is not None]:
        nearest = min(alive)
        yield nearest
        heads = [_later(line, nearest) if head == nearest else head for line, head in zip(lines, heads, strict=True)]


def _later(line: CronSim, moment: datetime) -> datetime | None:
    """The next tick of `line` later than `moment`: in a repeated hour cronsim begins with those of its first time."""
    for tick in line:
        utc: datetime = tick.astimezone(UTC)
        if utc > moment:
            return utc
    return None


def _before(schedule: Schedule, origin: datetime, oldest: datetime) -> Iterator[datetime]:
    """The ticks in (oldest, origin), newest first.

    Enumerated forward, window by window, each twice as long as the one before: both directions are the same ticks then,
    whatever the clock does. (cronsim's own reverse order misses ticks when it begins inside a repeated hour.)
    """
    end, width = origin, timedelta(hours=1)
    while end > oldest:
        begin = max(oldest, end - width)
        window = takewhile(lambda moment, end=end: moment < end, _after(schedule, begin))  # type: ignore[misc]
        yield from reversed(list(window))
        # A tick at the very begin of a window belongs to the next one.
        end, width = begin + _INSTANT if begin > oldest else oldest, width * 2


def next_tick(schedule: Schedule, after: datetime) -> datetime | None:
    """The first tick later than `after`, within start and end; None when there is none."""
    if schedule.start is not None:
        after = max(after, schedule.start - _INSTANT)
    moment = next(_after(schedule, after), None)
    return None if moment is None or (schedule.end is not None and moment > schedule.end) else moment


def previous_tick(schedule: Schedule, before: datetime) -> datetime | None:
    """The last tick earlier than `before`, whatever start says: the begin of the first interval lies before it."""
    return next(_before(schedule, before, before - _HORIZON), None)


def tick_at(schedule: Schedule, moment: datetime) -> Tick:
    """The tick at `moment`, with its interval."""
    return Tick(moment, Interval(start=previous_tick(schedule, moment) or moment, end=moment))


def last_complete_interval(schedule: Schedule, now: datetime) -> Interval | None:
    """The newest interval that had ended by `now`."""
    end = previous_tick(schedule, now + timedelta(seconds=1))
    return tick_at(schedule, end).interval if end is not None else None


def due_ticks(schedule: Schedule, after: datetime, now: datetime) -> list[datetime]:
    """The ticks in (after, now], oldest first; of very many only the newest ENUMERATION_LIMIT."""
    oldest = after if schedule.start is None else max(after, schedule.start - _INSTANT)
    newest = now if schedule.end is None else min(now, schedule.end)
    return list(islice(_before(schedule, newest + _INSTANT, oldest), ENUMERATION_LIMIT))[::-1]
