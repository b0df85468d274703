"""Tables of PostgreSQL: one connection and one READ ONLY transaction for each database, so that all checks see one state.

A statement is bounded in time by the server. What is not answered there is streamed: the needed columns only, in
batches, into a table of DuckDB, which spills. Credentials come from the environment, PREFIX_USER and PREFIX_PASSWORD.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import adbc_driver_postgresql.dbapi as adbc
import duckdb
from adbc_driver_manager import Error

from sluice.api.gate import Source
from sluice.checks.sql import quote
from sluice.checks.stores.base import HIDDEN, CannotRead, Column, Kind, RemoteTable, first_line

CONNECT_SECONDS = 10
_SETTINGS = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "channel_binding"})
_TIMEOUT = "57014"

_COLUMNS = """
SELECT a.attname, t.typname, a.atttypmod, coalesce(k.collisdeterministic, true), t.typtype::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation k ON k.oid = a.attcollation
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0
AND NOT a.attisdropped ORDER BY a.attnum
"""


class TookTooLong(CannotRead):
    """A statement ran into its limit of time."""


class Database:
    """One database, read in one transaction."""

    def __init__(self, conninfo: str, secret: str, statement_seconds: float) -> None:
        self._secret = secret
        self._seconds = statement_seconds
        try:
            self._connection = adbc.connect(conninfo, autocommit=True)
        except Error as error:
            raise CannotRead(self._words(error)) from None
        self._cursor = self._connection.cursor()
        for statement in (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            f"SET LOCAL statement_timeout = {max(1, round(statement_seconds * 1000))}",
            "SET LOCAL TIME ZONE 'UTC'",
            "SET LOCAL search_path = pg_catalog",
        ):
            self._cursor.execute(statement)
        self.utf8 = self.rows("SELECT current_setting('server_encoding')")[0][0] == "UTF8"

    def table(self, schema: str, name: str) -> RemoteTable:
        """A table or view. Raises CannotRead when there is none."""
        found = self.rows(_COLUMNS, (schema, name))
        if not found:
            raise CannotRead(f'there is no table "{schema}.{name}", or none that may be read')
        columns = [_column(*row, utf8=self.utf8) for row in found]
        if len({column.name.lower() for column in columns}) < len(columns):
            raise CannotRead(f'"{schema}.{name}" has columns that differ only in case')
        return RemoteTable(f"{quote(schema)}.{quote(name)}", {column.name: column for column in columns})

    def rows(self, sql: str, parameters: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """What a query returns. Raises CannotRead; the transaction goes on."""
        try:
            self._cursor.execute("SAVEPOINT q")
            self._cursor.execute(sql, parameters=tuple(parameters) or None)
            rows: list[tuple[Any, ...]] = self._cursor.fetchall()
            self._cursor.execute("RELEASE SAVEPOINT q")
        except Error as error:
            self._go_on()
            raise self._error(error) from None
        return rows

    def stream(
        self, connection: duckdb.DuckDBPyConnection, name: str, table: RemoteTable, columns: Iterable[str]
    ) -> None:
        """Make the view `name` of DuckDB with these columns. Raises CannotRead."""
        kept = quote(f"sluice rows of {name}")
        chosen = [table.columns[column] for column in columns]
        select = ", ".join(f"{column.value} AS {quote(column.name)}" for column in chosen)
        casts = ", ".join(f"CAST({quote(column.name)} AS {column.type}) AS {quote(column.name)}" for column in chosen)
        try:
            self._cursor.execute("SAVEPOINT q")
            self._cursor.execute(f"SELECT {select} FROM {table.place}")
            with self._cursor.fetch_record_batch() as batches:
                connection.register("sluice stream", batches)
                connection.execute(f'CREATE OR REPLACE TABLE {kept} AS SELECT {casts} FROM "sluice stream"')
                connection.unregister("sluice stream")
            connection.execute(f"CREATE OR REPLACE VIEW {quote(name)} AS SELECT * FROM {kept}")
            self._cursor.execute("RELEASE SAVEPOINT q")
        except Error as error:
            self._go_on()
            raise self._error(error) from None
        except duckdb.Error as error:
            connection.unregister("sluice stream")
            self._go_on()
            if "statement timeout" in str(error):
                raise TookTooLong(self._too_long()) from None
            raise CannotRead(f"streaming it broke off: {self._words(error)}") from None

    def close(self) -> None:
        """End the transaction and the connection."""
        self._cursor.close()
        self._connection.close()

    def _go_on(self) -> None:
        try:
            self._cursor.close()
            self._cursor = self._connection.cursor()
            self._cursor.execute("ROLLBACK TO SAVEPOINT q")
        except Error:
            return  # the connection is gone, which the next statement says

    def _error(self, error: Error) -> CannotRead:
        if error.sqlstate == _TIMEOUT:
            return TookTooLong(self._too_long())
        return CannotRead(self._words(error))

    def _too_long(self) -> str:
        return f"a statement in PostgreSQL took longer than {self._seconds:g} s"

    def _words(self, error: Exception) -> str:
        text = str(error)
        for mark in ("ERROR:", "FATAL:", "failed:"):
            if mark in text:
                text = text.split(mark, 1)[1]
                break
        line = first_line(CannotRead(text)).strip()
        return line.replace(self._secret, HIDDEN) if self._secret else line


def parse(source: Source, uri: str, environment: Mapping[str, str]) -> tuple[str, str, str, str]:
    """(how libpq is told to connect, the password, schema, table). Raises CannotRead for what is missing or forbidden."""
    parts = urlsplit(uri)
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.password is not None or "password" in settings:
        raise CannotRead("there is a password in the uri: give it in the environment, and its prefix in credentials")
    if unknown := sorted(set(settings) - _SETTINGS):
        raise CannotRead(f"{unknown[0]} cannot be set in the uri; these can: {', '.join(sorted(_SETTINGS))}")
    database, _, in_path = unquote(parts.path).strip("/").partition("/")
    name = source.table or in_path
    if not parts.hostname or not database:
        raise CannotRead("postgresql://HOST[:PORT]/DATABASE is the form")
    if not name:
        raise CannotRead("table is needed: SCHEMA.TABLE")
    schema, _, table = name.rpartition(".")
    words = {"host": parts.hostname, "port": str(parts.port or 5432), "dbname": database, **settings}
    words.setdefault("connect_timeout", str(CONNECT_SECONDS))
    secret = ""
    if source.credentials is not None:
        for field, ending in (("user", "USER"), ("password", "PASSWORD")):
            variable = f"{source.credentials}_{ending}"
            if not environment.get(variable):
                raise CannotRead(f"the environment has no {variable}: the step takes it from a Secret by envFrom")
            words[field] = environment[variable]
        secret = words["password"]
    elif parts.username:
        words["user"] = unquote(parts.username)
    return " ".join(f"{key}={_word(value)}" for key, value in words.items()), secret, schema or "public", table


def value_of(kind: Kind, value: Any) -> Any:
    """A value as DuckDB would have returned it: PostgreSQL's wide numbers arrive as texts."""
    return Decimal(value) if isinstance(value, str) and kind in (Kind.INTEGER, Kind.DECIMAL) else value


