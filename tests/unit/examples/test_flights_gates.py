"""The gates of the flights example: real days pass, broken ones stop before anything is published."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sluice.cli.main import app
from tests.unit.examples import flights_broken
from tests.unit.examples.flights_broken import BORNE, STOPPED, WAYS, Expected, Way, write
from tests.unit.examples.flights_play import (
    AFTER_BLIZZARD,
    BLIZZARD,
    EXAMPLE,
    INDEPENDENCE,
    NEW_YEAR,
    SUMMER_TIME_BEGINS,
    SUMMER_TIME_ENDS,
    Play,
    gates,
    play_to_its_end,
    rows_of,
)

Played = Callable[[date], Play]
THANKSGIVING, CHRISTMAS, TYPING_ERROR = date(2013, 11, 28), date(2013, 12, 25), date(2013, 2, 11)
each_stopped = pytest.mark.parametrize("way", STOPPED, ids=lambda way: str(way.name))
each_borne = pytest.mark.parametrize("way", BORNE, ids=lambda way: str(way.name))


@pytest.fixture(scope="module")
def volume(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume on which New Year's day is published."""
    folder = tmp_path_factory.mktemp("published")
    done = play_to_its_end(NEW_YEAR, source, folder)
    assert not done.failed
    return folder


def not_passed(play: Play, step: str) -> dict[str, str]:
    """{check: outcome} of the checks of a gate that did not pass, by its report."""
    report = json.loads((play.folder / step / "report.json").read_text())
    return {row["name"]: row["outcome"] for row in report["checks"] if row["outcome"] != "Pass"}


