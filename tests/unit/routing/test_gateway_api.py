"""Routes of the Gateway API, case by case."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from sluice.routing.base import (
    AlreadyMatched,
    Backend,
    Before,
    CandidateInUse,
    Cookie,
    Header,
    HeaderPattern,
    NotDivisible,
    NotRouted,
    RouteFull,
    Wish,
)
from sluice.routing.gateway_api import GRPC_ROUTE, HTTP_ROUTE
from tests.unit.routing.patching import NotApplicable, apply
from tests.unit.routing.routes import CANDIDATE, PAIR, STABLE, Json, ref, route, rule, weights

OUTER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-tier", "value": "1"}]}}
V2 = [{"path": {"type": "PathPrefix", "value": "/v2"}}]


def steered(old: Json, wish: Wish, before: Before | None = None, router: Any = HTTP_ROUTE) -> Json:
    return apply(old, router.steer(old, PAIR, wish, before or router.remember(old, PAIR)))


@pytest.mark.parametrize(
    ("backends", "weight", "expected"),
    [
        ([ref("pricing")], 20, [("pricing", 80), ("pricing-candidate", 20)]),
        ([ref("pricing", None)], 20, [("pricing", 80), ("pricing-candidate", 20)]),
        ([ref("pricing", 40)], 20, [("pricing", 80), ("pricing-candidate", 20)]),
        ([ref("pricing", 100), ref("pricing-candidate", 0)], 20, [("pricing", 80), ("pricing-candidate", 20)]),
        ([ref("pricing-candidate", 0), ref("pricing", 100)], 20, [("pricing-candidate", 20), ("pricing", 80)]),
        ([ref("pricing")], 100, [("pricing", 0), ("pricing-candidate", 100)]),
        ([ref("pricing")], 0, [("pricing", 1)]),
        # Beside other backends the pair keeps its sum, and the others their share.
        ([ref("pricing", 90), ref("legacy", 10)], 20, [("pricing", 72), ("pricing-candidate", 18), ("legacy", 10)]),
        ([ref("legacy", 10), ref("pricing", 90)], 20, [("legacy", 10), ("pricing", 72), ("pricing-candidate", 18)]),
        ([ref("pricing", 1), ref("legacy", 1)], 100, [("pricing", 0), ("pricing-candidate", 1), ("legacy", 1)]),
        ([ref("pricing", 1), ref("legacy", 0)], 20, [("pricing", 80), ("pricing-candidate", 20), ("legacy", 0)]),
        # Another port of the same Service is another backend.
        (
            [ref("pricing", 50), ref("pricing", 50, 8080)],
            20,
            [("pricing", 40), ("pricing-candidate", 10), ("pricing", 50)],
        ),
    ],
)
def test_only_the_weights_of_the_pair_change(
    backends: list[Json], weight: int, expected: list[tuple[str, int | None]]
) -> None:
    assert weights(steered(route(rule(*backends)), Wish(weight))) == [expected]


def test_the_patch_is_the_smallest_for_a_route_that_names_both() -> None:
    old = route(rule(ref("pricing", 100), ref("pricing-candidate", 0)))
    assert HTTP_ROUTE.steer(old, PAIR, Wish(5), HTTP_ROUTE.remember(old, PAIR)) == (
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 95},
        {"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 5},
    )


def test_nothing_is_written_when_the_route_does_already_as_wished() -> None:
    old = route(rule(ref("pricing", 80), ref("pricing-candidate", 20)))
    assert HTTP_ROUTE.steer(old, PAIR, Wish(20), Before(())) == ()


def test_a_patch_for_an_older_version_of_the_route_is_refused() -> None:
    old = route(rule(ref("pricing")))
    patch = HTTP_ROUTE.steer(old, PAIR, Wish(20), HTTP_ROUTE.remember(old, PAIR))
    with pytest.raises(NotApplicable):
        apply({**old, "metadata": {**old["metadata"], "resourceVersion": "8"}}, patch)


def test_the_route_that_was_read_is_never_changed() -> None:
    old = route(rule(ref("pricing"), filters=[OUTER]))
    kept = copy.deepcopy(old)
    HTTP_ROUTE.steer(old, PAIR, Wish(20, (Header("x", "y"),), 10), HTTP_ROUTE.remember(old, PAIR))
    assert old == kept


def test_everything_else_of_the_route_is_left_alone() -> None:
    old = route(
        rule(ref("docs"), matches=[{"path": {"type": "Exact", "value": "/docs"}}]),
        rule(ref("pricing", filters=[OUTER]), filters=[OUTER], timeouts={"request": "10s"}, matches=V2),
        rule(ref("pricing"), ref("legacy", 0), name="rest"),
        status={"parents": []},
    )
    expected = copy.deepcopy(old)
    expected["metadata"]["resourceVersion"] = "8"
    expected["spec"]["rules"][1]["backendRefs"] = [
        ref("pricing", 80, filters=[OUTER]),
        ref("pricing-candidate", 20, filters=[OUTER]),
    ]
    expected["spec"]["rules"][2]["backendRefs"] = [ref("pricing", 80), ref("pricing-candidate", 20), ref("legacy", 0)]
    assert steered(old, Wish(20)) == expected


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [rule(ref("docs"))],
        [rule(ref("pricing", 0))],
        [rule(ref("pricing", port=8080))],
        [rule(ref("pricing", namespace="elsewhere"))],
        [rule(ref("pricing", kind="TraefikService"))],
        [{"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}],
    ],
)
def test_a_route_that_sends_nothing_to_stable_is_refused(rules: list[Json]) -> None:
    old = route(*rules)
    with pytest.raises(NotRouted, match="HTTPRoute shop/pricing has no rule that sends traffic to Service pricing:80"):
        HTTP_ROUTE.remember(old, PAIR)
    with pytest.raises(NotRouted):
        HTTP_ROUTE.steer(old, PAIR, Wish(20), Before(()))


def test_a_route_of_which_the_namespace_is_stated_is_found() -> None:
    old = route(rule(ref("pricing", namespace="shop")))
    new = steered(old, Wish(20))
    assert new["spec"]["rules"][0]["backendRefs"][1] == ref("pricing-candidate", 20, namespace="shop")


def test_a_weight_that_cannot_be_had_beside_others_is_refused() -> None:
    old = route(rule(ref("pricing", 1), ref("legacy", 1)))
    with pytest.raises(NotDivisible, match=r"rule 1: 20% of the weight 1 .* Multiply all weights of the rule by 100"):
        steered(old, Wish(20))
    exactly = route(rule(ref("pricing", 90), ref("legacy", 10)))
    assert HTTP_ROUTE.seen(steered(exactly, Wish(10)), PAIR).weight == 10
    with pytest.raises(NotDivisible, match="5% of the weight 90"):
        steered(exactly, Wish(5))


def test_only_the_named_rule_takes_part() -> None:
    pair = replace(PAIR, rule="quotes")
    old = route(rule(ref("pricing"), name="rest"), rule(ref("pricing"), matches=V2, name="quotes"))
    before = HTTP_ROUTE.remember(old, pair)
    new = apply(old, HTTP_ROUTE.steer(old, pair, Wish(20, (Header("x", "1"),)), before))
    assert weights(new)[1:] == [[("pricing", 1)], [("pricing", 80), ("pricing-candidate", 20)]]
    assert len(new["spec"]["rules"]) == 3
    assert HTTP_ROUTE.seen(new, pair).weights == (20.0,)
    assert apply(new, HTTP_ROUTE.restore(new, pair, before))["spec"] == old["spec"]
    with pytest.raises(NotRouted, match="has no rule other that sends traffic"):
        HTTP_ROUTE.remember(old, replace(PAIR, rule="other"))


@pytest.mark.parametrize(
    ("rules", "weight", "named"),
    [
        ([rule(ref("pricing", 80), ref("pricing-candidate", 20))], 20, True),
        ([rule(ref("pricing", 80), ref("pricing-candidate", 20)), rule(ref("pricing"))], None, False),
        ([rule(ref("pricing", 2), ref("pricing-candidate", 1))], None, True),
        ([rule(ref("pricing")), rule(ref("pricing", 7), ref("pricing-candidate", 0))], 0, False),
        ([rule(ref("docs"))], None, False),
    ],
)
def test_one_weight_is_seen_where_all_rules_agree(rules: list[Json], weight: int | None, *, named: bool) -> None:
    seen = HTTP_ROUTE.seen(route(*rules), PAIR)
    assert (seen.weight, seen.named) == (weight, named)


@pytest.mark.parametrize(
    "old",
    [
        route(rule(ref("pricing", 80), ref("pricing-candidate", 20))),
        route(rule(ref("pricing"), ref("pricing-candidate", None))),
        route(
            rule(
                ref("pricing"),
                filters=[{"type": "RequestMirror", "requestMirror": {"backendRef": ref("pricing-candidate", None)}}],
            )
        ),
    ],
)
def test_a_candidate_that_gets_traffic_before_the_rollout_is_refused(old: Json) -> None:
    with pytest.raises(CandidateInUse, match="rule 1: Service pricing-candidate:80 already gets traffic"):
        HTTP_ROUTE.remember(old, PAIR)


# --- A/B


def test_requests_with_a_header_go_to_the_candidate_by_a_rule_before_the_others() -> None:
    old = route(rule(ref("docs"), matches=V2), rule(ref("pricing", filters=[OUTER]), filters=[OUTER], name="rest"))
    new = steered(old, Wish(conditions=(Header("x-canary", "always"),)))
    first, *others = new["spec"]["rules"]
    assert others == old["spec"]["rules"]
    assert first == {
        "matches": [
            {
                "path": {"type": "PathPrefix", "value": "/"},
                "headers": [{"type": "Exact", "name": "x-canary", "value": "always"}],
            }
        ],
        "filters": [OUTER],
        "backendRefs": [ref("pricing-candidate", 1, filters=[OUTER])],
    }


def test_each_condition_widens_the_rule_and_each_match_is_kept() -> None:
    matches = [
        *V2,
        {"path": {"type": "Exact", "value": "/quote"}, "headers": [{"type": "Exact", "name": "a", "value": "b"}]},
    ]
    old = route(rule(ref("pricing"), matches=matches))
    new = steered(old, Wish(conditions=(Header("x-canary", "1"), HeaderPattern("x-user", "^7"), Cookie("beta", "yes"))))
    found = [(m["path"]["value"], [h["name"] for h in m["headers"]]) for m in new["spec"]["rules"][0]["matches"]]
    assert found == [
        ("/v2", ["x-canary"]),
        ("/v2", ["x-user"]),
        ("/v2", ["Cookie"]),
        ("/quote", ["a", "x-canary"]),
        ("/quote", ["a", "x-user"]),
        ("/quote", ["a", "Cookie"]),
    ]


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ("beta=yes", True),
        ("a=b; beta=yes", True),
        ("beta=yes; a=b", True),
        ("a=b;beta=yes;c=d", True),
        ("beta=yes2", False),
        ("xbeta=yes", False),
        ("a=beta=yes", False),
        ("beta=no", False),
        ("b.ta=yes", False),
    ],
)
def test_a_cookie_is_found_among_others_and_not_in_parts_of_others(cookies: str, *, expected: bool) -> None:
    import re

    old = route(rule(ref("pricing")))
    new = steered(old, Wish(conditions=(Cookie("beta", "yes"),)))
    pattern = new["spec"]["rules"][0]["matches"][0]["headers"][0]["value"]
    assert bool(re.search(pattern, cookies)) is expected
    assert bool(re.fullmatch(pattern, cookies)) is expected


def test_a_rule_that_is_told_by_the_same_header_is_refused() -> None:
    match = {"headers": [{"type": "Exact", "name": "X-Canary", "value": "no"}]}
    with pytest.raises(
        AlreadyMatched, match="HTTPRoute shop/pricing, rule 1: it matches on the header x-canary itself"
    ):
        steered(route(rule(ref("pricing"), matches=[match])), Wish(conditions=(Header("x-canary", "1"),)))


def test_other_conditions_replace_the_rule_and_none_remove_it() -> None:
    old = route(rule(ref("pricing")))
    before = HTTP_ROUTE.remember(old, PAIR)
    once = steered(old, Wish(5, (Header("x", "1"),)), before)
    twice = steered(once, Wish(5, (Header("x", "2"),)), before)
    assert [len(new["spec"]["rules"]) for new in (once, twice)] == [2, 2]
    assert twice["spec"]["rules"][0]["matches"][0]["headers"][0]["value"] == "2"
    assert weights(steered(twice, Wish(5), before)) == [[("pricing", 95), ("pricing-candidate", 5)]]


def test_the_users_own_way_to_the_candidate_stays() -> None:
    preview = rule(
        ref("pricing-candidate"),
        matches=[
            {"path": {"type": "PathPrefix", "value": "/"}, "headers": [{"type": "Exact", "name": "p", "value": "1"}]}
        ],
    )
    old = route(preview, rule(ref("pricing")))
    before = HTTP_ROUTE.remember(old, PAIR)
    new = steered(old, Wish(20, (Header("p", "1"),)), before)
    assert new["spec"]["rules"][0] == preview
    assert len(new["spec"]["rules"]) == 2  # it is what was wished for
    new = steered(new, Wish(20, (Header("x", "1"),)), before)
    assert len(new["spec"]["rules"]) == 3
    assert apply(new, HTTP_ROUTE.restore(new, PAIR, before))["spec"] == old["spec"]


def test_a_route_that_is_full_is_refused() -> None:
    old = route(*(rule(ref("pricing"), name=f"r{number}") for number in range(9)))
    with pytest.raises(RouteFull, match="HTTPRoute shop/pricing would have 18 rules, and the API allows 16"):
        steered(old, Wish(conditions=(Header("x", "1"),)))


def test_a_grpc_route_is_told_apart_by_its_method_and_the_header() -> None:
    method = {"method": {"type": "Exact", "service": "shop.Pricing", "method": "Quote"}}
    old = route(rule(ref("pricing"), matches=[method]), kind="GRPCRoute")
    new = steered(old, Wish(20, (Header("x", "1"),)), router=GRPC_ROUTE)
    assert new["spec"]["rules"][0]["matches"] == [{**method, "headers": [{"type": "Exact", "name": "x", "value": "1"}]}]
    assert weights(new)[1] == [("pricing", 80), ("pricing-candidate", 20)]


def test_a_grpc_route_without_matches_is_told_apart_by_the_header() -> None:
    old = route({"backendRefs": [ref("pricing")]}, kind="GRPCRoute")
    new = steered(old, Wish(0, (Header("x", "1"),)), router=GRPC_ROUTE)
    assert new["spec"]["rules"][0]["matches"] == [{"headers": [{"type": "Exact", "name": "x", "value": "1"}]}]


# --- mirror


def test_a_mirror_is_a_filter_after_the_users() -> None:
    old = route(rule(ref("pricing"), filters=[OUTER]))
    new = steered(old, Wish(mirror=25))
    assert new["spec"]["rules"][0]["filters"] == [
        OUTER,
        {
            "type": "RequestMirror",
            "requestMirror": {
                "backendRef": {"group": "", "kind": "Service", "name": "pricing-candidate", "port": 80},
                "percent": 25,
            },
        },
    ]
    assert weights(new) == weights(old)


@pytest.mark.parametrize("filters", [{}, {"filters": []}, {"filters": [OUTER]}])
def test_a_mirror_changes_its_share_and_goes(filters: Json) -> None:
    old = route(rule(ref("pricing"), **filters))
    before = HTTP_ROUTE.remember(old, PAIR)
    whole = steered(old, Wish(mirror=100), before)
    assert "percent" not in whole["spec"]["rules"][0]["filters"][-1]["requestMirror"]
    part = steered(whole, Wish(mirror=10), before)
    assert [HTTP_ROUTE.seen(new, PAIR).mirrors for new in (old, whole, part)] == [(0,), (100,), (10,)]
    assert steered(part, Wish(), before)["spec"] == old["spec"]


@pytest.mark.parametrize(
    ("wish", "needed"),
    [
        (Wish(20, (Header("x", "1"),)), ()),
        (Wish(mirror=100), ("HTTPRouteRequestMirror",)),
        (Wish(mirror=10), ("HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror")),
    ],
)
def test_what_a_gateway_has_to_be_able_to_do(wish: Wish, needed: tuple[str, ...]) -> None:
    assert HTTP_ROUTE.features(wish) == needed


# --- seen and restored


def test_the_weights_are_read_back_for_each_rule() -> None:
    seen = HTTP_ROUTE.seen(
        route(
            rule(ref("pricing", 80), ref("pricing-candidate", 20)),
            rule(ref("pricing", 45), ref("pricing-candidate", 5), ref("legacy", 50), matches=V2),
            rule(ref("pricing")),
            rule(ref("docs")),
            rule(ref("pricing-candidate")),
        ),
        PAIR,
    )
    assert seen.weights == (20.0, 10.0, 0.0)
    assert (seen.least, seen.most, seen.matched) == (0.0, 20.0, 0)


def test_only_rules_of_ours_for_some_requests_count_as_such() -> None:
    old = route(rule(ref("pricing")), rule(ref("pricing-candidate"), matches=V2))
    new = steered(old, Wish(conditions=(Header("x-canary", "always"),)))
    before = HTTP_ROUTE.remember(old, PAIR)
    assert [HTTP_ROUTE.seen(one, PAIR, before).matched for one in (old, new)] == [0, 1]


def test_a_route_without_rules_is_seen_as_sending_nothing() -> None:
    seen = HTTP_ROUTE.seen(route(), PAIR)
    assert (seen.weights, seen.least, seen.most, seen.matched) == ((), 0.0, 0.0, 0)


def test_weights_that_others_have_reset_are_put_right() -> None:
    old = route(rule(ref("pricing")))
    before = HTTP_ROUTE.remember(old, PAIR)
    wish = Wish(20, (Cookie("beta", "yes"),), 5)
    once = steered(old, wish, before)
    assert steered(old, wish, before) == once


def test_a_rule_that_others_have_changed_meanwhile_is_theirs_but_sends_nothing_to_the_candidate() -> None:
    old = route(rule(ref("pricing", 7)))
    before = HTTP_ROUTE.remember(old, PAIR)
    new = steered(old, Wish(20, mirror=5), before)
    new["spec"]["rules"][0]["matches"] = V2
    restored = apply(new, HTTP_ROUTE.restore(new, PAIR, before))
    assert restored["spec"]["rules"] == [rule(ref("pricing", 100), matches=V2)]


def test_a_changed_rule_that_names_both_goes_on_naming_both() -> None:
    old = route(rule(ref("pricing", 100), ref("pricing-candidate", 0)))
    before = HTTP_ROUTE.remember(old, PAIR)
    new = steered(old, Wish(20), before)
    new["spec"]["rules"][0]["matches"] = V2
    assert weights(apply(new, HTTP_ROUTE.restore(new, PAIR, before))) == [[("pricing", 100), ("pricing-candidate", 0)]]


def test_a_route_that_others_have_given_back_already_is_left_alone() -> None:
    old = route(rule(ref("pricing", 7)))
    before = HTTP_ROUTE.remember(old, PAIR)
    assert HTTP_ROUTE.restore(old, PAIR, before) == ()
    assert HTTP_ROUTE.restore(route(rule(ref("pricing", 3))), PAIR, before) == ()
    assert HTTP_ROUTE.restore(route(), PAIR, before) == ()


def test_the_earlier_state_survives_as_text() -> None:
    before = HTTP_ROUTE.remember(route(rule(ref("pricing", None)), rule(ref("pricing-candidate"), matches=V2)), PAIR)
    assert Before.load(before.dump()) == before
    assert len(before.dump()) < 200
    for text in ("", "{}", '{"rules": [{"key": 1}], "kept": []}', "[]", "null"):
        with pytest.raises(ValueError):
            Before.load(text)


@pytest.mark.parametrize("bad", [{"weight": 101}, {"weight": -1}, {"mirror": 101}])
def test_a_share_beyond_the_whole_is_no_wish(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="it has to be from 0 to 100"):
        Wish(**bad)


def test_the_pair_is_told_by_name_and_port() -> None:
    assert str(Backend("a", 1)) == "a:1"
    assert STABLE != CANDIDATE
