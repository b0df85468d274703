"""Which columns of a table in a database are streamed for a query: too many do no harm, too few would."""

import pytest

from sluice.checks.sources import identifiers, without_password


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT count(*), sum(a) FROM t WHERE B > 1", {"a", "b", "t"}),
        ('SELECT "Odd name" FROM t AS x', {"odd name", "t", "x"}),
        ("SELECT * FROM t", None),
        ("SELECT t.* FROM t", None),
        ("SELECT * EXCLUDE (a) FROM t", None),
        ("FROM t", None),
        ("SELECT COLUMNS('a.*') FROM t", None),
        ("SELECT t FROM t", None),
        ("SELECT x FROM t AS x", None),
        ("SELECT a FROM t NATURAL JOIN u", None),
        ("SELECT not ( parsable", None),
    ],
)
def test_the_names_in_a_query_are_found_or_all_columns_are_meant(sql: str, columns: set[str] | None) -> None:
    assert identifiers(sql) == columns


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:hunter2@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p@ss@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?password=hunter2&sslmode=require", "postgresql://host/db?password=***&sslmode=require"),
        ("postgresql://host:5432/db?sslmode=require", "postgresql://host:5432/db?sslmode=require"),
        ("s3://bucket/key@2:3", "s3://bucket/key@2:3"),
        ("/data/a:b@c.csv", "/data/a:b@c.csv"),
    ],
)
def test_a_password_in_a_uri_is_not_shown(uri: str, shown: str) -> None:
    assert without_password(uri) == shown
