"""The table of checks on a real PostgreSQL: what is pushed down and what is streamed come out as on files."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sluice.checks import engine
from sluice.checks.engine import evaluate
from sluice.checks.presets import PRESETS
from sluice.checks.report import Finding
from sluice.checks.sources import Resources
from sluice.checks.stores.patterns import to_postgres
from sluice.planning.verdicts import Outcome
from tests.stores.conftest import Postgres, Starter, free_port
from tests.unit.checks.test_data_checks import CASES, TABLES, WHEN, gate

PASS, WARN, FAIL, INCONCLUSIVE, ERROR = Outcome

_TYPES = {
    "BIGINT": "bigint",
    "INTEGER": "integer",
    "DOUBLE": "double precision",
    "VARCHAR": "text",
    "TIMESTAMP": "timestamp",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
}


@pytest.fixture(scope="module")
def tables(postgres: Postgres) -> Postgres:
    """The tables of the checks' own tests."""
    for name, sql in TABLES.items():
        columns = duckdb.execute(f"DESCRIBE {sql}").fetchall()
        types = [
            f"numeric{row[1].removeprefix('DECIMAL')}" if row[1].startswith("DECIMAL") else _TYPES[row[1]]
            for row in columns
        ]
        named = ", ".join(f'"{row[0]}" {kind}' for row, kind in zip(columns, types, strict=True))
        postgres.execute(f'CREATE TABLE public."{name}" ({named})')
        rows = duckdb.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({sql})").fetchall()
        if rows:
            texts = ", ".join("(" + ", ".join(map(_text, row)) + ")" for row in rows)
            names = ", ".join(f"c{number}" for number in range(len(columns)))
            casts = ", ".join(f"c{number}::{kind}" for number, kind in enumerate(types))
            postgres.execute(f'INSERT INTO public."{name}" SELECT {casts} FROM (VALUES {texts}) v({names})')
    return postgres


def _text(value: str | None) -> str:
    return "NULL::text" if value is None else f"{_literal(value)}::text"


def table(name: str, postgres: Postgres, **more: Any) -> dict[str, Any]:
    return {"name": name, "uri": postgres.uri, "table": f"public.{name}", "credentials": "DB", **more}


def find(postgres: Postgres, *checks: dict[str, Any], **more: Any) -> list[Finding]:
    """Findings of checks over all tables there are."""
    sources = [table(name, postgres) for name in TABLES]
    spec = gate(*({"data": check} for check in checks), sources=sources)
    return list(evaluate("g", spec, {}, WHEN, **more).findings)


@pytest.mark.parametrize(
    ("source", "assertion", "expected"), CASES, ids=[f"{n}-{row[0]}" for n, row in enumerate(CASES)]
)
def test_a_check_comes_out_as_on_files(
    tables: Postgres, reach: Callable[..., None], source: str, assertion: dict[str, Any], expected: Outcome
) -> None:
    reach(tables)
    finding = find(tables, {"source": source, **assertion})[0]
    assert finding.outcome is expected, finding.message


