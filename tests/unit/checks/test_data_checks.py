"""Data checks: input data, check, expected outcome. Every case is run on Parquet and on CSV and comes out the same."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sluice.api.gate import QualityGateSpec
from sluice.checks.engine import evaluate
from sluice.checks.presets import PRESETS
from sluice.checks.report import Report
from sluice.checks.sql import When
from sluice.planning.verdicts import Decision, Outcome

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WHEN = When(NOW, datetime(2026, 1, 1, tzinfo=UTC), NOW)

PASS, WARN, FAIL, INCONCLUSIVE, ERROR = Outcome

# Tables by name, as SQL. CSV cannot tell an empty column's type, so columns have at least one value where it matters.
TABLES = {
    "t": "SELECT i AS id, (i % 10)::DOUBLE AS x, 'N' || (100 + i) AS tail, TIMESTAMP '2026-01-01' + i * INTERVAL 1 HOUR AS at, "
    "CASE WHEN i < 5 THEN NULL ELSE i END AS gap, CASE i % 2 WHEN 0 THEN 'even' ELSE 'odd' END AS kind, i + 1 AS next "
    "FROM range(20) r(i)",
    "empty": "SELECT 1 AS id, 2.5 AS x, 'a' AS tail WHERE false",
    "nothing": "SELECT i AS id, NULL::VARCHAR AS tail, NULL::DOUBLE AS x FROM range(5) r(i)",
    "weird": "SELECT * FROM (VALUES (1, 'nan'::DOUBLE), (2, 'inf'::DOUBLE), (3, 1.0)) v(id, x)",
    "doubles": "SELECT i // 2 AS id, i AS x, (i % 10)::DOUBLE AS y FROM range(20) r(i)",
    "far": "SELECT i AS id, (i % 10 + 100)::DOUBLE AS x, 'odd' AS kind FROM range(20) r(i)",
    "days": "SELECT DATE '2025-12-01' + (i // 10)::INTEGER AS day, 100 + (i // 10) % 3 + (i % 10) / 10 AS x, 5.0 AS flat, "
    "'k' || i AS key FROM range(300) r(i)",
    "today": "SELECT DATE '2026-01-01' AS day, 101 + i / 10 AS x, 5.0 AS flat, 'k' || i AS key FROM range(10) r(i)",
    "odd_day": "SELECT DATE '2026-01-01' AS day, 900 + i AS x, 6.0 AS flat FROM range(10) r(i)",
    "again": "SELECT DATE '2025-12-10' AS day, 900 + i AS x FROM range(10) r(i)",
    "changed": "SELECT i AS id, (CASE WHEN i = 7 THEN -1 ELSE i % 10 END)::DOUBLE AS x FROM range(20) r(i)",
    "pair": "SELECT i AS id, (i % 10)::DOUBLE AS x FROM range(20) r(i)",
    "wider": "SELECT i AS id, (i % 10)::DOUBLE AS x, 'a' AS more FROM range(20) r(i)",
    "retyped": "SELECT 'a' || i AS id, (i % 10)::DOUBLE AS x FROM range(20) r(i)",
    "paid": "SELECT i AS id, CASE WHEN i % 4 = 0 THEN 'refunded' ELSE 'paid' END AS status, "
    "CASE WHEN i % 4 = 0 THEN -1.5 ELSE 1.5 END AS amount FROM range(20) r(i)",
    "text": "SELECT * FROM (VALUES ('a1'), ('b22'), ('c')) v(word)",
}

MAD = {"history": "days", "by": "day", "method": "MAD"}
ZSCORE = MAD | {"method": "ZScore"}

# fmt: off
CASES: list[tuple[str, dict[str, Any], Outcome]] = [
    # rows
    ("t", {"rowCount": {"min": 20, "max": 20}}, PASS),
    ("t", {"rowCount": {"min": 21}}, FAIL),
    ("t", {"rowCount": {"max": 19}}, FAIL),
    ("t", {"rowCount": {"min": 2, "max": 2}, "where": "id < 2"}, PASS),
    ("empty", {"rowCount": {"min": 1}}, FAIL),
    ("empty", {"rowCount": {"min": 0}}, PASS),
    ("empty", {"rowCount": {"max": 10}}, INCONCLUSIVE),
    ("t", {"rowCount": {}}, ERROR),
    # columns
    ("t", {"columns": {"names": ["id", "x"]}}, PASS),
    ("t", {"columns": {"names": ["id", "lost"]}}, FAIL),
    ("t", {"columns": {"names": ["id"], "exact": True}}, FAIL),
    ("t", {"columns": {"types": {"x": "DOUBLE", "tail": "VARCHAR"}}}, PASS),
    ("t", {"columns": {"types": {"x": "VARCHAR"}}}, FAIL),
    ("t", {"columns": {"names": ["id", "x", "tail", "at", "gap", "kind", "next"], "exact": True}}, PASS),
    # not null
    ("t", {"notNull": {"columns": ["id"]}}, PASS),
    ("t", {"notNull": {"columns": ["gap"]}}, FAIL),
    ("t", {"notNull": {"columns": ["id", "gap"]}}, FAIL),
    ("t", {"notNull": {"columns": ["gap"]}, "mostly": 0.75}, PASS),
    ("t", {"notNull": {"columns": ["gap"]}, "mostly": 0.76}, FAIL),
    ("t", {"notNull": {"columns": ["gap"]}, "where": "id >= 5"}, PASS),
    ("t", {"notNull": {"columns": ["gap"]}, "where": "id > 99"}, INCONCLUSIVE),
    ("empty", {"notNull": {"columns": ["id"]}}, INCONCLUSIVE),
    ("nothing", {"notNull": {"columns": ["tail"]}}, FAIL),
    ("t", {"notNull": {"columns": ["lost"]}}, ERROR),
    # unique
    ("t", {"unique": {"columns": ["id"]}}, PASS),
    ("t", {"unique": {"columns": ["x"]}}, FAIL),
    ("t", {"unique": {"columns": ["x", "kind"]}}, FAIL),
    ("t", {"unique": {"columns": ["x", "id"]}}, PASS),
    ("t", {"unique": {"columns": ["gap"]}}, PASS),
    ("doubles", {"unique": {"columns": ["id"]}}, FAIL),
    ("doubles", {"unique": {"columns": ["id"]}, "mostly": 0.0}, PASS),
    ("empty", {"unique": {"columns": ["id"]}}, INCONCLUSIVE),
    ("nothing", {"unique": {"columns": ["tail"]}}, INCONCLUSIVE),
    ("t", {"unique": {"columns": ["lost"]}}, ERROR),
    # range
    ("t", {"range": {"column": "x", "min": 0, "max": 9}}, PASS),
    ("t", {"range": {"column": "x", "max": 8}}, FAIL),
    ("t", {"range": {"column": "x", "max": 8}, "mostly": 0.9}, PASS),
    ("t", {"range": {"column": "x", "min": 0.5}}, FAIL),
    ("t", {"range": {"column": "gap", "min": 5}}, PASS),
    ("weird", {"range": {"column": "x", "min": 0}}, FAIL),
    ("weird", {"range": {"column": "x", "min": 0}, "where": "id = 3"}, PASS),
    ("weird", {"range": {"column": "x", "max": 5}}, FAIL),
    ("t", {"range": {"column": "tail", "min": 0}}, ERROR),
    ("t", {"range": {"column": "x"}}, ERROR),
    ("t", {"range": {"column": "x", "min": 0}, "where": "id > 99"}, INCONCLUSIVE),
    # membership
    ("t", {"inSet": {"column": "kind", "values": ["even", "odd"]}}, PASS),
    ("t", {"inSet": {"column": "kind", "values": ["even"]}}, FAIL),
    ("t", {"inSet": {"column": "kind", "values": ["even"]}, "where": "id % 2 = 0"}, PASS),
    ("t", {"inSet": {"column": "x", "values": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}}, PASS),
    ("t", {"inSet": {"column": "kind", "values": [None]}}, ERROR),
    ("t", {"inSet": {"column": "kind", "values": ["it's", "even", "odd"]}}, PASS),
    # texts
    ("t", {"regex": {"column": "tail", "pattern": "N[0-9]{3}"}}, PASS),
    ("t", {"regex": {"column": "tail", "pattern": "N[0-9]{2}"}}, FAIL),
    ("t", {"regex": {"column": "tail", "pattern": "[0-9]+"}}, FAIL),
    ("t", {"regex": {"column": "tail", "pattern": "N["}}, ERROR),
    ("t", {"regex": {"column": "tail", "pattern": "(a+)+$"}}, FAIL),
    ("t", {"regex": {"column": "id", "pattern": "[0-9]+"}}, PASS),
    ("t", {"regex": {"column": "lost", "pattern": "x"}}, ERROR),
    ("text", {"length": {"column": "word", "min": 1, "max": 3}}, PASS),
    ("text", {"length": {"column": "word", "min": 2}}, FAIL),
    ("text", {"length": {"column": "word", "min": 2}, "mostly": 0.66}, PASS),
    ("text", {"preset": {"column": "word", "name": "in-pincode"}}, FAIL),
    # rows as a whole
    ("t", {"row": {"expression": "id < next"}}, PASS),
    ("t", {"row": {"expression": "id > next"}}, FAIL),
    ("t", {"row": {"expression": "gap >= 5"}}, FAIL),
    ("t", {"row": {"expression": "x = 1"}, "where": "kind = 'odd' AND x = 1"}, PASS),
    ("t", {"row": {"expression": "no such thing"}}, ERROR),
    # another data set
    ("t", {"reference": {"columns": ["id"], "source": "far", "keys": ["id"]}}, PASS),
    ("t", {"reference": {"columns": ["next"], "source": "far", "keys": ["id"]}}, FAIL),
    ("t", {"reference": {"columns": ["next"], "source": "far", "keys": ["id"]}, "mostly": 0.95}, PASS),
    ("t", {"reference": {"columns": ["id"], "source": "empty", "keys": ["id"]}}, FAIL),
    ("t", {"reference": {"columns": ["id"], "source": "gone", "keys": ["id"]}}, ERROR),
    ("t", {"reference": {"columns": ["id"], "source": "far", "keys": ["id", "x"]}}, ERROR),
    ("t", {"reconcile": {"source": "t", "keys": ["id"], "sums": ["x"]}}, PASS),
    ("t", {"reconcile": {"source": "far", "keys": ["id"]}}, PASS),
    ("t", {"reconcile": {"source": "far", "keys": ["id"], "sums": ["x"]}}, FAIL),
    ("t", {"reconcile": {"source": "doubles", "keys": ["id"]}}, FAIL),
    ("t", {"reconcile": {"source": "far", "keys": ["id"], "sums": ["x"], "tolerance": 1}}, PASS),
    ("empty", {"reconcile": {"source": "empty", "keys": ["id"]}}, INCONCLUSIVE),
    # time
    ("t", {"freshness": {"column": "at", "maxAge": "6h"}}, PASS),
    ("t", {"freshness": {"column": "at", "maxAge": "4h"}}, FAIL),
    ("t", {"freshness": {"column": "tail", "maxAge": "4h"}}, ERROR),
    ("t", {"freshness": {"column": "at", "maxAge": "4h"}, "where": "id > 99"}, INCONCLUSIVE),
    ("t", {"window": {"column": "at"}}, PASS),
    ("t", {"window": {"column": "at"}, "where": "id < 3"}, PASS),
    # numbers over a column
    ("t", {"aggregate": {"column": "x", "function": "mean", "min": 4.5, "max": 4.5}}, PASS),
    ("t", {"aggregate": {"column": "x", "function": "sum", "max": 89}}, FAIL),
    ("t", {"aggregate": {"column": "x", "function": "min", "min": 0}}, PASS),
    ("t", {"aggregate": {"column": "x", "function": "max", "max": 8}}, FAIL),
    ("t", {"aggregate": {"column": "x", "function": "stdev", "max": 3}}, PASS),
    ("t", {"aggregate": {"column": "x", "function": "median", "min": 4, "max": 5}}, PASS),
    ("t", {"aggregate": {"column": "x", "function": "quantile", "quantile": 0.9, "max": 8.5}}, PASS),
    ("t", {"aggregate": {"column": "x", "function": "quantile", "max": 8.5}}, ERROR),
    ("t", {"aggregate": {"column": "kind", "function": "distinct", "min": 2, "max": 2}}, PASS),
    ("t", {"aggregate": {"column": "gap", "function": "nullShare", "max": 0.25}}, PASS),
    ("t", {"aggregate": {"column": "gap", "function": "nullShare", "max": 0.2}}, FAIL),
    ("t", {"aggregate": {"column": "tail", "function": "mean", "min": 0}}, ERROR),
    ("weird", {"aggregate": {"column": "x", "function": "mean", "max": 5}}, INCONCLUSIVE),
    ("weird", {"aggregate": {"column": "x", "function": "max", "max": 5}}, INCONCLUSIVE),
    ("empty", {"aggregate": {"column": "id", "function": "distinct", "max": 5}}, INCONCLUSIVE),
    ("t", {"aggregate": {"column": "x", "function": "stdev", "max": 5}, "where": "id = 1"}, INCONCLUSIVE),
    # queries
    ("t", {"sql": {"query": "SELECT * FROM t WHERE x < 0"}}, PASS),
    ("t", {"sql": {"query": "SELECT * FROM t WHERE x > 8"}}, FAIL),
    ("t", {"sql": {"query": "SELECT count(*) FROM t"}}, FAIL),
    ("empty", {"sql": {"query": "SELECT * FROM empty"}}, INCONCLUSIVE),
    ("t", {"sql": {"query": "DROP VIEW t"}}, ERROR),
    ("t", {"sql": {"query": "CREATE TABLE z AS SELECT 1"}}, ERROR),
    ("t", {"sql": {"query": "SELECT 1; SELECT 2"}}, ERROR),
    ("t", {"sql": {"query": "COPY t TO '/tmp/stolen.csv'"}}, ERROR),
    ("t", {"sql": {"query": "SELEC 1"}}, ERROR),
    ("t", {"sql": {"query": "SELECT 1) --"}}, ERROR),
    # distributions
    ("t", {"drift": {"column": "x", "source": "doubles2", "method": "PSI", "max": 0.1}}, ERROR),
    ("t", {"drift": {"column": "x", "source": "far", "method": "PSI", "max": 0.2}}, FAIL),
    ("t", {"drift": {"column": "x", "source": "far", "method": "KS", "max": 0.99}}, FAIL),
    ("t", {"drift": {"column": "x", "source": "far", "method": "KS", "max": 1}}, PASS),
    ("t", {"drift": {"column": "x", "source": "t", "method": "KS", "max": 0}}, PASS),
    ("t", {"drift": {"column": "x", "source": "t", "method": "PSI", "max": 0}}, PASS),
    ("t", {"drift": {"column": "kind", "source": "far", "method": "PSI", "max": 0.2}}, FAIL),
    ("t", {"drift": {"column": "kind", "source": "t", "method": "PSI", "max": 0}}, PASS),
    ("t", {"drift": {"column": "kind", "source": "far", "method": "KS", "max": 0.2}}, ERROR),
    ("t", {"drift": {"column": "x", "source": "empty", "method": "KS", "max": 1}}, INCONCLUSIVE),
    ("t", {"drift": {"column": "x", "source": "empty", "method": "PSI", "max": 9}}, INCONCLUSIVE),
    # conditions that hold under a condition
    ("paid", {"conditional": {"when": "status = 'refunded'", "then": "amount < 0"}}, PASS),
    ("paid", {"conditional": {"when": "status = 'paid'", "then": "amount < 0"}}, FAIL),
    ("paid", {"conditional": {"when": "id < 8", "then": "amount > 0"}, "mostly": 0.75}, PASS),
    ("paid", {"conditional": {"when": "id < 8", "then": "amount > 0"}, "mostly": 0.76}, FAIL),
    ("paid", {"conditional": {"when": "status = 'lost'", "then": "amount < 0"}}, INCONCLUSIVE),
    ("paid", {"conditional": {"when": "TRUE", "then": "NULL"}}, FAIL),
    ("paid", {"conditional": {"when": "nonsense", "then": "TRUE"}}, ERROR),
    ("paid", {"conditional": {"when": "TRUE", "then": "TRUE) OR (TRUE"}}, ERROR),
    ("paid", {"conditional": {"when": "status = 'refunded'", "then": "amount < 0"}, "where": "id > 4"}, PASS),
    # shares
    ("paid", {"ratio": {"numerator": "status = 'refunded'", "max": 0.25}}, PASS),
    ("paid", {"ratio": {"numerator": "status = 'refunded'", "max": 0.2}}, FAIL),
    ("paid", {"ratio": {"numerator": "status = 'refunded'", "denominator": "id < 4", "min": 0.25, "max": 0.25}}, PASS),
    ("paid", {"ratio": {"numerator": "amount > 0", "denominator": "status = 'paid'", "min": 1}}, PASS),
    ("paid", {"ratio": {"numerator": "TRUE", "denominator": "id > 99", "min": 0}}, INCONCLUSIVE),
    ("paid", {"ratio": {"numerator": "TRUE", "min": 0}, "where": "id > 99"}, INCONCLUSIVE),
    ("paid", {"ratio": {"numerator": "TRUE"}}, ERROR),
    ("paid", {"ratio": {"numerator": "lost = 1", "max": 1}}, ERROR),
    ("empty", {"ratio": {"numerator": "TRUE", "max": 1}}, INCONCLUSIVE),
    # schema drift
    ("changed", {"columns": {"sameAs": "pair"}}, PASS),
    ("wider", {"columns": {"sameAs": "pair"}}, FAIL),
    ("wider", {"columns": {"sameAs": "pair", "exact": False}}, PASS),
    ("pair", {"columns": {"sameAs": "wider"}}, FAIL),
    ("pair", {"columns": {"sameAs": "retyped"}}, FAIL),
    ("pair", {"columns": {"sameAs": "gone"}}, ERROR),
    ("pair", {"columns": {}}, ERROR),
    # against history
    ("today", {"anomaly": {"column": "x", "function": "mean", **MAD, "max": 3.5}}, PASS),
    ("today", {"anomaly": {"column": "x", "function": "mean", **ZSCORE, "max": 3}}, PASS),
    ("odd_day", {"anomaly": {"column": "x", "function": "mean", **MAD, "max": 3.5}}, FAIL),
    ("odd_day", {"anomaly": {"column": "x", "function": "mean", **ZSCORE, "max": 3}}, FAIL),
    ("again", {"anomaly": {"column": "x", "function": "max", **MAD, "max": 3.5}}, FAIL),
    ("days", {"anomaly": {"column": "x", "function": "mean", **MAD, "max": 9}}, INCONCLUSIVE),
    ("today", {"anomaly": {"function": "count", **MAD, "max": 0}}, PASS),
    ("today", {"anomaly": {"function": "count", **MAD, "max": 9}, "where": "x < 101.55"}, PASS),
    ("today", {"anomaly": {"column": "flat", "function": "mean", **MAD, "max": 0}}, PASS),
    ("today", {"anomaly": {"column": "flat", "function": "mean", **ZSCORE, "max": 0}}, PASS),
    ("odd_day", {"anomaly": {"column": "flat", "function": "mean", **MAD, "max": 99}}, FAIL),
    ("odd_day", {"anomaly": {"column": "flat", "function": "mean", **ZSCORE, "max": 99}}, FAIL),
    ("today", {"anomaly": {"column": "x", "function": "mean", **MAD, "max": 9, "minPoints": 31}}, INCONCLUSIVE),
    ("today", {"anomaly": {"column": "x", "function": "mean", **MAD, "max": 9, "minPoints": 30}}, PASS),
    ("today", {"anomaly": {"column": "x", "function": "stdev", **MAD, "max": 9}, "where": "x > 101.85"}, INCONCLUSIVE),
    ("today", {"anomaly": {"column": "x", "function": "mean", **MAD, "max": 9}, "where": "x < 0"}, INCONCLUSIVE),
    ("today", {"anomaly": {"function": "mean", **MAD, "max": 9}}, ERROR),
    ("today", {"anomaly": {"column": "key", "function": "mean", **MAD, "max": 9}}, ERROR),
    ("today", {"anomaly": {"column": "x", "function": "mean", "history": "gone", "by": "day", "method": "MAD", "max": 9}}, ERROR),
    ("today", {"anomaly": {"column": "x", "function": "mean", "history": "days", "by": "lost", "method": "MAD", "max": 9}}, ERROR),
    # whole rows of some keys
    ("pair", {"reconcile": {"source": "changed", "keys": ["id"], "sampleRows": 20}}, FAIL),
    ("pair", {"reconcile": {"source": "changed", "keys": ["id"], "sampleRows": 20, "columns": ["id"]}}, PASS),
    ("pair", {"reconcile": {"source": "pair", "keys": ["id"], "sampleRows": 5, "sums": ["x"]}}, PASS),
    ("pair", {"reconcile": {"source": "wider", "keys": ["id"], "sampleRows": 5}}, PASS),
    ("wider", {"reconcile": {"source": "pair", "keys": ["id"], "sampleRows": 5}}, ERROR),
    ("pair", {"reconcile": {"source": "gone", "keys": ["id"], "sampleRows": 5}}, ERROR),
    # what users write in SQL gets at nothing but the sources
    ("t", {"sql": {"query": "SELECT * FROM read_csv('/etc/passwd')"}}, ERROR),
    ("t", {"sql": {"query": "SELECT * FROM read_text('/etc/passwd')"}}, ERROR),
    ("t", {"sql": {"query": "SELECT * FROM '/etc/passwd'"}}, ERROR),
    ("t", {"sql": {"query": "SELECT * FROM glob('/etc/*') LIMIT 0"}}, ERROR),
    ("t", {"row": {"expression": "(SELECT count(*) FROM read_csv('/etc/passwd')) > 0"}}, ERROR),
    ("t", {"row": {"expression": "TRUE"}, "where": "(SELECT count(*) FROM read_text('/etc/passwd')) > 0"}, ERROR),
    ("t", {"row": {"expression": "TRUE) FROM t; COPY t TO '/tmp/stolen.csv'; SELECT (TRUE"}}, ERROR),
    ("t", {"row": {"expression": "TRUE --"}}, ERROR),
    ("t", {"row": {"expression": "id, x"}}, ERROR),
    ("t", {"sql": {"query": "ATTACH '/tmp/stolen.db'"}}, ERROR),
    ("t", {"sql": {"query": "INSTALL httpfs"}}, ERROR),
    ("t", {"sql": {"query": "LOAD httpfs"}}, ERROR),
    ("t", {"sql": {"query": "PRAGMA database_list"}}, ERROR),
    ("t", {"sql": {"query": "SET threads = 1"}}, ERROR),
    ("t", {"sql": {"query": "SELECT * FROM uris"}}, ERROR),
    ("t", {"sql": {"query": "SELECT 'text'"}}, FAIL),
    ("t", {"sql": {"query": "SELECT NULL"}}, FAIL),
    ("t", {"sql": {"query": "SELECT * FROM t WHERE x = 'text'"}}, ERROR),
    # what is not a number, and what is not there
    ("weird", {"range": {"column": "x", "min": 0, "max": 5}, "mostly": 0.3}, PASS),
    ("weird", {"aggregate": {"column": "x", "function": "sum", "min": 0}}, INCONCLUSIVE),
    ("weird", {"drift": {"column": "x", "source": "weird", "method": "KS", "max": 0}}, PASS),
    ("nothing", {"unique": {"columns": ["id", "tail"]}}, INCONCLUSIVE),
    ("nothing", {"regex": {"column": "tail", "pattern": ".*"}}, INCONCLUSIVE),
    ("nothing", {"length": {"column": "tail", "min": 0}}, INCONCLUSIVE),
    ("nothing", {"inSet": {"column": "tail", "values": ["a"]}}, INCONCLUSIVE),
    ("nothing", {"aggregate": {"column": "tail", "function": "nullShare", "max": 1}}, PASS),
    ("nothing", {"aggregate": {"column": "tail", "function": "distinct", "max": 1}}, INCONCLUSIVE),
    ("t", {"regex": {"column": "tail", "pattern": "(N|N1|N10)*[0-9]*(a|aa)+b"}}, FAIL),
    ("t", {"regex": {"column": "tail", "pattern": "(?<=N)1"}}, ERROR),
    # what is asserted
    ("t", {}, ERROR),
    ("t", {"rowCount": {"min": 1}, "notNull": {"columns": ["id"]}}, ERROR),
    ("gone", {"rowCount": {"min": 1}}, ERROR),
    ("t", {"notNull": {"columns": ["id"]}, "where": "nonsense("}, ERROR),
]
# fmt: on


@pytest.fixture(scope="module", params=["parquet", "csv"])
def uris(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables as files of one format."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    for name, sql in TABLES.items():
        header = ", HEADER" if request.param == "csv" else ""
        duckdb.execute(f"COPY ({sql}) TO '{folder}/{name}.{request.param}' (FORMAT {request.param}{header})")
    # An empty CSV file says nothing of its types, which some checks ask for: the empty table is always Parquet.
    duckdb.execute(f"COPY ({TABLES['empty']}) TO '{folder}/empty.parquet' (FORMAT parquet)")
    return {name: f"{folder}/{name}.{request.param}" for name in TABLES} | {"empty": f"{folder}/empty.parquet"}


def gate(*checks: dict[str, Any], **spec: Any) -> QualityGateSpec:
    """A gate of these checks."""
    rows = [{"name": f"c{number}", **check} for number, check in enumerate(checks)]
    return QualityGateSpec.model_validate({"checks": rows, **spec})


@pytest.mark.parametrize(
    ("source", "assertion", "expected"), CASES, ids=[f"{n}-{row[0]}" for n, row in enumerate(CASES)]
)
def test_a_check_comes_out_as_stated(
    uris: dict[str, str], source: str, assertion: dict[str, Any], expected: Outcome
) -> None:
    finding = evaluate("g", gate({"data": {"source": source, **assertion}}), uris, WHEN).findings[0]
    assert finding.outcome is expected, finding.message
    assert finding.message


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables with their rows in another order."""
    folder: Path = tmp_path_factory.mktemp("shuffled")
    for name, sql in TABLES.items():
        order = f"SELECT * FROM ({sql}) s ORDER BY hash(s)"
        duckdb.execute(f"COPY ({order}) TO '{folder}/{name}.parquet' (FORMAT parquet)")
    return {name: f"{folder}/{name}.parquet" for name in TABLES}


