"""The Argo CD objects: their projects allow what their applications need, and the operator's CA is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Helm, Object


@pytest.fixture
def objects(root: Path) -> dict[tuple[str, str], Object]:
    """Every object of argocd/, by kind and name."""
    items = [item for file in sorted((root / "argocd").glob("*.yaml")) for item in yaml.safe_load_all(file.read_text())]
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


def group_kinds(items: list[Any]) -> set[tuple[str, str]]:
    return {(item["group"], item["kind"]) for item in items}


def test_every_application_has_a_project_that_lets_it_in(objects: dict[tuple[str, str], Object]) -> None:
    applications = {name: item["spec"] for (kind, name), item in objects.items() if kind == "Application"}

    assert set(applications) == {"sluice", "flights"}
    for spec in applications.values():
        project = objects["AppProject", spec["project"]]["spec"]
        assert spec["source"]["repoURL"] in project["sourceRepos"]
        assert spec["destination"] in project["destinations"]


@pytest.mark.parametrize("values", [{}, {"crds": {"enabled": False}}, {"hold": {"by": "policy"}}])
def test_the_operators_project_allows_what_the_chart_installs(
    objects: dict[tuple[str, str], Object], helm: Helm, values: dict[str, Any]
) -> None:
    allowed = group_kinds(objects["AppProject", "sluice"]["spec"]["clusterResourceWhitelist"])
    cluster_wide = {
        (item["apiVersion"].rpartition("/")[0], item["kind"])
        for item in helm.template(values).objects
        if "namespace" not in item["metadata"]
    }

    assert cluster_wide <= allowed
    assert not any("*" in word for pair in allowed for word in pair)


def test_a_teams_project_allows_nothing_cluster_wide(objects: dict[tuple[str, str], Object]) -> None:
    project = objects["AppProject", "data-pipelines"]["spec"]

    assert project["clusterResourceWhitelist"] == []
    allowed = group_kinds(project["namespaceResourceWhitelist"])
    assert {("sluice.dev", kind) for kind in ("DataPipeline", "QualityGate", "MetricSource")} <= allowed
    assert ("sluice.dev", "ClusterMetricSource") not in allowed


def test_a_teams_project_allows_what_lies_in_its_folder(objects: dict[tuple[str, str], Object], root: Path) -> None:
    allowed = group_kinds(objects["AppProject", "data-pipelines"]["spec"]["namespaceResourceWhitelist"])
    folder = root / objects["Application", "flights"]["spec"]["source"]["path"]
    items = [item for file in folder.rglob("*.yaml") for item in yaml.safe_load_all(file.read_text())]
    ours = {("sluice.dev", item["kind"]) for item in items if "sluice.dev/" in item.get("apiVersion", "")}

    assert ours
    assert ours - {("sluice.dev", "PipelineRun")} <= allowed, "only runs are made by hand"


def test_the_operators_values_are_those_of_the_chart(objects: dict[tuple[str, str], Object], helm: Helm) -> None:
    source = objects["Application", "sluice"]["spec"]["source"]

    assert source["path"] == "charts/sluice"
    assert helm.template(source["helm"]["valuesObject"]).container["image"].startswith("registry.example.com/")


def test_the_ca_is_neither_a_difference_nor_reset(objects: dict[tuple[str, str], Object], helm: Helm) -> None:
    spec = objects["Application", "sluice"]["spec"]

    assert spec["ignoreDifferences"] == [
        {
            "group": "admissionregistration.k8s.io",
            "kind": kind,
            "name": helm.template().one(kind)["metadata"]["name"],
            "jqPathExpressions": [".webhooks[]?.clientConfig.caBundle"],
        }
        for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
    ]
    assert "ServerSideApply=true" in spec["syncPolicy"]["syncOptions"]
    assert "RespectIgnoreDifferences=true" not in spec["syncPolicy"]["syncOptions"]


def test_a_teams_folder_exists(objects: dict[tuple[str, str], Object], root: Path) -> None:
    assert (root / objects["Application", "flights"]["spec"]["source"]["path"]).is_dir()
