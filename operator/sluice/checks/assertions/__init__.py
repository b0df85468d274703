"""The assertions of a data check, by field of `DataCheck`: each a pure function from a `Context` to SQL.

A new one is a function in a module of this package and a line here.
"""

from collections.abc import Callable, Mapping

from sluice.checks.assertions import distributions, history, numbers, rows, tables, times
from sluice.checks.sql import Compiled, Context

COMPILERS: Mapping[str, Callable[[Context], Compiled]] = {
    "row_count": numbers.row_count,
    "columns": tables.columns,
    "not_null": rows.not_null,
    "unique": rows.unique,
    "range": rows.range_,
    "in_set": rows.in_set,
    "regex": rows.regex,
    "preset": rows.preset,
    "length": rows.length,
    "row": rows.row,
    "conditional": rows.conditional,
    "reference": rows.reference,
    "freshness": times.freshness,
    "window": times.window,
    "aggregate": numbers.aggregate,
    "ratio": numbers.ratio,
    "sql": tables.sql,
    "drift": distributions.drift,
    "anomaly": history.anomaly,
    "reconcile": tables.reconcile,
}
