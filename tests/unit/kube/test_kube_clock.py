"""The clock that is turned by hand, and the delays after failures."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.kube.backoff import Backoff
from sluice.kube.clock import ManualClock, SystemClock

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_time_passes_only_when_it_is_advanced() -> None:
    clock = ManualClock(START)
    clock.advance(90)

    assert clock.monotonic() == 90.0
    assert clock.now() == START + timedelta(seconds=90)


def test_a_jump_moves_the_wall_clock_alone() -> None:
    clock = ManualClock(START)
    clock.jump(3600)

    assert clock.monotonic() == 0.0
    assert clock.now() == START + timedelta(hours=1)


def test_calls_are_made_in_the_order_in_which_they_come_due_and_see_that_time() -> None:
    clock = ManualClock(START)
    seen: list[tuple[str, float]] = []
    clock.call_later(5, lambda: seen.append(("later", clock.monotonic())))

    def nest() -> None:
        clock.call_later(1, lambda: seen.append(("nested", clock.monotonic())))

    clock.call_later(1, nest)
    clock.call_later(20, lambda: seen.append(("too late", clock.monotonic())))
    clock.call_later(3, lambda: seen.append(("cancelled", clock.monotonic()))).cancel()
    clock.advance(10)

    assert seen == [("nested", 2.0), ("later", 5.0)]
    assert clock.pending == 1


async def test_a_sleeper_wakes_when_its_time_has_passed() -> None:
    clock = ManualClock(START)
    sleeper = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    clock.advance(4.9)
    await asyncio.sleep(0)
    assert not sleeper.done()

    clock.advance(0.1)
    await sleeper


async def test_a_cancelled_sleeper_leaves_nothing_behind() -> None:
    clock = ManualClock(START)
    sleeper = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper

    assert clock.pending == 0


async def test_the_system_clock_is_aware_calls_and_sleeps() -> None:
    clock = SystemClock()
    called = asyncio.Event()
    before = clock.monotonic()
    clock.call_later(0, called.set)
    await called.wait()
    await clock.sleep(0)

    assert clock.now().tzinfo is UTC
    assert clock.monotonic() >= before


@given(failures=st.integers(0, 10_000), seed=st.integers())
def test_a_delay_is_between_half_and_all_of_the_doubled_base_and_never_above_the_cap(failures: int, seed: int) -> None:
    delay = Backoff(base=0.05, cap=60.0, random=random.Random(seed)).delay(failures)
    full = min(60.0, 0.05 * 2 ** min(max(0, failures - 1), 62))

    assert full / 2 <= delay <= full


def test_two_delays_differ() -> None:
    backoff = Backoff(base=1.0, cap=60.0, random=random.Random(1))

    assert backoff.delay(3) != backoff.delay(3)