def _word(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_PLAIN = {
    "int2": ("SMALLINT", Kind.INTEGER),
    "int4": ("INTEGER", Kind.INTEGER),
    "int8": ("BIGINT", Kind.INTEGER),
    "float8": ("DOUBLE", Kind.DOUBLE),
    "float4": ("FLOAT", Kind.OTHER),
    "bool": ("BOOLEAN", Kind.BOOLEAN),
    "text": ("VARCHAR", Kind.TEXT),
    "varchar": ("VARCHAR", Kind.TEXT),
    "bpchar": ("VARCHAR", Kind.OTHER),
    "bytea": ("BLOB", Kind.OTHER),
}
_TIMES = {
    "date": ("DATE", Kind.DATE),
    "timestamp": ("TIMESTAMP", Kind.TIMESTAMP),
    "timestamptz": ("TIMESTAMP WITH TIME ZONE", Kind.TIMESTAMPTZ),
}
_AS_TEXT = {"uuid": "UUID", "time": "TIME", "interval": "INTERVAL"}


def _column(name: str, kind: str, modifier: int, deterministic: bool, sort: str, *, utf8: bool) -> Column:  # noqa: FBT001
    own = quote(name)
    if sort == "b" and kind in _PLAIN:
        to, meaning = _PLAIN[kind]
        if meaning is Kind.TEXT and not (deterministic and utf8):
            meaning = Kind.OTHER
        return Column(name, to, meaning, own, own, narrow=kind in ("int2", "int4"))
    if sort == "b" and kind in _TIMES:
        to, meaning = _TIMES[kind]
        # Infinity has no form in Arrow, where it would arrive as a day in the far past: it is an error instead.
        value = f"CASE WHEN isfinite({own}) THEN {own} ELSE CAST({own}::text || ' is not a moment' AS {kind}) END"
        return Column(name, to, meaning, own, value)
    if sort == "b" and kind == "numeric":
        if modifier < 0:
            double = f"CAST({own} AS double precision)"
            return Column(name, "DOUBLE", Kind.DOUBLE, double, double)
        precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
        if precision > 38 or scale > precision:
            return Column(name, "DOUBLE", Kind.OTHER, own, f"CAST({own} AS double precision)")
        # NaN has no form in a DECIMAL: it is an error, here as there.
        value = f"CASE WHEN {own} = 'NaN'::numeric THEN CAST({own} AS integer) ELSE {own} END"
        return Column(name, f"DECIMAL({precision},{scale})", Kind.DECIMAL, own, value)
    return Column(name, _AS_TEXT.get(kind, "VARCHAR"), Kind.OTHER, own, f"CAST({own} AS text)")
