"""One command at a time works on a cluster: a lock on a file in the cluster's folder, gone with the process that
holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.cluster import progress


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock of the cluster's folder for the block. The holder may remove the folder, and the lock with it."""
    file = folder / "lock"
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _acquire(descriptor, file)
            # Whoever held it may have removed the file: then this lock is on a file that nobody else will find.
            if file.exists() and os.path.samestat(file.stat(), os.fstat(descriptor)):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                yield
                return
        finally:
            os.close(descriptor)


def _acquire(descriptor: int, file: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
        progress.say(f"another command (process {holder}) works on {file.parent}: waiting for it")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
