"""Installs the operator from the checkout: its CRDs, and its chart with the image that was built from the checkout."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dev.cluster import progress
from dev.cluster.commands import run, wait_until
from dev.cluster.errors import ClusterError
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import CHECKOUT

NAMESPACE = "sluice-system"
RELEASE = "sluice"
_ARGOCD = "argocd"
"""The namespace of Applications, where there are any."""
_CRDS = CHECKOUT / "crds"
_CHART = CHECKOUT / "charts" / "sluice"
_VALUES = Path(__file__).parent / "values.yaml"
_OURS = (f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/instance={RELEASE}")
_SECONDS = 120
# What a container is waiting for when waiting does not help.
_HOPELESS = (
    "CrashLoopBackOff",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
)


def possible() -> bool:
    """Whether the chart has been written yet."""
    return (_CHART / "Chart.yaml").exists()


def operator(kubectl: Kubectl, helm: Path, kubeconfig: Path, image: str, gate_image: str) -> None:
    """Install or upgrade the operator with the image `image`, and wait until it is ready."""
    if any(_CRDS.glob("*.yaml")):
        with progress.part("apply the CRDs"):
            kubectl.apply(_CRDS)
    repository, _, tag = image.rpartition(":")
    policy = "Never" if repository.startswith("localhost/") else "IfNotPresent"
    settings = {"image.repository": repository, "image.tag": tag, "image.pullPolicy": policy, "gates.image": gate_image}
    if kubectl("get", "namespace", _ARGOCD, "--ignore-not-found", "--output=name"):
        settings["gitops.argocd.namespace"] = _ARGOCD
    with progress.part(f"install the operator: {image}"):
        run(
            [
                *(helm, "upgrade", "--install", RELEASE, _CHART, "--kubeconfig", kubeconfig),
                *("--namespace", NAMESPACE, "--create-namespace", "--values", _VALUES),
                *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
            ],
            timeout=_SECONDS,
        )
        # Not helm's --wait: that says after minutes that something is not ready, and not what.
        wait_until(
            "the operator to be ready",
            lambda: _rolled_out(kubectl),
            timeout=_SECONDS,
            alive=lambda: _require_no_failure(kubectl, image),
        )


def _rolled_out(kubectl: Kubectl) -> bool:
    """Whether every Deployment of the release runs its newest pods and no others."""
    for deployment in kubectl.get("deployments", *_OURS)["items"]:
        status = deployment.get("status", {})
        replicas = deployment["spec"]["replicas"]
        counts = (status.get(count, 0) for count in ("replicas", "updatedReplicas", "availableReplicas"))
        if status.get("observedGeneration") != deployment["metadata"]["generation"] or set(counts) - {replicas}:
            return False
    return True


def _require_no_failure(kubectl: Kubectl, image: str) -> None:
    """Raise ClusterError with the last words of a pod of this image that will not become ready by waiting."""
    for pod in kubectl.get("pods", *_OURS)["items"]:
        for container in pod.get("status", {}).get("containerStatuses", []):
            waiting = container["state"].get("waiting", {})
            if container["image"] != image or waiting.get("reason") not in _HOPELESS:
                continue
            name = pod["metadata"]["name"]
            words = "no log"
            with suppress(ClusterError):
                words = kubectl("logs", f"--namespace={NAMESPACE}", name, "--previous", "--tail=15") or words
            raise ClusterError(f"pod {name} in {NAMESPACE}: {waiting['reason']}, {waiting.get('message', '')}\n{words}")
