"""Which parts of a folder are manifests as they stand, and which have to be built first; and the building.

A folder with a kustomization is built by kustomize, or by kubectl, which has it; a Helm chart by helm. A kustomization that
another one includes is built as a part of that one, not by itself.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from sluice.api.base import Json
from sluice.cli.documents import read_documents
from sluice.cli.errors import CliError, Exit
from sluice.cli.validate import SUFFIXES

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
CHART = "Chart.yaml"
_INCLUDING = ("resources", "bases", "components")
"""Fields of a kustomization that name other folders."""
TIME_LIMIT = 60.0
"""Seconds for building one unit."""
MAX_OUTPUT = 32 * 1024 * 1024
"""Bytes that one unit may come to."""


class Builder(StrEnum):
    """What builds a unit."""

    KUSTOMIZE = "kustomize"
    HELM = "helm"


@dataclass(frozen=True)
class Unit:
    """A folder that has to be built."""

    folder: str
    """From the top of the tree, with /; empty for the top."""
    builder: Builder
    parts: tuple[str, ...] = ()
    """The folders that it is made of, itself first."""

    @property
    def name(self) -> str:
        """As it is shown."""
        return self.folder or "."


@dataclass(frozen=True)
class Parts:
    """What a tree holds."""

    plain: tuple[str, ...]
    """Files that are manifests as they stand."""
    units: tuple[Unit, ...]
    notes: tuple[str, ...] = field(default=())
    """What is neither, and why."""
    beside: tuple[str, ...] = ()
    """Files in the folder of a kustomization that no kustomization names."""


def is_manifest(path: str) -> bool:
    """Whether a file has the name of YAML or JSON and is in no hidden folder."""
    parts = PurePosixPath(path).parts
    return PurePosixPath(path).suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in parts[:-1])


def needs_building(path: str) -> bool:
    """Whether a file makes its folder one that has to be built."""
    return PurePosixPath(path).name in (*KUSTOMIZATIONS, CHART)


def below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies in it."""
    return not folder or path == folder or path.startswith(f"{folder}/")


def parts_of(root: Path, within: str) -> Parts:
    """What the folder `within` of the tree in `root` holds."""
    files = sorted(_files(root, within))
    charts = [posixpath.dirname(path) for path in files if posixpath.basename(path) == CHART]
    charts = [one for one in charts if not any(one != other and below(one, other) for other in charts)]
    folders = {
        posixpath.dirname(path): path
        for path in files
        if posixpath.basename(path) in KUSTOMIZATIONS and not any(below(path, chart) for chart in charts)
    }
    read = {folder: _kustomization(root / path) for folder, path in folders.items()}
    included = {folder: _included(folder, document, root) for folder, document in read.items()}
    tops = _tops({folder: dirs for folder, (dirs, _) in included.items()}, read)
    used = {path for _, paths in included.values() for path in paths}
    loose = [
        path
        for path in files
        if is_manifest(path) and path not in used and not needs_building(path)
        if not any(below(path, chart) for chart in charts)
    ]
    beside = {path for path in loose if any(below(path, folder) for folder in folders)}
    plain = [path for path in loose if path not in beside]
    notes = [
        f"{chart or '.'}: a library chart, which makes nothing by itself" for chart in charts if _library(root / chart)
    ]
    units = [
        *(Unit(top, Builder.KUSTOMIZE, tuple(_closure(top, {f: d for f, (d, _) in included.items()}))) for top in tops),
        *(Unit(chart, Builder.HELM, (chart,)) for chart in charts if not _library(root / chart)),
    ]
    return Parts(tuple(plain), tuple(sorted(units, key=lambda unit: unit.folder)), tuple(notes), tuple(sorted(beside)))


def _files(root: Path, within: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root / within):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        place = Path(folder).relative_to(root).as_posix()
        yield from (posixpath.normpath(f"{place}/{name}") for name in files if (Path(folder) / name).is_file())


