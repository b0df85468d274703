"""`sluice dora`: the four keys, of the records that canaries and pipelines keep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

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
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", metavar="NAME", help="Of this DataPipeline only.", show_default="all")
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
    """Say how often, how fast and how safely new versions came: DORA's four keys, of each Canary and DataPipeline, and together."""
    if canary is not None and pipeline is not None:
        raise CliError("--canary and --pipeline: give one of them, or none", Exit.USAGE)
    window, limit = length_of("--since", since), length_of("--within", within)
    from sluice.cli.dora_output import Report, report_of, to_json, to_markdown, to_text
    from sluice.cli.session import converse

    async def action(session: Session) -> Report:
        histories = await read_histories(session, canary, pipeline, everywhere=all_namespaces)
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


async def read_histories(
    session: Session, canary: str | None, pipeline: str | None, *, everywhere: bool
) -> list[History]:
    """What canaries and pipelines keep. Raises CliError where the one that is named is not there."""
    namespace = None if everywhere else session.namespace
    found: list[History] = []
    if pipeline is None:
        found += await _canaries(session, namespace, canary)
    if canary is None:
        found += await _pipelines(session, namespace, pipeline)
    if not found and (canary is not None or pipeline is not None):
        what = f'Canary "{canary}"' if canary is not None else f'DataPipeline "{pipeline}"'
        where = "any namespace" if namespace is None else f"namespace {namespace}"
        raise CliError(f"there is no {what} in {where}")
    return sorted(found, key=lambda history: (history.namespace, history.kind, history.name))


async def _canaries(session: Session, namespace: str | None, name: str | None) -> list[History]:
    from sluice.cli.canary_state import read_canary
    from sluice.kube.resources import CANARIES
    from sluice.planning.dora import History

    items = (await session.client.list(CANARIES, namespace)).items
    states = [(obj, read_canary(obj)) for obj in items if name in (None, obj["metadata"]["name"])]
    return [History(one.namespace, one.name, _created(obj), one.status.rollouts) for obj, one in states]


async def _pipelines(session: Session, namespace: str | None, name: str | None) -> list[History]:
    from sluice.api.pipeline import DataPipelineStatus
    from sluice.cli.reading import read_status
    from sluice.kube.resources import DATA_PIPELINES
    from sluice.planning.dora import History, delivered

    found = []
    for obj in (await session.client.list(DATA_PIPELINES, namespace)).items:
        metadata = obj["metadata"]
        if name in (None, metadata["name"]):
            rows = delivered(read_status(DataPipelineStatus, obj, "DataPipeline").deliveries)
            found.append(History(metadata["namespace"], metadata["name"], _created(obj), rows, "DataPipeline"))
    return found


def _created(obj: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(obj["metadata"]["creationTimestamp"])
