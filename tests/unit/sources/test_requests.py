"""From a proxy's counters to a number: increments, shares, quantiles, and what is no evidence."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.planning.metrics import Point, RequestsQuestion, Series
from sluice.sources.base import BadAnswer
from sluice.sources.exposition import Sample
from sluice.sources.proxies import PROXIES
from sluice.sources.requests import STRETCH, Counts, Growth, Track, counted, measured, quantile_of

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
INF, NAN = math.inf, math.nan
TRAEFIK = PROXIES["Traefik"]
WEB = "team-web-http-80@kubernetesgateway"


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespace", "service", "label"),
    [
        ("team", "web", "team-web-http-80@kubernetesgateway"),
        ("team-a", "web-canary", "team-a-web-canary-http-8080@kubernetesgateway"),
        ("team", "web--2", "team-web-2-http-80@kubernetesgateway"),
        ("team", "web-http-80", "team-web-http-80-http-80@kubernetesgateway"),
    ],
)
def test_a_service_is_known_by_traefiks_name_for_it(namespace: str, service: str, label: str) -> None:
    assert TRAEFIK.key_of(label) == TRAEFIK.key(namespace, service)


@pytest.mark.parametrize("label", ["team-web-80@kubernetes", "api@internal", "team-web-http-web@kubernetesgateway", ""])
def test_what_is_no_service_of_a_route_is_not_taken_for_one(label: str) -> None:
    assert TRAEFIK.key_of(label) is None


# -- one scrape -------------------------------------------------------------------------------------------------------


def requests(value: float, code: str = "200", service: str = WEB, **more: str) -> Sample:
    return Sample(TRAEFIK.requests, {"service": service, "code": code, **more}, value)


def bucket(le: str, value: float, code: str = "200") -> Sample:
    return Sample(TRAEFIK.buckets, {"service": WEB, "code": code, "le": le}, value)


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([requests(3)], Counts(3), id="one series"),
        pytest.param([requests(3), requests(2, "404")], Counts(5), id="404 is no failure"),
        pytest.param([requests(3), requests(2, "503"), requests(1, "500")], Counts(6, 3), id="5xx are"),
        pytest.param([requests(3, "0"), requests(1, "5"), requests(1, "599", m="X")], Counts(5, 1), id="odd codes"),
        pytest.param(
            [requests(3, method="GET"), requests(4, method="PUT")], Counts(7), id="methods are counted together"
        ),
        pytest.param(
            [requests(3), requests(9, service="team-web-http-81@kubernetesgateway")], Counts(12), id="so are ports"
        ),
        pytest.param([requests(3), requests(9, service="x@internal")], Counts(3), id="no Service"),
        pytest.param(
            [bucket("+Inf", 4), bucket("0.1", 1), bucket("0.1", 1, "500"), bucket("+Inf", 2, "500")],
            Counts(0, 0, (0.1, INF), (2, 6)),
            id="buckets of all codes, in order",
        ),
    ],
)
def test_a_scrape_is_counted_by_service(found: list[Sample], counts: Counts | None) -> None:
    assert counted(TRAEFIK, found).get("team-web") == counts


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ([requests(NAN)], "is nan"),
        ([requests(INF)], "is inf"),
        ([requests(-1)], "is -1"),
        ([requests(1), requests(1)], "a series of traefik_service_requests_total is there twice"),
        ([bucket("many", 1)], "has no bound"),
        ([bucket("NaN", 1)], "has no bound"),
        ([bucket("1", NAN)], "is nan"),
    ],
)
def test_what_no_counter_can_be_is_a_bad_answer(found: list[Sample], complaint: str) -> None:
    with pytest.raises(BadAnswer, match=complaint):
        counted(TRAEFIK, found)


# -- scrapes over time ------------------------------------------------------------------------------------------------


def track(*pages: tuple[float, float]) -> Track:
    """Scrapes of (moment, requests)."""
    made = Track()
    for at, count in pages:
        made.add(at, Counts(count))
    return made


@pytest.mark.parametrize(
    ("pages", "window", "grown", "seconds"),
    [
        pytest.param([(0, 5), (1, 7)], 1, 2, 1, id="two scrapes"),
        pytest.param([(0, 5), (1, 7), (2, 12)], 1, 5, 1, id="only what is within"),
        pytest.param([(0, 5), (0.9, 7), (2, 12)], 1, 5, 1.1, id="from the scrape before the window"),
        pytest.param([(0, 5), (9, 7)], 1, 2, 9, id="scrapes that are far apart"),
        pytest.param([(0, 5), (1, 5)], 1, 0, 1, id="no request"),
        pytest.param([(0, 0), (1, 3)], 1, 3, 1, id="a series that was not there before"),
        pytest.param([(0, 100), (1, 3)], 1, 3, 1, id="began anew"),
        pytest.param([(0, 100), (1, 110), (2, 3), (3, 5)], 3, 15, 3, id="began anew in between"),
        pytest.param([(0, 100), (1, 0), (2, 3)], 2, 3, 2, id="was away in between"),
        pytest.param([(0, 5), (0, 50), (1, 7)], 1, 2, 1, id="a scrape that is not newer"),
    ],
)
def test_increments_over_a_window(
    pages: list[tuple[float, float]], window: float, grown: float, seconds: float
) -> None:
    growth = track(*pages).over(window)
    assert growth is not None
    assert (growth.counts.requests, growth.seconds) == (grown, pytest.approx(seconds))


@pytest.mark.parametrize(
    "pages", [[], [(0, 5)], [(0, 5), (0.9, 9)], [(0, 5), (2 + STRETCH, 9)]], ids=["none", "one", "short", "a gap"]
)
def test_a_window_that_is_not_covered_has_no_increments(pages: list[tuple[float, float]]) -> None:
    assert track(*pages).over(1) is None


@pytest.mark.parametrize(("longest", "grown"), [(2, 4), (3, 4), (1.9, None), (1, None)])
def test_a_window_does_not_reach_back_behind_what_it_is_about(longest: float, grown: float | None) -> None:
    growth = track((0, 100), (8, 105), (10, 109)).over(1, longest)
    assert (growth.counts.requests if growth is not None else None) == grown


def test_a_reset_of_any_counter_is_one_of_all() -> None:
    made = Track()
    made.add(0, Counts(100, 50, (1, INF), (90, 100)))
    made.add(1, Counts(120, 2, (1, INF), (110, 120)))
    growth = made.over(1)
    assert growth is not None
    assert growth.counts == Counts(120, 2, (1, INF), (110, 120))


def test_a_known_restart_counts_from_nothing_though_no_counter_fell() -> None:
    made = track((0, 5))
    made.add(1, Counts(7), restarted=True)
    growth = made.over(1)
    assert growth is not None
    assert growth.counts.requests == 7


def test_buckets_that_come_later_count_from_nothing() -> None:
    made = Track()
    made.add(0, Counts())
    made.add(1, Counts(3, 0, (1, INF), (2, 3)))
    growth = made.over(1)
    assert growth is not None
    assert growth.counts == Counts(3, 0, (1, INF), (2, 3))


@given(
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=2, max_size=40),
    st.integers(1, 10),
)
def test_no_request_is_lost_or_counted_twice_whatever_restarts(steps: list[tuple[int, bool]], window: int) -> None:
    made, shown = Track(), 0
    for at, (added, restart) in enumerate(steps):
        shown = added if restart else shown + added
        made.add(at, Counts(shown), restarted=restart)
    growth = made.over(window)
    if len(steps) <= window:
        assert growth is None
    else:
        assert growth is not None
        assert growth.counts.requests == sum(added for added, _ in steps[-window:])


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30))
def test_what_falls_never_makes_a_negative_increment(shown: list[int]) -> None:
    made = track(*enumerate(shown))
    for window in range(1, len(shown)):
        growth = made.over(window)
        assert growth is not None
        least = sum(max(after - before, 0) for before, after in pairwise(shown[-window - 1 :]))
        assert growth.counts.requests >= least


def test_memory_is_bounded_and_windows_stay_as_long_as_they_are() -> None:
    made = Track()
    for tick in range(40_000):
        made.add(tick / 4, Counts(float(tick)), keep=660)
    assert len(made) <= 256
    for window in (1, 30, 300, 600):
        growth = made.over(window)
        assert growth is not None
        assert window <= growth.seconds <= window * 1.05
        assert growth.counts.requests == growth.seconds * 4


# -- quantiles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantile", "bounds", "within", "found"),
    [
        pytest.param(0.5, (1, 2, INF), (0, 10, 10), (1.5, False), id="in the middle of a bucket"),
        pytest.param(0.5, (1, 2, INF), (10, 10, 10), (0.5, False), id="the first bucket begins at 0"),
        pytest.param(0.5, (1, 2, INF), (5, 10, 10), (1, False), id="on a bound"),
        pytest.param(0.9, (1, 2, INF), (5, 10, 10), (1.8, False), id="in a later bucket"),
        pytest.param(0.99, (1, 2, INF), (0, 0, 10), (2, True), id="beyond the last bound"),
        pytest.param(0.99, (1, 2, INF), (0, 9, 10), (2, True), id="a few beyond the last bound"),
        pytest.param(0.99, (INF,), (10,), (None, False), id="+Inf only"),
        pytest.param(0.99, (), (), (None, False), id="no buckets"),
        pytest.param(0.99, (1, 2), (5, 10), (None, False), id="no +Inf"),
        pytest.param(0.99, (1, INF), (0, 0), (None, False), id="no requests"),
        pytest.param(0.5, (1, 2, 3, INF), (5, 4, 10, 10), (1, False), id="counts that fall are evened out"),
        pytest.param(0.5, (-1, 1, INF), (10, 10, 10), (-1, False), id="a first bound below 0"),
    ],
)
def test_quantiles_are_prometheus(
    quantile: float, bounds: tuple[float, ...], within: tuple[float, ...], found: tuple[float | None, bool]
) -> None:
    value, beyond = quantile_of(quantile, bounds, within)
    assert (value, beyond) == (pytest.approx(found[0]), found[1])


@example([1.0, 1.0, 1.0, 0.5, 0.5, 0.5], 0.5)
@given(st.lists(st.floats(0.001, 9.9), min_size=1, max_size=50), st.sampled_from([0.01, 0.5, 0.9, 0.99]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(seconds: list[float], quantile: float) -> None:
    bounds = (0.1, 0.5, 1.0, 5.0, INF)
    within = tuple(float(sum(one <= bound for one in seconds)) for bound in bounds)
    value, beyond = quantile_of(quantile, bounds, within)
    true = sorted(seconds)[math.ceil(quantile * len(seconds)) - 1]
    upper = next(bound for bound in bounds if true <= bound)
    assert value is not None
    assert beyond == (upper == INF)
    if not beyond:
        assert max((bound for bound in bounds if bound < upper), default=0.0) <= value <= upper


# -- the number -------------------------------------------------------------------------------------------------------


def asked(measure: Any, **more: Any) -> RequestsQuestion:
    return RequestsQuestion(measure, "team", "web", timedelta(seconds=5), **more)


SOME = Growth(Counts(40, 1, (0.1, 1, INF), (20, 40, 40)), 5)
OTHER = Growth(Counts(60, 3, (0.1, 1, INF), (60, 60, 60)), 6)


@pytest.mark.parametrize(
    ("question", "growths", "value"),
    [
        (asked("ErrorRate"), [SOME], 0.025),
        (asked("SuccessRate"), [SOME], 0.975),
        (asked("Rate"), [SOME], 8),
        (asked("Latency", quantile=0.75), [SOME], 0.55),
        (asked("ErrorRate"), [SOME, OTHER], 0.04),
        (asked("Rate"), [SOME, OTHER], 18),
        (asked("Latency", quantile=0.5), [SOME, OTHER], 0.0625),
        (asked("ErrorRate"), [SOME, Growth(Counts(), 5)], 0.025),
        (asked("ErrorRate", min_requests=40), [SOME], 0.025),
    ],
)
def test_the_number(question: RequestsQuestion, growths: list[Growth | None], value: float) -> None:
    series = measured(question, growths, AT)
    assert series == Series({}, (Point(AT, pytest.approx(value)),))


@pytest.mark.parametrize(
    ("question", "growths", "why"),
    [
        (asked("ErrorRate"), [], "no history yet: 5.0s are not covered by samples"),
        (asked("ErrorRate"), [None], "no history yet"),
        (asked("ErrorRate"), [SOME, None], "no history yet"),
        (asked("ErrorRate", min_requests=41), [SOME], "40 requests within 5.0s, minRequests is 41"),
        *(
            (asked(each), [Growth(Counts(), 5)], "0 requests")
            for each in ("SuccessRate", "ErrorRate", "Rate", "Latency")
        ),
        (asked("Latency"), [Growth(Counts(40), 5)], "0 requests"),
        (asked("Latency"), [Growth(Counts(40, 0, (INF,), (40,)), 5)], "no buckets of latency"),
    ],
)
def test_what_is_no_evidence_is_said(question: RequestsQuestion, growths: list[Growth | None], why: str) -> None:
    series = measured(question, growths, AT)
    assert not series.points
    assert why in series.doubt


def test_a_latency_beyond_the_last_bucket_may_be_greater() -> None:
    series = measured(asked("Latency"), [Growth(Counts(9, 0, (1, INF), (0, 9)), 5)], AT)
    assert series == Series({}, (Point(AT, 1),), floor="the quantile is beyond the proxy's last bucket, 1s")


@given(
    st.sampled_from(["SuccessRate", "ErrorRate", "Rate", "Latency"]),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.floats(0.25, 60)), max_size=3),
    st.integers(1, 100),
)
def test_there_is_a_finite_number_or_a_doubt(measure: str, rows: list[tuple[int, int, float]], least: int) -> None:
    growths: list[Growth | None] = [
        Growth(Counts(a, min(a, b), (1, INF), (min(a, b), a)), seconds) for a, b, seconds in rows
    ]
    series = measured(asked(measure, min_requests=least), growths, AT)
    if series.doubt:
        assert not series.points
        assert sum(row[0] for row in rows) < least
    else:
        assert math.isfinite(series.points[0].value)
        assert measure in ("Rate", "Latency") or 0 <= series.points[0].value <= 1
