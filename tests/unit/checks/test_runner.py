"""The runner of gate steps: what it reads, prints, writes and ends with."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sluice.api.names import REPORT_PREFIX
from sluice.checks import runner
from sluice.checks.engine import evaluate
from sluice.checks.evidence import MAX_SHORT_BYTES, to_line, to_short
from sluice.checks.runner import BAD_GATE, BROKE_DOWN, TERMINATED, main, read_settings
from sluice.checks.sql import When

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ROWS = "SELECT i AS id, CASE WHEN i = 3 THEN NULL ELSE 'a' || i END AS tail FROM range(10) r(i)"
ROW_COUNT = {"name": "rows", "data": {"source": "p", "rowCount": {"min": 99}}}
TAIL = {"name": "tail", "quarantine": True, "data": {"source": "p", "notNull": {"columns": ["tail"]}}}

Write = Callable[[str, str], str]


def run(tmp_path: Path, order: dict[str, Any] | str, **environment: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, termination message, standard output)."""
    text = order if isinstance(order, str) else json.dumps(order)
    out, outputs = io.StringIO(), tmp_path / "outputs"
    code = main({"SLUICE_GATE": text, "SLUICE_OUTPUTS": str(outputs)} | environment, NOW, out)
    return code, json.loads(outputs.read_text()), out.getvalue()


def order(path: str, *checks: dict[str, Any], spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "g", "spec": {"checks": list(checks), **(spec or {})}, "sources": {"p": path}, **more}


def test_a_failed_gate_is_an_evaluation_that_came_about(parquet: Write, tmp_path: Path) -> None:
    code, short, out = run(tmp_path, order(parquet("p", ROWS), ROW_COUNT))
    assert code == 0
    assert short == {
        "verdict": "Fail",
        "decision": "Stop",
        "score": 0.0,
        "weight": 1.0,
        "counting": 1,
        "worst": "rows",
        "message": "rows: 10 is not >= 99",
        "evaluatedAt": "2026-01-02T00:00:00+00:00",
        "dryRun": False,
        "checks": [{"name": "rows", "outcome": "Fail", "message": "10 is not >= 99", "value": 10.0}],
    }
    lines = out.splitlines()
    assert lines[0].startswith("Fail         Block rows: rows >= 99 | 10 is not >= 99")
    assert lines[-1].startswith(REPORT_PREFIX)
    assert json.loads(lines[-1].removeprefix(REPORT_PREFIX))["verdict"] == "Fail"


def test_files_go_where_they_are_asked_for(parquet: Write, tmp_path: Path) -> None:
    spec = {"quarantine": {"source": "p", "maxShare": 0.1}}
    folders = {name: str(tmp_path / name) for name in ("quarantine", "passing", "report")}
    _, short, _ = run(tmp_path, order(parquet("p", ROWS), TAIL, spec=spec, **folders, run="r", step="s"))
    assert (short["verdict"], short["decision"]) == ("Warn", "Continue")
    assert (short["rows"], short["uri"]) == (9, f"{tmp_path}/passing/p.parquet")
    assert (short["quarantined"], short["quarantineUri"]) == (1, f"{tmp_path}/quarantine/p.parquet")
    assert short["reportUri"] == f"{tmp_path}/report/report.html"
    document = json.loads((tmp_path / "report/report.json").read_text())
    assert (document["run"], document["step"]) == ("r", "s")
    assert document["quarantine"]["rows"] == 1


def test_score_lines_are_left_to_the_operator(parquet: Write, tmp_path: Path) -> None:
    info = {**ROW_COUNT, "severity": "Warn"}
    _, short, _ = run(tmp_path, order(parquet("p", ROWS), info, spec={"score": {"pass": 90, "warn": 80}}))
    assert (short["verdict"], short["score"]) == ("Warn", 0)


def test_the_interval_and_arguments_are_in_uris(parquet: Write, tmp_path: Path) -> None:
    parquet("ua-2026-01-01", ROWS)
    interval = {"start": "2025-12-31T18:30:00Z", "end": "2026-01-01T18:30:00Z"}
    place = f"{tmp_path}/$(args.carrier)-$(interval.start.date).parquet"
    _, short, _ = run(tmp_path, order(place, ROW_COUNT, interval=interval, zone="Asia/Kolkata", args={"carrier": "ua"}))
    assert short["message"] == "rows: 10 is not >= 99"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"name": "g"}', '{"name": "g", "spec": {"checks": [], "x": 1}}', '{"name": "g", "no": 1}']
)
def test_an_order_that_cannot_be_read_ends_with_64(tmp_path: Path, text: str) -> None:
    code, short, out = run(tmp_path, text)
    assert code == BAD_GATE
    assert "SLUICE_GATE" in short["error"]
    assert short["error"] in out


