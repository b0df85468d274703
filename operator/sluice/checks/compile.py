"""A data check as SQL for DuckDB. Pure: a check and the columns of its tables in, SQL text out.

What each assertion compiles to is in `sluice.checks.assertions`; the pieces they share are in `sluice.checks.sql`.
"""

from collections.abc import Iterator, Mapping, Sequence

from sluice.api.data_checks import ASSERTIONS, DataCheck
from sluice.api.gate import Check
from sluice.checks.assertions import COMPILERS
from sluice.checks.sql import CannotCompile, Compiled, Context, Measure, Table, When, find_table, quote

__all__ = [
    "CannotCompile",
    "Compiled",
    "Measure",
    "Table",
    "When",
    "compile_check",
    "expressions",
    "fuse",
    "quote",
    "sample_query",
]


def compile_check(check: Check, tables: Mapping[str, Table], when: When) -> Compiled:
    """`check` as SQL. Raises CannotCompile."""
    data = check.on_data
    named = [name for name in ASSERTIONS if getattr(data, name) is not None]
    if len(named) != 1:
        raise CannotCompile(f"exactly one assertion is needed, not {len(named)}: {', '.join(named) or 'none is given'}")
    return COMPILERS[named[0]](Context(check, find_table(tables, data.source), tables, when))


def expressions(data: DataCheck) -> Iterator[str]:
    """The SQL conditions of a check that a user wrote, which become part of a larger statement."""
    if data.where is not None:
        yield data.where
    if data.row is not None:
        yield data.row.expression
    if data.conditional is not None:
        yield data.conditional.when
        yield data.conditional.then
    if data.ratio is not None:
        yield data.ratio.numerator
        if data.ratio.denominator is not None:
            yield data.ratio.denominator


def fuse(table: str, checks: Sequence[Compiled]) -> str:
    """One query with the two numbers of every check, in order."""
    columns = ", ".join(expression for check in checks if check.fused is not None for expression in check.fused)
    return f"SELECT {columns} FROM {quote(table)}"


def sample_query(compiled: Compiled, limit: int) -> str | None:
    """Some of the rows that fail, None where a check has no such rows."""
    if compiled.failing is None:
        return None
    return f"SELECT * FROM {quote(compiled.check.on_data.source)} WHERE {compiled.failing} LIMIT {limit}"
