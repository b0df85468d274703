"""A cluster by kind, where a Docker engine runs and its node image is there or can be pulled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.cluster import progress
from dev.cluster.cluster import Archive
from dev.cluster.commands import run, run_logged, succeeds
from dev.cluster.errors import ClusterError
from dev.cluster.images import BUSYBOX
from dev.cluster.settings import Settings
from dev.cluster.tools import Toolbox

_NAME = "sluice"
_CREATE_SECONDS = 900
_LOAD_SECONDS = 300
# The default of the kind release in components/kind.
_NODE_IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
_BUSYBOX_SOURCE = "busybox:1.37-musl"


def possible() -> bool:
    """Whether a Docker engine answers, and has the node image or a registry to get it from. Takes seconds where
    there is none."""
    if shutil.which("docker") is None or not succeeds(
        ["docker", "version", "--format", "{{.Server.Version}}"], timeout=5
    ):
        return False
    return succeeds(["docker", "image", "inspect", _NODE_IMAGE], timeout=10) or succeeds(
        ["docker", "manifest", "inspect", _NODE_IMAGE], timeout=20
    )


class KindCluster:
    """One node, in a container."""

    name = "kind"

    def __init__(self, settings: Settings, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._settings = settings
        self.kubeconfig = settings.cluster / "kubeconfig"

    def up(self) -> None:
        """Bring it up, or keep it up."""
        if self._exists():
            run([self._kind(), "export", "kubeconfig", "--name", _NAME, "--kubeconfig", self.kubeconfig])
            return
        config = self._settings.cluster / "kind.json"
        config.write_text(json.dumps(configuration(self._settings.ports.apiserver), indent=2))
        with progress.part("create the kind cluster"), _hint():
            run_logged(
                [
                    *(self._kind(), "create", "cluster", "--name", _NAME, "--image", _NODE_IMAGE, "--config", config),
                    *("--kubeconfig", self.kubeconfig, "--wait", "120s"),
                ],
                self._settings.logs / "kind.log",
                timeout=_CREATE_SECONDS,
            )
        with progress.part(f"load image {BUSYBOX}"):
            run(["docker", "pull", "--quiet", _BUSYBOX_SOURCE], timeout=_LOAD_SECONDS)
            run(["docker", "tag", _BUSYBOX_SOURCE, BUSYBOX])
            run([self._kind(), "load", "docker-image", BUSYBOX, "--name", _NAME], timeout=_LOAD_SECONDS)

    def down(self) -> None:
        """End it, and remove its traces."""
        if self._exists():
            with progress.part("delete the kind cluster"):
                run([self._kind(), "delete", "cluster", "--name", _NAME, "--kubeconfig", self.kubeconfig], timeout=120)

    def missing(self, references: Iterable[str]) -> set[str]:
        """Which of these images the node lacks."""
        there = set(
            run(["docker", "exec", f"{_NAME}-control-plane", "ctr", "-n", "k8s.io", "images", "list", "-q"]).split()
        )
        return set(references) - there

    def load(self, archives: Iterable[Archive]) -> None:
        """Import images on the node."""
        for archive in archives:
            with progress.part(f"load image {archive.reference}"):
                run([self._kind(), "load", "image-archive", archive.path, "--name", _NAME], timeout=_LOAD_SECONDS)

    def gather(self, folder: Path) -> None:
        """Copy the logs of its parts, and note the state of the machine."""
        run([self._kind(), "export", "logs", folder / "kind", "--name", _NAME], timeout=120)

    def status(self) -> list[str]:
        """Whether each part runs."""
        return [f"kind cluster {_NAME}: {'there' if self._exists() else 'GONE'}"]

    def _exists(self) -> bool:
        return _NAME in run([self._kind(), "get", "clusters"]).split()

    def _kind(self) -> Path:
        found = shutil.which("kind")
        return Path(found) if found else self._toolbox.path("kind")


@contextmanager
def _hint() -> Iterator[None]:
    """Say what else there is when this engine cannot run kind, as one without privileged containers."""
    try:
        yield
    except ClusterError as error:
        raise ClusterError(
            f"{error}\nWhere Docker cannot run kind, try without it: make cluster-down, then "
            "SLUICE_CLUSTER_PROVIDER=local make cluster"
        ) from error


def configuration(api_port: int) -> dict[str, object]:
    """Give the content of kind's configuration file."""
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "maxPods": 250,
        "serializeImagePulls": False,
    }
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"apiServerAddress": "127.0.0.1", "apiServerPort": api_port},
        # MutatingAdmissionPolicy, which is off by default up to 1.35, holds Deployments back for canaries.
        "featureGates": {"MutatingAdmissionPolicy": True},
        "runtimeConfig": {"admissionregistration.k8s.io/v1beta1": "true"},
        "kubeadmConfigPatches": [json.dumps(kubelet)],
        "nodes": [{"role": "control-plane"}],
    }
