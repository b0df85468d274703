"""Data checks as SQL for DuckDB. Pure: a check and the columns of its tables in, SQL text out.

Checks on rows and most numbers are pairs of aggregates, so that all of them on one table are answered by a single scan
(`fuse`). What needs a grouping or a join has a query of its own. Both return the same two numbers:

    a check on rows     rows looked at, rows that fail
    a check on a number rows looked at, the number

A row fails when its condition is not true: SQL's `unknown` is a failure too. Missing values (NULL) are the business of
`notNull` alone; other checks on values do not look at them, and say how many rows they did look at.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum

from sluice.api.base import Json
from sluice.api.data_checks import ASSERTIONS, DataCheck
from sluice.api.durations import parse_duration
from sluice.api.gate import Check
from sluice.checks.presets import PRESETS

FLOATS = frozenset({"FLOAT", "DOUBLE", "REAL"})
NUMBERS = FLOATS | {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
}
PSI_FLOOR = 1e-4
"""Share that an empty bin is given, so that the logarithm exists."""
FUTURE_SLACK = timedelta(minutes=5)


class CannotCompile(Exception):
    """The check does not fit its table: the message says why and what would."""


class Measure(Enum):
    """What the two numbers of a check mean."""

    ROWS = "rows"
    NUMBER = "number"
    SCHEMA = "schema"
    """Answered by the columns alone; nothing is queried."""


@dataclass(frozen=True)
class Table:
    """A data set as the checks see it."""

    name: str
    columns: Mapping[str, str]
    """Column to SQL type."""


@dataclass(frozen=True)
class When:
    """The moment of evaluation, and the interval of the run if there is one. Bounds in time come from these."""

    now: datetime
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class Compiled:
    """A check in SQL."""

    check: Check
    measure: Measure
    fused: tuple[str, str] | None = None
    """Two aggregates over the check's table."""
    query: str | None = None
    """A query of its own that returns one row of two numbers."""
    failing: str | None = None
    """Condition of the rows that fail, for samples."""
    problems: tuple[str, ...] = ()
    """With SCHEMA: what is wrong."""
    bounds: tuple[float | None, float | None] = (None, None)
    text: str = ""
    """The bound, in words."""
    tables: tuple[str, ...] = field(default=())


