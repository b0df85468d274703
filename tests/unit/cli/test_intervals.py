"""Data intervals on the command line."""

from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest

from sluice.api.pipeline import Schedule
from sluice.cli.errors import CliError
from sluice.cli.intervals import interval_of_day, parse_interval, zone_of

KOLKATA = ZoneInfo("Asia/Kolkata")
NEW_YORK = ZoneInfo("America/New_York")


def shown(interval: object) -> dict[str, str]:
    return interval.to_dict()  # type: ignore[attr-defined,no-any-return]


def test_a_day_is_from_midnight_to_midnight_in_the_zone() -> None:
    expected = {"start": "2013-01-14T18:30:00Z", "end": "2013-01-15T18:30:00Z"}
    assert shown(interval_of_day("2013-01-15", KOLKATA)) == expected


@pytest.mark.parametrize(("day", "hours"), [("2024-03-10", 23), ("2024-11-03", 25), ("2024-06-01", 24)])
def test_a_day_on_which_the_clocks_change_has_another_length(day: str, hours: int) -> None:
    interval = interval_of_day(day, NEW_YORK)
    assert interval.end - interval.start == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2013-01-01/2013-01-03", "2012-12-31T18:30:00Z", "2013-01-02T18:30:00Z"),
        ("2013-01-01T06:00/2013-01-01T07:30", "2013-01-01T00:30:00Z", "2013-01-01T02:00:00Z"),
        ("2013-01-01T06:00Z/2013-01-01T06:00:30Z", "2013-01-01T06:00:00Z", "2013-01-01T06:00:30Z"),
        ("2013-01-01T06:00+02:00/2013-01-02", "2013-01-01T04:00:00Z", "2013-01-01T18:30:00Z"),
        ("2013-01-01/2013-01-01", "2012-12-31T18:30:00Z", "2012-12-31T18:30:00Z"),
    ],
)
def test_an_interval_without_a_zone_is_in_that_of_the_schedule(text: str, start: str, end: str) -> None:
    assert shown(parse_interval(text, KOLKATA)) == {"start": start, "end": end}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2013-01-01", "must be START/END, such as 2013-01-01/2013-01-02"),
        ("2013-01-02/2013-01-01", "START must not be after END"),
        ("yesterday/2013-01-01", '"yesterday" is no time; write it as 2013-01-01 or 2013-01-01T06:00:00Z'),
        ("2013-01-01/2013-13-01", '"2013-13-01" is no time'),
        ("2013-01-01/", '"" is no time'),
    ],
)
def test_a_wrong_interval_is_refused(text: str, words: str) -> None:
    with pytest.raises(CliError, match="--interval") as caught:
        parse_interval(text, UTC)
    assert words in str(caught.value)


def test_a_wrong_day_is_refused() -> None:
    with pytest.raises(CliError, match="must be a date such as 2013-01-31"):
        interval_of_day("31.1.2013", UTC)


def test_the_zone_is_that_of_the_schedule_else_utc() -> None:
    assert zone_of(Schedule(cron=["0 6 * * *"], time_zone="Asia/Kolkata")) == KOLKATA
    assert zone_of(None) is UTC
