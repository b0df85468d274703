"""A containerd of our own, beside whatever the machine runs: own root, state, socket, runtime folder and CNI
configuration, nothing in /etc."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path

from dev.cluster.commands import run, succeeds, wait_until
from dev.cluster.processes import Processes, all_pids, command_line, send

_NAMESPACE = "k8s.io"
_CNI_PLUGINS = ("/usr/lib/cni", "/opt/cni/bin")
_IMPORT_SECONDS = 300


class Containerd:
    """The container runtime of the local cluster."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self._folder = folder
        self._processes = processes
        self.socket = folder / "containerd.sock"
        self.cni = folder / "cni"
        self.leases = folder / "leases"

    def start(self, pause_image: str) -> None:
        """Start it, and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        config = self._folder / "config.toml"
        config.write_text(self._config(pause_image))
        self._processes.start("containerd", ["containerd", "--config", config], reads=[config])
        wait_until("containerd", self._answers, timeout=30, alive=lambda: self._processes.require("containerd"))

    def import_archive(self, archive: Path) -> None:
        """Bring in an image archive: docker's form or OCI's."""
        run(self._ctr("images", "import", archive), timeout=_IMPORT_SECONDS)

    def images(self) -> set[str]:
        """The names of all images there are."""
        return set(run(self._ctr("images", "list", "--quiet")).split())

    def end_shims(self) -> None:
        """End every shim of this containerd, and so what is left of its containers' bookkeeping. They outlive
        containerd by design."""

        def shims() -> list[int]:
            return [pid for pid in all_pids() if _is_shim_of(self.socket, command_line(pid))]

        def gone() -> bool:
            for pid in shims():
                send(pid, signal.SIGKILL)
            return not shims()

        wait_until("the end of containerd's shims", gone, timeout=20)

    def _answers(self) -> bool:
        return self.socket.exists() and succeeds(self._ctr("version"))

    def _ctr(self, *words: str | Path) -> list[str | Path]:
        return ["ctr", "--address", self.socket, "--namespace", _NAMESPACE, *words]

    def _config(self, pause_image: str) -> str:
        plugins = next((folder for folder in _CNI_PLUGINS if Path(folder, "bridge").exists()), _CNI_PLUGINS[0])
        # restrict_oom_score_adj: without it, on a machine that lacks CAP_SYS_RESOURCE, every pod fails with "can't get
        # final child's PID from pipe".
        return f"""\
version = 2
root = "{self._folder}/root"
state = "{self._folder}/state"
disabled_plugins = [
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{self.socket}"

[ttrpc]
  address = "{self.socket}.ttrpc"

[plugins."io.containerd.internal.v1.opt"]
  path = "{self._folder}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{pause_image}"
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{self.cni}"

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{self._folder}/runc"
"""


def _is_shim_of(socket: Path, words: Iterable[str]) -> bool:
    program, *rest = [*words, ""]
    return Path(program).name.startswith("containerd-shim") and str(socket) in rest