def quote(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Json) -> str:
    """An SQL literal. Raises CannotCompile for lists and objects."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            raise CannotCompile(f"{value!r} cannot be compared with a column")


def moment(at: datetime) -> str:
    """An SQL timestamp with time zone."""
    return f"TIMESTAMPTZ '{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"


def compile_check(check: Check, tables: Mapping[str, Table], when: When) -> Compiled:
    """`check` as SQL. Raises CannotCompile."""
    data = check.on_data
    named = [name for name in ASSERTIONS if getattr(data, name) is not None]
    if len(named) != 1:
        raise CannotCompile(f"exactly one assertion is needed, not {len(named)}: {', '.join(named) or 'none is given'}")
    table = _table(tables, data.source)
    return _COMPILERS[named[0]](check, data, table, tables, when)


def fuse(table: str, checks: Sequence[Compiled]) -> str:
    """One query with the two numbers of every check, in order."""
    columns = ", ".join(expression for check in checks if check.fused is not None for expression in check.fused)
    return f"SELECT {columns} FROM {quote(table)}"


def sample_query(compiled: Compiled, limit: int) -> str | None:
    """Some of the rows that fail, None where a check has no such rows."""
    if compiled.failing is None:
        return None
    return f"SELECT * FROM {quote(compiled.check.on_data.source)} WHERE {compiled.failing} LIMIT {limit}"


# -- helpers ----------------------------------------------------------------------------------------------------------


def _table(tables: Mapping[str, Table], name: str) -> Table:
    if name not in tables:
        raise CannotCompile(f'there is no source "{name}"; there are: {", ".join(sorted(tables)) or "none"}')
    return tables[name]


def _column(table: Table, name: str) -> str:
    if name not in table.columns:
        raise CannotCompile(f'{table.name} has no column "{name}"; it has: {", ".join(table.columns)}')
    return quote(name)


def _base_type(table: Table, name: str) -> str:
    return table.columns[name].split("(")[0].upper()


def _number(table: Table, name: str) -> str:
    column = _column(table, name)
    kind = _base_type(table, name)
    if kind not in NUMBERS and kind != "DECIMAL":
        raise CannotCompile(f'column "{name}" is {table.columns[name]}, not a number')
    return column


def _time(table: Table, name: str) -> str:
    """A column as a moment. Times without a zone, and dates, are read as UTC."""
    column = _column(table, name)
    kind = _base_type(table, name)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return column
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return f"(CAST({column} AS TIMESTAMP) AT TIME ZONE 'UTC')"
    raise CannotCompile(f'column "{name}" is {table.columns[name]}, not a date or a timestamp')


def _filter(data: DataCheck, columns: Iterable[str] = ()) -> str:
    parts = [f"({data.where})"] if data.where is not None else []
    parts += [f"{column} IS NOT NULL" for column in columns]
    return " AND ".join(parts) or "TRUE"


def _count(condition: str) -> str:
    return "count(*)" if condition == "TRUE" else f"count(*) FILTER (WHERE {condition})"


def _rows(check: Check, looked_at: str, holds: str, text: str) -> Compiled:
    failing = f"({looked_at}) AND ({holds}) IS NOT TRUE"
    if looked_at == "TRUE":
        failing = f"({holds}) IS NOT TRUE"
    return Compiled(check, Measure.ROWS, fused=(_count(looked_at), _count(failing)), failing=failing, text=text)


def _between(expression: str, least: float | None, most: float | None) -> str:
    parts = []
    if least is not None:
        parts.append(f"{expression} >= {_plain(least)}")
    if most is not None:
        parts.append(f"{expression} <= {_plain(most)}")
    if not parts:
        raise CannotCompile("min, max or both are needed")
    return " AND ".join(parts)


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else repr(number)


def _words(least: float | None, most: float | None) -> str:
    parts = ([f">= {least:g}"] if least is not None else []) + ([f"<= {most:g}"] if most is not None else [])
    return " and ".join(parts)


def _list(columns: Iterable[str]) -> str:
    return ", ".join(columns)


# -- one function an assertion ----------------------------------------------------------------------------------------


def _row_count(check: Check, data: DataCheck, _own: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    assert data.row_count is not None
    least, most = data.row_count.min, data.row_count.max
    _between("n", least, most)
    count = _count(_filter(data))
    return Compiled(
        check, Measure.NUMBER, fused=(count, count), bounds=(least, most), text=f"rows {_words(least, most)}"
    )


def _columns(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    wanted = data.columns
    assert wanted is not None
    names = [*wanted.names, *(name for name in wanted.types if name not in wanted.names)]
    problems = [f'column "{name}" is missing' for name in names if name not in table.columns]
    problems += [
        f'column "{name}" is {table.columns[name]}, not {kind.upper()}'
        for name, kind in wanted.types.items()
        if name in table.columns and table.columns[name].upper() != kind.upper()
    ]
    if wanted.exact:
        problems += [f'column "{name}" is not expected' for name in table.columns if name not in names]
    return Compiled(check, Measure.SCHEMA, problems=tuple(problems), text=f"columns {', '.join(names)}")


def _not_null(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    assert data.not_null is not None
    columns = [_column(table, name) for name in data.not_null.columns]
    holds = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    return _rows(check, _filter(data), holds, f"{', '.join(data.not_null.columns)} not null")


def _unique(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    assert data.unique is not None
    columns = [_column(table, name) for name in data.unique.columns]
    looked_at = _filter(data, columns)
    keys = _list(columns)
    query = (
        f"SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE n > 1), 0) FROM "
        f"(SELECT count(*) AS n FROM {quote(table.name)} WHERE {looked_at} GROUP BY {keys})"
    )
    twice = f"SELECT {keys} FROM {quote(table.name)} WHERE {looked_at} GROUP BY {keys} HAVING count(*) > 1"
    failing = f"({keys}) IN ({twice})"
    return Compiled(check, Measure.ROWS, query=query, failing=failing, text=f"{', '.join(data.unique.columns)} unique")


def _range(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    rule = data.range
    assert rule is not None
    column = _number(table, rule.column)
    holds = _between(column, rule.min, rule.max)
    if _base_type(table, rule.column) in FLOATS:
        holds = f"NOT isnan({column}) AND {holds}"
    return _rows(check, _filter(data, [column]), holds, f"{rule.column} {_words(rule.min, rule.max)}")


def _in_set(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    rule = data.in_set
    assert rule is not None
    column = _column(table, rule.column)
    text_column = _base_type(table, rule.column) == "VARCHAR"
    values = [literal(str(v) if text_column and not isinstance(v, str) else v) for v in rule.values if v is not None]
    if not values:
        raise CannotCompile("values are needed besides null")
    return _rows(check, _filter(data, [column]), f"{column} IN ({_list(values)})", f"{rule.column} in {_list(values)}")


def _matches(check: Check, data: DataCheck, table: Table, name: str, pattern: str, text: str) -> Compiled:
    column = _column(table, name)
    value = column if _base_type(table, name) == "VARCHAR" else f"CAST({column} AS VARCHAR)"
    return _rows(check, _filter(data, [column]), f"regexp_full_match({value}, {literal(pattern)})", text)


def _regex(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    rule = data.regex
    assert rule is not None
    return _matches(check, data, table, rule.column, rule.pattern, f"{rule.column} matches {rule.pattern}")


def _preset(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    rule = data.preset
    assert rule is not None
    return _matches(check, data, table, rule.column, PRESETS[rule.name].pattern, f"{rule.column} is {rule.name}")


def _length(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    rule = data.length
    assert rule is not None
    column = _column(table, rule.column)
    holds = _between(f"length(CAST({column} AS VARCHAR))", rule.min, rule.max)
    return _rows(check, _filter(data, [column]), holds, f"length of {rule.column} {_words(rule.min, rule.max)}")


def _row(check: Check, data: DataCheck, _own: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    assert data.row is not None
    return _rows(check, _filter(data), data.row.expression, data.row.expression)


def _reference(check: Check, data: DataCheck, table: Table, tables: Mapping[str, Table], _when: When) -> Compiled:
    rule = data.reference
    assert rule is not None
    if len(rule.columns) != len(rule.keys):
        raise CannotCompile(f"columns and keys must be equally many, not {len(rule.columns)} and {len(rule.keys)}")
    other = _table(tables, rule.source)
    columns = [_column(table, name) for name in rule.columns]
    keys = [_column(other, name) for name in rule.keys]
    looked_at = _filter(data, columns)
    known = f"SELECT {_list(keys)} FROM {quote(other.name)} WHERE {' AND '.join(f'{key} IS NOT NULL' for key in keys)}"
    holds = f"({_list(columns)}) IN ({known})"
    query = f"SELECT {_count(looked_at)}, {_count(f'({looked_at}) AND NOT {holds}')} FROM {quote(table.name)}"
    failing = f"({looked_at}) AND NOT {holds}"
    text = f"{', '.join(rule.columns)} exist in {rule.source}"
    return Compiled(check, Measure.ROWS, query=query, failing=failing, text=text, tables=(rule.source,))


def _freshness(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], when: When) -> Compiled:
    rule = data.freshness
    assert rule is not None
    column = _time(table, rule.column)
    looked_at = _filter(data, [_column(table, rule.column)])
    age = f"date_diff('microsecond', max({column}) FILTER (WHERE {looked_at}), {moment(when.now)}) / 1e6"
    most = parse_duration(rule.max_age).total_seconds()
    return Compiled(
        check,
        Measure.NUMBER,
        fused=(_count(looked_at), age),
        bounds=(-FUTURE_SLACK.total_seconds(), most),
        text=f"age of {rule.column} in seconds <= {most:g}",
    )


def _window(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], when: When) -> Compiled:
    rule = data.window
    assert rule is not None
    if when.start is None or when.end is None:
        raise CannotCompile("there is no data interval: the gate was not run for one")
    column = _time(table, rule.column)
    slack = parse_duration(rule.slack) if rule.slack is not None else timedelta(0)
    holds = f"{column} >= {moment(when.start - slack)} AND {column} < {moment(when.end + slack)}"
    text = f"{rule.column} from {when.start.isoformat()} to {when.end.isoformat()}"
    return _rows(check, _filter(data, [_column(table, rule.column)]), holds, text)


_AGGREGATES: Mapping[str, str] = {
    "sum": "sum({})",
    "mean": "avg({})",
    "min": "min({})",
    "max": "max({})",
    "stdev": "stddev_samp({})",
    "median": "median({})",
    "distinct": "count(DISTINCT {})",
}


def _aggregate(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    rule = data.aggregate
    assert rule is not None
    _between("x", rule.min, rule.max)
    any_type = rule.function in ("distinct", "nullShare")
    column = _column(table, rule.column) if any_type else _number(table, rule.column)
    words = f"{rule.function} of {rule.column} {_words(rule.min, rule.max)}"
    if rule.function == "nullShare":
        looked_at = _filter(data)
        missing = _count(_filter(data) + f" AND {column} IS NULL")
        return Compiled(
            check,
            Measure.NUMBER,
            fused=(_count(looked_at), f"{missing} / nullif({_count(looked_at)}, 0)"),
            bounds=(rule.min, rule.max),
            text=words,
        )
    if rule.function == "quantile":
        if rule.quantile is None:
            raise CannotCompile("quantile: which one is needed, for instance quantile: 0.95")
        computed = f"quantile_cont({column}, {rule.quantile!r})"
    else:
        computed = _AGGREGATES[rule.function].format(column)
    looked_at = _filter(data, [column])
    return Compiled(
        check,
        Measure.NUMBER,
        fused=(_count(looked_at), f"{computed} FILTER (WHERE {looked_at})"),
        bounds=(rule.min, rule.max),
        text=words,
    )


def _sql(check: Check, data: DataCheck, table: Table, _tables: Mapping[str, Table], _when: When) -> Compiled:
    assert data.sql is not None
    rows = f"(SELECT count(*) FROM {quote(table.name)} WHERE {_filter(data)})"
    query = f"SELECT {rows}, (SELECT count(*) FROM ({data.sql.query}))"
    return Compiled(check, Measure.NUMBER, query=query, bounds=(None, 0), text="the query returns no rows")


def _drift(check: Check, data: DataCheck, table: Table, tables: Mapping[str, Table], _when: When) -> Compiled:
    rule = data.drift
    assert rule is not None
    other = _table(tables, rule.source)
    numeric = _base_type(table, rule.column) in NUMBERS | {"DECIMAL"} if rule.column in table.columns else False
    column, baseline = _column(table, rule.column), _column(other, rule.column)
    here = f"SELECT {column} AS v FROM {quote(table.name)} WHERE {_filter(data, [column])}"
    there = f"SELECT {baseline} AS v FROM {quote(other.name)} WHERE {baseline} IS NOT NULL"
    if numeric:
        here += f" AND NOT isnan(CAST({column} AS DOUBLE))"
        there += f" AND NOT isnan(CAST({baseline} AS DOUBLE))"
    if rule.method == "KS":
        if not numeric:
            raise CannotCompile(f'KS needs numbers; column "{rule.column}" is {table.columns[rule.column]}')
        query = _ks(here, there)
    else:
        query = _psi(here, there, numeric=numeric)
    text = f"{rule.method} of {rule.column} against {rule.source} <= {rule.max:g}"
    return Compiled(check, Measure.NUMBER, query=query, bounds=(None, rule.max), text=text, tables=(rule.source,))


def _ks(here: str, there: str) -> str:
    """Two-sample Kolmogorov-Smirnov distance: the greatest difference of the two empirical distribution functions."""
    return (
        f"WITH h AS ({here}), t AS ({there}), "
        "n AS (SELECT (SELECT count(*) FROM h) AS nh, (SELECT count(*) FROM t) AS nt), "
        "steps AS (SELECT v, sum(a) AS a, sum(b) AS b FROM "
        "(SELECT v, 1 AS a, 0 AS b FROM h UNION ALL SELECT v, 0, 1 FROM t) GROUP BY v), "
        "f AS (SELECT sum(a) OVER (ORDER BY v) / nullif(nh, 0) AS fh, sum(b) OVER (ORDER BY v) / nullif(nt, 0) AS ft "
        "FROM steps, n) "
        "SELECT (SELECT CASE WHEN nt = 0 THEN 0 ELSE nh END FROM n), max(abs(fh - ft)) FROM f"
    )


def _psi(here: str, there: str, *, numeric: bool) -> str:
    """Population stability index: sum of (p - q) ln(p / q) over the baseline's deciles, or over the values of texts."""
    if numeric:
        cuts = "cuts AS (SELECT quantile_cont(v, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) AS c FROM t)"
        bin_ = "len(list_filter(c, lambda x: x < v))"
        binned = (
            f"hb AS (SELECT {bin_} AS bin, count(*) AS n FROM h, cuts GROUP BY 1), "
            f"tb AS (SELECT {bin_} AS bin, count(*) AS n FROM t, cuts GROUP BY 1)"
        )
        head = f"{cuts}, {binned}"
    else:
        values = "SELECT v AS bin, count(*) AS n FROM"
        head = f"hb AS ({values} h GROUP BY 1), tb AS ({values} t GROUP BY 1)"
    return (
        f"WITH h AS ({here}), t AS ({there}), "
        "n AS (SELECT (SELECT count(*) FROM h) AS nh, (SELECT count(*) FROM t) AS nt), "
        f"{head}, shares AS (SELECT greatest(coalesce(hb.n, 0) / nullif(nh, 0), {PSI_FLOOR}) AS p, "
        f"greatest(coalesce(tb.n, 0) / nullif(nt, 0), {PSI_FLOOR}) AS q "
        "FROM hb FULL JOIN tb ON hb.bin = tb.bin, n) "
        "SELECT (SELECT CASE WHEN nt = 0 THEN 0 ELSE nh END FROM n), sum((p - q) * ln(p / q)) FROM shares"
    )


