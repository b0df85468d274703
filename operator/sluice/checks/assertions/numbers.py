"""Assertions on one number over the rows: how many there are, an aggregate of a column, a share."""

from collections.abc import Mapping
from dataclasses import replace

from sluice.checks.sql import CannotCompile, Compiled, Context, Table, between, count, words

_FUNCTIONS: Mapping[str, str] = {
    "sum": "sum({})",
    "mean": "avg({})",
    "min": "min({})",
    "max": "max({})",
    "stdev": "stddev_samp({})",
    "median": "median({})",
    "distinct": "count(DISTINCT {})",
}
_OF_ANY_TYPE = ("distinct", "nullShare", "count")
_OF_ALL_ROWS = ("sum", "distinct", "count")
"""Functions that a sample says nothing of."""


def computed(table: Table, function: str, name: str | None, looked_at: str, quantile: float | None = None) -> str:
    """A function over a column as an SQL aggregate of the rows `looked_at`. Raises CannotCompile.

    `count` is the number of rows; `nullShare` the share of rows without a value, NULL of no rows. The others pass over
    missing values: NULL when there is no value at all.
    """
    if function == "count":
        return count(looked_at)
    if name is None:
        raise CannotCompile(f"{function}: of which column is needed")
    column = table.column(name) if function in _OF_ANY_TYPE else table.number(name)
    if function == "nullShare":
        missing = count(f"({looked_at}) AND {column} IS NULL" if looked_at != "TRUE" else f"{column} IS NULL")
        return f"{missing} / nullif({count(looked_at)}, 0)"
    if function == "quantile":
        if quantile is None:
            raise CannotCompile("quantile: which one is needed, for instance quantile: 0.95")
        call = f"quantile_cont({column}, {quantile!r})"
    else:
        call = _FUNCTIONS[function].format(column)
    return call if looked_at == "TRUE" else f"{call} FILTER (WHERE {looked_at})"


def whole(context: Context, function: str, *others: str) -> tuple[str, ...]:
    """The tables of which `function` needs every row."""
    return (context.table.name, *others) if function in _OF_ALL_ROWS else ()


def row_count(context: Context) -> Compiled:
    """The number of rows lies between bounds."""
    rule = context.data.row_count
    assert rule is not None
    between("n", rule.min, rule.max)
    number = count(context.looked_at())
    found = context.on_number(context.looked_at(), number, (rule.min, rule.max), f"rows {words(rule.min, rule.max)}")
    return _with_whole(found, (context.table.name,))


def aggregate(context: Context) -> Compiled:
    """A number over a column lies between bounds."""
    rule = context.data.aggregate
    assert rule is not None
    between("x", rule.min, rule.max)
    column = context.table.column(rule.column)
    looked_at = context.looked_at() if rule.function == "nullShare" else context.present(column)
    number = computed(context.table, rule.function, rule.column, looked_at, rule.quantile)
    text = f"{rule.function} of {rule.column} {words(rule.min, rule.max)}"
    return _with_whole(context.on_number(looked_at, number, (rule.min, rule.max), text), whole(context, rule.function))


def ratio(context: Context) -> Compiled:
    """The share of the rows of the denominator that are rows of the numerator too lies between bounds."""
    rule = context.data.ratio
    assert rule is not None
    between("x", rule.min, rule.max)
    looked_at = context.looked_at(f"({rule.denominator})") if rule.denominator is not None else context.looked_at()
    both = f"({rule.numerator})" if looked_at == "TRUE" else f"{looked_at} AND ({rule.numerator})"
    of = f" of {rule.denominator}" if rule.denominator is not None else ""
    text = f"share of {rule.numerator}{of} {words(rule.min, rule.max)}"
    number = f"{count(both)} / nullif({count(looked_at)}, 0)"
    return context.on_number(looked_at, number, (rule.min, rule.max), text)


def _with_whole(found: Compiled, tables: tuple[str, ...]) -> Compiled:
    return replace(found, whole=tables)
