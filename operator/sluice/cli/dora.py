"""`sluice dora`: the four keys of canaries, of the records that they keep of their rollouts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.errors import CliError, Exit
from sluice.cli.options import AllNamespaces, Context, Kubeconfig, Namespace, Output, Place, Verbose

if TYPE_CHECKING:
    from sluice.cli.session import Session
    from sluice.planning.dora import History

_LONG = {"d": timedelta(days=1), "w": timedelta(days=7)}


def dora(
    ctx: typer.Context,
    *,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="How far to look back: 30d, 12w, 36h.")] = "30d",
    canary: Annotated[
        str | None, typer.Option("--canary", metavar="NAME", help="Of this Canary only.", show_default="all")
    ] = None,
    within: Annotated[
        str, typer.Option("--within", metavar="TIME", help="Taken back so soon after its promotion, a change failed.")
    ] = "7d",
    output: Annotated[Output, typer.Option("--output", "-o", help="Form of the answer.")] = Output.TEXT,
    all_namespaces: AllNamespaces = False,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Say how often, how fast and how safely new versions came: DORA's four keys, of each Canary and together."""
    window, limit = length_of("--since", since), length_of("--within", within)
    from sluice.cli.dora_output import Report, report_of, to_json, to_markdown, to_text
    from sluice.cli.session import converse

    async def action(session: Session) -> Report:
        histories = await read_histories(session, canary, everywhere=all_namespaces)
        return report_of(histories, datetime.now(UTC), window, limit)

    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    report = converse(place, action)
    write = {Output.TEXT: to_text, Output.MARKDOWN: to_markdown, Output.JSON: to_json}[output]
    typer.echo(write(report))


def length_of(option: str, text: str) -> timedelta:
    """A length of time, with days and weeks too. Raises CliError for what is none, or is 0."""
    from sluice.api.durations import parse_duration

    found = re.fullmatch(r"(\d{1,5})([dw])", text)
    try:
        length = int(found[1]) * _LONG[found[2]] if found is not None else parse_duration(text)
    except ValueError as error:
        raise CliError(f'{option} "{text}": must be a time such as 30d, 12w or 36h', Exit.USAGE) from error
    if not length:
        raise CliError(f'{option} "{text}": must be longer than nothing', Exit.USAGE)
    return min(length, timedelta(days=36525))


async def read_histories(session: Session, canary: str | None, *, everywhere: bool) -> list[History]:
    """What the canaries keep, by namespace and name. Raises CliError where the one that is named is not there."""
    from sluice.cli.canary_state import read_canary
    from sluice.kube.resources import CANARIES
    from sluice.planning.dora import History

    namespace = None if everywhere else session.namespace
    found = []
    for obj in (await session.client.list(CANARIES, namespace)).items:
        if canary in (None, obj["metadata"]["name"]):
            state = read_canary(obj)
            created = datetime.fromisoformat(obj["metadata"]["creationTimestamp"])
            found.append(History(state.namespace, state.name, created, state.status.rollouts))
    if canary is not None and not found:
        where = "any namespace" if namespace is None else f"namespace {namespace}"
        raise CliError(f'there is no Canary "{canary}" in {where}')
    return sorted(found, key=lambda history: (history.namespace, history.name))
