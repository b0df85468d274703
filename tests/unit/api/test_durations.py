"""Durations: what is read, what is refused, how lengths are told to people."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.durations import format_duration, parse_duration
from tests.builders import NOW


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("1h30m", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("1.5h", timedelta(minutes=90)),
        ("0s", timedelta()),
        ("90m", timedelta(hours=1, minutes=30)),
        ("1m1m", timedelta(minutes=2)),
        ("1h1m1s1ms", timedelta(hours=1, minutes=1, seconds=1, milliseconds=1)),
    ],
)
def test_a_duration_is_read(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "5", "s", "5 m", "-5m", "+5m", "1d", "5M", ".5s", "5.s", "1h-1m", "5m\n", "٣s"])
def test_what_is_no_duration_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == f'must be a duration such as 30s, 15m or 1h30m, not "{text}"'


@pytest.mark.parametrize("text", ["9" * 31 + "h", "9" * 400 + "h", "99999999h"])
def test_a_length_beyond_all_measure_can_still_be_added_to_a_moment(text: str) -> None:
    assert parse_duration(text) == timedelta(days=36525)
    assert NOW + parse_duration(text) > NOW


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0ms"),
        (0, "0ms"),
        (0.85, "850ms"),
        (0.9994, "999ms"),
        (0.9996, "1.0s"),
        (4.2, "4.2s"),
        (9.94, "9.9s"),
        (9.97, "10s"),
        (10, "10s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (60, "1m"),
        (725, "12m5s"),
        (3599, "59m59s"),
        (3600, "1h"),
        (12_000, "3h20m"),
        (86_399, "23h59m"),
        (86_400, "1d"),
        (187_200, "2d4h"),
    ],
)
def test_a_length_is_told_in_two_units_at_the_most(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.integers(0, 3600 * 24).map(lambda count: timedelta(seconds=count)))
def test_what_is_told_of_less_than_a_day_can_be_read_again(length: timedelta) -> None:
    told = parse_duration(format_duration(length).replace("1d", "24h"))
    assert timedelta() <= length - told < timedelta(minutes=1)
