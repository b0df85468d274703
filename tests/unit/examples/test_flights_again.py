"""Steps that run twice, are killed in the middle, or read what they should not: what is published stays whole."""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from flights import publish

from tests.unit.examples.flights_play import (
    EXAMPLE,
    INDEPENDENCE,
    NEW_YEAR,
    Play,
    facts,
    pipeline,
    play,
    rows_of,
    run_step,
)

Played = Callable[[date], Play]

# Runs publish and kills it, without a chance to tidy up, before it renames a file after `sys.argv[1]` others.
KILLED_BEFORE_RENAME = """
import os, signal, sys
from flights import publish
left = int(sys.argv[1])
rename = os.replace
def replace(source, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    rename(source, target)
os.replace = replace
publish.main(sys.argv[2:])
"""
TOLD_TO_STOP = """
import os, signal, sys
from flights import step
def entry(argv):
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
step.run(entry)
"""


def publish_arguments(play: Play, day: date, volume: Path, enriched: str | None = None) -> list[str]:
    return [
        f"--day={day}",
        f"--enriched={enriched or play.outputs['enrich']['uri']}",
        f"--delays={play.outputs['delays']['uri']}",
        f"--flights-to={volume}/flights/published",
        f"--delays-to={volume}/flights/published-delays",
        f"--out={volume}/flights/runs/again",
    ]


