"""The one work queue: what has to be looked at, when, and by whom.

    add ─────────────────────────────────> ready ── a worker is free ──> in flight ──> nothing to do
    wake_at ── pending ── time reached ─────>│                              │    │
    failed ── held back ── delay over ──────>│<── added while in flight ────┘    └── handler raised ──> held back

- A key is in the queue at most once, and is handled by at most one worker at a time. One that is added while it is
  being handled is handled again afterwards, so that nothing that happened meanwhile is missed.
- Ready keys are taken in the order in which they became ready, whatever their kind: a noisy key waits its turn behind
  all others.
- A handler that raises has its key tried again after a delay that doubles from 50 ms to a minute, with jitter; success
  forgets the failures. An event for the key in the meantime brings the next attempt forward, since it may be what the
  key waits for; but not when the error carried `retry_after`, as a 429 does: then the key stays back for that long,
  whatever happens.
- A handler returns when it wants to be called again, if nothing happens before. That replaces every earlier wake time
  of the key, except those that were asked for while it ran; of several, the earliest counts.

Wake times are instants of the wall clock. The timer looks at least every two seconds while any is pending, so a clock
that jumps forward (a suspended machine, a corrected clock) is noticed; delays after errors are durations, and run on
the monotonic clock.

Everything but the handlers is synchronous and on the event loop, which is what makes the rules above easy to see.
asyncio.Queue and worker tasks were not used: they would need a lock for every rule.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

import structlog

from sluice.kube.backoff import Backoff
from sluice.kube.clock import Clock, SystemClock, Timer
from sluice.kube.errors import ApiError, KubeError
from sluice.telemetry import metrics
from sluice.telemetry.logs import get_logger

RESOLUTION_SECONDS: Final = 2.0
"""How long a jump of the wall clock may go unnoticed."""

SOONEST: Final = timedelta(milliseconds=10)
"""A handler that asks to be woken in the past is called again after this, so that a mistaken plan cannot occupy the
process."""

LONGEST_HOLD: Final = 300.0
"""Seconds that a server's Retry-After is heeded at most."""

