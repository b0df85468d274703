"""Sets aside the rows that fail checks with `quarantine: true`, each once and with the names of the checks it fails.

All rows of the source are split in two, and both parts are told by the same expression: a row is in exactly one of
them. Equal rows are kept as often as they come. Of rows that `unique` objects to, one of each combination stays: the
first in the order of all columns. The order of the rows in a file is not kept.
"""

from collections.abc import Sequence

import duckdb

from sluice.checks.files import CannotWrite, write_rows
from sluice.checks.report import SetAside, Written
from sluice.checks.sources import first_line
from sluice.checks.sql import Compiled, Table, listed, literal, quote

REASONS = "sluice_reasons"
"""The column that quarantine adds: VARCHAR[], names of checks."""


def set_aside(
    connection: duckdb.DuckDBPyConnection, table: Table, checks: Sequence[Compiled], file: str | None
) -> SetAside:
    """Count the rows that fail any of `checks`, and write them to `file`: an empty one when there are none.

    What goes wrong is told in `problem`.
    """
    if REASONS in table.columns:
        return SetAside(table.name, 0, 0, None, f'"{table.name}" has a column {REASONS} already')
    try:
        counts = f"SELECT count(*), count(*) FILTER (WHERE len({REASONS}) > 0) FROM ({_split(table, checks)})"
        total, rows = connection.execute(counts).fetchall()[0]
        if file is None:
            return SetAside(table.name, rows, total)
        write_rows(connection, f"SELECT * FROM ({_split(table, checks)}) WHERE len({REASONS}) > 0", file)
    except (duckdb.Error, CannotWrite) as error:
        return SetAside(table.name, 0, 0, None, f"rows cannot be set aside: {first_line(error)}")
    return SetAside(table.name, rows, total, file)


def write_passing(
    connection: duckdb.DuckDBPyConnection, table: Table, checks: Sequence[Compiled], file: str
) -> Written:
    """Write the rows that fail none of `checks`. Raises CannotWrite."""
    rest = f"SELECT * EXCLUDE ({REASONS}) FROM ({_split(table, checks)}) WHERE len({REASONS}) = 0"
    return Written(file, write_rows(connection, rest, file))


def _split(table: Table, checks: Sequence[Compiled]) -> str:
    """All rows with the names of the checks that they fail."""
    own = listed(quote(name) for name in table.columns)
    flags = [
        f"CASE WHEN {compiled.surplus or compiled.failing} THEN {literal(compiled.check.name)} END AS {quote(_flag(n))}"
        for n, compiled in enumerate(checks)
    ]
    names = listed(quote(_flag(number)) for number in range(len(checks)))
    reasons = f"list_filter([{names}]::VARCHAR[], lambda reason: reason IS NOT NULL)"
    return f"SELECT {own}, {reasons} AS {REASONS} FROM (SELECT {listed([own, *flags])} FROM {quote(table.name)})"


def _flag(number: int) -> str:
    return f"sluice flag {number}"
