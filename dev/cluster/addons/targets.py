"""What Prometheus is to scrape: watches the pods and keeps a file of targets, since Debian's Prometheus is built without
the discovery of Kubernetes. A program of its own, and of the standard library only: python3 targets.py PORT FILE

A pod is scraped while it runs and is annotated `prometheus.io/scrape: "true"`, as is the operator's own pod.
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

OPERATOR = ("sluice-system", "sluice")
"""Namespace and release of the operator."""
_RESERVED = frozenset(("job", "instance", "namespace", "pod"))
_WATCH_SECONDS = 240


def targets_of(pods: Iterable[dict[str, Any]], api: str) -> list[dict[str, Any]]:
    """The targets of these pods, each a path of the API server's proxy at `api` (HOST:PORT)."""
    return [target for pod in pods for target in _targets_of(pod, api)]


def _targets_of(pod: dict[str, Any], api: str) -> Iterator[dict[str, Any]]:
    metadata, annotations = pod["metadata"], pod["metadata"].get("annotations") or {}
    namespace, name, labels = metadata["namespace"], metadata["name"], metadata.get("labels") or {}
    if pod.get("status", {}).get("phase") != "Running" or metadata.get("deletionTimestamp"):
        return
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or []]
    if (namespace, labels.get("app.kubernetes.io/instance")) == OPERATOR:
        job, numbers = "sluice", [port["containerPort"] for port in ports if port.get("name") == "metrics"]
    elif annotations.get("prometheus.io/scrape") == "true":
        given = annotations.get("prometheus.io/port")
        job, numbers = "pods", [given] if given else [port["containerPort"] for port in ports]
    else:
        return
    path = annotations.get("prometheus.io/path") or "/metrics"
    own = {re.sub(r"\W", "_", label, flags=re.ASCII): text for label, text in labels.items()}
    for number in numbers:
        yield {
            "targets": [api],
            "labels": {
                **{
                    label: text for label, text in own.items() if label not in _RESERVED and re.match("[a-zA-Z]", label)
                },
                "__metrics_path__": f"/api/v1/namespaces/{namespace}/pods/{name}:{number}/proxy{path}",
                "job": job,
                "namespace": namespace,
                "pod": name,
                "instance": f"{name}:{number}",
            },
        }


def follow(api: str, file: Path) -> None:
    """Keep `file` as the pods are, until the watch ends. Raises OSError or ValueError where the API server does not
    answer, or no longer knows what it was asked for."""
    with _open(api, {}) as answer:
        listed = json.load(answer)
    pods = {_key(pod): pod for pod in listed["items"]}
    _write(file, targets_of(pods.values(), api))
    since = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
    with _open(api, {**since, "timeoutSeconds": str(_WATCH_SECONDS)}) as answer:
        for line in answer:
            event = json.loads(line)
            if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                return
            pods.pop(_key(event["object"]), None)
            if event["type"] != "DELETED":
                pods[_key(event["object"])] = event["object"]
            _write(file, targets_of(pods.values(), api))


def _key(pod: dict[str, Any]) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _open(api: str, query: dict[str, str]) -> Any:
    url = f"http://{api}/api/v1/pods?{urllib.parse.urlencode(query)}"
    return urllib.request.urlopen(url, timeout=_WATCH_SECONDS + 30)


def _write(file: Path, targets: list[dict[str, Any]]) -> None:
    """Replace the file in one step, where it changes: Prometheus reads it whenever it is written."""
    text = json.dumps(targets, indent=1, sort_keys=True)
    if file.exists() and file.read_text() == text:
        return
    temporary = file.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(file)


def main(port: str, file: str) -> None:
    """Follow the pods for ever."""
    while True:
        try:
            follow(f"127.0.0.1:{port}", Path(file))
        except (OSError, ValueError, KeyError) as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
