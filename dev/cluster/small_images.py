"""Images of one program each, made without a builder: the pause image, busybox for tests, CoreDNS, and what add-ons need."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dev.cluster import archive
from dev.cluster.cluster import Archive
from dev.cluster.commands import run
from dev.cluster.errors import ClusterError
from dev.cluster.images import BUSYBOX, GRPC_CALLER
from dev.cluster.tools import TOOLS, Toolbox

_USERS = (
    "root:x:0:0:root:/:/bin/sh\nnonroot:x:65532:65532:nonroot:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
)
_GROUPS = "root:x:0:\nnonroot:x:65532:\nnogroup:x:65534:\n"


class SmallImages:
    """Archives in the cache, each made when it is first asked for."""

    def __init__(self, cache: Path, toolbox: Toolbox) -> None:
        self._folder = cache / "images"
        self._toolbox = toolbox

    def pause(self) -> Archive:
        """What holds a pod's namespaces."""
        return self._make("localhost/sluice/pause:1", {"/pause": self._toolbox.path("pause")}, entrypoint="/pause")

    def coredns(self) -> Archive:
        """What answers DNS in the cluster."""
        program = self._toolbox.path("coredns")
        return self._make(
            f"localhost/sluice/coredns:{TOOLS['coredns'].version}", {"/coredns": program}, entrypoint="/coredns"
        )

    def busybox(self) -> Archive:
        """A shell and the usual small programs, for any user. It resolves no host names: a static C library cannot."""
        found = shutil.which("busybox")
        if found is None:
            raise ClusterError("busybox is not installed: apt-get install busybox-static")
        links = {f"/bin/{name}": "busybox" for name in run([found, "--list"]).split() if name != "busybox"}
        return self._make(BUSYBOX, {"/bin/busybox": Path(found)}, links, {"/etc/passwd": _USERS, "/etc/group": _GROUPS})

    def grpc_caller(self) -> Archive:
        """What tests of GRPCRoutes call."""
        program = self._toolbox.path("grpc-caller")
        return self._make(GRPC_CALLER, {"/grpc-caller": program}, entrypoint="/grpc-caller")

    def envoy_gateway(self) -> Archive:
        """The control plane of the add-on envoy."""
        program, version = self._toolbox.path("envoy-gateway"), TOOLS["envoy-gateway"].version
        name = f"localhost/sluice/envoy-gateway:{version}"
        return self._make(name, {"/bin/envoy-gateway": program}, entrypoint="/bin/envoy-gateway")

    def envoy(self, program: Path, version: str) -> Archive:
        """Its proxy, with the shared libraries of this machine that `program` wants."""
        libraries = {path: Path(path) for path in re.findall(r"(/\S+) \(0x", run(["ldd", program]))}
        return self._make(
            f"localhost/sluice/envoy:{version}", {"/bin/envoy": program, **libraries}, entrypoint="/bin/envoy"
        )

    def _make(
        self,
        reference: str,
        programs: Mapping[str, Path],
        links: Mapping[str, str] | None = None,
        texts: Mapping[str, str] | None = None,
        entrypoint: str = "",
    ) -> Archive:
        digest = hashlib.sha256()
        for path, program in programs.items():
            digest.update(path.encode() + program.read_bytes())
        target = self._folder / f"{reference.rpartition('/')[2].replace(':', '-')}-{digest.hexdigest()[:10]}.tar"
        if not target.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder) as temporary:
                layer = Path(temporary) / "layer.tar"
                archive.layer(layer, programs, links, texts)
                archive.write(
                    target,
                    reference,
                    layer,
                    entrypoint=[entrypoint] if entrypoint else [],
                    environment={"PATH": "/bin"},
                )
        return Archive(reference, target)
