"""Pages of metrics, read and compared."""

import math

from dev.bench.counters import parse

BEFORE = """
# TYPE requests_total counter
requests_total{verb="create",resource="pods"} 3
requests_total{verb="patch",resource="runs"} 5
"""
AFTER = """
# TYPE requests_total counter
requests_total{verb="create",resource="pods"} 4
requests_total{verb="patch",resource="runs"} 5
requests_total{verb="patch",resource="pods"} 2
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.1"} 90
wait_seconds_bucket{le="1"} 98
wait_seconds_bucket{le="+Inf"} 100
"""


def test_growth_counts_what_is_new_and_leaves_out_what_stood_still() -> None:
    growth = parse(AFTER).since(parse(BEFORE))
    assert growth.by("requests_total", "verb", "resource") == {("create", "pods"): 1, ("patch", "pods"): 2}
    assert growth.total("requests_total") == 3
    assert growth.total("requests_total", verb="patch") == 2


def test_quantiles_of_a_histogram_are_upper_bounds() -> None:
    found = parse(AFTER)
    assert (found.quantile("wait_seconds", 0.5), found.quantile("wait_seconds", 0.95)) == (0.1, 1)
    assert found.quantile("wait_seconds", 0.99) == math.inf
    assert math.isnan(found.quantile("other_seconds", 0.5))


def test_only_the_wanted_part_of_a_page_is_read() -> None:
    assert {name for name, _ in parse(AFTER, only="requests").samples} == {"requests_total"}
