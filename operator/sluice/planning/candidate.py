"""The candidate's Deployment and Service, made of the target's: complete manifests for server-side apply. Pure.

The candidate's pods are the target's, but for their labels. Behind a router, every label by which the target selects its pods
gets another value, so that no Service that selects by one of them sends requests past the weights. Without a router the
labels stay, as the Service has to find both.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sluice.api import names

Object = Mapping[str, Any]

_TAIL = "-candidate"


def template_hash(template: Object) -> str:
    """Hash of a pod template, whoever annotated it with what belongs to its version."""
    metadata = template.get("metadata") or {}
    notes = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != names.ANNOTATION_CONFIGS}
    plain = {"labels": metadata.get("labels") or {}, "annotations": notes, "spec": template.get("spec")}
    return names.short_hash(json.dumps(plain, sort_keys=True, separators=(",", ":")), length=10)


def revision_of(template: str, configs: str) -> str:
    """The revision: hash of the template, and of the content of the configs where there are any."""
    return names.short_hash(template, configs, length=10) if configs else template


def picks(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a Service with this selector sends requests to pods with these labels. Without a selector it picks none."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def candidate_labels(
    canary: str, labels: Mapping[str, str], selected_by: Sequence[str], *, routed: bool
) -> dict[str, str]:
    """Labels of the candidate's pods, from those of the target's pods and the keys that its selector names."""
    renamed = dict(labels)
    if routed:
        for key in selected_by:
            if key in renamed:
                renamed[key] = renamed[key][: names.MAX_LABEL - len(_TAIL)].rstrip("-_.") + _TAIL
    return renamed | {names.LABEL_CANDIDATE: canary}


def selector_keys(deployment: Object) -> tuple[str, ...]:
    """The label keys that a Deployment selects its pods by."""
    selector = deployment["spec"].get("selector") or {}
    expressions = [row["key"] for row in selector.get("matchExpressions") or ()]
    return (*(selector.get("matchLabels") or {}), *expressions)


def candidate_deployment(
    canary: str, canary_uid: str, target: Object, revision: str, *, replicas: int, routed: bool, configs: str
) -> dict[str, Any]:
    """The Deployment of the candidate."""
    spec = target["spec"]
    template = spec["template"]
    metadata = template.get("metadata") or {}
    notes = dict(metadata.get("annotations") or {})
    if configs:
        notes[names.ANNOTATION_CONFIGS] = configs
    labels = candidate_labels(canary, metadata.get("labels") or {}, selector_keys(target), routed=routed)
    kept = {key: spec[key] for key in ("minReadySeconds", "progressDeadlineSeconds") if key in spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            **_metadata(canary, canary_uid, target),
            "annotations": {names.ANNOTATION_REVISION: revision, names.ANNOTATION_CANARY_UID: canary_uid},
        },
        "spec": {
            **kept,
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {names.LABEL_CANDIDATE: canary}},
            "template": {
                "metadata": {"labels": labels, **({"annotations": notes} if notes else {})},
                "spec": template["spec"],
            },
        },
    }


def candidate_service(canary: str, canary_uid: str, target: Object, ports: Sequence[Object]) -> dict[str, Any]:
    """The Service of the candidate. Of the target, name and UID are enough."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            **_metadata(canary, canary_uid, target),
            "annotations": {names.ANNOTATION_CANARY_UID: canary_uid},
        },
        "spec": {"selector": {names.LABEL_CANDIDATE: canary}, "ports": [dict(port) for port in ports]},
    }


def candidate_autoscaler(canary: str, candidate: Object, autoscaler: Object, floor: int) -> dict[str, Any]:
    """The autoscaler of the candidate: the rules of the target's, from `floor` pods on. It belongs to the candidate."""
    name, uid = candidate["metadata"]["name"], candidate["metadata"]["uid"]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid, "controller": True}
    labels = {names.LABEL_CANDIDATE: canary, names.LABEL_MANAGED_BY: names.FIELD_MANAGER}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            **autoscaler["spec"],
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": floor,
        },
    }


def autoscales(autoscaler: Object, deployment: str) -> bool:
    """Whether an autoscaler scales this Deployment."""
    ref = autoscaler["spec"]["scaleTargetRef"]
    named = (ref.get("apiVersion", "").split("/")[0], ref["kind"], ref["name"])
    return bool(named == ("apps", "Deployment", deployment))


def same_rules(one: Object, other: Object) -> bool:
    """Whether two autoscalers differ in nothing but what they scale, and their lowest number of pods."""
    own = ("scaleTargetRef", "minReplicas")
    first, second = ({k: v for k, v in row["spec"].items() if k not in own} for row in (one, other))
    return first == second


def service_ports(service: Object) -> tuple[dict[str, Any], ...]:
    """The ports of a Service without what belongs to one Service only (node ports)."""
    fields = ("name", "port", "protocol", "targetPort", "appProtocol")
    ports = (service.get("spec") or {}).get("ports") or ()
    return tuple({field: port[field] for field in fields if field in port} for port in ports)


def _metadata(canary: str, canary_uid: str, target: Object) -> dict[str, Any]:
    """The target is an owner too: one who deletes the Canary in the foreground, as Argo CD does, has Kubernetes delete at once what
    nobody else owns, and the candidate may have requests."""
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "Canary",
        "name": canary,
        "uid": canary_uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    name, uid = target["metadata"]["name"], target["metadata"]["uid"]
    labels = {names.LABEL_CANDIDATE: canary, names.LABEL_MANAGED_BY: names.FIELD_MANAGER}
    keeper = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid}
    return {"name": names.candidate_name(name), "labels": labels, "ownerReferences": [owner, keeper]}
