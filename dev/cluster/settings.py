"""Where things lie and which ports are used: every default, and the environment variable that overrides it.

Nothing here lies inside the checkout: tools are kept in a cache that outlives clusters, the state of the running
cluster in a folder of its own that `down` removes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from dev.cluster.errors import ClusterError

CHECKOUT = Path(__file__).resolve().parents[2]

_DEFAULT_CLUSTER_DIR = "/var/tmp/sluice-cluster"  # noqa: S108 (only its owner may write there; /run is too small for images)
# A unix socket's path has at most 107 bytes; the longest one below the cluster's folder takes 40.
_LONGEST_CLUSTER_DIR = 60


@dataclass(frozen=True)
class Ports:
    """The ports of the local cluster: uncommon ones, so that they meet no other cluster. SLUICE_PORT_<NAME>
    overrides one."""

    apiserver: int = 26443
    etcd: int = 22379
    etcd_peer: int = 22380
    kubelet: int = 20250
    kubelet_health: int = 20248
    controller_manager: int = 20257
    scheduler: int = 20259
    proxy_health: int = 20256
    proxy_metrics: int = 20249
    kwok: int = 20247
    gateway: int = 20280
    gateway_metrics: int = 20281
    prometheus: int = 20290
    prometheus_api: int = 20291
    argocd: int = 20300
    argocd_metrics: int = 20301
    argocd_repo: int = 20302
    argocd_repo_metrics: int = 20303
    argocd_controller_metrics: int = 20304
    argocd_redis: int = 20305
    argocd_git: int = 20306
    argocd_sets_metrics: int = 20307
    argocd_sets_probe: int = 20308
    argocd_sets_webhook: int = 20309

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Ports:
        """Read the overrides; raise ClusterError for one that is no port."""
        chosen: dict[str, int] = {}
        for field in fields(cls):
            variable = f"SLUICE_PORT_{field.name.upper()}"
            if variable not in environment:
                continue
            text = environment[variable]
            if not text.isdigit() or not 0 < int(text) < 65536:
                raise ClusterError(f"{variable}={text!r} is not a port: give a number from 1 to 65535")
            chosen[field.name] = int(text)
        return cls(**chosen)


@dataclass(frozen=True)
class Settings:
    """What a command of this package works with."""

    cache: Path
    """Built tools, image archives, buildah's storage. SLUICE_CACHE."""
    cluster: Path
    """State of the running cluster, or of what runs beside a given one. SLUICE_CLUSTER_DIR."""
    given_kubeconfig: Path | None
    """The kubeconfig of a cluster that is not ours to start or stop. SLUICE_KUBECONFIG."""
    provider: str | None
    """`kind` or `local`, to choose one oneself. SLUICE_CLUSTER_PROVIDER."""
    image_repository: str
    """What the names of the project's images start with. SLUICE_IMAGE_REPO."""
    image_tag: str | None
    """The images' tag, where they come from a registry and are not built here. SLUICE_IMAGE_TAG."""
    ports: Ports

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; raise ClusterError when they cannot work."""
        xdg = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        cluster = Path(environment.get("SLUICE_CLUSTER_DIR") or _DEFAULT_CLUSTER_DIR).absolute()
        if len(os.fsencode(cluster)) > _LONGEST_CLUSTER_DIR:
            raise ClusterError(
                f"SLUICE_CLUSTER_DIR={cluster} is longer than {_LONGEST_CLUSTER_DIR} bytes, and the paths of unix "
                "sockets are limited: choose a shorter one"
            )
        given = environment.get("SLUICE_KUBECONFIG")
        if given:
            # What is started beside somebody else's cluster must not be mistaken for a cluster of ours.
            cluster = cluster.with_name(f"{cluster.name}-given")
        provider = environment.get("SLUICE_CLUSTER_PROVIDER") or None
        if provider not in (None, "kind", "local"):
            raise ClusterError(f"SLUICE_CLUSTER_PROVIDER={provider!r}: it is kind or local, or left out")
        return cls(
            cache=Path(environment.get("SLUICE_CACHE") or f"{xdg}/sluice").absolute(),
            cluster=cluster,
            given_kubeconfig=Path(given).absolute() if given else None,
            provider=provider,
            image_repository=environment.get("SLUICE_IMAGE_REPO") or "localhost/sluice",
            image_tag=environment.get("SLUICE_IMAGE_TAG") or None,
            ports=Ports.from_environment(environment),
        )

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig that people and tests use, whichever provider made the cluster."""
        return self.given_kubeconfig or self.cluster / "kubeconfig"

    @property
    def logs(self) -> Path:
        """The logs of the processes that we started."""
        return self.cluster / "log"
