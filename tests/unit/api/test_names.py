"""Generated names: valid, short enough, the same each time, different for different things."""

import itertools
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api import names

START, END = datetime(2013, 1, 1, 6, tzinfo=UTC), datetime(2013, 1, 2, 6, tzinfo=UTC)
SUBDOMAIN = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", fullmatch=True)
STEP = st.from_regex(rf"[a-z0-9]([-a-z0-9]{{0,{names.MAX_STEP_NAME - 2}}}[a-z0-9])?", fullmatch=True)


def is_label(name: str) -> bool:
    return re.fullmatch(names.DNS_LABEL, name) is not None and len(name) <= names.MAX_LABEL


@given(run=SUBDOMAIN, step=STEP, attempt=st.integers(1, 999))
def test_a_pod_name_is_a_host_name_and_says_step_and_attempt(run: str, step: str, attempt: int) -> None:
    name = names.pod_name(run, "uid", step, attempt)
    assert is_label(name)
    assert f"-{step}-{attempt}-" in name


def test_the_pod_name_of_the_longest_step_keeps_room_for_the_run() -> None:
    name = names.pod_name("flights-daily-20130101t0600-abcdef", "uid", "s" * names.MAX_STEP_NAME, 104)
    assert len(name) == names.MAX_LABEL
    assert name.startswith("flights-dai-s")


def test_a_pod_name_does_not_change_between_releases() -> None:
    assert names.pod_name("flights-1", "uid-1", "extract", 1) == "flights-1-extract-1-a51eed"


def test_pods_of_different_attempts_have_different_names() -> None:
    runs = ["a", "a-b", "a" * 60, "a" * 60 + "b"]
    cases = itertools.product(runs, ["uid-1", "uid-2"], ["x", "b-x", "x-1"], [1, 2, 11])
    found = [names.pod_name(*case) for case in cases]
    assert len(set(found)) == len(found)


def test_the_longest_pipeline_name_gives_a_run_name_that_is_a_label() -> None:
    name = names.run_name("p" * names.MAX_PIPELINE_NAME, START, END, "revision")
    assert (len(name), is_label(name)) == (names.MAX_LABEL, True)


def test_a_run_name_says_when_its_interval_begins() -> None:
    assert names.run_name("flights", START, END, "r1").startswith("flights-20130101t0600-")


def test_the_zone_that_a_moment_is_told_in_does_not_change_the_run_name() -> None:
    kolkata = timezone(timedelta(hours=5, minutes=30))
    moved = names.run_name("flights", START.astimezone(kolkata), END.astimezone(kolkata), "r1")
    assert moved == names.run_name("flights", START, END, "r1")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("flights", START + timedelta(seconds=1), END, "r1"), id="another start"),
        pytest.param(("flights", START, END + timedelta(seconds=1), "r1"), id="another end"),
        pytest.param(("flights", START, END, "r2"), id="another revision"),
    ],
)
def test_another_run_has_another_name(other: tuple[str, datetime, datetime, str]) -> None:
    assert names.run_name(*other) != names.run_name("flights", START, END, "r1")


@given(canary=SUBDOMAIN, hook=STEP, attempt=st.integers(1, 21))
def test_the_name_of_a_hooks_job_is_a_host_name_and_says_the_attempt(canary: str, hook: str, attempt: int) -> None:
    name = names.hook_job_name(canary, hook, f"uid/1/BeforeStep-0/{hook}", attempt)
    assert is_label(name)
    assert re.search(rf"-{attempt}-[0-9a-f]{{10}}$", name)


def test_jobs_of_different_calls_have_different_names() -> None:
    keys = ["uid/1/BeforeRollout/c", "uid/11/BeforeRollout/c", "uid/1/BeforeStep-1/c", "uid-2/1/BeforeRollout/c"]
    found = {names.hook_job_name("a" * 63, "c", key, attempt) for key in keys for attempt in (1, 2, 12)}
    assert len(found) == len(keys) * 3


def test_the_name_of_a_hooks_job_does_not_change_between_releases() -> None:
    name = names.hook_job_name("pricing", "load-test", "uid-1/1/BeforeRollout/load-test", 1)
    assert name == "pricing-load-test-1-86aa7fbe21"


def test_the_borders_between_the_parts_of_a_hash_count() -> None:
    assert names.short_hash("ab", "c") != names.short_hash("a", "bc")
    assert names.short_hash("ab", "") != names.short_hash("ab")


@given(st.integers(1, 64))
def test_a_hash_has_the_length_asked_for(length: int) -> None:
    assert re.fullmatch(f"[0-9a-f]{{{length}}}", names.short_hash("a", length=length))
