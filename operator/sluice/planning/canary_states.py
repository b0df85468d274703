"""What a canary does while it stays in a phase: one function for each, from what is to what has to be done now."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.api.canary_status import CanaryPhase, CanaryStatus
from sluice.api.durations import format_duration
from sluice.api.reasons import CanaryReason
from sluice.planning.canary_actions import (
    AdoptTarget,
    CanaryAction,
    DeleteService,
    DisownTarget,
    HoldTarget,
    LetGo,
    ReleaseTarget,
)
from sluice.planning.canary_evidence import Evidence
from sluice.planning.canary_hooks import call
from sluice.planning.canary_progress import blocked, first_weight, in_words, keep_length, watch_length
from sluice.planning.canary_scene import (
    DEFAULT_HOLD,
    DEFAULT_PROGRESS,
    DEFAULT_ROLLBACK,
    NOTHING,
    Moment,
    Share,
    length,
)
from sluice.planning.canary_traffic import Traffic, any_share, grow_target, move, out, scale, withdraw


@dataclass(frozen=True)
class Doing:
    """What is done in a phase, and what people are told."""

    status: CanaryStatus
    actions: tuple[CanaryAction, ...] = ()
    reason: CanaryReason | None = None
    """None: what led into the phase is still what is to be said."""
    message: str = ""
    wake_at: datetime | None = None
    overdue_at: datetime | None = None
    """When the phase has taken too long, and an Event says so."""
    overdue: CanaryReason | None = None


State = Callable[[Moment, Evidence], Doing]


def _soonest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def keep_held(m: Moment) -> tuple[CanaryAction, ...]:
    """The target is known as ours, and stays on its old pods: put right when admission missed it, or somebody resumed it."""
    target = m.scene.target
    if target is None or target.paused or target.revision in m.trusted:
        return _adopt(m)
    return (*_adopt(m), HoldTarget(target.name, target.uid, target.resource_version))


def _able_to_take_back(m: Moment) -> tuple[CanaryAction, ...]:
    """The target stays on its old pods, and is large enough to take the requests back."""
    return keep_held(m) or grow_target(m)


def _sized(m: Moment) -> tuple[CanaryAction, ...]:
    """The candidate grows with a target that is made larger meanwhile."""
    return scale(m, m.status.weight).actions if m.routed else ()


def _release(m: Moment) -> tuple[CanaryAction, ...]:
    """The target may go on to the revision that it states, as that one is trusted."""
    target = m.scene.target
    if target is None or not target.paused or not target.held or target.revision not in m.trusted:
        return ()
    return (ReleaseTarget(target.name, target.uid, target.resource_version, target.revision),)


def _adopt(m: Moment) -> tuple[CanaryAction, ...]:
    target = m.scene.target
    if target is None or target.adopted or target.taken:
        return ()
    return (AdoptTarget(target.name, target.uid),)


def _at(m: Moment, share: Share) -> CanaryStatus:
    """The status with `share` asked for; the clock of the phase starts anew with it."""
    return m.status if m.share == share else _asking(m, m.status, share)


def _asking(m: Moment, status: CanaryStatus, share: Share) -> CanaryStatus:
    return status.model_copy(update=share.as_asked() | {"since": m.now})


def _withdrawing(m: Moment) -> tuple[CanaryStatus, Traffic]:
    """Take the candidate out; that it shall have no requests is on record before the routes are told."""
    traffic = withdraw(m)
    asked = any_share(m) and bool(traffic.actions)
    nothing = not any_share(m)
    return (_at(m, NOTHING) if asked or nothing else m.status), traffic


# -- at rest ----------------------------------------------------------------------------------------------------------


def waiting(m: Moment, _: Evidence) -> Doing:
    """There is nothing that could be let in."""
    target = m.scene.target
    if m.spec is None:
        return Doing(m.status, (), CanaryReason.INVALID_SPEC, m.scene.canary.problem)
    if target is None:
        name = m.spec.target.name
        return Doing(m.status, (), CanaryReason.TARGET_NOT_FOUND, f'there is no Deployment "{name}"')
    message = f"{target.name} has {target.available} of {target.replicas} pods ready"
    return Doing(m.status, _adopt(m), CanaryReason.TARGET_NOT_READY, message)


def stable(m: Moment, _: Evidence) -> Doing:
    """One revision, no candidate. What is left of one is put right."""
    if m.spec is None:
        return Doing(m.status, (), CanaryReason.INVALID_SPEC, m.scene.canary.problem)
    status, traffic = _withdrawing(m)
    released = _release(m) or grow_target(m)
    return Doing(status, (*_adopt(m), *released, *traffic.actions), wake_at=traffic.wake_at)


def failed(m: Moment, _: Evidence) -> Doing:
    """The revision failed. The old pods serve, and the target is held, until the spec changes."""
    status, traffic = _withdrawing(m)
    return Doing(status, (*_able_to_take_back(m), *traffic.actions), wake_at=traffic.wake_at)


# -- on the way up ----------------------------------------------------------------------------------------------------


def holding(m: Moment, _: Evidence) -> Doing:
    """A new revision is held back until it may start."""
    problem = blocked(m)
    if problem is not None:
        status, traffic = _withdrawing(m)
        return Doing(
            status, (*_able_to_take_back(m), *traffic.actions), problem.reason, problem.message, traffic.wake_at
        )
    if m.status.paused is not None:
        return Doing(m.status, _adopt(m), CanaryReason.PAUSED, "paused before it starts")
    called = call(m, "BeforeRollout")
    status = m.status.model_copy(update={"hooks": called.records})
    return Doing(status, (*_adopt(m), *called.actions), CanaryReason.HOOK_RUNNING, "hooks before the rollout")


def preparing(m: Moment, _: Evidence) -> Doing:
    """The candidate is made, without requests."""
    traffic = scale(m, first_weight(m))
    return Doing(
        m.status,
        (*keep_held(m), *traffic.actions),
        CanaryReason.CANDIDATE_STARTING,
        m.scene.foreign or m.scene.unnamed or "the candidate's pods start",
        wake_at=m.since + _progress(m),
    )


def _progress(m: Moment) -> timedelta:
    return length(m.spec.progress_deadline if m.spec is not None else None, DEFAULT_PROGRESS)


def previewing(m: Moment, evidence: Evidence) -> Doing:
    """The preview route leads to the candidate, and the checks look at it."""
    traffic = move(m, NOTHING)
    actions = (*keep_held(m), *_sized(m), *traffic.actions, *evidence.looks)
    return Doing(m.status, actions, CanaryReason.ANALYSING, "checks before the switch", evidence.wake_at)


def stepping(m: Moment, evidence: Evidence) -> Doing:
    """The weight of the step, its hold, its gates."""
    step = m.step
    if step is None:
        return Doing(m.status)
    words = f"step {(m.status.step or 0) + 1}/{len(m.steps)} at {in_words(m.step_share)}"
    if m.share == m.step_share:
        traffic = move(m, m.step_share)
        actions = (*keep_held(m), *_sized(m), *traffic.actions, *evidence.looks)
        hold = m.since + length(step.hold, DEFAULT_HOLD)
        wake = _soonest(evidence.wake_at, hold if hold > m.now else None)
        return Doing(m.status, actions, CanaryReason.ANALYSING, words, wake)
    return _rising(m, "BeforeStep", m.step_share, words)


def _rising(m: Moment, point: str, share: Share, words: str) -> Doing:
    """Towards a share: first the hooks, then the pods, then the record, and last the routes."""
    if m.status.paused is not None:
        back = move(m, m.share)
        return Doing(m.status, (*keep_held(m), *back.actions), CanaryReason.PAUSED, f"paused before {words}")
    called = call(m, "BeforeStep" if point == "BeforeStep" else "BeforePromotion")
    status = m.status.model_copy(update={"hooks": called.records})
    current = move(m, m.share)
    if not called.done:
        actions = (*keep_held(m), *current.actions, *called.actions)
        return Doing(status, actions, CanaryReason.HOOK_RUNNING, f"hooks before {words}")
    pods = scale(m, share.weight)
    if m.routed and not m.up(share.weight):
        actions = (*keep_held(m), *current.actions, *pods.actions)
        return Doing(status, actions, CanaryReason.CANDIDATE_STARTING, f"pods for {words}", m.since + _progress(m))
    raised = _asking(m, status, share)
    traffic = move(Moment(m.scene, raised), share)
    grown = pods.actions if m.routed else ()
    return Doing(raised, (*keep_held(m), *grown, *traffic.actions), CanaryReason.ANALYSING, words, m.now)


def approving(m: Moment, evidence: Evidence) -> Doing:
    """All has passed; a person has to let it in. The analysis goes on."""
    traffic = move(m, m.share)
    actions = (*keep_held(m), *_sized(m), *traffic.actions, *evidence.looks)
    return Doing(m.status, actions, CanaryReason.AWAITING_APPROVAL, "waits for promote", evidence.wake_at)


def switching(m: Moment, _: Evidence) -> Doing:
    """All requests go over to the candidate."""
    if m.spec is None:
        return Doing(m.status)
    top = m.top_share
    words = f"the switch to {top.weight}%"
    if m.share != top:
        return _rising(m, "BeforePromotion", top, words)
    called = call(m, "BeforePromotion")  # the last step may have had the weight of the switch
    traffic = move(m, top)
    status = m.status.model_copy(update={"hooks": called.records})
    return Doing(status, (*keep_held(m), *_sized(m), *traffic.actions, *called.actions), CanaryReason.ANALYSING, words)


def watching(m: Moment, evidence: Evidence) -> Doing:
    """The candidate has the requests, the old pods are warm, the gates go on."""
    return _kept(m, evidence, watch_length(m), "watch after the switch")


def keeping(m: Moment, evidence: Evidence) -> Doing:
    """The watch has passed; the old version stays warm for a while."""
    return _kept(m, evidence, keep_length(m), "the old version is kept")


def _kept(m: Moment, evidence: Evidence, wanted: timedelta, words: str) -> Doing:
    traffic = move(m, m.share)
    end = m.since + wanted
    wake = _soonest(evidence.wake_at, end if end > m.now else None)
    actions = (*keep_held(m), *_sized(m), *traffic.actions, *evidence.looks)
    return Doing(m.status, actions, CanaryReason.ANALYSING, f"{words}, {format_duration(wanted)}", wake)


# -- over to the target -----------------------------------------------------------------------------------------------


def promoting(m: Moment, _: Evidence) -> Doing:
    """The target is rolled to the new revision, while the candidate serves."""
    traffic = move(m, m.share) if m.spec is not None else Traffic()
    late = m.since + _progress(m)
    return Doing(
        m.status,
        (*(_release(m) or grow_target(m)), *traffic.actions),
        CanaryReason.PROMOTING,
        "the target is rolled to the new revision",
        wake_at=late,
        overdue_at=late,
        overdue=CanaryReason.PROMOTION_SLOW,
    )


def returning(m: Moment, _: Evidence) -> Doing:
    """The target is ready: it gets the requests back, then the candidate goes."""
    status, traffic = _withdrawing(m)
    called = call(m, "AfterPromotion") if out(m) else None
    if called is not None:
        status = status.model_copy(update={"hooks": called.records})
    actions = (*(_release(m) or grow_target(m)), *traffic.actions, *(called.actions if called is not None else ()))
    return Doing(status, actions, CanaryReason.ROLLED_OUT, "back to the target", traffic.wake_at)


# -- on the way down --------------------------------------------------------------------------------------------------


def rolling_back(m: Moment, _: Evidence) -> Doing:
    """The requests go back at once, then the candidate goes."""
    status, traffic = _withdrawing(m)
    called = call(m, "OnRollback") if not any_share(m) else None
    if called is not None:
        status = status.model_copy(update={"hooks": called.records})
    limit = length(
        m.spec.rollback.deadline if m.spec is not None and m.spec.rollback is not None else None, DEFAULT_ROLLBACK
    )
    late = m.since + limit if any_share(m) else None
    return Doing(
        status,
        (*traffic.actions, *_able_to_take_back(m), *(called.actions if called is not None else ())),
        wake_at=_soonest(traffic.wake_at, late if late is not None and late > m.now else None),
        overdue_at=late,
        overdue=CanaryReason.ROLLBACK_SLOW,
    )


def restarting(m: Moment, _: Evidence) -> Doing:
    """Another revision: the requests go back, the candidate goes, and it begins anew."""
    status, traffic = _withdrawing(m)
    return Doing(status, (*_able_to_take_back(m), *traffic.actions), wake_at=traffic.wake_at)


def leaving(m: Moment, _: Evidence) -> Doing:
    """The Canary is deleted: the candidate goes as on any other way out, then the target is its user's alone."""
    status, traffic = _withdrawing(m)
    target = m.scene.target
    last = grow_target(m)
    if out(m) and target is not None and target.ours:
        last = (DisownTarget(target.name, target.uid, target.resource_version),)
    return Doing(status, (*traffic.actions, *last), CanaryReason.DELETED, traffic.waits, traffic.wake_at)


