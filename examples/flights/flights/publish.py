"""Step 6: put the day where readers look for it, as one partition of two tables partitioned by year, month and day.

A partition is a single file, grown in the run's own folder and renamed into place. So publishing a day again replaces
that day and nothing else, and whoever reads meanwhile, or after a crash, has the old file or the new one. Each table
changes in one moment, the two of them not together: a crash between them is mended by the retry.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb

from flights import step, tables
from flights.errors import BadDataError

PART = "part-0.parquet"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the step, return its exit code."""
    parser = step.parser("publish", "Publish one day as a partition.")
    parser.add_argument("--day", required=True, help="the day in New York, YYYY-MM-DD")
    parser.add_argument("--enriched", type=Path, required=True, help="the Parquet file that enrich wrote")
    parser.add_argument("--delays", type=Path, required=True, help="the Parquet file that delays wrote")
    parser.add_argument("--flights-to", type=Path, required=True, help="root of the published flights")
    parser.add_argument("--delays-to", type=Path, required=True, help="root of the published delays by carrier")
    return step.main("publish", publish, parser.parse_args(argv))


def publish(args: argparse.Namespace) -> step.Outputs:
    """Put both partitions in place; return their places, the number of flights and the number of files."""
    day = step.parse_day(args.day)
    flights = args.flights_to / partition(day)
    delays = args.delays_to / partition(day)
    scratch = args.out / "publish"
    with tables.connect(args.memory_limit) as connection:
        # Both are read and checked before the first is put in place.
        tables.view_of_parquet(connection, "enriched", args.enriched)
        tables.view_of_parquet(connection, "delays", args.delays)
        check_day(connection, "enriched", day)
        check_day(connection, "delays", day)
        rows = tables.write_parquet(connection, "FROM enriched", flights / PART, scratch)
        step.say(f"publish: {rows} flights to {flights / PART}")
        carriers = tables.write_parquet(connection, "FROM delays", delays / PART, scratch)
        step.say(f"publish: {carriers} carriers to {delays / PART}")
    return {"uri": str(flights), "delaysUri": str(delays), "rows": rows, "files": 2}


def partition(day: date) -> Path:
    """Return a day's folder below a table's root, in the form that Hive, Spark, DuckDB and Arrow read."""
    return Path(f"year={day.year}") / f"month={day.month}" / f"day={day.day}"


def check_day(connection: duckdb.DuckDBPyConnection, table: str, day: date) -> None:
    """Raise BadDataError if the table has rows of another day: they would replace a partition that is not theirs."""
    strangers = tables.count(connection, table, f"flight_date IS DISTINCT FROM DATE '{day}'")
    if strangers:
        raise BadDataError(f"{strangers} rows of {table} are not of {day}: nothing was published")


if __name__ == "__main__":
    step.run(main)
