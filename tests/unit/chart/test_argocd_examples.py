"""The examples of argocd/examples: what the CRDs of Argo CD and Flux allow, projects, waves, and overlays that build."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.cluster.settings import CHECKOUT
from sluice.api.schema import check_object

Object = dict[str, Any]
EXAMPLES = CHECKOUT / "argocd" / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml")) + sorted((EXAMPLES / "apps").glob("*.yaml"))
FLUX = sorted((EXAMPLES / "flux").glob("*.yaml"))
ENVIRONMENTS = ("dev", "staging", "prod")
WAVE = "argocd.argoproj.io/sync-wave"


def documents(file: Path) -> list[Object]:
    return list(yaml.safe_load_all(file.read_text()))


def all_of(kind: str, *files: Path) -> list[Object]:
    return [item for file in files or FILES for item in documents(file) if item["kind"] == kind]


@cache
def module(name: str) -> Path:
    """The folder of a Go module, fetched if need be; Argo CD's in the version that the add-on argocd is built from."""
    folder = CHECKOUT / "dev" / "cluster" / "components" / "argocd"
    command = ["go", "mod", "download", "-json", name]
    env = {**os.environ, "GOWORK": "off"}
    found = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, f"{' '.join(command)}: {found.stdout}{found.stderr}"
    return Path(json.loads(found.stdout)["Dir"])


def file_of(api_version: str, kind: str) -> Path:
    """The CRD of a kind."""
    match api_version.partition(".")[0]:
        case "source":
            bases = module("github.com/fluxcd/source-controller@v1.8.5") / "config" / "crd" / "bases"
            return bases / "source.toolkit.fluxcd.io_gitrepositories.yaml"
        case "kustomize":
            bases = module("github.com/fluxcd/kustomize-controller@v1.7.3") / "config" / "crd" / "bases"
            return bases / "kustomize.toolkit.fluxcd.io_kustomizations.yaml"
        case _:
            return module("github.com/argoproj/argo-cd/v3") / "manifests" / "crds" / f"{kind.lower()}-crd.yaml"


@cache
def schema_of(api_version: str, kind: str) -> Object:
    """The schema of a kind of Argo CD or Flux."""
    versions = yaml.safe_load(file_of(api_version, kind).read_text())["spec"]["versions"]
    (schema,) = (row["schema"]["openAPIV3Schema"] for row in versions if row["name"] == api_version.partition("/")[2])
    found: Object = schema
    return found


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


def wrong(value: Any, schema: Object, path: str) -> list[str]:
    """Paths of values of another type than the schema says, of fields that it does not know, and of those that it misses."""
    expected = TYPES.get(schema.get("type", ""))
    if expected and not isinstance(value, expected):
        return [f"{path}: no {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: not one of {schema['enum']}"]
    if isinstance(value, list):
        return [row for n, item in enumerate(value) for row in wrong(item, schema.get("items", {}), f"{path}[{n}]")]
    if not isinstance(value, dict) or path == ".metadata":
        return []
    known, more = schema.get("properties", {}), schema.get("additionalProperties")
    rows = [f"{path}.{name}: missing" for name in schema.get("required", ()) if name not in value]
    for name, child in value.items():
        if name in known or isinstance(more, dict):
            rows += wrong(child, known.get(name, more), f"{path}.{name}")
        elif not (schema.get("x-kubernetes-preserve-unknown-fields") or more):
            rows.append(f"{path}.{name}: unknown")
    return rows


@pytest.mark.parametrize("file", [*FILES, *FLUX], ids=lambda file: file.name)
def test_its_crd_allows_it(file: Path) -> None:
    for item in documents(file):
        assert wrong(item, schema_of(item["apiVersion"], item["kind"]), "") == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sauce": {}}, ".spec.sauce: unknown"),
        ({"project": 1}, ".spec.project: no string"),
        ({"syncPolicy": {"automated": {"prune": "yes"}}}, ".spec.syncPolicy.automated.prune: no boolean"),
    ],
)
def test_what_a_crd_does_not_allow_is_found(change: Object, problem: str) -> None:
    (item,) = documents(EXAMPLES / "app-of-apps.yaml")
    item["spec"] |= change
    assert wrong(item, schema_of(item["apiVersion"], item["kind"]), "") == [problem]


