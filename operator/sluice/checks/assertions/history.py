"""Assertions on a number against its own history."""

from sluice.checks.assertions.numbers import computed, whole
from sluice.checks.sql import Compiled, Context, Measure, plain, quote

MIN_POINTS = 7
"""Points of the history that a judgement needs, unless the check says otherwise."""
MAD_TO_SIGMA = 1.4826
"""The median absolute deviation of a normal distribution, times this, is its standard deviation (Iglewicz and Hoaglin,
How to Detect and Handle Outliers, 1993)."""
MEAN_AD_TO_SIGMA = 1.2533
"""The same for the mean absolute deviation: sqrt(pi / 2)."""
SAME = 1e-9
"""Relative difference up to which values count as equal where the history does not vary."""


def anomaly(context: Context) -> Compiled:
    """A function of a column, for each group of the tested data, is not farther from the history's than allowed.

    The history is grouped by `by`. Groups that the tested data itself contains are left out, so that a point is never
    judged by itself; so are groups whose value is missing or not finite. The measured number is that of the tested
    group that lies farthest away:

        MAD     |x - median| / (1.4826 median |h - median|); where more than half of the points are equal, and that
                median is 0, 1.2533 times the mean of |h - median| stands in for the denominator
        ZScore  |x - mean| / sample standard deviation

    With fewer than `minPoints` points nothing is known: Inconclusive. A history that does not vary at all has no scale:
    an equal value (within 1e-9 of it) has distance 0, and any other one an infinite distance, which fails.
    """
    rule = context.data.anomaly
    assert rule is not None
    table, past = context.table, context.other(rule.history)
    by, then = table.column(rule.by), past.column(rule.by)
    if rule.column is not None:
        past.column(rule.column)
    where = context.looked_at()
    value = computed(table, rule.function, rule.column, "TRUE")
    old = computed(past, rule.function, rule.column, "TRUE")
    least = MIN_POINTS if rule.min_points is None else rule.min_points
    spread = (
        f"CASE WHEN mad > 0 THEN {MAD_TO_SIGMA} * mad ELSE {MEAN_AD_TO_SIGMA} * mean_ad END"
        if rule.method == "MAD"
        else "m.sd"
    )
    centre = "median" if rule.method == "MAD" else "mean"
    query = (
        f"WITH tested AS (SELECT {by} AS g, count(*) AS n, CAST({value} AS DOUBLE) AS x FROM {quote(table.name)} "
        f"WHERE {where} GROUP BY {by}), "
        f"points AS (SELECT x FROM (SELECT {then} AS g, CAST({old} AS DOUBLE) AS x FROM {quote(past.name)} "
        f"WHERE {where} AND {then} IS NOT NULL GROUP BY {then}) h "
        "WHERE isfinite(x) AND NOT EXISTS (SELECT 1 FROM tested t WHERE t.g = h.g)), "
        "middle AS (SELECT count(*) AS points, median(x) AS median, avg(x) AS mean, stddev_samp(x) AS sd FROM points), "
        "scale AS (SELECT any_value(middle) AS m, median(abs(x - middle.median)) AS mad, "
        "avg(abs(x - middle.median)) AS mean_ad FROM points, middle), "
        f"s AS (SELECT m.points AS points, m.{centre} AS centre, {spread} AS spread FROM scale), "
        "scored AS (SELECT x, n, points, centre, CASE WHEN NOT isfinite(x) THEN 'nan'::DOUBLE "
        f"WHEN spread <= {SAME} * abs(centre) OR spread = 0 THEN "
        f"(CASE WHEN abs(x - centre) <= {SAME} * abs(centre) THEN 0 ELSE 'inf'::DOUBLE END) "
        "ELSE abs(x - centre) / spread END AS score FROM tested, s) "
        "SELECT (SELECT coalesce(sum(n), 0) FROM tested), "
        f"CASE WHEN (SELECT points FROM middle) < {plain(least)} OR count(x) < count(*) THEN NULL ELSE max(score) END, "
        f"CASE WHEN (SELECT points FROM middle) < {plain(least)} THEN 'the history has ' || (SELECT points FROM middle) "
        f"|| ' points, {plain(least)} are needed' WHEN count(x) < count(*) THEN 'a value cannot be computed' ELSE "
        f"'{rule.function} is ' || printf('%.6g', arg_max(x, score)) || ', {centre} of ' || any_value(points) || "
        "' points is ' || printf('%.6g', any_value(centre)) END FROM scored"
    )
    of = f" of {rule.column}" if rule.column is not None else ""
    return Compiled(
        context.check,
        Measure.NUMBER,
        query=query,
        bounds=(None, rule.max),
        infinite_fails=True,
        text=f"{rule.method} distance of {rule.function}{of} from {rule.history} by {rule.by} <= {rule.max:g}",
        tables=(rule.history,),
        whole=whole(context, rule.function, rule.history),
    )
