"""Where sources lie: the interval and arguments in their uris, and those of a baseline."""

from datetime import UTC, datetime

import pytest

from sluice.api.gate import Source
from sluice.checks.places import resolve_places
from sluice.checks.sql import When

NOW = datetime(2026, 3, 31, tzinfo=UTC)
DAY = When(NOW, datetime(2026, 3, 30, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC))
INDIA = When(NOW, datetime(2026, 3, 29, 18, 30, tzinfo=UTC), datetime(2026, 3, 30, 18, 30, tzinfo=UTC), "Asia/Kolkata")
# Berlin went to summer time on 29 March 2026: that day had 23 hours.
BERLIN = When(NOW, datetime(2026, 3, 29, 22, tzinfo=UTC), datetime(2026, 3, 30, 22, tzinfo=UTC), "Europe/Berlin")
DATE = "s3://b/$(interval.start.date)/x.parquet"


@pytest.mark.parametrize(
    ("when", "baseline", "uri", "expected"),
    [
        (DAY, None, DATE, "s3://b/2026-03-30/x.parquet"),
        (DAY, "PreviousInterval", DATE, "s3://b/2026-03-29/x.parquet"),
        (DAY, "SameWeekday", DATE, "s3://b/2026-03-23/x.parquet"),
        (INDIA, None, DATE, "s3://b/2026-03-30/x.parquet"),
        (INDIA, "PreviousInterval", "$(interval.start)", "2026-03-28T18:30:00Z"),
        (BERLIN, "PreviousInterval", "$(interval.start)", "2026-03-28T23:00:00Z"),
        (BERLIN, "PreviousInterval", "$(interval.end)", "2026-03-29T22:00:00Z"),
        (BERLIN, "SameWeekday", DATE, "s3://b/2026-03-23/x.parquet"),
        (BERLIN, "SameWeekday", "$(interval.start)", "2026-03-22T23:00:00Z"),
        (DAY, None, "/d/$(args.carrier)/$(interval.end.date)", "/d/U$A/2026-03-31"),
        (DAY, None, "/d/$(args.lost ?? all)", "/d/all"),
        (DAY, None, "/plain.csv", "/plain.csv"),
    ],
)
def test_a_uri_is_read_for_the_interval_it_is_meant_for(
    when: When, baseline: str | None, uri: str, expected: str
) -> None:
    source = Source.model_validate({"name": "s", "uri": uri, "baseline": baseline})
    assert resolve_places([source], {}, when, {"carrier": "U$A"}) == ({"s": expected}, {})


def test_a_given_uri_wins_and_is_resolved_too() -> None:
    source = Source(name="s", uri="/old")
    assert resolve_places([source], {"s": DATE}, DAY, {})[0] == {"s": "s3://b/2026-03-30/x.parquet"}


@pytest.mark.parametrize(
    ("uri", "when", "reference"),
    [("$(args.lost)", DAY, "$(args.lost)"), (DATE, When(NOW), "$(interval.start.date)"), ("$(params.x)", DAY, "x")],
)
def test_what_has_no_value_is_a_reason_and_no_uri(uri: str, when: When, reference: str) -> None:
    places, missing = resolve_places([Source(name="s", uri=uri)], {}, when, {})
    assert places == {}
    assert reference in missing["s"]
