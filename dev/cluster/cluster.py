"""What every kind of cluster can do, whichever way it came to be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Archive:
    """An image in a file: its full name, and where the archive lies."""

    reference: str
    path: Path


class Cluster(Protocol):
    """One way to have a cluster."""

    @property
    def name(self) -> str:
        """`given`, `kind` or `local`."""

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig."""

    def up(self) -> None:
        """Bring it up; keep what is up already. Raises ClusterError."""

    def down(self) -> None:
        """End it and remove its traces; no error if there is none."""

    def missing(self, references: Iterable[str]) -> set[str]:
        """Which of these images its nodes lack."""

    def load(self, archives: Iterable[Archive]) -> None:
        """Bring images to its nodes."""

    def gather(self, folder: Path) -> None:
        """Copy what its own parts have logged to a folder."""

    def status(self) -> list[str]:
        """Lines about its own parts, for people."""


def load_missing(cluster: Cluster, archives: Iterable[Archive]) -> None:
    """Bring those images to the nodes that they lack."""
    wanted = list(archives)
    missing = cluster.missing(archive.reference for archive in wanted)
    cluster.load(archive for archive in wanted if archive.reference in missing)
