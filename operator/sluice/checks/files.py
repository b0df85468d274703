"""Writes files: rows as Parquet, and small texts such as a report. All of a file is written, or nothing.

A local file is written under another name and renamed. An object of S3 is written as a local file first and put there
whole, which is atomic.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import duckdb

from sluice.checks.sources import first_line
from sluice.checks.sql import literal
from sluice.checks.stores import s3


class CannotWrite(Exception):
    """A file that was asked for could not be written: the message says which and why."""


def target_file(target: Path | str, source: str) -> str:
    """The file of a source under a target, which is a folder, or the file itself when it ends in .parquet."""
    text = str(target).removeprefix("file://").rstrip("/")
    return text if text.endswith(".parquet") else f"{text}/{source}.parquet"


def writable(file: str) -> tuple[str, ...]:
    """The paths that `write_rows` to `file` has to get at."""
    return (file, _temporary(file)) if _is_local(file) else (_temporary(file),)


def write_rows(connection: duckdb.DuckDBPyConnection, query: str, file: str, credentials: str | None = None) -> int:
    """Write what a query returns as Parquet: the number of rows. Raises CannotWrite.

    `credentials` are the prefix of the environment variables that an object's storage is reached with.
    """
    place = Path(_temporary(file))
    try:
        if _is_local(file):
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        copied = connection.execute(f"COPY ({query}) TO {literal(str(place))} (FORMAT parquet, USE_TMP_FILE false)")
        rows = int(copied.fetchall()[0][0])
        _move(place, file, credentials)
    except (duckdb.Error, OSError) as error:
        raise CannotWrite(f"{file} cannot be written: {first_line(error)}") from error
    finally:
        with suppress(OSError):
            place.unlink(missing_ok=True)
    return rows


def write_text(folder: str, name: str, text: str, credentials: str | None = None) -> str:
    """Write `text` to a file of a folder (a path, or s3://BUCKET/KEY): its place. Raises CannotWrite."""
    place = f"{folder.removeprefix('file://').rstrip('/')}/{name}"
    temporary = Path(_temporary(place))
    try:
        if _is_local(place):
            Path(place).parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        _move(temporary, place, credentials)
    except (OSError, ValueError) as error:
        raise CannotWrite(f"{place} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return place


def _move(local: Path, place: str, credentials: str | None) -> None:
    if _is_local(place):
        local.replace(place)
    elif place.startswith("s3://"):
        s3.upload(local, place, credentials, os.environ)
    else:
        raise OSError("this kind of store cannot be written; a folder and s3://BUCKET/KEY can")


def _is_local(place: str) -> bool:
    return "://" not in place


def _temporary(file: str) -> str:
    """A local file for what is not whole yet: beside the file, or in the folder for temporary files."""
    if not _is_local(file):
        digest = hashlib.sha256(file.encode()).hexdigest()[:12]
        return str(Path(tempfile.gettempdir()) / f"sluice-{digest}-{os.getpid()}.tmp")
    path = Path(file)
    return str(path.parent / f".{path.name}.{os.getpid()}.tmp")
