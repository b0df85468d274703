"""`sluice validate`: what the API server would say of the files, without a cluster."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.errors import CliError, Exit

if TYPE_CHECKING:
    from sluice.cli.checking import Source

SUFFIXES = frozenset((".yaml", ".yml", ".json"))


class Output(StrEnum):
    """Forms of the answer."""

    TEXT = "text"
    JSON = "json"


def validate(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Files, folders (with all below them), or - for stdin.")
    ],
    *,
    output: Annotated[Output, typer.Option("--output", "-o", help="Form of the answer.")] = Output.TEXT,
) -> None:
    """Check manifests by the rules of the cluster, without a cluster.

    Ends with 0 when all objects are valid, 1 when one is not, 2 when a file cannot be read.
    """
    from sluice.cli.checking import check_sources

    problems: list[CliError] = []
    report = check_sources(read_all(paths, problems))
    if output is Output.JSON:
        answer = {**report.to_dict(), "errors": [str(problem) for problem in problems]}
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        for finding in report.findings:
            typer.echo(str(finding))
        if names := report.passed_over:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            typer.echo(f"passed over, neither YAML nor about sluice.dev: {', '.join(names[:3])}{more}", err=True)
        for problem in problems:
            typer.echo(f"error: {problem}", err=True)
        if report.files:
            typer.echo(report.verdict())
    if problems:
        raise typer.Exit(Exit.USAGE)
    raise typer.Exit(Exit.OK if report.valid else Exit.NO)


def read_all(paths: list[str], problems: list[CliError]) -> Iterator[Source]:
    """The texts at `paths`, each file once. What cannot be read is put into `problems`."""
    seen: set[str] = set()
    for path in paths:
        files = list(_files(path))
        if not files:
            problems.append(CliError(f"{path}: no *.yaml, *.yml or *.json files in this folder", Exit.USAGE))
        for name, named in files:
            identity = os.path.realpath(name)
            try:
                source = _read(name, named=named) if identity not in seen else None
            except CliError as problem:
                problems.append(problem)
                continue
            seen.add(identity)
            if source is not None:
                yield source


def _files(path: str) -> Iterator[tuple[str, bool]]:
    """(name, whether the user named it) of the files at `path`, in order. Hidden folders are passed over."""
    if path == "-" or not Path(path).is_dir():
        yield path, True
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES:
                yield str(Path(folder) / name), False


def _read(name: str, *, named: bool) -> Source | None:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CliError(f"{name}: {error.strerror or error}", Exit.USAGE) from error
    return decode("<stdin>" if name == "-" else name, data, named=named)


def decode(name: str, data: bytes, *, named: bool) -> Source | None:
    """A file as text. CliError when it is no UTF-8; None when it is not either, and says nothing of us."""
    from sluice.cli.checking import OUR_MARK, Source

    try:
        return Source(name, data.decode("utf-8-sig"), named)
    except UnicodeDecodeError as error:
        if not named and OUR_MARK.encode() not in data:
            return None
        line = data.count(b"\n", 0, error.start) + 1
        raise CliError(f"{name}:{line}: not UTF-8 text", Exit.USAGE) from error
