"""What stores share: the errors they raise, and how a source looks once it is opened."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HIDDEN = "***"
_PASSWORD = re.compile(r"(://[^/?#:@]*:|[?&]password=)(?:(?<=:)[^/?#]*(?=@)|(?<==)[^&#]*)", re.IGNORECASE)


class CannotRead(Exception):
    """A source cannot be read: the message says why, and holds no secret."""


class EvaluatedIn(StrEnum):
    """Where a check was evaluated."""

    DUCKDB = "duckdb"
    POSTGRESQL = "postgresql"


class Kind(StrEnum):
    """Kinds of values, as far as two databases agree on them."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    DOUBLE = "double"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    OTHER = "other"
    """Only whether there is a value can be asked."""


@dataclass(frozen=True)
class Column:
    """A column of a table in another database."""

    name: str
    type: str
    """DuckDB's type for it."""
    kind: Kind
    raw: str
    """Its value in the other database's SQL, good enough to ask whether there is one."""
    value: str
    """The same, as it is compared and streamed: a value that the other side cannot have is an error."""
    narrow: bool = False
    """With INTEGER: at most 32 bits, so that a double holds it exactly."""


@dataclass(frozen=True)
class RemoteTable:
    """A table in another database."""

    place: str
    """Its name there, quoted."""
    columns: Mapping[str, Column]


def escaped(text: str) -> str:
    """The inside of an SQL string."""
    return text.replace("'", "''")


def first_line(error: Exception) -> str:
    """An error in one line: of an error of Python inside of DuckDB, the last line, which says what it is."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    return lines[-1] if "Traceback (most recent call last)" in lines[0] else lines[0]


def without_password(uri: str) -> str:
    """A uri as it may be shown to people."""
    return _PASSWORD.sub(lambda found: f"{found[1]}{HIDDEN}", uri)
