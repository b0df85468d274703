"""Asks something of a Canary by its control annotation, and waits for the answer in its status."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing
from datetime import timedelta

from sluice.api.canary_status import AnsweredControl, ControlAction
from sluice.api.durations import format_duration
from sluice.api.names import ANNOTATION_CONTROL
from sluice.cli.canary_state import CanaryState, read_canary
from sluice.cli.canary_view import standing
from sluice.cli.canary_watch import follow_canary
from sluice.cli.errors import CliError, Exit
from sluice.cli.session import Session
from sluice.cli.tree import clean
from sluice.kube.resources import CANARIES


async def ask(session: Session, name: str, action: ControlAction, limit: float, *, nonce: str | None = None) -> str:
    """What came of a request that was accepted, in a sentence. Raises CliError when it was refused or not answered.

    `limit` is in seconds. The nonce is random unless it is given.
    """
    text = f"{action}:{nonce or secrets.token_hex(4)}"
    patch = {"metadata": {"annotations": {ANNOTATION_CONTROL: text}}}
    asked = read_canary(await session.client.patch_merge(CANARIES, session.namespace, name, patch))
    try:
        async with asyncio.timeout(limit):
            canary, answer = await _answered(session, asked, text)
    except TimeoutError:
        raise CliError(_unanswered(asked, text, limit), Exit.UNKNOWN) from None
    if not answer.accepted:
        raise CliError(f"{action} is refused: {clean(answer.message)}")
    told = ": ".join(clean(part) for part in (canary.status.reason, canary.status.message) if part)
    return f"canary.sluice.dev/{name} {action} accepted: {standing(canary.status)}; {told}"


async def _answered(session: Session, asked: CanaryState, text: str) -> tuple[CanaryState, AnsweredControl]:
    """The first state in which the request is acknowledged, and the acknowledgement."""
    action, _, nonce = text.partition(":")
    states = follow_canary(session, asked.name, notify=_silent)
    async with aclosing(states):
        async for canary in states:
            control = canary.status.control
            if control is not None and (control.action, control.nonce) == (action, nonce):
                return canary, control
            if canary.control != text and control != asked.status.control:
                raise CliError(
                    f"another request, {clean(canary.control or 'none')[:80]}, took the place of this one before it was "
                    "answered; whether it was dealt with is not known",
                    Exit.UNKNOWN,
                )
    raise AssertionError("unreachable: a Canary that is followed has an answer or raises")


def _unanswered(asked: CanaryState, text: str, limit: float) -> str:
    take_back = f"kubectl -n {asked.namespace} annotate canary {asked.name} {ANNOTATION_CONTROL}-"
    seen = "an operator has looked at this Canary before" if asked.noticed else "no operator has looked at this Canary"
    return (
        f"no answer to {text} within {format_duration(timedelta(seconds=limit))}: {seen}; is sluice running, and does it "
        f"serve this namespace? The request stays, and is dealt with when it does; to take it back: {take_back}"
    )


def _silent(_notice: str) -> None:
    pass
