"""A cluster that somebody else runs: named by SLUICE_KUBECONFIG, used, and never started or stopped.

Images cannot be brought to its nodes from here: push them to a registry that it can pull from, and name them with
SLUICE_IMAGE_REPO and SLUICE_IMAGE_TAG (REPO/operator:TAG, REPO/operator-gate:TAG, REPO/example-flights:TAG,
REPO/example-pricing:TAG).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dev.cluster import progress
from dev.cluster.cluster import Archive
from dev.cluster.errors import ClusterError
from dev.cluster.kubectl import Kubectl


class GivenCluster:
    """Somebody else's cluster."""

    name = "given"

    def __init__(self, kubeconfig: Path, kubectl: Kubectl) -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl

    def up(self) -> None:
        """See whether it answers."""
        if not self.kubeconfig.exists():
            raise ClusterError(f"SLUICE_KUBECONFIG={self.kubeconfig}: there is no such file")
        with progress.part(f"ask the cluster of {self.kubeconfig} whether it is ready"):
            self._kubectl("get", "--raw", "/readyz", timeout=20)

    def down(self) -> None:
        """Leave it alone."""
        progress.say(f"the cluster of SLUICE_KUBECONFIG={self.kubeconfig} is not ours: left as it is")

    def missing(self, references: Iterable[str]) -> set[str]:  # noqa: ARG002
        """None: its images come from a registry."""
        return set()

    def load(self, archives: Iterable[Archive]) -> None:
        """Refuse: there is no way to its nodes."""
        if names := ", ".join(archive.reference for archive in archives):
            raise ClusterError(f"images cannot be loaded into a given cluster, only pulled by it: {names}")

    def gather(self, folder: Path) -> None:
        """Note which cluster it is."""
        (folder / "provider.txt").write_text(f"given: {self.kubeconfig}\n")

    def status(self) -> list[str]:
        """Say where it is from."""
        return [f"given by SLUICE_KUBECONFIG: {self.kubeconfig}"]
