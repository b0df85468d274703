"""What is kept of rollouts that have ended: one record for each, in the write of the status that ends it. Pure.

    recorded     with the record of the rollout that a move ends
    joined       with commits that became known since, by revision
    unserved     since when the applied revision has not been the one that runs

`sluice.planning.dora` counts the records.
"""

from datetime import datetime
from typing import Final

from sluice.api.canary_status import (
    CanaryPhase,
    CanaryStatus,
    FailedRevision,
    RolloutOutcome,
    RolloutRecord,
)
from sluice.api.commits import CommitRecord
from sluice.api.reasons import CanaryReason
from sluice.planning.canary_guards import Cause
from sluice.planning.canary_scene import CanaryScene, Moment

P = CanaryPhase
MAX_ROLLOUTS: Final = 50
"""Records that are kept. With all their fields they stay below 32 KiB."""

_HANDED_OVER: Final = (P.PROMOTING, P.RETURNING)
_ON_THE_WAY: Final = (
    P.HOLDING,
    P.PREPARING,
    P.PREVIEWING,
    P.STEPPING,
    P.APPROVING,
    P.SWITCHING,
    P.WATCHING,
    P.KEEPING,
)


def recorded(m: Moment, target: CanaryPhase, cause: Cause, after: CanaryStatus) -> CanaryStatus:
    """`after`, the status as the phase `target` begins, with the record of the rollout that this ends, if it ends one."""
    found = _ended(m, target, cause)
    if found is None:
        return after.model_copy(update={"requests_at": None}) if target is P.HOLDING else after
    outcome, reason = found
    status, revision = m.status, m.status.candidate_revision or ""
    again = _was_stable(status, revision)
    commit = None if again else _known(m.scene, status).get(revision)
    failure = _failure(status) if outcome in ("RolledBack", "Aborted") else None
    back = m.phase in (P.ROLLING_BACK, P.RESTARTING) and outcome != "Promoted" and status.requests_at is not None
    before = status.last_move.at if m.phase is P.RESTARTING and status.last_move is not None else m.now
    record = RolloutRecord(
        round=status.round,
        revision=revision,
        outcome=outcome,
        reason=reason,
        commit=commit.id if commit is not None else "",
        commit_time=commit.time if commit is not None else None,
        started_at=status.started_at,
        requests_at=status.requests_at,
        failed_at=failure.at if failure is not None else None,
        restored_at=_restored(m) if back and target is not P.LEAVING else None,
        ended_at=before if outcome == "Promoted" else m.now,
        again=True if again else None,
    )
    return after.model_copy(update={"rollouts": (*status.rollouts, record)[-MAX_ROLLOUTS:], "requests_at": None})


def with_first_requests(status: CanaryStatus, now: datetime) -> CanaryStatus:
    """The status with the time at which the candidate is first given requests. Copies are none."""
    given = status.phase in _ON_THE_WAY and (status.weight > 0 or status.matched)
    return status.model_copy(update={"requests_at": now}) if given and status.requests_at is None else status


def joined(scene: CanaryScene, status: CanaryStatus) -> CanaryStatus:
    """The status with the commits that became known after the end of a rollout.

    Of a revision that came again only the commit of its first coming is known, so it gets none."""
    known = _known(scene, status)
    rows = tuple(_with_commit(row, known.get(row.revision)) for row in status.rollouts)
    return status if rows == status.rollouts else status.model_copy(update={"rollouts": rows})


def unserved(status: CanaryStatus) -> datetime | None:
    """Since when the revision that is applied has not been the one that runs; None while it is, or nothing is known."""
    match status.phase:
        case P.WAITING | P.STABLE | P.LEAVING | P.GONE:
            return None
        case P.FAILED if status.last_move is not None and status.last_move.from_phase != P.ROLLING_BACK:
            return status.since  # a revision that had failed before was applied once more
        case _:
            return status.started_at or status.since


def _ended(m: Moment, target: CanaryPhase, cause: Cause) -> tuple[RolloutOutcome, str] | None:
    last, deleted = m.status.last_move, target is P.LEAVING
    match m.phase:
        case P.RETURNING if target is P.STABLE:
            if m.scene.target is not None and m.scene.target.revision != m.status.candidate_revision:
                return "Reverted", CanaryReason.REVERTED
            broken = last is not None and last.reason == CanaryReason.HOLD_BROKEN
            return "Promoted", CanaryReason.HOLD_BROKEN if broken else CanaryReason.PROMOTED
        case P.ROLLING_BACK if target is P.FAILED or deleted:
            failure = _failure(m.status)
            reason = failure.reason if failure is not None else CanaryReason.ROLLED_BACK
            return ("Aborted" if reason == CanaryReason.ABORTED else "RolledBack"), reason
        case P.RESTARTING if last is not None:
            if last.from_phase == P.FAILED:
                return None  # it had ended
            if last.from_phase in _HANDED_OVER:
                return "Promoted", last.reason
            return ("Reverted" if last.reason == CanaryReason.REVERTED else "Superseded"), last.reason
        case phase if deleted and phase in (*_ON_THE_WAY, *_HANDED_OVER):
            return ("Promoted" if phase in _HANDED_OVER else "Deleted"), cause.reason
        case _:
            return None


def _restored(m: Moment) -> datetime:
    """When the routes were told to send nothing to the candidate any more; without routes, when it was gone."""
    return m.since if m.routed else m.now


def _failure(status: CanaryStatus) -> FailedRevision | None:
    return next((row for row in status.failed if row.revision == status.candidate_revision), None)


def _was_stable(status: CanaryStatus, revision: str) -> bool:
    promoted = any(row.revision == revision and row.outcome == "Promoted" for row in status.rollouts)
    return promoted or any(row.revision == revision for row in status.past)


def _known(scene: CanaryScene, status: CanaryStatus) -> dict[str, CommitRecord]:
    own = (status.stable_commit, status.candidate_commit)
    return dict(scene.commits) | {row.revision: row for row in own if row is not None}


def _with_commit(row: RolloutRecord, commit: CommitRecord | None) -> RolloutRecord:
    news = (
        commit is not None and commit.id and (not row.commit or (row.commit == commit.id and row.commit_time is None))
    )
    if commit is None or row.again or not news:
        return row
    return row.model_copy(update={"commit": commit.id, "commit_time": commit.time})
