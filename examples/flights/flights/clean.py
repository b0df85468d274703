"""Step 3: give the columns their types, and set cancelled flights apart.

The table tells the scheduled departure twice: as local time in New York (year, month, day, hour, minute) and as an
instant (time_hour, UTC, the whole hour). Both are kept, as ``sched_dep_local`` and ``sched_dep_at``, after checking
that they agree: a wrong offset, which is what a change to or from summer time brings out, would silently move flights
to another day.

A flight without a departure time was cancelled. One that left but has no arrival delay (it was diverted, mostly) did
fly, and stays.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import duckdb

from flights import step, tables
from flights.errors import BadDataError

# Clock times such as 517 (05:17) stay numbers: 2400 is among them. Minutes and miles are whole in the source.
TYPED = """
    CREATE TEMP TABLE typed AS
    SELECT
        make_date(CAST(year AS BIGINT), CAST(month AS BIGINT), CAST(day AS BIGINT)) AS flight_date,
        carrier,
        CAST(flight AS INTEGER) AS flight,
        nullif(tailnum, 'NA') AS tailnum,
        origin,
        dest,
        CAST(time_hour AS TIMESTAMPTZ) + to_minutes(CAST(minute AS BIGINT)) AS sched_dep_at,
        timezone('America/New_York', sched_dep_at) AS sched_dep_local,
        make_timestamp(CAST(year AS BIGINT), CAST(month AS BIGINT), CAST(day AS BIGINT),
                       CAST(hour AS BIGINT), CAST(minute AS BIGINT), 0) AS told_local,
        CAST(sched_dep_time AS SMALLINT) AS sched_dep_time,
        CAST(nullif(dep_time, 'NA') AS SMALLINT) AS dep_time,
        CAST(nullif(dep_delay, 'NA') AS INTEGER) AS dep_delay,
        CAST(sched_arr_time AS SMALLINT) AS sched_arr_time,
        CAST(nullif(arr_time, 'NA') AS SMALLINT) AS arr_time,
        CAST(nullif(arr_delay, 'NA') AS INTEGER) AS arr_delay,
        CAST(nullif(air_time, 'NA') AS INTEGER) AS air_time,
        CAST(distance AS INTEGER) AS distance
    FROM raw
    ORDER BY sched_dep_at, carrier, flight, origin
"""
FLOWN = "SELECT * EXCLUDE (told_local) FROM typed WHERE dep_time IS NOT NULL"
CANCELLED = "SELECT * EXCLUDE (told_local) FROM typed WHERE dep_time IS NULL"
FIRST_THAT_DISAGREES = """
    SELECT concat(carrier, ' ', flight, ': ', told_local, ' by its columns, ', sched_dep_local, ' by time_hour')
    FROM typed WHERE sched_dep_local IS DISTINCT FROM told_local LIMIT 1
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the step, return its exit code."""
    parser = step.parser("clean", "Give the columns their types and set cancelled flights apart.")
    parser.add_argument("--in", dest="raw", type=Path, required=True, help="the Parquet file of the day, all text")
    return step.main("clean", clean, parser.parse_args(argv))


def clean(args: argparse.Namespace) -> step.Outputs:
    """Write ``clean/flights.parquet`` and ``cancelled/flights.parquet``; return their places and numbers of rows."""
    flown: Path = args.out / "clean" / "flights.parquet"
    cancelled: Path = args.out / "cancelled" / "flights.parquet"
    with tables.connect(args.memory_limit) as connection:
        tables.view_of_parquet(connection, "raw", args.raw)
        step.say(f"clean: {tables.count(connection, 'raw')} flights from {args.raw}")
        connection.execute(TYPED)
        check_clocks(connection)
        flown_rows = tables.write_parquet(connection, FLOWN, flown)
        cancelled_rows = tables.write_parquet(connection, CANCELLED, cancelled)
        no_arrival = tables.count(connection, "typed", "dep_time IS NOT NULL AND arr_delay IS NULL")
    step.say(f"clean: {flown_rows} flown ({no_arrival} of them without an arrival delay), {cancelled_rows} cancelled")
    return {
        "uri": str(flown),
        "rows": flown_rows,
        "cancelledUri": str(cancelled),
        "cancelled": cancelled_rows,
        "withoutArrivalDelay": no_arrival,
    }


def check_clocks(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise BadDataError where local time and instant of a scheduled departure differ."""
    wrong = tables.count(connection, "typed", "sched_dep_local IS DISTINCT FROM told_local")
    if wrong:
        [(example,)] = connection.execute(FIRST_THAT_DISAGREES).fetchall()
        raise BadDataError(f"{wrong} flights have two scheduled departures in America/New_York, e.g. {example}")


if __name__ == "__main__":
    step.run(main)
