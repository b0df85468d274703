"""What to do about a Canary: `plan_canary(what is wanted, what is seen, now) -> CanaryPlan`.

    observed     what people asked for and hooks answered is put on record
    moves        rows of the table in `canary_transitions`, as long as one applies
    the state    what its function in `canary_states` does meanwhile

The status is written before the actions of a plan, so a crash between any two writes is followed by the same plan again.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from sluice.api.base import ConditionStatus, set_conditions
from sluice.api.canary_status import CanaryPhase, CanaryStatus
from sluice.api.reasons import CanaryReason
from sluice.planning.actions import Occurrence, same
from sluice.planning.canary_actions import ApplyService, CanaryAction, CanaryPlan, Finalize
from sluice.planning.canary_commits import asked, with_commits
from sluice.planning.canary_controls import answered
from sluice.planning.canary_evidence import LOOKING, Evidence, gather, worth_writing
from sluice.planning.canary_forward import forward
from sluice.planning.canary_history import joined, recorded, with_first_requests
from sluice.planning.canary_hooks import given_up, heard
from sluice.planning.canary_moves import enter
from sluice.planning.canary_progress import keep_length, watch_length
from sluice.planning.canary_scene import DEFAULT_HOLD, DEFAULT_NO_EVIDENCE, CanaryScene, Moment, length
from sluice.planning.canary_states import LAST, NEEDS_SPEC, STATES, UNDER_WAY, Doing
from sluice.planning.canary_traffic import out, reached, refused, seen
from sluice.planning.canary_transitions import next_move
from sluice.planning.canary_write_back import write_back

MAX_MOVES = 8
"""Moves in one plan. More would be a circle in the table."""
_TOLD: dict[CanaryPhase, Literal["Normal", "Warning"]] = {
    CanaryPhase.HOLDING: "Normal",
    CanaryPhase.APPROVING: "Normal",
    CanaryPhase.RESTARTING: "Normal",
    CanaryPhase.ROLLING_BACK: "Warning",
}
"""Phases that an Event tells of as they begin, with its type."""
NO_STEPS = "-"
"""What stands for the step of a canary that has none, as in blue-green."""
_AT_REST = (CanaryPhase.STABLE, CanaryPhase.FAILED, CanaryPhase.LEAVING, CanaryPhase.GONE)
LASTING = timedelta(minutes=1)
"""A stage that ends sooner is not worth a write for its verdict, or for the weight that is seen."""
SETTLED = timedelta(seconds=10)
"""How long the weight that is seen waits for something else that is written."""


@dataclass(frozen=True)
class _Moved:
    moment: Moment
    evidence: Evidence
    occurrences: tuple[Occurrence, ...]


def plan_canary(scene: CanaryScene) -> CanaryPlan:
    """The next moves of a canary. Pure: the same scene gives the same plan."""
    before = scene.canary.status
    if before.phase is CanaryPhase.GONE:
        return CanaryPlan(None, LAST)  # nobody is left to tell
    if not scene.canary.finalized:
        return CanaryPlan(None, () if scene.canary.deleting else (Finalize(),))
    moved = _move(scene, _observed(scene))
    moment, evidence = moved.moment, moved.evidence
    if moment.spec is None and moment.phase in NEEDS_SPEC:
        doing = Doing(moment.status, (), CanaryReason.INVALID_SPEC, scene.canary.problem)
    else:
        doing = STATES[moment.phase](moment, evidence)
    status, alerts, alert_at = _alerted(moment, evidence, doing)
    if (trouble := refused(moment)) and moment.phase in UNDER_WAY:
        doing = replace(doing, reason=CanaryReason.ROUTE_NOT_READY, message=trouble)
    status = _worded(scene, status, moment, doing, evidence.missing)
    if evidence.gates and worth_writing(before.gates, evidence, lasts=_lasts(moment)):
        status = status.model_copy(update={"gates": evidence.gates, "verdict": evidence.verdict})
    elif status.stage != before.stage and status.phase not in _AT_REST:
        status = status.model_copy(update={"verdict": None})  # of the new stage nothing is known yet
    status = joined(scene, with_commits(scene, with_first_requests(status, scene.now)))
    writing = write_back(scene, status)
    forwarding = forward(scene, writing.status)
    status = forwarding.status
    arrived, arrived_at = _arrived(moment)
    written = _news(before, status.model_copy(update={"weight_seen": seen(moment)}), arrived=arrived)
    soonest = (doing.wake_at, alert_at, evidence.wake_at, forwarding.wake_at, arrived_at)
    wakes = [wake for wake in soonest if wake is not None]
    return CanaryPlan(
        written,
        (
            *_services(moment),
            *doing.actions,
            *given_up(moment),
            *asked(scene, status),
            *writing.actions,
            *forwarding.actions,
        ),
        (
            *_refused(before, status),
            *_hooks_that_failed(before, status),
            *moved.occurrences,
            *alerts,
            *writing.occurrences,
            *forwarding.occurrences,
        ),
        min(wakes, default=None),
    )


def _lasts(moment: Moment) -> bool:
    """Whether the stage goes on for so long that its verdict is worth a write of its own."""
    step = moment.step
    lengths = {
        CanaryPhase.STEPPING: length(step.hold if step is not None else None, DEFAULT_HOLD),
        CanaryPhase.WATCHING: watch_length(moment),
        CanaryPhase.KEEPING: keep_length(moment),
    }
    wanted = lengths.get(moment.phase)
    return wanted is None or moment.now + LASTING < moment.since + wanted


def _services(moment: Moment) -> tuple[CanaryAction, ...]:
    """The candidate's Service is there as long as the Canary is: a route may name it at any time."""
    services = moment.scene.services
    gone = moment.phase is CanaryPhase.GONE or (moment.phase is CanaryPhase.LEAVING and out(moment))
    if gone or not moment.routed or services.candidate_fits or not services.found:
        return ()
    return (ApplyService(),)


