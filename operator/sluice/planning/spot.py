"""Cheaper nodes first, others after: where an attempt of a step goes, and when it is moved on.

The first attempts carry the placement of `spot`. A pod that finds no such node in time is given up, and the next attempt
follows at once on other nodes; that is no failure of the step, and uses up none of its retries.
"""

from datetime import timedelta

from sluice.api.durations import parse_duration
from sluice.api.pipeline import Step
from sluice.api.reasons import Reason

ATTEMPTS = 1
WAIT = timedelta(minutes=2)

_NO_PLACE = frozenset({Reason.UNSCHEDULABLE, Reason.PENDING_TIMED_OUT})


def on_spot(step: Step, attempt: int) -> bool:
    """Whether `attempt` (from 1) is made on spot nodes."""
    return step.spot is not None and attempt <= (step.spot.attempts or ATTEMPTS)


def spot_wait(step: Step) -> timedelta:
    """How long an attempt waits for a spot node."""
    return parse_duration(step.spot.wait) if step.spot is not None and step.spot.wait is not None else WAIT


def moves_on(step: Step, attempt: int, reason: Reason) -> bool:
    """Whether a failure only says that there was no spot node: the next attempt follows at once."""
    return on_spot(step, attempt) and reason in _NO_PLACE
