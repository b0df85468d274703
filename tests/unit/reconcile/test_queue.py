"""The work queue: nothing twice at once, nothing lost, in order, later after errors."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.kube.backoff import Backoff
from sluice.kube.clock import ManualClock
from sluice.kube.errors import Attempt, TooManyRequests
from sluice.reconcile.queue import LONGEST_HOLD, Key, WorkQueue
from sluice.telemetry.metrics import REGISTRY

START = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = (Key("PipelineRun", "team-a", name) for name in "abc")


class Steered:
    """A handler whose calls stay open until the test ends them."""

    def __init__(self) -> None:
        self.started: list[Key] = []
        self._open: dict[Key, asyncio.Future[datetime | None]] = {}

    async def __call__(self, key: Key) -> datetime | None:
        assert key not in self._open, f"{key} is handled twice at once"
        self.started.append(key)
        self._open[key] = asyncio.get_running_loop().create_future()
        try:
            return await self._open[key]
        finally:
            del self._open[key]

    @property
    def open(self) -> list[Key]:
        return list(self._open)

    async def end(self, key: Key, result: datetime | Exception | None = None) -> None:
        if isinstance(result, Exception):
            self._open[key].set_exception(result)
        else:
            self._open[key].set_result(result)
        await settle()


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


class Stage:
    """A queue on a clock that stands still, and its handler."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock(START)
        self.handler = Steered()
        backoff = Backoff(base=1.0, cap=8.0, random=random.Random(1))
        self.queue = WorkQueue(self.handler, **{"clock": self.clock, "backoff": backoff, **options})

    async def add(self, *keys: Key) -> None:
        for key in keys:
            self.queue.add(key)
        await settle()

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await settle()

    def after(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with running(Stage()) as started:
        yield started


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[Stage]:
    stage.queue.start()
    yield stage
    await stage.queue.stop(0)


# One at a time, none lost, in order ---------------------------------------------------------------


async def test_a_key_is_handled(stage: Stage) -> None:
    await stage.add(A)

    assert stage.handler.started == [A]
    await stage.handler.end(A)
    await stage.queue.idle()


async def test_a_key_that_waits_is_there_once() -> None:
    stage = Stage()
    await stage.add(A, A, B, A)

    assert len(stage.queue) == 2
    async with running(stage):
        await settle()
        assert stage.handler.started == [A, B]


async def test_a_key_added_while_it_is_handled_is_handled_once_more_afterwards(stage: Stage) -> None:
    await stage.add(A)
    await stage.add(A, A, A)
    assert stage.handler.started == [A]

    await stage.handler.end(A)
    assert stage.handler.started == [A, A]
    await stage.handler.end(A)
    assert stage.handler.started == [A, A]


async def test_keys_are_taken_in_the_order_in_which_they_came() -> None:
    stage = Stage(workers=1)
    keys = [Key("PipelineRun", "team-a", str(number)) for number in range(20)]
    async with running(stage):
        await stage.add(*keys)
        for key in keys:
            await stage.handler.end(key)

    assert stage.handler.started == keys


async def test_a_busy_key_waits_behind_the_others() -> None:
    stage = Stage(workers=1)
    async with running(stage):
        await stage.add(A, B, C)
        await stage.add(A)
        for key in (A, B, C, A):
            await stage.handler.end(key)

    assert stage.handler.started == [A, B, C, A]


async def test_only_so_many_are_handled_at_once() -> None:
    stage = Stage(workers=2)
    async with running(stage):
        await stage.add(A, B, C)
        assert stage.handler.open == [A, B]
        assert stage.queue.in_flight == 2
        await stage.handler.end(B)
        assert stage.handler.open == [A, C]


async def test_a_slow_key_does_not_hold_up_others(stage: Stage) -> None:
    await stage.add(A, B)
    await stage.handler.end(B)
    await stage.add(B)

    assert stage.handler.started == [A, B, B]


async def test_what_is_added_before_the_start_waits_for_it() -> None:
    stage = Stage()
    stage.queue.wake_at(B, START)
    await stage.add(A)
    assert stage.handler.started == []
    async with running(stage):
        await settle()
        assert stage.handler.started == [A, B]


# Errors -------------------------------------------------------------------------------------------


async def test_after_errors_a_key_is_tried_again_later_and_later(stage: Stage) -> None:
    await stage.add(A)
    for failures, longest in enumerate([1.0, 2.0, 4.0, 8.0, 8.0], start=1):
        await stage.handler.end(A, RuntimeError("no"))
        assert stage.queue.failures(A) == failures
        await stage.advance(longest / 2 - 0.001)
        assert stage.handler.open == []
        await stage.advance(longest / 2 + 0.001)
        assert stage.handler.open == [A]


async def test_success_forgets_the_failures(stage: Stage) -> None:
    await stage.add(A)
    await stage.handler.end(A, RuntimeError("no"))
    await stage.advance(1)
    await stage.handler.end(A, RuntimeError("no"))
    await stage.advance(2)
    await stage.handler.end(A)

    assert stage.queue.failures(A) == 0


async def test_an_event_brings_a_delayed_key_forward_and_it_is_not_handled_twice(stage: Stage) -> None:
    await stage.add(A)
    await stage.handler.end(A, RuntimeError("no"))
    await stage.add(A)
    assert stage.handler.open == [A]

    await stage.handler.end(A)
    await stage.advance(60)
    assert stage.handler.started == [A, A]


async def test_an_event_during_the_first_failure_means_trying_again_at_once(stage: Stage) -> None:
    await stage.add(A)
    await stage.add(A)
    await stage.handler.end(A, RuntimeError("the object changed"))
    await stage.advance(0)
    assert stage.handler.open == [A]

    await stage.add(A)
    await stage.handler.end(A, RuntimeError("again"))
    await stage.advance(0.9)
    assert stage.handler.open == []
    await stage.advance(1.1)
    assert stage.handler.open == [A]


def too_many(retry_after: float) -> TooManyRequests:
    return TooManyRequests(Attempt("create", "pods"), "slow down", code=429, retry_after=retry_after)


async def test_when_the_server_asks_to_wait_no_event_brings_the_key_forward(stage: Stage) -> None:
    await stage.add(A)
    await stage.add(A)
    await stage.handler.end(A, too_many(30))
    stage.queue.wake_at(A, stage.after(5))
    await stage.add(A)
    await stage.advance(29.9)
    assert stage.handler.open == []

    await stage.advance(0.1)
    assert stage.handler.open == [A]
    await stage.handler.end(A)
    await stage.add(A)
    assert stage.handler.open == [A]


async def test_a_server_that_asks_to_wait_for_hours_is_not_heeded_for_so_long(stage: Stage) -> None:
    await stage.add(A)
    await stage.handler.end(A, too_many(100_000))
    await stage.advance(LONGEST_HOLD)

    assert stage.handler.open == [A]


async def test_a_cancellation_inside_a_handler_is_an_error_like_any_other() -> None:
    calls: list[Key] = []

    async def handler(key: Key) -> datetime | None:
        calls.append(key)
        if len(calls) == 1:
            raise asyncio.CancelledError
        return None

    clock = ManualClock(START)
    queue = WorkQueue(handler, clock=clock)
    queue.start()
    queue.add(A)
    await queue.idle()
    assert queue.failures(A) == 1
    clock.advance(1)
    await queue.idle()

    assert calls == [A, A]


async def test_other_keys_are_not_held_up_by_one_that_fails(stage: Stage) -> None:
    await stage.add(A, B)
    await stage.handler.end(A, RuntimeError("no"))
    await stage.handler.end(B)
    await stage.add(B)

    assert stage.handler.open == [B]


# Wake times ---------------------------------------------------------------------------------------


async def test_a_key_is_woken_at_its_time(stage: Stage) -> None:
    stage.queue.wake_at(A, stage.after(10))
    await stage.advance(9.9)
    assert stage.handler.started == []
    await stage.advance(0.1)
    assert stage.handler.started == [A]
    assert stage.queue.wake_time(A) is None


async def test_a_handler_asks_for_its_next_call(stage: Stage) -> None:
    await stage.add(A)
    await stage.handler.end(A, stage.after(10))
    assert stage.queue.wake_time(A) == stage.after(10)
    await stage.advance(10)

    assert stage.handler.open == [A]


async def test_of_several_wake_times_the_earliest_counts(stage: Stage) -> None:
    for seconds in (20, 10, 30):
        stage.queue.wake_at(A, stage.after(seconds))
    await stage.advance(10)
    await stage.handler.end(A)
    await stage.advance(60)

    assert stage.handler.started == [A]


async def test_success_replaces_an_earlier_wake_time(stage: Stage) -> None:
    stage.queue.wake_at(A, stage.after(10))
    await stage.add(A)
    await stage.handler.end(A, stage.after(60))
    await stage.advance(59)
    assert stage.handler.started == [A]
    await stage.advance(1)

    assert stage.handler.started == [A, A]


async def test_success_without_a_wake_time_cancels_it(stage: Stage) -> None:
    stage.queue.wake_at(A, stage.after(10))
    await stage.add(A)
    await stage.handler.end(A)
    await stage.advance(60)

    assert stage.handler.started == [A]


async def test_a_wake_time_asked_for_while_the_key_is_handled_is_kept(stage: Stage) -> None:
    await stage.add(A)
    stage.queue.wake_at(A, stage.after(5))
    await stage.handler.end(A, stage.after(60))

    assert stage.queue.wake_time(A) == stage.after(5)


async def test_an_error_keeps_the_wake_time(stage: Stage) -> None:
    stage.queue.wake_at(A, stage.after(100))
    await stage.add(A)
    await stage.handler.end(A, RuntimeError("no"))

    assert stage.queue.wake_time(A) == stage.after(100)


async def test_a_key_that_becomes_due_while_it_is_handled_is_handled_again(stage: Stage) -> None:
    await stage.add(A)
    stage.queue.wake_at(A, stage.after(5))
    await stage.advance(5)
    await stage.handler.end(A)

    assert stage.handler.started == [A, A]


async def test_a_time_in_seconds_since_the_epoch_will_do(stage: Stage) -> None:
    stage.queue.wake_at(A, stage.after(10).timestamp())
    await stage.advance(10)

    assert stage.handler.started == [A]


async def test_a_time_without_a_zone_is_refused(stage: Stage) -> None:
    with pytest.raises(ValueError, match="time zone"):
        stage.queue.wake_at(A, datetime(2026, 1, 1))  # noqa: DTZ001 (that is the point)
    await stage.add(A)
    await stage.handler.end(A, datetime(2026, 1, 1))  # noqa: DTZ001

    assert stage.queue.failures(A) == 1


async def test_a_handler_that_always_asks_for_the_past_does_not_occupy_the_process(stage: Stage) -> None:
    await stage.add(A)
    await stage.handler.end(A, stage.after(-3600))
    assert stage.handler.open == []
    await stage.advance(0.01)

    assert stage.handler.open == [A]


async def test_a_wall_clock_that_jumps_forward_is_noticed_in_seconds(stage: Stage) -> None:
    stage.queue.wake_at(A, stage.after(3600))
    await stage.advance(1)
    stage.clock.jump(3600)
    await stage.advance(2)

    assert stage.handler.started == [A]


async def test_a_wall_clock_that_jumps_back_delays_wake_times_but_not_retries(stage: Stage) -> None:
    stage.queue.wake_at(A, stage.after(10))
    await stage.add(B)
    await stage.handler.end(B, RuntimeError("no"))
    stage.clock.jump(-100)
    await stage.advance(20)
    assert stage.handler.started == [B, B]
    await stage.advance(91)

    assert stage.handler.started == [B, B, A]


async def test_no_timer_runs_while_nothing_is_pending(stage: Stage) -> None:
    await stage.add(A)
    await stage.handler.end(A)

    assert stage.clock.pending == 0


async def test_replaced_wake_times_do_not_pile_up(stage: Stage) -> None:
    for _ in range(5000):
        stage.queue.add(A)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await stage.handler.end(A, stage.after(3600))

    assert len(stage.queue._wakes) == 1
    assert len(stage.queue._wakes._heap) < 100


# Stopping -----------------------------------------------------------------------------------------


async def test_stopping_waits_for_what_is_under_way_and_takes_nothing_more() -> None:
    stage = Stage(workers=1)
    stage.queue.start()
    await stage.add(A, B)
    stopping = asyncio.create_task(stage.queue.stop(3600))
    await settle()
    assert not stopping.done()
    await stage.handler.end(A)

    assert await stopping is True
    assert stage.handler.started == [A]
    assert stage.clock.pending == 0


async def test_what_is_still_under_way_at_the_deadline_is_cancelled() -> None:
    stage = Stage()
    stage.queue.start()
    await stage.add(A)

    assert await stage.queue.stop(0) is False
    assert stage.handler.open == []


async def test_stopping_an_idle_queue_is_clean(stage: Stage) -> None:
    assert await stage.queue.stop(0) is True


def test_a_queue_without_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        WorkQueue(Steered(), workers=0)


# What it says about itself ------------------------------------------------------------------------


def sample(metric: str) -> float:
    return REGISTRY.get_sample_value(metric, {"kind": "PipelineRun"}) or 0


async def test_metrics() -> None:
    retries, waits = sample("sluice_queue_retries_total"), sample("sluice_queue_wait_seconds_count")
    depth, flying, work = (
        sample("sluice_queue_depth"),
        sample("sluice_queue_in_flight"),
        sample("sluice_queue_work_seconds_sum"),
    )
    stage = Stage(workers=1)
    async with running(stage):
        await stage.add(A, B)
        assert sample("sluice_queue_depth") == depth + 1
        assert sample("sluice_queue_in_flight") == flying + 1
        await stage.advance(2)
        await stage.handler.end(A, RuntimeError("no"))
        await stage.handler.end(B)

    assert sample("sluice_queue_retries_total") == retries + 1
    assert sample("sluice_queue_wait_seconds_count") == waits + 2
    assert sample("sluice_queue_work_seconds_sum") == work + 2
    assert (sample("sluice_queue_depth"), sample("sluice_queue_in_flight")) == (depth, flying)


async def test_logs_of_a_handler_carry_its_key() -> None:
    seen: list[dict[str, Any]] = []

    async def handler(_key: Key) -> datetime | None:
        seen.append(structlog.contextvars.get_contextvars())
        return None

    queue = WorkQueue(handler)
    queue.start()
    queue.add(A)
    queue.add(B)
    await queue.idle()

    assert [one["name"] for one in seen] == ["a", "b"]
    assert seen[0] == {"kind": "PipelineRun", "namespace": "team-a", "name": "a"}
    assert structlog.contextvars.get_contextvars() == {}


def test_a_key_reads_well() -> None:
    assert str(A) == "PipelineRun team-a/a"
    assert str(Key("DeliveryPolicy", "", "p")) == "DeliveryPolicy p"


# Properties ---------------------------------------------------------------------------------------

NAMES = "abcde"

stories = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(NAMES)),
        st.tuples(st.just("wake"), st.sampled_from(NAMES), st.integers(-5, 60)),
        st.tuples(st.just("advance"), st.floats(0, 20)),
        st.tuples(st.just("jump"), st.integers(-30, 30)),
        st.tuples(st.just("end"), st.sampled_from(NAMES), st.sampled_from(["ok", "wake", "error", "429"])),
    ),
    max_size=60,
)


