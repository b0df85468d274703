"""What cluster tests say: a namespace of their own, the manifests of steps and pipelines, and waiting for a condition."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from dev.reading import Manifest, api_of

ROOT = Path(__file__).parents[2]
BUSYBOX = "localhost/sluice/busybox:1"
OPERATOR_NAMESPACE = "sluice-system"
OUTAGE = re.compile(
    r'failed calling webhook "\w+\.sluice\.dev".*(connection refused|connection reset by peer|no route to host'
    r"|no endpoints available|EOF|deadline exceeded|certificate is valid for .*, not sluice-webhook)"
)
"""What the API server says to a change while the operator is being restarted: there is nobody to review it. Without an
endpoint the Service's address may for a moment leave the machine, and a proxy of its network answers in its own name; a
certificate of ours that is not trusted says something else, and is a failure."""
OUTAGE_SECONDS = 120.0


def is_outage(said: str, began: float) -> bool:
    """Whether a change is worth another try, after a moment: other tests restart the operator, and what its webhook did not see was
    not done. `began` is when it was tried first, by the monotonic clock."""
    if not OUTAGE.search(said) or time.monotonic() > began + OUTAGE_SECONDS:
        return False
    time.sleep(0.5)
    return True


Seen = TypeVar("Seen")

HELD = "trap 'exit 0' USR1; trap 'exit 143' TERM; while :; do sleep 0.2; done"
"""A script that goes on until the test lets it end (`Namespace.release`), or Kubernetes stops it."""
REPORT = (
    'printf %s \'{"seen": "$(run.outcome) $(run.reason) $(steps.main.phase) $(steps.main.reason)"}\' > $SLUICE_OUTPUTS'
)
"""A script for a finally step: hands on what it is told of the run and of the step `main`."""


@dataclass(frozen=True)
class Namespace:
    """A namespace of one test, and what a user does in it."""

    name: str
    kubeconfig: Path

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl in this namespace."""
        return self._run(["kubectl", "--namespace", self.name, *args], stdin=stdin, check=check)

    def cli(self, *args: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run `sluice` in this namespace."""
        return self._run([sys.executable, "-m", "sluice.cli.main", "--namespace", self.name, *args], check=check)

    def _run(self, command: list[str], *, stdin: str | None = None, check: bool) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PYTHONPATH": str(ROOT / "operator")}
        began = time.monotonic()
        while True:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, env=env, timeout=120, check=False
            )
            if not is_outage(done.stderr, began):
                break
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done

    def apply(self, *manifests: Manifest, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`kubectl apply` of the manifests."""
        return self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests), check=check)

    def get(self, kind: str, name: str) -> Manifest:
        """One object. Fails when it is not there."""
        return api_of(self.kubeconfig).get(self.name, kind, name)

    def all_of(self, kind: str, selector: str = "") -> list[Manifest]:
        """All objects of a kind."""
        return api_of(self.kubeconfig).all_of(self.name, kind, selector)

    def run(self, pipeline: str, name: str = "", **spec: Any) -> str:
        """Create a PipelineRun; its name."""
        name = name or f"{pipeline}-run"
        self.apply(run_manifest(name, pipeline, **spec))
        return name

    def cancel(self, run: str) -> None:
        """Ask for the end of a run, as a user does it with kubectl."""
        self.kubectl("patch", "pipelinerun", run, "--type=merge", "-p", '{"spec":{"cancel":true}}')

    def wait_for(self, what: str, condition: Callable[..., Seen | None], seconds: float = 120) -> Seen:
        """The first true value of `condition`. Fails after `seconds`, saying `what` did not come."""
        deadline = time.monotonic() + seconds
        while True:
            if value := condition():
                return value
            if time.monotonic() > deadline:
                pytest.fail(f"{what} did not come within {seconds:g} s\n{self.describe()}")
            time.sleep(0.25)  # the pace of looking, not a wait for something to have happened

    def ended(self, run: str, seconds: float = 120) -> Manifest:
        """The status of a run once it has ended."""

        def look() -> Manifest | None:
            status = self.get("pipelinerun", run).get("status") or {}
            return status if status.get("phase") in ("Succeeded", "Failed", "Cancelled") else None

        return self.wait_for(f"the end of run {run}", look, seconds)

    def step(self, run: str, step: str) -> Manifest:
        """The status of one step of a run; {} before the run has started."""
        status = self.get("pipelinerun", run).get("status") or {}
        return next((row for row in status.get("steps", ()) if row["name"] == step), {})

    def in_phase(self, run: str, step: str, phase: str, seconds: float = 120) -> Manifest:
        """The status of a step once it is in `phase`."""

        def look() -> Manifest | None:
            found = self.step(run, step)
            return found if found.get("phase") == phase else None

        return self.wait_for(f"{phase} of step {step}", look, seconds)

    def pods(self, run: str) -> list[Manifest]:
        """The pods of a run."""
        return self.all_of("pods", f"sluice.dev/run={run}")

    def events(self, name: str) -> list[Manifest]:
        """The Events about an object."""
        return [row for row in self.all_of("events") if row["involvedObject"]["name"] == name]

    def event(self, name: str, reason: str, seconds: float = 30) -> Manifest:
        """The Event for `reason` about an object, once it is there: Events come after the status."""
        return self.wait_for(
            f"an Event {reason} about {name}",
            lambda: next((row for row in self.events(name) if row["reason"] == reason), None),
            seconds=seconds,
        )

    def running(self, run: str, step: str) -> str:
        """The name of the pod of a step, once its container runs."""
        return str(self.in_phase(run, step, "Running")["pod"])

    def release(self, run: str, step: str) -> None:
        """Let a step of the script HELD end well."""
        done = self.kubectl("exec", self.running(run, step), "--", "kill", "-USR1", "1", check=False)
        assert done.returncode in (0, 137), done.stderr  # 137: the container was faster than the answer

    def describe(self) -> str:
        """What is in the namespace, for a failure's message."""
        return self.kubectl("get", "pipelines,pipelineruns,pods,events", "-o", "wide", check=False).stdout


def shell(name: str, script: str = "true", **fields: Any) -> Manifest:
    """A step that runs a shell script."""
    return {"name": name, "image": BUSYBOX, "command": ["sh", "-ec", script], **fields}


def pipeline(name: str, *steps: Manifest, **spec: Any) -> Manifest:
    """A DataPipeline of these steps."""
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "DataPipeline",
        "metadata": {"name": name},
        "spec": {"steps": list(steps), **spec},
    }


def run_manifest(name: str, pipeline: str, **spec: Any) -> Manifest:
    """A PipelineRun."""
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": {"name": name},
        "spec": {"pipeline": {"name": pipeline}, **spec},
    }


def steps_of(status: Manifest) -> dict[str, Manifest]:
    """The steps in the status of a run, by name."""
    return {row["name"]: row for row in status["steps"]}


def moment(text: str) -> datetime:
    """A time in a status: Kubernetes writes whole seconds, sluice also fractions."""
    return datetime.fromisoformat(text)