def _reconcile(check: Check, data: DataCheck, table: Table, tables: Mapping[str, Table], _when: When) -> Compiled:
    rule = data.reconcile
    assert rule is not None
    other = _table(tables, rule.source)
    keys = _list(_column(table, name) for name in rule.keys)
    for name in rule.keys:
        _column(other, name)
    here = f"SELECT {keys} FROM {quote(table.name)} WHERE {_filter(data)}"
    there = f"SELECT {keys} FROM {quote(other.name)}"
    differences = [
        f"(SELECT count(*) FROM ({here} EXCEPT ALL {there}))",
        f"(SELECT count(*) FROM ({there} EXCEPT ALL {here}))",
    ]
    tolerance = 1e-9 if rule.tolerance is None else rule.tolerance
    for name in rule.sums:
        left = f"(SELECT sum({_number(table, name)}) FROM {quote(table.name)} WHERE {_filter(data)})"
        right = f"(SELECT sum({_number(other, name)}) FROM {quote(other.name)})"
        close = f"abs({left} - {right}) <= {tolerance!r} * greatest(abs({left}), abs({right}))"
        differences.append(f"(CASE WHEN ({close}) IS TRUE THEN 0 ELSE 1 END)")
    query = f"SELECT (SELECT count(*) FROM ({here})), {' + '.join(differences)}"
    text = f"the same rows as {rule.source} by {', '.join(rule.keys)}"
    return Compiled(check, Measure.NUMBER, query=query, bounds=(None, 0), text=text, tables=(rule.source,))


_COMPILERS = {
    "row_count": _row_count,
    "columns": _columns,
    "not_null": _not_null,
    "unique": _unique,
    "range": _range,
    "in_set": _in_set,
    "regex": _regex,
    "preset": _preset,
    "length": _length,
    "row": _row,
    "reference": _reference,
    "freshness": _freshness,
    "window": _window,
    "aggregate": _aggregate,
    "sql": _sql,
    "drift": _drift,
    "reconcile": _reconcile,
}