LAST_SECONDS: Final = 5.0
"""How long a handler that was cancelled may take to end; after that the process goes without it."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What to look at: an object, by kind and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


Handler = Callable[[Key], Awaitable[datetime | None]]
"""Looks at one key, and returns when it wants to look again."""


class WorkQueue:
    """See the module. Keys may be added before `start`; they wait."""

    def __init__(
        self, handler: Handler, *, workers: int = 32, backoff: Backoff | None = None, clock: Clock | None = None
    ) -> None:
        if workers < 1:
            raise ValueError(f"a queue needs at least one worker, not {workers}")
        self._handler = handler
        self._workers = workers
        self._backoff = backoff or Backoff(base=0.05, cap=60.0)
        self._clock = clock or SystemClock()
        self._ready: OrderedDict[Key, float] = OrderedDict()
        """When each key became ready, in that order."""
        self._in_flight: dict[Key, asyncio.Task[None]] = {}
        self._again: set[Key] = set()
        """Keys added while in flight."""
        self._failures: dict[Key, int] = {}
        self._wakes: _Schedule[datetime] = _Schedule()
        self._retries: _Schedule[float] = _Schedule()
        self._held: set[Key] = set()
        """Keys that the server asked to hold back; no event brings them forward."""
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._running = False
        self._idle = asyncio.Event()
        self._idle.set()

    # Adding ---------------------------------------------------------------------------------------

    def add(self, key: Key) -> None:
        """Have `key` handled as soon as a worker is free. Does nothing when it already waits for one."""
        if key in self._in_flight:
            self._again.add(key)
        elif key not in self._ready and key not in self._held:
            self._retries.pop(key)
            self._make_ready(key)
            self._dispatch()

    def wake_at(self, key: Key, when: datetime | float) -> None:
        """Have `key` handled at an instant (aware datetime, or seconds since the epoch), unless it already is to be
        woken earlier."""
        self._wakes.put_earliest(key, _instant(when))
        self._arm()

    # Running --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to handle keys. Needs a running event loop."""
        self._running = True
        self._fire()

    async def stop(self, deadline: float) -> bool:
        """Take no more keys; give handlers under way `deadline` seconds, then cancel them. True when none had to be
        cancelled."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks = list(self._in_flight.values())
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=max(0.0, deadline))
        for task in late:
            task.cancel()
        if late:
            log.warning(
                "handlers were cancelled", keys=[str(key) for key, task in self._in_flight.items() if task in late]
            )
            await asyncio.wait(late, timeout=LAST_SECONDS)
        return not late

    async def idle(self) -> None:
        """Wait until nothing is ready and nothing is in flight. Wake times and delayed retries may be pending."""
        await self._idle.wait()

    # Looking --------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Keys that wait for a worker."""
        return len(self._ready)

    @property
    def in_flight(self) -> int:
        """Keys that are being handled."""
        return len(self._in_flight)

    def wake_time(self, key: Key) -> datetime | None:
        """When `key` is to be woken."""
        return self._wakes.get(key)

    def failures(self, key: Key) -> int:
        """How often in a row the handler raised for `key`."""
        return self._failures.get(key, 0)

    # Inside ---------------------------------------------------------------------------------------

    def _make_ready(self, key: Key) -> None:
        self._ready[key] = self._clock.monotonic()
        self._idle.clear()
        _meters(key.kind).depth.inc()

    def _dispatch(self) -> None:
        while self._running and self._ready and len(self._in_flight) < self._workers:
            key, since = self._ready.popitem(last=False)
            meters = _meters(key.kind)
            meters.depth.dec()
            meters.in_flight.inc()
            meters.wait.observe(self._clock.monotonic() - since)
            self._in_flight[key] = asyncio.create_task(self._handle(key), name=f"handle {key}")

    async def _handle(self, key: Key) -> None:
        meters = _meters(key.kind)
        started = self._clock.monotonic()
        planned = self._wakes.pop(key)
        structlog.contextvars.bind_contextvars(kind=key.kind, namespace=key.namespace, name=key.name)
        try:
            wake = await self._handler(key)
            wake = None if wake is None else max(_instant(wake), self._clock.now() + SOONEST)
        except asyncio.CancelledError:
            self._leave(key)
            if _being_cancelled():
                raise
            self._failed(key, planned, RuntimeError("something that the handler waited for was cancelled"))
        except Exception as error:  # noqa: BLE001 (whatever a handler raises, its key is tried again)
            self._leave(key)
            self._failed(key, planned, error)
        else:
            self._leave(key)
            self._succeeded(key, wake)
        finally:
            meters.in_flight.dec()
            meters.work.observe(self._clock.monotonic() - started)
        self._dispatch()
        self._arm()
        if not self._ready and not self._in_flight:
            self._idle.set()

    def _leave(self, key: Key) -> None:
        del self._in_flight[key]

    def _succeeded(self, key: Key, wake: datetime | None) -> None:
        self._failures.pop(key, None)
        if wake is not None:
            self._wakes.put_earliest(key, wake)
        if key in self._again:
            self._again.discard(key)
            self._make_ready(key)

    def _failed(self, key: Key, planned: datetime | None, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        if planned is not None:
            self._wakes.put_earliest(key, planned)
        again = key in self._again
        self._again.discard(key)
        asked = error.retry_after if isinstance(error, ApiError) else None
        delay = self._backoff.delay(failures)
        if asked is not None:
            delay = max(delay, min(asked, LONGEST_HOLD))
            self._held.add(key)
        elif again and failures == 1:
            delay = 0.0
        self._retries.put(key, self._clock.monotonic() + delay)
        _meters(key.kind).retries.inc()
        if isinstance(error, KubeError):
            log.warning("handler failed", error=str(error), failures=failures, retry_in=round(delay, 3))
        else:
            log.error("handler failed", exc_info=error, failures=failures, retry_in=round(delay, 3))

    def _fire(self) -> None:
        """Make ready whatever is due."""
        for key in self._retries.pop_due(self._clock.monotonic()):
            self._held.discard(key)
            self.add(key)
        for key in self._wakes.pop_due(self._clock.now()):
            _meters(key.kind).wakes.inc()
            self.add(key)
        self._dispatch()
        self._arm()

    def _arm(self) -> None:
        """Have `_fire` called when the next key is due, and now and then while any wake time is pending."""
        if not self._running:
            return
        now = self._clock.monotonic()
        delays = []
        if (retry := self._retries.next_due()) is not None:
            delays.append(retry - now)
        if (wake := self._wakes.next_due()) is not None:
            delays.append(min(RESOLUTION_SECONDS, (wake - self._clock.now()).total_seconds()))
        if not delays:
            return
        at = now + max(0.0, min(delays))
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.call_later(at - now, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._fire()


def _instant(when: datetime | float) -> datetime:
    if not isinstance(when, datetime):
        return datetime.fromtimestamp(when, UTC)
    if when.tzinfo is None:
        raise ValueError(f"a wake time needs a time zone: {when.isoformat()}")
    return when


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


_Due = TypeVar("_Due", datetime, float)


class _Schedule(Generic[_Due]):
    """At most one time for each key, and the earliest of all at hand. Replaced entries stay in the heap until they
    surface or outnumber the valid ones."""

    def __init__(self) -> None:
        self._heap: list[tuple[_Due, int, Key]] = []
        self._valid: dict[Key, tuple[_Due, int, Key]] = {}
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._valid)

    def get(self, key: Key) -> _Due | None:
        entry = self._valid.get(key)
        return None if entry is None else entry[0]

    def put(self, key: Key, when: _Due) -> None:
        entry = (when, next(self._order), key)
        self._valid[key] = entry
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._valid) + 64:
            self._heap = list(self._valid.values())
            heapq.heapify(self._heap)

    def put_earliest(self, key: Key, when: _Due) -> None:
        entry = self._valid.get(key)
        if entry is None or when < entry[0]:
            self.put(key, when)

    def pop(self, key: Key) -> _Due | None:
        entry = self._valid.pop(key, None)
        return None if entry is None else entry[0]

    def next_due(self) -> _Due | None:
        while self._heap and self._valid.get(self._heap[0][2]) is not self._heap[0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: _Due) -> list[Key]:
        due = []
        while (when := self.next_due()) is not None and when <= now:
            key = heapq.heappop(self._heap)[2]
            del self._valid[key]
            due.append(key)
        return due


class _Meters:
    """The metrics of one kind of key; looking them up by label costs more than counting."""

    def __init__(self, kind: str) -> None:
        self.depth = metrics.QUEUE_DEPTH.labels(kind)
        self.in_flight = metrics.QUEUE_IN_FLIGHT.labels(kind)
        self.wait = metrics.QUEUE_WAIT_SECONDS.labels(kind)
        self.work = metrics.QUEUE_WORK_SECONDS.labels(kind)
        self.retries = metrics.QUEUE_RETRIES.labels(kind)
        self.wakes = metrics.QUEUE_WAKES.labels(kind)


@functools.cache
def _meters(kind: str) -> _Meters:
    return _Meters(kind)
