"""Things that only some tests need: a module each, with `up(context)`, listed here. `down` ends their processes with
the cluster's.

Each is asked for by name (`up --addons kwok`), does nothing when it is up already, and works on any kind of cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dev.cluster.addons import argocd, envoy, gateway, kwok, metrics
from dev.cluster.addons.context import Context


@dataclass(frozen=True)
class Addon:
    """One add-on."""

    up: Callable[[Context], None]
    tools: tuple[str, ...] = ()
    """What is built for it, in the background from the beginning."""


ADDONS = {
    "kwok": Addon(kwok.up, tools=("kwok",)),
    "metrics": Addon(metrics.up),
    "gateway": Addon(gateway.up, tools=("traefik", "grpc-caller")),
    "envoy": Addon(envoy.up, tools=("envoy-gateway",)),
    "argocd": Addon(argocd.up, tools=("argocd", "argocd-lua", "kustomize")),
}
