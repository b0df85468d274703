"""The client's own limits: requests in flight, and requests per second with a burst.

Both are far above what Kubernetes clients default to (20 a second), because they are what caps other engines, and both
are fair: waiters are served in the order in which they came. They protect an API server whose own priority and fairness
is off or shared.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from sluice.kube.clock import Clock, SystemClock
from sluice.telemetry import metrics


class TokenBucket:
    """At most `rate` a second after a first `burst`, first come, first served."""

    def __init__(self, *, rate: float, burst: int, clock: Clock | None = None) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError(f"a rate and a burst must be positive, not {rate} and {burst}")
        self._clock = clock or SystemClock()
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._refilled_at = self._clock.monotonic()

    async def take(self) -> None:
        """Take one token, when there is one.

        The bucket may go below zero: whoever takes it there has reserved a later moment, and sleeps until then.
        """
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) * self._rate) - 1.0
        self._refilled_at = now
        if self._tokens < 0:
            try:
                await self._clock.sleep(-self._tokens / self._rate)
            except asyncio.CancelledError:
                self._tokens += 1.0
                raise


class Limiter:
    """What all requests of one client share: `async with limiter:` around a request.

    A stream counts as a request (`await limiter.pass_rate()`), but does not hold a place for as long as it is open.
    """

    def __init__(
        self, *, in_flight: int = 64, rate: float = 200.0, burst: int = 400, clock: Clock | None = None
    ) -> None:
        if in_flight < 1:
            raise ValueError(f"at least one request has to be allowed in flight, not {in_flight}")
        self._clock = clock or SystemClock()
        self._places = asyncio.Semaphore(in_flight)
        self._bucket = TokenBucket(rate=rate, burst=burst, clock=self._clock)

    async def __aenter__(self) -> None:
        started = self._clock.monotonic()
        await self._places.acquire()
        try:
            await self._bucket.take()
        except BaseException:
            self._places.release()
            raise
        metrics.API_LIMITER_WAIT_SECONDS.observe(self._clock.monotonic() - started)
        metrics.API_IN_FLIGHT.inc()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        metrics.API_IN_FLIGHT.dec()
        self._places.release()

    async def pass_rate(self) -> None:
        """Wait for the rate alone."""
        started = self._clock.monotonic()
        await self._bucket.take()
        metrics.API_LIMITER_WAIT_SECONDS.observe(self._clock.monotonic() - started)
