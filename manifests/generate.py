# ruff: noqa: INP001 - a script beside what it writes, in no package
"""Writes the parts of manifests/ that come from the chart, so that an installation is described in one place only.

`python manifests/generate.py` writes, `python manifests/generate.py --check` writes nothing and fails when a file is
stale. What is written is what `helm template` renders, without the marks of Helm; the kustomization files beside it are
written by hand.

Needs helm, version 3 or 4: `--helm PATH`, or the one on the PATH.
"""

import argparse
import difflib
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).resolve().parent
CHART = MANIFESTS.parent / "charts" / "sluice"
RELEASE = "sluice"
NAMESPACE = "sluice-system"
KUBERNETES = "1.35.0"
"""Which version to render for. Helm's own guess depends on how helm was built."""

HEADER = "# Generated from charts/sluice by manifests/generate.py. Do not edit: change the chart and generate again.\n"

HELM_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by")
HELM_ANNOTATIONS = ("helm.sh/resource-policy", "checksum/pod-template")
"""The checksum makes Helm restart the operator. Nobody would recompute it here."""

Object = dict[str, Any]
"""A Kubernetes object as YAML gives it."""


@dataclass(frozen=True)
class Target:
    """One generated file: which of the objects that the chart renders with `values` go into it."""

    path: str
    kinds: frozenset[str] | None = None
    """None: all but the CRDs."""
    values: tuple[str, ...] = ()
    keep_namespace: bool = True
    """False for objects whose namespace is set by the kustomization that includes them. What lies in the operator's own is not
    among them."""

    def takes(self, item: Object) -> bool:
        """Whether this object goes into the file."""
        kind: str = item["kind"]
        if not self.keep_namespace and item["metadata"].get("namespace") == NAMESPACE:
            return False
        return kind != "CustomResourceDefinition" if self.kinds is None else kind in self.kinds


TARGETS = (
    Target("base/crds.yaml", frozenset({"CustomResourceDefinition"})),
    Target("base/sluice.yaml"),
    Target(
        "namespace-access/rbac.yaml", frozenset({"Role", "RoleBinding"}), ("namespaces={any}",), keep_namespace=False
    ),
    Target(
        "overlays/cert-manager/certificate.yaml",
        frozenset({"Issuer", "Certificate"}),
        ("webhook.mode=files", "webhook.certManager.enabled=true"),
    ),
)


def render(helm: str, values: Iterable[str] = ()) -> list[Object]:
    """The objects that the chart renders with `values`, each as NAME=VALUE.

    Raises CalledProcessError when helm refuses them; helm says why on standard error.
    """
    command = [helm, "template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--kube-version", KUBERNETES]
    for value in values:
        command += ["--set", value]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [item for item in yaml.safe_load_all(output) if item]


def without_helm(item: Object) -> Object:
    """`item` without the labels and annotations that say that Helm installed it."""
    for metadata in _metadata(item):
        for field, names in (("labels", HELM_LABELS), ("annotations", HELM_ANNOTATIONS)):
            kept = {name: value for name, value in metadata.get(field, {}).items() if name not in names}
            if kept:
                metadata[field] = kept
            else:
                metadata.pop(field, None)
    return item


def text_of(target: Target, helm: str) -> str:
    """What the file of `target` should hold."""
    items = [without_helm(item) for item in render(helm, target.values) if target.takes(item)]
    if not target.keep_namespace:
        for item in items:
            item["metadata"].pop("namespace", None)
    documents = (yaml.safe_dump(item, sort_keys=False, width=120) for item in items)
    return HEADER + "".join(f"---\n{document}" for document in documents)


def stale(texts: Mapping[Path, str]) -> Iterator[str]:
    """A unified diff for every file that does not hold what it should."""
    for path, text in texts.items():
        found = path.read_text() if path.exists() else ""
        if found != text:
            name = str(path.relative_to(MANIFESTS.parent))
            lines = (found.splitlines(keepends=True), text.splitlines(keepends=True))
            yield "".join(difflib.unified_diff(*lines, name, f"{name} (from the chart)"))


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 1 for a stale file, 2 when there is nothing to compare with."""
    parser = argparse.ArgumentParser(description="Generate manifests/ from the chart.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is stale")
    parser.add_argument("--helm", default="helm", help="the helm to use (default: the one on the PATH)")
    options = parser.parse_args(arguments)
    helm = shutil.which(options.helm)
    if helm is None:
        parser.error(f"there is no {options.helm!r}: install Helm 3 or 4, or name it with --helm")

    try:
        texts = {MANIFESTS / target.path: text_of(target, helm) for target in TARGETS}
    except subprocess.CalledProcessError:
        print("helm does not render charts/sluice; it says why above.", file=sys.stderr)
        return 2
    if options.check:
        differences = list(stale(texts))
        if differences:
            print(*differences, "manifests/ is stale: run `python manifests/generate.py`.", sep="\n", file=sys.stderr)
        return 1 if differences else 0
    for path, text in texts.items():
        path.write_text(text)
    return 0


def _metadata(item: Object) -> Iterator[Object]:
    yield item["metadata"]
    template = item.get("spec", {}).get("template") if item["kind"] == "Deployment" else None
    if template:
        yield template["metadata"]


if __name__ == "__main__":
    sys.exit(main())
