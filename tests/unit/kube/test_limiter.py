"""The client's own limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sluice.kube.clock import ManualClock
from sluice.kube.limiter import Limiter, TokenBucket


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_burst_passes_at_once_and_the_rest_at_the_rate() -> None:
    clock = ManualClock()
    bucket = TokenBucket(rate=10, burst=3, clock=clock)
    passed: list[int] = []

    async def take(number: int) -> None:
        await bucket.take()
        passed.append(number)

    tasks = [asyncio.create_task(take(number)) for number in range(5)]
    await settle()
    assert passed == [0, 1, 2]

    clock.advance(0.1)
    await settle()
    assert passed == [0, 1, 2, 3]

    clock.advance(0.1)
    await asyncio.gather(*tasks)
    assert passed == [0, 1, 2, 3, 4]


async def test_an_idle_bucket_fills_up_to_the_burst_and_no_further() -> None:
    clock = ManualClock()
    bucket = TokenBucket(rate=10, burst=2, clock=clock)
    clock.advance(3600)
    tasks = [asyncio.create_task(bucket.take()) for _ in range(3)]
    await settle()

    assert [task.done() for task in tasks] == [True, True, False]
    clock.advance(1)
    await asyncio.gather(*tasks)


async def test_who_gives_up_waiting_gives_the_token_back() -> None:
    clock = ManualClock()
    bucket = TokenBucket(rate=1, burst=1, clock=clock)
    await bucket.take()
    impatient = asyncio.create_task(bucket.take())
    await settle()
    impatient.cancel()
    await settle()
    patient = asyncio.create_task(bucket.take())
    await settle()
    clock.advance(1.0)
    await patient


async def test_only_so_many_are_in_flight() -> None:
    limiter = Limiter(in_flight=2, rate=1000, burst=1000, clock=ManualClock())
    release = asyncio.Event()
    inside = most = 0

    async def request() -> None:
        nonlocal inside, most
        async with limiter:
            inside += 1
            most = max(most, inside)
            await release.wait()
            inside -= 1

    tasks = [asyncio.create_task(request()) for _ in range(7)]
    await settle()
    assert inside == 2
    release.set()
    await asyncio.gather(*tasks)
    assert most == 2


async def test_a_stream_takes_a_token_but_no_place() -> None:
    limiter = Limiter(in_flight=1, rate=1000, burst=1000, clock=ManualClock())
    async with limiter:
        await limiter.pass_rate()


async def test_who_is_cancelled_while_waiting_for_the_rate_leaves_the_place_free() -> None:
    clock = ManualClock()
    limiter = Limiter(in_flight=1, rate=1, burst=1, clock=clock)
    async with limiter:
        pass

    async def request() -> None:
        async with limiter:
            pass

    waiting = asyncio.create_task(request())
    await settle()
    waiting.cancel()
    await settle()
    after = asyncio.create_task(request())
    await settle()
    clock.advance(1)
    await after


@pytest.mark.parametrize("limits", [{"in_flight": 0}, {"rate": 0.0}, {"burst": 0}])
def test_limits_that_let_nothing_pass_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"positive|at least one"):
        Limiter(**limits)
