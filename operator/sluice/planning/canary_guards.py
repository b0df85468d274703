"""Guards of the transitions of a canary that do not depend on how well it goes: each gives the cause of a move, or None.

A guard asks one question of what is. Guards of progress are in `sluice.planning.canary_progress`; which guard leads where
is in `sluice.planning.canary_transitions`.
"""

from dataclasses import dataclass

from sluice.api.canary_status import CanaryPhase
from sluice.api.reasons import CanaryReason
from sluice.planning.canary_evidence import Evidence
from sluice.planning.canary_hooks import call
from sluice.planning.canary_scene import (
    Moment,
    plan_hash,
)
from sluice.planning.canary_traffic import out, reached

P = CanaryPhase


@dataclass(frozen=True)
class Cause:
    """Why a canary moves on."""

    reason: CanaryReason
    message: str
    by: str = ""


# -- what happens around the canary


def canary_deleted(m: Moment, _: Evidence) -> Cause | None:
    """Somebody deleted the Canary."""
    return Cause(CanaryReason.DELETED, "the Canary is deleted") if m.scene.canary.deleting else None


def target_found(m: Moment, _: Evidence) -> Cause | None:
    """The target serves one revision, which is the stable one from now on."""
    target = m.scene.target
    if target is None or m.spec is None:
        return None
    kept = target.held and target.paused and target.running is not None and target.serving
    return Cause(CanaryReason.TARGET_ADOPTED, f"{target.name} is ready") if target.rolled_out or kept else None


def target_missing(m: Moment, _: Evidence) -> Cause | None:
    """Nothing is there to be let in."""
    return Cause(CanaryReason.TARGET_NOT_FOUND, "there is no such Deployment") if m.scene.target is None else None


def _changed_at_rest(m: Moment) -> bool:
    target = m.scene.target
    if target is None or m.spec is None or target.revision == m.status.stable_revision:
        return False
    return target.held or not target.paused


def new_revision(m: Moment, _: Evidence) -> Cause | None:
    """The target states a revision that is not the stable one."""
    target = m.scene.target
    if target is None or not _changed_at_rest(m) or m.remembered is not None:
        return None
    if (record := m.trusted_before) is not None:
        return Cause(
            CanaryReason.NEW_REVISION,
            f"revision {target.revision}, which was stable until {record.until:%Y-%m-%d %H:%M:%S}Z: no steps, no gates",
        )
    return Cause(CanaryReason.NEW_REVISION, f"revision {target.revision}")


def failed_before(m: Moment, _: Evidence) -> Cause | None:
    """The target states a revision that failed, and nobody asked for another try."""
    record = m.remembered
    if record is None or not _changed_at_rest(m):
        return None
    return Cause(CanaryReason.FAILED_BEFORE, f"{record.reason}: {record.message}")


def hold_broken(m: Moment, _: Evidence) -> Cause | None:
    """The new revision runs everywhere although it was held: the hold was taken off by hand, or came too late."""
    target = m.scene.target
    if target is None or not target.rolled_out or target.revision != m.status.candidate_revision:
        return None
    return Cause(CanaryReason.HOLD_BROKEN, f"{target.name} was rolled out past the hold")


def revision_changed(m: Moment, _: Evidence) -> Cause | None:
    """The target states another revision than the candidate's."""
    target = m.scene.target
    if (
        target is None
        or target.revision == m.status.candidate_revision
        or target.revision in m.trusted - {m.status.stable_revision}
    ):
        return None
    if target.revision == m.status.stable_revision:
        if m.phase in (P.PROMOTING, P.RETURNING):
            return None  # back to what was there before, which needs no analysis: it rolls out in its place
        return Cause(CanaryReason.REVERTED, f"back to revision {target.revision}")
    return Cause(CanaryReason.REVISION_CHANGED, f"revision {target.revision}")


