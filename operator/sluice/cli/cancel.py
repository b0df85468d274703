"""`sluice cancel`: ask for the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from sluice.cli.options import Context, Kubeconfig, Namespace, Place, RunName, Verbose

if TYPE_CHECKING:
    from sluice.cli.session import Session


def cancel(
    ctx: typer.Context,
    run: RunName,
    *,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Cancel a run: steps under way are stopped, finally steps run.

    Cancelling a run that has ended does nothing.
    """
    from sluice.cli.session import converse

    async def action(session: Session) -> str:
        from sluice.cli.run_state import read_run
        from sluice.kube.resources import PIPELINE_RUNS

        changed = await session.client.patch_merge(PIPELINE_RUNS, session.namespace, run, {"spec": {"cancel": True}})
        phase = read_run(changed).status.phase
        return f"has already ended: {phase}" if phase.ended else "is being cancelled"

    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    typer.echo(f"pipelinerun.sluice.dev/{run} {converse(place, action)}")
