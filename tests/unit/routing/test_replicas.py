"""The share of pods."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.routing.replicas import Shares, beside, divide

replicas = st.integers(0, 1000)
weights = st.integers(0, 100)


@pytest.mark.parametrize(
    ("total", "weight", "expected"),
    [
        (10, 20, Shares(8, 2)),
        (10, 5, Shares(9, 1)),
        (10, 99, Shares(1, 9)),
        (3, 50, Shares(1, 2)),
        (1, 50, Shares(1, 1)),
        (1, 100, Shares(0, 1)),
        (1, 0, Shares(1, 0)),
        (0, 50, Shares(0, 0)),
    ],
)
def test_pods_are_divided(total: int, weight: int, expected: Shares) -> None:
    assert divide(total, weight) == expected


@pytest.mark.parametrize(
    ("stable", "weight", "most", "expected"),
    [
        (10, 0, 10, Shares(10, 0)),
        (10, 5, 10, Shares(10, 1)),
        (10, 50, 10, Shares(10, 10)),
        (10, 80, 10, Shares(10, 10)),
        (10, 80, 40, Shares(10, 40)),
        (10, 100, 10, Shares(10, 10)),
        (10, 50, 0, Shares(10, 0)),
        (0, 50, 10, Shares(0, 0)),
    ],
)
def test_pods_are_added_beside(stable: int, weight: int, most: int, expected: Shares) -> None:
    assert beside(stable, weight, most) == expected


@given(replicas, weights)
def test_no_pod_is_lost(total: int, weight: int) -> None:
    shares = divide(total, weight)
    assert shares.stable + shares.candidate == (max(total, 2) if total and 0 < weight < 100 else total)


@given(st.integers(1, 1000), st.integers(1, 99))
def test_both_sides_run_between_the_ends_as_near_as_pods_allow(total: int, weight: int) -> None:
    shares = divide(total, weight)
    assert min(shares.stable, shares.candidate) >= 1
    if min(shares.stable, shares.candidate) > 1:
        assert abs(shares.weight - weight) <= 50 / total + 1e-9


@given(replicas, weights, weights)
def test_more_weight_is_never_fewer_pods(total: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert divide(total, low).candidate <= divide(total, high).candidate
    assert beside(total, low, 5000).candidate <= beside(total, high, 5000).candidate


@pytest.mark.parametrize(("total", "weight"), [(-1, 5), (1, -1), (1, 101)])
def test_what_is_no_share_is_refused(total: int, weight: int) -> None:
    with pytest.raises(ValueError, match="it has to be"):
        divide(total, weight)


def test_no_pods_have_no_weight() -> None:
    assert Shares(0, 0).weight == 0
