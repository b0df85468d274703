"""Routes as the API server stores them, with the defaults that it fills in."""

from typing import Any

from sluice.routing.base import Backend, Pair

STABLE = Backend("pricing", 80)
CANDIDATE = Backend("pricing-candidate", 80)
PAIR = Pair(STABLE, CANDIDATE)
ANYTHING = [{"path": {"type": "PathPrefix", "value": "/"}}]

Json = dict[str, Any]


def ref(name: str, weight: int | None = 1, port: int = 80, **more: Any) -> Json:
    """A backend of a rule."""
    found: Json = {"group": "", "kind": "Service", "name": name, "port": port, **more}
    return found if weight is None else {**found, "weight": weight}


def rule(*backends: Json, **more: Any) -> Json:
    """A rule for everything, unless `matches` says otherwise."""
    return {"backendRefs": list(backends), "matches": ANYTHING, **more}


def route(*rules: Json, kind: str = "HTTPRoute", **more: Any) -> Json:
    """A route of version 7 and generation 3."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "pricing", "namespace": "shop", "resourceVersion": "7", "generation": 3},
        "spec": {"parentRefs": [{"name": "edge"}], "hostnames": ["pricing.local"], "rules": list(rules)},
        **more,
    }


def weights(patched: Json) -> list[list[tuple[str, int | None]]]:
    """The backends of each rule by name, with their weights."""
    return [
        [(one["name"], one.get("weight")) for one in rule.get("backendRefs", ())] for rule in patched["spec"]["rules"]
    ]
