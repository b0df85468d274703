"""A good version promoted and a bad one rolled back, by themselves and under load: `python -m dev.demo_canary`.

Installs examples/pricing with its Canary in a namespace of its own, sends it requests through the Gateway of the development
cluster, and commits two versions, as `kubectl apply` or Argo CD would. Ends with 0 only when the good version was promoted
without a failed request at the client, and the bad one was taken out again for the reason that the Canary names.
"""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pricing.load import Load, Report, run

from dev.demo import images

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "pricing"
NAMESPACE = "pricing-demo"
HOST = "pricing-demo.local"
FILES = ("deployment", "service", "route", "source", "gate", "canary")
RATE = 60
"""Requests a second."""
LIMIT_SECONDS = 180.0


class DemoError(Exception):
    """The demo did not do what it is for."""


@dataclass
class Clients:
    """Users who send requests until they are told to stop."""

    url: str
    reports: list[Report] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Clients":
        self._thread = threading.Thread(target=self._send)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _send(self) -> None:
        while not self._over.is_set():
            self.reports.append(run(Load(self.url, host=HOST, requests=RATE * 2, seconds=2, rate=RATE)))

    def met(self) -> dict[str, tuple[int, int]]:
        """Requests and failures, in all and of each version."""
        found: dict[str, tuple[int, int]] = {}
        for report in self.reports:
            row = report.as_json()
            for name, part in (("all", row), *row["versions"].items()):
                requests, failed = found.get(name, (0, 0))
                found[name] = requests + part["requests"], failed + part["failed"]
        return found


def main() -> int:
    """Exit code 0 when both versions ended as they should."""
    try:
        demo()
    except DemoError as error:
        print(f"demo-canary: {error}", file=sys.stderr)
        return 1
    finally:
        if not os.environ.get("KEEP"):
            _kubectl("delete", "namespace", NAMESPACE, "--wait=false", check=False)
    return 0


def demo() -> None:
    """Raises DemoError."""
    _heading(f"examples/pricing with its Canary, in namespace {NAMESPACE}")
    _kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=90s")
    _kubectl("create", "namespace", NAMESPACE)
    _kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    _apply("good", drain="5")
    _kubectl("rollout", "status", "deployment/pricing", "--timeout=120s")
    _follow({"Stable"}, "TargetAdopted")
    url = _gateway()

    _heading("a good version is committed")
    with Clients(url) as clients:
        _apply("good", drain="6")
        good = _follow({"Stable", "Failed"}, "Promoted")
    requests, failed = clients.met()["all"]
    print(f"{requests} requests, {failed} failed")
    if good["reason"] != "Promoted" or failed:
        raise DemoError(f"the good version: {good['reason']}: {good.get('message', '')}; {failed} requests failed")

    _heading("a version that fails one request in twenty is committed")
    with Clients(url) as clients:
        _apply("failing", drain="6")
        bad = _follow({"Stable", "Failed"}, "GateFailed")
    met = clients.met()
    seen, faults = met.get("failing", (0, 0))
    print(_kubectl("get", "canary", "pricing"))
    if bad["phase"] != "Failed" or bad["reason"] != "GateFailed":
        raise DemoError(f"the failing version: {bad['reason']}: {bad.get('message', '')}")
    after = run(Load(url, host=HOST, requests=RATE, seconds=1, rate=RATE)).as_json()["versions"]
    if set(after) != {"good"}:
        raise DemoError(f"after the rollback these versions answer: {', '.join(after)}")
    share = 100 * faults / met["all"][0]
    print(
        f"\ndemo-canary: the good version was promoted with 0 of {requests} requests failed; the bad one was rolled back "
        f"({bad['message']}): {seen} of {met['all'][0]} requests met it, {faults} of them its fault ({share:.2f} %)"
    )


def _apply(version: str, *, drain: str) -> None:
    """What a commit that changes the version brings."""
    documents = []
    for name in FILES:
        document = yaml.safe_load((EXAMPLE / f"{name}.yaml").read_text())
        if document["kind"] == "Deployment":
            container = document["spec"]["template"]["spec"]["containers"][0]
            container["image"] = images()["example-pricing"]
            container["env"] = [
                {"name": "PRICING_VERSION", "value": version},
                {"name": "PRICING_DRAIN", "value": drain},
            ]
        if document["kind"] == "HTTPRoute":
            document["spec"]["hostnames"] = [HOST]
        documents.append(document)
    _kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))


def _follow(phases: set[str], reason: str) -> dict[str, Any]:
    """The status once the canary rests in one of `phases`: with `reason`, or after a failure. A line for each change."""
    started, shown = time.monotonic(), ""
    while time.monotonic() - started < LIMIT_SECONDS:
        found = json.loads(_kubectl("get", "canary", "pricing", "-o", "json"))
        status: dict[str, Any] = found.get("status") or {}
        parts = (status.get(key) for key in ("phase", "progress", "weight", "verdict", "reason", "message"))
        line = "  ".join(str(part) for part in parts if part not in (None, ""))
        if line != shown:
            print(f"{time.monotonic() - started:6.1f} s  {line}", flush=True)
            shown = line
        if status.get("phase") in phases and status.get("reason") in (reason, "GateFailed", "CandidateNotReady"):
            return status
        time.sleep(0.2)
    raise DemoError(f"the canary did not come to {reason} within {LIMIT_SECONDS:g} s: {shown}")


def _gateway() -> str:
    found = json.loads(_kubectl("get", "gateway", "-n", "sluice-gateway", "sluice-gateway", "-o", "json"))
    address, port = found["status"]["addresses"][0]["value"], found["spec"]["listeners"][0]["port"]
    url = f"http://{address}:{port}/quote?item=apple"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answers = run(Load(url, host=HOST, requests=10, seconds=0.5, rate=20)).as_json()
        if not answers["failed"]:
            return url
        time.sleep(0.5)
    raise DemoError(f"{url} does not answer for {HOST}")


def _heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    place = () if "-n" in arguments else ("--namespace", NAMESPACE)
    done = subprocess.run(
        ["kubectl", *place, *arguments], input=stdin, capture_output=True, text=True, timeout=150, check=False
    )
    if check and done.returncode:
        raise DemoError(f"kubectl {' '.join(arguments[:3])}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
