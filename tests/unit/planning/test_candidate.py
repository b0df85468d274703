"""The candidate's manifests, made of the target's."""

from typing import Any

import pytest

from sluice.api import names
from sluice.planning.candidate import (
    autoscales,
    candidate_autoscaler,
    candidate_deployment,
    candidate_labels,
    candidate_service,
    picks,
    revision_of,
    same_rules,
    service_ports,
    template_hash,
)


def target(**spec: Any) -> dict[str, Any]:
    """A Deployment of the user's, as the API server gives it."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "pricing",
            "uid": "uid-of-target",
            "labels": {"argocd.argoproj.io/instance": "shop"},
            "annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/pricing"},
        },
        "spec": {
            "replicas": 3,
            "minReadySeconds": 4,
            "paused": True,
            "selector": {"matchLabels": {"app": "pricing"}},
            "template": {
                "metadata": {"labels": {"app": "pricing", "team": "quotes"}, "annotations": {"note": "kept"}},
                "spec": {"containers": [{"name": "pricing", "image": "pricing:2"}]},
            },
            **spec,
        },
    }


def made(*, routed: bool = True, configs: str = "") -> dict[str, Any]:
    return candidate_deployment("canary", "uid-1", target(), "rev", replicas=2, routed=routed, configs=configs)


def test_the_candidate_runs_the_targets_pods_in_its_own_number_and_belongs_to_the_canary() -> None:
    found = made()
    assert found["metadata"]["name"] == "pricing-candidate"
    assert found["spec"]["replicas"] == 2
    assert found["spec"]["minReadySeconds"] == 4
    assert "paused" not in found["spec"]
    assert found["spec"]["template"]["spec"] == target()["spec"]["template"]["spec"]
    assert found["spec"]["template"]["metadata"]["annotations"] == {"note": "kept"}
    assert [(row["uid"], row.get("controller")) for row in found["metadata"]["ownerReferences"]] == [
        ("uid-1", True),
        ("uid-of-target", None),
    ]
    assert found["metadata"]["annotations"] == {
        names.ANNOTATION_REVISION: "rev",
        names.ANNOTATION_CANARY_UID: "uid-1",
    }


def autoscaler(name: str = "pricing", **spec: Any) -> dict[str, Any]:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return {"spec": {"scaleTargetRef": ref, "minReplicas": 2, "maxReplicas": 9, "metrics": ["cpu"], **spec}}


def test_the_candidates_autoscaler_has_the_rules_of_the_targets_and_goes_with_the_candidate() -> None:
    found = candidate_autoscaler("canary", {"metadata": {"name": "pricing-candidate", "uid": "u"}}, autoscaler(), 4)
    assert (found["spec"]["minReplicas"], found["spec"]["maxReplicas"], found["spec"]["metrics"]) == (4, 9, ["cpu"])
    assert found["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert autoscales(found, "pricing-candidate")
    assert not autoscales(found, "pricing")
    assert same_rules(found, autoscaler())
    assert not same_rules(found, autoscaler(maxReplicas=10))


def test_an_autoscaler_of_another_kind_with_the_same_name_is_not_the_targets() -> None:
    other = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "pricing"}
    assert not autoscales(autoscaler(scaleTargetRef=other), "pricing")
    assert not autoscales(autoscaler(scaleTargetRef={**other, "kind": "Deployment", "apiVersion": "x/v1"}), "pricing")


def test_nothing_of_argo_cd_is_copied() -> None:
    assert "argocd" not in str(made())


def test_no_service_that_selects_by_a_label_of_the_targets_selector_finds_the_candidates_pods() -> None:
    labels = made()["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app": "pricing-candidate", "team": "quotes", names.LABEL_CANDIDATE: "canary"}
    assert not picks({"app": "pricing"}, labels)
    assert picks({"team": "quotes"}, labels), "one that selects by another label does, and is reported"
    assert made()["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_without_a_router_the_service_finds_both() -> None:
    labels = made(routed=False)["spec"]["template"]["metadata"]["labels"]
    assert picks({"app": "pricing"}, labels)


def test_a_renamed_label_is_still_a_label() -> None:
    long = candidate_labels("c", {"app": "a" * 63}, ["app"], routed=True)["app"]
    assert len(long) <= names.MAX_LABEL
    assert long.endswith("-candidate")


def test_a_selector_without_labels_picks_nothing() -> None:
    assert not picks({}, {"app": "pricing"})


def test_the_revision_is_told_by_the_template_and_the_configs_and_not_by_our_own_mark() -> None:
    template = target()["spec"]["template"]
    marked = {
        **template,
        "metadata": {**template["metadata"], "annotations": {"note": "kept", names.ANNOTATION_CONFIGS: "x"}},
    }
    assert template_hash(template) == template_hash(marked)
    other = {**template, "spec": {"containers": [{"name": "pricing", "image": "pricing:3"}]}}
    assert template_hash(template) != template_hash(other)
    assert revision_of("t", "") == "t"
    assert revision_of("t", "a") != revision_of("t", "b")


def test_what_configs_the_pods_have_is_noted_on_them() -> None:
    assert made(configs="c1")["spec"]["template"]["metadata"]["annotations"][names.ANNOTATION_CONFIGS] == "c1"


def test_the_candidates_service_has_the_ports_of_the_targets_and_no_address_of_its() -> None:
    service = {
        "spec": {
            "clusterIP": "10.0.0.1",
            "type": "NodePort",
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "nodePort": 30080}],
        }
    }
    found = candidate_service("canary", "uid-1", target(), service_ports(service))
    assert found["spec"] == {
        "selector": {names.LABEL_CANDIDATE: "canary"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }


@pytest.mark.parametrize("name", ["pricing", "p" * 63, "a.dotted.name-of-a-deployment", "x" * 253])
def test_a_candidates_name_is_that_of_a_service(name: str) -> None:
    found = names.candidate_name(name)
    assert len(found) <= 63
    assert found.endswith("-candidate")
    assert "." not in found
    assert names.candidate_name(name) == found