def _observed(scene: CanaryScene) -> CanaryStatus:
    status = answered(scene, scene.canary.status)
    return status.model_copy(update={"hooks": heard(scene, status)})


def _move(scene: CanaryScene, status: CanaryStatus) -> _Moved:
    """Moves on as far as the table says. What one move relies on is seen, not foreseen: all are judged by one scene."""
    occurrences: list[Occurrence] = []
    for _ in range(MAX_MOVES):
        moment = Moment(scene, status)
        evidence = gather(moment)
        since = (status.no_evidence_since or evidence.missing_since) if evidence.missing_since is not None else None
        status = status.model_copy(update={"no_evidence_since": since})
        moment = Moment(scene, status)
        found = next_move(moment, evidence)
        if found is None:
            return _Moved(moment, evidence, tuple(occurrences))
        row, cause = found
        status = recorded(moment, row.target, cause, enter(moment, row, cause, evidence))
        kind = "Warning" if cause.reason is CanaryReason.HOLD_BROKEN else _TOLD.get(row.target)
        if row.target is CanaryPhase.STABLE and moment.phase is CanaryPhase.RETURNING:
            kind = "Normal"
        if kind is not None:
            occurrences.append(Occurrence(kind, cause.reason, f"{row.target}: {cause.message}"))
    raise AssertionError(f"the moves of a canary go round in circles: {status.last_move}")


def _alerted(
    moment: Moment, evidence: Evidence, doing: Doing
) -> tuple[CanaryStatus, tuple[Occurrence, ...], datetime | None]:
    """The status, and an Event once for what takes too long: missing evidence, a promotion, a rollback."""
    status, since = doing.status, moment.status.no_evidence_since
    analysis = moment.spec.analysis if moment.spec is not None else None
    rule = analysis.on_no_evidence if analysis is not None else None
    due, reason, message = doing.overdue_at, doing.overdue, doing.message or "it takes long"
    if since is not None:
        due = since + length(rule.limit if rule is not None else None, DEFAULT_NO_EVIDENCE)
        reason, message = CanaryReason.NO_EVIDENCE, f"held, no evidence: {evidence.message}"
    if due is None or reason is None:
        return status, (), None
    if moment.now < due:
        return status, (), due
    if status.alerted_at is not None:
        return status, (), None
    status = status.model_copy(update={"alerted_at": moment.now})
    return status, (Occurrence("Warning", reason, message),), None


