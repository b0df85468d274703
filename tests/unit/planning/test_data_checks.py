"""What is wrong with a data check whose shape is right."""

from typing import Any

import pytest

from sluice.api.data_checks import DataCheck
from sluice.planning.data_checks import check_data


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "d"),
        ({"rowCount": {"min": 1}, "notNull": {"columns": ["a"]}}, "d"),
        ({"rowCount": {"min": 1}, "mostly": 0.9}, "d.mostly"),
        ({"rowCount": {}}, "d.rowCount"),
        ({"range": {"column": "a", "min": 2, "max": 1}}, "d.range.min"),
        ({"ratio": {"numerator": "a"}}, "d.ratio"),
        ({"aggregate": {"column": "a", "function": "quantile", "max": 1}}, "d.aggregate.function"),
        ({"aggregate": {"column": "a", "function": "mean", "quantile": 0.5, "max": 1}}, "d.aggregate.quantile"),
        ({"anomaly": {"function": "mean", "history": "h", "by": "b", "method": "MAD", "max": 1}}, "d.anomaly.column"),
        ({"reference": {"columns": ["a"], "source": "u", "keys": ["a", "b"]}}, "d.reference.columns"),
        ({"reconcile": {"source": "u", "keys": ["a"], "columns": ["b"]}}, "d.reconcile.columns"),
        ({"columns": {}}, "d.columns"),
    ],
)
def test_an_error_names_its_field(data: dict[str, Any], field: str) -> None:
    assert [error.field for error in check_data(DataCheck.model_validate({"source": "t", **data}), "d")] == [field]


@pytest.mark.parametrize(
    "data",
    [
        {"notNull": {"columns": ["a"]}, "mostly": 0.9},
        {"conditional": {"when": "a", "then": "b"}, "mostly": 0.9},
        {"ratio": {"numerator": "a", "min": 0.1, "max": 0.1}},
        {"columns": {"sameAs": "u"}},
        {"anomaly": {"function": "count", "history": "h", "by": "b", "method": "MAD", "max": 1}},
        {"reconcile": {"source": "u", "keys": ["a"], "columns": ["b"], "sampleRows": 5}},
    ],
)
def test_what_fits_together_is_right(data: dict[str, Any]) -> None:
    assert list(check_data(DataCheck.model_validate({"source": "t", **data}), "d")) == []
