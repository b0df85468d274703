"""Samples: the same rows whatever the order, stated in the evidence, and refused where they prove nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sluice.api.gate import QualityGateSpec
from sluice.checks.engine import evaluate
from sluice.checks.evidence import to_json
from sluice.checks.sql import When
from sluice.planning.verdicts import Outcome

WHEN = When(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
ROWS = "SELECT i AS id, (i % 7)::DOUBLE AS x FROM range(10000) r(i)"
RANGE = {"data": {"source": "p", "range": {"column": "x", "min": 0, "max": 6}}}

Make = Callable[..., QualityGateSpec]
Write = Callable[[str, str], str]


@pytest.mark.parametrize(
    ("sample", "least", "most"),
    [
        ({"rows": 100}, 100, 100),
        ({"percent": 10}, 900, 1100),
        ({"percent": 100}, 10000, 10000),
        ({"rows": 10**6}, 10000, 10000),
    ],
)
def test_a_sample_is_as_large_as_it_says(
    parquet: Write, gate: Make, sample: dict[str, Any], least: int, most: int
) -> None:
    spec = gate(RANGE, sources=[{"name": "p", "sample": sample}])
    report = evaluate("g", spec, {"p": parquet("p", ROWS)}, WHEN)
    found = report.findings[0]
    assert found.outcome is Outcome.PASS
    assert found.rows_evaluated is not None
    assert least <= found.rows_evaluated <= most
    assert found.sampled == f"p: {found.rows_evaluated} of 10000 rows, seed 0"
    assert to_json(report)["sampled"] == {"p": f"{found.rows_evaluated} of 10000 rows, seed 0"}


def test_the_order_of_the_rows_does_not_change_the_sample_and_the_seed_does(parquet: Write, gate: Make) -> None:
    def mean(path: str, seed: int) -> float | None:
        aggregate = {"data": {"source": "p", "aggregate": {"column": "id", "function": "median", "min": 0}}}
        spec = gate(aggregate, sources=[{"name": "p", "sample": {"rows": 50, "seed": seed}}])
        return evaluate("g", spec, {"p": path}, WHEN).findings[0].value

    straight, turned = parquet("a", ROWS), parquet("b", f"SELECT * FROM ({ROWS}) ORDER BY id DESC")
    assert mean(straight, 1) == mean(turned, 1)
    assert mean(straight, 1) != mean(straight, 2)


@pytest.mark.parametrize(
    "assertion",
    [
        {"rowCount": {"min": 1}},
        {"unique": {"columns": ["id"]}},
        {"reconcile": {"source": "q", "keys": ["id"]}},
        {"aggregate": {"column": "x", "function": "sum", "min": 0}},
    ],
)
def test_what_needs_every_row_cannot_be_judged_on_a_sample(
    parquet: Write, gate: Make, assertion: dict[str, Any]
) -> None:
    path = parquet("p", ROWS)
    spec = gate({"data": {"source": "p", **assertion}}, sources=[{"name": "p", "sample": {"percent": 50}}])
    found = evaluate("g", spec, {"p": path, "q": path}, WHEN).findings[0]
    assert (found.outcome, found.rows_evaluated) == (Outcome.ERROR, None)
    assert "cannot be judged on a sample" in found.message


def test_a_missing_baseline_is_an_error_that_names_it(parquet: Write, gate: Make, tmp_path: Path) -> None:
    drift = {"data": {"source": "p", "drift": {"column": "x", "source": "before", "method": "PSI", "max": 0.2}}}
    before = {
        "name": "before",
        "uri": f"{tmp_path}/$(interval.start.date).parquet",
        "baseline": "PreviousInterval",
    }
    spec, path = gate(drift, RANGE, sources=[before]), parquet("p", ROWS)
    found = evaluate("g", spec, {"p": path}, WHEN).findings
    assert [row.outcome for row in found] == [Outcome.ERROR, Outcome.PASS]
    assert "the baseline (PreviousInterval) is missing" in found[0].message
    assert "2025-12-31.parquet" in found[0].message
    parquet("2025-12-31", ROWS)
    assert evaluate("g", spec, {"p": path}, WHEN).findings[0].outcome is Outcome.PASS
