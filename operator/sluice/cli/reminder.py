"""Tells the user who waits for an operator that there seems to be none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

UNNOTICED: Final = 10.0
"""Seconds after which the user is told that no operator has looked at the object."""


@asynccontextmanager
async def reminder(noticed: asyncio.Event, notify: Callable[[str], None], what: str) -> AsyncIterator[None]:
    """Tell the user when nobody works on `what`, for instance "run"."""

    async def remind() -> None:
        try:
            async with asyncio.timeout(UNNOTICED):
                await noticed.wait()
        except TimeoutError:
            notify(f"no operator has looked at this {what} yet; is sluice running, and does it serve this namespace?")

    task = asyncio.create_task(remind())
    try:
        yield
    finally:
        task.cancel()
