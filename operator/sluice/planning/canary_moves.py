"""What the status of a canary is as a phase begins: what is kept of the phase before, and what starts afresh."""

from collections.abc import Callable
from typing import Any

from sluice.api.canary_status import CanaryPhase as P
from sluice.api.canary_status import CanaryStatus, FailedRevision, LastMove, PastRevision, RouteRecord
from sluice.planning.canary_evidence import JUDGED, Evidence, came_to, fresh, judged
from sluice.planning.canary_guards import Cause
from sluice.planning.canary_scene import NOTHING, Moment, plan_hash
from sluice.planning.canary_transitions import Transition

MAX_FAILED = 10
"""Failed revisions that are remembered."""
MAX_PAST = 10
"""Revisions that are remembered of those that were stable before."""
MAX_MESSAGE = 300


def enter(moment: Moment, row: Transition, cause: Cause, evidence: Evidence) -> CanaryStatus:
    """The status after the move."""
    status, now = moment.status, moment.now
    message = cause.message[:MAX_MESSAGE]
    move = LastMove(
        from_phase=moment.phase, to_phase=row.target, reason=cause.reason, message=message, by=cause.by, at=now
    )
    update: dict[str, Any] = {
        "phase": row.target,
        "since": now,
        "last_move": move,
        "reason": cause.reason,
        "message": message or None,
        "pending": None,
        "alerted_at": None,
        "no_evidence_since": None,
    }
    if row.target is P.ROLLING_BACK and evidence.gates:
        update |= {"gates": evidence.gates, "verdict": evidence.verdict}  # what it was judged by stays to be read
    if moment.phase in JUDGED:
        update["judged"] = judged(status.judged, evidence.gates, now)
    return status.model_copy(update=update | _EFFECTS.get(row.target, _none)(moment, cause))


def _none(_: Moment, __: Cause) -> dict[str, Any]:
    return {}


def _to_rest(moment: Moment, cause: Cause) -> dict[str, Any]:
    target = moment.scene.target
    update: dict[str, Any] = {
        "candidate_revision": None,
        "step": None,
        **NOTHING.as_asked(),
        "gates": (),
        "hooks": (),
        "routes": (),
        "verdict": came_to(moment.status),
        "in_full": None,
    }
    if moment.phase is not P.WAITING:
        update["finished_at"] = moment.now
    if target is not None and moment.phase in (P.WAITING, P.RETURNING):
        revision = target.running if moment.phase is P.WAITING and target.paused else target.revision
        failed = tuple(row for row in moment.status.failed if row.revision != revision)
        update |= {"stable_revision": revision, "failed": failed, "past": _past(moment, revision)}
    del cause
    return update


def _past(moment: Moment, revision: str | None) -> tuple[PastRevision, ...]:
    before = moment.status.stable_revision
    kept = tuple(row for row in moment.status.past if row.revision not in (revision, before))
    if before is None or before == revision:
        return kept
    return (*kept, PastRevision(revision=before, until=moment.now))[-MAX_PAST:]


def _begin(moment: Moment, _: Cause) -> dict[str, Any]:
    revision = moment.scene.target.revision if moment.scene.target is not None else moment.status.candidate_revision
    return {
        "candidate_revision": revision,
        "round": moment.status.round + 1,
        "plan": plan_hash(moment.spec) if moment.spec is not None else None,
        "step": None,
        **NOTHING.as_asked(),
        "stage": moment.status.stage + 1,
        "gates": (),
        "hooks": (),
        "routes": (),
        "verdict": None,
        "in_full": True if moment.trusted_before is not None else None,
        "started_at": moment.now,
        "finished_at": None,
        "failed": tuple(row for row in moment.status.failed if row.revision != revision),
    }


def _next_step(moment: Moment, _: Cause) -> dict[str, Any]:
    index = 0 if moment.status.step is None else moment.status.step + 1
    return _next_stage(moment, _) | {"step": index}


def _next_stage(moment: Moment, _: Cause) -> dict[str, Any]:
    return {"stage": moment.status.stage + 1, "gates": fresh(moment.status.gates), "verdict": None}


def _watch(moment: Moment, _: Cause) -> dict[str, Any]:
    return _next_stage(moment, _) | moment.top_share.as_asked()


def _fail(moment: Moment, cause: Cause) -> dict[str, Any]:
    status, revision = moment.status, moment.status.candidate_revision or ""
    record = FailedRevision(revision=revision, reason=cause.reason, message=cause.message[:MAX_MESSAGE], at=moment.now)
    others = tuple(row for row in status.failed if row.revision != revision)
    return {"failed": (*others, record)[-MAX_FAILED:]}


def _trust(moment: Moment, _: Cause) -> dict[str, Any]:
    """A new revision after the promotion was decided: what was promoted is what it is compared with."""
    promoted = moment.phase in (P.PROMOTING, P.RETURNING)
    if not promoted:
        return {}
    revision = moment.status.candidate_revision
    return {"stable_revision": revision, "past": _past(moment, revision)}


def _rest_failed(moment: Moment, _: Cause) -> dict[str, Any]:
    ended = {"finished_at": moment.now, "step": None, "in_full": None, "routes": ()}
    if moment.phase is P.ROLLING_BACK:
        return ended
    revision = moment.scene.target.revision if moment.scene.target is not None else None
    return ended | {"candidate_revision": revision}


def _prepare(moment: Moment, _: Cause) -> dict[str, Any]:
    """How the routes were is on record before the first of them is touched."""
    known = {(row.kind, row.name): row for row in moment.status.routes}
    for route in moment.scene.routes:
        if route.before is not None:
            known.setdefault(
                (route.kind, route.name), RouteRecord(name=route.name, kind=route.kind, before=route.before)
            )
    return {"routes": tuple(known.values())}


_EFFECTS: dict[P, Callable[[Moment, Cause], dict[str, Any]]] = {
    P.STABLE: _to_rest,
    P.HOLDING: _begin,
    P.PREPARING: _prepare,
    P.PREVIEWING: _next_stage,
    P.STEPPING: _next_step,
    P.WATCHING: _watch,
    P.ROLLING_BACK: _fail,
    P.RESTARTING: _trust,
    P.FAILED: _rest_failed,
}
