"""The two things that the CLI itself reads in a kubeconfig: the context in use and its namespace."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True)
class Chosen:
    """The context in use; its name is empty inside a pod."""

    context: str
    namespace: str


def choose(kubeconfig: str | None, context: str | None) -> Chosen:
    """The context that the client will use, found in the same places and order as the client does."""
    given = kubeconfig or os.environ.get("KUBECONFIG")
    if not given and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        namespace = SERVICE_ACCOUNT.read_text().strip() if SERVICE_ACCOUNT.is_file() else ""
        return Chosen("", namespace or DEFAULT_NAMESPACE)
    paths = (given or str(Path.home() / ".kube" / "config")).split(os.pathsep)
    return find_context(_documents(paths), context)


def _documents(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
    """What can be read of the files. The client says what is wrong with the rest."""
    for path in paths:
        try:
            document = yaml.safe_load(Path(path).expanduser().read_text())
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(document, dict):
            yield document


def find_context(documents: Iterable[dict[str, Any]], context: str | None) -> Chosen:
    """`context`, else the current one. Of several files the first that says a thing counts, as kubectl has it."""
    current = context or ""
    namespaces: dict[str, str] = {}
    for document in documents:
        current = current or document.get("current-context") or ""
        for row in document.get("contexts") or ():
            namespaces.setdefault(row.get("name", ""), (row.get("context") or {}).get("namespace") or "")
    return Chosen(current, namespaces.get(current) or DEFAULT_NAMESPACE)
