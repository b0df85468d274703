"""Opens the data sets of a gate as views of a DuckDB database: files by their format, each under its own name.

Memory is bounded and DuckDB spills to a folder. What cannot be opened is no exception here but a reason, which becomes
the Error of the checks that need it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from sluice.api.gate import Check, Source
from sluice.checks.compile import CannotCompile, Table, quote

DEFAULT_MEMORY = "512MB"


@dataclass(frozen=True)
class Resources:
    """What DuckDB may use."""

    memory: str = DEFAULT_MEMORY
    threads: int | None = None
    spill: Path | None = None
    """Folder for what does not fit into memory; None: DuckDB's own choice."""


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
) -> tuple[dict[str, Table], dict[str, str]]:
    """(tables, {source: why it cannot be read}): a view for each source, of its name.

    `uris` say where sources lie, over what the sources say of themselves.
    """
    declared = {source.name: source for source in sources}
    for name in (*uris, *(check.on_data.source for check in checks)):
        declared.setdefault(name, Source(name=name))
    tables: dict[str, Table] = {}
    broken: dict[str, str] = {}
    for name, source in declared.items():
        uri = uris.get(name, source.uri)
        if uri is None:
            broken[name] = f'source "{name}" has no uri, and none was given'
            continue
        try:
            connection.execute(f"CREATE VIEW {quote(name)} AS SELECT * FROM {_reader(source, uri)}")
            tables[name] = describe(connection, name)
        except (duckdb.Error, CannotCompile) as error:
            broken[name] = f"{uri} cannot be read: {first_line(error)}"
    return tables, broken


def _reader(source: Source, uri: str) -> str:
    kind = source.format or _format_of(uri)
    path = f"'{escaped(uri)}'"
    if kind == "parquet":
        return f"read_parquet({path}, union_by_name=true)"
    if kind == "json":
        return f"read_json({path})"
    lenient = source.strict is False
    nulls = ", ".join(f"'{escaped(text)}'" for text in ("", *source.null_texts))
    # The dialect is stated, not guessed: a guess may take broken lines for a preamble and pass over them in silence.
    dialect = f"header=true, delim='{escaped(source.delimiter or ',')}', quote='\"', escape='\"', skip=0, comment=''"
    return f"read_csv({path}, {dialect}, strict_mode=true, ignore_errors={lenient}, nullstr=[{nulls}])"


def _format_of(uri: str) -> str:
    name = uri.rstrip("/").lower()
    for suffix in (".gz", ".zst"):
        name = name.removesuffix(suffix)
    for ending, kind in (
        (".parquet", "parquet"),
        (".csv", "csv"),
        (".tsv", "csv"),
        (".json", "json"),
        (".ndjson", "json"),
    ):
        if name.endswith(ending):
            return kind
    raise CannotCompile("its format cannot be told from its name; say format: parquet, csv or json")


def escaped(text: str) -> str:
    """The inside of an SQL string."""
    return text.replace("'", "''")


def describe(connection: duckdb.DuckDBPyConnection, name: str) -> Table:
    """The columns of a table or view, with their SQL types."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {quote(name)}").fetchall()
    return Table(name, {row[0]: row[1] for row in rows})


def first_line(error: Exception) -> str:
    """An error in one line."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
