"""Requests at a steady rate, and when each of them was answered, by which version.

A request leaves when it is due, whether or not earlier ones have been answered. Connections are kept, and one more is
opened when all are busy. Times are `time.time()`: those in statuses and in answers of pods on this machine compare.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

TIMEOUT = 5.0
NO_ANSWER = 0
"""Status of a request that was not answered."""
_VERSION = "x-pricing-version"

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Answer:
    """One request."""

    sent: float
    ended: float
    version: str
    """Of the service that answered; empty when that is not known."""
    status: int

    @property
    def seconds(self) -> float:
        """What it took."""
        return self.ended - self.sent


@dataclass
class Load:
    """GET requests to one host name behind a gateway: `async with load.running()`."""

    address: str
    port: int
    host: str
    path: str
    rate: float
    """Requests a second."""
    answers: list[Answer] = field(default_factory=list)
    """In the order in which they came."""
    _idle: list[_Connection] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Send until the end of the block; requests that are under way then are given up."""
        sending = asyncio.create_task(self._send_all())
        try:
            yield self
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            while self._idle:
                self._idle.pop()[1].close()

    async def _send_all(self) -> None:
        began, number, under_way = time.monotonic(), 0, set[asyncio.Task[None]]()
        try:
            while True:
                number += 1
                await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
                task = asyncio.create_task(self._one())
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        finally:
            for task in under_way:
                task.cancel()

    async def _one(self) -> None:
        sent = time.time()
        try:
            async with asyncio.timeout(TIMEOUT):
                status, version = await self._exchange()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            status, version = NO_ANSWER, ""
        self.answers.append(Answer(sent, time.time(), version, status))

    async def _exchange(self) -> tuple[int, str]:
        """Status and version; a kept connection that turns out to be closed is replaced once, as clients do."""
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._on(connection)
            except (ConnectionError, asyncio.IncompleteReadError):
                continue
        return await self._on(await asyncio.open_connection(self.address, self.port))

    async def _on(self, connection: _Connection) -> tuple[int, str]:
        reader, writer = connection
        try:
            status, headers, _ = await _ask(reader, writer, "GET", self.path, self.host)
        except BaseException:
            writer.close()
            raise
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append(connection)
        return status, headers.get(_VERSION, "")


async def post(address: str, port: int, path: str) -> dict[str, Any]:
    """The JSON that answers a POST without a body. Raises ConnectionError for another status than 200."""
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            status, _, body = await _ask(reader, writer, "POST", path, address)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    if status != 200:
        raise ConnectionError(f"POST http://{address}:{port}{path}: {status} {body.decode(errors='replace').strip()}")
    answer: dict[str, Any] = json.loads(body)
    return answer


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, host: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by their names in lower case, and body, which has to have a length."""
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
    await writer.drain()
    first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    pairs = (line.partition(":") for line in rest if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers["content-length"]))
    return int(first.split()[1]), headers, body
