"""Assertions on how far a distribution is from another one, as an effect size and not as a p-value.

With many rows every difference is significant; what matters is whether it is large.
"""

from sluice.checks.sql import CannotCompile, Compiled, Context, Measure, quote

PSI_FLOOR = 1e-4
"""Share that an empty bin is given, so that the logarithm exists."""


def drift(context: Context) -> Compiled:
    """The distance of a column from the same column of another data set. NaN and missing values are left out."""
    rule = context.data.drift
    assert rule is not None
    table, other = context.table, context.other(rule.source)
    numeric = table.is_number(rule.column)
    column, baseline = table.column(rule.column), other.column(rule.column)
    if numeric:
        other.number(rule.column)
    here = f"SELECT {column} AS v FROM {quote(table.name)} WHERE {context.present(column)}"
    there = f"SELECT {baseline} AS v FROM {quote(other.name)} WHERE {baseline} IS NOT NULL"
    if numeric:
        here += f" AND NOT isnan(CAST({column} AS DOUBLE))"
        there += f" AND NOT isnan(CAST({baseline} AS DOUBLE))"
    if rule.method == "KS":
        if not numeric:
            raise CannotCompile(f'KS needs numbers; column "{rule.column}" is {table.columns[rule.column]}')
        query = _ks(here, there)
    else:
        query = _psi(here, there, numeric=numeric)
    return Compiled(
        context.check,
        Measure.NUMBER,
        query=query,
        bounds=(None, rule.max),
        text=f"{rule.method} of {rule.column} against {rule.source} <= {rule.max:g}",
        tables=(rule.source,),
    )


def _ks(here: str, there: str) -> str:
    """Two-sample Kolmogorov-Smirnov distance: the greatest difference of the two empirical distribution functions."""
    return (
        f"WITH h AS ({here}), t AS ({there}), "
        "n AS (SELECT (SELECT count(*) FROM h) AS nh, (SELECT count(*) FROM t) AS nt), "
        "steps AS (SELECT v, sum(a) AS a, sum(b) AS b FROM "
        "(SELECT v, 1 AS a, 0 AS b FROM h UNION ALL SELECT v, 0, 1 FROM t) GROUP BY v), "
        "f AS (SELECT sum(a) OVER (ORDER BY v) / nullif(nh, 0) AS fh, sum(b) OVER (ORDER BY v) / nullif(nt, 0) AS ft "
        "FROM steps, n) "
        "SELECT (SELECT CASE WHEN nt = 0 THEN 0 ELSE nh END FROM n), max(abs(fh - ft)) FROM f"
    )


def _psi(here: str, there: str, *, numeric: bool) -> str:
    """Population stability index: sum of (p - q) ln(p / q) over the baseline's deciles, or over the values of texts."""
    if numeric:
        cuts = "cuts AS (SELECT quantile_cont(v, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) AS c FROM t)"
        bin_ = "len(list_filter(c, lambda x: x < v))"
        binned = (
            f"hb AS (SELECT {bin_} AS bin, count(*) AS n FROM h, cuts GROUP BY 1), "
            f"tb AS (SELECT {bin_} AS bin, count(*) AS n FROM t, cuts GROUP BY 1)"
        )
        head = f"{cuts}, {binned}"
    else:
        values = "SELECT v AS bin, count(*) AS n FROM"
        head = f"hb AS ({values} h GROUP BY 1), tb AS ({values} t GROUP BY 1)"
    return (
        f"WITH h AS ({here}), t AS ({there}), "
        "n AS (SELECT (SELECT count(*) FROM h) AS nh, (SELECT count(*) FROM t) AS nt), "
        f"{head}, shares AS (SELECT greatest(coalesce(hb.n, 0) / nullif(nh, 0), {PSI_FLOOR}) AS p, "
        f"greatest(coalesce(tb.n, 0) / nullif(nt, 0), {PSI_FLOOR}) AS q "
        "FROM hb FULL JOIN tb ON hb.bin = tb.bin, n) "
        "SELECT (SELECT CASE WHEN nt = 0 THEN 0 ELSE nh END FROM n), sum((p - q) * ln(p / q)) FROM shares"
    )
