"""Removing a cluster's folder, with care: what is mounted below it may be somebody else's files."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from dev.cluster.errors import ClusterError

_MOUNTS = Path("/proc/self/mountinfo")


def mounts_below(folder: Path) -> list[str]:
    """Where something is mounted below the folder, the innermost first."""
    lines = _MOUNTS.read_text().splitlines() if _MOUNTS.exists() else []
    mounts = [line.split()[4] for line in lines]
    return sorted((mount for mount in mounts if Path(mount).is_relative_to(folder)), key=len, reverse=True)


def clear(folder: Path, *, keep: Collection[str] = ()) -> None:
    """Remove what is in the folder except the names in `keep`, and the folder if nothing is kept.

    Raises ClusterError, and removes nothing, while something is mounted there.
    """
    if mounted := mounts_below(folder):
        raise ClusterError(
            f"{folder} is not removed, since these are still mounted: {', '.join(mounted)}. Unmount them and run "
            "`make cluster-down` again"
        )
    if not keep:
        shutil.rmtree(folder)
        return
    for entry in folder.iterdir():
        if entry.name in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
