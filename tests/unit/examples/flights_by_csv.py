"""The flights example's numbers a second time, by another way: Python's csv, datetime and zoneinfo, no DuckDB."""

import csv
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from statistics import fmean
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
Row = Mapping[str, str]


@dataclass(frozen=True)
class Carrier:
    """Delays of one carrier on one day; means in minutes, None where there is nothing to take a mean of."""

    scheduled: int
    flown: int
    cancelled: int
    mean_dep_delay: float | None
    mean_arr_delay: float | None
    late: int


@dataclass(frozen=True)
class DayByCsv:
    """One day of the table of flights."""

    rows: tuple[Row, ...]
    planes: Mapping[str, Row]

    @cached_property
    def flown(self) -> list[Row]:
        return [row for row in self.rows if row["dep_time"] != "NA"]

    @cached_property
    def cancelled(self) -> list[Row]:
        return [row for row in self.rows if row["dep_time"] == "NA"]

    @property
    def without_arrival_delay(self) -> int:
        return sum(row["arr_delay"] == "NA" for row in self.flown)

    @property
    def unknown_planes(self) -> set[str]:
        """Tail numbers of flown flights that are not in the table of planes."""
        return {row["tailnum"] for row in self.flown} - self.planes.keys() - {"NA"}

    @property
    def carriers(self) -> dict[str, Carrier]:
        rows = defaultdict(list)
        for row in self.rows:
            rows[row["carrier"]].append(row)
        return {code: _carrier(of_carrier) for code, of_carrier in rows.items()}


def read_days(source: Path, days: Collection[date]) -> dict[date, DayByCsv]:
    """Read the given days of the table of flights, and the table of planes."""
    rows: dict[date, list[Row]] = {day: [] for day in days}
    with (source / "flights.csv").open(newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        for values in reader:
            day = date(int(values[0]), int(values[1]), int(values[2]))
            if day in rows:
                rows[day].append(dict(zip(header, values, strict=True)))
    with (source / "planes.csv").open(newline="") as file:
        planes = {row["tailnum"]: row for row in csv.DictReader(file)}
    return {day: DayByCsv(tuple(of_day), planes) for day, of_day in rows.items()}


def scheduled_departure(row: Row) -> datetime:
    """Return the instant of the scheduled departure, from time_hour."""
    return datetime.fromisoformat(row["time_hour"]) + timedelta(minutes=int(row["minute"]))


def midnight(day: date) -> datetime:
    """Return the instant at which a day begins in New York."""
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)


def _carrier(rows: list[Row]) -> Carrier:
    arrivals = _numbers(rows, "arr_delay")
    cancelled = sum(row["dep_time"] == "NA" for row in rows)
    return Carrier(
        scheduled=len(rows),
        flown=len(rows) - cancelled,
        cancelled=cancelled,
        mean_dep_delay=_mean(_numbers(rows, "dep_delay")),
        mean_arr_delay=_mean(arrivals),
        late=sum(delay >= 15 for delay in arrivals),
    )


def _numbers(rows: list[Row], column: str) -> list[int]:
    return [int(row[column]) for row in rows if row[column] != "NA"]


def _mean(numbers: list[int]) -> float | None:
    return fmean(numbers) if numbers else None