def projects() -> dict[str, Object]:
    rows = all_of("AppProject", EXAMPLES / "projects.yaml", CHECKOUT / "argocd" / "projects.yaml")
    return {row["metadata"]["name"]: row["spec"] for row in rows}


def test_every_application_has_a_project_that_lets_it_in_and_a_folder() -> None:
    found = all_of("Application")
    assert len(found) == 5
    for spec in (item["spec"] for item in found):
        project = projects()[spec["project"]]
        assert spec["source"]["repoURL"] in project["sourceRepos"]
        assert spec["destination"] in project["destinations"]
        assert (CHECKOUT / spec["source"]["path"]).is_dir()


def test_every_environment_and_region_has_a_project_that_lets_it_in_and_an_overlay() -> None:
    (pricing,) = (item for item in all_of("ApplicationSet") if item["metadata"]["name"] == "pricing")
    (generator,) = pricing["spec"]["generators"]
    template = json.dumps(pricing["spec"]["template"]["spec"])
    for row in generator["list"]["elements"]:
        text = template
        for name, value in row.items():
            text = text.replace("{{." + name + "}}", value)
        spec = json.loads(text)
        assert spec["destination"] in projects()[spec["project"]]["destinations"]
        assert (CHECKOUT / spec["source"]["path"] / "kustomization.yaml").exists()


def test_applications_come_in_waves_and_the_one_with_a_canary_last() -> None:
    items = all_of("Application", *sorted((EXAMPLES / "apps").glob("*.yaml")))
    waves = {item["metadata"]["name"]: int(item["metadata"]["annotations"][WAVE]) for item in items}
    assert sorted(waves, key=waves.__getitem__) == ["sluice-crds", "sluice-operator", "flights", "pricing"]


@pytest.fixture(params=ENVIRONMENTS)
def overlay(request: pytest.FixtureRequest) -> list[Object]:
    """The objects of one environment, as kustomize builds them."""
    kubectl = shutil.which("kubectl")
    assert kubectl, "kubectl is needed to build the overlays, and is not on the PATH"
    command = [kubectl, "kustomize", str(EXAMPLES / "pricing" / request.param)]
    built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert built.returncode == 0, built.stderr
    items: list[Object] = list(yaml.safe_load_all(built.stdout))
    assert {item["metadata"]["namespace"] for item in items} == {f"pricing-{request.param}"}
    return items


def test_an_overlay_is_valid_and_its_project_allows_it(overlay: list[Object]) -> None:
    assert [error for item in overlay for error in check_object(item)] == []
    allowed = {(row["group"], row["kind"]) for row in projects()["services"]["namespaceResourceWhitelist"]}
    assert {(item["apiVersion"].rpartition("/")[0], item["kind"]) for item in overlay} == allowed


def test_evidence_comes_before_target_and_canary_which_come_together_and_last(overlay: list[Object]) -> None:
    waves = {item["kind"]: int(item["metadata"]["annotations"][WAVE]) for item in overlay}
    assert waves["MetricSource"] < waves["QualityGate"] < waves["Deployment"]
    assert waves["Deployment"] == waves["Canary"] == max(waves.values())


def test_a_route_names_both_backends_and_states_the_defaults_of_its_lists(overlay: list[Object]) -> None:
    (route,) = (item for item in overlay if item["kind"] == "HTTPRoute")
    (rule,) = route["spec"]["rules"]
    kind = {"group": "", "kind": "Service", "port": 80}
    assert rule["backendRefs"] == [
        {**kind, "name": "pricing", "weight": 100},
        {**kind, "name": "pricing-candidate", "weight": 0},
    ]
    assert rule["matches"]
    assert {"group", "kind"} <= route["spec"]["parentRefs"][0].keys()


def test_flux_reads_folders_that_exist_and_waits_for_what_is_in_them() -> None:
    for spec in (item["spec"] for item in all_of("Kustomization", *FLUX)):
        folder = CHECKOUT / spec["path"]
        command = ["kubectl", "kustomize", str(folder)]
        built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert built.returncode == 0, built.stderr
        names = {(item["kind"], item["metadata"]["name"]) for item in yaml.safe_load_all(built.stdout)}
        checked = {(row["kind"], row["name"]) for row in spec["healthChecks"]}
        assert checked
        assert checked <= names
        assert not spec["wait"]
        assert "Canary" not in {kind for kind, _ in checked}
