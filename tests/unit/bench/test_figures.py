"""Figures against ranges."""

import math

import pytest

from dev.bench.figures import Figure, Range, document, percentile, read_ranges, short_of, table

RANGES = {"latency": Range("F01", most=0.02), "throughput": Range("F03", least=30)}


@pytest.mark.parametrize(
    ("samples", "share", "value"),
    [([3, 1, 2], 0.5, 2), ([1, 2, 3, 4], 0.5, 2), (range(1, 101), 0.99, 99), ([7], 0.99, 7), ([1, 2], 0, 1)],
)
def test_percentiles_are_samples(samples: list[float], share: float, value: float) -> None:
    assert percentile(samples, share) == value


def test_no_samples_hold_nowhere() -> None:
    nothing = Figure("latency", percentile([], 0.5), "s")
    assert short_of([nothing], RANGES) == [nothing]
    assert document([nothing], RANGES, {})["figures"][0]["value"] is None


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("latency", 0.02, True),
        ("latency", 0.021, False),
        ("throughput", 30, True),
        ("throughput", 29.9, False),
        ("throughput", math.nan, False),
        ("unjudged", -1, True),
    ],
)
def test_what_falls_short(name: str, value: float, holds: bool) -> None:
    assert (short_of([Figure(name, value, "")], RANGES) == []) is holds


def test_the_table_says_which_figure_falls_short() -> None:
    lines = table([Figure("latency", 0.5, "s", "10 samples"), Figure("other", 1, "s")], RANGES).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["SHORT", "latency", "0.5", "s", "<=", "0.02", "F01", "10", "samples"],
        ["other", "1", "s"],
    ]


def test_each_range_of_the_file_names_its_feature_and_has_a_bound() -> None:
    for name, wanted in read_ranges().items():
        assert wanted.feature[0] in "CF", name
        assert str(wanted), name
