"""`sluice rerun`: run again what failed in a run, or all from a step on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.errors import CliError, Exit
from sluice.cli.options import Context, Kubeconfig, Namespace, Place, RunName, Timeout, Verbose

if TYPE_CHECKING:
    from sluice.cli.session import Session
    from sluice.kube.client import Object
    from sluice.planning.views import RunView

_TRIES = 5
"""Random names that are tried before giving up, as `sluice run` does."""


def rerun(
    ctx: typer.Context,
    run: RunName,
    *,
    from_: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="STEP", help="Run this step again too, and all downstream of it. Repeatable."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the new run.", show_default="PIPELINE-xxxxx")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Watch it, and end as `watch` does.")] = False,
    timeout: Timeout = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Run again what did not succeed in a run that has ended, as a new run.

    What succeeded is taken over with its outputs, unless it is downstream of what runs again. Finally steps always run.
    Revision, parameters and interval are those of RUN, which stays as it is.
    """
    from sluice.cli.session import converse, seconds_of

    if timeout is not None and not watch:
        raise CliError("--timeout is for --watch", Exit.USAGE)
    limit = seconds_of(timeout)
    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)

    async def action(session: Session) -> Exit:
        from sluice.kube.resources import PIPELINE_RUNS

        old = await session.client.get(PIPELINE_RUNS, session.namespace, run)
        created, told = await _create(session, old, name, list(dict.fromkeys(from_ or ())))
        typer.echo(f"pipelinerun.sluice.dev/{created} created")
        if told:
            typer.echo(told)
        if not watch:
            return Exit.OK
        from sluice.cli.watch import watch_run

        return await watch_run(session, created, limit)

    raise typer.Exit(converse(place, action))


async def _create(session: Session, old: Object, name: str | None, from_: list[str]) -> tuple[str, str]:
    """The name of the new run, checked by the rules of the cluster before it is sent, and what it will do."""
    from random import Random

    from sluice.api.run import PipelineRunSpec
    from sluice.cli.new_run import build_rerun, random_name
    from sluice.cli.run_state import read_run
    from sluice.kube.errors import AlreadyExists, TransportError
    from sluice.kube.resources import PIPELINE_RUNS
    from sluice.planning.rerun import check_rerun
    from sluice.planning.validation import check_manifest
    from sluice.reconcile.caches import project_run

    read_run(old)  # says what is wrong with a status of a newer version
    view = project_run(old)
    told, dice = "", Random()
    for rest in reversed(range(_TRIES)):
        manifest = build_rerun(old, name or random_name(view.pipeline, dice), from_)
        errors = check_manifest(manifest) or check_rerun(PipelineRunSpec.model_validate(manifest["spec"]), view)
        if errors:
            raise CliError("the run would be refused: " + "; ".join(map(str, errors)))
        told = told or await _foretold(session, view, from_)
        wanted: str = manifest["metadata"]["name"]
        try:
            await session.client.create(PIPELINE_RUNS, session.namespace, manifest)
            return wanted, told
        except AlreadyExists:
            if name is not None or rest == 0:
                raise
        except TransportError as error:
            look = f"kubectl -n {session.namespace} get prun {wanted}"
            raise CliError(f"no answer: whether the run was made is not known; see: {look}", Exit.UNKNOWN) from error
    raise AssertionError("unreachable")


async def _foretold(session: Session, old: RunView, from_: list[str]) -> str:
    """Which steps run again and which do not; "" for whoever may not read revisions. Raises CliError for unknown steps."""
    from pydantic import ValidationError

    from sluice.api.run import Rerun
    from sluice.cli.show_run import spec_of_revision
    from sluice.kube.errors import Forbidden, NotFound
    from sluice.kube.resources import CONTROLLER_REVISIONS
    from sluice.planning.rerun import check_from, run_again

    revision = old.status.revision or ""
    try:
        spec = spec_of_revision(await session.client.get(CONTROLLER_REVISIONS, session.namespace, revision))
    except NotFound as error:
        raise CliError(
            f'the revision "{revision}" of run {old.name} is gone; start another run: sluice run {old.pipeline}'
        ) from error
    except (Forbidden, ValidationError):
        return ""
    if errors := check_from(Rerun.model_validate({"of": old.name, "from": from_}), spec):
        raise CliError("the run would be refused: " + "; ".join(map(str, errors)))
    again = run_again(spec, old.status, from_)
    names = [step.name for step in spec.all_steps()]
    kept = ", ".join(name for name in names if name not in again) or "nothing"
    return f"runs again: {', '.join(name for name in names if name in again)}\ntaken over from {old.name}: {kept}"
