"""Which kind of cluster it is to be: the one that is there, the one that is asked for, or the best that this machine
can have."""

from __future__ import annotations

from pathlib import Path

from dev.cluster import kind, progress
from dev.cluster.builders import Buildah, Builder, Docker
from dev.cluster.cluster import Cluster
from dev.cluster.given import GivenCluster
from dev.cluster.kind import KindCluster
from dev.cluster.kubectl import Kubectl
from dev.cluster.local import LocalCluster, require_possible
from dev.cluster.processes import Processes
from dev.cluster.settings import Settings
from dev.cluster.tools import Toolbox

_REASONS = {
    "kind": "a Docker engine runs, and kind's node image can be had",
    "local": "no Docker engine runs, or kind's node image cannot be had",
}


def recorded(settings: Settings) -> str | None:
    """The name of the provider of the cluster that is up, or was being brought up."""
    if settings.given_kubeconfig:
        return "given"
    file = _file(settings)
    return file.read_text() if file.exists() else None


def choose(settings: Settings) -> str:
    """Decide, and record the decision for later commands."""
    name = recorded(settings)
    if name is None:
        name = settings.provider or ("kind" if kind.possible() else "local")
        if name == "local":
            require_possible()
        progress.say(
            f"provider: {name} ({'chosen by SLUICE_CLUSTER_PROVIDER' if settings.provider else _REASONS[name]})"
        )
        _file(settings).write_text(name)
    return name


def cluster(name: str, settings: Settings, toolbox: Toolbox, processes: Processes) -> Cluster:
    """The cluster of this provider."""
    if settings.given_kubeconfig:
        return GivenCluster(settings.given_kubeconfig, Kubectl(toolbox.kubectl, settings.given_kubeconfig))
    return KindCluster(settings, toolbox) if name == "kind" else LocalCluster(settings, toolbox, processes)


def builder(name: str, settings: Settings) -> Builder:
    """What builds images for it."""
    return Docker() if name == "kind" else Buildah(settings.cache)


def _file(settings: Settings) -> Path:
    return settings.cluster / "provider"
