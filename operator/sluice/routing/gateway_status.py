"""What the parents of a Gateway API route say of it, and what a GatewayClass says that it can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sluice.api import names
from sluice.routing.base import Answer, Object, Standing

SILENT = {
    "gateway.envoyproxy.io/gatewayclass-controller": frozenset(
        {"HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror"}
    )
}
"""Controllers whose classes claim nothing, and what they have been seen to do: Envoy Gateway 1.9."""
_REQUIRED = ("Accepted", "ResolvedRefs")
_PARTLY = "PartiallyInvalid"
_PARENT_FIELDS = ("group", "kind", "namespace", "name", "sectionName", "port")


def answer(route: Object) -> Answer:
    """The worst that any parent says: refused before pending before accepted.

    A condition counts only for the generation that it was written for. A parent that has said nothing has not accepted.
    """
    metadata = route["metadata"]
    namespace, generation = metadata.get("namespace", ""), int(metadata.get("generation") or 0)
    label = f"{route['kind']} {metadata['name']}"
    parents = (route.get("spec") or {}).get("parentRefs") or ()
    if not parents:
        return Answer(Standing.REFUSED, f"{label} has no parentRefs, so no gateway serves it")
    statuses = (route.get("status") or {}).get("parents") or ()
    waiting = ""
    for parent in parents:
        said = [
            status for status in statuses if _identity(status["parentRef"], namespace) == _identity(parent, namespace)
        ]
        for status in said:
            if refusal := _refusal(status, generation):
                return Answer(Standing.REFUSED, f"{label} at {_name(parent, namespace)}: {refusal}")
        if not said:
            waiting = waiting or f"{label} at {_name(parent, namespace)}: no controller has answered yet"
        elif missing := [one for status in said for one in _missing(status, generation)]:
            waiting = waiting or (
                f"{label} at {_name(parent, namespace)}: {' and '.join(missing)} not yet said of generation {generation}"
            )
    if waiting:
        return Answer(Standing.PENDING, waiting)
    return Answer(
        Standing.ACCEPTED, f"{label}: accepted by {', '.join(_name(parent, namespace) for parent in parents)}"
    )


def lacking(gateway_class: Object, needed: Sequence[str]) -> tuple[str, ...]:
    """Those of the features, named as in Gateway API, that the class does not claim.

    It claims them in `status.supportedFeatures`; whoever knows better says so in the annotation `sluice.dev/supports`, with commas
    between. It matters for mirrors: some gateways answer every request of a rule with 500 when it has a filter that they do not
    know, and still report the route as accepted.
    """
    claimed = {
        feature["name"] if isinstance(feature, Mapping) else feature  # v1.0 had plain strings
        for feature in (gateway_class.get("status") or {}).get("supportedFeatures") or ()
    }
    if not claimed:
        claimed |= SILENT.get((gateway_class.get("spec") or {}).get("controllerName", ""), frozenset())
    stated = ((gateway_class.get("metadata") or {}).get("annotations") or {}).get(names.ANNOTATION_SUPPORTS, "")
    claimed |= {word.strip() for word in stated.split(",")}
    return tuple(feature for feature in needed if feature not in claimed)


def _refusal(status: Mapping[str, Any], generation: int) -> str:
    for condition in _current(status, generation):
        bad = "True" if condition["type"] == _PARTLY else "False"
        if condition["type"] in (*_REQUIRED, _PARTLY) and condition["status"] == bad:
            said = f"{condition['type']}={condition['status']} ({condition.get('reason', '')})"
            return f"{said}: {condition['message']}" if condition.get("message") else said
    return ""


def _missing(status: Mapping[str, Any], generation: int) -> list[str]:
    given = {condition["type"] for condition in _current(status, generation) if condition["status"] == "True"}
    return [type_ for type_ in _REQUIRED if type_ not in given]


def _current(status: Mapping[str, Any], generation: int) -> list[Mapping[str, Any]]:
    return [
        condition
        for condition in status.get("conditions") or ()
        if int(condition.get("observedGeneration") or 0) >= generation
    ]


def _identity(parent: Mapping[str, Any], namespace: str) -> tuple[Any, ...]:
    defaults = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": namespace}
    return tuple(parent.get(field) or defaults.get(field) for field in _PARENT_FIELDS)


def _name(parent: Mapping[str, Any], namespace: str) -> str:
    section = f", section {parent['sectionName']}" if parent.get("sectionName") else ""
    return f"{parent.get('kind') or 'Gateway'} {parent.get('namespace') or namespace}/{parent['name']}{section}"
