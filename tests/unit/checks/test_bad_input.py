"""Bad input has a stated outcome, and never a Pass."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sluice.api.gate import QualityGateSpec
from sluice.checks.engine import evaluate
from sluice.checks.isolation import lock, refuse_expression, refuse_query
from sluice.checks.sources import Resources
from sluice.checks.sql import When
from sluice.checks.time_limit import TimeLimit
from sluice.planning.verdicts import Outcome

WHEN = When(datetime(2026, 1, 2, tzinfo=UTC))
ENDLESS = "SELECT count(*) FROM range(100000000000) a(i), range(100000000000) b(j) WHERE hash(i, j) = 1"

Make = Callable[..., QualityGateSpec]
Write = Callable[[str, str], str]


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1, -8])
def test_a_parquet_file_that_is_cut_off_is_an_error(parquet: Write, gate: Make, kept: float) -> None:
    path = Path(parquet("p", "SELECT i AS id FROM range(100000) r(i)"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept == 0.5 else int(kept)])
    checks: list[dict[str, Any]] = [
        {"data": {"source": "p", "rowCount": {"min": 0}}},
        {"data": {"source": "p", "columns": {"names": ["id"]}}},
        {"data": {"source": "p", "notNull": {"columns": ["id"]}}},
    ]
    report = evaluate("g", gate(*checks), {"p": str(path)}, WHEN)
    assert {found.outcome for found in report.findings} == {Outcome.ERROR}


def test_a_parquet_file_with_a_hole_is_an_error_of_the_checks_that_read_it(parquet: Write, gate: Make) -> None:
    path = Path(parquet("p", "SELECT 'text' || hash(i) AS tail FROM range(100000) r(i)"))
    whole = bytearray(path.read_bytes())
    whole[1000 : len(whole) // 2] = bytes(len(whole) // 2 - 1000)
    path.write_bytes(whole)
    check = {"data": {"source": "p", "regex": {"column": "tail", "pattern": ".*"}}}
    assert evaluate("g", gate(check), {"p": str(path)}, WHEN).findings[0].outcome is Outcome.ERROR


@pytest.mark.parametrize("assertion", [{"sql": {"query": ENDLESS}}, {"row": {"expression": f"({ENDLESS}) > id"}}])
def test_a_query_that_does_not_end_is_interrupted_and_the_others_are_judged(
    parquet: Write, gate: Make, assertion: dict[str, Any]
) -> None:
    endless = {"data": {"source": "p", **assertion}}
    other = {"data": {"source": "q", "rowCount": {"min": 1}}}
    path = parquet("p", "SELECT 1 AS id")
    report = evaluate("g", gate(other, endless), {"p": path, "q": path}, WHEN, Resources(threads=1), time_limit=0.5)
    assert [found.outcome for found in report.findings] == [Outcome.PASS, Outcome.ERROR]
    assert report.findings[1].message == "took longer than 0.5 s"


def test_a_time_limit_that_is_not_reached_changes_nothing() -> None:
    with duckdb.connect() as connection, TimeLimit(connection, 600) as limit:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert not limit.over


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "COPY p TO '{folder}/p.parquet'",
        "ATTACH '{folder}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "EXPORT DATABASE '{folder}/x'",
        "SELECT * FROM secret",
    ],
)
def test_a_locked_database_refuses_whatever_leaves_it(parquet: Write, tmp_path: Path, statement: str) -> None:
    secret = [1]
    path = parquet("p", "SELECT 1 AS id")
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW p AS SELECT * FROM '{path}'")
        lock(connection, [path])
        assert connection.execute("SELECT * FROM p").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error):
            connection.execute(statement.format(folder=tmp_path))
    assert secret == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["p.parquet"]


@pytest.mark.parametrize("glob", ["*.parquet", "p?.parquet", "[pq]1.parquet", "p1.parquet", ""])
def test_a_locked_database_still_reads_the_files_of_a_pattern_or_folder(
    parquet: Write, tmp_path: Path, glob: str
) -> None:
    parquet("p1", "SELECT 1 AS id")
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW p AS SELECT * FROM read_parquet('{tmp_path}/{glob}')")
        lock(connection, [f"{tmp_path}/{glob}"])
        assert connection.execute("SELECT * FROM p").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "text", ["1 = 1) OR (1 = 1", "1 --", "a, b", "1; DROP VIEW t", "1 FROM t", "", "1 /*", "x AS y"]
)
def test_what_is_not_one_expression_is_refused(text: str) -> None:
    with duckdb.connect() as connection:
        assert refuse_expression(connection, text)


@pytest.mark.parametrize("text", ["a > 1", "(a = 1) OR (b = 2)", "a IN (SELECT id FROM t)", "a LIKE '%--%'", "NOT a"])
def test_one_expression_is_not_refused(text: str) -> None:
    with duckdb.connect() as connection:
        assert refuse_expression(connection, text) is None


@pytest.mark.parametrize(
    "text", ["DELETE FROM t", "SELECT 1; SELECT 2", "PRAGMA x", "CALL y()", "EXPLAIN SELECT 1", ""]
)
def test_what_is_not_one_select_is_refused(text: str) -> None:
    with duckdb.connect() as connection:
        assert refuse_query(connection, text)
