"""The main job, end to end, on the cluster that `make cluster` brought up: a day of real flights through a pipeline of pods.

    python -m dev.demo 2013-01-01

Applies examples/flights, starts a run for the day, follows it, and shows what a user would look at: the run's steps,
`kubectl get pipelines` and `pipelineruns`, and the rows that were published. Ends with 0 only when the rows are there.
"""

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
NAMESPACE = "flights"
PIPELINE = "flights-daily"
IMAGE = "example-flights"
QUERY = """
import duckdb, sys
year, month, day = (int(part) for part in sys.argv[1].split("-"))
rows = f"read_parquet('/data/flights/published/year={year}/month={month}/day={day}/*.parquet')"
print(duckdb.execute(f"select count(*) from {rows}").fetchall()[0][0])
duckdb.sql(f"select carrier, flight, tailnum, origin, dest, dep_delay, arr_delay from {rows} order by all limit 8").show()
"""


class DemoError(Exception):
    """The demo did not do what it is for."""


def main(arguments: list[str]) -> int:
    """Exit code 0 when the day's rows were published, 1 when not, 2 for a wrong argument."""
    day = arguments[0] if arguments else "2013-01-01"
    if not re.fullmatch(r"2013-\d\d-\d\d", day):
        print(f'DAY: "{day}" must be a day of 2013 such as 2013-07-04: the data is of that year', file=sys.stderr)
        return 2
    try:
        demo(day)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def demo(day: str) -> None:
    """Raises DemoError."""
    image = images()[IMAGE]
    _heading(f"the pipeline {PIPELINE} (examples/flights), steps run {image}")
    if _kubectl("get", "namespace", NAMESPACE, check=False, quiet=True).returncode:
        _kubectl("create", "namespace", NAMESPACE)
    _kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted", quiet=True)
    _kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests(image)))

    run = f"flights-{day}-{uuid.uuid4().hex[:5]}"
    _heading(f"a run for {day}")
    code = _sluice("run", PIPELINE, "--day", day, "--name", run, "--watch", "--timeout", "10m")
    # The pipeline's own line follows its runs within a second.
    _kubectl("wait", f"pipeline/{PIPELINE}", "--for=jsonpath={.status.activeRuns}=0", "--timeout=30s", quiet=True)
    _heading("kubectl get pipelines")
    _kubectl("get", "pipelines")
    _heading("kubectl get pipelineruns")
    _kubectl("get", "pipelineruns")
    if code:
        _sluice("logs", run)
        raise DemoError(f"run {run} did not succeed")
    _heading("the report of its finally step")
    _sluice("logs", run, "report")
    _heading(f"the published rows of {day}")
    count = _published(image, day)
    status = json.loads(_kubectl("get", "pipelinerun", run, "-o", "json", quiet=True).stdout)["status"]
    outputs = {step["name"]: step.get("outputs", {}) for step in status["steps"]}
    scheduled, cancelled = outputs["extract"]["rows"], outputs["clean"]["cancelled"]
    if count != scheduled - cancelled:
        raise DemoError(
            f"{count} rows are published, but {scheduled} flights less {cancelled} cancelled ones were expected"
        )
    print(f"demo: of {scheduled} flights on {day}, {cancelled} were cancelled and {count} are published")


def _heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def images() -> dict[str, str]:
    """{target: image} of the working tree, as the cluster has them."""
    printed = _run([sys.executable, "-m", "dev.cluster", "images", "--print"], quiet=True).stdout
    return dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)


def manifests(image: str) -> list[dict[str, Any]]:
    """The example as kustomize builds it, with the image that is in the cluster."""
    documents = list(yaml.safe_load_all(_kubectl("kustomize", str(ROOT / "examples" / "flights"), quiet=True).stdout))
    for document in documents:
        if document["kind"] == "DataPipeline":
            for step in document["spec"]["steps"] + document["spec"]["finally"]:
                step["image"] = image
    return documents


def _published(image: str, day: str) -> int:
    """The number of rows in the published partition, read from the volume by a pod; prints some of them."""
    name = f"look-{uuid.uuid4().hex[:5]}"
    container = {
        "name": "look",
        "image": image,
        "command": ["python3", "-c", QUERY, day],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
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
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "flights-data"}}],
        },
    }
    _kubectl("apply", "-f", "-", stdin=json.dumps(pod), quiet=True)
    ended = "--for=jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    _kubectl("wait", f"pod/{name}", ended, "--timeout=60s", quiet=True)
    count, _, table = _kubectl("logs", name, quiet=True).stdout.partition("\n")
    _kubectl("delete", "pod", name, "--wait=false", quiet=True)
    print(table)
    if not count.isdigit() or not int(count):
        raise DemoError(f"nothing was published: {table or count}")
    return int(count)


def _sluice(*arguments: str) -> int:
    command = [sys.executable, "-m", "sluice.cli.main", "--namespace", NAMESPACE, *arguments]
    return subprocess.run(command, env=_environment(), check=False).returncode


def _kubectl(
    *arguments: str, stdin: str | None = None, check: bool = True, quiet: bool = False
) -> subprocess.CompletedProcess[str]:
    return _run(["kubectl", "--namespace", NAMESPACE, *arguments], stdin=stdin, check=check, quiet=quiet)


def _run(
    command: list[str], *, stdin: str | None = None, check: bool = True, quiet: bool = False
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=_environment(), cwd=ROOT, check=False
    )
    if check and done.returncode:
        raise DemoError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    if not quiet:
        print(done.stdout, end="", flush=True)
    return done


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "operator")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