@pytest.mark.parametrize(
    ("assertion", "home"),
    [
        ({"rowCount": {"min": 20}}, "postgresql"),
        ({"notNull": {"columns": ["id", "gap"]}}, "postgresql"),
        ({"unique": {"columns": ["x", "id"]}}, "postgresql"),
        ({"range": {"column": "x", "max": 8.5}}, "postgresql"),
        ({"inSet": {"column": "kind", "values": ["it's", "even"]}}, "postgresql"),
        ({"regex": {"column": "tail", "pattern": "N[0-9]{3}"}}, "postgresql"),
        ({"regex": {"column": "tail", "pattern": "N.*"}}, "duckdb"),
        ({"length": {"column": "tail", "min": 2}}, "postgresql"),
        ({"row": {"expression": "id < next AND kind LIKE '%d%'"}}, "postgresql"),
        ({"row": {"expression": "id + 1 = next"}}, "duckdb"),
        ({"freshness": {"column": "at", "maxAge": "6h"}}, "postgresql"),
        ({"window": {"column": "at"}}, "postgresql"),
        ({"aggregate": {"column": "id", "function": "mean", "min": 0}}, "postgresql"),
        ({"aggregate": {"column": "x", "function": "mean", "min": 0}}, "duckdb"),
        ({"aggregate": {"column": "x", "function": "quantile", "quantile": 0.9, "min": 0}}, "duckdb"),
        ({"aggregate": {"column": "kind", "function": "distinct", "min": 0}}, "postgresql"),
        ({"reference": {"columns": ["id"], "source": "far", "keys": ["id"]}}, "duckdb"),
        ({"sql": {"query": "SELECT * FROM t WHERE x > 8"}}, "postgresql"),
        ({"drift": {"column": "x", "source": "far", "method": "KS", "max": 1}}, "duckdb"),
    ],
)
def test_a_check_is_pushed_down_only_where_it_means_the_same(
    tables: Postgres, reach: Callable[..., None], tmp_path: Path, assertion: dict[str, Any], home: str
) -> None:
    reach(tables)
    here = find(tables, {"source": "t", **assertion})[0]
    assert (here.evaluated_in, here.outcome is ERROR) == (home, False), here.message
    files = {}
    for name, sql in TABLES.items():
        duckdb.execute(f"COPY ({sql}) TO '{tmp_path}/{name}.parquet'")
        files[name] = f"{tmp_path}/{name}.parquet"
    there = evaluate("g", gate({"data": {"source": "t", **assertion}}), files, WHEN).findings[0]
    assert (here.outcome, here.value, here.rows_evaluated, here.rows_failed) == (
        there.outcome,
        there.value,
        there.rows_evaluated,
        there.rows_failed,
    )
    assert len(here.samples) == len(there.samples)


_PIECES = ("a", "b", "[ab]", "[^a]", "[a-c]", r"\d", r"\.", "(a|b)", "(?:ab|c)", "-", " ")
_REPEATS = ("", "", "*", "+", "?", "{2}", "{1,}", "{0,2}")


def test_patterns_match_the_same_texts_in_both(postgres: Postgres) -> None:
    chosen = random.Random(0)
    patterns = [
        "".join(chosen.choice(_PIECES) + chosen.choice(_REPEATS) for _ in range(chosen.randint(1, 4)))
        for _ in range(300)
    ] + [preset.pattern for preset in PRESETS.values()]
    texts = ["".join(chosen.choices("abc1. -\né", k=chosen.randint(0, 5))) for _ in range(200)]
    texts += [text for preset in PRESETS.values() for text in (*preset.passing, *preset.failing)]
    values = ", ".join(f"({number}, {_text(text)})" for number, text in enumerate(texts))
    with duckdb.connect() as connection, postgres.cursor() as cursor:
        for pattern in patterns:
            here = f"SELECT n FROM (VALUES {values}) v(n, s) WHERE regexp_full_match(s, {_literal(pattern)}) ORDER BY n"
            there = f"SELECT n FROM (VALUES {values}) v(n, s) WHERE s ~ {_literal(to_postgres(pattern))} ORDER BY n"
            cursor.execute(there)
            assert connection.execute(here).fetchall() == cursor.fetchall(), pattern


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def one(postgres: Postgres, source: dict[str, Any], check: dict[str, Any], **resources: Any) -> Finding:
    spec = gate({"data": {"source": "s", **check}}, sources=[table("t", postgres) | {"name": "s"} | source])
    return evaluate("g", spec, {}, WHEN, Resources(**resources)).findings[0]