@pytest.mark.parametrize(
    ("source", "assertion", "expected"), CASES, ids=[f"{n}-{row[0]}" for n, row in enumerate(CASES)]
)
def test_the_order_of_rows_does_not_matter(
    shuffled: dict[str, str], source: str, assertion: dict[str, Any], expected: Outcome
) -> None:
    finding = evaluate("g", gate({"data": {"source": source, **assertion}}), shuffled, WHEN).findings[0]
    assert finding.outcome is expected, finding.message


def test_every_finding_that_knows_its_number_says_over_how_many_rows(uris: dict[str, str]) -> None:
    for source, assertion, expected in CASES:
        if expected in (PASS, FAIL):
            finding = evaluate("g", gate({"data": {"source": source, **assertion}}), uris, WHEN).findings[0]
            assert finding.rows_evaluated is not None, assertion


def run(spec: QualityGateSpec, uris: dict[str, str]) -> Report:
    return evaluate("g", spec, uris, WHEN)


def test_one_bad_expression_is_the_error_of_its_own_check(uris: dict[str, str]) -> None:
    good = {"data": {"source": "t", "notNull": {"columns": ["id"]}}}
    bad = {"data": {"source": "t", "row": {"expression": "no such thing"}}}
    assert [row.outcome for row in run(gate(good, bad, good), uris).findings] == [PASS, ERROR, PASS]


