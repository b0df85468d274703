"""The steps' numbers on real days, against the same numbers by Python's csv module."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.examples.flights_by_csv import DayByCsv, midnight, scheduled_departure
from tests.unit.examples.flights_play import (
    AFTER_BLIZZARD,
    BLIZZARD,
    DAYS,
    INDEPENDENCE,
    NEW_YEAR,
    SUMMER_TIME_BEGINS,
    SUMMER_TIME_ENDS,
    Play,
    rows_of,
)

every_day = pytest.mark.parametrize("day", DAYS, ids=str)
ByCsv = dict[date, DayByCsv]
Played = Callable[[date], Play]


def number(text: str) -> int | None:
    return None if text == "NA" else int(text)


@pytest.mark.parametrize(
    ("day", "scheduled", "cancelled"),
    [
        (NEW_YEAR, 842, 4),
        (INDEPENDENCE, 737, 3),
        (BLIZZARD, 930, 472),
        (AFTER_BLIZZARD, 684, 393),
        (SUMMER_TIME_BEGINS, 908, 5),
        (SUMMER_TIME_ENDS, 902, 2),
    ],
    ids=str,
)
def test_a_day_has_the_flights_and_cancellations_that_are_known(
    day: date, scheduled: int, cancelled: int, played: Played
) -> None:
    outputs = played(day).outputs
    assert outputs["extract"]["rows"] == scheduled
    assert outputs["clean"]["cancelled"] == cancelled
    assert outputs["clean"]["rows"] == outputs["publish"]["rows"] == scheduled - cancelled


@every_day
def test_extract_keeps_every_row_of_the_day_as_it_came(day: date, played: Played, by_csv: ByCsv) -> None:
    assert rows_of(played(day).outputs["extract"]["uri"]) == list(by_csv[day].rows)


@every_day
def test_clean_sets_cancelled_flights_apart(day: date, played: Played, by_csv: ByCsv) -> None:
    outputs = played(day).outputs["clean"]
    expected = by_csv[day]
    assert outputs["rows"] == len(expected.flown)
    assert outputs["cancelled"] == len(expected.cancelled)
    assert outputs["withoutArrivalDelay"] == expected.without_arrival_delay
    assert all(row["dep_time"] is not None for row in rows_of(outputs["uri"]))
    assert all(row["dep_time"] is None for row in rows_of(outputs["cancelledUri"]))


@every_day
def test_published_flights_have_the_values_of_the_source(day: date, played: Played, by_csv: ByCsv) -> None:
    expected = by_csv[day]
    published = {
        (row["carrier"], row["flight"], row["origin"], row["sched_dep_time"]): row
        for row in rows_of(played(day).partition("published", day))
    }
    assert len(published) == len(expected.flown)
    for source in expected.flown:
        row = published[source["carrier"], int(source["flight"]), source["origin"], int(source["sched_dep_time"])]
        plane = expected.planes.get(source["tailnum"])
        assert row["flight_date"] == day
        assert row["tailnum"] == (None if source["tailnum"] == "NA" else source["tailnum"])
        assert row["dest"] == source["dest"]
        for column in ("dep_time", "dep_delay", "arr_time", "arr_delay", "sched_arr_time", "air_time", "distance"):
            assert row[column] == number(source[column]), column
        assert row["plane_known"] is (plane is not None)
        assert row["plane_model"] == (plane["model"] if plane else None)
        assert row["plane_year"] == (number(plane["year"]) if plane else None)
        assert row["plane_seats"] == (number(plane["seats"]) if plane else None)


@every_day
def test_enrich_counts_tail_numbers_that_are_not_among_the_planes(day: date, played: Played, by_csv: ByCsv) -> None:
    outputs = played(day).outputs["enrich"]
    assert outputs["unknownPlanes"] == len(by_csv[day].unknown_planes) > 0
    assert outputs["rows"] == len(by_csv[day].flown)


@every_day
def test_delays_by_carrier_are_those_of_the_source(day: date, played: Played, by_csv: ByCsv) -> None:
    play = played(day)
    expected = {code: asdict(carrier) for code, carrier in by_csv[day].carriers.items()}
    published = rows_of(play.partition("published-delays", day))
    assert {row["carrier"] for row in published} == expected.keys()
    assert play.outputs["delays"]["rows"] == len(published) == len(expected)
    for row in published:
        assert row["flight_date"] == day
        assert row["carrier_name"]
        for column, value in expected[row["carrier"]].items():
            assert row[column] == pytest.approx(value), (row["carrier"], column)


def test_a_carrier_with_no_flight_in_the_air_is_still_listed(played: Played, by_csv: ByCsv) -> None:
    grounded = {code for code, carrier in by_csv[BLIZZARD].carriers.items() if carrier.flown == 0}
    rows = {row["carrier"]: row for row in rows_of(played(BLIZZARD).partition("published-delays", BLIZZARD))}
    assert grounded
    for code in grounded:
        assert rows[code]["cancelled"] == rows[code]["scheduled"] > 0
        assert rows[code]["mean_dep_delay"] is None


@every_day
def test_scheduled_departures_are_right_in_both_zones(day: date, played: Played, by_csv: ByCsv) -> None:
    clean = rows_of(played(day).outputs["clean"]["uri"])
    expected = sorted(scheduled_departure(row) for row in by_csv[day].flown)
    assert [row["sched_dep_at"] for row in clean] == expected
    for row in clean:
        local: datetime = row["sched_dep_local"]
        assert local.date() == day
        assert local.hour * 100 + local.minute == row["sched_dep_time"]


@pytest.mark.parametrize(("day", "hours"), [(NEW_YEAR, 24), (SUMMER_TIME_BEGINS, 23), (SUMMER_TIME_ENDS, 25)], ids=str)
def test_a_day_is_the_one_in_new_york_however_many_hours_it_has(
    day: date, hours: int, source: Path, played: Played
) -> None:
    begin, end = midnight(day).astimezone(UTC), midnight(day + timedelta(days=1)).astimezone(UTC)
    with (source / "flights.csv").open() as file:
        next(file)
        of_day = sum(
            begin <= datetime.fromisoformat(line.rstrip("\n").rpartition(",")[2]) < end
            for line in file
            if line.startswith((f"2013,{day.month},", f"2013,{end.month},"))
        )
    assert (end - begin) == timedelta(hours=hours)
    assert played(day).outputs["extract"]["rows"] == of_day
