"""Writes files: rows as Parquet, and small texts such as a report. All of a file is written, or nothing."""

import os
from contextlib import suppress
from pathlib import Path

import duckdb

from sluice.checks.sources import first_line
from sluice.checks.sql import literal


class CannotWrite(Exception):
    """A file that was asked for could not be written: the message says which and why."""


def target_file(target: Path | str, source: str) -> str:
    """The file of a source under a target, which is a folder, or the file itself when it ends in .parquet."""
    text = str(target).removeprefix("file://").rstrip("/")
    return text if text.endswith(".parquet") else f"{text}/{source}.parquet"


def writable(file: str) -> tuple[str, ...]:
    """The paths that `write_rows` to `file` has to get at."""
    return (file, _temporary(file)) if _is_local(file) else (file,)


def write_rows(connection: duckdb.DuckDBPyConnection, query: str, file: str) -> int:
    """Write what a query returns as Parquet: the number of rows. Raises CannotWrite."""
    local = _is_local(file)
    place = _temporary(file) if local else file
    try:
        if local:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        copied = connection.execute(f"COPY ({query}) TO {literal(place)} (FORMAT parquet, USE_TMP_FILE false)")
        rows = int(copied.fetchall()[0][0])
        if local:
            Path(place).replace(file)
    except (duckdb.Error, OSError) as error:
        if local:
            with suppress(OSError):
                Path(place).unlink(missing_ok=True)
        raise CannotWrite(f"{file} cannot be written: {first_line(error)}") from error
    return rows


def write_text(folder: str, name: str, text: str) -> str:
    """Write `text` to a file of a folder (a path, or what pyarrow can open): its place. Raises CannotWrite."""
    place = f"{folder.removeprefix('file://').rstrip('/')}/{name}"
    try:
        if not _is_local(place):
            _write_remote(place, text)
        else:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(_temporary(place))
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(place)
    except (OSError, ValueError) as error:
        raise CannotWrite(f"{place} cannot be written: {error}") from error
    return place


def _is_local(place: str) -> bool:
    return "://" not in place


def _temporary(file: str) -> str:
    path = Path(file)
    return str(path.parent / f".{path.name}.{os.getpid()}.tmp")


def _write_remote(place: str, text: str) -> None:
    from pyarrow import fs

    system, path = fs.FileSystem.from_uri(place)
    with system.open_output_stream(path) as stream:
        stream.write(text.encode())
