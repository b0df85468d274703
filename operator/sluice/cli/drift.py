"""`sluice drift`: where Git, what is applied and what runs are not the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.errors import CliError, Exit
from sluice.cli.options import AllNamespaces, Context, Kubeconfig, Namespace, Place, Verbose

if TYPE_CHECKING:
    from sluice.cli.session import Session
    from sluice.planning.drift import ApplicationView, Drift


@dataclass(frozen=True)
class Found:
    """What was looked at, and what came of it."""

    drifts: Sequence[Drift]
    canaries: int
    applications: int
    notes: list[str] = field(default_factory=list)
    """What could not be looked at."""


def drift(
    ctx: typer.Context,
    *,
    held_after: Annotated[
        str, typer.Option("--held-after", metavar="TIME", help="How long a new revision may wait: 1h, 2d.")
    ] = "1h",
    argocd: Annotated[
        str, typer.Option("--argocd", metavar="NS", help="Namespace of Argo CD's Applications.")
    ] = "argocd",
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
    all_namespaces: AllNamespaces = False,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Say where Git, what is applied and what runs differ. Nothing is written.

    Ends with 0 when they do not, 1 when they do.
    """
    if output not in ("text", "json"):
        raise CliError(f'--output "{output}" is not known; allowed: text, json', Exit.USAGE)
    from sluice.cli.dora import length_of
    from sluice.cli.session import converse

    limit = length_of("--held-after", held_after)

    async def action(session: Session) -> Found:
        return await look(session, argocd, limit, everywhere=all_namespaces)

    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    found = converse(place, action)
    now = datetime.now(UTC)
    if output == "json":
        typer.echo(to_json(found, now))
    else:
        typer.echo(to_text(found, now))
        for note in found.notes:
            typer.echo(f"note: {note}", err=True)
    raise typer.Exit(Exit.NO if found.drifts else Exit.OK)


async def look(session: Session, argocd: str, held_after: timedelta, *, everywhere: bool) -> Found:
    """Read what there is of a namespace, or of all, and compare it."""
    from sluice.cli.canary_state import read_canary
    from sluice.kube.resources import CANARIES, DEPLOYMENTS
    from sluice.planning.drift import CanaryState, Ref, drifts, workload_view

    namespace = None if everywhere else session.namespace
    notes: list[str] = []
    states = [read_canary(obj) for obj in (await session.client.list(CANARIES, namespace)).items]
    canaries = [
        CanaryState(ref=Ref(one.namespace, "Canary", one.name), target=one.target, status=one.status) for one in states
    ]
    targets = {(one.namespace, one.target) for one in states}
    workloads = {}
    for obj in (await session.client.list(DEPLOYMENTS, namespace)).items if targets else ():
        key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        if key in targets:
            workloads[key] = workload_view(obj)
    applications = [one for one in await _applications(session, argocd, notes) if _concerns(one, namespace)]
    notes += [
        f"Application {one.ref.name}: Argo CD does not know how it stands{f': {one.message}' if one.message else ''}"
        for one in applications
        if one.sync == "Unknown"
    ]
    rows = drifts(applications, canaries, workloads, datetime.now(UTC), held_after=held_after)
    return Found(rows, len(canaries), len(applications), notes)


async def _applications(session: Session, argocd: str, notes: list[str]) -> list[ApplicationView]:
    from sluice.kube.errors import Forbidden, NotFound
    from sluice.kube.resources import APPLICATIONS
    from sluice.planning.drift import application_view

    try:
        items = (await session.client.list(APPLICATIONS, argocd)).items
    except NotFound:
        notes.append("there is no Argo CD in this cluster: what Git states is not known")
        return []
    except Forbidden:
        notes.append(f"you may not list the Applications in {argocd}: what Git states is not known")
        return []
    return [application_view(obj) for obj in items]


def _concerns(application: ApplicationView, namespace: str | None) -> bool:
    """Whether it has to do with a namespace; None: with any."""
    within = {application.into, *(ref.namespace for ref in application.differing)}
    return namespace is None or namespace in within


def to_text(found: Found, now: datetime, zone: tzinfo | None = None) -> str:
    """One line for each difference, the words below each other."""
    from sluice.cli.tree import clean

    looked = f"{_count(found.canaries, 'Canary', 'Canaries')}, {_count(found.applications, 'Application')}"
    if not found.drifts:
        return f"no drift: {looked}"
    rows = [
        (f"{row.object.kind} {row.object.namespace}/{row.object.name}", str(row.kind), _since(row, now, zone), row.what)
        for row in found.drifts
    ]
    widths = [max(len(row[index]) for row in rows) for index in range(3)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(row[:3], widths, strict=True)), clean(row[3])])
        for row in rows
    ]
    return "\n".join([*lines, f"{_count(len(rows), 'difference')}: {looked}"])


def _since(row: Drift, now: datetime, zone: tzinfo | None) -> str:
    from sluice.api.durations import format_duration
    from sluice.cli.tree import local_time

    return "-" if row.since is None else f"{local_time(row.since, zone)} ({format_duration(now - row.since)})"


def _count(number: int, word: str, words: str = "") -> str:
    return f"{number} {word if number == 1 else words or word + 's'}"


def to_json(found: Found, now: datetime) -> str:
    """For programs: `since` and `seconds` are null where nothing tells since when."""
    rows = [
        {
            "object": {"kind": row.object.kind, "namespace": row.object.namespace, "name": row.object.name},
            "kind": str(row.kind),
            "since": row.since.astimezone(UTC).isoformat() if row.since is not None else None,
            "seconds": (now - row.since).total_seconds() if row.since is not None else None,
            "what": row.what,
        }
        for row in found.drifts
    ]
    document = {
        "drifts": rows,
        "canaries": found.canaries,
        "applications": found.applications,
        "notes": found.notes,
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
