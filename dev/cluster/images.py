"""The project's images: their names, made from what goes into them, and their archives in the cache.

The name of an image says its content, so whether it has to be built or loaded is a question of whether the name is
known. This is the one place that knows the names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from dev.cluster import dockerfile, progress
from dev.cluster.builders import Builder
from dev.cluster.cluster import Archive
from dev.cluster.commands import run
from dev.cluster.errors import ClusterError
from dev.cluster.settings import CHECKOUT, Settings

TARGETS = ("operator", "operator-gate", "example-flights", "example-pricing")
"""The targets of the Dockerfile that become images."""
BUSYBOX = "localhost/sluice/busybox:1"
"""A shell for tests; see small_images.py."""
GRPC_CALLER = "localhost/sluice/grpc-caller:1"
"""A gRPC service that says which version it is; see components/grpc-caller. Another text of it takes another tag."""
_KEPT_ARCHIVES = 3


class ProjectImages:
    """The images that are built from the checkout."""

    def __init__(self, settings: Settings, builder: Builder) -> None:
        self._settings = settings
        self._builder = builder

    @property
    def known(self) -> bool:
        """Whether there is a Dockerfile to build them, or a tag to pull them by."""
        return self._settings.image_tag is not None or (CHECKOUT / "Dockerfile").exists()

    def require_published(self) -> None:
        """Raise ClusterError unless the images come from a registry."""
        if self._settings.image_tag is None:
            raise ClusterError(
                "images built here cannot be brought to a given cluster: push them to a registry that it can pull from "
                "and set SLUICE_IMAGE_REPO and SLUICE_IMAGE_TAG, or leave the operator out with --no-operator"
            )

    def references(self) -> dict[str, str]:
        """The full names by target, for the checkout as it is."""
        return {target: self._reference(target, CHECKOUT) for target in TARGETS}

    def build(self) -> dict[str, Archive]:
        """The archives of all images by target, built if need be; none when the images come from a registry."""
        if self._settings.image_tag is not None:
            return {}
        return {target: self._build(target) for target in TARGETS}

    def _build(self, target: str) -> Archive:
        folder = self._settings.cache / "images"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="sluice-image-") as temporary:
            # Somebody may be writing in the checkout: what is named and what is built is one copy of it.
            context = Path(temporary)
            _copy(target, context)
            reference = self._reference(target, context)
            path = folder / f"{target}-{reference.rpartition(':')[2]}.tar"
            if not path.exists():
                new = folder / f".{path.name}.{os.getpid()}"
                try:
                    with progress.part(f"build image {reference}"):
                        self._builder.build(
                            context, target, reference, new, self._settings.cache / "logs" / f"image-{target}.log"
                        )
                    new.replace(path)
                finally:
                    new.unlink(missing_ok=True)
        for old in sorted(folder.glob(f"{target}-dev-*.tar"), key=lambda file: file.stat().st_mtime)[:-_KEPT_ARCHIVES]:
            old.unlink()
        return Archive(reference, path)

    def _reference(self, target: str, root: Path) -> str:
        """The name of the image that is built from the files below `root`."""
        tag = self._settings.image_tag
        if tag is None:
            digest = hashlib.sha256(self._builder.base.encode())
            for name in _inputs(target, root):
                file = root / name
                mode = "x" if os.access(file, os.X_OK) else "-"
                digest.update(f"\0{name}\0{mode}\0{hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
            tag = f"dev-{digest.hexdigest()[:12]}"
        return f"{self._settings.image_repository}/{target}:{tag}"


def _copy(target: str, context: Path) -> None:
    """Copy what a target is made from, and nothing else, to a folder to build in."""
    for name in _inputs(target, CHECKOUT):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, context / name)


def _inputs(target: str, root: Path) -> list[str]:
    """The files that a target is made from, relative to `root`: in the checkout those that git does not ignore."""
    paths = dockerfile.inputs((root / "Dockerfile").read_text(), target)
    if root != CHECKOUT:
        return sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())
    listing = [
        "git",
        "-C",
        str(root),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
        "--",
    ]
    try:
        listed = run([*listing, "Dockerfile", ".dockerignore", *paths])
    except ClusterError as error:
        raise ClusterError(
            f"the images' names are made from the files that git knows: {CHECKOUT} has to be a git checkout\n{error}"
        ) from error
    return sorted(name for name in listed.split("\0") if name and (root / name).is_file())
