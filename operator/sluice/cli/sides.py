"""One side of a comparison, from a Git tree to objects: what is to be built is built, in a folder that goes afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sluice.cli.checking import OUR_MARK, Finding, Report, Source, check_sources, unfolded
from sluice.cli.documents import Document, read_documents
from sluice.cli.errors import CliError
from sluice.cli.rendering import Builder, Unit, below, build, is_manifest, needs_building, parts_of
from sluice.cli.validate import decode
from sluice.git.trees import Entry, Repository, Side, Skipped, select
from sluice.planning.changes.objects import Manifest, Ref, Tree


@dataclass(frozen=True)
class Place:
    """Where an object stands."""

    file: str
    document: Document

    def line(self, path: str = "metadata.name") -> int:
        """The line of a field of it."""
        return self.document.line_of(path)


@dataclass
class Reading:
    """What a side holds."""

    sources: dict[str, list[Source]] = field(default_factory=dict)
    """By unit; the empty name is that of plain files."""
    origins: dict[str, list[Source]] = field(default_factory=dict)
    """By unit that kustomize has built: the files that it was built from."""
    broken: dict[str, str] = field(default_factory=dict)
    """By unit that cannot be built: why."""
    skipped: list[Skipped] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What cannot be read."""
    notes: list[str] = field(default_factory=list)
    """What was passed over, and why."""
    unread: set[str] = field(default_factory=set)
    """Files of which not all objects are known."""


def read_side(repository: Repository, side: Side, entries: Sequence[Entry], within: str) -> Reading:
    """Everything that the folder `within` of a side holds."""
    inside = select(entries, lambda path: below(path, within))
    built = any(needs_building(entry.path) for entry in inside)
    # What is built may need any file of the repository: a base beside it, a script that becomes a ConfigMap.
    wanted = list(entries) if built else select(inside, is_manifest)
    with tempfile.TemporaryDirectory(prefix="sluice-diff-") as folder:
        root = Path(folder).resolve()
        skipped = repository.write(side, wanted, root)
        reading = Reading(skipped=skipped, unread={row.path for row in skipped})
        parts = parts_of(root, within)
        reading.notes += parts.notes
        reading.sources[""] = _texts(root, parts.plain, reading)
        for source in _texts(root, parts.beside, reading):
            if OUR_MARK in source.text:
                reading.sources[""].append(source)
                reading.notes.append(f"{source.name}: no kustomization names it; it is read as it stands")
        for unit in parts.units:
            try:
                text = build(unit, root)
            except CliError as error:
                reading.broken[unit.folder or "."] = str(error)
                continue
            reading.sources[unit.folder or "."] = [Source(f"{unit.name} ({unit.builder})", text)]
            if unit.builder is Builder.KUSTOMIZE:
                reading.origins[unit.folder or "."] = _origins(unit, root)
    return reading


def _texts(root: Path, paths: Sequence[str], reading: Reading) -> list[Source]:
    texts = []
    for path in paths:
        try:
            source = decode(path, (root / path).read_bytes(), named=False)
        except CliError as problem:
            reading.problems.append(str(problem))
            reading.unread.add(path)
        except OSError as error:
            reading.problems.append(f"{path}: {error.strerror}")
            reading.unread.add(path)
        else:
            if source is None:
                reading.notes.append(f"{path}: not UTF-8 text, and not about sluice.dev: passed over")
            else:
                texts.append(source)
    return texts


def _origins(unit: Unit, root: Path) -> list[Source]:
    """The YAML files in the folders of a unit."""
    found = []
    for folder in unit.parts:
        for path in sorted((root / folder).glob("*")):
            if path.is_file() and is_manifest(path.name):
                text = path.read_bytes().decode(errors="replace")
                found.append(Source(path.relative_to(root).as_posix(), text, named=False))
    return found


def objects_of(reading: Reading) -> tuple[Tree, Mapping[Ref, Place]]:
    """The objects of a side, and where they stand."""
    objects: dict[Ref, Manifest] = {}
    places: dict[Ref, Place] = {}
    for unit, sources in reading.sources.items():
        for source in sources:
            for whole in read_documents(source.text):
                if not whole.readable:
                    reading.unread.add(source.name)
                    if OUR_MARK not in whole.text:
                        problem = whole.problems[0]
                        reading.notes.append(f"{source.name}:{problem.line}: {problem.message}: passed over")
                for document, manifest in unfolded(whole):
                    ref = Ref.of(manifest, unit)
                    if ref is not None and "apiVersion" in manifest and ref not in objects:
                        objects[ref], places[ref] = manifest, Place(source.name, document)
    for unit, sources in reading.origins.items():
        _trace(unit, sources, places)
    return Tree(objects), places


def _trace(unit: str, sources: Sequence[Source], places: dict[Ref, Place]) -> None:
    """Put in the file that an object of a built unit comes from, where kind and name tell it without doubt."""
    found: dict[tuple[str, str, str], list[Place]] = {}
    for source in sources:
        for whole in read_documents(source.text):
            for document, manifest in unfolded(whole):
                ref = Ref.of(manifest)
                if ref is not None:
                    found.setdefault((ref.group, ref.kind, ref.name), []).append(Place(source.name, document))
    for ref in places:
        origin = found.get((ref.group, ref.kind, ref.name), [])
        if ref.unit == unit and len(origin) == 1:
            places[ref] = origin[0]


def check(reading: Reading, places: Mapping[Ref, Place]) -> Report:
    """What `sluice validate` says of a side, each unit by itself; of what was built, at its origin where that is known."""
    reports = []
    for unit, sources in reading.sources.items():
        report = check_sources(sources)
        if unit:
            findings = tuple(_at_origin(finding, unit, places) for finding in report.findings)
            report = replace(report, findings=findings)
        reports.append(report)
    return Report(
        findings=tuple(finding for report in reports for finding in report.findings),
        files=sum(report.files for report in reports),
        objects=sum(report.objects for report in reports),
        invalid=sum(report.invalid for report in reports),
        others=sum(report.others for report in reports),
        unreadable=sum(report.unreadable for report in reports),
        passed_over=tuple(name for report in reports for name in report.passed_over),
    )


def _at_origin(finding: Finding, unit: str, places: Mapping[Ref, Place]) -> Finding:
    for ref, place in places.items():
        same = (ref.unit, ref.kind, ref.name, ref.namespace) == (
            unit,
            finding.kind,
            finding.name,
            finding.namespace or "",
        )
        if same and ref.ours and place.file != finding.file:
            return replace(finding, file=place.file, line=place.line(finding.field or "metadata.name"))
    return finding
