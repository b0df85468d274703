"""What a schema cannot say of a gate, each with the message that a user reads."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.data_checks import ASSERTIONS
from sluice.api.gate import QualityGateSpec
from sluice.planning.gates import ROW_ASSERTIONS, check_gate
from sluice.planning.validation import check_manifest

METRIC = {"source": "prom", "query": "up", "min": 1}
ROWS = {"source": "clean", "notNull": {"columns": ["a"]}}
COUNT = {"source": "clean", "rowCount": {"min": 1}}
SET_ASIDE = {"source": "clean", "maxShare": 0.01}


def gate(*checks: dict[str, Any], **fields: Any) -> QualityGateSpec:
    named = [{"name": f"c{index}", **check} for index, check in enumerate(checks)]
    return QualityGateSpec.model_validate({"checks": named, **fields})


def errors_of(*checks: dict[str, Any], **fields: Any) -> list[str]:
    return [str(error) for error in check_gate(gate(*checks, **fields))]


@pytest.mark.parametrize(
    ("checks", "fields"),
    [
        ([{"data": ROWS}, {"metric": METRIC}], {}),
        ([{"data": ROWS, "quarantine": True}, {"data": COUNT}], {"quarantine": SET_ASIDE}),
        ([{"data": ROWS, "quarantine": False}], {}),
        ([{"data": ROWS}], {"score": {"pass": 90, "warn": 80}}),
    ],
)
def test_a_sound_gate_has_no_errors(checks: list[dict[str, Any]], fields: dict[str, Any]) -> None:
    assert errors_of(*checks, **fields) == []


@pytest.mark.parametrize(
    ("checks", "fields", "error"),
    [
        pytest.param([{}], {}, "spec.checks[0]: Required value: exactly one of data, metric is needed", id="neither"),
        pytest.param(
            [{"data": ROWS, "metric": METRIC}],
            {},
            'spec.checks[0]: Invalid value: "c0": has both data and metric; exactly one is needed',
            id="both",
        ),
        pytest.param(
            [{"name": "a", "metric": METRIC}, {"name": "a", "data": ROWS}],
            {},
            'spec.checks[1].name: Duplicate value: "a"',
            id="a name twice, of a metric and of data",
        ),
        pytest.param(
            [{"metric": {**METRIC, "min": None}}],
            {},
            "spec.checks[0].metric.max: Required value: max, min or both are needed",
            id="a metric without bounds",
        ),
        pytest.param(
            [{"metric": METRIC, "pii": ["a"]}],
            {},
            'spec.checks[0].pii: Invalid value: ["a"]: is for checks on data: a metric has no columns',
            id="personal data in a metric",
        ),
        pytest.param(
            [{"data": {"source": "clean", "aggregate": {"column": "a", "function": "quantile", "max": 1}}}],
            {},
            'spec.checks[0].data.aggregate.function: Invalid value: "quantile": needs quantile, for instance 0.95',
            id="a quantile without its share",
        ),
        pytest.param(
            [{"data": {"source": "a", "reference": {"columns": ["x"], "source": "b", "keys": ["x", "y"]}}}],
            {},
            'spec.checks[0].data.reference.columns: Invalid value: ["x"]: must be as many as keys',
            id="columns without keys",
        ),
        pytest.param(
            [{"data": ROWS, "quarantine": True}],
            {},
            "spec.checks[0].quarantine: Invalid value: true: needs spec.quarantine, which says how many rows may be set "
            "aside",
            id="rows set aside without a limit",
        ),
        pytest.param(
            [{"data": ROWS, "quarantine": True}, {"metric": METRIC, "quarantine": True}],
            {"quarantine": SET_ASIDE},
            "spec.checks[1].quarantine: Invalid value: true: is for checks on data: a metric has no rows",
            id="rows of a metric",
        ),
        pytest.param(
            [{"data": ROWS, "quarantine": True}, {"data": {**ROWS, "source": "raw"}, "quarantine": True}],
            {"quarantine": SET_ASIDE},
            'spec.checks[1].quarantine: Invalid value: true: is for checks of spec.quarantine.source, "clean", not "raw"',
            id="rows of another source",
        ),
        pytest.param(
            [{"data": ROWS, "severity": "Info"}],
            {},
            'spec.checks[0].severity: Invalid value: "Info": at least one check has to count: Block or Warn, or critical',
            id="no check that counts",
        ),
        pytest.param(
            [{"data": ROWS}],
            {"sources": [{"name": "before", "baseline": "LastRun"}]},
            "spec.sources[0].step: Required value: baseline LastRun is the output of a step of an earlier run",
            id="a baseline without its step",
        ),
        pytest.param(
            [{"data": ROWS}],
            {"sources": [{"name": "before", "baseline": "SameWeekday"}]},
            "spec.sources[0].uri: Required value: baseline SameWeekday needs one, with $(interval.start.date) or the like",
            id="a baseline without its place",
        ),
        pytest.param(
            [{"data": ROWS}],
            {"sources": [{"name": "some", "sample": {"percent": 1, "rows": 5}}]},
            'spec.sources[0].sample: Invalid value: {"percent":1.0,"rows":5}: exactly one of percent, rows is needed',
            id="a sample of two sizes",
        ),
        pytest.param(
            [{"data": ROWS, "quarantine": True}, {"data": COUNT, "quarantine": True}],
            {"quarantine": SET_ASIDE},
            "spec.checks[1].quarantine: Invalid value: true: is for checks on rows: notNull, unique, range, inSet, regex, "
            "preset, length, row, conditional, reference, window",
            id="rows of a number",
        ),
        pytest.param(
            [{"data": ROWS}],
            {"quarantine": SET_ASIDE},
            'spec.quarantine.source: Invalid value: "clean": no check of it has quarantine: true',
            id="a limit without checks",
        ),
        pytest.param(
            [{"data": ROWS}],
            {"exemptions": [{"check": "x", "reason": "r", "approver": "a", "expires": "2026-01-01T00:00:00Z"}]},
            'spec.exemptions[0].check: Not found: "x": no such check; allowed: c0',
            id="an exemption of nothing",
        ),
        pytest.param(
            [{"data": ROWS}],
            {"score": {"pass": 80, "warn": 90}},
            "spec.score.warn: Invalid value: 90.0: must not be above pass",
            id="lines that cross",
        ),
    ],
)
def test_an_unsound_gate_is_refused(checks: list[dict[str, Any]], fields: dict[str, Any], error: str) -> None:
    assert error in errors_of(*checks, **fields)


def test_a_data_check_asserts_one_thing() -> None:
    assert (
        'spec.checks[0].data: Invalid value: "none": exactly one assertion is needed'
        in errors_of({"data": {"source": "clean"}})[0]
    )
    assert '"notNull, unique"' in errors_of({"data": {**ROWS, "unique": {"columns": ["a"]}}})[0]


def test_assertions_on_rows_are_assertions() -> None:
    assert set(ROW_ASSERTIONS) < set(ASSERTIONS)


def test_a_manifest_is_judged_by_these_rules_too() -> None:
    spec = {"checks": [{"name": "a", "metric": {"source": "prom", "query": "up"}}]}
    manifest = {"apiVersion": "sluice.dev/v1alpha1", "kind": "QualityGate", "metadata": {"name": "g"}, "spec": spec}
    assert [str(error) for error in check_manifest(manifest)] == [
        "spec.checks[0].metric.max: Required value: max, min or both are needed"
    ]