def test_rows_evaluated_and_masked_samples_are_in_the_evidence(uris: dict[str, str]) -> None:
    check = {"data": {"source": "t", "regex": {"column": "tail", "pattern": "N10[0-9]"}}, "pii": ["tail"]}
    finding = run(gate(check), uris).findings[0]
    assert (finding.rows_evaluated, finding.rows_failed, len(finding.samples)) == (20, 10, 5)
    assert {row["tail"] for row in finding.samples} == {"***"}


def test_an_expired_exemption_no_longer_counts(uris: dict[str, str]) -> None:
    check = {"data": {"source": "t", "rowCount": {"min": 99}}}

    def exempted(expires: str) -> Report:
        exemption = {"check": "c0", "reason": "known", "approver": "asha", "expires": expires}
        return run(gate(check, exemptions=[exemption]), uris)

    assert exempted("2026-01-03T00:00:00Z").decision is Decision.CONTINUE
    assert exempted("2026-01-03T00:00:00Z").verdict.outcome is WARN
    assert exempted("2026-01-02T00:00:00Z").decision is Decision.STOP


def test_a_dry_run_reports_and_stops_nothing(uris: dict[str, str]) -> None:
    report = run(gate({"data": {"source": "t", "rowCount": {"min": 99}}}, dryRun=True), uris)
    assert (report.verdict.outcome, report.decision) == (FAIL, Decision.CONTINUE)


