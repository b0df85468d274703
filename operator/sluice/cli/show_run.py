"""Follows a run and shows it, with the graph of the revision that it runs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from pydantic import ValidationError

from sluice.api.pipeline import DataPipelineSpec
from sluice.api.run import RunPhase
from sluice.cli.following import follow_run
from sluice.cli.reminder import reminder
from sluice.cli.run_state import RunState
from sluice.cli.screens import Screen
from sluice.cli.session import Session
from sluice.cli.tree import Place, lay_out, lay_out_flat
from sluice.kube.client import Object
from sluice.kube.errors import KubeError
from sluice.kube.resources import CONTROLLER_REVISIONS


async def show_run(session: Session, name: str, screen: Screen) -> RunPhase:
    """Show the run until it has ended; its phase then."""
    places: tuple[Place, ...] = ()
    revision = ""
    noticed = asyncio.Event()
    with screen:
        states = follow_run(session.client, session.namespace, name, notify=screen.notify)
        async with reminder(noticed, screen.notify, "run"), aclosing(states):
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
