"""What a rollback leads to in Git: on record in the status before it is done, so that it is done once. Pure.

Which commit is taken back, and whether it still has to be, is decided on the branch as it is then (`write_back`). Here it is
decided that it is looked at at all, how often it is tried, and what is told.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar

from sluice.api.canary import WriteBack
from sluice.api.canary_status import CanaryPhase, CanaryStatus, ForwardRecord, GitRecord, WriteBackRecord
from sluice.api.reasons import CanaryReason
from sluice.planning.actions import Occurrence
from sluice.planning.canary_actions import TakeBack
from sluice.planning.canary_scene import CanaryScene, WriteBackResult
from sluice.planning.write_back import RolledBack

ATTEMPTS: Final = 16
"""How often it is tried when the repository cannot be reached, or is not there: for an hour or so, by `wait`."""
FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(minutes=5)
MAX_MESSAGE: Final = 300
RecordT = TypeVar("RecordT", bound=GitRecord)
_WRITES: Final = (CanaryPhase.ROLLING_BACK, CanaryPhase.FAILED)
"""Phases in which Git states a revision that has failed."""


class Reasons(NamedTuple):
    """What is told of work in Git, by how it ends."""

    pushed: CanaryReason
    not_needed: CanaryReason
    failed: CanaryReason


_REASONS: Final = Reasons(CanaryReason.WRITTEN_BACK, CanaryReason.WRITE_BACK_NOT_NEEDED, CanaryReason.WRITE_BACK_FAILED)


@dataclass(frozen=True)
class Writing:
    """Where the work in Git stands."""

    status: CanaryStatus
    actions: tuple[TakeBack, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()


def write_back(scene: CanaryScene, status: CanaryStatus) -> Writing:
    """The status with the record of what is done in Git, and what is to be done now."""
    record = _begun(scene, status)
    if record is None or record.state != "Pending":
        return Writing(status)
    record, action = _next(scene, status, record)
    changed = status.model_copy(update={"write_back": record})
    return Writing(
        changed, (action,) if action is not None else (), told(scene.canary.status.write_back, record, _REASONS)
    )


def _rule(scene: CanaryScene) -> WriteBack | None:
    rule = scene.canary.spec.write_back if scene.canary.spec is not None else None
    return rule if rule is not None and rule.on_rollback != "None" else None


def _begun(scene: CanaryScene, status: CanaryStatus) -> WriteBackRecord | None:
    """The record. One begins while a revision that a gate said no to is taken out: later, the failure is an old one."""
    record, revision = status.write_back, status.candidate_revision
    if status.phase is not CanaryPhase.ROLLING_BACK or _rule(scene) is None or revision is None:
        return record
    failure = next((row for row in status.failed if row.revision == revision), None)
    if failure is None or failure.reason != CanaryReason.GATE_FAILED:
        return record
    if record is not None and record.round == status.round:
        return record
    return WriteBackRecord(round=status.round, revision=revision)


def _next(scene: CanaryScene, status: CanaryStatus, record: WriteBackRecord) -> tuple[WriteBackRecord, TakeBack | None]:
    record, goes_on = heard(record, scene.write_back)
    if not goes_on:
        return record, None
    rule = _rule(scene)
    if rule is None:
        return noted(record, state="NotNeeded", message="the Canary does not ask for it any more"), None
    if record.round != status.round or status.phase not in _WRITES:
        return noted(record, state="NotNeeded", message=f"the Canary is {status.phase} by now"), None
    return _ordered(scene, status, record, rule)


def _ordered(
    scene: CanaryScene, status: CanaryStatus, record: WriteBackRecord, rule: WriteBack
) -> tuple[WriteBackRecord, TakeBack | None]:
    rows = {row.revision: row for row in (status.stable_commit, status.candidate_commit) if row is not None}
    commit, stable = rows.get(record.revision), rows.get(status.stable_revision or "")
    if commit is None:
        target = scene.target
        if target is not None and target.revision == record.revision and target.origin.known:
            return record, None  # it is being asked for
        message = "the target does not say which commit it comes from, by sluice.dev/commit or by Argo CD"
        return noted(record, state="Failed", message=message), None
    if not commit.id:
        return noted(record, state="Failed", message=f"the commit is not known: {commit.problem}"), None
    repository = rule.repository or commit.repository
    if not repository:
        return noted(record, state="Failed", message="the repository is not known: state writeBack.repository"), None
    failure = next((row for row in status.failed if row.revision == record.revision), None)
    wanted = RolledBack(
        canary=f"{scene.canary.namespace}/{scene.canary.name}",
        revision=record.revision,
        commit=commit.id,
        stable=(stable.id or None) if stable is not None else None,
        reason=failure.reason if failure is not None else CanaryReason.GATE_FAILED,
        message=failure.message if failure is not None else "",
    )
    action = TakeBack(
        round=record.round,
        attempt=record.attempt,
        repository=repository,
        branch=rule.branch,
        path=rule.path or commit.path or None,
        secret=rule.secret.name if rule.secret is not None else None,
        aside=rule.on_rollback == "RevertBranch",
        wanted=wanted,
    )
    return record, action


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
