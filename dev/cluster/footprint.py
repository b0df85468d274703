"""What the cluster changes on the machine beyond its own folders, noted before the first change and undone at the end.

The kubelet and kube-proxy set kernel parameters, and some of their folders cannot be moved. `down` puts the
parameters back and removes the folders that were not there before.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

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
# Names that are compiled into the kubelet, containerd's shims and the CNI library.
_FOLDERS = (
    "/var/lib/kubelet",
    "/var/lib/kubelet/device-plugins",
    "/var/log/containers",
    "/var/lib/cni",
    "/var/lib/cni/results",
    "/run/containerd",
    "/run/containerd/s",
    "/run/containerd/io.containerd.runtime.v2.task",
)


class Footprint:
    """The note of how the machine was before, in one file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self) -> None:
        """Note the machine as it is, unless that has been done for this cluster."""
        if self._file.exists():
            return
        sysctls = {name: path.read_text().strip() for name in _SYSCTLS if (path := _sysctl(name)).exists()}
        folders = [name for name in _FOLDERS if not Path(name).exists()]
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps({"sysctls": sysctls, "absent_folders": folders}, indent=2))
        temporary.replace(self._file)

    def set(self, name: str, value: str) -> None:
        """Set a kernel parameter, if this kernel has it."""
        if _sysctl(name).exists():
            _sysctl(name).write_text(value)

    def undo(self, state: Path) -> None:
        """Put back what was noted. `state` is the cluster's folder: links into it are ours to remove."""
        if not self._file.exists():
            return
        noted = json.loads(self._file.read_text())
        for name, value in noted["sysctls"].items():
            if _sysctl(name).read_text().strip() != value:
                _sysctl(name).write_text(value)
        for link in Path("/var/log/containers").glob("*.log"):
            if link.is_symlink() and link.readlink().is_relative_to(state):
                link.unlink()
        for name in noted["absent_folders"]:
            shutil.rmtree(name, ignore_errors=True)


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name
