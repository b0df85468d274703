"""Quarantine: exactly the rows that fail are set aside, once each, with their reasons."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sluice.api.gate import QualityGateSpec
from sluice.checks.engine import evaluate
from sluice.checks.files import CannotWrite
from sluice.checks.report import Report
from sluice.checks.sql import When
from sluice.planning.verdicts import Decision, Outcome

WHEN = When(datetime(2026, 1, 2, tzinfo=UTC))
ROWS = (
    "SELECT * FROM (VALUES (1, 'a', 1.0), (2, NULL, -1.0), (2, NULL, -1.0), (3, 'b', 2.0), (3, 'b', 2.0), (3, 'a', 5.0), "
    "(4, NULL, 4.0), (NULL, 'c', 1.0), (NULL, 'c', 1.0)) v(id, tail, x)"
)
NOT_NULL = {"name": "tail", "quarantine": True, "data": {"source": "p", "notNull": {"columns": ["tail"]}}}
RANGE = {"name": "x", "quarantine": True, "data": {"source": "p", "range": {"column": "x", "min": 0}}}
UNIQUE = {"name": "id", "quarantine": True, "data": {"source": "p", "unique": {"columns": ["id"]}}}
ROW_COUNT = {"name": "rows", "data": {"source": "p", "rowCount": {"min": 1}}}

Make = Callable[..., QualityGateSpec]
Write = Callable[[str, str], str]


def split(source: str = "p", most: float = 0.5) -> dict[str, Any]:
    return {"source": source, "maxShare": most}


def rows_of(path: Path | str) -> list[tuple[Any, ...]]:
    return duckdb.sql(f"SELECT * FROM '{path}' ORDER BY ALL").fetchall()


def run(spec: QualityGateSpec, path: str, tmp_path: Path, **targets: Any) -> Report:
    targets = {"quarantine": tmp_path / "bad", "passing": tmp_path / "good"} | targets
    return evaluate("g", spec, {"p": path}, WHEN, **targets)


def test_rows_that_fail_are_set_aside_once_each_with_all_their_reasons(
    parquet: Write, gate: Make, tmp_path: Path
) -> None:
    report = run(gate(NOT_NULL, RANGE, ROW_COUNT, quarantine=split()), parquet("p", ROWS), tmp_path)
    assert rows_of(tmp_path / "bad/p.parquet") == [
        (2, None, -1.0, ["tail", "x"]),
        (2, None, -1.0, ["tail", "x"]),
        (4, None, 4.0, ["tail"]),
    ]
    assert [found.outcome for found in report.findings] == [Outcome.WARN, Outcome.WARN, Outcome.PASS]
    assert "3 rows set aside (33.3 %)" in report.findings[0].message
    assert report.quarantine is not None
    assert (report.quarantine.rows, report.quarantine.total) == (3, 9)


def test_what_is_left_goes_on_and_both_parts_together_are_all_rows(parquet: Write, gate: Make, tmp_path: Path) -> None:
    path = parquet("p", ROWS)
    report = run(gate(NOT_NULL, RANGE, UNIQUE, quarantine=split(most=1)), path, tmp_path)
    assert report.decision is Decision.CONTINUE
    assert report.passing is not None
    bad = [row[:-1] for row in rows_of(tmp_path / "bad/p.parquet")]
    good = rows_of(tmp_path / "good/p.parquet")
    assert report.passing.rows == len(good)
    assert sorted(map(str, bad + good)) == sorted(map(str, rows_of(path)))


def test_of_a_repeated_key_the_first_row_stays_and_rows_without_a_key_do_too(
    parquet: Write, gate: Make, tmp_path: Path
) -> None:
    run(gate(UNIQUE, quarantine=split()), parquet("p", ROWS), tmp_path)
    assert rows_of(tmp_path / "bad/p.parquet") == [
        (2, None, -1.0, ["id"]),
        (3, "b", 2.0, ["id"]),
        (3, "b", 2.0, ["id"]),
    ]
    assert len(rows_of(tmp_path / "good/p.parquet")) == 6


@pytest.mark.parametrize(("most", "expected"), [(0.34, Outcome.WARN), (1 / 3, Outcome.WARN), (0.33, Outcome.FAIL)])
def test_beyond_the_share_the_checks_fail_and_nothing_goes_on(
    parquet: Write, gate: Make, tmp_path: Path, most: float, expected: Outcome
) -> None:
    report = run(gate(NOT_NULL, quarantine=split(most=most)), parquet("p", ROWS), tmp_path)
    assert report.findings[0].outcome is expected
    assert len(rows_of(tmp_path / "bad/p.parquet")) == 3
    assert (tmp_path / "good/p.parquet").exists() is (expected is Outcome.WARN)


def test_without_a_place_for_them_rows_that_fail_fail_the_check(parquet: Write, gate: Make, tmp_path: Path) -> None:
    report = run(gate(NOT_NULL, quarantine=split()), parquet("p", ROWS), tmp_path, quarantine=None)
    assert report.findings[0].outcome is Outcome.FAIL
    assert "no place" in report.findings[0].message
    assert not (tmp_path / "good/p.parquet").exists()


def test_a_second_evaluation_replaces_the_file_also_with_an_empty_one(
    parquet: Write, gate: Make, tmp_path: Path
) -> None:
    spec = gate(NOT_NULL, quarantine=split())
    run(spec, parquet("p", ROWS), tmp_path)
    report = run(spec, parquet("p", "SELECT 1 AS id, 'a' AS tail, 1.0 AS x"), tmp_path)
    assert report.findings[0].outcome is Outcome.PASS
    assert rows_of(tmp_path / "bad/p.parquet") == []
    assert [path.name for path in (tmp_path / "bad").iterdir()] == ["p.parquet"]


@pytest.mark.parametrize(
    ("check", "spec", "message"),
    [
        (NOT_NULL, {}, "spec.quarantine"),
        (NOT_NULL, {"quarantine": split("other")}, 'rows of "other"'),
        ({**ROW_COUNT, "quarantine": True}, {"quarantine": split()}, "not about single rows"),
        (NOT_NULL, {"quarantine": split(), "sources": [{"name": "p", "sample": {"rows": 3}}]}, "sample"),
    ],
)
def test_a_check_whose_rows_cannot_be_set_aside_is_an_error(
    parquet: Write, gate: Make, tmp_path: Path, check: dict[str, Any], spec: dict[str, Any], message: str
) -> None:
    found = run(gate(check, **spec), parquet("p", ROWS), tmp_path).findings[0]
    assert found.outcome is Outcome.ERROR
    assert message in found.message


def test_a_place_that_cannot_be_written_is_an_error_of_the_checks(parquet: Write, gate: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = run(gate(NOT_NULL, quarantine=split()), parquet("p", ROWS), tmp_path, quarantine=tmp_path / "file")
    assert report.findings[0].outcome is Outcome.ERROR


def test_rows_that_cannot_go_on_are_an_exception_and_not_a_verdict(parquet: Write, gate: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite):
        run(gate(NOT_NULL, quarantine=split()), parquet("p", ROWS), tmp_path, passing=tmp_path / "file")


def test_rows_of_a_missing_source_are_neither_set_aside_nor_passed_on(gate: Make, tmp_path: Path) -> None:
    report = run(gate(NOT_NULL, quarantine=split()), str(tmp_path / "lost.parquet"), tmp_path)
    assert (report.findings[0].outcome, report.decision) == (Outcome.ERROR, Decision.STOP)
    assert not (tmp_path / "bad").exists()
    assert not (tmp_path / "good").exists()
