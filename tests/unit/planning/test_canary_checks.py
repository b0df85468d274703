"""What a schema cannot say of a Canary, in the words that users read."""

from typing import Any

import pytest

from sluice.api.canary import CanarySpec, CanaryStep
from sluice.planning.canary_checks import check_canary, check_others
from tests.unit.planning.canary_world import canary_spec

NO_GATE = "without a gate nothing could stop a bad version; or approval: {promotion: Manual}"


def steps(*weights: int) -> dict[str, Any]:
    return {"steps": [{"weight": weight} for weight in weights]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(
            {"canary": steps(5, 50, 20)},
            "spec.canary.steps[2].weight: Invalid value: 20: is below 50, the weight of the step before; weights have to "
            "rise",
            id="falling",
        ),
        pytest.param(
            {"canary": steps(5, 5)},
            "spec.canary.steps[1].weight: Invalid value: 5: is the weight of the step before; weights have to rise",
            id="repeated",
        ),
        pytest.param(
            {"canary": steps(0, 50)},
            "spec.canary.steps[0].weight: Invalid value: 0: must be 1 to 100; 0 is for a step with mirror, or for "
            "spec.canary.match",
            id="nothing",
        ),
        pytest.param(
            {"canary": {"steps": [{"weight": 0, "mirror": 20}, {"weight": 0, "mirror": 20}]}},
            "spec.canary.steps[1].weight: Invalid value: 0: is the weight of the step before; weights have to rise",
            id="the same copies",
        ),
        pytest.param(
            {"canary": {**steps(5), "match": [{}]}},
            "spec.canary.match[0]: Required value: exactly one of header, cookie is needed",
            id="nothing to tell requests by",
        ),
        pytest.param(
            {"canary": {**steps(5), "match": [{"header": {"name": "X-A", "value": "1", "pattern": "1"}}]}},
            "spec.canary.match[0].header: Required value: exactly one of value, pattern is needed",
            id="two values",
        ),
        pytest.param(
            {"canary": {**steps(5), "match": [{"header": {"name": "X A", "value": "1"}}]}},
            'spec.canary.match[0].header.name: Invalid value: "X A": must be a name of a header, such as X-Tester',
            id="no header",
        ),
        pytest.param(
            {"canary": {**steps(5), "match": [{"cookie": {"name": "t", "value": "a;b"}}]}},
            'spec.canary.match[0].cookie.value: Invalid value: "a;b": must not have spaces, quotes, commas, ; or \\',
            id="no cookie",
        ),
        pytest.param(
            {"routing": {"replicas": {}}, "canary": {"steps": [{"weight": 0, "mirror": 5}]}},
            "spec.canary.steps[0].mirror: Invalid value: 5: needs a router: gatewayAPI",
            id="copies without a router",
        ),
        pytest.param({"gates": []}, f"spec.gates: Required value: {NO_GATE}", id="no gate"),
        pytest.param(
            {"canary": None, "blueGreen": {}, "gates": []},
            f"spec.gates: Required value: {NO_GATE}",
            id="blue-green without a gate",
        ),
        pytest.param(
            {"canary": None},
            "spec.canary: Required value: exactly one of canary, blueGreen is needed",
            id="no strategy",
        ),
        pytest.param(
            {"blueGreen": {"watch": "1m"}},
            'spec.blueGreen: Invalid value: {"checks":[],"watch":"1m"}: exactly one of canary, blueGreen is allowed',
            id="two strategies",
        ),
        pytest.param(
            {"routing": {}},
            "spec.routing: Required value: exactly one of gatewayAPI, replicas is needed",
            id="no routing",
        ),
        pytest.param(
            {"routing": {"replicas": {}}, "canary": steps(95)},
            "spec.canary.steps[0].weight: Invalid value: 95: must not be above 90 with routing.replicas: pods of both serve",
            id="all pods",
        ),
        pytest.param(
            {"routing": {"replicas": {}}, "candidate": {"replicas": 2}},
            "spec.candidate.replicas: Invalid value: 2: with routing.replicas the weight says how many pods there are",
            id="replicas twice",
        ),
        pytest.param(
            {"candidate": {"replicas": 2, "byWeight": True}},
            "spec.candidate.byWeight: Invalid value: true: does not go with replicas",
            id="two sizes",
        ),
        pytest.param(
            {"gates": [{"name": "slo"}, {"name": "slo"}]},
            'spec.gates[1].name: Duplicate value: "slo"',
            id="a gate twice",
        ),
        pytest.param(
            {"hooks": [{"name": "x", "at": "BeforeStep"}]},
            "spec.hooks[0]: Required value: exactly one of http, job is needed",
            id="a hook of nothing",
        ),
        pytest.param(
            {"hooks": [{"name": "x", "at": "BeforeStep", "http": {"url": "file:///etc/passwd"}}]},
            'spec.hooks[0].http.url: Invalid value: "file:///etc/passwd": must be http://HOST/... or https://HOST/...',
            id="not a request",
        ),
        pytest.param(
            {"canary": None, "blueGreen": {"preview": {"name": "pricing"}}},
            'spec.blueGreen.preview.name: Invalid value: "pricing": is a route that users come by',
            id="preview for all",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    assert [str(error) for error in check_canary(canary_spec(**fields))] == [message]


def test_a_weight_above_100_is_refused_by_the_shape_and_by_the_check() -> None:
    with pytest.raises(ValueError, match="less than or equal to 100"):
        canary_spec(canary=steps(101))
    spec = canary_spec()
    assert spec.canary is not None
    above = spec.canary.model_copy(update={"steps": [CanaryStep.model_construct(weight=101, hold=None, gates=None)]})
    errors = check_canary(spec.model_copy(update={"canary": above}))
    assert [str(error) for error in errors] == ["spec.canary.steps[0].weight: Invalid value: 101: must be 0 to 100"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"gates": [], "approval": {"promotion": "Manual"}},
        {"routing": {"replicas": {}}},
        {"canary": None, "blueGreen": {"preview": {"name": "preview"}, "keepOld": "1h"}},
    ],
)
def test_what_makes_sense_is_let_through(fields: dict[str, Any]) -> None:
    assert check_canary(canary_spec(**fields)) == []


def test_one_target_has_one_canary_and_canaries_do_not_wait_for_each_other() -> None:
    spec = canary_spec(dependsOn=[{"name": "b"}])
    other = CanarySpec.model_validate(
        spec.to_dict()
        | {
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "quotes"},
            "dependsOn": [{"name": "a"}],
        }
    )
    assert [str(error) for error in check_others("a", spec, [("b", other)])] == [
        'spec.dependsOn: Invalid value: ["b"]: makes a cycle'
    ]
    assert [str(error) for error in check_others("c", spec, [("d", spec)])] == [
        'spec.target.name: Invalid value: "pricing": is the target of Canary "d" already'
    ]
