"""`sluice watch`: a run as it goes on, until it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from sluice.cli.errors import CliError, Exit
from sluice.cli.options import Context, Kubeconfig, Namespace, Place, RunName, Timeout, Verbose

if TYPE_CHECKING:
    from sluice.cli.session import Session


def watch(
    ctx: typer.Context,
    run: RunName,
    *,
    timeout: Timeout = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Show the steps of a run until it has ended: a live tree in a terminal, else one line for each change.

    Ends with 0 when the run succeeded, 1 when it failed, 3 when it was cancelled, 4 when that is not known: the timeout
    passed, the run was deleted, or the API server could not be reached.
    """
    from sluice.cli.session import converse, seconds_of

    limit = seconds_of(timeout)

    async def action(session: Session) -> Exit:
        return await watch_run(session, run, limit)

    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    raise typer.Exit(converse(place, action))


async def watch_run(session: Session, name: str, limit: float | None) -> Exit:
    """Show the run until it has ended or `limit` seconds have passed; the exit code."""
    import asyncio

    from sluice.api.run import RunPhase, StepPhase
    from sluice.cli.screens import make_screen
    from sluice.cli.show_run import show_run

    screen = make_screen()
    try:
        async with asyncio.timeout(limit):
            phase = await show_run(session, name, screen)
    except TimeoutError:
        last = screen.run.status.phase if screen.run is not None else "not seen"
        raise CliError(f"run {name} is {last} when the timeout passes; it goes on", Exit.UNKNOWN) from None
    if screen.run is not None and phase is RunPhase.FAILED:
        for step in [step.name for step in screen.run.status.steps if step.phase is StepPhase.FAILED][:1]:
            screen.notify(f"for its log: sluice logs -n {session.namespace} {name} {step}")
    return {RunPhase.SUCCEEDED: Exit.OK, RunPhase.CANCELLED: Exit.CANCELLED}.get(phase, Exit.NO)
