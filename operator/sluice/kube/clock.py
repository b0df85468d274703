"""The one clock: everything that needs the time, or needs to wait, gets a `Clock`, so that tests can turn it by hand.

Two times, because they answer different questions: `monotonic` measures how long something took and never jumps; `now`
is the wall clock, which says when something is due, is shared with the API server and people, and may jump.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Timer(Protocol):
    """A pending call that can still be taken back."""

    def cancel(self) -> None:
        """Do not make the call. Harmless once it was made."""


class Clock(Protocol):
    """What time it is, and waiting for it to pass."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; only differences mean anything."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` in the event loop after that many (monotonic) seconds."""

    async def sleep(self, seconds: float) -> None:
        """Return after that many (monotonic) seconds."""


class SystemClock:
    """The clock of the machine and of the running event loop."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` after that many seconds."""
        return asyncio.get_running_loop().call_later(seconds, callback)

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock for tests that stands still until it is turned.

    `advance` moves both times and makes the calls that come due, in order; `jump` moves only the wall clock, as NTP or
    a resumed virtual machine does.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._zero = start
        """What the wall clock showed, or would have shown, when the monotonic one was at 0."""
        self._monotonic = 0.0
        self._pending: list[tuple[float, int, _ManualTimer]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return self._monotonic

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return self._zero + timedelta(seconds=self._monotonic)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` after that many seconds."""
        timer = _ManualTimer(callback)
        heapq.heappush(self._pending, (self._monotonic + max(0.0, seconds), next(self._order), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. Calls that become due see the time that they were due at."""
        end = self._monotonic + seconds
        while self._pending and self._pending[0][0] <= end:
            due, _, timer = heapq.heappop(self._pending)
            self._monotonic = due
            timer.fire()
        self._monotonic = end

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back, without any time passing."""
        self._zero += timedelta(seconds=seconds)

    @property
    def pending(self) -> int:
        """Calls that wait for the time to pass."""
        return sum(1 for _, _, timer in self._pending if not timer.done)


class _ManualTimer:
    __slots__ = ("_callback", "done")

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self.done = False

    def cancel(self) -> None:
        self.done = True

    def fire(self) -> None:
        if not self.done:
            self.done = True
            self._callback()
