"""Assertions on time columns. Their bounds come from the moment of evaluation and from the run's interval.

A column without a zone is compared with the plain time in UTC: converting each of its values would cost more than all
else in a scan.
"""

from datetime import timedelta

from sluice.api.durations import parse_duration
from sluice.checks.sql import CannotCompile, Compiled, Context, has_zone, moment

FUTURE_SLACK = timedelta(minutes=5)
"""How far in the future the newest value may lie before it is no evidence of fresh data."""


def freshness(context: Context) -> Compiled:
    """The newest value is not older than allowed, in seconds before the moment of evaluation."""
    rule = context.data.freshness
    assert rule is not None
    zone = has_zone(context.table, rule.column)
    column = context.table.column(rule.column)
    looked_at = context.present(column)
    newest = f"max({column}) FILTER (WHERE {looked_at})"
    if not zone:
        newest = f"CAST({newest} AS TIMESTAMP)"
    age = f"date_diff('microsecond', {newest}, {moment(context.when.now, zone=zone)}) / 1e6"
    most = parse_duration(rule.max_age).total_seconds()
    text = f"age of {rule.column} in seconds <= {most:g}"
    return context.on_number(looked_at, age, (-FUTURE_SLACK.total_seconds(), most), text)


def window(context: Context) -> Compiled:
    """Values lie in the run's interval: from its start (included) to its end (excluded)."""
    rule = context.data.window
    assert rule is not None
    start, end = context.when.start, context.when.end
    if start is None or end is None:
        raise CannotCompile("there is no data interval: the gate was not run for one")
    zone = has_zone(context.table, rule.column)
    column = context.table.column(rule.column)
    slack = parse_duration(rule.slack) if rule.slack is not None else timedelta(0)
    holds = f"{column} >= {moment(start - slack, zone=zone)} AND {column} < {moment(end + slack, zone=zone)}"
    return context.on_rows(
        context.present(column), holds, f"{rule.column} from {start.isoformat()} to {end.isoformat()}"
    )
