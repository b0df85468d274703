"""What the cluster changes on the machine beyond its own folders, noted before the first change and undone at the end.

The kubelet and kube-proxy set kernel parameters, and some of their folders cannot be moved. `down` puts the
parameters back and removes the folders that were not there before.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from dev.cluster.processes import all_pids, command_line

_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
# Names that are compiled into the kubelet and containerd's shims, each with the program that may use it besides ours:
# who came after us keeps what it needs.
_FOLDERS = {
    "/var/lib/kubelet": "kubelet",
    "/var/lib/kubelet/device-plugins": "kubelet",
    "/var/log/containers": "kubelet",
    "/run/containerd": "containerd",
    "/run/containerd/s": "containerd",
}
# And into the CNI library, which several programs use: these go when they are empty.
_SHARED_FOLDERS = ("/var/lib/cni/results", "/var/lib/cni")


class Footprint:
    """The note of how the machine was before, in one file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self) -> None:
        """Note the machine as it is, unless that has been done for this cluster."""
        if self._file.exists():
            return
        sysctls = {name: path.read_text().strip() for name in _SYSCTLS if (path := _sysctl(name)).exists()}
        folders = [name for name in (*_FOLDERS, *_SHARED_FOLDERS) if not Path(name).exists()]
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps({"sysctls": sysctls, "absent_folders": folders}, indent=2))
        temporary.replace(self._file)

    def set(self, name: str, value: str) -> None:
        """Set a kernel parameter, if this kernel has it."""
        if _sysctl(name).exists():
            _sysctl(name).write_text(value)

    def undo(self, state: Path) -> None:
        """Put back what was noted, once our processes have ended. `state` is the cluster's folder: links into it are
        ours to remove."""
        if not self._file.exists():
            return
        noted = json.loads(self._file.read_text())
        for name, value in noted["sysctls"].items():
            if _sysctl(name).read_text().strip() != value:
                _sysctl(name).write_text(value)
        for link in Path("/var/log/containers").glob("*.log"):
            if link.is_symlink() and link.readlink().is_relative_to(state):
                link.unlink()
        others = {Path(words[0]).name for pid in all_pids() if (words := command_line(pid))}
        for name, program in _FOLDERS.items():
            if name in noted["absent_folders"] and program not in others:
                shutil.rmtree(name, ignore_errors=True)
        for name in _SHARED_FOLDERS:
            if name in noted["absent_folders"] and Path(name).exists() and not any(Path(name).iterdir()):
                Path(name).rmdir()


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name
