"""A cgroup of our own above every pod: whatever process is in it is the cluster's, however the cluster ended.

Works with version 1 (a tree for each controller), version 2, and the hybrid of both.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dev.cluster.commands import wait_until
from dev.cluster.processes import send

_MOUNT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


class PodsCgroup:
    """The cgroup `name`, which is the parent of all pods'."""

    def __init__(self, name: str) -> None:
        self.name = name

    def make(self) -> None:
        """Make the cgroup in every tree. The kubelet wants it there, with its controllers."""
        for tree in _trees():
            own = tree / self.name
            own.mkdir(exist_ok=True)
            if tree != _MOUNT:
                continue
            for folder in (tree, own):
                for controller in set(_CONTROLLERS) & set((folder / "cgroup.controllers").read_text().split()):
                    (folder / "cgroup.subtree_control").write_text(f"+{controller}")

    def end(self) -> None:
        """Kill whatever is left in the cgroup, and remove it."""

        def empty() -> bool:
            for pid in self._members():
                send(pid, signal.SIGKILL)
            return not self._members()

        wait_until("the end of the pods' processes", empty, timeout=20)
        for folder in self._folders():
            with suppress(FileNotFoundError):
                folder.rmdir()

    def _members(self) -> set[int]:
        """The processes of all pods."""
        found: set[int] = set()
        for folder in self._folders():
            with suppress(OSError):  # a shim removes its container's cgroups too
                found.update(map(int, (folder / "cgroup.procs").read_text().split()))
        return found

    def _folders(self) -> list[Path]:
        """Our cgroups, the inner ones first. Some may go while we look, which os.walk takes in its stride."""
        tops = [tree / self.name for tree in _trees()]
        return [Path(folder) for top in tops for folder, _, _ in os.walk(top, topdown=False)]


def _trees() -> Iterator[Path]:
    """The mounted trees: /sys/fs/cgroup itself for version 2, the folders in it for version 1."""
    if (_MOUNT / "cgroup.controllers").exists():
        yield _MOUNT
        return
    for folder in _MOUNT.iterdir():
        if not folder.is_symlink() and (folder / "cgroup.procs").exists():
            yield folder
