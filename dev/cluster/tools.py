"""The programs that are built from Go modules, each once for every version of its module, and kept in the cache.

Every folder of `components/` is a Go module that pins one tool with its go.sum, since the tools' requirements clash.
A built tool lies in `tools/NAME-VERSION-HASH/`, where the hash covers the module's files and the build's flags. It
is built under another name and renamed when it is whole, so an interrupted build leaves nothing that looks like a
tool. `bin/` holds links to the current ones, for people's PATH.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dev.cluster import progress
from dev.cluster.commands import run, run_logged
from dev.cluster.errors import ClusterError

_COMPONENTS = Path(__file__).parent / "components"
_BUILD_SECONDS = 1800
_DOWNLOAD_SECONDS = 300
# Two builds at a time: while one links, which takes one core, the other compiles.
_BUILDS_AT_ONCE = 2


@dataclass(frozen=True)
class Tool:
    """One Go program, and the names that it goes by."""

    name: str
    package: str
    """What `go build` is given, seen from the module's folder."""
    pinned_by: str | None = None
    """The module of components/go.mod that the version is read from; None for programs of our own."""
    version_flags: tuple[str, ...] = ()
    """Linker flags, with {version} for the version: without them some programs do not know theirs."""
    commands: tuple[str, ...] = ()
    """The names of the programs, when they differ from the tool's."""
    module: str = ""
    """The folder below components/, when it differs from the tool's name."""

    @property
    def folder(self) -> Path:
        """The Go module that pins it."""
        return _COMPONENTS / (self.module or self.name)

    @property
    def version(self) -> str:
        """The version in go.mod, the one place where it is written; `own` for programs of our own."""
        if self.pinned_by is None:
            return "own"
        found = re.search(
            rf"^\s*(?:require )?{re.escape(self.pinned_by)} (v\S+)", (self.folder / "go.mod").read_text(), re.M
        )
        if found is None:
            raise ClusterError(f"{self.folder}/go.mod does not require {self.pinned_by}: add it with `go get -tool`")
        return found[1]

    @property
    def linker_flags(self) -> str:
        """Flags for the linker: no symbol tables, and the version."""
        return " ".join(("-s", "-w", *(f"-X {flag.format(version=self.version)}" for flag in self.version_flags)))

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of its programs."""
        return self.commands or (self.name,)

    @property
    def key(self) -> str:
        """The name of the folder that the built tool is kept in."""
        digest = hashlib.sha256(f"{self.package} {self.linker_flags}".encode())
        for file in sorted(self.folder.iterdir()):
            if file.suffix in (".go", ".mod", ".sum"):
                digest.update(file.name.encode() + file.read_bytes())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:10]}"


_KUBERNETES_VERSION_FLAGS = (
    "k8s.io/component-base/version.gitVersion={version}",
    "k8s.io/component-base/version.gitMajor=1",
    "k8s.io/component-base/version.gitMinor=35",
)
TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "kubernetes",
            ".",
            "k8s.io/kubernetes",
            _KUBERNETES_VERSION_FLAGS,
            ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"),
        ),
        Tool(
            "kubectl",
            "k8s.io/kubernetes/cmd/kubectl",
            "k8s.io/kubernetes",
            _KUBERNETES_VERSION_FLAGS,
            module="kubernetes",
        ),
        Tool("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
        Tool("pause", "."),
        Tool("coredns", "github.com/coredns/coredns", "github.com/coredns/coredns"),
        Tool(
            "helm",
            "helm.sh/helm/v4/cmd/helm",
            "helm.sh/helm/v4",
            ("helm.sh/helm/v4/internal/version.version={version}",),
        ),
        Tool("kwok", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok"),
        Tool("kind", "sigs.k8s.io/kind", "sigs.k8s.io/kind"),
        Tool(
            "versitygw",
            "github.com/versity/versitygw/cmd/versitygw",
            "github.com/versity/versitygw",
            ("main.Version={version}",),
        ),
        Tool(
            "traefik",
            "github.com/traefik/traefik/v3/cmd/traefik",
            "github.com/traefik/traefik/v3",
            ("github.com/traefik/traefik/v3/pkg/version.Version={version}",),
        ),
        Tool(
            "argocd",
            "github.com/argoproj/argo-cd/v3/cmd",
            "github.com/argoproj/argo-cd/v3",
            (
                "github.com/argoproj/argo-cd/v3/common.gitTag={version}",
                # Without these it calls itself v99.99.99.
                "github.com/argoproj/argo-cd/v3/common.gitCommit=module",
                "github.com/argoproj/argo-cd/v3/common.gitTreeState=clean",
            ),
        ),
        Tool(
            "kustomize",
            "sigs.k8s.io/kustomize/kustomize/v5",
            "sigs.k8s.io/kustomize/kustomize/v5",
            ("sigs.k8s.io/kustomize/api/provenance.version={version}",),
        ),
        Tool(
            "envoy-gateway",
            "github.com/envoyproxy/gateway/cmd/envoy-gateway",
            "github.com/envoyproxy/gateway",
            ("github.com/envoyproxy/gateway/internal/cmd/version.envoyGatewayVersion={version}",),
        ),
        Tool("grpc-caller", ".", "google.golang.org/grpc"),
        Tool("argocd-lua", ".", "github.com/argoproj/argo-cd/v3", module="argocd"),
    )
}


def module_folder(tool: str, module: str) -> Path:
    """Where the files of a Go module lie that `tool` is built with, fetched if need be: its manifests, its charts."""
    described = json.loads(
        run(
            ["go", "mod", "download", "-json", module],
            cwd=TOOLS[tool].folder,
            env={"GOWORK": "off"},
            timeout=_DOWNLOAD_SECONDS,
        )
    )
    return Path(described["Dir"])


class Toolbox:
    """Builds what is asked for in the background, in the order asked, and hands out paths when they are there."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._pool = ThreadPoolExecutor(_BUILDS_AT_ONCE, thread_name_prefix="build")
        self._folders: dict[str, Future[Path]] = {}

    @property
    def bin(self) -> Path:
        """The folder of links to the current tools."""
        return self._cache / "bin"

    def request(self, names: Iterable[str]) -> None:
        """See to it that these tools are there some time."""
        for name in names:
            if name not in self._folders:
                self._folders[name] = self._pool.submit(self._ensure, TOOLS[name])

    def path(self, tool: str, program: str = "") -> Path:
        """The path of a tool's program; waits for its build."""
        self.request([tool])
        return self._folders[tool].result() / (program or TOOLS[tool].programs[0])

    def kubectl(self) -> Path:
        """Any kubectl: ours if it is built, the machine's, or else one that is built now."""
        ours = self.bin / "kubectl"
        if ours.exists():
            return ours
        found = shutil.which("kubectl")
        return Path(found) if found else self.path("kubectl")

    def close(self) -> None:
        """Wait for the builds that have begun; forget the others."""
        self._pool.shutdown(cancel_futures=True)

    def _ensure(self, tool: Tool) -> Path:
        folder = self._cache / "tools" / tool.key
        if not folder.is_dir():
            with progress.part(f"build {tool.name} {tool.version}"):
                self._build(tool, folder)
        for program in tool.programs:
            self._link(program, folder / program)
        return folder

    def _build(self, tool: Tool, folder: Path) -> None:
        if shutil.which("go") is None:
            raise ClusterError(
                f"Go 1.26 or newer is needed to build {tool.name}, and there is no `go` on the PATH: "
                "install it from go.dev/dl"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{tool.key}.", dir=folder.parent) as temporary:
            built = Path(temporary) / "built"
            built.mkdir(mode=0o755)
            run_logged(
                [
                    *("go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", tool.linker_flags),
                    *("-o", built / tool.name, tool.package),
                ],
                self._cache / "logs" / f"build-{tool.name}.log",
                timeout=_BUILD_SECONDS,
                # No C compiler is needed, and the programs run in images that hold nothing else.
                env={"CGO_ENABLED": "0", "GOWORK": "off"},
                cwd=tool.folder,
            )
            for program in tool.programs:
                if program != tool.name:
                    (built / program).symlink_to(tool.name)
            try:
                built.rename(folder)
            except OSError:
                if not folder.is_dir():  # else somebody else has built the same meanwhile
                    raise

    def _link(self, program: str, target: Path) -> None:
        link = self.bin / program
        if link.is_symlink() and link.readlink() == target:
            return
        self.bin.mkdir(parents=True, exist_ok=True)
        temporary = self.bin / f".{program}.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(link)
