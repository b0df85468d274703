"""Follows a run and shows it, with the graph of the revision that it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from pydantic import ValidationError

from sluice.api.pipeline import DataPipelineSpec
from sluice.api.run import RunPhase
from sluice.cli.following import follow_run
from sluice.cli.run_state import RunState
from sluice.cli.screens import Screen
from sluice.cli.session import Session
from sluice.cli.tree import Place, lay_out, lay_out_flat
from sluice.kube.client import Object
from sluice.kube.errors import KubeError
from sluice.kube.resources import CONTROLLER_REVISIONS

UNNOTICED: Final = 10.0
"""Seconds after which the user is told that no operator has looked at the run."""


async def show_run(session: Session, name: str, screen: Screen) -> RunPhase:
    """Show the run until it has ended; its phase then."""
    places: tuple[Place, ...] = ()
    revision = ""
    noticed = asyncio.Event()
    with screen:
        states = follow_run(session.client, session.namespace, name, notify=screen.notify)
        async with _reminder(noticed, screen), aclosing(states):
            async for run in states:
                if run.noticed:
                    noticed.set()
                if run.status.revision and run.status.revision != revision:
                    revision = run.status.revision
                    places = await _places(session, run)
                screen.show(run, places)
                if run.status.phase.ended:
                    return run.status.phase
    raise AssertionError("unreachable: a run that is followed ends or raises")


@asynccontextmanager
async def _reminder(noticed: asyncio.Event, screen: Screen) -> AsyncIterator[None]:
    """Tell the user when nobody works on the run."""

    async def remind() -> None:
        try:
            async with asyncio.timeout(UNNOTICED):
                await noticed.wait()
        except TimeoutError:
            screen.notify(
                "no operator has looked at this run yet; is sluice running, and does it serve this namespace?"
            )

    task = asyncio.create_task(remind())
    try:
        yield
    finally:
        task.cancel()


async def _places(session: Session, run: RunState) -> tuple[Place, ...]:
    """The tree of the revision that is run. Whoever may not read revisions sees a list."""
    try:
        found = await session.client.get(CONTROLLER_REVISIONS, session.namespace, run.status.revision or "")
        return lay_out(spec_of_revision(found))
    except (KubeError, ValidationError):
        return lay_out_flat(run)


def spec_of_revision(revision: Object) -> DataPipelineSpec:
    """The pipeline's spec that a revision holds."""
    return DataPipelineSpec.model_validate((revision.get("data") or {}).get("spec"))
