"""Ticks: clock changes, several lines, bounds, long downtime."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sluice.api.pipeline import Schedule
from sluice.planning.schedule import (
    ENUMERATION_LIMIT,
    check_schedule,
    due_ticks,
    last_complete_interval,
    next_tick,
    previous_tick,
    tick_at,
    zone,
)

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Santiago",
    "Africa/Cairo",
)


def schedule(*cron: str, zone: str = "UTC", **fields: Any) -> Schedule:
    return Schedule.model_validate({"cron": list(cron), "timeZone": zone, **fields})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def forward(line: Schedule, begin: datetime, end: datetime) -> list[datetime]:
    """The ticks in (begin, end], one by one."""
    found = []
    moment = next_tick(line, begin)
    while moment is not None and moment <= end:
        found.append(moment)
        moment = next_tick(line, moment)
    return found


def in_words(line: Schedule, begin: str, end: str) -> list[str]:
    return [f"{moment:%m-%dT%H:%M}" for moment in forward(line, utc(begin), utc(end))]


# -- clock changes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "zone_name", "begin", "end", "ticks"),
    [
        pytest.param(
            "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-30T12:00", ["03-29T01:00", "03-30T00:30"],
            id="a line in the skipped hour runs once, right after the gap",
        ),
        pytest.param(
            "15,45 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T12:00", ["03-29T01:00"],
            id="two ticks in the skipped hour become one",
        ),
        pytest.param(
            "0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T12:00", ["03-29T01:00"],
            id="a skipped tick that meets a real one is not a twin of it",
        ),
        pytest.param(
            "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", "2026-10-26T12:00", ["10-25T00:30", "10-26T01:30"],
            id="a line in the repeated hour runs once, the first time",
        ),
        pytest.param(
            "0 */1 * * *", "Europe/Berlin", "2026-03-28T23:30", "2026-03-29T03:30",
            ["03-29T00:00", "03-29T01:00", "03-29T02:00", "03-29T03:00"],
            id="an hourly line follows real time over the gap",
        ),
        pytest.param(
            "0 * * * *", "Europe/Berlin", "2026-10-24T22:30", "2026-10-25T03:30",
            ["10-24T23:00", "10-25T00:00", "10-25T01:00", "10-25T02:00", "10-25T03:00"],
            id="an hourly line runs in both of the repeated hours",
        ),
        pytest.param(
            "30 2 * * *", "America/New_York", "2026-03-07T12:00", "2026-03-09T12:00", ["03-08T07:00", "03-09T06:30"],
            id="the gap of New York",
        ),
        pytest.param(
            "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", "2026-10-04T20:00", ["10-03T15:30", "10-04T15:15"],
            id="a gap of half an hour",
        ),
        pytest.param(
            "0 6 * * *", "Asia/Kolkata", "2026-03-28T12:00", "2026-03-30T12:00", ["03-29T00:30", "03-30T00:30"],
            id="a zone without clock changes",
        ),
        pytest.param(
            "0 0 29 2 *", "UTC", "2026-01-01T00:00", "2033-01-01T00:00", ["02-29T00:00", "02-29T00:00"],
            id="a leap day comes every four years",
        ),
    ],
)  # fmt: skip
def test_ticks_at_clock_changes(cron: str, zone_name: str, begin: str, end: str, ticks: list[str]) -> None:
    assert in_words(schedule(cron, zone=zone_name), begin, end) == ticks


def test_inside_a_repeated_hour_the_next_tick_lies_in_the_future() -> None:
    line = schedule("30 2 * * *", zone="Europe/Berlin")
    second_time = utc("2026-10-25T01:10")  # 02:10 for the second time; 02:30 came at 00:30 UTC
    assert next_tick(line, second_time) == utc("2026-10-26T01:30")


def test_inside_a_repeated_hour_the_tick_of_the_first_is_not_forgotten() -> None:
    line = schedule("30 2 * * *", zone="Europe/Berlin")
    second_time = utc("2026-10-25T01:10")
    assert previous_tick(line, second_time) == utc("2026-10-25T00:30")
    assert due_ticks(line, utc("2026-10-24T12:00"), second_time) == [utc("2026-10-25T00:30")]


# -- several lines, bounds, downtime ----------------------------------------------------------------------------------


def test_several_lines_are_merged_in_order_without_twins() -> None:
    line = schedule("0 6 * * *", "0 */6 * * *", "30 5 * * 1")
    assert in_words(line, "2026-03-02T00:00", "2026-03-02T18:00") == [
        "03-02T05:30",
        "03-02T06:00",
        "03-02T12:00",
        "03-02T18:00",
    ]


def test_start_and_end_are_included() -> None:
    line = schedule("0 6 * * *", start="2026-03-02T06:00:00Z", end="2026-03-04T06:00:00Z")
    begin, end = utc("2026-01-01T00:00"), utc("2027-01-01T00:00")
    days = [utc(f"2026-03-0{day}T06:00") for day in (2, 3, 4)]
    assert forward(line, begin, end) == days
    assert due_ticks(line, begin, end) == days


def test_a_start_between_two_seconds_is_not_rounded_down() -> None:
    line = schedule("0 6 * * *", start="2026-03-02T06:00:00.500Z")
    assert next_tick(line, utc("2026-01-01T00:00")) == utc("2026-03-03T06:00")


def test_after_the_end_no_tick_comes() -> None:
    line = schedule("* * * * *", end="2026-03-02T06:00:00Z")
    assert next_tick(line, utc("2026-03-02T06:00")) is None


def test_ticks_before_an_end_long_ago_are_found_without_counting_through_the_years_since() -> None:
    line = schedule("* * * * *", end="2016-03-02T06:00:00Z")
    found = due_ticks(line, utc("2016-03-02T05:00"), utc("2026-03-02T06:00"))
    assert (len(found), found[0], found[-1]) == (60, utc("2016-03-02T05:01"), utc("2016-03-02T06:00"))


def test_the_first_interval_begins_before_start() -> None:
    line = schedule("0 6 * * *", start="2026-03-02T06:00:00Z")
    tick = tick_at(line, utc("2026-03-02T06:00"))
    assert (tick.interval.start, tick.interval.end) == (utc("2026-03-01T06:00"), utc("2026-03-02T06:00"))


def test_the_first_of_the_two_bounds_of_due_ticks_is_excluded_the_second_included() -> None:
    line = schedule("0 6 * * *")
    assert due_ticks(line, utc("2026-03-02T06:00"), utc("2026-03-03T06:00")) == [utc("2026-03-03T06:00")]
    assert due_ticks(line, utc("2026-03-03T06:00"), utc("2026-03-03T06:00")) == []
    assert due_ticks(line, utc("2026-03-03T06:00"), utc("2026-03-02T06:00")) == []


def test_of_a_long_downtime_the_newest_ticks_are_due() -> None:
    now = utc("2026-03-02T06:00")
    found = due_ticks(schedule("* * * * *"), now - timedelta(days=30), now)
    assert len(found) == ENUMERATION_LIMIT
    assert found == [now - timedelta(minutes=ENUMERATION_LIMIT - 1 - index) for index in range(ENUMERATION_LIMIT)]


@pytest.mark.parametrize(
    ("now", "begin", "end"),
    [
        pytest.param("2026-03-02T06:00:00", "2026-03-01T06:00", "2026-03-02T06:00", id="at a tick"),
        pytest.param("2026-03-02T05:59:59", "2026-02-28T06:00", "2026-03-01T06:00", id="just before a tick"),
        pytest.param("2026-03-02T23:00:00", "2026-03-01T06:00", "2026-03-02T06:00", id="long after a tick"),
    ],
)
def test_the_last_complete_interval(now: str, begin: str, end: str) -> None:
    found = last_complete_interval(schedule("0 6 * * *"), utc(now))
    assert found is not None
    assert (found.start, found.end) == (utc(begin), utc(end))


# -- both directions --------------------------------------------------------------------------------------------------


def _numbers(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        number.map(str),
        st.lists(number, min_size=2, max_size=3, unique=True).map(lambda found: ",".join(map(str, found))),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.integers(2, 7).map(lambda size: f"*/{size}"),
        st.just("*"),
    )


CRON = st.tuples(
    _numbers(0, 59), _numbers(0, 23), st.one_of(st.just("*"), _numbers(1, 28)), st.just("*"), _numbers(0, 6)
).map(" ".join)


def _near_a_clock_change(name: str) -> list[datetime]:
    local = ZoneInfo(name)
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=count) for count in range(366 * 24)]
    return [
        later for earlier, later in pairwise(hours)
        if earlier.astimezone(local).utcoffset() != later.astimezone(local).utcoffset()
    ]  # fmt: skip


CHANGES = {name: _near_a_clock_change(name) or [datetime(2026, 2, 28, tzinfo=UTC)] for name in ZONES}


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    name = draw(st.sampled_from(ZONES))
    change = draw(st.sampled_from(CHANGES[name]))
    return name, change + timedelta(seconds=draw(st.integers(-30 * 3600, 30 * 3600)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cron=st.lists(CRON, min_size=1, max_size=3), where=moments())
@example(cron=["30 2 * * *"], where=("Europe/Berlin", datetime(2026, 10, 25, 1, 10, tzinfo=UTC)))
def test_forward_and_reverse_are_the_same_ticks(cron: list[str], where: tuple[str, datetime]) -> None:
    name, begin = where
    line = schedule(*cron, zone=name)
    end = begin + timedelta(hours=30)
    there = forward(line, begin, end)
    assert due_ticks(line, begin, end) == there[-ENUMERATION_LIMIT:]
    there = there[-40:]
    assert all(one < other for one, other in pairwise(there))
    for one, other in pairwise(there):
        assert previous_tick(line, other) == one
        between = one + (other - one) / 2
        assert next_tick(line, between) == other
        assert previous_tick(line, between) == one


# -- what is refused --------------------------------------------------------------------------------------------------


def errors(line: Schedule) -> list[str]:
    return [str(error) for error in check_schedule(line, "spec.schedule")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(
            schedule("0 6 * *"),
            'spec.schedule.cron[0]: Invalid value: "0 6 * *": '
            "must have five fields (minute hour day month weekday), not 4",
            id="four fields",
        ),
        pytest.param(
            schedule("0 6 * * *", "0 0 6 * * *"),
            'spec.schedule.cron[1]: Invalid value: "0 0 6 * * *": '
            "must have five fields (minute hour day month weekday), not 6",
            id="six fields",
        ),
        pytest.param(
            schedule("61 6 * * *"),
            'spec.schedule.cron[0]: Invalid value: "61 6 * * *": is no cron line: Bad minute',
            id="a minute that does not exist",
        ),
        pytest.param(
            schedule("0 0 31 2 *"),
            'spec.schedule.cron[0]: Invalid value: "0 0 31 2 *": is no cron line: Bad day-of-month',
            id="a day that never comes",
        ),
        pytest.param(
            schedule("0 6 * * *", zone="Mars/Olympus"),
            'spec.schedule.timeZone: Not found: "Mars/Olympus": must be an IANA time zone such as Asia/Kolkata or UTC',
            id="an unknown zone",
        ),
        pytest.param(
            schedule("0 6 * * *", start="2026-03-02T00:00:00Z", end="2026-03-02T00:00:00Z"),
            'spec.schedule.end: Invalid value: "2026-03-02T00:00:00+00:00": must be after start',
            id="an end that is not after the start",
        ),
    ],
)
def test_a_schedule_is_refused_for(line: Schedule, message: str) -> None:
    assert errors(line) == [message]


def test_a_good_schedule_has_no_errors() -> None:
    assert errors(schedule("0 6 * * 1-5", "*/15 0-6 L * *", zone="Europe/Berlin")) == []


@pytest.mark.parametrize("name", ["", "Europe", "../etc/passwd", "a\0b", "Europe/Berlin/", "é"])
def test_an_odd_zone_is_a_key_error(name: str) -> None:
    with pytest.raises(KeyError):
        zone(name)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(line=st.text(alphabet="0123456789*/,-#LW SUNMO²", max_size=20))
def test_whatever_stands_in_a_line_it_is_judged(line: str) -> None:
    errors(schedule(line))
