"""Ways to break a day of flights: what is done to its source, what has to stop the run, and which rows are set aside.

    python3 flights_broken.py DAY SOURCE TARGET     writes a source folder below TARGET for each way

Beside the tables of a source each folder holds `expected.json`, for tests that run elsewhere than this program: step,
check, and the rows of the quarantine, each with its reasons. Needs nothing but Python's library, since the tests on the
cluster run it in a pod of the example's image.
"""

import csv
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

Row = dict[str, str]
"""A line of flights.csv; the empty text is a missing value."""
REASONS = "sluice_reasons"
TABLES = ("airlines.csv", "planes.csv")


@dataclass(frozen=True)
class Broken:
    """The rows of a broken day, and those of them that have to be set aside, each with the checks that it fails."""

    rows: Sequence[Row]
    set_aside: Sequence[tuple[Row, Sequence[str]]] = ()


@dataclass(frozen=True)
class Way:
    """One way to break a day."""

    name: str
    breaks: Callable[[list[Row]], Broken]
    step: str = ""
    """The step that stops the run; empty: the run goes on without the rows that are set aside."""
    check: str = ""
    """The check that is named as the reason; empty when the step is no gate."""
    tables: Callable[[str, list[Row]], list[Row]] = lambda _, rows: rows
    """What is done to the other tables, by their name."""


