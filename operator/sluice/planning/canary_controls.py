"""What people ask of a canary by annotation: accepted or refused by where it stands, and acknowledged by its nonce.

requested    the text of the annotation as a request, or as one that cannot be understood
answered     the status with the request acknowledged
"""

import re
from collections.abc import Mapping
from typing import get_args

from sluice.api.canary_status import AnsweredControl, CanaryPhase, CanaryStatus, ControlAction, PausedBy, Pending
from sluice.api.names import ANNOTATION_CONTROL, short_hash
from sluice.api.schema import show
from sluice.planning.canary_scene import BadControl, CanaryScene, ControlRequest

ACTIONS: tuple[ControlAction, ...] = get_args(ControlAction)
MAX_CONTROL = 80
"""Longest text of the annotation, in characters."""
MAX_ACTION = 20
"""Characters that are kept of an action that does not exist."""
MAX_SHOWN = 100
"""Characters that are shown of a text that is too long."""
_NONCE = re.compile(r"[A-Za-z0-9._:+-]+")

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


def requested(annotation: str | None, by: str | None) -> ControlRequest | BadControl | None:
    """What the annotation asks for, as ACTION or ACTION:NONCE; None when there is none.

    Without a nonce the text is its own. `by` is who wrote it, as far as that is known.
    """
    if annotation is None:
        return None
    word, colon, given = annotation.partition(":")
    nonce = given if colon else annotation
    problem = _problem(annotation, word, nonce)
    if problem:
        text = show(annotation if len(annotation) <= MAX_CONTROL else f"{annotation[:MAX_SHOWN]}...")
        known = nonce if len(nonce) <= MAX_CONTROL and _NONCE.fullmatch(nonce) else short_hash(annotation, length=16)
        return BadControl(word[:MAX_ACTION], known, f"{ANNOTATION_CONTROL}: {text}: {problem}", by or "")
    action = next(action for action in ACTIONS if action == word)
    return ControlRequest(action, nonce, by or "")


def _problem(annotation: str, word: str, nonce: str) -> str:
    """What is wrong with the text; empty when it is a request."""
    if len(annotation) > MAX_CONTROL:
        return f"has {len(annotation)} characters; at most {MAX_CONTROL} are allowed"
    if word not in ACTIONS:
        return f"no such action {show(word)}; allowed: {', '.join(ACTIONS)}, each with or without :NONCE"
    if not nonce:
        return f"the nonce is empty; allowed: {word} alone, or {word}:NONCE"
    if not _NONCE.fullmatch(nonce):
        return f"no such nonce {show(nonce)}; allowed are letters, digits and . _ : + -"
    return ""


def is_answer(control: AnsweredControl, request: ControlRequest | BadControl) -> bool:
    """Whether `control` acknowledges this request, and not another one."""
    return (control.action, control.nonce) == (request.action, request.nonce)


def answered(scene: CanaryScene, status: CanaryStatus) -> CanaryStatus:
    """The status with the request acknowledged, once for each action and nonce."""
    request = scene.control
    if request is None or (status.control is not None and is_answer(status.control, request)):
        return status
    message = _refusal(request, status.phase)
    reply = AnsweredControl(
        nonce=request.nonce,
        action=request.action,
        by=request.by,
        at=scene.now,
        accepted=not message,
        message=message,
    )
    status = status.model_copy(update={"control": reply})
    if isinstance(request, BadControl) or message:
        return status
    return _begun(scene, status, request.action, request.by)


def _refusal(request: ControlRequest | BadControl, phase: CanaryPhase) -> str:
    """Why the request is not met; empty when it is."""
    if isinstance(request, BadControl):
        return request.problem
    if phase in ALLOWED[request.action]:
        return ""
    return f"{request.action} cannot be done in phase {phase}; {_where(request.action)}"


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
