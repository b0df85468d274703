"""The objects that the benchmark makes."""

from __future__ import annotations

from typing import Any

from sluice.api.names import API_VERSION
from sluice.planning.pods import RESTRICTED_CONTAINER, RESTRICTED_POD

BUSYBOX = "localhost/sluice/busybox:1"

Manifest = dict[str, Any]

SIMULATED: Manifest = {
    "spec": {
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Equal", "value": "fake", "effect": "NoSchedule"}],
    }
}
"""Pod template: on kwok's node, where a pod ends as soon as it runs."""
REAL: Manifest = {}
"""Pod template: wherever pods go."""
NEVER_SCHEDULED: Manifest = {"spec": {"schedulerName": "nobody"}}
"""Pod template: no scheduler looks at the pod, so that its run stays live and costs nothing else."""


def pipeline(name: str, steps: int, template: Manifest) -> Manifest:
    """A chain of `steps` steps that do nothing."""
    rows: list[Manifest] = []
    for number in range(1, steps + 1):
        row: Manifest = {"name": f"s{number}", "image": BUSYBOX, "command": ["true"]}
        rows.append(row if number == 1 else {**row, "dependsOn": [f"s{number - 1}"]})
    spec: Manifest = {"steps": rows}
    if template:
        spec["podTemplate"] = template
    return {"apiVersion": API_VERSION, "kind": "DataPipeline", "metadata": {"name": name}, "spec": spec}


def run(name: str, pipeline_name: str) -> Manifest:
    """A PipelineRun, as a person would create it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "PipelineRun",
        "metadata": {"name": name},
        "spec": {"pipeline": {"name": pipeline_name}},
    }


def bare_pod(name: str) -> Manifest:
    """A pod that does what a step of `pipeline` does, without an operator."""
    container = {
        "name": "step",
        "image": BUSYBOX,
        "command": ["true"],
        "securityContext": RESTRICTED_CONTAINER,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": RESTRICTED_POD,
            "containers": [container],
        },
    }
