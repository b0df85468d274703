"""`sluice canary`: how a new version is being let in, and what a person can do about it.

status                                             where it stands, on one screen
watch                                              the same until the rollout has ended
pause, resume, skip, promote, abort, retry         what can be asked of it
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.errors import CliError, Exit
from sluice.cli.options import Context, Kubeconfig, Namespace, Place, Verbose

if TYPE_CHECKING:
    from sluice.api.canary_status import ControlAction
    from sluice.cli.canary_state import CanaryState
    from sluice.cli.session import Session

app = typer.Typer(no_args_is_help=True, help="See how a new version is let in, and pause, promote or abort it.")

CanaryName = Annotated[str, typer.Argument(metavar="CANARY", help="Name of a Canary.")]
AnswerTimeout = Annotated[
    str, typer.Option("--timeout", metavar="TIME", help="How long to wait for the operator's answer.")
]
ANSWER_TIMEOUT = "10s"


@app.command("status")
def status(
    ctx: typer.Context,
    canary: CanaryName,
    *,
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Show where a Canary stands: phase, step, weight, revisions, gates, hooks, requests, failed revisions."""
    if output not in ("text", "json"):
        raise CliError(f'--output "{output}" is not known; allowed: text, json', Exit.USAGE)
    from sluice.cli.canary_screens import print_canary
    from sluice.cli.session import converse

    async def action(session: Session) -> CanaryState:
        from sluice.cli.canary_state import read_canary
        from sluice.kube.resources import CANARIES

        return read_canary(await session.client.get(CANARIES, session.namespace, canary))

    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    found = converse(place, action)
    if output == "json":
        typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        print_canary(found)


@app.command("watch")
def watch(
    ctx: typer.Context,
    canary: CanaryName,
    *,
    following: Annotated[
        bool, typer.Option("--next", help="When no rollout is under way, wait for the next one.")
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Stop watching after this time, such as 90s or 2h; the rollout goes on."),
    ] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Show a Canary until its rollout has ended: painted in place in a terminal, else one line for each change.

    Ends with 0 when the new version was promoted, 1 when it was rolled back or withdrawn, 4 when that is not known: the
    timeout passed, the Canary was deleted, or the API server could not be reached. When no rollout is under way, it ends
    at once with what the newest one came to.
    """
    from sluice.cli.session import converse, seconds_of

    limit = seconds_of(timeout)

    async def action(session: Session) -> Exit:
        from sluice.cli.canary_screens import make_canary_screen
        from sluice.cli.canary_watch import watch_canary

        return await watch_canary(session, canary, make_canary_screen(), limit=limit, following=following)

    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    raise typer.Exit(converse(place, action))


@app.command("pause")
def pause(
    ctx: typer.Context,
    canary: CanaryName,
    *,
    timeout: AnswerTimeout = ANSWER_TIMEOUT,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Stay at this weight. The gates go on, and a failure still rolls back."""
    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    _ask(place, canary, "pause", timeout)


@app.command("resume")
def resume(
    ctx: typer.Context,
    canary: CanaryName,
    *,
    timeout: AnswerTimeout = ANSWER_TIMEOUT,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Go on after a pause."""
    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    _ask(place, canary, "resume", timeout)


@app.command("skip")
def skip(
    ctx: typer.Context,
    canary: CanaryName,
    *,
    timeout: AnswerTimeout = ANSWER_TIMEOUT,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Leave out the rest of the current step."""
    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    _ask(place, canary, "skip", timeout)


@app.command("promote")
def promote(
    ctx: typer.Context,
    canary: CanaryName,
    *,
    full: Annotated[
        bool, typer.Option("--full", help="Leave out the gates and the watch after the switch too.")
    ] = False,
    timeout: AnswerTimeout = ANSWER_TIMEOUT,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Approve, or leave out the steps that remain; during the watch, leave out the rest of it."""
    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    _ask(place, canary, "promoteInFull" if full else "promote", timeout)


@app.command("abort")
def abort(
    ctx: typer.Context,
    canary: CanaryName,
    *,
    timeout: AnswerTimeout = ANSWER_TIMEOUT,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Take the new version out. It counts as failed until the spec changes, or somebody asks for another try."""
    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    _ask(place, canary, "abort", timeout)


@app.command("retry")
def retry(
    ctx: typer.Context,
    canary: CanaryName,
    *,
    timeout: AnswerTimeout = ANSWER_TIMEOUT,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Try a revision that failed once more."""
    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    _ask(place, canary, "retry", timeout)


def _ask(place: Place, name: str, action: ControlAction, timeout: str) -> None:
    """Ask, and print what came of it.

    Ends with 0 when the request is accepted, 1 when it is refused, 4 when there is no answer in time.
    """
    from sluice.cli.session import converse, seconds_of

    limit = seconds_of(timeout)
    assert limit is not None

    async def asking(session: Session) -> str:
        from sluice.cli.canary_ask import ask

        return await ask(session, name, action, limit)

    typer.echo(converse(place, asking))
