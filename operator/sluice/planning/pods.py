"""The pod of one attempt of a step, as a manifest. Templates of three levels are merged: cluster, pipeline, step.

Merging: maps key by key, named lists (volumes, imagePullSecrets) by name, other lists are joined, single values are
replaced; the later level wins. Under them all lies the restricted Pod Security profile.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.api import names
from sluice.api.base import Json
from sluice.api.pipeline import DataPipelineSpec, Step
from sluice.api.pod_template import PodTemplate
from sluice.planning.references import substitute
from sluice.planning.spot import on_spot

RESTRICTED_POD: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Most images state no user of their own; without a number the kubelet refuses to run them as non-root."""
RESTRICTED_CONTAINER: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

OUTPUTS_PATH = "/dev/termination-log"
SCRATCH_VOLUME = "sluice-scratch"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class RunIdentity:
    """What a pod has to know of its run."""

    namespace: str
    name: str
    uid: str
    pipeline: str
    revision: str


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, as the module says."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[key] = merge(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            result[key] = _merge_lists(old, value)
        else:
            result[key] = value
    return result


def _merge_lists(below: list[Any], above: list[Any]) -> list[Any]:
    if not all(isinstance(item, Mapping) and "name" in item for item in (*below, *above)):
        return [*below, *(item for item in above if item not in below)]
    replaced = {item["name"]: item for item in above}
    kept = [replaced.pop(item["name"], item) for item in below]
    return [*kept, *replaced.values()]


def _template(*levels: PodTemplate | None) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for level in levels:
        if level is not None:
            merged = merge(
                merged, level.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
            )
    return merged


def build_pod(
    run: RunIdentity,
    spec: DataPipelineSpec,
    step: Step,
    attempt: int,
    values: Mapping[str, Json],
    cluster: PodTemplate | None,
    *,
    extra_env: Sequence[Mapping[str, Any]] = (),
    scratch: str | None = None,
) -> Manifest:
    """The pod of `attempt` (from 1) of `step`. `values` resolves references. Raises UnresolvedReference.

    `extra_env` are variables of the operator's own, as they are; `scratch` is where the container finds an empty folder.
    """
    template = _template(cluster, spec.pod_template, step.pod_template)
    metadata = template.get("metadata", {})
    pod_spec: dict[str, Any] = template.get("spec", {})
    if step.spot is not None and on_spot(step, attempt):
        wanted = step.spot.model_dump(mode="json", by_alias=True, include={"node_selector", "tolerations"})
        pod_spec = merge(pod_spec, wanted)
    pod: Manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.pod_name(run.name, run.uid, step.name, attempt),
            "namespace": run.namespace,
            "labels": {
                **metadata.get("labels", {}),
                names.LABEL_MANAGED_BY: names.FIELD_MANAGER,
                names.LABEL_PIPELINE: run.pipeline,
                names.LABEL_RUN: run.name,
                names.LABEL_RUN_UID: run.uid,
                names.LABEL_STEP: step.name,
                names.LABEL_ATTEMPT: str(attempt),
            },
            "annotations": dict(metadata.get("annotations", {})),
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": "PipelineRun",
                    "name": run.name,
                    "uid": run.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            **pod_spec,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": merge(RESTRICTED_POD, pod_spec.get("securityContext", {})),
            "containers": [_container(run, step, attempt, values)],
        },
    }
    container = pod["spec"]["containers"][0]
    container["env"] += extra_env
    if scratch is not None:
        pod["spec"]["volumes"] = [*pod["spec"].get("volumes", []), {"name": SCRATCH_VOLUME, "emptyDir": {}}]
        mounts = [*container.get("volumeMounts", []), {"name": SCRATCH_VOLUME, "mountPath": scratch}]
        container["volumeMounts"] = mounts
    pod["metadata"]["annotations"][names.ANNOTATION_SPEC_HASH] = names.short_hash(
        json.dumps(pod, sort_keys=True, separators=(",", ":")), length=16
    )
    return pod


def _container(run: RunIdentity, step: Step, attempt: int, values: Mapping[str, Json]) -> dict[str, Any]:
    env: list[dict[str, Any]] = [
        {"name": "SLUICE_RUN", "value": run.name},
        {"name": "SLUICE_STEP", "value": step.name},
        {"name": "SLUICE_ATTEMPT", "value": str(attempt)},
        {"name": "SLUICE_OUTPUTS", "value": OUTPUTS_PATH},
    ]
    own = {variable.name for variable in step.env}
    env = [variable for variable in env if variable["name"] not in own]
    for variable in step.env:
        row = variable.to_dict()
        if variable.value is not None:
            row["value"] = substitute(variable.value, values)
        env.append(row)
    container: dict[str, Any] = {
        "name": names.STEP_CONTAINER,
        "image": step.image,
        "env": env,
        "securityContext": merge(RESTRICTED_CONTAINER, step.security_context or {}),
        "terminationMessagePath": OUTPUTS_PATH,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if step.command:
        container["command"] = [substitute(text, values) for text in step.command]
    if step.args:
        container["args"] = [substitute(text, values) for text in step.args]
    if step.env_from:
        container["envFrom"] = [source.to_dict() for source in step.env_from]
    if step.working_dir is not None:
        container["workingDir"] = step.working_dir
    if step.image_pull_policy is not None:
        container["imagePullPolicy"] = step.image_pull_policy
    if step.resources is not None:
        container["resources"] = step.resources.model_dump(mode="json", exclude_defaults=True)
    if step.volume_mounts:
        container["volumeMounts"] = [mount.to_dict() for mount in step.volume_mounts]
    return container
