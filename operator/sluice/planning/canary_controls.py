"""What people ask of a canary by annotation: accepted or refused by where it stands, and acknowledged by its nonce."""

from collections.abc import Mapping

from sluice.api.canary_status import AnsweredControl, CanaryPhase, CanaryStatus, ControlAction, PausedBy, Pending
from sluice.planning.canary_scene import CanaryScene

_UNDER_WAY = frozenset(
    {
        CanaryPhase.HOLDING,
        CanaryPhase.PREPARING,
        CanaryPhase.PREVIEWING,
        CanaryPhase.STEPPING,
        CanaryPhase.APPROVING,
        CanaryPhase.SWITCHING,
        CanaryPhase.WATCHING,
        CanaryPhase.KEEPING,
    }
)
_ANYWHERE = frozenset(CanaryPhase) - {CanaryPhase.LEAVING, CanaryPhase.GONE}

ALLOWED: Mapping[ControlAction, frozenset[CanaryPhase]] = {
    "pause": _ANYWHERE,
    "resume": _ANYWHERE,
    "skip": frozenset({CanaryPhase.STEPPING}),
    "promote": frozenset(
        {
            CanaryPhase.PREVIEWING,
            CanaryPhase.STEPPING,
            CanaryPhase.APPROVING,
            CanaryPhase.WATCHING,
            CanaryPhase.KEEPING,
        }
    ),
    "promoteInFull": _UNDER_WAY,
    "abort": _UNDER_WAY,
    "retry": frozenset({CanaryPhase.FAILED}),
}
"""In which phases each request can be met."""


def answered(scene: CanaryScene, status: CanaryStatus) -> CanaryStatus:
    """The status with the request acknowledged, once for each nonce."""
    request = scene.control
    if request is None or (status.control is not None and status.control.nonce == request.nonce):
        return status
    accepted = status.phase in ALLOWED[request.action]
    message = "" if accepted else f"{request.action} cannot be done in phase {status.phase}; {_where(request.action)}"
    reply = AnsweredControl(
        nonce=request.nonce,
        action=request.action,
        by=request.by,
        at=scene.now,
        accepted=accepted,
        message=message,
    )
    status = status.model_copy(update={"control": reply})
    return _begun(scene, status, request.action, request.by) if accepted else status


def _where(action: ControlAction) -> str:
    return f"it can in {', '.join(sorted(ALLOWED[action]))}"


def _begun(scene: CanaryScene, status: CanaryStatus, action: ControlAction, by: str) -> CanaryStatus:
    match action:
        case "pause":
            paused = status.paused or PausedBy(by=by, since=scene.now)
            return status.model_copy(update={"paused": paused})
        case "resume":
            return status.model_copy(update={"paused": None})
        case "promoteInFull":
            return status.model_copy(update={"in_full": True, "paused": None, "pending": Pending(action=action, by=by)})
        case "promote":
            return status.model_copy(update={"paused": None, "pending": Pending(action=action, by=by)})
        case _:
            return status.model_copy(update={"pending": Pending(action=action, by=by)})
