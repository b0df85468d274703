"""What an add-on has to work with."""

from __future__ import annotations

from dataclasses import dataclass

from dev.cluster.cluster import Cluster
from dev.cluster.kubectl import Kubectl
from dev.cluster.processes import Processes
from dev.cluster.settings import Settings
from dev.cluster.tools import Toolbox


@dataclass(frozen=True)
class Context:
    """The cluster, which is up, and the means to run processes beside it."""

    cluster: Cluster
    kubectl: Kubectl
    processes: Processes
    settings: Settings
    toolbox: Toolbox
