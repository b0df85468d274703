"""What the steps say to input that they cannot use, and how they treat limits."""

import importlib
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import fetch
import pytest
from flights import clean, enrich, extract, step, tables
from flights.errors import StepError

from tests.unit.examples.flights_play import SUMMER_TIME_BEGINS, Play

Played = Callable[[date], Play]


def error_line(captured: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a step wrote to standard error."""
    [line] = captured.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("day", ["2012-12-31", "2014-01-01"])
def test_a_day_that_the_table_does_not_hold_is_refused(
    day: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = extract.main([f"--day={day}", f"--source={source}", f"--out={tmp_path}/run"])
    assert code == 3
    assert error_line(capsys) == f"extract: no flights on {day}: {source}/flights.csv holds 2013-01-01 to 2013-12-31"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("day", ["2013-02-29", "yesterday", ""])
def test_what_is_not_a_day_is_refused(
    day: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert extract.main([f"--day={day}", f"--source={source}", f"--out={tmp_path}"]) == 3
    assert error_line(capsys) == f"extract: {day!r} is not a day: write it as YYYY-MM-DD, e.g. 2013-01-01"


def test_a_missing_source_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract.main(["--day=2013-01-01", f"--source={tmp_path}", f"--out={tmp_path}/run"]) == 4
    assert error_line(capsys).startswith(f"extract: no file {tmp_path}/flights.csv: --source must name the folder")


def test_a_source_without_rows_is_named(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (source / "flights.csv").open() as file:
        (tmp_path / "flights.csv").write_text(next(file))
    assert extract.main(["--day=2013-01-01", f"--source={tmp_path}", f"--out={tmp_path}/run"]) == 3
    assert "holds no flights at all" in error_line(capsys)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("clean", ["--in={0}"]),
        ("enrich", ["--in={0}", "--source={1}"]),
        ("delays", ["--in={0}", "--cancelled={0}", "--source={1}"]),
        ("publish", ["--day=2013-01-01", "--enriched={0}", "--delays={0}", "--flights-to={2}/a", "--delays-to={2}/b"]),
    ],
)
def test_a_missing_file_of_the_step_before_is_named(
    name: str, arguments: list[str], source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "absent.parquet"
    filled = [argument.format(missing, source, tmp_path) for argument in (*arguments, "--out={2}/run")]
    assert importlib.import_module(f"flights.{name}").main(filled) == 4
    assert error_line(capsys).startswith(f"{name}: no file {missing}")


@pytest.mark.parametrize(("name", "table"), [("enrich", "planes"), ("delays", "airlines")])
def test_a_missing_table_of_the_source_is_named(
    name: str, table: str, played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = played(SUMMER_TIME_BEGINS).outputs["clean"]
    arguments = [f"--in={outputs['uri']}", f"--source={tmp_path}", f"--out={tmp_path}/run"]
    if name == "delays":
        arguments.append(f"--cancelled={outputs['cancelledUri']}")
    assert importlib.import_module(f"flights.{name}").main(arguments) == 4
    assert error_line(capsys).startswith(f"{name}: no file {tmp_path}/{table}.csv")


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_text("not Parquet")
    assert clean.main([f"--in={broken}", f"--out={tmp_path}/run"]) == 1
    assert capsys.readouterr().err.startswith("clean: InvalidInputException: ")


def test_clean_refuses_clocks_that_disagree(played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As if whoever made time_hour had missed the change to summer time."""
    raw = played(SUMMER_TIME_BEGINS).outputs["extract"]["uri"]
    shifted = tmp_path / "shifted.parquet"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.sql(
            "SELECT * REPLACE (strftime(CAST(time_hour AS TIMESTAMPTZ) + INTERVAL 1 HOUR, '%Y-%m-%dT%H:%M:%SZ') "
            f"AS time_hour) FROM read_parquet('{raw}')"
        ).write_parquet(str(shifted))
    assert clean.main([f"--in={shifted}", f"--out={tmp_path}/run"]) == 5
    line = error_line(capsys)
    assert line.startswith("clean: 908 flights have two scheduled departures in America/New_York, e.g. US 1113: ")
    assert line.endswith("2013-03-10 05:00:00 by its columns, 2013-03-10 06:00:00 by time_hour")
    assert not (tmp_path / "run").exists()


def test_a_flight_without_a_tail_number_is_kept_and_is_no_unknown_plane(
    played: Played, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No flight that left has none in this data; the table allows it."""
    outputs = played(SUMMER_TIME_BEGINS).outputs
    nameless = tmp_path / "nameless.parquet"
    with duckdb.connect() as connection:
        connection.sql(
            f"SELECT * REPLACE (CAST(NULL AS VARCHAR) AS tailnum) FROM read_parquet('{outputs['clean']['uri']}')"
        ).write_parquet(str(nameless))
    monkeypatch.setenv("SLUICE_OUTPUTS", str(tmp_path / "outputs"))
    assert enrich.main([f"--in={nameless}", f"--source={source}", f"--out={tmp_path}/run"]) == 0
    written = json.loads((tmp_path / "outputs").read_text())
    assert (written["rows"], written["unknownPlanes"]) == (outputs["clean"]["rows"], 0)


def test_outputs_are_one_json_object_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_OUTPUTS", str(tmp_path / "log"))
    step.write_outputs({"uri": "/data/x", "rows": 842})
    assert json.loads((tmp_path / "log").read_text()) == {"uri": "/data/x", "rows": 842}


def test_outputs_go_to_the_termination_log_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.delenv("SLUICE_OUTPUTS", raising=False)
    monkeypatch.setattr(step, "TERMINATION_LOG", log)
    step.write_outputs({"rows": 1})
    assert json.loads(log.read_text()) == {"rows": 1}


def test_outputs_that_kubernetes_would_cut_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_OUTPUTS", str(tmp_path / "log"))
    with pytest.raises(StepError, match="4096 are allowed"):
        step.write_outputs({"text": "x" * 4096})
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("content", "share"),
    [("536870912\n", "348966092B"), ("max\n", None), ("9223372036854771712\n", None)],
    ids=["512 MiB", "no limit, cgroup v2", "no limit, cgroup v1"],
)
def test_duckdb_gets_its_share_of_the_containers_memory(content: str, share: str | None, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(content)
    assert tables.container_share([tmp_path / "absent", limit]) == share


def test_without_a_cgroup_duckdb_keeps_its_own_limit(tmp_path: Path) -> None:
    assert tables.container_share([tmp_path / "absent"]) is None


@pytest.mark.parametrize(("limit", "shown"), [("348966092B", "332.7 MiB"), ("100MiB", "100.0 MiB")])
def test_the_memory_limit_reaches_duckdb(limit: str, shown: str) -> None:
    with tables.connect(limit) as connection:
        assert connection.execute("SELECT current_setting('memory_limit')").fetchall() == [(shown,)]


def test_fetch_trusts_only_tables_with_the_right_hashes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(scratch: Path) -> Path:
        raise SystemExit("would download")

    monkeypatch.setattr(fetch, "download", no_network)
    copy = tmp_path / "tables"
    copy.mkdir()
    for name in fetch.TABLES_SHA256:
        (copy / name).symlink_to(source / name)
    assert fetch.fetch(copy) == copy

    (copy / "airlines.csv").unlink()
    (copy / "airlines.csv").write_text("carrier,name\n")
    with pytest.raises(SystemExit, match="would download"):
        fetch.fetch(copy)
