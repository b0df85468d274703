"""`sluice logs`: what the steps of a run wrote."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.errors import CliError, Exit
from sluice.cli.options import Context, Kubeconfig, Namespace, Place, RunName, Verbose

if TYPE_CHECKING:
    from sluice.cli.session import Session

_COLOURS = (36, 33, 35, 32, 34, 31)
"""Terminal colours of the steps' names, in turn."""


def logs(
    ctx: typer.Context,
    run: RunName,
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="Only this step.")] = None,
    *,
    attempt: Annotated[
        int | None, typer.Option(min=1, help="Number of the attempt of STEP.", show_default="the newest")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the step, or the run, has ended; retries too.")
    ] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Only so many of the last lines of each log.")] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Print the logs of a run's steps.

    Without STEP, those of all steps, each line with the step's name before it.
    """
    from sluice.cli.session import converse

    if attempt is not None and step is None:
        raise CliError("--attempt needs a STEP", Exit.USAGE)

    async def action(session: Session) -> None:
        from sluice.cli.pod_logs import Request, print_logs

        request = Request(run, step, attempt, follow, tail)
        await print_logs(session, request, writer(prefixed=step is None), lambda text: typer.echo(text, err=True))

    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    converse(place, action)


def writer(*, prefixed: bool) -> Callable[[str, bytes], None]:
    """Writes lines to stdout as they are, since programs may write anything; `prefixed` with the step's name."""
    out = sys.stdout.buffer
    coloured = prefixed and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    prefixes: dict[str, bytes] = {}

    def write(step: str, line: bytes) -> None:
        if prefixed and step not in prefixes:
            colour = _COLOURS[len(prefixes) % len(_COLOURS)]
            prefixes[step] = (f"\x1b[{colour}m{step} |\x1b[0m " if coloured else f"{step} | ").encode()
        out.write(prefixes.get(step, b"") + line + b"\n")
        out.flush()

    return write