def plan_changed(m: Moment, _: Evidence) -> Cause | None:
    """The steps or routes are others than those that the rollout began with."""
    if m.spec is None or plan_hash(m.spec) == m.status.plan:
        return None
    return Cause(CanaryReason.PLAN_CHANGED, "the strategy, routing or candidate of the Canary was changed")


# -- what people ask for


def asked(m: Moment, *actions: str) -> str | None:
    """Who asked for one of `actions`; None when nobody did."""
    pending = m.status.pending
    return pending.by if pending is not None and pending.action in actions else None


def abort_asked(m: Moment, _: Evidence) -> Cause | None:
    """Somebody asked for the end of the rollout."""
    by = asked(m, "abort")
    return Cause(CanaryReason.ABORTED, "aborted", by) if by is not None else None


def promotion_asked(m: Moment, _: Evidence) -> Cause | None:
    """Somebody asked for the promotion, or approved it. What is still on its way to the candidate gets there first."""
    by = asked(m, "promote", "promoteInFull")
    if m.phase in (P.WATCHING, P.KEEPING) and not reached(m):
        return None
    reason = CanaryReason.APPROVED if m.phase is P.APPROVING else CanaryReason.PROMOTED_BY_REQUEST
    return Cause(reason, "promotion was asked for", by) if by is not None and m.spec is not None else None


def retry_asked(m: Moment, _: Evidence) -> Cause | None:
    """Somebody asked for another try of a failed revision."""
    by = asked(m, "retry")
    return Cause(CanaryReason.RETRIED, "another try was asked for", by) if by is not None else None


# -- the way out


def target_rolled_out(m: Moment, _: Evidence) -> Cause | None:
    """The target runs the promoted revision (or went back to the stable one) with all its pods."""
    target = m.scene.target
    if target is None or not target.rolled_out or target.revision not in m.trusted:
        return None
    return Cause(CanaryReason.ROLLED_OUT, f"{target.name} is ready with revision {target.revision}")


def candidate_lost_and_target_serves(m: Moment, _: Evidence) -> Cause | None:
    """The candidate has no pod left while the target is rolled; the target can take the requests."""
    target = m.scene.target
    if target is None or m.candidate_alive or not target.serving:
        return None
    return Cause(CanaryReason.CANDIDATE_LOST, "no pod is available; the target takes the requests")


def returned(m: Moment, evidence: Evidence) -> Cause | None:
    """The target has the requests again, and the candidate is gone."""
    if target_rolled_out(m, evidence) is None or not out(m) or not call(m, "AfterPromotion").done:
        return None
    return Cause(CanaryReason.PROMOTED, f"revision {m.scene.target.revision if m.scene.target else ''}")


def candidate_out(m: Moment, _: Evidence) -> Cause | None:
    """The stable revision has all requests, and the candidate is gone."""
    if m.scene.target is None or not out(m) or not call(m, "OnRollback").done:
        return None
    record = next((row for row in m.status.failed if row.revision == m.status.candidate_revision), None)
    if record is None:
        return Cause(CanaryReason.ROLLED_BACK, "")
    return Cause(CanaryReason(record.reason), record.message)


def out_and_reverted(m: Moment, _: Evidence) -> Cause | None:
    """The candidate is gone, and the target states the stable revision."""
    target = m.scene.target
    if target is None or not out(m) or target.revision != m.status.stable_revision:
        return None
    return Cause(CanaryReason.REVERTED, f"back to revision {target.revision}")


def out_and_failed_before(m: Moment, evidence: Evidence) -> Cause | None:
    """The candidate is gone, and the target states a revision that failed."""
    return failed_before(m, evidence) if out(m) else None


def out_and_new(m: Moment, evidence: Evidence) -> Cause | None:
    """The candidate is gone, and the target states a revision that has not been tried."""
    return new_revision(m, evidence) if out(m) else None


def given_back(m: Moment, _: Evidence) -> Cause | None:
    """The candidate is gone, and the target is its user's alone."""
    target = m.scene.target
    if not out(m) or (target is not None and target.ours):
        return None
    return Cause(CanaryReason.DELETED, "everything is given back")
