"""Deployments and Services, reduced to what canaries need."""

from typing import Any

import pytest

from sluice.api import names
from sluice.reconcile.workloads import project_deployment, project_route, project_service


def deployment(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "shop",
            "name": "pricing",
            "uid": "u",
            "generation": 4,
            "resourceVersion": "9",
            "labels": {names.LABEL_CANARY: "pricing"},
            "annotations": {names.ANNOTATION_HELD: names.HELD},
        },
        "spec": {
            "replicas": 10,
            "paused": True,
            "selector": {
                "matchLabels": {"app": "pricing"},
                "matchExpressions": [{"key": "tier", "operator": "Exists"}],
            },
            "template": {"metadata": {"labels": {"app": "pricing", "tier": "web"}}, "spec": {"containers": []}},
            **spec,
        },
        "status": {"observedGeneration": 4, "replicas": 10, "updatedReplicas": 7, "availableReplicas": 9},
    }


def test_a_target_is_reduced_to_what_is_decided_on() -> None:
    row = project_deployment(deployment())
    assert (row.canary, row.held, row.paused, row.recreate) == ("pricing", True, True, False)
    assert (row.replicas, row.total, row.updated, row.available) == (10, 10, 7, 9)
    assert row.selected_by == ("app", "tier")


@pytest.mark.parametrize(
    ("most", "least"), [("25%", 8), ("0%", 10), (3, 7), ("33%", 7)], ids=["quarter", "none", "number", "rounded down"]
)
def test_a_rolling_update_leaves_what_may_not_be_unavailable(most: int | str, least: int) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most}}
    assert project_deployment(deployment(strategy=strategy)).least_available == least


def test_a_deployment_without_a_status_has_no_pods() -> None:
    fresh = {**deployment(), "status": {}}
    row = project_deployment(fresh)
    assert (row.total, row.updated, row.available, row.observed_generation) == (0, 0, 0, 0)


def test_a_status_that_changes_nothing_of_interest_is_no_change() -> None:
    one, other = deployment(), deployment()
    other["metadata"]["resourceVersion"] = "10"
    other["status"]["conditions"] = [{"type": "Progressing"}]
    assert project_deployment(one) == project_deployment(other)


def test_a_service_without_a_selector_is_read() -> None:
    row = project_service({"metadata": {"namespace": "shop", "name": "x", "uid": "u"}, "spec": {}})
    assert (row.selector, row.ports, row.candidate_of) == ((), (), "")


def test_a_route_from_a_list_gets_its_kind_back() -> None:
    row = project_route("HTTPRoute")({"metadata": {"namespace": "shop", "name": "x", "managedFields": [1]}, "spec": {}})
    assert row.obj["kind"] == "HTTPRoute"
    assert "managedFields" not in row.obj["metadata"]
