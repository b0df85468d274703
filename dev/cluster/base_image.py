"""The image that the project's own images start from where no registry answers: a small Debian with Python and git,
made by mmdebstrap.

Made anew each month, so that it gets Debian's security updates.
"""

from __future__ import annotations

import datetime
import hashlib
import tempfile
from pathlib import Path

from dev.cluster import archive, packages, progress
from dev.cluster.cluster import Archive
from dev.cluster.commands import run_logged

REFERENCE = "localhost/sluice/base:bookworm"
_SUITE = "bookworm"
_PACKAGES = ("python3", "python3-venv", "ca-certificates", "git")
_LEFT_OUT = tuple(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "info", "locale", "man"))
_SECONDS = 900


def key() -> str:
    """What tells one base image from another: the suite, the month, and what goes in."""
    contents = hashlib.sha256(" ".join((*_PACKAGES, *_LEFT_OUT)).encode()).hexdigest()[:6]
    return f"{_SUITE}-{datetime.datetime.now(datetime.UTC):%Y-%m}-{contents}"


def ensure(cache: Path) -> Archive:
    """The archive of this month's base image, made if need be."""
    folder = cache / "images"
    target = folder / f"base-{key()}.tar"
    if not target.exists():
        packages.ensure(packages.IMAGES, cache / "logs" / "apt.log")
        folder.mkdir(parents=True, exist_ok=True)
        with (
            progress.part(f"make the base image with mmdebstrap ({key()})"),
            tempfile.TemporaryDirectory(dir=folder) as temporary,
        ):
            Path(temporary).chmod(0o755)  # mmdebstrap's own user has to pass
            layer = Path(temporary) / "layer.tar"
            run_logged(
                ["mmdebstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", *_LEFT_OUT, _SUITE, layer],
                cache / "logs" / "mmdebstrap.log",
                timeout=_SECONDS,
            )
            path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            archive.write(target, REFERENCE, layer, environment={"PATH": path, "LANG": "C.UTF-8"})
        for old in folder.glob("base-*.tar"):
            if old != target:
                old.unlink()
    return Archive(REFERENCE, target)
