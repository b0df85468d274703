"""What is written for PostgreSQL, and what is not. That both come out the same is tested on a real one."""

import pytest

from sluice.checks.stores.base import Column, Kind, RemoteTable
from sluice.checks.stores.pushdown import NotTheSame, translate

KINDS = {
    "id": Kind.INTEGER,
    "x": Kind.DOUBLE,
    "name": Kind.TEXT,
    "at": Kind.TIMESTAMPTZ,
    "day": Kind.DATE,
    "price": Kind.DECIMAL,
    "odd": Kind.OTHER,
}
TABLE = RemoteTable(
    'public."t"', {name: Column(name, "", kind, f'"{name}"', f'"{name}"') for name, kind in KINDS.items()}
)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*), count(*) FILTER (WHERE (id > 3) IS NOT TRUE) FROM t",
        "SELECT count(*) FILTER (WHERE x IS NOT NULL AND (NOT isnan(x) AND x >= 0.5) IS NOT TRUE) FROM t",
        "SELECT count(odd), count(*) FILTER (WHERE odd IS NULL) FROM t",
        "SELECT max(price), sum(price) FROM t WHERE price BETWEEN 1 AND 2.5",
        "SELECT count(DISTINCT name) FROM t",
        "SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM t GROUP BY name, id)",
        "SELECT * FROM t WHERE (name, id) IN (SELECT name, id FROM t GROUP BY name, id HAVING count(*) > 1) LIMIT 5",
        "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM (SELECT T.ID FROM t AS T WHERE T.name = 'a'))",
        "SELECT (SELECT count(*) FROM (SELECT id FROM t EXCEPT ALL SELECT id FROM t)) + (SELECT count(*) FROM t)",
        "SELECT count(*) / nullif(count(*), 0) FROM t",
        "SELECT date_diff('microsecond', max(at), TIMESTAMPTZ '2026-01-01 00:00:00.000000+00') / 1e6 FROM t",
    ],
)
def test_a_query_of_known_meaning_is_translated(sql: str) -> None:
    assert 'public."t"' in translate(sql, {"t": TABLE}).sql.replace('"public"', "public")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM elsewhere",
        "SELECT lost FROM t",
        "SELECT id + 1 FROM t",
        "SELECT id / x FROM t",
        "SELECT sum(x) FROM t",
        "SELECT avg(price) FROM t",
        "SELECT quantile_cont(id, 0.9) FROM t",
        "SELECT median(id) FROM t",
        "SELECT count(*) FILTER (WHERE name < 'b') FROM t",
        "SELECT max(name) FROM t",
        "SELECT count(*) FILTER (WHERE odd = 'a') FROM t",
        "SELECT count(*) FILTER (WHERE id = 'a') FROM t",
        "SELECT count(*) FILTER (WHERE day = '2026-01-01') FROM t",
        "SELECT count(*) FILTER (WHERE x = price) FROM t",
        "SELECT count(*) FILTER (WHERE x = 0.12345678901234567) FROM t",
        "SELECT count(*) FILTER (WHERE name LIKE 'a\\_b') FROM t",
        "SELECT count(*) FILTER (WHERE name ILIKE 'a') FROM t",
        "SELECT count(*) FILTER (WHERE regexp_full_match(name, 'a.b')) FROM t",
        "SELECT count(*) FILTER (WHERE regexp_full_match(name, 'a', 'i')) FROM t",
        "SELECT count(*) FILTER (WHERE id IN (SELECT id FROM t)) FROM t",
        "SELECT lower(name) FROM t",
        "SELECT nextval('s') FROM t",
        "SELECT name FROM t GROUP BY id",
        "SELECT name, count(*) FROM t",
        "SELECT count(*) FROM t AS a JOIN t AS b ON a.id = b.id",
        "SELECT DISTINCT id FROM t",
        "SELECT id FROM t ORDER BY id",
        "SELECT count(*) FROM (SELECT id FROM t LIMIT 5)",
        "SELECT count(*) FROM (SELECT id FROM t UNION ALL SELECT id FROM t)",
        "SELECT count(*) FROM (SELECT id FROM t EXCEPT SELECT id FROM t)",
        "SELECT count(*) OVER () FROM t",
        "SELECT * EXCLUDE (id) FROM t",
        "SELECT t FROM t",
        "SELECT TRY_CAST(name AS INTEGER) FROM t",
        "SELECT CAST(x AS VARCHAR) FROM t",
        "SELECT CAST(name AS INTEGER) FROM t",
        "SELECT count(*) FROM t WHERE id",
        "SELECT count(*) FROM t WHERE id = NULL",
        "SELECT count(*) FROM t USING SAMPLE 5",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "SELECT 1 FROM t; SELECT 2 FROM t",
        "DROP TABLE t",
        "SELEC 1",
    ],
)
def test_a_query_that_may_come_out_differently_is_not(sql: str) -> None:
    with pytest.raises(NotTheSame):
        translate(sql, {"t": TABLE})
