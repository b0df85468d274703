"""The manifests for kustomize: generated from the chart, up to date, and the same installations as the chart's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Helm, Object, Rendered

CERT_MANAGER = {"webhook": {"mode": "files", "certManager": {"enabled": True}}}
OVERLAYS: dict[str, dict[str, Any]] = {
    "cluster-wide": {},
    "namespaced": {"namespaces": ["billing", "orders"]},
    "cert-manager": CERT_MANAGER,
}
"""Every overlay, and the values that make the chart install the same."""

HELMS_OWN = {"helm.sh/chart", "app.kubernetes.io/managed-by", "helm.sh/resource-policy", "checksum/pod-template"}


def generate(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "manifests/generate.py"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def normal(value: Any) -> Any:
    """`value` without the marks of Helm, and with lists of named things in the order of their names."""
    if isinstance(value, dict):
        kept = {name: normal(item) for name, item in value.items() if name not in HELMS_OWN}
        return {name: item for name, item in kept.items() if item != {} or name not in ("labels", "annotations")}
    if isinstance(value, list):
        items = [normal(item) for item in value]
        return sorted(items, key=lambda item: str(item["name"])) if all_named(items) else items
    return value


def all_named(items: list[Any]) -> bool:
    return all(isinstance(item, dict) and "name" in item for item in items)


def identity(item: Object) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_installs_what_the_chart_does(
    helm: Helm, kustomize: Callable[[str], Rendered], overlay: str
) -> None:
    built = {identity(item): normal(item) for item in kustomize(f"overlays/{overlay}").objects}
    rendered = {identity(item): normal(item) for item in helm.template(OVERLAYS[overlay]).objects}

    namespace = built.pop(("Namespace", "", "sluice-system"))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert built.keys() == rendered.keys()
    for key, item in rendered.items():
        assert built[key] == item, key


def test_every_overlay_is_tested(root: Path) -> None:
    assert {folder.name for folder in (root / "manifests/overlays").iterdir()} == set(OVERLAYS)


def test_what_is_generated_is_up_to_date(root: Path, helm_program: str) -> None:
    result = generate(root, "--check", "--helm", helm_program)

    assert result.returncode == 0, result.stderr


def test_nothing_generated_says_that_helm_installed_it(root: Path) -> None:
    for file in (root / "manifests").rglob("*.yaml"):
        assert "helm.sh/" not in file.read_text(), file
        assert "managed-by: Helm" not in file.read_text(), file


def test_the_check_names_the_stale_file_and_the_command(root: Path, helm_program: str, tmp_path: Path) -> None:
    for folder in ("charts", "manifests"):
        subprocess.run(["cp", "-r", str(root / folder), str(tmp_path / folder)], check=True)
    stale = tmp_path / "manifests/base/sluice.yaml"
    stale.write_text(stale.read_text().replace("replicas: 1", "replicas: 2"))

    result = generate(tmp_path, "--check", "--helm", helm_program)

    assert result.returncode == 1
    assert "-  replicas: 2" in result.stderr
    assert "manifests/base/sluice.yaml" in result.stderr
    assert "run `python manifests/generate.py`" in result.stderr
    assert generate(tmp_path, "--helm", helm_program).returncode == 0
    assert stale.read_text() == (root / "manifests/base/sluice.yaml").read_text()


def test_a_missing_helm_is_said_so(root: Path) -> None:
    result = generate(root, "--check", "--helm", "no-such-helm")

    assert result.returncode == 2
    assert "there is no 'no-such-helm'" in result.stderr
