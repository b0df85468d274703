"""What admission does to targets and to control annotations: every rule as a row, and what holds for any request."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.names import ANNOTATION_CONTROL, ANNOTATION_CONTROL_BY, ANNOTATION_HELD, HELD, LABEL_CANARY
from sluice.planning.hold import Edit, Refusal, review

OPERATOR = "system:serviceaccount:sluice-system:sluice"
LABEL = "/metadata/labels/sluice.dev~1canary"
MARK = "/metadata/annotations/sluice.dev~1held"
BY = "/metadata/annotations/sluice.dev~1control-by"
PAUSE = {"op": "add", "path": "/spec/paused", "value": True}
MARKED = {"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION_HELD: HELD}}
"""For a Deployment without annotations."""


def deployment(
    image: str = "v1", *, canary: str = "pricing", held: str = "", paused: bool | None = None, **more: Any
) -> dict[str, Any]:
    """A Deployment. What is not given has no field, and labels and annotations that would be empty are not there."""
    labels = {LABEL_CANARY: canary} if canary else {}
    annotations = {ANNOTATION_HELD: held} if held else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "pricing"}
        | ({"labels": labels} if labels else {})
        | ({"annotations": annotations} if annotations else {}),
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}
        | ({"paused": paused} if paused is not None else {})
        | more,
    }


PLAIN = deployment()
HOLDING = deployment(held=HELD, paused=True)


def asked(old: dict[str, Any] | None, new: dict[str, Any], user: str = "jo") -> Any:
    return review(old, new, user=user, operator=OPERATOR)


def admitted(old: dict[str, Any] | None, new: dict[str, Any], user: str = "jo") -> dict[str, Any]:
    """The object as it is stored."""
    answer = asked(old, new, user)
    assert not isinstance(answer, Refusal), answer
    if answer is None:
        return new
    stored: dict[str, Any] = jsonpatch.apply_patch(copy.deepcopy(new), list(answer.operations))
    return stored


@pytest.mark.parametrize(
    ("old", "new", "operations"),
    [
        pytest.param(PLAIN, deployment("v2"), [MARKED, PAUSE], id="a new template is held"),
        pytest.param(PLAIN, deployment("v2", paused=False), [MARKED, PAUSE], id="a new template that says not paused"),
        pytest.param(PLAIN, deployment("v2", paused=True), [MARKED], id="a new template that comes paused is held too"),
        pytest.param(
            PLAIN,
            deployment("v2", held="false"),
            [{"op": "add", "path": MARK, "value": HELD}, PAUSE],
            id="a mark of another value",
        ),
        pytest.param(HOLDING, deployment("v3", held=HELD, paused=True), [], id="a further template while held"),
        pytest.param(
            HOLDING, deployment("v3", held=HELD, paused=False), [PAUSE], id="a further template that drops the pause"
        ),
        pytest.param(
            HOLDING,
            deployment("v3", canary=""),
            [{"op": "add", "path": "/metadata/labels", "value": {LABEL_CANARY: "pricing"}}, MARKED, PAUSE],
            id="a replacement with a new template",
        ),
        pytest.param(
            HOLDING,
            deployment(canary=""),
            [{"op": "add", "path": "/metadata/labels", "value": {LABEL_CANARY: "pricing"}}, MARKED, PAUSE],
            id="a replacement with the template that is held",
        ),
        pytest.param(HOLDING, deployment(paused=True), [MARKED], id="the mark alone is lost"),
        pytest.param(
            HOLDING,
            deployment(held=HELD, paused=True, canary="other"),
            [{"op": "add", "path": LABEL, "value": "pricing"}],
            id="the label of another canary",
        ),
        pytest.param(
            PLAIN,
            deployment(canary=""),
            [{"op": "add", "path": "/metadata/labels", "value": {LABEL_CANARY: "pricing"}}],
            id="the label is lost while nothing is held",
        ),
        pytest.param(
            PLAIN,
            deployment("v2", canary=""),
            [{"op": "add", "path": "/metadata/labels", "value": {LABEL_CANARY: "pricing"}}, MARKED, PAUSE],
            id="a replacement with a new template while nothing is held",
        ),
        pytest.param(PLAIN, deployment(replicas=7), [], id="other fields"),
        pytest.param(HOLDING, deployment(held=HELD, paused=True, replicas=7), [], id="other fields while held"),
        pytest.param(PLAIN, deployment(paused=True), [], id="a pause of its user's"),
        pytest.param(
            deployment(paused=True), deployment("v2", paused=True), [], id="a new template under a pause of its user's"
        ),
        pytest.param(
            deployment(paused=True), deployment("v2"), [MARKED, PAUSE], id="a new template that ends its user's pause"
        ),
        pytest.param(deployment(paused=True), deployment(), [MARKED, PAUSE], id="its user's pause becomes sluice's"),
        pytest.param(deployment(canary=""), deployment("v2", canary=""), [], id="no target"),
        pytest.param(deployment(canary=""), deployment("v2"), [], id="no target yet"),
        pytest.param(None, deployment("v2"), [], id="a new Deployment"),
    ],
)
def test_a_target_is_kept_on_its_old_pods(
    old: dict[str, Any] | None, new: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    assert asked(old, new) == (Edit(tuple(operations)) if operations else None)


def test_other_labels_and_annotations_stay() -> None:
    new = deployment("v2", canary="")
    new["metadata"] |= {"labels": {"app": "pricing"}, "annotations": {"team": "shop"}}

    assert asked(HOLDING, new) == Edit(
        (
            {"op": "add", "path": LABEL, "value": "pricing"},
            {"op": "add", "path": MARK, "value": HELD},
            PAUSE,
        )
    )


@pytest.mark.parametrize("field", ["labels", "annotations"])
@pytest.mark.parametrize("empty", [{}, None])
def test_empty_maps_are_like_missing_ones(field: str, empty: Any) -> None:
    new = deployment("v2", canary="")
    new["metadata"] |= {field: empty}

    stored = admitted(HOLDING, new)

    assert stored["metadata"]["labels"] == {LABEL_CANARY: "pricing"}
    assert stored["metadata"]["annotations"] == {ANNOTATION_HELD: HELD}
    assert stored["spec"]["paused"] is True


@pytest.mark.parametrize("paused", [False, None])
def test_a_resume_by_hand_is_refused_with_what_to_do_instead(paused: bool | None) -> None:
    old = copy.deepcopy(HOLDING)
    old["metadata"]["labels"][LABEL_CANARY] = "pricing-canary"
    new = deployment(canary="pricing-canary", held=HELD, paused=paused)

    answer = asked(old, new)

    assert isinstance(answer, Refusal)
    assert answer.message == (
        'Deployment "pricing" is held back by Canary "pricing-canary", which lets its new version in step by step; see '
        "`kubectl get canary pricing-canary`. To let it in at once: `sluice canary promote --full pricing-canary`; to give it "
        "up: `sluice canary abort pricing-canary`; to do without: delete the Canary"
    )


@pytest.mark.parametrize("new", [deployment("v2"), deployment(canary=""), deployment(held=HELD)])
def test_the_operator_does_what_it_likes(new: dict[str, Any]) -> None:
    assert asked(HOLDING, new, OPERATOR) is None


@pytest.mark.parametrize(
    ("api_version", "kind"), [("apps/v1", "StatefulSet"), ("example.com/v1", "Deployment"), ("apps/v1", "Canary")]
)
def test_other_kinds_are_left_alone(api_version: str, kind: str) -> None:
    kinds = {"apiVersion": api_version, "kind": kind}

    assert asked(PLAIN | kinds, deployment("v2") | kinds) is None


def canary(**annotations: str) -> dict[str, Any]:
    """A Canary with `control` and `by`; no annotations at all when neither is given."""
    names = {"control": ANNOTATION_CONTROL, "by": ANNOTATION_CONTROL_BY}
    given = {names.get(name, name): value for name, value in annotations.items()}
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "pricing"} | ({"annotations": given} if given else {}),
    }


SIGNED = {"op": "add", "path": BY, "value": "jo"}
UNSIGNED = {"op": "remove", "path": BY}


@pytest.mark.parametrize(
    ("old", "new", "operations"),
    [
        pytest.param(None, canary(), [], id="made without a request"),
        pytest.param(None, canary(control="abort"), [SIGNED], id="made with a request"),
        pytest.param(None, canary(control="abort", by="boss"), [SIGNED], id="made with a forged name"),
        pytest.param(None, canary(by="boss"), [UNSIGNED], id="made with a forged name and no request"),
        pytest.param(canary(), canary(control="abort"), [SIGNED], id="asked"),
        pytest.param(canary(), canary(control="abort", by="jo"), [], id="asked under the own name"),
        pytest.param(canary(), canary(control="abort", by="boss"), [SIGNED], id="asked under a forged name"),
        pytest.param(
            canary(control="pause:1", by="al"), canary(control="pause:2", by="al"), [SIGNED], id="asked by another one"
        ),
        pytest.param(canary(control="pause:1", by="al"), canary(control="pause:1", by="al"), [], id="nothing asked"),
        pytest.param(
            canary(control="pause:1", by="al"),
            canary(control="pause:1", by="boss"),
            [{"op": "add", "path": BY, "value": "al"}],
            id="a forged name under what was asked",
        ),
        pytest.param(
            canary(control="pause:1", by="al"),
            canary(control="pause:1"),
            [{"op": "add", "path": BY, "value": "al"}],
            id="the name is lost",
        ),
        pytest.param(
            canary(control="pause:1"), canary(control="pause:1", by="boss"), [UNSIGNED], id="nobody was known to ask"
        ),
        pytest.param(canary(), canary(by="boss"), [UNSIGNED], id="a forged name alone"),
        pytest.param(canary(control="pause:1", by="al"), canary(by="al"), [UNSIGNED], id="the request is taken back"),
        pytest.param(canary(control="pause:1", by="al"), canary(), [], id="both are lost"),
        pytest.param(canary(team="shop"), canary(team="sales"), [], id="other annotations"),
    ],
)
def test_a_request_has_the_name_of_who_asked(
    old: dict[str, Any] | None, new: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    assert asked(old, new) == (Edit(tuple(operations)) if operations else None)


def test_the_operator_signs_nothing() -> None:
    assert asked(canary(), canary(control="abort", by="boss"), OPERATOR) is None


DEPLOYMENTS = st.builds(
    deployment,
    st.sampled_from(["v1", "v2", "v3"]),
    canary=st.sampled_from(["", "pricing", "other"]),
    held=st.sampled_from(["", HELD, "false"]),
    paused=st.sampled_from([None, True, False]),
)
CANARIES = st.builds(
    lambda control, by, team: canary(
        **{name: value for name, value in (("control", control), ("by", by), ("team", team)) if value}
    ),
    st.sampled_from(["", "pause:1", "abort:2"]),
    st.sampled_from(["", "jo", "al"]),
    st.sampled_from(["", "shop"]),
)


@given(DEPLOYMENTS, DEPLOYMENTS)
def test_no_request_makes_the_pods_of_a_target_change(old: dict[str, Any], new: dict[str, Any]) -> None:
    answer = asked(old, new)
    if isinstance(answer, Refusal) or not old["metadata"].get("labels"):
        return
    stored = admitted(old, new)
    assert stored["metadata"]["labels"] == old["metadata"]["labels"]
    assert stored["spec"]["template"] == new["spec"]["template"]
    if old["spec"].get("paused") or old["spec"]["template"] != new["spec"]["template"]:
        assert stored["spec"]["paused"] is True


@given(st.one_of(st.tuples(DEPLOYMENTS, DEPLOYMENTS), st.tuples(CANARIES | st.none(), CANARIES)))
def test_what_was_let_in_is_let_in_again_as_it_is(pair: tuple[dict[str, Any] | None, dict[str, Any]]) -> None:
    """Admission may be asked twice in one request, and by two servers."""
    old, new = pair
    if not isinstance(asked(old, new), Refusal):
        assert asked(old, admitted(old, new)) is None