ROWS = {"rowCount": {"min": 1}}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"table": "public.lost"}, 'there is no table "public.lost"'),
        ({"table": None}, "table is needed"),
        ({"credentials": "OTHER"}, "OTHER_USER"),
        ({"uri": "postgresql://someone:hunter2@127.0.0.1/x"}, "password in the uri"),
        ({"uri": "postgresql://127.0.0.1/x?options=-c%20transaction_read_only%3Doff"}, "options cannot be set"),
        ({"uri": f"postgresql://127.0.0.1:{free_port()}/x"}, "Connection refused"),
        ({"uri": "postgresql://127.0.0.1"}, "is the form"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error_that_says_why(
    tables: Postgres, reach: Callable[..., None], source: dict[str, Any], words: str
) -> None:
    reach(tables)
    finding = one(tables, source, ROWS)
    assert finding.outcome is ERROR
    assert words in finding.message
    assert "hunter2" not in finding.message


def test_a_wrong_password_is_an_error_without_the_password(tables: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_USER", "sluice")
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    finding = one(tables, {}, ROWS)
    assert finding.outcome is ERROR
    assert "password authentication failed" in finding.message
    assert "hunter2" not in finding.message


def test_a_host_that_does_not_answer_is_an_error_in_bounded_time(tables: Postgres, reach: Callable[..., None]) -> None:
    reach(tables)
    finding = one(tables, {"uri": "postgresql://192.0.2.1/x?connect_timeout=2"}, ROWS)
    assert finding.outcome is ERROR


def test_not_a_number_and_infinity_are_judged_as_on_files_or_are_errors(
    postgres: Postgres, reach: Callable[..., None]
) -> None:
    reach(postgres)
    postgres.execute(
        "CREATE TABLE public.odd AS SELECT 'NaN'::float8 AS f, 'NaN'::numeric(5,2) AS d, 'NaN'::numeric AS u, "
        "'infinity'::timestamp AS at, 'infinity'::date AS day"
    )
    odd = {"table": "public.odd"}
    assert one(postgres, odd, {"range": {"column": "f", "min": 0}}).outcome is FAIL
    assert one(postgres, odd, {"range": {"column": "u", "min": 0}}).outcome is FAIL
    assert one(postgres, odd, {"range": {"column": "d", "min": 0}}).outcome is ERROR
    assert one(postgres, odd, {"notNull": {"columns": ["f", "d", "u", "at", "day"]}}).outcome is PASS
    assert one(postgres, odd, {"freshness": {"column": "at", "maxAge": "1h"}}).outcome is ERROR
    assert one(postgres, odd, {"row": {"expression": "day + 1 > day"}}).outcome is ERROR


def test_types_of_columns_are_said_as_for_files(postgres: Postgres, reach: Callable[..., None]) -> None:
    reach(postgres)
    postgres.execute(
        "CREATE TABLE public.kinds (a smallint, b integer, c bigint, d numeric(10,2), e real, f double precision, "
        "g varchar(5), h timestamptz, i uuid, j jsonb, k integer[], l boolean, m date, n bytea)",
        "INSERT INTO public.kinds VALUES (1, 2, 3, 4.5, 5, 6, 'g', now(), gen_random_uuid(), '{}', '{1}', true, now(), 'n')",
    )
    types = {
        "a": "SMALLINT",
        "b": "INTEGER",
        "c": "BIGINT",
        "d": "DECIMAL(10,2)",
        "e": "FLOAT",
        "f": "DOUBLE",
        "g": "VARCHAR",
        "h": "TIMESTAMP WITH TIME ZONE",
        "i": "UUID",
        "j": "VARCHAR",
        "k": "VARCHAR",
        "l": "BOOLEAN",
        "m": "DATE",
        "n": "BLOB",
    }
    kinds = {"table": "public.kinds"}
    for source in (kinds, kinds | {"sample": {"percent": 100}}):
        finding = one(postgres, source, {"columns": {"types": types, "exact": True}})
        assert finding.outcome is PASS, finding.message
    assert (
        one(postgres, kinds, {"aggregate": {"column": "d", "function": "sum", "min": 4.5, "max": 4.5}}).outcome is PASS
    )


@pytest.mark.parametrize(
    "query",
    [
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "SELECT nextval('counter') FROM t",
        "SELECT pg_terminate_backend(1) FROM t",
        "SELECT * FROM pg_authid",
        "SELECT * FROM s; DROP TABLE t",
        "SELECT set_config('transaction_read_only', 'off', false) FROM s",
    ],
)
def test_a_query_that_writes_or_looks_elsewhere_is_an_error(
    tables: Postgres, reach: Callable[..., None], query: str
) -> None:
    reach(tables)
    assert one(tables, {}, {"sql": {"query": query}}).outcome is ERROR
    assert one(tables, {}, {"rowCount": {"min": 20, "max": 20}}).outcome is PASS


def test_a_statement_longer_than_its_time_is_an_error(postgres: Postgres, reach: Callable[..., None]) -> None:
    reach(postgres)
    postgres.execute("CREATE VIEW public.slow AS SELECT 1 AS id, pg_sleep(60)::text AS never")
    for check in (ROWS, {"row": {"expression": "lower(never) = ''"}}):
        # What is asked of the view's rows alone need not evaluate its columns, so a column is asked for.
        wanted = {"notNull": {"columns": ["never"]}} if check is ROWS else check
        finding = one(postgres, {"table": "public.slow"}, wanted, statement_seconds=0.5)
        assert finding.outcome is ERROR
        assert "longer than 0.5 s" in finding.message


def test_a_server_that_goes_away_midway_is_an_error(
    start_postgres: Starter, reach: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_postgres()
    reach(server)
    server.execute("CREATE TABLE public.t AS SELECT i AS id FROM generate_series(1, 100) g(i)")
    spec = gate(
        {"data": {"source": "t", **ROWS}},
        {"data": {"source": "t", "row": {"expression": "abs(id) > 0"}}},
        sources=[table("t", server)],
    )
    compiling = engine.compile_check

    def stopping(*arguments: Any) -> Any:
        server.stop()
        return compiling(*arguments)

    monkeypatch.setattr(engine, "compile_check", stopping)
    assert [finding.outcome for finding in evaluate("g", spec, {}, WHEN).findings] == [ERROR, ERROR]


MEASURE = """
import resource, sys
from pathlib import Path
from datetime import UTC, datetime
from sluice.api.gate import QualityGateSpec
from sluice.checks import engine
from sluice.checks.engine import evaluate
from sluice.checks.presets import PRESETS
from sluice.checks.sources import Resources
from sluice.checks.sql import When
source = {"name": "big", "uri": sys.argv[1], "table": "public.big", "credentials": "DB"}
data = {"source": "big", "row": {"expression": "abs(id) > 0 AND lower(name) = name AND x + 1 > x"}}
spec = QualityGateSpec.model_validate({"checks": [{"name": "c", "data": data}], "sources": [source]})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = evaluate("g", spec, {}, When(datetime.now(UTC)), Resources("128MB", 2, Path(sys.argv[2]))).findings[0]
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(found.outcome, found.evaluated_in, found.rows_evaluated, before // 1024, after // 1024)
"""


def test_two_million_rows_are_streamed_in_bounded_memory(
    postgres: Postgres, reach: Callable[..., None], tmp_path: Path
) -> None:
    reach(postgres)
    postgres.execute(
        "CREATE TABLE public.big AS SELECT i AS id, md5(i::text) || md5((i + 1)::text) AS name, i::float8 AS x "
        "FROM generate_series(1, 2000000) g(i)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, postgres.uri, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=_environment(root),
    )
    outcome, home, rows, before, after = done.stdout.split()
    print(f"peak memory: {before} MiB before, {after} MiB after {rows} rows")
    assert (outcome, home, rows) == ("Pass", "duckdb", "2000000")
    assert int(after) - int(before) < 512


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{root}/operator"}


def test_a_table_that_is_sampled_or_set_aside_is_streamed_as_a_whole(
    tables: Postgres, reach: Callable[..., None], tmp_path: Path
) -> None:
    reach(tables)
    check = {"data": {"source": "t", "range": {"column": "id", "min": 1}}, "quarantine": True}
    spec = gate(check, sources=[table("t", tables)], quarantine={"source": "t", "maxShare": 0.1})
    report = evaluate("g", spec, {}, WHEN, quarantine=tmp_path / "bad", passing=tmp_path / "good")
    assert report.verdict.outcome is WARN, report.findings[0].message
    assert duckdb.execute(f"SELECT count(*) FROM '{tmp_path}/good/t.parquet'").fetchall() == [(19,)]
    assert one(tables, {"sample": {"rows": 5}}, {"notNull": {"columns": ["id"]}}).rows_evaluated == 5
