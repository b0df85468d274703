"""Writes image archives, in the form that `docker save` gives and everybody reads: no image builder is needed for a
folder with one program.

The same content always gives the same bytes, so that an image's identity says what is in it.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.cluster.errors import ClusterError

_TEMPORARY = "/tmp"  # noqa: S108 (in the image)
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(
    target: Path,
    reference: str,
    layer: Path,
    *,
    entrypoint: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    user: str = "",
) -> None:
    """Write to `target` an image of the one tar file `layer`, named `reference`. The file appears whole or not at
    all."""
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": _MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {
                "Entrypoint": list(entrypoint) or None,
                "Env": [f"{name}={value}" for name, value in (environment or {}).items()],
                "User": user,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{}],
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps(
        [{"Config": config_name, "RepoTags": [reference], "Layers": [f"{digest}/layer.tar"]}]
    ).encode()
    temporary = target.with_name(f".{target.name}.new")
    with tarfile.open(temporary, "w") as archive:
        archive.addfile(_file(config_name, len(config)), io.BytesIO(config))
        with layer.open("rb") as content:
            archive.addfile(_file(f"{digest}/layer.tar", layer.stat().st_size), content)
        archive.addfile(_file("manifest.json", len(manifest)), io.BytesIO(manifest))
    temporary.replace(target)


def reference_of(path: Path) -> str:
    """The name of the image in an archive of docker's form. Raises ClusterError if there is none."""
    try:
        with tarfile.open(path) as archive, archive.extractfile("manifest.json") or io.BytesIO(b"[]") as content:
            reference: str = json.load(content)[0]["RepoTags"][0]
            return reference
    except (tarfile.TarError, OSError, KeyError, LookupError, TypeError) as error:
        raise ClusterError(
            f"{path} is no archive of a named image, as `docker save` or `buildah push ... docker-archive:FILE:NAME` "
            f"writes it ({error})"
        ) from error


def layer(
    target: Path,
    programs: Mapping[str, Path],
    links: Mapping[str, str] | None = None,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write a layer: programs and text files by their paths in the image, links by what they point to, and a /tmp
    that all may use."""
    with tarfile.open(target, "w") as tar:
        folders = {
            str(parent) for path in (*programs, *(links or {}), *(texts or {})) for parent in Path(path).parents
        } - {"/"}
        for folder in sorted(folders | {_TEMPORARY}):
            entry = _file(folder, 0, 0o1777 if folder == _TEMPORARY else 0o755)
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
        for path, source in sorted(programs.items()):
            with source.open("rb") as content:
                tar.addfile(_file(path, source.stat().st_size, 0o755), content)
        for path, pointed in sorted((links or {}).items()):
            entry = _file(path, 0, 0o777)
            entry.type = tarfile.SYMTYPE
            entry.linkname = pointed
            tar.addfile(entry)
        for path, text in sorted((texts or {}).items()):
            tar.addfile(_file(path, len(text.encode())), io.BytesIO(text.encode()))


def _file(path: str, size: int, mode: int = 0o644) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.size = size
    entry.mode = mode
    return entry
