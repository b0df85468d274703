"""`sluice gate` on files: exit codes, the report, the gate's own examples."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from sluice.cli.errors import CliError
from sluice.cli.gate import app

RUNNER = CliRunner()


def gate_file(folder: Path, **spec: Any) -> str:
    """A gate of one check on a source `t`; `spec` replaces parts of it."""
    checks = [{"name": "rows", "data": {"source": "t", "rowCount": {"min": 2}}}]
    manifest = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "QualityGate",
        "metadata": {"name": "g"},
        "spec": {"checks": checks, **spec},
    }
    path = folder / "gate.yaml"
    path.write_text(yaml.safe_dump(manifest))
    return str(path)


@pytest.mark.parametrize(
    ("rows", "code", "verdict"),
    [("a\n1\n2\n", 0, "Pass"), ("a\n1\n", 1, "Fail"), ("a\n", 1, "Fail")],
)
def test_run_ends_with_the_decision(tmp_path: Path, rows: str, code: int, verdict: str) -> None:
    (tmp_path / "t.csv").write_text(rows)
    done = RUNNER.invoke(app, ["run", gate_file(tmp_path), "--data", str(tmp_path / "t.csv"), "-o", "json"])
    assert done.exit_code == code
    assert json.loads(done.stdout)["verdict"] == verdict


def test_run_holds_when_nothing_is_known_and_the_gate_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n")
    checks = [{"name": "filled", "data": {"source": "t", "notNull": {"columns": ["a"]}}, "onNoData": "Hold"}]
    done = RUNNER.invoke(app, ["run", gate_file(tmp_path, checks=checks), "--data", f"t={tmp_path}/t.csv"])
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (
        4,
        "g: Inconclusive, score 0, Hold: filled: there are no rows to judge",
    )


def test_the_page_is_self_contained_and_escapes_what_comes_from_data(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n<script>alert(1)</script>\nok\n")
    checks = [{"name": "short", "data": {"source": "t", "length": {"column": "a", "max": 5}}}]
    page = tmp_path / "report.html"
    done = RUNNER.invoke(
        app, ["run", gate_file(tmp_path, checks=checks), "--data", f"t={tmp_path}/t.csv", "--html", str(page)]
    )
    text = page.read_text()
    assert done.exit_code == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text
    assert "http" not in text


@pytest.mark.parametrize(
    ("examples", "code", "last"),
    [
        ({"passing": [{"a": "x"}], "failing": [{"a": "too long"}]}, 0, "2 examples: 2 as stated, 0 not"),
        ({"passing": [{"a": "too long"}]}, 1, "1 examples: 0 as stated, 1 not"),
        ({"failing": [{"a": "x"}]}, 1, "1 examples: 0 as stated, 1 not"),
        ({"failing": [{"b": "x"}]}, 1, "1 examples: 0 as stated, 1 not"),
        ({"passing": [3]}, 1, "1 examples: 0 as stated, 1 not"),
    ],
)
def test_a_gate_is_tested_by_its_examples(tmp_path: Path, examples: dict[str, Any], code: int, last: str) -> None:
    checks = [{"name": "short", "data": {"source": "t", "length": {"column": "a", "max": 5}}}]
    path = gate_file(tmp_path, checks=checks, examples=[{"source": "t", **examples}])
    done = RUNNER.invoke(app, ["test", path])
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (code, last)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"checks": []}, "spec.checks in body should have at least 1 items"),
        ({"checks": [{"name": "a", "data": {"source": "t"}}]}, "exactly one assertion is needed"),
        (
            {"exemptions": [{"check": "x", "reason": "r", "approver": "a", "expires": "2026-01-01T00:00:00Z"}]},
            "no such check",
        ),
        ({"score": {"pass": 50, "warn": 60}}, "must not be above pass"),
    ],
)
def test_a_gate_that_cannot_work_is_refused_with_its_line(tmp_path: Path, spec: dict[str, Any], message: str) -> None:
    done = RUNNER.invoke(app, ["test", gate_file(tmp_path, **spec)])
    assert isinstance(done.exception, CliError)
    assert message in str(done.exception)
    assert str(done.exception).startswith(f"{tmp_path}/gate.yaml:")
