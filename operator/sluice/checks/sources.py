"""Opens the data sets of a gate, each under its own name, and answers queries about them where the data lies.

Files and S3 are views of a DuckDB database. A query about tables of one PostgreSQL database alone is answered there, if
it provably means the same; for any other, the columns that it needs are streamed into DuckDB once. Memory is bounded and
DuckDB spills to a folder. What cannot be opened is no exception here but a reason, which becomes the Error of the checks
that need it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
from sqlglot import exp, parse
from sqlglot.errors import SqlglotError

from sluice.api.gate import Check, Source
from sluice.checks.sql import Table, quote
from sluice.checks.stores import files, postgres, pushdown, s3
from sluice.checks.stores.base import CannotRead, EvaluatedIn, RemoteTable, escaped, first_line, without_password
from sluice.checks.stores.postgres import TookTooLong

__all__ = [
    "CannotRead",
    "EvaluatedIn",
    "OpenSources",
    "Resources",
    "Rows",
    "TookTooLong",
    "connect",
    "describe",
    "escaped",
    "first_line",
    "identifiers",
    "open_all",
    "without_password",
]

DEFAULT_MEMORY = "512MB"
STATEMENT_SECONDS = 600.0
_POSTGRES = ("postgresql", "postgres")


@dataclass(frozen=True)
class Resources:
    """What DuckDB may use, and how long a database may take for one statement."""

    memory: str = DEFAULT_MEMORY
    threads: int | None = None
    spill: Path | None = None
    """Folder for what does not fit into memory; None: DuckDB's own choice."""
    statement_seconds: float = STATEMENT_SECONDS