@pytest.mark.parametrize(
    "environment", [{"SLUICE_MEMORY_LIMIT": "much"}, {"SLUICE_CPU_LIMIT": "x"}, {"SLUICE_GATE_TIMEOUT": "soon"}]
)
def test_an_environment_that_cannot_be_read_ends_with_64(
    parquet: Write, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert run(tmp_path, order(parquet("p", ROWS), ROW_COUNT), **environment)[0] == BAD_GATE


def test_a_breakdown_is_told_and_no_verdict_is(parquet: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spec = {"quarantine": {"source": "p", "maxShare": 1}}
    wanted = order(parquet("p", ROWS), TAIL, spec=spec, quarantine=str(tmp_path / "q"), passing=str(tmp_path / "file"))
    code, short, _ = run(tmp_path, wanted)
    assert code == BROKE_DOWN
    assert list(short) == ["error"]
    assert "cannot be written" in short["error"]


def test_memory_and_threads_come_from_the_limits_of_the_container() -> None:
    text = json.dumps(order("/p.parquet", ROW_COUNT))
    found = read_settings({"SLUICE_GATE": text, "SLUICE_MEMORY_LIMIT": str(2**30), "SLUICE_CPU_LIMIT": "1.5"})
    assert (found.resources.memory, found.resources.threads) == (f"{int(0.65 * 2**20)}KiB", 2)
    assert read_settings({"SLUICE_GATE": text}).resources.threads == (os.cpu_count() or 1)


def many(path: str, number: int, text: str) -> Any:
    checks = [
        {"name": f"{n:02}{text}"[:63], "data": {"source": "p", "row": {"expression": f"'{text}' = 'x{n}'"}}}
        for n in range(number)
    ]
    spec = runner.QualityGateSpec.model_validate({"checks": checks})
    return evaluate("g", spec, {"p": path}, When(NOW))


def test_the_short_form_always_fits_and_is_always_the_same(parquet: Write) -> None:
    path = parquet("p", ROWS)
    first, second = (many(path, 40, "पंखा" * 30) for _ in range(2))
    uri = "s3://" + "ü" * 2000
    assert to_short(first, uri) == to_short(second, uri)
    assert len(to_short(first, uri).encode()) <= MAX_SHORT_BYTES
    assert 0 < len(json.loads(to_short(first))["checks"]) < 40


def test_the_long_form_leaves_out_samples_first_and_says_so(parquet: Write) -> None:
    report = many(parquet("p", ROWS), 20, "z" * 900)
    size = len(to_line(report).encode())
    whole = json.loads(to_line(report))
    assert "truncated" not in whole
    assert whole["checks"][0]["samples"]
    for limit in (size - 1, size // 2):
        line = to_line(report, limit)
        assert len(line.encode()) <= limit
        assert "\n" not in line
        assert json.loads(line)["truncated"] is True
        assert {row["outcome"] for row in json.loads(line)["checks"]} == {"Fail"}
        assert not any(row["samples"] for row in json.loads(line)["checks"])


def test_sigterm_ends_it_whatever_it_is_doing(parquet: Write, tmp_path: Path) -> None:
    endless = "SELECT count(*) FROM range(100000000000) a(i), range(100000000000) b(j) WHERE hash(i, j) = 1"
    text = json.dumps(order(parquet("p", ROWS), {"name": "e", "data": {"source": "p", "sql": {"query": endless}}}))
    spill = tmp_path / "spill"
    code = (
        "import sys, os; from datetime import datetime, UTC\n"
        "from sluice.checks import runner\n"
        "runner.end_on_sigterm()\n"
        "print('ready', flush=True)\n"
        "sys.exit(runner.main(os.environ, datetime.now(UTC), sys.stdout))\n"
    )
    environment = os.environ | {
        "SLUICE_GATE": text,
        "SLUICE_OUTPUTS": str(tmp_path / "outputs"),
        "SLUICE_SPILL": str(spill),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == TERMINATED
