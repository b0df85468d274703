"""Checks in PostgreSQL's dialect, where they provably mean there what they mean in DuckDB. Pure.

sqlglot parses the compiled SQL; every node of the tree is then looked at, with the kind of its values. Only what is named
here is translated. Left out on purpose, as it may differ in a verdict: arithmetic (overflow, division by zero), sums and
means of doubles (the order of rounding), quantiles (interpolation), the order of texts (collations), joins, window
functions, and every function that is not listed. Those checks are streamed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp, parse, parse_one
from sqlglot.errors import SqlglotError

from sluice.checks.sql import quote
from sluice.checks.stores.base import Column, Kind, RemoteTable
from sluice.checks.stores.patterns import Untranslatable, to_postgres

_EXACT_DIGITS = 15
"""Decimal digits that a double holds for certain."""
_NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.DOUBLE})
_TIMES = frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ})
_ORDERED = _NUMBERS | _TIMES
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,6})?(\+00)?)?")
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


class NotTheSame(Exception):
    """The query may come out differently in PostgreSQL: what is in it."""


@dataclass(frozen=True)
class Translation:
    """A query for PostgreSQL."""

    sql: str
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]


@dataclass(frozen=True)
class _Value:
    """An expression, and the kind of its values."""

    node: exp.Expression
    kind: Kind
    narrow: bool = False
    digits: int = 0
    """Of a literal number: its significant digits."""
    counted: bool = False
    """A count of rows, which no sum of a few overflows."""


@dataclass(frozen=True)
class _Scope:
    """What may be named in one SELECT."""

    columns: Mapping[str, Column]
    """By name in lower case."""
    alias: str
    aggregates: bool = False
    """Aggregates may stand here."""
    only: frozenset[str] | None = None
    """Columns that may stand outside of aggregates, by name in lower case; None: all."""
    queries: bool = False
    """`IN (SELECT ...)` may stand here: PostgreSQL makes a join of it."""
    tables: Mapping[str, RemoteTable] = field(default_factory=dict)


def translate(sql: str, tables: Mapping[str, RemoteTable]) -> Translation:
    """`sql` for PostgreSQL. `tables` are those of one database, by the names of their sources. Raises NotTheSame."""
    try:
        statements = parse(sql, read="duckdb")
    except SqlglotError as error:
        raise NotTheSame(str(error)) from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise NotTheSame("it is not one SELECT")
    lower = {name.lower(): table for name, table in tables.items()}
    node, columns = _select(statements[0], lower, top=True)
    names, kinds = tuple(name for name, _ in columns), tuple(value.kind for _, value in columns)
    return Translation(node.sql(dialect="postgres"), names, kinds)


def _given(node: exp.Expression) -> dict[str, object]:
    """What is set of a node, by name: sqlglot writes some names with an underscore, in some versions."""
    return {name.rstrip("_"): value for name, value in node.args.items() if value}


def _only(node: exp.Expression, *allowed: str) -> dict[str, object]:
    given = _given(node)
    if unknown := set(given) - set(allowed):
        raise NotTheSame(f"{type(node).__name__} with {', '.join(sorted(unknown))}")
    return given


def _raw(sql: str) -> exp.Expression:
    parsed = parse_one(sql, read="postgres")
    assert isinstance(parsed, exp.Expression)
    return parsed


# -- queries ----------------------------------------------------------------------------------------------------------


def _select(
    node: exp.Expression, tables: Mapping[str, RemoteTable], *, top: bool = False
) -> tuple[exp.Select, list[tuple[str, _Value]]]:
    if not isinstance(node, exp.Select):
        raise NotTheSame(type(node).__name__)
    given = _only(node, "expressions", "from", "where", "group", "having", *(("limit",) if top else ()))
    built = exp.Select()
    scope = _Scope({}, "", tables=tables)
    if "from" in given:
        source, scope = _from(given["from"], tables)
        built = built.from_(source)
    if "where" in given:
        where = _condition(node.args["where"].this, replace(scope, queries=True))
        built = built.where(where)
    keys = []
    if "group" in given:
        group = node.args["group"]
        _only(group, "expressions")
        for key in group.expressions:
            if not isinstance(key, exp.Column):
                raise NotTheSame("a group that is no column")
            keys.append(key.name.lower())
            built = built.group_by(_value(key, scope).node)
    grouped = "group" in given or any(_has_aggregate(item) for item in node.expressions)
    inner = replace(scope, aggregates=True, only=frozenset(keys) if grouped else None)
    if "having" in given:
        built = built.having(_condition(node.args["having"].this, inner))
    columns = _items(node, inner, grouped=grouped, top=top)
    for name, value in columns:
        built = built.select(exp.alias_(value.node, name, quoted=True))
    if "limit" in given:
        limit = node.args["limit"].expression
        if not isinstance(limit, exp.Literal) or limit.is_string:
            raise NotTheSame("a limit that is no number")
        built = built.limit(int(limit.this))
    return built, columns


def _from(source: object, tables: Mapping[str, RemoteTable]) -> tuple[exp.Expression, _Scope]:
    assert isinstance(source, exp.Expression)
    what = source.this
    if isinstance(what, exp.Table):
        _only(what, "this", "alias")
        table = tables.get(what.name.lower())
        if table is None:
            raise NotTheSame(f"{what.name} lies elsewhere")
        if what.args.get("alias") is not None and what.args["alias"].args.get("columns"):
            raise NotTheSame("columns that are renamed")
        alias = what.alias or what.name
        columns = {name.lower(): column for name, column in table.columns.items()}
        return _raw(f"SELECT 1 FROM {table.place} AS {quote(alias)}").find(exp.Table) or what, _Scope(
            columns, alias.lower(), tables=tables
        )
    if isinstance(what, exp.Subquery):
        _only(what, "this", "alias")
        if what.args.get("alias") is not None and what.args["alias"].args.get("columns"):
            raise NotTheSame("columns that are renamed")
        query, found = _rows(what.this, tables)
        alias = what.alias or "q"
        lower = [name.lower() for name, _ in found]
        if len(set(lower)) < len(lower):
            raise NotTheSame("two columns of one name")
        columns = {name.lower(): _derived(name, value) for name, value in found}
        subquery = exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
        return subquery, _Scope(columns, alias.lower(), tables=tables)
    raise NotTheSame(type(what).__name__)


def _rows(node: exp.Expression, tables: Mapping[str, RemoteTable]) -> tuple[exp.Expression, list[tuple[str, _Value]]]:
    """A query whose rows are read further: a SELECT, or EXCEPT ALL of two."""
    if not isinstance(node, exp.Except):
        return _select(node, tables)
    _only(node, "this", "expression")
    if node.args.get("distinct") is not False:
        raise NotTheSame("EXCEPT without ALL")
    left, found = _rows(node.this, tables)
    right, other = _rows(node.expression, tables)
    pairs = [(mine[1].kind, its[1].kind) for mine, its in zip(found, other, strict=False)]
    if len(found) != len(other) or any(mine is not its or mine is Kind.OTHER for mine, its in pairs):
        raise NotTheSame("rows of unlike columns")
    return exp.Except(this=left, expression=right, distinct=False), found


def _derived(name: str, value: _Value) -> Column:
    own = quote(name)
    return Column(name, "", value.kind, own, own, value.narrow)


def _items(node: exp.Select, scope: _Scope, *, grouped: bool, top: bool) -> list[tuple[str, _Value]]:
    found: list[tuple[str, _Value]] = []
    for number, item in enumerate(node.expressions):
        if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
            star = item if isinstance(item, exp.Star) else item.this
            if grouped or _given(star) or (isinstance(item, exp.Column) and item.table.lower() != scope.alias):
                raise NotTheSame("a star of some columns")
            for column in scope.columns.values():
                found.append((column.name, _Value(_raw(column.value if top else column.raw), column.kind)))  # noqa: PERF401
            continue
        name = item.alias_or_name or f"c{number}"
        found.append((name, _value(item.this if isinstance(item, exp.Alias) else item, scope)))
    return found


def _has_aggregate(node: exp.Expression) -> bool:
    if isinstance(node, exp.AggFunc):
        return True
    return any(
        _has_aggregate(child) for child in node.iter_expressions() if not isinstance(child, exp.Subquery | exp.Select)
    )


# -- expressions ------------------------------------------------------------------------------------------------------


def _condition(node: exp.Expression, scope: _Scope) -> exp.Expression:
    value = _value(node, scope)
    if value.kind is not Kind.BOOLEAN:
        raise NotTheSame("a condition that is not true or false")
    return value.node


def _value(node: exp.Expression, scope: _Scope) -> _Value:
    for kind, translator in _TRANSLATORS:
        if isinstance(node, kind):
            return translator(node, scope)
    raise NotTheSame(type(node).__name__)


def _column_of(node: exp.Expression, scope: _Scope) -> Column:
    _only(node, "this", "table")
    name = node.name.lower()
    table = node.args.get("table")
    if table is not None and table.name.lower() != scope.alias:
        raise NotTheSame(f"{table.name} is not here")
    if name not in scope.columns:
        raise NotTheSame(f"{node.name} is no column here")
    if scope.only is not None and name not in scope.only:
        raise NotTheSame(f"{node.name} is not grouped")
    return scope.columns[name]


def _column(node: exp.Expression, scope: _Scope) -> _Value:
    column = _column_of(node, scope)
    return _Value(_raw(column.value), column.kind, column.narrow)


def _literal(node: exp.Expression, _scope: _Scope) -> _Value:
    text = str(node.this)
    if node.args.get("is_string"):
        if "\0" in text:
            raise NotTheSame("a text with a zero")
        return _Value(exp.Literal.string(text), Kind.TEXT)
    if text.isdigit():
        if int(text) >= 2**63:
            raise NotTheSame("a number beyond 64 bits")
        return _Value(exp.Literal.number(text), Kind.INTEGER, digits=len(text))
    if re.fullmatch(r"\d+\.\d+", text):
        return _Value(exp.Literal.number(text), Kind.DECIMAL, digits=len(text.replace(".", "").lstrip("0")))
    if re.fullmatch(r"\d+(\.\d+)?[eE][+-]?\d+", text):
        return _Value(_raw(f"CAST('{text}' AS double precision)"), Kind.DOUBLE, digits=1)
    raise NotTheSame(f"the number {text}")


def _boolean(node: exp.Expression, _scope: _Scope) -> _Value:
    return _Value(exp.Boolean(this=bool(node.this)), Kind.BOOLEAN)


def _paren(node: exp.Expression, scope: _Scope) -> _Value:
    value = _value(node.this, scope)
    return replace(value, node=exp.Paren(this=value.node))


def _negative(node: exp.Expression, scope: _Scope) -> _Value:
    if not isinstance(node.this, exp.Literal):
        raise NotTheSame("arithmetic")
    value = _value(node.this, scope)
    if value.kind not in _NUMBERS:
        raise NotTheSame("minus of a text")
    return replace(value, node=exp.Neg(this=value.node))


def _connective(node: exp.Expression, scope: _Scope) -> _Value:
    sides = [exp.Paren(this=_condition(side, scope)) for side in (node.args["this"], node.args["expression"])]
    return _Value(type(node)(this=sides[0], expression=sides[1]), Kind.BOOLEAN)


def _not(node: exp.Expression, scope: _Scope) -> _Value:
    return _Value(exp.Not(this=exp.Paren(this=_condition(node.this, scope))), Kind.BOOLEAN)


def _is(node: exp.Expression, scope: _Scope) -> _Value:
    what = node.args["expression"]
    if isinstance(what, exp.Null):
        own = node.this
        value = _raw(_column_of(own, scope).raw) if isinstance(own, exp.Column) else _value(own, scope).node
        return _Value(exp.Is(this=exp.Paren(this=value), expression=exp.Null()), Kind.BOOLEAN)
    if isinstance(what, exp.Boolean):
        tested = exp.Paren(this=_condition(node.this, scope))
        return _Value(exp.Is(this=tested, expression=exp.Boolean(this=bool(what.this))), Kind.BOOLEAN)
    raise NotTheSame("IS of something else")


def _require_comparable(left: _Value, right: _Value, *, order: bool) -> None:
    kinds = {left.kind, right.kind}
    if len(kinds) == 1:
        same = kinds <= (_ORDERED if order else _ORDERED | {Kind.TEXT, Kind.BOOLEAN})
    elif kinds <= {Kind.INTEGER, Kind.DECIMAL} or kinds == {Kind.INTEGER, Kind.DOUBLE}:
        same = True
    elif kinds == {Kind.DECIMAL, Kind.DOUBLE}:
        decimal = left if left.kind is Kind.DECIMAL else right
        same = 0 < decimal.digits <= _EXACT_DIGITS
    else:
        same = False
    if not same:
        raise NotTheSame(f"{left.kind} compared with {right.kind}")


def _comparison(node: exp.Expression, scope: _Scope) -> _Value:
    left, right = _value(node.args["this"], scope), _value(node.args["expression"], scope)
    _require_comparable(left, right, order=not isinstance(node, exp.EQ | exp.NEQ))
    return _Value(exp.Paren(this=type(node)(this=left.node, expression=right.node)), Kind.BOOLEAN)


def _between(node: exp.Expression, scope: _Scope) -> _Value:
    _only(node, "this", "low", "high")
    value, low, high = (_value(node.args[name], scope) for name in ("this", "low", "high"))
    _require_comparable(value, low, order=True)
    _require_comparable(value, high, order=True)
    return _Value(exp.Between(this=value.node, low=low.node, high=high.node), Kind.BOOLEAN)


def _in(node: exp.Expression, scope: _Scope) -> _Value:
    given = _only(node, "this", "expressions", "query")
    if "query" in given:
        return _in_query(node, scope)
    value = _value(node.this, scope)
    others = [_value(item, scope) for item in node.expressions]
    for other in others:
        _require_comparable(value, other, order=False)
    return _Value(exp.In(this=value.node, expressions=[other.node for other in others]), Kind.BOOLEAN)


def _in_query(node: exp.Expression, scope: _Scope) -> _Value:
    if not scope.queries:
        raise NotTheSame("a query inside of an aggregate, which may take time by the square of the rows")
    sides = node.this.expressions if isinstance(node.this, exp.Tuple) else [node.this]
    values = [_value(side, scope) for side in sides]
    query, found = _select(node.args["query"].this, scope.tables)
    if len(values) != len(found) or any(
        mine.kind is not its.kind or mine.kind is Kind.OTHER for mine, (_, its) in zip(values, found, strict=True)
    ):
        raise NotTheSame("rows of unlike columns")
    left = exp.Tuple(expressions=[value.node for value in values]) if len(values) > 1 else values[0].node
    return _Value(exp.In(this=left, query=exp.Subquery(this=query)), Kind.BOOLEAN)


def _like(node: exp.Expression, scope: _Scope) -> _Value:
    _only(node, "this", "expression")
    pattern = node.args["expression"]
    if not isinstance(pattern, exp.Literal) or not pattern.is_string or "\\" in str(pattern.this):
        raise NotTheSame("LIKE of something else than a plain text")
    return _Value(exp.Like(this=_of(node.this, scope, Kind.TEXT).node, expression=pattern.copy()), Kind.BOOLEAN)


def _of(node: exp.Expression, scope: _Scope, *kinds: Kind) -> _Value:
    value = _value(node, scope)
    if value.kind not in kinds:
        raise NotTheSame(f"{value.kind} where {' or '.join(kinds)} is needed")
    return value


def _regex(node: exp.Expression, scope: _Scope) -> _Value:
    _only(node, "this", "expression")
    pattern = node.args["expression"]
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        raise NotTheSame("a pattern that is no text")
    try:
        translated = to_postgres(str(pattern.this))
    except Untranslatable:
        raise NotTheSame(f"the pattern {pattern.this}") from None
    text = _of(node.this, scope, Kind.TEXT)
    return _Value(exp.RegexpLike(this=text.node, expression=exp.Literal.string(translated)), Kind.BOOLEAN)


def _length(node: exp.Expression, scope: _Scope) -> _Value:
    return _Value(exp.Length(this=_of(node.this, scope, Kind.TEXT).node), Kind.INTEGER, narrow=True)


def _is_nan(node: exp.Expression, scope: _Scope) -> _Value:
    value = _of(node.this, scope, Kind.DOUBLE)
    nan = _raw("CAST('NaN' AS double precision)")
    return _Value(exp.Paren(this=exp.EQ(this=value.node, expression=nan)), Kind.BOOLEAN)


def _cast(node: exp.Expression, scope: _Scope) -> _Value:
    if isinstance(node, exp.TryCast):
        raise NotTheSame("a cast that may fail")
    to = str(node.args["to"].sql(dialect="duckdb")).upper()
    if isinstance(node.this, exp.Literal) and node.this.is_string and to in _LITERAL_TYPES:
        text = str(node.this.this)
        if not _MOMENT.fullmatch(text) or (to != "TIMESTAMPTZ" and text.endswith("+00")):
            raise NotTheSame(f"the moment {text}")
        if to == "DATE" and len(text) > len("2026-01-01"):
            raise NotTheSame(f"the date {text}")
        return _Value(_raw(f"CAST('{text}' AS {to.lower()})"), _LITERAL_TYPES[to])
    value = _value(node.this, scope)
    if to == "TIMESTAMP" and value.kind in (Kind.DATE, Kind.TIMESTAMP):
        return _Value(exp.cast(value.node, "TIMESTAMP", dialect="postgres"), Kind.TIMESTAMP)
    if to in ("TEXT", "VARCHAR") and value.kind in (Kind.TEXT, Kind.INTEGER):
        return _Value(exp.cast(value.node, "TEXT", dialect="postgres"), Kind.TEXT)
    raise NotTheSame(f"{value.kind} cast to {to}")


_LITERAL_TYPES = {"TIMESTAMPTZ": Kind.TIMESTAMPTZ, "TIMESTAMP": Kind.TIMESTAMP, "DATE": Kind.DATE}


def _at_utc(node: exp.Expression, scope: _Scope) -> _Value:
    zone = node.args["zone"]
    if not isinstance(zone, exp.Literal) or zone.this != "UTC":
        raise NotTheSame("a zone of time")
    value = _of(node.this, scope, Kind.TIMESTAMP)
    return _Value(exp.Paren(this=exp.AtTimeZone(this=value.node, zone=zone.copy())), Kind.TIMESTAMPTZ)


def _microseconds(node: exp.Expression, scope: _Scope) -> _Value:
    if str(node.args["unit"].name).upper() != "MICROSECOND":
        raise NotTheSame("a difference of times in other units")
    later, earlier = (_of(node.args[name], scope, Kind.TIMESTAMP, Kind.TIMESTAMPTZ) for name in ("this", "expression"))
    if later.kind is not earlier.kind:
        raise NotTheSame("moments with and without a zone")
    difference = exp.Paren(this=exp.Sub(this=later.node, expression=earlier.node))
    seconds = exp.Extract(this=exp.var("EPOCH"), expression=difference)
    product = exp.Paren(this=exp.Mul(this=seconds, expression=exp.Literal.number(1000000)))
    return _Value(exp.cast(product, "BIGINT", dialect="postgres"), Kind.INTEGER)


def _modulo(node: exp.Expression, scope: _Scope) -> _Value:
    divisor = node.args["expression"]
    if not isinstance(divisor, exp.Literal) or not str(divisor.this).isdigit() or not 0 < int(divisor.this) < 2**31:
        raise NotTheSame("a remainder of something else than a number")
    value = _of(node.this, scope, Kind.INTEGER)
    built = exp.Mod(this=exp.Paren(this=value.node), expression=divisor.copy())
    return _Value(exp.Paren(this=built), Kind.INTEGER, value.narrow)


def _division(node: exp.Expression, scope: _Scope) -> _Value:
    divisor = node.args["expression"]
    unzero = isinstance(divisor, exp.Nullif) or (
        isinstance(divisor, exp.Literal) and not divisor.is_string and float(divisor.this) != 0
    )
    if not unzero:
        raise NotTheSame("a division by what may be 0")
    sides = [_of(side, scope, Kind.INTEGER, Kind.DOUBLE) for side in (node.this, divisor)]
    doubles = [exp.cast(side.node, "DOUBLE PRECISION", dialect="postgres") for side in sides]
    return _Value(exp.Paren(this=exp.Div(this=doubles[0], expression=doubles[1], typed=True)), Kind.DOUBLE)


def _sum_of_counts(node: exp.Expression, scope: _Scope) -> _Value:
    left, right = _value(node.args["this"], scope), _value(node.args["expression"], scope)
    if not (left.counted and right.counted):
        raise NotTheSame("arithmetic")
    return _Value(exp.Add(this=left.node, expression=right.node), Kind.INTEGER, counted=True)


def _coalesce(node: exp.Expression, scope: _Scope) -> _Value:
    values = [_of(part, scope, Kind.INTEGER) for part in (node.this, *node.expressions)]
    return _Value(exp.Coalesce(this=values[0].node, expressions=[value.node for value in values[1:]]), Kind.INTEGER)


def _nullif(node: exp.Expression, scope: _Scope) -> _Value:
    sides = [_of(node.args[name], scope, Kind.INTEGER) for name in ("this", "expression")]
    return _Value(exp.Nullif(this=sides[0].node, expression=sides[1].node), Kind.INTEGER)


def _scalar(node: exp.Expression, scope: _Scope) -> _Value:
    _only(node, "this")
    query, found = _select(node.this, scope.tables)
    if len(found) != 1 or not found[0][1].counted:
        raise NotTheSame("a query for one value that is no count")
    return _Value(exp.Subquery(this=query), Kind.INTEGER, counted=True)


# -- aggregates -------------------------------------------------------------------------------------------------------


def _filtered(node: exp.Expression, scope: _Scope) -> _Value:
    return _aggregate(node.this, scope, node.args["expression"].this)


def _aggregate(node: exp.Expression, scope: _Scope, where: exp.Expression | None = None) -> _Value:
    if not scope.aggregates:
        raise NotTheSame("an aggregate where none may be")
    inside = replace(scope, aggregates=False, only=None, queries=False)
    condition = None if where is None else _condition(where, inside)

    def filtered(aggregate: exp.Expression) -> exp.Expression:
        return (
            aggregate if condition is None else exp.Filter(this=aggregate, expression=exp.Where(this=condition.copy()))
        )

    match node:
        case exp.Count():
            return _Value(filtered(_count(node, inside)), Kind.INTEGER, counted=True)
        case exp.Sum():
            value = _of(node.this, inside, Kind.INTEGER, Kind.DECIMAL)
            return _Value(filtered(exp.Sum(this=value.node)), value.kind)
        case exp.Avg():
            # As DuckDB does it: the exact sum as a double, divided once. PostgreSQL's own avg rounds in decimal digits.
            column = _of(node.this, inside, Kind.INTEGER).node
            total = exp.cast(filtered(exp.Sum(this=column)), "DOUBLE PRECISION", dialect="postgres")
            rows = exp.Nullif(this=filtered(exp.Count(this=column.copy())), expression=exp.Literal.number(0))
            return _Value(exp.Paren(this=exp.Div(this=total, expression=rows, typed=True)), Kind.DOUBLE)
        case exp.Min() | exp.Max():
            _only(node, "this")
            value = _of(node.this, inside, *_ORDERED)
            return _Value(filtered(type(node)(this=value.node)), value.kind, value.narrow)
        case exp.Median():
            value = _of(node.this, inside, Kind.INTEGER)
            if not value.narrow:
                raise NotTheSame("a median that may be rounded")
            built = filtered(_raw(f"percentile_cont(0.5) WITHIN GROUP (ORDER BY {value.node.sql('postgres')})"))
            return _Value(built, Kind.DOUBLE)
        case _:
            raise NotTheSame(type(node).__name__)


def _count(node: exp.Expression, inside: _Scope) -> exp.Expression:
    what = node.this
    if isinstance(what, exp.Star):
        return exp.Count(this=exp.Star())
    if isinstance(what, exp.Distinct):
        _only(what, "expressions")
        value = _of(what.expressions[0], inside, *_ORDERED, Kind.TEXT, Kind.BOOLEAN)
        if len(what.expressions) != 1:
            raise NotTheSame("a count of distinct combinations")
        return exp.Count(this=exp.Distinct(expressions=[value.node]))
    if isinstance(what, exp.Column):
        return exp.Count(this=_raw(_column_of(what, inside).raw))
    raise NotTheSame("a count of something else than a column")


_TRANSLATORS: tuple[tuple[Any, Callable[..., _Value]], ...] = (
    (exp.Column, _column),
    (exp.Literal, _literal),
    (exp.Boolean, _boolean),
    (exp.Paren, _paren),
    (exp.Neg, _negative),
    ((exp.And, exp.Or), _connective),
    (exp.Not, _not),
    (exp.Is, _is),
    (_COMPARISONS, _comparison),
    (exp.Between, _between),
    (exp.In, _in),
    (exp.Like, _like),
    (exp.RegexpFullMatch, _regex),
    (exp.Length, _length),
    (exp.IsNan, _is_nan),
    (exp.Cast, _cast),
    (exp.AtTimeZone, _at_utc),
    (exp.DateDiff, _microseconds),
    (exp.Mod, _modulo),
    (exp.Div, _division),
    (exp.Add, _sum_of_counts),
    (exp.Coalesce, _coalesce),
    (exp.Nullif, _nullif),
    (exp.Filter, _filtered),
    (exp.AggFunc, _aggregate),
    (exp.Subquery, _scalar),
)
