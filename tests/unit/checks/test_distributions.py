"""Properties of PSI and KS over random data."""

from collections.abc import Sequence
from datetime import UTC, datetime

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.api.gate import Check
from sluice.checks.compile import compile_check
from sluice.checks.sql import Table, When

WHEN = When(datetime(2026, 1, 2, tzinfo=UTC))
VALUES = st.lists(st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3)), min_size=1, max_size=60)
WORDS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=60)


def distance(method: str, here: Sequence[object], there: Sequence[object], kind: str = "DOUBLE") -> float:
    """The measured number of a drift check."""
    check = Check.model_validate(
        {"name": "d", "data": {"source": "a", "drift": {"column": "v", "source": "b", "method": method, "max": 1}}}
    )
    tables = {name: Table(name, {"v": kind}) for name in ("a", "b")}
    with duckdb.connect(config={"threads": 1}) as connection:
        for name, values in (("a", here), ("b", there)):
            connection.execute(f"CREATE TABLE {name} (v {kind})")
            connection.execute(f"INSERT INTO {name} SELECT unnest(?)", [list(values)])
        query = compile_check(check, tables, WHEN).query
        assert query is not None
        row = connection.execute(query).fetchone()
    assert row is not None
    assert row[0] == len(here)
    return float(row[1])


@settings(max_examples=40, deadline=None)
@given(VALUES, VALUES)
def test_ks_lies_between_0_and_1_and_is_the_same_both_ways(here: list[float], there: list[float]) -> None:
    found = distance("KS", here, there)
    assert 0 <= found <= 1
    assert found == pytest.approx(distance("KS", there, here))
    expected = max(abs(_below(here, x) - _below(there, x)) for x in [*here, *there])
    assert found == pytest.approx(expected)


def _below(values: list[float], x: float) -> float:
    return sum(value <= x for value in values) / len(values)


@settings(max_examples=25, deadline=None)
@given(VALUES)
def test_data_has_no_distance_from_itself_in_any_order(values: list[float]) -> None:
    assert distance("KS", values, values[::-1]) == 0
    assert distance("PSI", values, sorted(values)) == 0


@settings(max_examples=40, deadline=None)
@given(WORDS, WORDS)
def test_psi_of_texts_is_never_negative_and_is_the_same_both_ways(here: list[str], there: list[str]) -> None:
    found = distance("PSI", here, there, "VARCHAR")
    assert found >= 0
    assert found == pytest.approx(distance("PSI", there, here, "VARCHAR"))


@settings(max_examples=25, deadline=None)
@given(VALUES, VALUES)
def test_psi_of_numbers_is_never_negative(here: list[float], there: list[float]) -> None:
    assert distance("PSI", here, there) >= 0
