"""The flights example in a namespace of a test: its manifests, its intervals, and programs over its volume."""

import json
from typing import Any

from dev import demo
from tests.cluster.kit import Manifest, Namespace

BREAKER = "breaker"
"""The ConfigMap with the program that writes broken sources."""
RETENTION = {"succeeded": 50, "failed": 50}
"""So that no run of a test goes before the test has looked at it."""


def install(namespace: Namespace) -> str:
    """Apply the example as the demo does; the image of its steps."""
    image = demo.images()[demo.IMAGE]
    documents = demo.manifests(image)
    for document in documents:
        if document["kind"] == "DataPipeline":
            document["spec"]["retention"] = RETENTION
    namespace.apply(*documents)
    return image


def a_day(day: str, next_day: str) -> Manifest:
    """The data interval of a day, as the schedule would give it."""
    return {"start": f"{day}T18:00:00+05:30", "end": f"{next_day}T18:00:00+05:30"}


def config_map(name: str, files: dict[str, str]) -> Manifest:
    """A ConfigMap with files by name."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": files}


def python_pod(name: str, image: str, *arguments: str) -> Manifest:
    """A pod that runs Python with the example's volume at /data and, if it is there, the breaker at /breaker."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "python",
                    "image": image,
                    "command": ["python3", *arguments],
                    "volumeMounts": [
                        {"name": "data", "mountPath": "/data"},
                        {"name": "breaker", "mountPath": "/breaker"},
                    ],
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "flights-data"}},
                {"name": "breaker", "configMap": {"name": BREAKER, "optional": True}},
            ],
        },
    }


def run_python(namespace: Namespace, name: str, image: str, *arguments: str) -> str:
    """What Python prints in a pod of its own. Fails when it ends with another code than 0."""
    namespace.apply(python_pod(name, image, *arguments))

    def look() -> dict[str, Any] | None:
        for status in namespace.get("pod", name).get("status", {}).get("containerStatuses", ()):
            ended: dict[str, Any] | None = status["state"].get("terminated")
            return ended
        return None

    ended = namespace.wait_for(f"the end of pod {name}", look, seconds=180)
    printed = namespace.kubectl("logs", name).stdout
    assert ended["exitCode"] == 0, printed
    return printed


PUBLISHED = """
import hashlib, json, pathlib
files = sorted(path for path in pathlib.Path("/data/flights").glob("published*/**/*") if path.is_file())
print(json.dumps({str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}))
"""
QUARANTINES = """
import duckdb, json, pathlib, sys
for run in sys.argv[1:]:
    file = pathlib.Path(f"/data/flights/runs/{run}/screen/quarantine/flights.parquet")
    rows = []
    if file.exists():
        table = duckdb.execute(f"SELECT * FROM read_parquet('{file}')")
        names = [column[0] for column in table.description]
        rows = [dict(zip(names, row)) for row in table.fetchall()]
    print(json.dumps([run, rows]))
"""


def published(namespace: Namespace, pod: str, image: str) -> dict[str, str]:
    """{path: hash} of every published file."""
    found: dict[str, str] = json.loads(run_python(namespace, pod, image, "-c", PUBLISHED))
    return found


def quarantines(namespace: Namespace, pod: str, image: str, *runs: str) -> dict[str, list[dict[str, Any]]]:
    """The rows that each run has set aside; none where there is no file."""
    printed = run_python(namespace, pod, image, "-c", QUARANTINES, *runs)
    return dict(json.loads(line) for line in printed.splitlines())
