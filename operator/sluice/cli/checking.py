"""Judges the objects of a set of files, as `sluice validate` prints it. Pure: text in, findings out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sluice.api.base import Json
from sluice.api.names import API_VERSION, GROUP
from sluice.api.pipeline import DataPipelineSpec
from sluice.api.run import PipelineRunSpec
from sluice.api.schema import FieldError, kinds, required, show
from sluice.cli.documents import Document, read_documents
from sluice.planning.validation import check_manifest, check_run

OUR_MARK = f"{GROUP}/v"
"""What a file has to hold, as the text of an apiVersion, to be about us."""

_UNKNOWN_FIELD = 'strict decoding error: unknown field "'


@dataclass(frozen=True)
class Source:
    """A text to be checked."""

    name: str
    """As it is printed: the path, or <stdin>."""
    text: str
    named: bool = True
    """Whether the user named it. What a folder happens to hold may be of another kind altogether, and even no YAML."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and where."""

    file: str
    line: int
    message: str
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    field: str | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"

    def to_dict(self) -> dict[str, Json]:
        """As it appears in JSON."""
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Report:
    """All that was found."""

    findings: tuple[Finding, ...]
    files: int
    objects: int
    """Objects of ours."""
    invalid: int
    """Those of them with findings."""
    others: int
    """Documents that are none of ours; they are not judged."""
    unreadable: int
    """Documents that are no YAML."""
    passed_over: tuple[str, ...]
    """Files in folders that are no YAML and say nothing of us."""

    @property
    def valid(self) -> bool:
        """True when nothing is wrong."""
        return not self.findings

    def verdict(self) -> str:
        """The last line."""
        head = f"{_count(self.objects, 'object')} in {_count(self.files, 'file')}"
        parts = [f"{self.objects - self.invalid} valid, {self.invalid} invalid"] if self.objects else []
        if self.unreadable:
            parts.append(f"{_count(self.unreadable, 'document')} unreadable")
        if not self.objects and not self.unreadable:
            parts.append(f"none of {GROUP}")
        if self.others:
            parts.append(f"{_count(self.others, 'other object')} not checked")
        return f"{head}: {', '.join(parts)}"

    def to_dict(self) -> dict[str, Json]:
        """As it appears in JSON."""
        return {
            "valid": self.valid,
            "files": self.files,
            "objects": self.objects,
            "invalid": self.invalid,
            "others": self.others,
            "unreadable": self.unreadable,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


@dataclass(frozen=True)
class _Object:
    """One object of ours."""

    file: str
    document: Document
    manifest: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.manifest.get("kind"))

    def metadata(self, key: str) -> str | None:
        metadata = self.manifest.get("metadata")
        value = metadata.get(key) if isinstance(metadata, dict) else None
        return value if isinstance(value, str) and value else None

    @property
    def place(self) -> tuple[str, str | None, str | None]:
        return self.kind, self.metadata("namespace"), self.metadata("name")

    @property
    def line(self) -> int:
        return self.document.line_of("metadata.name")

    def finding(self, line: int, message: str, field: str | None = None) -> Finding:
        kind, namespace, name = self.place
        return Finding(self.file, line, message, kind, namespace, name or self.metadata("generateName"), field)


def check_sources(sources: Iterable[Source]) -> Report:
    """Everything wrong with the objects in `sources`."""
    findings: list[Finding] = []
    objects: list[_Object] = []
    passed_over: list[str] = []
    files = others = unreadable = 0
    for source in sources:
        files += 1
        for document in read_documents(source.text):
            if isinstance(document.value, dict):
                ours = list(_ours(source.name, document))
                objects += ours
                others += not ours
            elif source.named or OUR_MARK in document.text:
                unreadable += 1
                findings += [Finding(source.name, line, message) for line, message in _no_object(document)]
            elif document.readable:
                others += 1
            elif source.name not in passed_over:
                passed_over.append(source.name)
    invalid = 0
    for found in _judge(objects):
        invalid += bool(found)
        findings += found
    return Report(tuple(findings), files, len(objects), invalid, others, unreadable, tuple(passed_over))