def counted(rows: Iterable[Mapping[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for row in rows)


@pytest.mark.parametrize(
    ("day", "raw"),
    [
        (NEW_YEAR, {}),
        (INDEPENDENCE, {}),
        (BLIZZARD, {"cancelled": "Fail"}),
        (AFTER_BLIZZARD, {"cancelled": "Fail"}),
        (SUMMER_TIME_BEGINS, {}),
        (SUMMER_TIME_ENDS, {}),
        (THANKSGIVING, {}),
        (CHRISTMAS, {}),
    ],
    ids=str,
)
def test_real_days_pass_and_no_row_is_set_aside(day: date, raw: Mapping[str, str], played: Played) -> None:
    run = played(day)
    assert not_passed(run, "screen") == raw, "cancelled only warns"
    assert not_passed(run, "audit") == {}
    assert run.ends["screen"].reason == ("GateWarned" if raw else "")
    assert run.set_aside == []
    assert run.outputs["screen"]["rows"] == run.outputs["extract"]["rows"]


def test_the_one_flight_of_a_day_with_a_misspelt_tail_number_is_set_aside(played: Played) -> None:
    run = played(TYPING_ERROR)
    [row] = run.set_aside
    assert (row["carrier"], row["flight"], row["tailnum"], row["sluice_reasons"]) == (
        "DL",
        "2247",
        "D942DN",
        ["tail-number"],
    )
    assert run.outputs["screen"]["quarantined"] == 1
    assert run.outputs["screen"]["rows"] == run.outputs["extract"]["rows"] - 1
    assert run.outputs["publish"]["rows"] == run.outputs["clean"]["rows"]


def test_half_of_any_day_of_the_year_is_too_few_rows_and_no_whole_day_is(source: Path) -> None:
    spec = gates()["flights-raw"].spec
    assert spec is not None
    [bounds] = [check.on_data.row_count for check in spec.data_checks() if check.name == "rows"]
    assert bounds is not None
    assert bounds.min is not None
    assert bounds.max is not None
    with (source / "flights.csv").open() as file:
        next(file)
        rows = Counter(tuple(line.split(",", 3)[:3]) for line in file)
    assert len(rows) == 365
    assert bounds.min <= min(rows.values())
    assert max(rows.values()) <= bounds.max
    assert (max(rows.values()) + 1) // 2 < bounds.min
    assert 2 * min(rows.values()) > bounds.max, "a day that came twice is too many"


@each_stopped
def test_a_broken_day_is_stopped_for_the_right_reason_and_nothing_is_published(
    way: Way, source: Path, volume: Path, tmp_path: Path
) -> None:
    expected = write(way, source, NEW_YEAR, tmp_path)
    before = Play(volume, {}, volume).published()

    run = play_to_its_end(NEW_YEAR, tmp_path, volume, f"broken-{way.name}")

    assert run.failed == [way.step]
    assert run.ends["publish"].phase == "UpstreamFailed"
    if way.check:
        gate = "flights-clean" if way.step == "audit" else "flights-raw"
        assert run.ends[way.step].reason == "GateFailed"
        assert run.ends[way.step].message.startswith(f"{gate}: Fail: {way.check}: ")
    else:
        assert run.ends[way.step].reason == "ExitCode"
    assert len(before) == 2
    assert run.published() == before
    assert counted(run.set_aside) == counted(expected.quarantine)
    assert run.ends["report"].phase == "Succeeded"


@each_borne
def test_a_day_with_a_few_bad_rows_is_published_without_them(
    way: Way, source: Path, played: Played, tmp_path: Path
) -> None:
    expected = write(way, source, NEW_YEAR, tmp_path / "source")

    run = play_to_its_end(NEW_YEAR, tmp_path / "source", tmp_path)

    assert run.failed == []
    assert run.ends["screen"].reason == "GateWarned"
    assert 0 < len(expected.quarantine) <= 0.02 * run.outputs["extract"]["rows"]
    assert run.outputs["screen"]["quarantined"] == len(expected.quarantine)
    assert counted(run.set_aside) == counted(expected.quarantine)
    kept = Counter(row_key(row) for row in rows_of(run.outputs["extract"]["uri"]) if row["dep_time"] != "NA")
    kept -= Counter(row_key(row) for row in expected.quarantine if row["dep_time"] != "NA")
    published = rows_of(run.partition("published", NEW_YEAR))
    assert Counter(row_key(row) for row in published) == kept
    whole = rows_of(played(NEW_YEAR).partition("published", NEW_YEAR))
    assert counted_rows(published) <= counted_rows(whole), "what is published is as it would have been"


def row_key(row: Mapping[str, Any]) -> tuple[str, int, str]:
    return row["carrier"], int(row["flight"]), row["origin"]


def counted_rows(rows: Iterable[Mapping[str, Any]]) -> Counter[str]:
    return Counter(repr(sorted(row.items())) for row in rows)


@pytest.mark.parametrize("name", ["half-the-rows", "few-nulls"])
def test_the_interval_run_again_over_the_mended_source_publishes_all(
    name: str, source: Path, volume: Path, tmp_path: Path
) -> None:
    [way] = [one for one in (*STOPPED, *BORNE) if one.name == name]
    write(way, source, NEW_YEAR, tmp_path / "source")
    stopped = play_to_its_end(NEW_YEAR, tmp_path / "source", tmp_path, "first")
    assert stopped.failed == ([way.step] if way.step else [])

    replay = play_to_its_end(NEW_YEAR, source, tmp_path, "replay")

    assert replay.failed == []
    assert replay.set_aside == []
    assert replay.published() == Play(volume, {}, volume).published()


def test_the_program_that_breaks_sources_needs_nothing_but_python(source: Path, tmp_path: Path) -> None:
    """It runs in a pod of the example's image, where there are no tests."""
    program = tmp_path / "break.py"
    program.write_text(Path(flights_broken.__file__).read_text())
    command = [sys.executable, "-I", str(program), "2013-01-01", str(source), str(tmp_path / "broken")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert {folder.name for folder in (tmp_path / "broken").iterdir()} == {way.name for way in WAYS}
    for way in WAYS:
        folder, here = tmp_path / "broken" / way.name, tmp_path / "here" / way.name
        assert Expected.read(folder) == write(way, source, NEW_YEAR, here)
        assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in here.iterdir())
        assert all(path.read_bytes() == (here / path.name).read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("name", ["raw", "clean"])
def test_the_examples_in_a_gate_come_out_as_stated(name: str) -> None:
    done = CliRunner().invoke(app, ["gate", "test", str(EXAMPLE / "gates" / f"{name}.yaml")])
    assert done.exit_code == 0, done.output
