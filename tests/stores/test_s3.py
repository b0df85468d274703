"""A gate over objects of a real S3 server comes out as over files; what is wrong with the storage is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sluice.checks.engine import evaluate
from sluice.checks.files import write_rows, write_text
from sluice.checks.report import Finding
from sluice.planning.verdicts import Outcome
from tests.stores.conftest import S3, free_port
from tests.unit.checks.test_data_checks import CASES, TABLES, WHEN, gate

PASS, WARN, FAIL, INCONCLUSIVE, ERROR = Outcome


@pytest.fixture(scope="module")
def objects(s3: S3) -> S3:
    """The tables of the checks' own tests as objects, and one of them in parts."""
    bucket = s3.folder / "data"
    (bucket / "parts" / "day=1").mkdir(parents=True)
    for name, sql in TABLES.items():
        duckdb.execute(f"COPY ({sql}) TO '{bucket}/{name}.parquet'")
    duckdb.execute(f"COPY ({TABLES['t']}) TO '{bucket}/t.csv' (HEADER)")
    duckdb.execute(f"COPY ({TABLES['t']}) TO '{bucket}/t.json'")
    for part in range(2):
        query = f"SELECT * FROM ({TABLES['t']}) WHERE id % 2 = {part}"
        duckdb.execute(f"COPY ({query}) TO '{bucket}/parts/day=1/{part}.parquet'")
    whole = (bucket / "t.parquet").read_bytes()
    (bucket / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    return s3


def find(uri: str, *checks: dict[str, Any], **source: Any) -> list[Finding]:
    sources = [{"name": "t", "uri": uri, "credentials": "STORE", **source}]
    return list(
        evaluate("g", gate(*({"data": {"source": "t", **c}} for c in checks), sources=sources), {}, WHEN).findings
    )


ROWS = {"rowCount": {"min": 20, "max": 20}}


def test_the_same_gate_comes_out_as_over_files(objects: S3, reach: Callable[..., None]) -> None:
    reach(objects)
    checks = [{"data": {"source": source, **assertion}} for source, assertion, _ in CASES]
    expected = [outcome for _, _, outcome in CASES]
    found = []
    for start in range(0, len(checks), 50):
        sources = [{"name": n, "uri": f"s3://data/{n}.parquet", "credentials": "STORE"} for n in TABLES]
        found += evaluate("g", gate(*checks[start : start + 50], sources=sources), {}, WHEN).findings
    assert [finding.outcome for finding in found] == expected


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("s3://data/t.csv", {}),
        ("s3://data/t.json", {}),
        ("s3://data/parts/*/*.parquet", {}),
        ("s3://data/parts/", {"format": "parquet"}),
        ("s3://data/parts", {"format": "parquet"}),
    ],
)
def test_objects_of_all_formats_globs_and_folders_are_read(
    objects: S3, reach: Callable[..., None], uri: str, source: dict[str, Any]
) -> None:
    reach(objects)
    finding = find(uri, ROWS, **source)[0]
    assert finding.outcome is PASS, finding.message


@pytest.mark.parametrize(
    ("uri", "changed", "words"),
    [
        ("s3://lost/t.parquet", {}, 'there is no bucket "lost"'),
        ("s3://data/lost.parquet", {}, 'there is no "lost.parquet" in the bucket "data"'),
        ("s3://data/lost/*.parquet", {}, "lost"),
        ("s3://data/cut.parquet", {}, "s3://data/cut.parquet"),
        ("s3://data/parts", {}, "say format"),
        ("s3://data/t.parquet", {"STORE_SECRET_ACCESS_KEY": "hunter2"}, "refuses access"),
        ("s3://data/t.parquet", {"STORE_ACCESS_KEY_ID": "nobody"}, "refuses access"),
        ("s3://data/t.parquet", {"STORE_SECRET_ACCESS_KEY": ""}, "are needed both"),
        ("s3://data/t.parquet", {"STORE_ENDPOINT": f"http://127.0.0.1:{free_port()}"}, "cannot be reached"),
    ],
)
def test_a_storage_that_cannot_be_read_is_an_error_that_says_why(
    objects: S3,
    reach: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
    changed: dict[str, str],
    words: str,
) -> None:
    reach(objects)
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    finding = find(uri, ROWS)[0]
    assert finding.outcome is ERROR
    assert words in finding.message
    assert "hunter2" not in finding.message


def test_rows_that_are_written_are_there_whole(objects: S3, reach: Callable[..., None], tmp_path: Path) -> None:
    reach(objects)
    with duckdb.connect() as connection:
        assert write_rows(connection, TABLES["t"], "s3://data/out/day=1/t.parquet", "STORE") == 20
        finding = find("s3://data/out/day=1/t.parquet", ROWS)[0]
        assert finding.outcome is PASS, finding.message
        assert write_rows(connection, TABLES["t"], f"{tmp_path}/a/b.parquet") == 20
    assert write_text("s3://data/reports", "r.html", "<p>", "STORE") == "s3://data/reports/r.html"
    assert (objects.folder / "data/reports/r.html").read_text() == "<p>"


def test_rows_that_are_set_aside_and_those_that_pass_go_to_the_storage(
    objects: S3, reach: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(objects)
    for name, value in objects.environment.items():
        monkeypatch.setenv(name.replace("STORE_", "AWS_", 1), value)
    spec = gate(
        {"data": {"source": "t", "range": {"column": "id", "min": 1}}, "quarantine": True},
        sources=[{"name": "t", "uri": "s3://data/t.parquet", "credentials": "STORE"}],
        quarantine={"source": "t", "maxShare": 0.1},
    )
    report = evaluate("g", spec, {}, WHEN, quarantine="s3://data/bad", passing="s3://data/good")
    assert report.verdict.outcome is WARN, report.findings[0].message
    for folder, rows in (("bad", 1), ("good", 19)):
        query = f"SELECT count(*) FROM '{objects.folder}/data/{folder}/t.parquet'"
        assert duckdb.execute(query).fetchall() == [(rows,)]
