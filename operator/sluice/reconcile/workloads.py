"""What canaries need to know of Deployments, Services and routes, and nothing more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.api import names
from sluice.planning.candidate import selector_keys, service_ports, template_hash
from sluice.planning.origins import StatedOrigin, stated_origin


@dataclass(frozen=True)
class DeploymentRow:
    """A Deployment: a target, a candidate, or neither."""

    namespace: str
    name: str
    uid: str
    generation: int
    observed_generation: int
    deleting: bool
    template: str
    """Hash of its pod template."""
    images: tuple[str, ...]
    """Of its containers."""
    configs: str | None
    """Hash of the configs that its template names; None when it names none."""
    labels: tuple[tuple[str, str], ...]
    """Of its pods."""
    selected_by: tuple[str, ...]
    """The label keys that it selects its pods by."""
    canary: str
    """Name of the Canary whose target it is; empty when it is none's."""
    candidate_of: str
    """Name of the Canary whose candidate it is; empty when it is none's."""
    owner_uid: str
    """UID of the Canary that it belongs to."""
    revision: str
    """Of a candidate: what it was made of."""
    origin: StatedOrigin
    """What its annotations say of the commit that it comes from."""
    held: bool
    paused: bool
    recreate: bool
    replicas: int
    total: int
    updated: int
    available: int
    least_available: int


def project_deployment(obj: Mapping[str, Any]) -> DeploymentRow:
    """A Deployment, reduced."""
    metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    template = spec["template"].get("metadata") or {}
    strategy = spec.get("strategy") or {}
    replicas = spec.get("replicas", 1)
    unavailable = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
    return DeploymentRow(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        deleting="deletionTimestamp" in metadata,
        template=template_hash(spec["template"]),
        images=_images(spec["template"]),
        configs=(template.get("annotations") or {}).get(names.ANNOTATION_CONFIGS),
        labels=tuple(sorted((template.get("labels") or {}).items())),
        selected_by=selector_keys(obj),
        canary=labels.get(names.LABEL_CANARY, ""),
        candidate_of=labels.get(names.LABEL_CANDIDATE, ""),
        owner_uid=belongs_to(obj),
        revision=notes.get(names.ANNOTATION_REVISION, ""),
        origin=stated_origin(notes),
        held=notes.get(names.ANNOTATION_HELD) == names.HELD,
        paused=bool(spec.get("paused")),
        recreate=strategy.get("type") == "Recreate",
        replicas=replicas,
        total=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        least_available=replicas - _of(unavailable, replicas),
    )


def belongs_to(obj: Mapping[str, Any]) -> str:
    """UID of the Canary that an object says it belongs to, else of its controller; empty without one.

    An owner that is being deleted in the foreground is taken out of the object's owners while its work is not done.
    """
    stated = (obj["metadata"].get("annotations") or {}).get(names.ANNOTATION_CANARY_UID)
    return str(stated or controller_of(obj))


def controller_of(obj: Mapping[str, Any]) -> str:
    """UID of an object's controller; empty without one."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def _images(template: Mapping[str, Any]) -> tuple[str, ...]:
    containers = (template.get("spec") or {}).get("containers") or ()
    return tuple(str(container.get("image", "")) for container in containers)


def _of(value: int | str, whole: int) -> int:
    """A number, or a percentage of `whole` rounded down, as Deployments have it for maxUnavailable."""
    if isinstance(value, int):
        return value
    return math.floor(int(value.rstrip("%")) * whole / 100)


@dataclass(frozen=True)
class ServiceRow:
    """A Service."""

    namespace: str
    name: str
    uid: str
    selector: tuple[tuple[str, str], ...]
    ports: tuple[tuple[tuple[str, Any], ...], ...]
    candidate_of: str
    owner_uid: str
    """UID of the Canary that it belongs to."""
    owners: tuple[str, ...]
    """UIDs of all its owners."""


def project_service(obj: Mapping[str, Any]) -> ServiceRow:
    """A Service, reduced."""
    metadata = obj["metadata"]
    return ServiceRow(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        selector=tuple(sorted(((obj.get("spec") or {}).get("selector") or {}).items())),
        ports=tuple(tuple(sorted(port.items())) for port in service_ports(obj)),
        candidate_of=(metadata.get("labels") or {}).get(names.LABEL_CANDIDATE, ""),
        owner_uid=belongs_to(obj),
        owners=tuple(owner["uid"] for owner in metadata.get("ownerReferences") or ()),
    )


@dataclass(frozen=True)
class RouteRow:
    """A route of the Gateway API, whole: routers work on it."""

    namespace: str
    name: str
    obj: Mapping[str, Any]


def project_route(kind: str) -> Any:
    """How a route of this kind is kept. A list of the API server's says neither kind nor version."""

    def project(obj: Mapping[str, Any]) -> RouteRow:
        metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
        return RouteRow(metadata["namespace"], metadata["name"], {**obj, "kind": kind, "metadata": metadata})

    return project
