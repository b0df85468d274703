"""The pieces that compiled checks are made of: tables, the moment of evaluation, and quoted SQL. Pure.

Checks on rows and most numbers are pairs of aggregates, so that all of them on one table are answered by a single scan.
What needs a grouping or a join has a query of its own. Both return the same two numbers:

    a check on rows     rows looked at, rows that fail
    a check on a number rows looked at, the number

A row fails when its condition is not true: SQL's `unknown` is a failure too. Missing values (NULL) are the business of
`notNull` alone; other checks on values do not look at them, and say how many rows they did look at.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from sluice.api.base import Json
from sluice.api.data_checks import DataCheck
from sluice.api.gate import Check

FLOATS = frozenset({"FLOAT", "DOUBLE", "REAL"})
NUMBERS = FLOATS | {
    "DECIMAL",
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
}
WITH_ZONE = "TIMESTAMP WITH TIME ZONE"


class CannotCompile(Exception):
    """The check does not fit its table: the message says why and what would."""


class Measure(Enum):
    """What the two numbers of a check mean."""

    ROWS = "rows"
    NUMBER = "number"
    SCHEMA = "schema"
    """Answered by the columns alone; the rows are only counted."""


@dataclass(frozen=True)
class Table:
    """A data set as the checks see it."""

    name: str
    columns: Mapping[str, str]
    """Column to SQL type."""

    def base_type(self, name: str) -> str:
        """The type of a column without what stands in parentheses, in capitals."""
        return self.columns[name].split("(")[0].upper()

    def is_number(self, name: str) -> bool:
        """Whether a column is there and holds numbers."""
        return name in self.columns and self.base_type(name) in NUMBERS

    def column(self, name: str) -> str:
        """A column, quoted. Raises CannotCompile when there is none."""
        if name not in self.columns:
            raise CannotCompile(f'{self.name} has no column "{name}"; it has: {", ".join(self.columns)}')
        return quote(name)

    def number(self, name: str) -> str:
        """A column of numbers, quoted. Raises CannotCompile."""
        column = self.column(name)
        if not self.is_number(name):
            raise CannotCompile(f'column "{name}" is {self.columns[name]}, not a number')
        return column

    def text(self, name: str) -> str:
        """A column as text. Raises CannotCompile."""
        column = self.column(name)
        return column if self.base_type(name) == "VARCHAR" else f"CAST({column} AS VARCHAR)"


@dataclass(frozen=True)
class When:
    """The moment of evaluation, and the interval of the run if there is one. Bounds in time come from these."""

    now: datetime
    start: datetime | None = None
    end: datetime | None = None
    zone: str = "UTC"
    """The time zone in which `.date` of a moment in a uri is read."""


@dataclass(frozen=True)
class Compiled:
    """A check in SQL."""

    check: Check
    measure: Measure
    fused: tuple[str, str] | None = None
    """Two aggregates over the check's table."""
    query: str | None = None
    """A query of its own that returns one row of two numbers, and as a third what there is to say of them."""
    failing: str | None = None
    """Condition of the rows that fail, for samples."""
    surplus: str | None = None
    """Condition of the rows to set aside, where that is not `failing`; it may hold window functions."""
    problems: tuple[str, ...] = ()
    """With SCHEMA: what is wrong."""
    bounds: tuple[float | None, float | None] = (None, None)
    infinite_fails: bool = False
    """An infinite number is a known failure, not a missing measurement."""
    text: str = ""
    """The bound, in words."""
    tables: tuple[str, ...] = field(default=())
    """The other tables that it reads."""
    whole: tuple[str, ...] = field(default=())
    """Tables of which it needs every row: on a sample it cannot be judged."""


@dataclass(frozen=True)
class Context:
    """All that a compiler of an assertion knows."""

    check: Check
    table: Table
    tables: Mapping[str, Table]
    when: When

    @property
    def data(self) -> DataCheck:
        """What is asserted."""
        return self.check.on_data

    def other(self, name: str) -> Table:
        """Another data set of the gate. Raises CannotCompile."""
        return find_table(self.tables, name)

    def looked_at(self, *conditions: str) -> str:
        """The condition of the rows that the check looks at: its `where`, and these."""
        parts = [f"({self.data.where})"] if self.data.where is not None else []
        return " AND ".join([*parts, *conditions]) or "TRUE"

    def present(self, *columns: str) -> str:
        """The condition of the rows that the check looks at and that have a value in all these columns."""
        return self.looked_at(*(f"{column} IS NOT NULL" for column in columns))

    def on_rows(self, looked_at: str, holds: str, text: str) -> Compiled:
        """A check on rows: those `looked_at` for which `holds` is not true fail."""
        failing = f"({holds}) IS NOT TRUE" if looked_at == "TRUE" else f"({looked_at}) AND ({holds}) IS NOT TRUE"
        return Compiled(self.check, Measure.ROWS, fused=(count(looked_at), count(failing)), failing=failing, text=text)

    def on_number(self, looked_at: str, number: str, bounds: tuple[float | None, float | None], text: str) -> Compiled:
        """A check on a number: an aggregate over the table."""
        return Compiled(self.check, Measure.NUMBER, fused=(count(looked_at), number), bounds=bounds, text=text)


def find_table(tables: Mapping[str, Table], name: str) -> Table:
    """A table by name. Raises CannotCompile when there is none."""
    if name not in tables:
        raise CannotCompile(f'there is no source "{name}"; there are: {", ".join(sorted(tables)) or "none"}')
    return tables[name]


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


def moment(at: datetime, *, zone: bool = True) -> str:
    """An SQL timestamp, with time zone or as the plain time in UTC."""
    text = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    return f"TIMESTAMPTZ '{text}+00'" if zone else f"TIMESTAMP '{text}'"


def has_zone(table: Table, name: str) -> bool:
    """Whether a column of times knows its zone; times without one, and dates, are read as UTC. Raises CannotCompile."""
    table.column(name)
    kind = table.base_type(name)
    if kind != "DATE" and not kind.startswith("TIMESTAMP"):
        raise CannotCompile(f'column "{name}" is {table.columns[name]}, not a date or a timestamp')
    return kind == WITH_ZONE


def count(condition: str) -> str:
    """The number of rows for which `condition` is true."""
    return "count(*)" if condition == "TRUE" else f"count(*) FILTER (WHERE {condition})"


def between(expression: str, least: float | None, most: float | None) -> str:
    """The condition that a number lies between bounds, ends included. Raises CannotCompile without any bound."""
    parts = []
    if least is not None:
        parts.append(f"{expression} >= {plain(least)}")
    if most is not None:
        parts.append(f"{expression} <= {plain(most)}")
    if not parts:
        raise CannotCompile("min, max or both are needed")
    return " AND ".join(parts)


def plain(number: float) -> str:
    """A number as SQL: whole ones without a point."""
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else repr(number)


def words(least: float | None, most: float | None) -> str:
    """Bounds for people."""
    parts = ([f">= {least:g}"] if least is not None else []) + ([f"<= {most:g}"] if most is not None else [])
    return " and ".join(parts)


def listed(columns: Iterable[str]) -> str:
    """Expressions with commas between them."""
    return ", ".join(columns)
