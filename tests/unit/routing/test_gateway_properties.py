"""What holds for every route of the Gateway API and every history of wishes."""

import copy
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from sluice.routing.base import Cookie, Header, NotDivisible, NotRouted, RouteFull, Wish
from sluice.routing.gateway_api import GRPC_ROUTE, HTTP_ROUTE
from tests.unit.routing.patching import apply
from tests.unit.routing.routes import PAIR, Json, ref, route

OUTER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "1"}]}}
MIRROR = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "audit", "port": 80}, "percent": 3}}

weight = st.one_of(st.none(), st.integers(0, 10), st.sampled_from([100, 10_000]))
percent = st.integers(0, 100)
filters = st.lists(st.sampled_from([OUTER, MIRROR]), max_size=2)
match = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from([{"type": "PathPrefix", "value": "/"}, {"type": "Exact", "value": "/q"}]),
        "headers": st.just([{"type": "Exact", "name": "a", "value": "b"}]),
        "method": st.sampled_from(["GET", "POST"]),
    },
)


@st.composite
def rules(draw: st.DrawFn) -> Json:
    backends = [
        *([ref("pricing", draw(weight))] if draw(st.booleans()) else ()),
        *([ref("pricing-candidate", 0)] if draw(st.booleans()) else ()),
        *(ref(f"other-{number}", draw(weight)) for number in range(draw(st.integers(0, 2)))),
    ]
    found: Json = {"backendRefs": draw(st.permutations(backends))}
    if draw(st.booleans()):
        found["filters"] = draw(filters)
    if draw(st.booleans()):
        found["matches"] = draw(st.lists(match, min_size=1, max_size=3))
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, Json, Any]:
    kind, router = draw(st.sampled_from([("HTTPRoute", HTTP_ROUTE), ("GRPCRoute", GRPC_ROUTE)]))
    old = route(*draw(st.lists(rules(), min_size=1, max_size=4)), kind=kind)
    try:
        return router, old, router.remember(old, PAIR)
    except NotRouted:
        assume(False)
        raise


wishes = st.builds(
    Wish,
    percent,
    st.sampled_from([(), (Header("x-canary", "1"),), (Cookie("beta", "yes"), Header("x-canary", "1"))]),
    st.one_of(st.just(0), percent),
)


def steer(router: Any, old: Json, wish: Wish, before: Any) -> Json:
    """The steered route; a case that the API cannot hold is not looked at."""
    try:
        return apply(old, router.steer(old, PAIR, wish, before))
    except (NotDivisible, RouteFull):
        assume(False)
        raise


def pair_of(rule: Json) -> tuple[int, int, int] | None:
    """The weights of stable, candidate and the others; None for a rule that does not take part."""
    found = {"pricing": 0, "pricing-candidate": 0}
    others = 0
    for one in rule["backendRefs"]:
        if one["name"] in found:
            found[one["name"]] = 1 if one.get("weight") is None else one["weight"]
        else:
            others += 1 if one.get("weight") is None else one["weight"]
    names = [one["name"] for one in rule["backendRefs"]]
    return (found["pricing"], found["pricing-candidate"], others) if "pricing" in names else None


@given(cases(), st.integers(1, 100))
def test_weights_sum_to_100_or_to_what_they_were_beside_others(case: tuple[Any, Json, Any], weight: int) -> None:
    router, old, before = case
    new = steer(router, old, Wish(weight), before)
    for was, now in zip(map(pair_of, old["spec"]["rules"]), map(pair_of, new["spec"]["rules"]), strict=True):
        if was is None or was[0] + was[1] == 0:
            assert was == now
            continue
        assert now is not None
        stable, candidate, others = now
        if others:
            assert others == was[2]
            assert stable + candidate == was[0] + was[1]
            assert candidate * 100 == weight * (stable + candidate)
        else:
            assert (stable, candidate) == (100 - weight, weight)


@given(cases(), wishes)
def test_a_second_time_changes_nothing(case: tuple[Any, Json, Any], wish: Wish) -> None:
    router, old, before = case
    new = steer(router, old, wish, before)
    assert router.steer(new, PAIR, wish, before) == ()


@given(cases(), st.lists(wishes, min_size=1, max_size=4))
def test_the_route_is_given_back_exactly_after_any_history(case: tuple[Any, Json, Any], history: list[Wish]) -> None:
    router, old, before = case
    new = old
    for wish in history:
        new = steer(router, new, wish, before)
    restored = apply(new, router.restore(new, PAIR, before))
    assert restored["spec"] == old["spec"]
    assert router.restore(restored, PAIR, before) == ()


@given(cases(), st.lists(wishes, min_size=2, max_size=4))
def test_the_way_to_a_wish_does_not_matter_to_its_traffic(case: tuple[Any, Json, Any], history: list[Wish]) -> None:
    router, old, before = case
    new = old
    for wish in history:
        new = steer(router, new, wish, before)
    straight = steer(router, old, history[-1], before)
    one, other = router.seen(new, PAIR), router.seen(straight, PAIR)
    assert (one.weights, one.mirrors, one.matched) == (other.weights, other.mirrors, other.matched)


@given(cases(), wishes)
def test_what_is_not_of_the_pair_stays_byte_for_byte(case: tuple[Any, Json, Any], wish: Wish) -> None:
    router, old, before = case
    new = steer(router, old, wish, before)
    added = len(new["spec"]["rules"]) - len(old["spec"]["rules"])
    assert {**new, "spec": {**new["spec"], "rules": 0}, "metadata": 0} == {
        **old,
        "spec": {**old["spec"], "rules": 0},
        "metadata": 0,
    }
    for was, now in zip(old["spec"]["rules"], new["spec"]["rules"][added:], strict=True):
        assert stripped(was) == stripped(now)


@given(cases(), wishes)
def test_no_traffic_to_the_candidate_can_always_be_had(case: tuple[Any, Json, Any], wish: Wish) -> None:
    router, old, before = case
    new = steer(router, old, wish, before)
    none = apply(new, router.steer(new, PAIR, Wish(), before))
    assert (router.seen(none, PAIR).most, max(router.seen(none, PAIR).mirrors)) == (0, 0)


def stripped(rule: Json) -> Json:
    """A rule without what a rollout may change in it."""
    left = copy.deepcopy(rule)
    left["backendRefs"] = [one for one in left["backendRefs"] if one["name"] != "pricing-candidate"]
    for one in left["backendRefs"]:
        if one["name"] == "pricing":
            one.pop("weight", None)
    left["filters"] = [
        one
        for one in left.get("filters", ())
        if one.get("requestMirror", {}).get("backendRef", {}).get("name") != "pricing-candidate"
    ]
    return left
