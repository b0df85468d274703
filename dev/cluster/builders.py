"""Two ways to build the project's Dockerfile: buildah beside the local cluster, docker where kind runs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Protocol

from dev.cluster import base_image, packages, pip_settings
from dev.cluster.commands import run, run_logged, succeeds

_BUILD_SECONDS = 1800
_EXPORT_SECONDS = 300


class Builder(Protocol):
    """Builds one target of the Dockerfile in a folder."""

    @property
    def base(self) -> str:
        """What the images start from, as far as it decides whether to build again."""

    def build(self, context: Path, target: str, reference: str, archive: Path, log: Path) -> None:
        """Build and write the image named `reference` to `archive`."""


class Buildah:
    """Needs no daemon and no registry. Its storage is its own, in the cache; nothing lies in /var/lib/containers."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    @property
    def base(self) -> str:
        """The base image's month."""
        return base_image.key()

    def build(self, context: Path, target: str, reference: str, archive: Path, log: Path) -> None:
        """Build on the base image that `base_image.py` makes."""
        packages.ensure(packages.IMAGES, self._cache / "logs" / "apt.log")
        base = self._base()
        with tempfile.TemporaryDirectory(prefix="sluice-build-") as temporary:
            volumes = [word for mount in pip_settings.mounts(Path(temporary)) for word in ("--volume", mount)]
            # Isolation by chroot, in the machine's network, asks for no privileges beyond root's and for no CNI.
            options = ["--isolation=chroot", "--network=host", "--layers", "--pull=false", *volumes]
            names = ["--build-arg", f"BASE={base}", "--target", target, "--tag", reference]
            run_logged([*self._buildah(), "build", *options, *names, context], log, timeout=_BUILD_SECONDS)
        run(
            [*self._buildah(), "push", "--quiet", reference, f"docker-archive:{archive}:{reference}"],
            timeout=_EXPORT_SECONDS,
        )
        self._forget_others(reference)

    def _buildah(self) -> tuple[str, ...]:
        storage = self._cache / "buildah"
        return "buildah", f"--root={storage / 'root'}", f"--runroot={storage / 'run'}", "--storage-driver=overlay"

    def _base(self) -> str:
        """Have the base image of this month in buildah's storage, and give its name."""
        tagged = f"{base_image.REFERENCE}-{base_image.key()}"
        if not succeeds([*self._buildah(), "inspect", "--type", "image", tagged]):
            archive = base_image.ensure(self._cache)
            run([*self._buildah(), "pull", "--quiet", f"docker-archive:{archive.path}"], timeout=_EXPORT_SECONDS)
            run([*self._buildah(), "tag", archive.reference, tagged])
        return tagged

    def _forget_others(self, reference: str) -> None:
        """Remove this image's earlier builds from the storage; their layers stay as long as a later one uses them."""
        repository = reference.rpartition(":")[0]
        for line in run([*self._buildah(), "images", "--format", "{{.Name}}:{{.Tag}}"]).split():
            if line.startswith(f"{repository}:") and line != reference:
                run([*self._buildah(), "rmi", line])


class Docker:
    """Docker's own builder, with the Dockerfile's public base image."""

    base = "Dockerfile"

    def build(self, context: Path, target: str, reference: str, archive: Path, log: Path) -> None:
        """Build on the base image that the Dockerfile names."""
        run_logged(["docker", "build", "--target", target, "--tag", reference, context], log, timeout=_BUILD_SECONDS)
        run(["docker", "save", "--output", archive, reference], timeout=_EXPORT_SECONDS)
