"""Assertions on each row, or on the values in it: what a row has to fulfil, as an SQL condition."""

from sluice.checks.presets import PRESETS
from sluice.checks.sql import (
    FLOATS,
    CannotCompile,
    Compiled,
    Context,
    Measure,
    between,
    count,
    listed,
    literal,
    quote,
    words,
)


def not_null(context: Context) -> Compiled:
    """No value of the columns is NULL."""
    rule = context.data.not_null
    assert rule is not None
    holds = " AND ".join(f"{context.table.column(name)} IS NOT NULL" for name in rule.columns)
    return context.on_rows(context.looked_at(), holds, f"{', '.join(rule.columns)} not null")


def unique(context: Context) -> Compiled:
    """No combination of values comes twice. All the rows of a combination that does fail; one of them need not be set
    aside (the first in the order of all columns).
    """
    rule = context.data.unique
    assert rule is not None
    table = context.table
    columns = [table.column(name) for name in rule.columns]
    looked_at, keys = context.present(*columns), listed(columns)
    query = (
        f"SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE n > 1), 0) FROM "
        f"(SELECT count(*) AS n FROM {quote(table.name)} WHERE {looked_at} GROUP BY {keys})"
    )
    twice = f"SELECT {keys} FROM {quote(table.name)} WHERE {looked_at} GROUP BY {keys} HAVING count(*) > 1"
    order = listed(quote(name) for name in table.columns)
    surplus = f"({looked_at}) AND row_number() OVER (PARTITION BY ({looked_at}), {keys} ORDER BY {order}) > 1"
    return Compiled(
        context.check,
        Measure.ROWS,
        query=query,
        failing=f"({looked_at}) AND ({keys}) IN ({twice})",
        surplus=surplus,
        text=f"{', '.join(rule.columns)} unique",
        whole=(table.name,),
    )


def range_(context: Context) -> Compiled:
    """Numbers lie between bounds. NaN does not, though SQL takes it for the greatest number."""
    rule = context.data.range
    assert rule is not None
    column = context.table.number(rule.column)
    holds = between(column, rule.min, rule.max)
    if context.table.base_type(rule.column) in FLOATS:
        holds = f"NOT isnan({column}) AND {holds}"
    return context.on_rows(context.present(column), holds, f"{rule.column} {words(rule.min, rule.max)}")


def in_set(context: Context) -> Compiled:
    """Values are among those listed."""
    rule = context.data.in_set
    assert rule is not None
    column = context.table.column(rule.column)
    is_text = context.table.base_type(rule.column) == "VARCHAR"
    values = [literal(str(v) if is_text and not isinstance(v, str) else v) for v in rule.values if v is not None]
    if not values:
        raise CannotCompile("values are needed besides null")
    holds = f"{column} IN ({listed(values)})"
    return context.on_rows(context.present(column), holds, f"{rule.column} in {listed(values)}")


def regex(context: Context) -> Compiled:
    """The whole of each text matches. RE2: in linear time, whatever the pattern."""
    rule = context.data.regex
    assert rule is not None
    return _matches(context, rule.column, rule.pattern, f"{rule.column} matches {rule.pattern}")


def preset(context: Context) -> Compiled:
    """The same with a well-known form."""
    rule = context.data.preset
    assert rule is not None
    return _matches(context, rule.column, PRESETS[rule.name].pattern, f"{rule.column} is {rule.name}")


def _matches(context: Context, name: str, pattern: str, text: str) -> Compiled:
    value = context.table.text(name)
    looked_at = context.present(context.table.column(name))
    return context.on_rows(looked_at, f"regexp_full_match({value}, {literal(pattern)})", text)


def length(context: Context) -> Compiled:
    """Texts have a length, in characters, between bounds."""
    rule = context.data.length
    assert rule is not None
    holds = between(f"length({context.table.text(rule.column)})", rule.min, rule.max)
    looked_at = context.present(context.table.column(rule.column))
    return context.on_rows(looked_at, holds, f"length of {rule.column} {words(rule.min, rule.max)}")


def row(context: Context) -> Compiled:
    """A condition on several columns is true."""
    assert context.data.row is not None
    return context.on_rows(context.looked_at(), context.data.row.expression, context.data.row.expression)


def conditional(context: Context) -> Compiled:
    """Where one condition is true, another one is."""
    rule = context.data.conditional
    assert rule is not None
    looked_at = context.looked_at(f"({rule.when})")
    return context.on_rows(looked_at, rule.then, f"when {rule.when} then {rule.then}")


def reference(context: Context) -> Compiled:
    """Values exist in another data set."""
    rule = context.data.reference
    assert rule is not None
    if len(rule.columns) != len(rule.keys):
        raise CannotCompile(f"columns and keys must be equally many, not {len(rule.columns)} and {len(rule.keys)}")
    other = context.other(rule.source)
    columns = [context.table.column(name) for name in rule.columns]
    keys = [other.column(name) for name in rule.keys]
    looked_at = context.present(*columns)
    known = f"SELECT {listed(keys)} FROM {quote(other.name)} WHERE {' AND '.join(f'{key} IS NOT NULL' for key in keys)}"
    failing = f"({looked_at}) AND NOT ({listed(columns)}) IN ({known})"
    return Compiled(
        context.check,
        Measure.ROWS,
        query=f"SELECT {count(looked_at)}, {count(failing)} FROM {quote(context.table.name)}",
        failing=failing,
        text=f"{', '.join(rule.columns)} exist in {rule.source}",
        tables=(rule.source,),
        whole=(rule.source,),
    )
