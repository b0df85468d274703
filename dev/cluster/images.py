"""The project's images: their names, made from what goes into them, and their archives in the cache.

The name of an image says its content, so whether it has to be built or loaded is a question of whether the name is
known. This is the one place that knows the names.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from dev.cluster import dockerfile, progress
from dev.cluster.builders import Builder
from dev.cluster.cluster import Archive
from dev.cluster.commands import run
from dev.cluster.errors import ClusterError
from dev.cluster.settings import CHECKOUT, Settings

TARGETS = ("operator", "example-flights")
"""The targets of the Dockerfile that become images."""
BUSYBOX = "localhost/sluice/busybox:1"
"""A shell for tests; see small_images.py."""
_KEPT_ARCHIVES = 3


class ProjectImages:
    """The images that are built from the checkout."""

    def __init__(self, settings: Settings, builder: Builder) -> None:
        self._settings = settings
        self._builder = builder

    @property
    def buildable(self) -> bool:
        """Whether there is a Dockerfile yet, and the images do not come from a registry."""
        return self._settings.image_tag is None and (CHECKOUT / "Dockerfile").exists()

    def references(self) -> dict[str, str]:
        """The full names by target, for the checkout as it is."""
        return {target: f"{self._settings.image_repository}/{target}:{self._tag(target)}" for target in TARGETS}

    def build(self, target: str) -> Archive:
        """The archive of one image, built if there is none of this content."""
        reference = self.references()[target]
        folder = self._settings.cache / "images"
        path = folder / f"{target}-{reference.rpartition(':')[2]}.tar"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f".{path.name}.{os.getpid()}"
            temporary.unlink(missing_ok=True)
            try:
                with progress.part(f"build image {reference}"):
                    self._builder.build(
                        target, reference, temporary, self._settings.cache / "logs" / f"image-{target}.log"
                    )
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            for old in sorted(folder.glob(f"{target}-dev-*.tar"), key=lambda file: file.stat().st_mtime)[
                :-_KEPT_ARCHIVES
            ]:
                old.unlink()
        return Archive(reference, path)

    def _tag(self, target: str) -> str:
        if self._settings.image_tag:
            return self._settings.image_tag
        text = (CHECKOUT / "Dockerfile").read_text()
        digest = hashlib.sha256(f"{self._builder.base}\0{text}".encode())
        for file in _files(dockerfile.inputs(text, target)):
            mode = b"x" if os.access(file, os.X_OK) else b"-"
            digest.update(str(file.relative_to(CHECKOUT)).encode() + mode + hashlib.sha256(file.read_bytes()).digest())
        return f"dev-{digest.hexdigest()[:12]}"


def _files(paths: tuple[str, ...]) -> list[Path]:
    """The files at these paths that git does not ignore, committed or not."""
    try:
        listed = run(
            [
                "git",
                "-C",
                CHECKOUT,
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
                "--deduplicate",
                "--",
                ".dockerignore",
                *paths,
            ]
        )
    except ClusterError as error:
        raise ClusterError(
            f"the images' names are made from the files that git knows: {CHECKOUT} has to be a git checkout\n{error}"
        ) from error
    return sorted(file for name in listed.split("\0") if name and (file := CHECKOUT / name).is_file())
