from collections.abc import AsyncIterator

import pytest

from sluice.sources.http import Http
from tests.unit.sources.back_end import BackEnd


@pytest.fixture
async def back_end() -> AsyncIterator[BackEnd]:
    """A back end that answers what the test tells it to."""
    async with BackEnd() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """The connections of the process."""
    async with Http() as connections:
        yield connections