def outcome(stage: Stage, how: str) -> datetime | Exception | None:
    match how:
        case "ok":
            return None
        case "wake":
            return stage.after(7)
        case "429":
            return too_many(5)
        case _:
            return RuntimeError("no")


@given(story=stories, workers=st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_no_key_is_ever_handled_twice_at_once_and_none_is_lost(story: list[tuple[Any, ...]], workers: int) -> None:
    """The handler itself checks the first. For the second: after each added key, a call of its handler starts that is
    later than the adding."""

    async def play() -> None:
        stage = Stage(workers=workers)
        owed: dict[Key, int] = {}  # by key: how many calls had started when it was last added
        async with running(stage):
            for what, *arguments in story:
                match what:
                    case "add":
                        key = Key("PipelineRun", "team-a", arguments[0])
                        owed[key] = Counter(stage.handler.started)[key]
                        await stage.add(key)
                    case "wake":
                        key = Key("PipelineRun", "team-a", arguments[0])
                        stage.queue.wake_at(key, stage.after(arguments[1]))
                        owed[key] = Counter(stage.handler.started)[key]
                        await settle()
                    case "advance":
                        await stage.advance(arguments[0])
                    case "jump":
                        stage.clock.jump(arguments[0])
                    case "end":
                        key = Key("PipelineRun", "team-a", arguments[0])
                        if key in stage.handler.open:
                            # A success replaces wake times that are older than its call: they are no longer owed.
                            await stage.handler.end(key, outcome(stage, arguments[1]))
                assert stage.queue.in_flight <= workers
                assert len(stage.handler.open) == stage.queue.in_flight
                assert stage.queue.in_flight == workers or len(stage.queue) == 0
            await drain(stage)
            started = Counter(stage.handler.started)
            assert [key for key, before in owed.items() if started[key] <= before] == []
            assert len(stage.queue) == 0

    asyncio.run(play())


async def drain(stage: Stage) -> None:
    """Let all handlers succeed until nothing is left, also of what is due later."""
    while True:
        for key in stage.handler.open:
            await stage.handler.end(key)
        if stage.handler.open:
            continue
        if stage.clock.pending == 0:
            return
        await stage.advance(60)


@given(names=st.lists(st.sampled_from(NAMES), max_size=40))
def test_before_the_start_keys_are_kept_once_and_in_order(names: list[str]) -> None:
    async def play() -> list[str]:
        handled: list[str] = []

        async def handler(key: Key) -> datetime | None:
            handled.append(key.name)
            return None

        queue = WorkQueue(handler, workers=1)
        for name in names:
            queue.add(Key("PipelineRun", "team-a", name))
        queue.start()
        await queue.idle()
        return handled

    assert asyncio.run(play()) == list(dict.fromkeys(names))


async def test_thousands_of_keys_on_the_real_clock() -> None:
    keys = [Key("PipelineRun", "team-a", str(number)) for number in range(2000)]
    busy: set[Key] = set()
    finished: set[Key] = set()
    handled: Counter[Key] = Counter()
    done = asyncio.Event()

    async def handler(key: Key) -> datetime | None:
        assert key not in busy
        busy.add(key)
        await asyncio.sleep(0)
        busy.discard(key)
        handled[key] += 1
        if handled[key] == 3:
            finished.add(key)
            if len(finished) == len(keys):
                done.set()
        if handled[key] == 1:
            raise RuntimeError("once")
        return datetime.now(UTC) if handled[key] == 2 else None

    queue = WorkQueue(handler, backoff=Backoff(base=0.0, cap=0.0))
    queue.start()
    for key in keys:
        queue.add(key)
    await done.wait()

    assert await queue.stop(1) is True
