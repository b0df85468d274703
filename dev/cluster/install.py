"""Installs the operator from the checkout: its CRDs, and its chart with the image that was built from the checkout."""

from __future__ import annotations

from pathlib import Path

from dev.cluster import progress
from dev.cluster.commands import run
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import CHECKOUT

NAMESPACE = "sluice-system"
RELEASE = "sluice"
_CRDS = CHECKOUT / "crds"
_CHART = CHECKOUT / "charts" / "sluice"
_VALUES = Path(__file__).parent / "values.yaml"
_SECONDS = 120


def possible() -> bool:
    """Whether the chart has been written yet."""
    return (_CHART / "Chart.yaml").exists()


def operator(kubectl: Kubectl, helm: Path, kubeconfig: Path, image: str) -> None:
    """Install or upgrade the operator with the image `image`, and wait until it is ready."""
    if any(_CRDS.glob("*.yaml")):
        with progress.part("apply the CRDs"):
            kubectl.apply(_CRDS)
    repository, _, tag = image.rpartition(":")
    policy = "Never" if repository.startswith("localhost/") else "IfNotPresent"
    settings = {"image.repository": repository, "image.tag": tag, "image.pullPolicy": policy}
    with progress.part(f"install the operator: {image}"):
        run(
            [
                *(helm, "upgrade", "--install", RELEASE, _CHART, "--kubeconfig", kubeconfig),
                *("--namespace", NAMESPACE, "--create-namespace", "--values", _VALUES),
                *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
                *("--wait", "--timeout", f"{_SECONDS}s"),
            ],
            timeout=_SECONDS + 30,
        )
