"""The program: its verbs, the options before them, and how it ends.

Only what the command line itself needs is imported here; each verb imports the rest when it is called, so that
`sluice --help` and `sluice validate` do not wait for the Kubernetes client.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from sluice.cli import canary, gate
from sluice.cli.cancel import cancel
from sluice.cli.diff import diff
from sluice.cli.dora import dora
from sluice.cli.drift import drift
from sluice.cli.errors import CliError, Exit
from sluice.cli.logs import logs
from sluice.cli.options import Context, Kubeconfig, Namespace, Place, Verbose
from sluice.cli.rerun import rerun
from sluice.cli.run import run
from sluice.cli.validate import validate
from sluice.cli.version import version
from sluice.cli.watch import watch

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)
for verb in (validate, diff, run, rerun, watch, logs, cancel, dora, drift, version):
    app.command()(verb)
app.add_typer(gate.app, name="gate")
app.add_typer(canary.app, name="canary")


@app.callback()
def before_the_verb(
    ctx: typer.Context,
    *,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Data pipelines on Kubernetes, managed from Git: check them, run them, watch them."""
    ctx.obj = Place(namespace, kubeconfig, context, verbose)


def program_name(path: str) -> str:
    """What the user typed: `kubectl sluice` when kubectl found us as its plug-in."""
    name = Path(path).name
    return "kubectl sluice" if name.startswith("kubectl-") else "sluice"


def main() -> None:
    """Run the command line and exit with one of the codes of `sluice.cli.errors`."""
    try:
        app(prog_name=program_name(sys.argv[0]))
    except CliError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has had enough (`| head`). Nothing more may be written when Python closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.NO)


if __name__ == "__main__":
    main()