LAST = (DeleteService(), LetGo())
"""What is done when nothing is left to undo."""


def gone(m: Moment, _: Evidence) -> Doing:
    """Nothing is left to undo."""
    return Doing(m.status, LAST)


STATES: Mapping[CanaryPhase, State] = {
    CanaryPhase.WAITING: waiting,
    CanaryPhase.STABLE: stable,
    CanaryPhase.HOLDING: holding,
    CanaryPhase.PREPARING: preparing,
    CanaryPhase.PREVIEWING: previewing,
    CanaryPhase.STEPPING: stepping,
    CanaryPhase.APPROVING: approving,
    CanaryPhase.SWITCHING: switching,
    CanaryPhase.WATCHING: watching,
    CanaryPhase.KEEPING: keeping,
    CanaryPhase.PROMOTING: promoting,
    CanaryPhase.RETURNING: returning,
    CanaryPhase.ROLLING_BACK: rolling_back,
    CanaryPhase.RESTARTING: restarting,
    CanaryPhase.FAILED: failed,
    CanaryPhase.LEAVING: leaving,
    CanaryPhase.GONE: gone,
}
"""The function of each phase."""

NEEDS_SPEC = frozenset(
    {
        CanaryPhase.PREPARING,
        CanaryPhase.PREVIEWING,
        CanaryPhase.STEPPING,
        CanaryPhase.APPROVING,
        CanaryPhase.SWITCHING,
        CanaryPhase.WATCHING,
        CanaryPhase.KEEPING,
    }
)
"""Phases in which nothing can be done while the spec cannot be acted on: all stays as it is."""

UNDER_WAY = NEEDS_SPEC | {
    CanaryPhase.PROMOTING,
    CanaryPhase.RETURNING,
    CanaryPhase.ROLLING_BACK,
    CanaryPhase.RESTARTING,
}
"""Phases in which a route has been, or may have been, touched."""
