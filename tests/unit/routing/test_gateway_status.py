"""What the parents of a route say of it."""

from typing import Any

import pytest

from sluice.routing.base import Standing
from sluice.routing.gateway_api import HTTP_ROUTE
from sluice.routing.gateway_status import lacking
from tests.unit.routing.routes import Json, ref, route, rule


def said(type_: str, status: str = "True", generation: int = 3, reason: str = "", message: str = "") -> Json:
    return {"type": type_, "status": status, "observedGeneration": generation, "reason": reason, "message": message}


def parent(*conditions: Json, **parent_ref: Any) -> Json:
    return {
        "controllerName": "example.com/gateway",
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge", **parent_ref},
        "conditions": list(conditions),
    }


GOOD = (said("Accepted"), said("ResolvedRefs"))
NOT_FOUND = said(
    "ResolvedRefs", "False", reason="BackendNotFound", message="Cannot load shop/pricing-candidate: not found"
)


@pytest.mark.parametrize(
    ("parents", "standing", "message"),
    [
        ([parent(*GOOD)], Standing.ACCEPTED, "HTTPRoute pricing: accepted by Gateway shop/edge"),
        ([parent(*GOOD, namespace="shop")], Standing.ACCEPTED, "accepted"),
        ([], Standing.PENDING, "HTTPRoute pricing at Gateway shop/edge: no controller has answered yet"),
        ([parent(*GOOD, namespace="elsewhere")], Standing.PENDING, "no controller has answered yet"),
        ([parent(*GOOD, sectionName="web")], Standing.PENDING, "no controller has answered yet"),
        ([parent(said("Accepted"))], Standing.PENDING, "ResolvedRefs not yet said of generation 3"),
        ([parent(said("Accepted", generation=2), said("ResolvedRefs"))], Standing.PENDING, "Accepted not yet said"),
        ([parent(said("Accepted", "Unknown"), said("ResolvedRefs"))], Standing.PENDING, "Accepted not yet said"),
        (
            [parent(said("Accepted"), NOT_FOUND)],
            Standing.REFUSED,
            "HTTPRoute pricing at Gateway shop/edge: ResolvedRefs=False (BackendNotFound): "
            "Cannot load shop/pricing-candidate: not found",
        ),
        # What was said of an earlier generation is no answer, be it good or bad.
        ([parent(said("Accepted", "False", 2), said("ResolvedRefs", generation=2))], Standing.PENDING, "not yet said"),
        (
            [parent(said("Accepted", "False", reason="NotAllowedByListeners"))],
            Standing.REFUSED,
            "(NotAllowedByListeners)",
        ),
        (
            [parent(*GOOD, said("PartiallyInvalid", reason="UnsupportedValue"))],
            Standing.REFUSED,
            "PartiallyInvalid=True",
        ),
        ([parent(*GOOD, said("PartiallyInvalid", "False"))], Standing.ACCEPTED, "accepted"),
        ([parent(*GOOD), parent(said("Accepted", "False"))], Standing.REFUSED, "Accepted=False"),
    ],
)
def test_the_worst_that_any_parent_says_counts(parents: list[Json], standing: Standing, message: str) -> None:
    answer = HTTP_ROUTE.answer(route(rule(ref("pricing")), status={"parents": parents}))
    assert answer.standing is standing
    assert message in answer.message


def test_every_parent_has_to_accept() -> None:
    two = route(rule(ref("pricing")), status={"parents": [parent(*GOOD)]})
    two["spec"]["parentRefs"] = [{"name": "edge"}, {"name": "inner", "sectionName": "web"}]
    answer = HTTP_ROUTE.answer(two)
    assert answer.standing is Standing.PENDING
    assert "Gateway shop/inner, section web" in answer.message


@pytest.mark.parametrize("status", [{}, {"status": {}}, {"status": {"parents": None}}])
def test_a_route_that_nobody_has_looked_at_is_pending(status: Json) -> None:
    assert HTTP_ROUTE.answer(route(rule(ref("pricing")), **status)).standing is Standing.PENDING


def test_a_route_without_parents_is_served_by_nobody() -> None:
    alone = route(rule(ref("pricing")))
    del alone["spec"]["parentRefs"]
    assert HTTP_ROUTE.answer(alone).standing is Standing.REFUSED


MIRROR, PERCENTAGE = "HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror"
ENVOY = {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"}


@pytest.mark.parametrize(
    ("gateway_class", "missing"),
    [
        pytest.param({}, (MIRROR, PERCENTAGE), id="nothing"),
        pytest.param({"status": {"supportedFeatures": [{"name": PERCENTAGE}]}}, (MIRROR,), id="one of them"),
        pytest.param({"status": {"supportedFeatures": [MIRROR, PERCENTAGE]}}, (), id="both, as in v1.0"),
        pytest.param(
            {"metadata": {"annotations": {"sluice.dev/supports": f"{MIRROR}, {PERCENTAGE}"}}}, (), id="stated"
        ),
        pytest.param({"metadata": {"annotations": {"sluice.dev/supports": MIRROR}}}, (PERCENTAGE,), id="one is stated"),
        pytest.param({"spec": ENVOY}, (), id="Envoy Gateway, which claims nothing"),
        pytest.param({"spec": {"controllerName": "example.com/silent"}}, (MIRROR, PERCENTAGE), id="another silent one"),
        pytest.param(
            {"spec": ENVOY, "status": {"supportedFeatures": [{"name": MIRROR}]}}, (PERCENTAGE,), id="it claims again"
        ),
    ],
)
def test_a_class_can_only_what_it_claims(gateway_class: Json, missing: tuple[str, ...]) -> None:
    assert lacking(gateway_class, (MIRROR, PERCENTAGE)) == missing
