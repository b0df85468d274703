"""Work in Git for a canary, whatever it is: how often it is tried, and what is told of it. Pure."""

from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar

from sluice.api.canary_status import ForwardRecord, GitRecord, WriteBackRecord
from sluice.api.reasons import CanaryReason
from sluice.planning.actions import Occurrence
from sluice.planning.canary_scene import WriteBackResult

ATTEMPTS: Final = 16
"""How often it is tried when the repository cannot be reached, or is not there: for an hour or so, by `wait`."""
FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(minutes=5)
MAX_MESSAGE: Final = 300
RecordT = TypeVar("RecordT", bound=GitRecord)


class Reasons(NamedTuple):
    """What is told of work in Git, by how it ends."""

    pushed: CanaryReason
    not_needed: CanaryReason
    failed: CanaryReason


def heard(record: RecordT, result: WriteBackResult | None) -> tuple[RecordT, bool]:
    """The record with what came of its newest attempt, and whether there is an attempt to be begun, or begun again."""
    if result is None or (result.round, result.attempt) != (record.round, record.attempt):
        return record, True
    match result.state:
        case "Running":
            return record, False
        case "Again" if record.attempt < ATTEMPTS:
            return noted(record, attempt=record.attempt + 1, message=result.message), True
        case "Again":
            return noted(record, state="Failed", message=result.message), False
        case _:
            return noted(record, state=result.state, commit=result.commit, message=result.message), False


def noted(record: RecordT, **update: Any) -> RecordT:
    """The record with this, its message no longer than may be."""
    message = str(update.pop("message", record.message))[:MAX_MESSAGE]
    return record.model_copy(update={**update, "message": message})


def wait(attempt: int) -> timedelta:
    """How long the attempt of this number waits before it begins: nothing, 5 s, four times as much each time up to 5 minutes."""
    if attempt <= 1:
        return timedelta(0)
    return min(FIRST_WAIT * 4.0 ** min(attempt - 2, 8), LONGEST_WAIT)


def told(before: GitRecord | None, record: WriteBackRecord | ForwardRecord, reasons: Reasons) -> tuple[Occurrence, ...]:
    """The Event of how the work ended, and one when the first attempt comes to nothing: a person may be able to help."""
    match record.state:
        case "Pushed":
            return (Occurrence("Normal", reasons.pushed, record.message),)
        case "NotNeeded":
            return (Occurrence("Normal", reasons.not_needed, record.message),)
        case "Failed":
            return (Occurrence("Warning", reasons.failed, record.message),)
        case "Pending" if record.attempt == 2 and (
            before is None or before.attempt < 2 or before.round != record.round
        ):
            return (Occurrence("Warning", reasons.failed, f"tried again for an hour: {record.message}"),)
        case _:
            return ()