def _no_object(document: Document) -> Iterator[tuple[int, str]]:
    """(line, message): why a document is not even an object."""
    if document.readable:
        what = "list" if isinstance(document.value, list) else "single value"
        yield document.line, f"a document must be a mapping (apiVersion, kind, ...), not a {what}"
    for problem in document.problems:
        yield problem.line, problem.message


def _ours(file: str, document: Document) -> Iterator[_Object]:
    """The objects of ours in a document."""
    for part, manifest in unfolded(document):
        if _is_ours(manifest):
            yield _Object(file, part, manifest)


def unfolded(document: Document) -> Iterator[tuple[Document, dict[str, Json]]]:
    """The objects in a document: itself, or the items of a List."""
    value = document.value
    if not isinstance(value, dict):
        return
    items = value.get("items")
    if str(value.get("kind", "")).endswith("List") and isinstance(items, list):
        for index, item in enumerate(items):
            if isinstance(item, dict):
                yield from unfolded(document.part(f"items[{index}]", item))
    else:
        yield document, value


def _is_ours(manifest: dict[str, Json]) -> bool:
    """Whether the object is meant for us. Others have a PipelineRun too; a group spelled almost right is ours."""
    api_version, kind = manifest.get("apiVersion"), manifest.get("kind")
    known = isinstance(kind, str) and kind in kinds()
    group = api_version.split("/")[0] if isinstance(api_version, str) and "/" in api_version else ""
    if group:
        return group == GROUP or (known and difflib.SequenceMatcher(None, group, GROUP).ratio() > 0.8)
    return known


def _judge(objects: Sequence[_Object]) -> Iterator[list[Finding]]:
    """What is wrong with each object, alone and beside the others."""
    first: dict[tuple[str, str | None, str | None], _Object] = {}
    for each in objects:
        if each.metadata("name"):
            first.setdefault(each.place, each)
    for each in objects:
        found = [each.finding(problem.line, problem.message, problem.path) for problem in each.document.problems]
        errors = _errors_of(each)
        if not errors and each.kind == "PipelineRun":
            errors = _errors_beside(each, first)
        found += [each.finding(_line_of(each.document, error), str(error), _path(error)) for error in errors]
        before = first.get(each.place, each)
        if before is not each:
            where = f"{before.file}:{before.line}"
            duplicate = FieldError("metadata.name", "Duplicate value", show(each.metadata("name")), f"also in {where}")
            found.append(each.finding(each.line, str(duplicate), "metadata.name"))
        yield sorted(found, key=lambda finding: finding.line)


def _errors_of(each: _Object) -> list[FieldError]:
    if not each.manifest.get("kind"):
        return [required("kind")]
    if each.kind not in kinds():
        known = ", ".join(show(kind) for kind in kinds())
        near = difflib.get_close_matches(each.kind, kinds(), 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        detail = f"supported values: {known}{hint}"
        return [FieldError("kind", "Unsupported value", show(each.manifest.get("kind")), detail)]
    return check_manifest(each.manifest)


def _errors_beside(run: _Object, objects: dict[tuple[str, str | None, str | None], _Object]) -> list[FieldError]:
    """What is wrong with a run, given its pipeline, when that is in the set and can be read."""
    try:
        spec = PipelineRunSpec.model_validate(run.manifest.get("spec"))
        pipeline = objects.get(("DataPipeline", run.metadata("namespace"), spec.pipeline.name))
        if pipeline is None or pipeline.manifest.get("apiVersion") != API_VERSION:
            return []
        return check_run(spec, DataPipelineSpec.model_validate(pipeline.manifest.get("spec")))
    except ValidationError:
        return []  # Of the run, check_manifest has said it; of the pipeline, it is said where that stands.


def _path(error: FieldError) -> str | None:
    """The field that an error is about. An unknown field is named in the text only."""
    if error.problem.startswith(_UNKNOWN_FIELD):
        return error.problem.removeprefix(_UNKNOWN_FIELD).removesuffix('"')
    return error.field or None


def _line_of(document: Document, error: FieldError) -> int:
    return document.line_of(_path(error) or "")