def python(program: str, *arguments: str) -> int:
    """Run a program in another Python and return its exit code."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], env={"PYTHONPATH": str(EXAMPLE)}, capture_output=True, check=False
    ).returncode


@pytest.fixture
def older(played: Played, tmp_path: Path) -> Path:
    """An enriched table of the first flights of New Year only, as an earlier run could have made it."""
    path = tmp_path / "older.parquet"
    with duckdb.connect() as connection:
        enriched = played(NEW_YEAR).outputs["enrich"]["uri"]
        connection.sql(f"FROM read_parquet('{enriched}') LIMIT 100").write_parquet(str(path))
    return path


def test_a_run_repeated_writes_the_same_bytes_and_leaves_nothing_else(source: Path, tmp_path: Path) -> None:
    first = play(NEW_YEAR, source, tmp_path)
    files = first.files()
    second = play(NEW_YEAR, source, tmp_path)
    assert second.outputs == first.outputs
    assert second.files() == files
    run = "flights/runs/flights-2013-01-01"
    assert set(files) == {
        f"{run}/raw/flights.parquet",
        f"{run}/screen/flights.parquet",
        f"{run}/screen/quarantine/flights.parquet",
        *(f"{run}/{gate}/report.{ending}" for gate in ("screen", "audit") for ending in ("html", "json")),
        f"{run}/clean/flights.parquet",
        f"{run}/cancelled/flights.parquet",
        f"{run}/enriched/flights.parquet",
        f"{run}/delays/carriers.parquet",
        f"{run}/report.txt",
        "flights/published/year=2013/month=1/day=1/part-0.parquet",
        "flights/published-delays/year=2013/month=1/day=1/part-0.parquet",
    }


def test_publishing_a_day_replaces_that_day_only(played: Played, older: Path, tmp_path: Path) -> None:
    new_year, independence = played(NEW_YEAR), played(INDEPENDENCE)
    volume = Play(tmp_path, {}, tmp_path)
    publish.main(publish_arguments(independence, INDEPENDENCE, tmp_path))
    publish.main(publish_arguments(new_year, NEW_YEAR, tmp_path, str(older)))
    other = volume.partition("published", INDEPENDENCE)
    before = other.read_bytes(), other.stat().st_mtime_ns
    assert len(rows_of(volume.partition("published", NEW_YEAR))) == 100

    assert publish.main(publish_arguments(new_year, NEW_YEAR, tmp_path)) == 0

    assert len(rows_of(volume.partition("published", NEW_YEAR))) == 838
    assert (other.read_bytes(), other.stat().st_mtime_ns) == before


def test_readers_see_the_partitions_as_columns(played: Played, tmp_path: Path) -> None:
    publish.main(publish_arguments(played(NEW_YEAR), NEW_YEAR, tmp_path))
    publish.main(publish_arguments(played(INDEPENDENCE), INDEPENDENCE, tmp_path))
    with duckdb.connect() as connection:
        counted = connection.execute(
            f"SELECT year, month, day, count(*) FROM read_parquet('{tmp_path}/flights/published/**/*.parquet') "
            "GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert counted == [(2013, 1, 1, 838), (2013, 7, 4, 734)]


@pytest.mark.parametrize(
    ("renames", "flights_after"), [(0, 100), (1, 838)], ids=["before the first rename", "between the two renames"]
)
def test_publish_killed_before_a_rename_leaves_old_or_new_and_the_retry_mends_it(
    renames: int, flights_after: int, played: Played, older: Path, tmp_path: Path
) -> None:
    new_year, volume = played(NEW_YEAR), Play(tmp_path, {}, tmp_path)
    flights, delays = volume.partition("published", NEW_YEAR), volume.partition("published-delays", NEW_YEAR)
    publish.main(publish_arguments(new_year, NEW_YEAR, tmp_path, str(older)))
    old_delays = delays.read_bytes()

    ended = python(KILLED_BEFORE_RENAME, str(renames), *publish_arguments(new_year, NEW_YEAR, tmp_path))

    assert ended == -signal.SIGKILL
    assert len(rows_of(flights)) == flights_after
    assert delays.read_bytes() == old_delays
    assert [path.name for path in flights.parent.iterdir()] == ["part-0.parquet"]
    assert publish.main(publish_arguments(new_year, NEW_YEAR, tmp_path)) == 0
    assert len(rows_of(flights)) == 838
    assert [path.name for path in flights.parent.iterdir()] == ["part-0.parquet"]


def test_a_first_publication_that_is_killed_publishes_nothing(played: Played, tmp_path: Path) -> None:
    ended = python(KILLED_BEFORE_RENAME, "0", *publish_arguments(played(NEW_YEAR), NEW_YEAR, tmp_path))
    assert ended == -signal.SIGKILL
    assert list((tmp_path / "flights" / "published").rglob("*.parquet")) == []


@pytest.mark.parametrize("name", ["extract", "clean", "enrich", "delays"])
def test_a_step_replaces_what_a_killed_attempt_left(name: str, source: Path, tmp_path: Path) -> None:
    done = play(NEW_YEAR, source, tmp_path)
    target = Path(done.outputs[name]["uri"])
    whole = target.read_bytes()
    target.write_bytes(whole[: len(whole) // 2])
    assert rerun(name, done, source)[0] == 0
    assert target.read_bytes() == whole


def test_publish_refuses_rows_of_another_day(
    played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish.main(publish_arguments(played(INDEPENDENCE), NEW_YEAR, tmp_path)) == 5
    assert "734 rows of enriched are not of 2013-01-01: nothing was published" in capsys.readouterr().err
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_step_that_is_told_to_stop_stops() -> None:
    assert python(TOLD_TO_STOP) == 128 + signal.SIGTERM


def test_a_step_needs_no_home_and_writes_only_below_out(source: Path, tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir(mode=0o555)
    work.chmod(0o555)
    command = [sys.executable, "-m", "flights.extract", "--day=2013-01-01", f"--source={source}", f"--out={out}"]
    environment = {"PYTHONPATH": str(EXAMPLE), "HOME": "/nonexistent", "SLUICE_OUTPUTS": str(tmp_path / "outputs.json")}
    ended = subprocess.run(command, check=False, cwd=work, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [
        "out/raw/flights.parquet",
        "outputs.json",
    ]


def rerun(name: str, done: Play, source: Path) -> tuple[int, Mapping[str, Any]]:
    """Run one step of a finished run again."""
    known = facts(NEW_YEAR, source)
    for step_name, outputs in done.outputs.items():
        known |= {f"steps.{step_name}.outputs.{key}": value for key, value in outputs.items()}
    [declared] = [step for step in pipeline()["steps"] if step["name"] == name]
    return run_step(declared, known, done.volume)
