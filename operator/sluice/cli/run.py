"""`sluice run`: start a run of a pipeline by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.errors import CliError, Exit
from sluice.cli.options import Context, Kubeconfig, Namespace, Place, Timeout, Verbose

if TYPE_CHECKING:
    from sluice.api.base import Json
    from sluice.api.pipeline import DataPipelineSpec
    from sluice.api.run import Interval
    from sluice.cli.session import Session

_TRIES = 5
"""Random names that are tried before giving up; one in 14 million is taken by each run that exists."""


def run(
    ctx: typer.Context,
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Name of a DataPipeline.")],
    *,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="Value of a parameter. Arrays and objects as JSON."),
    ] = None,
    params_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="YAML or JSON with parameters; --param is stronger. - is stdin.")
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(
            metavar="START/END", help="Data interval. Times without a zone are in the schedule's zone, or UTC."
        ),
    ] = None,
    day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Data interval: this day in the schedule's zone, or UTC.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the run.", show_default="PIPELINE-xxxxx")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Watch it, and end as `watch` does.")] = False,
    timeout: Timeout = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Start a run of a pipeline.

    Parameters are checked before anything is sent.
    """
    from sluice.cli.session import converse, seconds_of

    if interval is not None and day is not None:
        raise CliError("give --interval or --day, not both", Exit.USAGE)
    if timeout is not None and not watch:
        raise CliError("--timeout is for --watch", Exit.USAGE)
    limit = seconds_of(timeout)
    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    given = _read_file(params_file) if params_file is not None else {}

    async def action(session: Session) -> Exit:
        from sluice.cli.new_run import spec_of
        from sluice.cli.params import parse_params
        from sluice.kube.resources import DATA_PIPELINES

        found = await session.client.get(DATA_PIPELINES, session.namespace, pipeline)
        spec = spec_of(found)
        values = {**given, **parse_params(param or [], spec.params)}
        created = await _create(session, found, spec, name, values, _interval(spec, interval, day))
        typer.echo(f"pipelinerun.sluice.dev/{created} created")
        if not watch:
            return Exit.OK
        from sluice.cli.watch import watch_run

        return await watch_run(session, created, limit)

    raise typer.Exit(converse(place, action))


def _read_file(path: str) -> dict[str, Json]:
    import sys

    from sluice.cli.params import read_params

    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"--params-file {path}: {getattr(error, 'strerror', None) or error}", Exit.USAGE) from error
    return read_params("<stdin>" if path == "-" else path, text)


def _interval(spec: DataPipelineSpec, interval: str | None, day: str | None) -> Interval | None:
    from sluice.cli.intervals import interval_of_day, parse_interval, zone_of

    if day is not None:
        return interval_of_day(day, zone_of(spec.schedule))
    return parse_interval(interval, zone_of(spec.schedule)) if interval is not None else None


async def _create(
    session: Session,
    pipeline: dict[str, Any],
    spec: DataPipelineSpec,
    name: str | None,
    params: dict[str, Json],
    interval: Interval | None,
) -> str:
    """The name of the new run, checked by the rules of the cluster before it is sent."""
    from random import Random

    from sluice.api.run import PipelineRunSpec
    from sluice.cli.new_run import build_run, random_name
    from sluice.kube.errors import AlreadyExists, TransportError
    from sluice.kube.resources import PIPELINE_RUNS
    from sluice.planning.validation import check_manifest, check_run

    dice = Random()
    for rest in reversed(range(_TRIES)):
        manifest = build_run(pipeline, name or random_name(pipeline["metadata"]["name"], dice), params, interval)
        errors = check_manifest(manifest) or check_run(PipelineRunSpec.model_validate(manifest["spec"]), spec)
        if errors:
            raise CliError("the run would be refused: " + "; ".join(map(str, errors)))
        wanted: str = manifest["metadata"]["name"]
        try:
            await session.client.create(PIPELINE_RUNS, session.namespace, manifest)
            return wanted
        except AlreadyExists:
            if name is not None or rest == 0:
                raise
        except TransportError as error:
            look = f"kubectl -n {session.namespace} get prun {wanted}"
            raise CliError(f"no answer: whether the run was made is not known; see: {look}", Exit.UNKNOWN) from error
    raise AssertionError("unreachable")