def _kustomization(path: Path) -> Mapping[str, Json]:
    """What a kustomization says; {} when it cannot be read, which building it will tell."""
    try:
        documents = list(read_documents(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return {}
    value = documents[0].value if documents else None
    return value if isinstance(value, dict) else {}


def _included(folder: str, document: Mapping[str, Json], root: Path) -> tuple[list[str], list[str]]:
    """(folders, files) of the tree that a kustomization names, of those that exist."""
    folders: list[str] = []
    files: list[str] = []
    for key, value in document.items():
        for name in _strings(value):
            path = posixpath.normpath(posixpath.join(folder, name))
            if len(name) > 1024 or "\0" in name or "://" in name or path.startswith(("..", "/")):
                continue
            if key in _INCLUDING and (root / path).is_dir():
                folders.append("" if path == "." else path)
            elif (root / path).is_file():
                files.append(path)
    return folders, files


def _strings(value: Json) -> Iterator[str]:
    """All strings in a value: wherever a kustomization may name a file, now or in a later version."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _strings(item)
        case dict():
            for item in value.values():
                yield from _strings(item)


def _tops(included: Mapping[str, Sequence[str]], read: Mapping[str, Mapping[str, Json]]) -> list[str]:
    """The kustomizations that are built: those that no other includes; of a circle, its first one, which will say so."""
    named = {folder for one, folders in included.items() for folder in folders if folder != one}
    tops: list[str] = []
    reached: set[str] = set()
    for folder in [*(f for f in sorted(included) if f not in named), *sorted(included)]:
        if folder not in reached:
            tops.append(folder)
            reached.update(_closure(folder, included))
    return [folder for folder in tops if read[folder].get("kind") != "Component"]


def _closure(folder: str, included: Mapping[str, Sequence[str]]) -> list[str]:
    found = [folder]
    for place in found:
        found += [one for one in included.get(place, ()) if one not in found]
    return found


def _library(folder: Path) -> bool:
    return _kustomization(folder / CHART).get("type") == "library"


def build(unit: Unit, root: Path) -> str:
    """The manifests of a unit. CliError when a program is missing, or says no."""
    command = _command(unit, root)
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command,
                cwd=root / unit.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=TIME_LIMIT,
                check=False,
                env={**os.environ, "KUBECONFIG": os.devnull},
            )
        except subprocess.TimeoutExpired as error:
            raise _failed(unit, f"took longer than {TIME_LIMIT:g} s") from error
        except OSError as error:
            raise _failed(unit, f"{command[0]} cannot be started: {error.strerror}") from error
        if done.returncode:
            raise _failed(unit, _words(done.stderr.decode(errors="replace"), root))
        size = output.seek(0, os.SEEK_END)
        if size > MAX_OUTPUT:
            raise _failed(unit, f"came to {size} bytes, more than {MAX_OUTPUT >> 20} MiB")
        output.seek(0)
        return output.read().decode(errors="replace")


def _command(unit: Unit, root: Path) -> list[str]:
    if unit.builder is Builder.HELM:
        if helm := shutil.which("helm"):
            return [helm, "template", _release(unit, root), "."]
        raise _failed(unit, "a Helm chart: helm is not installed here")
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build", "."]
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize", "."]
    raise _failed(unit, "has a kustomization: neither kustomize nor kubectl is installed here")


def _release(unit: Unit, root: Path) -> str:
    """The name of the release: the chart's."""
    name = str(_kustomization(root / unit.folder / CHART).get("name") or unit.folder)
    return re.sub(r"[^a-z0-9-]+", "-", name.lower())[:53].strip("-") or "release"


def _failed(unit: Unit, why: str) -> CliError:
    return CliError(f"{unit.name}: {why}", Exit.USAGE)


def _words(text: str, root: Path) -> str:
    """What a program complained of, without the place where the tree happens to lie."""
    for place in {str(root.resolve()), str(root)}:
        text = text.replace(f"{place}/", "").replace(place, ".")
    lines = [line.strip().removeprefix("Error: ").removeprefix("error: ") for line in text.splitlines()]
    return "; ".join(line for line in lines if line)[:1000] or "failed, and does not say why"
