"""A few checks as the SQL that they become."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sluice.api.data_checks import ASSERTIONS
from sluice.api.gate import Check
from sluice.checks.assertions import COMPILERS
from sluice.checks.compile import compile_check, fuse
from sluice.checks.sql import CannotCompile, Compiled, Table, When, literal

DAY = When(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
COLUMNS = {"id": "BIGINT", "x": "DOUBLE", "tail": "VARCHAR", "at": "TIMESTAMP", "zoned": "TIMESTAMP WITH TIME ZONE"}
TABLES = {"t": Table("t", COLUMNS), "u": Table("u", {"id": "BIGINT"})}


def compiled(**data: Any) -> Compiled:
    return compile_check(Check.model_validate({"name": "c", "data": {"source": "t", **data}}), TABLES, DAY)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"rowCount": {"min": 1}}, ("count(*)", "count(*)")),
        (
            {"notNull": {"columns": ["id", "tail"]}, "where": "x > 1"},
            (
                "count(*) FILTER (WHERE (x > 1))",
                'count(*) FILTER (WHERE ((x > 1)) AND ("id" IS NOT NULL AND "tail" IS NOT NULL) IS NOT TRUE)',
            ),
        ),
        (
            {"range": {"column": "x", "min": 0, "max": 2.5}},
            (
                'count(*) FILTER (WHERE "x" IS NOT NULL)',
                'count(*) FILTER (WHERE ("x" IS NOT NULL) AND (NOT isnan("x") AND "x" >= 0 AND "x" <= 2.5) IS NOT TRUE)',
            ),
        ),
        (
            {"window": {"column": "at", "slack": "1h"}},
            (
                'count(*) FILTER (WHERE "at" IS NOT NULL)',
                """count(*) FILTER (WHERE ("at" IS NOT NULL) AND ("at" >= TIMESTAMP '2025-12-31 23:00:00.000000' """
                """AND "at" < TIMESTAMP '2026-01-02 01:00:00.000000') IS NOT TRUE)""",
            ),
        ),
        (
            {"freshness": {"column": "zoned", "maxAge": "1h"}},
            (
                'count(*) FILTER (WHERE "zoned" IS NOT NULL)',
                """date_diff('microsecond', max("zoned") FILTER (WHERE "zoned" IS NOT NULL), """
                """TIMESTAMPTZ '2026-01-02 00:00:00.000000+00') / 1e6""",
            ),
        ),
        (
            {"ratio": {"numerator": "x > 1", "denominator": "id > 0", "max": 1}},
            (
                "count(*) FILTER (WHERE (id > 0))",
                "count(*) FILTER (WHERE (id > 0) AND (x > 1)) / nullif(count(*) FILTER (WHERE (id > 0)), 0)",
            ),
        ),
    ],
)
def test_a_check_on_one_table_is_two_aggregates(data: dict[str, Any], expected: tuple[str, str]) -> None:
    assert compiled(**data).fused == expected


def test_all_of_them_share_one_scan() -> None:
    two = [compiled(rowCount={"min": 1}), compiled(regex={"column": "tail", "pattern": "it's"})]
    assert fuse("t", two) == (
        'SELECT count(*), count(*), count(*) FILTER (WHERE "tail" IS NOT NULL), '
        """count(*) FILTER (WHERE ("tail" IS NOT NULL) AND (regexp_full_match("tail", 'it''s')) IS NOT TRUE) FROM "t\""""
    )


def test_a_reference_is_a_query_of_its_own() -> None:
    found = compiled(reference={"columns": ["id"], "source": "u", "keys": ["id"]})
    assert found.fused is None
    assert found.query == (
        'SELECT count(*) FILTER (WHERE "id" IS NOT NULL), count(*) FILTER (WHERE ("id" IS NOT NULL) AND NOT ("id") IN '
        '(SELECT "id" FROM "u" WHERE "id" IS NOT NULL)) FROM "t"'
    )


def test_every_assertion_of_the_model_has_a_compiler() -> None:
    assert set(COMPILERS) == set(ASSERTIONS)


@pytest.mark.parametrize("value", [[1], {"a": 1}, float("nan"), float("inf")])
def test_what_is_no_single_value_is_no_literal(value: Any) -> None:
    with pytest.raises(CannotCompile):
        literal(value)
