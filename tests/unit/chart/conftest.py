"""Helm and kubectl, the chart as helm renders it, and the manifests as kustomize builds them.

Helm is the one on the PATH or the harness's own, which is built when it is missing; a test never skips for want of it.
"""

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.cluster.settings import Settings
from dev.cluster.tools import Toolbox

ROOT = Path(__file__).resolve().parents[3]

Object = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """The objects of one rendering."""

    objects: tuple[Object, ...]

    @classmethod
    def parse(cls, text: str) -> "Rendered":
        return cls(tuple(item for item in yaml.safe_load_all(text) if item))

    def all(self, kind: str) -> list[Object]:
        """Every object of this kind, in order."""
        return [item for item in self.objects if item["kind"] == kind]

    def names(self, kind: str) -> list[str]:
        return [item["metadata"]["name"] for item in self.all(kind)]

    def one(self, kind: str, name: str = "") -> Object:
        """The only object of this kind, or the only one of this name."""
        found = [item for item in self.all(kind) if not name or item["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} objects are {kind} {name}, of {self.names(kind)}"
        return found[0]

    @property
    def pod(self) -> Object:
        """The pod template of the operator's Deployment."""
        template: Object = self.one("Deployment")["spec"]["template"]
        return template

    @property
    def container(self) -> Object:
        containers: list[Object] = self.pod["spec"]["containers"]
        assert len(containers) == 1
        return containers[0]

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that have a value."""
        return {item["name"]: item["value"] for item in self.container["env"] if "value" in item}

    @property
    def webhooks(self) -> list[Object]:
        webhooks: list[Object] = self.one("ValidatingWebhookConfiguration")["webhooks"]
        return webhooks

    @property
    def held(self) -> list[Object]:
        """The webhooks that hold targets of canaries."""
        webhooks: list[Object] = self.one("MutatingWebhookConfiguration")["webhooks"]
        return webhooks


@dataclass(frozen=True)
class Helm:
    """The helm program and the chart it renders."""

    program: str
    chart: Path
    scratch: Path

    def run(self, *arguments: str, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        """Run helm, with `values` as a file."""
        command = [self.program, *arguments]
        if values:
            file = self.scratch / "values.yaml"
            file.write_text(yaml.safe_dump(dict(values)))
            command += ["--values", str(file)]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    def template(
        self, values: Mapping[str, Any] | None = None, release: str = "sluice", served: Sequence[str] = ()
    ) -> Rendered:
        """The objects of an installation of the chart in the namespace sluice-system, where `served` is to be had as well."""
        result = self._template(release, values or {}, *(f"--api-versions={kind}" for kind in served))
        assert result.returncode == 0, result.stderr
        return Rendered.parse(result.stdout)

    def refusal(self, values: Mapping[str, Any]) -> str:
        """What helm says when it refuses these values. Fails when it takes them."""
        result = self._template("sluice", values)
        assert result.returncode != 0, f"helm takes {values}"
        return result.stderr

    def _template(self, release: str, values: Mapping[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
        # Without a version helm renders for one that depends on how helm was built.
        place = ("--namespace", "sluice-system", "--kube-version", "1.35.0")
        return self.run("template", release, str(self.chart), *place, *more, values=values)

    def of(self, chart: Path) -> "Helm":
        """The same helm with another chart."""
        return Helm(self.program, chart, self.scratch)


@pytest.fixture(scope="session")
def helm_program() -> str:
    """The path of helm."""
    found = shutil.which("helm")
    if found:
        return found
    toolbox = Toolbox(Settings.from_environment().cache)
    try:
        return str(toolbox.path("helm"))
    finally:
        toolbox.close()


@pytest.fixture
def helm(helm_program: str, tmp_path: Path) -> Helm:
    """Helm with the chart of this repository."""
    return Helm(helm_program, ROOT / "charts" / "sluice", tmp_path)


@pytest.fixture
def kustomize() -> Callable[[str], Rendered]:
    """Builds a folder of manifests/."""
    kubectl = shutil.which("kubectl")
    assert kubectl, "kubectl is needed to build the manifests, and is not on the PATH"

    def build(folder: str) -> Rendered:
        command = [kubectl, "kustomize", str(ROOT / "manifests" / folder)]
        result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        return Rendered.parse(result.stdout)

    return build


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT
