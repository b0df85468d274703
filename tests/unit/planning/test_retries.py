"""Retries: growth, cap, jitter, the two budgets."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.pipeline import Backoff, Retry
from sluice.api.reasons import Reason
from sluice.planning.attempts import INFRASTRUCTURE, USER
from sluice.planning.retries import INFRASTRUCTURE_RETRIES, Used, backoff_delay, retry_delay

EXACT = Backoff(duration="10s", factor=3, cap="2m", jitter=0)


def test_the_waiting_time_grows_by_its_factor_up_to_its_cap() -> None:
    assert [backoff_delay(EXACT, retry, "s").total_seconds() for retry in range(1, 6)] == [10, 30, 90, 120, 120]


def test_the_default_doubles_up_to_five_minutes() -> None:
    delays = [backoff_delay(Backoff(jitter=0), retry, "s").total_seconds() for retry in range(1, 8)]
    assert delays == [10, 20, 40, 80, 160, 300, 300]


def test_the_hundredth_retry_does_not_overflow() -> None:
    assert backoff_delay(Backoff(factor=100, jitter=0), 100, "s") == timedelta(minutes=5)
    assert backoff_delay(Backoff(duration="9" * 31 + "h", cap="9" * 31 + "h"), 100, "s") > timedelta(days=365)


@given(retry=st.integers(1, 20), seed=st.text(max_size=8), jitter=st.floats(0, 1))
def test_jitter_stays_within_its_share_and_is_always_the_same(retry: int, seed: str, jitter: float) -> None:
    backoff = EXACT.model_copy(update={"jitter": jitter})
    plain = backoff_delay(EXACT, retry, seed).total_seconds()
    delay = backoff_delay(backoff, retry, seed).total_seconds()
    assert abs(delay - plain) <= plain * jitter + 1e-5
    assert backoff_delay(backoff, retry, seed).total_seconds() == delay


def test_jitter_differs_from_step_to_step() -> None:
    delays = {backoff_delay(Backoff(), 1, f"run/{number}") for number in range(50)}
    assert len(delays) > 40
    assert max(delays) - min(delays) > timedelta(seconds=1)


@pytest.mark.parametrize("reason", sorted(USER))
def test_failures_of_the_step_use_its_own_retries(reason: Reason) -> None:
    retry = Retry(limit=2, backoff=EXACT)
    assert retry_delay(reason, retry, Used(0, 0), "s") == timedelta(seconds=10)
    assert retry_delay(reason, retry, Used(1, 3), "s") == timedelta(seconds=30)
    assert retry_delay(reason, retry, Used(2, 0), "s") is None
    assert retry_delay(reason, None, Used(0, 0), "s") is None


@pytest.mark.parametrize("reason", sorted(INFRASTRUCTURE))
def test_failures_of_the_cluster_have_a_budget_of_their_own(reason: Reason) -> None:
    for used in range(INFRASTRUCTURE_RETRIES):
        delay = retry_delay(reason, None, Used(0, used), "s")
        assert delay is not None
        assert timedelta(seconds=4.5) * 2**used <= delay <= timedelta(seconds=5.5) * 2**used
    assert retry_delay(reason, None, Used(0, INFRASTRUCTURE_RETRIES), "s") is None


def test_when_the_budget_for_the_cluster_is_spent_the_steps_own_retries_follow() -> None:
    retry = Retry(limit=1, backoff=EXACT)
    assert retry_delay(Reason.EVICTED, retry, Used(0, 3), "s") == timedelta(seconds=10)
    assert retry_delay(Reason.EVICTED, retry, Used(1, 3), "s") is None


@pytest.mark.parametrize(
    "reason",
    [
        Reason.OUTPUT_INVALID,
        Reason.OUTPUT_MISSING,
        Reason.OUTPUT_TOO_LARGE,
        Reason.IMAGE_PULL_FAILED,
        Reason.UNSCHEDULABLE,
        Reason.PENDING_TIMED_OUT,
        Reason.CONTAINER_CONFIG_ERROR,
        Reason.POD_REJECTED,
        Reason.NAME_TAKEN,
    ],
)
def test_what_would_fail_again_in_the_same_way_is_not_retried(reason: Reason) -> None:
    assert retry_delay(reason, Retry(limit=5), Used(0, 0), "s") is None
