"""`sluice diff`: what will happen when a range of commits is merged, without a cluster."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.errors import CliError, Exit
from sluice.cli.options import Output

if TYPE_CHECKING:
    from sluice.cli.diff_output import Answer
    from sluice.cli.sides import Reading
    from sluice.git.trees import Entry, Side
    from sluice.planning.changes.objects import Ref, Tree


def diff(
    revisions: Annotated[
        str,
        typer.Argument(
            metavar="RANGE", help="BASE..HEAD, BASE...HEAD (from their merge base), or BASE against the working tree."
        ),
    ],
    *,
    path: Annotated[
        Path, typer.Option("--path", metavar="DIR", help="Only what this folder holds.", show_default="here")
    ] = Path(),
    output: Annotated[Output, typer.Option("--output", "-o", help="Form of the answer.")] = Output.TEXT,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 3 when something changes.")] = False,
) -> None:
    """Say what will happen when commits are merged: revisions, canaries, gates, what is lost.

    Ends with 0 when all that is new is valid, 1 when it is not, 2 when something cannot be read.
    """
    from sluice.cli.diff_output import to_json, to_markdown, to_text

    if shutil.which("git") is None:
        raise CliError("git is not installed here, and sluice diff reads revisions by it", Exit.USAGE)
    answer = compare_revisions(revisions, path, datetime.now(UTC))
    match output:
        case Output.JSON:
            typer.echo(to_json(answer))
        case Output.MARKDOWN:
            typer.echo(to_markdown(answer))
        case Output.TEXT:
            typer.echo(to_text(answer))
            for note in answer.notes:
                typer.echo(f"note: {note}", err=True)
            for error in answer.errors:
                typer.echo(f"error: {error}", err=True)
    if answer.errors:
        raise typer.Exit(Exit.USAGE)
    if answer.findings:
        raise typer.Exit(Exit.NO)
    raise typer.Exit(Exit.CHANGED if exit_code and answer.changes else Exit.OK)


def compare_revisions(revisions: str, path: Path, now: datetime) -> Answer:
    """Both sides of a range, and what becomes of each object. CliError when a side cannot be read at all."""
    from sluice.cli.checking import Finding
    from sluice.cli.diff_output import Answer
    from sluice.cli.sides import check, objects_of, read_side
    from sluice.git.trees import Repository, TreeError
    from sluice.planning.changes.compare import compare

    try:
        repository = Repository.around(path)
        within = repository.within(path)
        between = repository.range(revisions)
        old_entries, new_entries = (repository.entries(side) for side in (between.base, between.head))
        _must_exist(within, old_entries, new_entries, between.base, between.head)
        old = read_side(repository, between.base, old_entries, within)
        new = read_side(repository, between.head, new_entries, within)
    except TreeError as error:
        raise CliError(str(error), Exit.USAGE) from error
    _set_broken_aside(old, new)
    (base, old_places), (head, places) = objects_of(old), objects_of(new)
    base = _without(
        base, {ref for ref, place in old_places.items() if ref not in head.objects and place.file in new.unread}
    )
    report = check(new, places)
    changes = compare(base, head, now)
    findings = list(report.findings)
    for change in changes:
        for effect in change.effects:
            if effect.at is not None:
                ref, field = effect.at
                place = places[ref]
                row = Finding(
                    place.file, place.line(field), effect.message, ref.kind, ref.namespace or None, ref.name, field
                )
                if row not in findings:
                    findings.append(row)
    notes = [*(f"{between.base.short}: {problem}" for problem in old.problems), *new.notes]
    errors = [*new.broken.values(), *new.problems]
    for left_out in new.skipped:
        untold = _unread_manifest(left_out.path, within, old_entries, new_entries)
        (errors if untold else notes).append(str(left_out))
    return Answer(
        between.base.short, between.head.short, report, tuple(changes), tuple(findings), tuple(notes), tuple(errors)
    )


def _must_exist(within: str, old: list[Entry], new: list[Entry], base: Side, head: Side) -> None:
    from sluice.cli.rendering import below

    if not any(below(entry.path, within) for entry in (*old, *new)):
        raise CliError(
            f"{within or 'the tree'}: no files there, neither in {base.short} nor in {head.short}", Exit.USAGE
        )


def _set_broken_aside(old: Reading, new: Reading) -> None:
    """What cannot be built on one side is compared on neither: all its objects would seem to be new, or gone."""
    for unit, why in old.broken.items():
        new.notes.append(f"not compared, as it could not be built before: {why}")
        if unit not in new.broken and unit in new.sources:
            old.sources[unit] = new.sources[unit]
    for unit in new.broken:
        old.sources.pop(unit, None)


def _without(tree: Tree, refs: set[Ref]) -> Tree:
    """A tree without objects that may still be there, in a file that cannot be read any more."""
    from sluice.planning.changes.objects import Tree

    return Tree({ref: manifest for ref, manifest in tree.objects.items() if ref not in refs})


def _unread_manifest(path: str, within: str, old: list[Entry], new: list[Entry]) -> bool:
    """Whether a file that was not read might have told something new."""
    from sluice.cli.rendering import below, is_manifest

    if not is_manifest(path) or not below(path, within):
        return False
    before, after = (next((entry for entry in entries if entry.path == path), None) for entries in (old, new))
    if before is None or after is None:
        return True
    return before.blob != after.blob if before.blob and after.blob else before.size != after.size
