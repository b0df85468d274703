"""Ends queries that take too long. DuckDB runs them to their end otherwise, whatever the user wrote."""

import threading
from types import TracebackType
from typing import Self

import duckdb

AGAIN = 0.1
"""Seconds from one interrupt to the next: one that comes between two queries stops neither."""


class TimeLimit:
    """Interrupts the queries of a connection once `seconds` have passed; None: never."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seconds: float | None) -> None:
        self._connection = connection
        self._seconds = seconds
        self._closed = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="time-limit", daemon=True)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self._over.is_set()

    def __str__(self) -> str:
        return f"took longer than {self._seconds:g} s" if self._seconds is not None else "took too long"

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        if self._closed.wait(self._seconds):
            return
        self._over.set()
        while True:
            self._connection.interrupt()
            if self._closed.wait(AGAIN):
                return
