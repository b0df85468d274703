"""`sluice gate`: a QualityGate on a laptop, and what gates came to in a cluster.

run    the gate's checks on files
test   the gate's embedded examples
show   what the gates of a run in the cluster came to
"""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.errors import CliError, Exit
from sluice.cli.options import Context, Kubeconfig, Namespace, Place, RunName, Verbose

if TYPE_CHECKING:
    from sluice.api.gate import Examples, QualityGateSpec
    from sluice.checks.sql import When

app = typer.Typer(no_args_is_help=True, help="Try a QualityGate on files, and see what gates came to in runs.")

GateFile = Annotated[Path, typer.Argument(metavar="GATE", help="File with a QualityGate.")]


@app.command("run")
def run(
    gate: GateFile,
    *,
    data: Annotated[
        list[str], typer.Option("--data", metavar="[SOURCE=]URI", help="Where a source lies. Repeatable.")
    ] = [],  # noqa: B006 - typer copies it
    interval: Annotated[
        str | None, typer.Option("--interval", metavar="START/END", help="The data interval, for window checks.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
    quarantine: Annotated[
        Path | None, typer.Option("--quarantine", metavar="FOLDER", help="Where rows go that are set aside.")
    ] = None,
    passing: Annotated[
        Path | None, typer.Option("--passing", metavar="FOLDER", help="Where the rest goes, when the gate lets it.")
    ] = None,
    memory: Annotated[str, typer.Option("--memory", help="Memory for DuckDB; beyond it, it spills.")] = "512MB",
) -> None:
    """Run the checks of a gate on files: parquet, csv or json.

    Ends with 0 on Pass and Warn, 1 on Fail, 4 when nothing is known (Inconclusive, Error).
    """
    _need_duckdb()
    from sluice.checks.engine import evaluate
    from sluice.checks.evidence import to_json, to_lines
    from sluice.checks.files import CannotWrite
    from sluice.checks.page import to_html
    from sluice.checks.sources import Resources
    from sluice.planning.verdicts import Decision

    name, spec = _load(gate)
    try:
        report = evaluate(
            name,
            spec,
            _uris(spec, data),
            _when(interval),
            Resources(memory=memory),
            quarantine=quarantine,
            passing=passing,
        )
    except CannotWrite as error:
        raise CliError(str(error), Exit.USAGE) from error
    if html is not None:
        html.write_text(to_html(to_json(report)))
    if output == "json":
        typer.echo(json.dumps(to_json(report), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(to_lines(report)))
        if names := ", ".join(check.name for check in spec.metric_checks()):
            typer.echo(f"not looked at here, since metrics are asked in the cluster: {names}")
        if html is not None:
            typer.echo(f"report: {html}")
    codes = {Decision.CONTINUE: Exit.OK, Decision.STOP: Exit.NO, Decision.HOLD: Exit.UNKNOWN}
    raise typer.Exit(codes[report.decision])


@app.command("test")
def test(gate: GateFile) -> None:
    """Run the gate's embedded examples: rows that have to pass, and rows that have to fail.

    Ends with 0 when all come out as stated, 1 when not.
    """
    _need_duckdb()
    _, spec = _load(gate)
    wrong = total = 0
    for examples in spec.examples:
        for row in (*examples.passing, *examples.failing):
            total += 1
            message = _try(spec, examples, row, passing=row in examples.passing)
            if message is not None:
                wrong += 1
                typer.echo(f"{examples.source}: {json.dumps(row, ensure_ascii=False)}: {message}")
    if not total:
        raise CliError(f"{gate}: the gate has no examples; add spec.examples", Exit.USAGE)
    typer.echo(f"{total} examples: {total - wrong} as stated, {wrong} not")
    raise typer.Exit(Exit.NO if wrong else Exit.OK)


@app.command("show")
def show(
    ctx: typer.Context,
    run: RunName,
    step: Annotated[str | None, typer.Argument(metavar="STEP", help="Only the gate of this step.")] = None,
    *,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report on the data as a page. Needs STEP.")
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    verbose: Verbose = False,
) -> None:
    """Show what the gates of a run came to: the verdict, and each check with what was found.

    Details of checks on data come from the log of the gate's pod, which is kept as long as the run.
    """
    from sluice.cli.gate_show import document_of, find_gates, lines_of
    from sluice.cli.session import converse

    if html is not None and step is None:
        raise CliError("--html needs a STEP", Exit.USAGE)
    place = Place.of(ctx, namespace=namespace, kubeconfig=kubeconfig, context=context, verbose=verbose)
    shown = converse(place, lambda session: find_gates(session, run, step))
    if html is not None:
        from sluice.checks.page import to_html

        if shown[0].report is None:
            raise CliError(f"step {step} has no report on data: its gate looks at metrics alone, or its pod is gone")
        html.write_text(to_html(shown[0].report))
    if output == "json":
        typer.echo(json.dumps(document_of(shown), indent=2, ensure_ascii=False))
    else:
        for one in shown:
            typer.echo("\n".join(lines_of(one)))
        if html is not None:
            typer.echo(f"report: {html}")


def _need_duckdb() -> None:
    if importlib.util.find_spec("duckdb") is None:
        raise CliError("checks on data need DuckDB: pip install 'sluice-operator[gates]'", Exit.USAGE)


def _try(spec: QualityGateSpec, examples: Examples, row: object, *, passing: bool) -> str | None:
    """What is wrong with an example, None when it comes out as stated."""
    from sluice.checks.engine import evaluate_rows
    from sluice.planning.verdicts import Outcome

    if not isinstance(row, dict) or not row:
        return "an example has to be an object with columns"
    findings = evaluate_rows(spec, examples.source, row, _when(None))
    failed = [finding for finding in findings if finding.outcome in (Outcome.FAIL, Outcome.ERROR)]
    if passing and failed:
        return f"has to pass, but {failed[0].check.name} says: {failed[0].message}"
    if not passing and not any(finding.outcome is Outcome.FAIL for finding in findings):
        return "has to fail, but no check fails"
    return None


def _load(path: Path) -> tuple[str, QualityGateSpec]:
    """(name, spec) of the only QualityGate in a file."""
    from sluice.api.gate import QualityGateSpec
    from sluice.cli.documents import read_documents
    from sluice.planning.validation import check_manifest

    try:
        documents = list(read_documents(path.read_text()))
    except OSError as error:
        raise CliError(f"{path}: {error.strerror or error}", Exit.USAGE) from error
    for document in documents:
        if document.problems:
            raise CliError(f"{path}:{document.problems[0].line}: {document.problems[0].message}", Exit.USAGE)
    gates = [row for row in documents if isinstance(row.value, dict) and row.value.get("kind") == "QualityGate"]
    if len(gates) != 1:
        raise CliError(f"{path}: exactly one QualityGate is needed, not {len(gates)}", Exit.USAGE)
    manifest = gates[0].value
    assert isinstance(manifest, dict)
    if errors := check_manifest(manifest):
        raise CliError("\n".join(f"{path}:{gates[0].line_of(error.field)}: {error}" for error in errors), Exit.NO)
    spec = QualityGateSpec.model_validate(manifest["spec"])
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return str(name or path.stem), spec


def _uris(spec: QualityGateSpec, data: list[str]) -> dict[str, str]:
    """{source: URI} of the --data options. A gate with a single source needs no name."""
    sources = {check.on_data.source for check in spec.data_checks()} | {source.name for source in spec.sources}
    uris = {}
    for text in data:
        name, separator, uri = text.partition("=")
        if separator and name in sources:
            uris[name] = uri
        elif len(sources) == 1:
            uris[next(iter(sources))] = text
        else:
            raise CliError(f"--data {text}: SOURCE=URI is needed; sources: {', '.join(sorted(sources))}", Exit.USAGE)
    return uris


def _when(interval: str | None) -> When:
    from sluice.checks.sql import When

    now = datetime.now(UTC)
    if interval is None:
        return When(now)
    start, _, end = interval.partition("/")
    try:
        moments = [datetime.fromisoformat(text) for text in (start, end)]
    except ValueError as error:
        raise CliError(f"--interval {interval}: START/END in ISO 8601 is needed: {error}", Exit.USAGE) from error
    first, last = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in moments)
    return When(now, first, last)