def test_no_rows_stop_a_gate_unless_it_says_hold(uris: dict[str, str]) -> None:
    check = {"data": {"source": "t", "notNull": {"columns": ["id"]}, "where": "id > 99"}}
    assert run(gate(check), uris).decision is Decision.STOP
    assert run(gate({**check, "onNoData": "Hold"}), uris).decision is Decision.HOLD


def test_a_broken_file_is_an_error_of_the_checks_that_need_it(uris: dict[str, str], tmp_path: Path) -> None:
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(b"PAR1 not really")
    data = [{"data": {"source": name, "rowCount": {"min": 1}}} for name in ("t", "cut", "lost", "odd")]
    report = run(gate(*data), {**uris, "cut": str(cut), "lost": str(tmp_path / "lost.csv"), "odd": "/data/x.docx"})
    assert [row.outcome for row in report.findings] == [PASS, ERROR, ERROR, ERROR]
    assert "format" in report.findings[3].message


@pytest.mark.parametrize(
    ("text", "strict", "lenient"),
    [
        (b"a,b\n1,2\n3,4\n", (PASS, 2), (PASS, 2)),
        (b"a,b\n1,2\n3,4\n5,6,7\n", (ERROR, None), (PASS, 2)),
        (b"a,b\n1,2\n3\n5,6\n", (ERROR, None), (PASS, 2)),
        (b"a,b\n1,2\r\n3,4\n5,6\n", (ERROR, None), (ERROR, None)),
        (b"a,b\r\n1,2\r\n", (PASS, 1), (PASS, 1)),
        (b'a,b\n"x\ny",2\n', (PASS, 1), (PASS, 1)),
        (b"a,b\n", (FAIL, 0), (FAIL, 0)),
        (b"", (FAIL, 0), (FAIL, 0)),
    ],
)
def test_csv_with_broken_lines_is_refused_or_passed_over_but_never_misread(
    tmp_path: Path, text: bytes, strict: tuple[Outcome, int], lenient: tuple[Outcome, int]
) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(text)
    check = {"data": {"source": "m", "rowCount": {"min": 1}}}
    for value, expected in ((True, strict), (False, lenient)):
        finding = run(gate(check, sources=[{"name": "m", "strict": value}]), {"m": str(path)}).findings[0]
        assert (finding.outcome, finding.rows_evaluated) == expected, finding.message


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_accepts_and_refuses_its_own_examples(name: str, tmp_path: Path) -> None:
    def share(texts: tuple[str, ...]) -> float | None:
        connection = duckdb.connect()
        connection.execute("CREATE TABLE p (v VARCHAR)")
        connection.executemany("INSERT INTO p VALUES (?)", [(text,) for text in texts])
        connection.execute(f"COPY p TO '{tmp_path}/p.parquet'")
        check = {"data": {"source": "p", "preset": {"column": "v", "name": name}}}
        return run(gate(check), {"p": f"{tmp_path}/p.parquet"}).findings[0].value

    assert share(PRESETS[name].passing) == 1.0
    assert share(PRESETS[name].failing) == 0.0
