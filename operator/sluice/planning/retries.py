"""Whether a failed attempt is followed by another, and when. Waiting times are reproducible: the jitter comes from a hash."""

from dataclasses import dataclass
from datetime import timedelta

from sluice.api.durations import parse_duration
from sluice.api.names import short_hash
from sluice.api.pipeline import Backoff, Retry
from sluice.api.reasons import Reason
from sluice.planning.attempts import INFRASTRUCTURE, USER

INFRASTRUCTURE_RETRIES = 3
"""Retries that a step has for failures of the cluster, besides its own."""
INFRASTRUCTURE_BACKOFF = Backoff(duration="5s", cap="1m")

_DEFAULT_FACTOR = 2.0
_DEFAULT_CAP = timedelta(minutes=5)
_DEFAULT_JITTER = 0.1


@dataclass(frozen=True)
class Used:
    """Retries that a step has used up."""

    user: int
    infrastructure: int


def backoff_delay(backoff: Backoff, retry: int, seed: str) -> timedelta:
    """Waiting time before `retry` (from 1): duration x factor^(retry - 1), at most cap, times 1 +- jitter.

    `seed` fixes the jitter; the same attempt always waits equally long, whoever asks.
    """
    first = parse_duration(backoff.duration).total_seconds()
    factor = _DEFAULT_FACTOR if backoff.factor is None else backoff.factor
    cap = _DEFAULT_CAP if backoff.cap is None else parse_duration(backoff.cap)
    jitter = _DEFAULT_JITTER if backoff.jitter is None else backoff.jitter
    # 1e6 bounds the power before it overflows; every cap lies far below.
    delay = min(first * min(factor ** (retry - 1), 1e6), cap.total_seconds())
    share = int(short_hash(seed, str(retry), length=8), 16) / 0xFFFFFFFF
    return timedelta(seconds=delay * (1 + jitter * (2 * share - 1)))


def retry_delay(reason: Reason, retry: Retry | None, used: Used, seed: str) -> timedelta | None:
    """How long to wait before the next attempt after a failure for `reason`; None when there is none."""
    if reason in INFRASTRUCTURE and used.infrastructure < INFRASTRUCTURE_RETRIES:
        return backoff_delay(INFRASTRUCTURE_BACKOFF, used.infrastructure + 1, seed)
    if reason in USER | INFRASTRUCTURE and retry is not None and used.user < retry.limit:
        return backoff_delay(retry.backoff or Backoff(), used.user + 1, seed)
    return None
