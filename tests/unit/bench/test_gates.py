"""The benchmark of gates, on few rows: what it makes and measures."""

import json
from pathlib import Path

import duckdb
import pytest

from dev.bench.gates import CHECKS, child, data_file


def test_nine_checks_pass_on_the_file_that_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_file(20_000, tmp_path)
    assert duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall() == [(20_000,)]
    for what in ("gate", "separate"):
        child([what, str(path)])
        found = json.loads(capsys.readouterr().out)
        assert found["outcomes"] == ["Pass"] * len(CHECKS)
        assert len(CHECKS) == 9


def test_the_file_is_made_once_and_its_name_tells_what_is_in_it(tmp_path: Path) -> None:
    first = data_file(100, tmp_path)
    before = first.stat().st_mtime_ns
    assert data_file(100, tmp_path) == first
    assert first.stat().st_mtime_ns == before
    assert data_file(200, tmp_path) != first
