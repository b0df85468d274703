"""kubectl with a kubeconfig: the few things that this package asks of an API server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dev.cluster.commands import run, wait_until
from dev.cluster.errors import ClusterError


class Kubectl:
    """Commands to one cluster. `program` is asked for late, since it may still be being built."""

    def __init__(self, program: Callable[[], Path], kubeconfig: Path) -> None:
        self._program = program
        self._kubeconfig = kubeconfig

    def __call__(self, *words: str | Path, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl with these words and return what it prints. Raises ClusterError."""
        return run([self._program(), "--kubeconfig", self._kubeconfig, *words], stdin=stdin, timeout=timeout)

    def apply(self, manifest: str | Path) -> None:
        """Apply server-side, by one field manager: the text of a manifest, or a file or folder of them."""
        source, stdin = ("-", manifest) if isinstance(manifest, str) else (manifest, None)
        self("apply", "--server-side", "--force-conflicts", "--field-manager=sluice-dev", "-f", source, stdin=stdin)

    def get(self, *words: str) -> dict[str, Any]:
        """`kubectl get ... -o json`."""
        found: dict[str, Any] = json.loads(self("get", *words, "--output=json"))
        return found

    def condition(self, type_: str, *words: str) -> bool:
        """Whether an object exists and has the condition `type_` with status True."""
        try:
            found = self.get(*words)
        except ClusterError:
            return False
        conditions = (found.get("status") or {}).get("conditions") or ()  # of a new CRD they are null
        return any(row["type"] == type_ and row["status"] == "True" for row in conditions)

    def wait(self, what: str, type_: str, *words: str, timeout: float = 60) -> None:
        """Wait until an object, which need not exist yet, has the condition."""
        wait_until(what, lambda: self.condition(type_, *words), timeout=timeout)