@dataclass(frozen=True)
class Rows:
    """What a query came to."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    evaluated_in: EvaluatedIn


@dataclass
class _Remote:
    """A source in another database."""

    database: postgres.Database
    table: RemoteTable
    streamed: frozenset[str] = frozenset()
    """Columns that DuckDB has."""
    failed: str = ""
    """Why it could not be streamed."""


@dataclass
class OpenSources:
    """The data sets of a gate. Close it after use."""

    connection: duckdb.DuckDBPyConnection
    tables: dict[str, Table] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """{source: why it cannot be read}."""
    readable: list[str] = field(default_factory=list)
    """The paths that DuckDB reads views from."""
    _remote: dict[str, _Remote] = field(default_factory=dict)
    _databases: dict[str, postgres.Database] = field(default_factory=dict)
    _plans: dict[str, tuple[postgres.Database, pushdown.Translation] | None] = field(default_factory=dict)

    def open_table(self, source: Source, uri: str, environment: Mapping[str, str], statement_seconds: float) -> None:
        """Add a table of PostgreSQL. Raises CannotRead."""
        conninfo, secret, schema, name = postgres.parse(source, uri, environment)
        if conninfo not in self._databases:
            self._databases[conninfo] = postgres.Database(conninfo, secret, statement_seconds)
        database = self._databases[conninfo]
        table = database.table(schema, name)
        self._remote[source.name] = _Remote(database, table)
        self.tables[source.name] = Table(source.name, {column.name: column.type for column in table.columns.values()})

    def home(self, sql: str) -> EvaluatedIn:
        """Where a query will be answered."""
        return EvaluatedIn.DUCKDB if self._plan(sql) is None else EvaluatedIn.POSTGRESQL

    def prepare(self, queries: Iterable[str]) -> None:
        """Stream what these queries will need, each table once."""
        needed: dict[str, set[str]] = {}
        for sql in queries:
            if self._remote and self._plan(sql) is None:
                for name, columns in self._needed(sql).items():
                    needed.setdefault(name, set()).update(columns)
        for name, columns in needed.items():
            self._stream(name, columns)

    def load_whole(self, names: Iterable[str]) -> None:
        """Have all columns of these sources in DuckDB, and ask the database nothing more about them."""
        for name in names:
            remote = self._remote.get(name)
            if remote is None:
                continue
            self._stream(name, set(remote.table.columns))
            if remote.failed:
                self.broken[name] = remote.failed
            else:
                del self._remote[name]
                self._plans.clear()

    def rows(self, sql: str) -> Rows:
        """The answer to a query. Raises CannotRead, duckdb.Error.

        What fails in the database without having taken too long is asked of DuckDB, which has the last word.
        """
        plan = self._plan(sql)
        if plan is not None:
            database, translated = plan
            try:
                found = database.rows(translated.sql)
            except TookTooLong:
                raise
            except CannotRead:
                self._plans[sql] = None
            else:
                rows = [tuple(map(postgres.value_of, translated.kinds, row)) for row in found]
                return Rows(translated.names, rows, EvaluatedIn.POSTGRESQL)
        for name, columns in self._needed(sql).items():
            self._stream(name, columns)
            if self._remote[name].failed:
                raise CannotRead(self._remote[name].failed)
        return self._ask(sql)

    def sample(self, sql: str) -> Rows:
        """The answer to a query for whole rows. Of a table that was streamed, they have the columns that were needed."""
        return self.rows(sql) if self._plan(sql) is not None else self._ask(sql)

    def close(self) -> None:
        """Leave the databases."""
        for database in self._databases.values():
            database.close()

    def _ask(self, sql: str) -> Rows:
        result = self.connection.execute(sql)
        names = tuple(column[0] for column in result.description or ())
        return Rows(names, result.fetchall(), EvaluatedIn.DUCKDB)

    def _plan(self, sql: str) -> tuple[postgres.Database, pushdown.Translation] | None:
        if sql not in self._plans:
            self._plans[sql] = self._translate(sql)
        return self._plans[sql]

    def _translate(self, sql: str) -> tuple[postgres.Database, pushdown.Translation] | None:
        for database in {id(remote.database): remote.database for remote in self._remote.values()}.values():
            tables = {name: remote.table for name, remote in self._remote.items() if remote.database is database}
            named = _tables_of(sql)
            if named is None or not named or not named <= {name.lower() for name in tables}:
                continue
            try:
                return database, pushdown.translate(sql, tables)
            except pushdown.NotTheSame:
                return None
        return None

    def _needed(self, sql: str) -> dict[str, set[str]]:
        """The columns of remote tables that a query may touch: more, rather than too few."""
        named = _tables_of(sql)
        names = {name for name in self._remote if named is None or name.lower() in named}
        if not names:
            return {}
        words = identifiers(sql)
        found = {}
        for name in names:
            columns = self._remote[name].table.columns
            touched = set(columns) if words is None else {column for column in columns if column.lower() in words}
            found[name] = touched or {next(iter(columns))}
        return found

    def _stream(self, name: str, columns: set[str]) -> None:
        remote = self._remote[name]
        if remote.failed or columns <= remote.streamed:
            return
        wanted = [column for column in remote.table.columns if column in columns | remote.streamed]
        try:
            remote.database.stream(self.connection, name, remote.table, wanted)
        except CannotRead as error:
            remote.failed = f"{name} cannot be read: {error}"
        else:
            remote.streamed = frozenset(wanted)


def connect(resources: Resources) -> duckdb.DuckDBPyConnection:
    """A database in memory, bounded, with its clock in UTC."""
    config: dict[str, Any] = {"memory_limit": resources.memory, "preserve_insertion_order": False}
    if resources.threads is not None:
        config["threads"] = resources.threads
    if resources.spill is not None:
        config["temp_directory"] = str(resources.spill)
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def open_all(
    connection: duckdb.DuckDBPyConnection,
    sources: Sequence[Source],
    uris: Mapping[str, str],
    checks: Sequence[Check],
    statement_seconds: float = STATEMENT_SECONDS,
    environment: Mapping[str, str] | None = None,
) -> OpenSources:
    """Each source under its name; one that cannot be opened is in `broken`.

    `uris` say where sources lie, over what the sources say of themselves. Credentials come from `environment`, by default
    that of the process.
    """
    declared = {source.name: source for source in sources}
    for name in (*uris, *(check.on_data.source for check in checks)):
        declared.setdefault(name, Source(name=name))
    opened = OpenSources(connection)
    variables = os.environ if environment is None else environment
    storages = s3.Storages(connection, variables)
    for name, source in declared.items():
        uri = uris.get(name, source.uri)
        if uri is None:
            opened.broken[name] = f'source "{name}" has no uri, and none was given'
            continue
        try:
            scheme = uri.partition("://")[0] if "://" in uri else ""
            if scheme in _POSTGRES:
                opened.open_table(source, uri, variables, statement_seconds)
                continue
            if scheme == "s3":
                reader, path = storages.read(source, uri)
            else:
                reader, path = files.read(source, uri), uri.removeprefix("file://")
            opened.readable.append(path)
            connection.execute(f"CREATE VIEW {quote(name)} AS SELECT * FROM {reader}")
            opened.tables[name] = describe(connection, name)
        except (duckdb.Error, CannotRead, OSError) as error:
            opened.broken[name] = f"{without_password(uri)} cannot be read: {storages.shown(first_line(error))}"
    return opened


def _tables_of(sql: str) -> set[str] | None:
    """The tables that a query names, in lower case; None where it cannot be told."""
    tree = _tree(sql)
    return None if tree is None else {table.name.lower() for table in tree.find_all(exp.Table)}


def identifiers(sql: str) -> set[str] | None:
    """All names in a query, in lower case; None where it may touch columns that it does not name."""
    tree = _tree(sql)
    if tree is None or tree.find(exp.Columns, exp.Pivot) is not None:
        return None
    for star in tree.find_all(exp.Star):
        if not isinstance(star.parent, exp.Count):
            return None
    for join in tree.find_all(exp.Join):
        if join.method:
            return None
    words = {identifier.name.lower() for identifier in tree.find_all(exp.Identifier)}
    whole = {alias.lower() for table in tree.find_all(exp.Table) for alias in (table.name, table.alias) if alias}
    if any(column.name.lower() in whole for column in tree.find_all(exp.Column)):
        return None
    return words


def _tree(sql: str) -> exp.Expression | None:
    try:
        statements = parse(sql, read="duckdb")
    except SqlglotError:
        return None
    return statements[0] if len(statements) == 1 and isinstance(statements[0], exp.Expression) else None


def describe(connection: duckdb.DuckDBPyConnection, name: str) -> Table:
    """The columns of a table or view, with their SQL types."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {quote(name)}").fetchall()
    return Table(name, {row[0]: row[1] for row in rows})
