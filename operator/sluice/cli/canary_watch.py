"""Follows a Canary and shows it until its rollout has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from sluice.api.canary_status import CanaryPhase, LastMove
from sluice.api.reasons import CanaryReason
from sluice.cli.canary_screens import CanaryScreen
from sluice.cli.canary_state import CanaryState, read_canary
from sluice.cli.errors import CliError, Exit
from sluice.cli.following import follow
from sluice.cli.reminder import reminder
from sluice.cli.session import Session
from sluice.kube.client import Object
from sluice.kube.resources import CANARIES


class CanaryDeleted(CliError):
    """The Canary is gone, so nobody can say what became of the rollout."""

    def __init__(self, canary: CanaryState) -> None:
        super().__init__(f"Canary {canary.name} was deleted while it was {canary.status.phase}", Exit.UNKNOWN)


async def follow_canary(session: Session, name: str, *, notify: Callable[[str], None]) -> AsyncGenerator[CanaryState]:
    """The Canary as it is, then each change of it. Raises CanaryDeleted, and what `follow` raises."""

    def deleted(last: Object) -> CliError:
        return CanaryDeleted(read_canary(last))

    objects = follow(session.client, CANARIES, session.namespace, name, deleted=deleted, notify=notify)
    async with aclosing(objects):
        async for obj in objects:
            yield read_canary(obj)


async def watch_canary(
    session: Session, name: str, screen: CanaryScreen, *, limit: float | None, following: bool
) -> Exit:
    """Show the Canary until no rollout is under way, at most `limit` seconds; the exit code.

    `following`: when none is under way at first, wait for the one that follows.
    """
    try:
        async with asyncio.timeout(limit):
            canary = await _rested(session, name, screen, following=following)
    except TimeoutError:
        last = screen.canary.status.phase if screen.canary is not None else "not seen"
        raise CliError(f"Canary {name} is {last} when the timeout passes; it goes on", Exit.UNKNOWN) from None
    if canary.status.phase is CanaryPhase.FAILED:
        screen.notify(f"for another try of this revision: sluice canary retry -n {session.namespace} {name}")
    return outcome(canary)


async def _rested(session: Session, name: str, screen: CanaryScreen, *, following: bool) -> CanaryState:
    noticed = asyncio.Event()
    earlier: LastMove | None = None
    with screen:
        states = follow_canary(session, name, notify=screen.notify)
        async with reminder(noticed, screen.notify, "Canary"), aclosing(states):
            async for canary in states:
                if screen.canary is None and following and canary.resting:
                    earlier = canary.status.last_move
                    screen.notify("no rollout is under way; waiting for the next one")
                if canary.noticed:
                    noticed.set()
                screen.show(canary)
                if canary.resting and (earlier is None or canary.status.last_move != earlier):
                    return canary
    raise AssertionError("unreachable: a Canary that is followed comes to rest or raises")


def outcome(canary: CanaryState) -> Exit:
    """What the newest rollout of a Canary at rest came to: OK when the target runs the newest revision let in."""
    move = canary.status.last_move
    reverted = move is not None and move.reason == CanaryReason.REVERTED
    return Exit.OK if canary.status.phase is CanaryPhase.STABLE and not reverted else Exit.NO
