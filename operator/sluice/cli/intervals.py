"""`--interval START/END` and `--day DATE`: text to a data interval. Times without a zone are in the schedule's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo

from sluice.api.pipeline import Schedule
from sluice.api.run import Interval
from sluice.cli.errors import CliError, Exit
from sluice.planning.schedule import zone


def zone_of(schedule: Schedule | None) -> tzinfo:
    """The zone in which the user's dates are meant."""
    return zone(schedule.time_zone) if schedule is not None else UTC


def interval_of_day(text: str, place: tzinfo) -> Interval:
    """From midnight to midnight. Such a day has 23 or 25 hours when the clocks change."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CliError(f"--day {text}: must be a date such as 2013-01-31", Exit.USAGE) from None
    return Interval(start=_midnight(day, place), end=_midnight(day + timedelta(days=1), place))


def parse_interval(text: str, place: tzinfo) -> Interval:
    """START/END, each a date or an ISO 8601 time."""
    first, separator, last = text.partition("/")
    if not separator:
        raise CliError(f"--interval {text}: must be START/END, such as 2013-01-01/2013-01-02", Exit.USAGE)
    interval = Interval(start=_moment(first, text, place), end=_moment(last, text, place))
    if interval.start > interval.end:
        raise CliError(f"--interval {text}: START must not be after END", Exit.USAGE)
    return interval


def _moment(part: str, text: str, place: tzinfo) -> datetime:
    try:
        return _midnight(date.fromisoformat(part), place)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(part)
    except ValueError:
        example = "2013-01-01 or 2013-01-01T06:00:00Z"
        raise CliError(f'--interval {text}: "{part}" is no time; write it as {example}', Exit.USAGE) from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=place)).astimezone(UTC)


def _midnight(day: date, place: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=place).astimezone(UTC)