@dataclass(frozen=True)
class Expected:
    """What has to become of a run over a broken source."""

    step: str
    check: str
    quarantine: list[dict[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> "Expected":
        """What `write` left in the folder of a source."""
        return cls(**json.loads((folder / "expected.json").read_text()))


# -- what is done to rows ---------------------------------------------------------------------------------------------


def dropped(column: str) -> Callable[[list[Row]], Broken]:
    """A column is missing."""
    return lambda rows: Broken([{name: value for name, value in row.items() if name != column} for row in rows])


def renamed(column: str, new: str) -> Callable[[list[Row]], Broken]:
    """A column has another name."""
    return lambda rows: Broken(
        [{new if name == column else name: value for name, value in row.items()} for row in rows]
    )


def spoiled(
    every: int, change: Callable[[Row], Row], *reasons: str, of: Callable[[Row], bool] = lambda _: True
) -> Callable[[list[Row]], Broken]:
    """One of `every` rows is changed, of those that are `of` a kind; they are set aside for `reasons`."""

    def break_rows(rows: list[Row]) -> Broken:
        chosen = {id(row) for row in [row for row in rows if of(row)][::every]}
        changed = [{**row, **change(row)} if id(row) in chosen else row for row in rows]
        bad = [new for old, new in zip(rows, changed, strict=True) if id(old) in chosen]
        return Broken(changed, [(row, reasons) for row in bad])

    return break_rows


def doubled(every: int) -> Callable[[list[Row]], Broken]:
    """One of `every` rows comes twice; the second one is set aside."""
    return lambda rows: Broken([*rows, *rows[::every]], [(row, ("once",)) for row in rows[::every]])


def shifted(**by: int) -> Callable[[list[Row]], Broken]:
    """time_hour is another instant."""

    def shift(row: Row) -> Row:
        at = datetime.fromisoformat(row["time_hour"]) + timedelta(**by)
        return {**row, "time_hour": f"{at:%Y-%m-%dT%H:%M:%SZ}"}

    return lambda rows: Broken([shift(row) for row in rows])


def grounded(rows: list[Row]) -> Broken:
    """No flight of the day left."""
    missing = dict.fromkeys(("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"), "NA")
    return Broken([{**row, **missing} for row in rows])


def whole(rows: list[Row]) -> Broken:
    """The flights are as they were."""
    return Broken(rows)


def has_left(row: Row) -> bool:
    """Whether the flight was not cancelled."""
    return row["dep_time"] != "NA"


def planes_in_small_letters(name: str, rows: list[Row]) -> list[Row]:
    """Tail numbers of planes are not written as those of flights."""
    return [{**row, "tailnum": row["tailnum"].lower()} for row in rows] if name == "planes.csv" else rows


def without_united(name: str, rows: list[Row]) -> list[Row]:
    """An airline is missing."""
    return [row for row in rows if row["carrier"] != "UA"] if name == "airlines.csv" else rows


# -- the ways ---------------------------------------------------------------------------------------------------------

STOPPED = (
    Way("dropped-column", dropped("dep_time"), "screen", "columns"),
    Way("renamed-column", renamed("distance", "miles"), "screen", "columns"),
    Way("half-the-rows", lambda rows: Broken(rows[::2]), "screen", "rows"),
    Way("null-origins", spoiled(10, lambda _: {"origin": ""}, "key"), "screen", "key"),
    Way("duplicates", doubled(10), "screen", "once"),
    Way("time-shifted", shifted(hours=5), "screen", "clock"),
    Way("day-shifted", shifted(days=1), "screen", "day"),
    Way(
        "unknown-carrier",
        spoiled(1, lambda _: {"carrier": "ZZ"}, "carrier", of=lambda row: row["carrier"] == "UA"),
        "screen",
        "carrier",
    ),
    Way(
        "negative-distance",
        spoiled(20, lambda row: {"distance": f"-{row['distance']}"}, "distance"),
        "screen",
        "distance",
    ),
    Way("tail-number-garbage", spoiled(10, lambda _: {"tailnum": "#REF!"}, "tail-number"), "screen", "tail-number"),
    Way("text-for-a-number", spoiled(10, lambda _: {"arr_delay": "late"}, "minutes", of=has_left), "screen", "minutes"),
    Way(
        "beyond-midnight",
        spoiled(10, lambda row: {"dep_time": str(int(row["dep_time"]) + 2400)}, "times", of=has_left),
        "screen",
        "times",
    ),
    Way("nothing-left", grounded, "screen", "flown"),
    Way("empty-day", lambda _: Broken([]), "extract"),
    Way("planes-unrecognizable", whole, "audit", "planes-joined", planes_in_small_letters),
    Way("airline-unknown", whole, "audit", "airlines", without_united),
)
"""Ways that stop the run before it publishes."""
BORNE = (
    Way("few-nulls", spoiled(100, lambda _: {"dest": ""}, "key")),
    Way("few-duplicates", doubled(100)),
    Way(
        "few-bad-twice-over",
        spoiled(100, lambda _: {"tailnum": "-", "distance": "far"}, "tail-number", "distance"),
    ),
)
"""Ways in which one row in a hundred is broken: it is set aside, and the rest is published."""
WAYS = (*STOPPED, *BORNE)


# -- sources ----------------------------------------------------------------------------------------------------------


def write(way: Way, source: Path, day: date, folder: Path) -> Expected:
    """Write a source with the one broken day, and what has to become of it."""
    folder.mkdir(parents=True, exist_ok=True)
    header, rows = _read_day(source, day)
    broken = way.breaks(rows)
    # The columns of a broken row are those of all of them, in order; without rows those of the source.
    _write(folder / "flights.csv", list(broken.rows[0]) if broken.rows else header, broken.rows)
    for name in TABLES:
        whole_table = _read(source / name)
        if (changed := way.tables(name, whole_table)) is not whole_table:
            _write(folder / name, list(changed[0]), changed)
        else:
            shutil.copyfile(source / name, folder / name)
    quarantine = [
        {**{name: value or None for name, value in row.items()}, REASONS: list(reasons)}
        for row, reasons in broken.set_aside
    ]
    expected = Expected(way.step, way.check, quarantine)
    (folder / "expected.json").write_text(json.dumps(vars(expected)))
    return expected


def _read(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@cache
def _read_day(source: Path, day: date) -> tuple[list[str], list[Row]]:
    """The header and the rows of a day. No way changes a row in place: it makes new ones."""
    begin = f"{day.year},{day.month},{day.day},"
    with (source / "flights.csv").open(newline="") as file:
        header = next(csv.reader(file))
        lines = [line for line in file if line.startswith(begin)]
    return header, list(csv.DictReader(lines, fieldnames=header))


def _write(path: Path, header: Iterable[str], rows: Iterable[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(header))
        writer.writeheader()
        writer.writerows(rows)


def main(arguments: Sequence[str]) -> None:
    """Write a source for each way."""
    day, source, target = date.fromisoformat(arguments[0]), Path(arguments[1]), Path(arguments[2])
    for way in WAYS:
        write(way, source, day, target / way.name)


if __name__ == "__main__":
    main(sys.argv[1:])
