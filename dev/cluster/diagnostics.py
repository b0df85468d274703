"""Gathers what one needs to know when something went wrong into one folder, and never fails over it."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

from dev.cluster.cluster import Cluster
from dev.cluster.errors import ClusterError
from dev.cluster.kubectl import Kubectl
from dev.cluster.settings import Settings

_KEPT = 5
_QUESTIONS = {
    "pods.txt": ("get", "pods", "--all-namespaces", "--output=wide"),
    "events.txt": ("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
    "nodes.txt": ("describe", "nodes"),
    "sluice.yaml": ("get", "sluice", "--all-namespaces", "--output=yaml"),
    "workloads.txt": (
        "get",
        "deployments,statefulsets,daemonsets,services,persistentvolumeclaims",
        "--all-namespaces",
        "--output=wide",
    ),
}
_LOG_LINES = "--tail=2000"


def new_folder(settings: Settings) -> Path:
    """A new folder in the cache, where it outlives the cluster; the oldest ones go."""
    parent = settings.cache / "diagnostics"
    folder = parent / f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(parent.iterdir())[:-_KEPT]:
        shutil.rmtree(old)
    return folder


def gather(cluster: Cluster, kubectl: Kubectl, folder: Path) -> None:
    """Fill the folder with logs, pods, events, descriptions of pods that are not ready, and the state of the node."""
    folder.mkdir(parents=True, exist_ok=True)
    problems = []
    try:
        cluster.gather(folder)
    except ClusterError as error:
        problems.append(str(error))
    for name, words in _QUESTIONS.items():
        try:
            (folder / name).write_text(kubectl(*words, timeout=20))
        except ClusterError as error:
            problems.append(str(error))
    try:
        _gather_pods(kubectl, folder)
    except ClusterError as error:
        problems.append(str(error))
    (folder / "problems.txt").write_text("\n".join(problems))


def _gather_pods(kubectl: Kubectl, folder: Path) -> None:
    """Describe every pod that is neither ready nor done, with its containers' logs."""
    for pod in kubectl.get("pods", "--all-namespaces")["items"]:
        conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])}
        if conditions.get("Ready") == "True" or pod.get("status", {}).get("phase") == "Succeeded":
            continue
        place = (f"--namespace={pod['metadata']['namespace']}", pod["metadata"]["name"])
        file = folder / "pods" / f"{pod['metadata']['namespace']}_{pod['metadata']['name']}.txt"
        file.parent.mkdir(exist_ok=True)
        text = [kubectl("describe", "pod", *place)]
        for previous in ("--previous=false", "--previous=true"):
            try:
                text.append(kubectl("logs", *place, "--all-containers", "--prefix", _LOG_LINES, previous))
            except ClusterError:
                text.append(f"(no logs, {previous})")
        file.write_text("\n".join(text))
