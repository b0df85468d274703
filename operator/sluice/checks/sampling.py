"""Looks at some of the rows of a source. Which ones depends on their content and the seed alone.

A row is drawn by the hash of all its values, so that the same data gives the same sample in whatever order, number of
threads and files it comes. Equal rows are drawn together, or not at all.
"""

from collections.abc import Mapping, Sequence

import duckdb

from sluice.api.gate import Sample, Source
from sluice.checks.sources import describe, first_line
from sluice.checks.sql import Table, quote

_DRAWN = "sluice sample"


def draw_samples(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[Source],
    tables: Mapping[str, Table],
    broken: dict[str, str],
) -> dict[str, str]:
    """{source: how many of its rows are looked at}. Puts a table with the sample in the place of each such source.

    Each source is read once. One that cannot be read to its end is added to `broken`.
    """
    drawn: dict[str, str] = {}
    for source in sources:
        if source.sample is None or source.name not in tables:
            continue
        try:
            drawn[source.name] = _draw(connection, source.sample, tables[source.name])
        except duckdb.Error as error:
            broken[source.name] = f'no sample of "{source.name}" could be drawn: {first_line(error)}'
    return drawn


def _draw(connection: duckdb.DuckDBPyConnection, sample: Sample, table: Table) -> str:
    seed = 0 if sample.seed is None else sample.seed
    order = f"hash({', '.join(quote(name) for name in table.columns)}, {seed})"
    chosen = ""
    if sample.percent is not None:
        # Shares are of 2^32 and not of 2^64, which no double holds exactly.
        chosen = f" WHERE {order} >> 32 < {round(sample.percent / 100 * 2**32)}"
    if sample.rows is not None:
        chosen += f" ORDER BY {order} LIMIT {sample.rows}"
    name = quote(table.name)
    connection.execute(f"CREATE OR REPLACE TABLE {quote(_DRAWN)} AS SELECT * FROM {name}{chosen}")
    of = connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
    rows = connection.execute(f"SELECT count(*) FROM {quote(_DRAWN)}").fetchall()[0][0]
    connection.execute(f"DROP VIEW IF EXISTS {name}")
    connection.execute(f"ALTER TABLE {quote(_DRAWN)} RENAME TO {name}")
    assert describe(connection, table.name).columns == table.columns
    return f"{rows} of {of} rows, seed {seed}"