def _worded(scene: CanaryScene, status: CanaryStatus, moment: Moment, doing: Doing, missing: str) -> CanaryStatus:
    """The status with reason, message, progress and conditions."""
    reason, message = doing.reason, doing.message
    if reason is None:
        reason, message = CanaryReason(status.reason or CanaryReason.STABLE), status.message or ""
    if status.no_evidence_since is not None:
        # The reason turns with the alert, so that a short gap does not look like trouble.
        reason = CanaryReason.NO_EVIDENCE if status.alerted_at is not None else reason
        message = f"held, no evidence from {missing}; {message}"
    update = {
        "observed_generation": scene.canary.generation,
        "reason": reason,
        "message": message or None,
        "progress": _step_of_steps(status, len(moment.steps)),
    }
    status = status.model_copy(update=update)
    conditions = set_conditions(
        status.conditions, _conditions(scene, status, reason, message), scene.canary.generation, scene.now
    )
    return status.model_copy(update={"conditions": conditions})


def _step_of_steps(status: CanaryStatus, steps: int) -> str:
    """The step / steps in all. At rest: how far the newest rollout came."""
    if status.step is not None and steps:
        return f"{status.step + 1}/{steps}"
    if status.phase in _AT_REST and status.progress is not None:
        return status.progress
    return f"0/{steps}" if steps else NO_STEPS


def _conditions(
    scene: CanaryScene, status: CanaryStatus, reason: CanaryReason, message: str
) -> dict[str, tuple[ConditionStatus, str, str]]:
    invalid = scene.canary.spec is None
    stalled = reason is CanaryReason.ROUTE_NOT_READY and status.phase is not CanaryPhase.HOLDING
    bad = invalid or stalled or status.phase is CanaryPhase.FAILED
    settled = status.phase is CanaryPhase.STABLE and not invalid
    working = not bad and not settled
    waits = status.paused is not None or status.phase is CanaryPhase.APPROVING
    ready: ConditionStatus = "True" if settled else "False" if bad else "Unknown"
    return {
        "Ready": (ready, reason, message),
        "Reconciling": ("True" if working else "False", reason, ""),
        "Stalled": ("True" if bad else "False", reason, ""),
        "Paused": ("True" if waits else "False", reason, ""),
    }


def _arrived(moment: Moment) -> tuple[bool, datetime | None]:
    """Whether it is time to write down that the requests are divided as asked, in a stage that lasts; else when it will be."""
    if moment.phase not in LOOKING or moment.status.weight_seen == moment.status.weight or not reached(moment):
        return False, None
    if not _lasts(moment):
        return False, None
    due = moment.since + SETTLED
    return moment.now >= due, due if moment.now < due else None


def _news(before: CanaryStatus, after: CanaryStatus, *, arrived: bool) -> CanaryStatus | None:
    """The status if it is worth a write. The weight that is seen goes along with the next one that is, unless it has `arrived`."""
    lazy = {} if arrived else {"weight_seen": before.weight_seen}
    return None if same(before, after.model_copy(update=lazy)) else after


def _refused(before: CanaryStatus, after: CanaryStatus) -> tuple[Occurrence, ...]:
    control = after.control
    if control is None or control.accepted or control == before.control:
        return ()
    return (Occurrence("Warning", CanaryReason.CONTROL_REFUSED, control.message),)


def _hooks_that_failed(before: CanaryStatus, after: CanaryStatus) -> tuple[Occurrence, ...]:
    known = {row.key for row in before.hooks if row.state == "Failed"}
    return tuple(
        Occurrence("Warning", CanaryReason.HOOK_REPORTED_FAILURE, f"{row.name}: {row.message}")
        for row in after.hooks
        if row.state == "Failed" and row.key not in known
    )
