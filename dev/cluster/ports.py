"""Who holds a port: asked before the cluster starts, so that a clash is told by name and not by a component's log."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import fields
from pathlib import Path

from dev.cluster.errors import ClusterError
from dev.cluster.processes import all_pids
from dev.cluster.settings import Ports

_LISTEN = "0A"


def require_free(ports: Ports, ours: Collection[int]) -> None:
    """Raise ClusterError naming each port that is taken by a process other than `ours`, the process, and the way
    out."""
    listening = dict(_listening())
    complaints = []
    for field in fields(ports):
        port = getattr(ports, field.name)
        if port in listening:
            pid, program = _holder(listening[port])
            if pid not in ours:
                complaints.append(
                    f"port {port} ({field.name}) is held by {program}: free it, or choose another with "
                    f"SLUICE_PORT_{field.name.upper()}"
                )
    if complaints:
        raise ClusterError("\n".join(complaints))


def _listening() -> Iterator[tuple[int, str]]:
    """Each TCP port that somebody listens on, with the inode of the socket."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTEN:
                yield int(words[1].rpartition(":")[2], 16), words[9]


def _holder(inode: str) -> tuple[int, str]:
    for pid in all_pids():
        try:
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                if str(descriptor.readlink()) == f"socket:[{inode}]":
                    return pid, f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
        except OSError:  # ended meanwhile, or not ours to look at
            continue
    return 0, "a process that cannot be seen from here"
