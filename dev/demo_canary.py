"""A good version promoted and bad ones rolled back, by themselves and under load: `python -m dev.demo_canary [VERSION...]`.

Installs examples/pricing with its Canary in a namespace of its own, sends it requests through the Gateway of the development
cluster, and commits a good version and then the bad ones (`failing` when none is named, `all` for every one), as `kubectl apply`
or Argo CD would. Ends with 0 only when the good version was promoted without a failed request at the client, and each bad one was
taken out again for the reason that the Canary names.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
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
LIMIT_SECONDS = 300.0


BAD: dict[str, tuple[frozenset[str], dict[str, Any]]] = {
    "failing": (frozenset({"GateFailed"}), {}),
    "slow": (frozenset({"GateFailed"}), {}),
    "crashing": (frozenset({"CandidateNotReady"}), {"progressDeadline": "15s"}),
    "leaking": (frozenset({"GateFailed", "CandidateLost"}), {}),
    # It is good for two minutes: a rollout that is over by then learns nothing.
    "failing-later": (frozenset({"GateFailed"}), {"canary": {"steps": [{"weight": 30, "hold": "3m"}]}}),
}
"""The bad versions of the example: reasons for which each may be taken out, and what its Canary says else."""


class DemoError(Exception):
    """The demo did not do what it is for."""


@dataclass
class Clients:
    """Users who send requests until they are told to stop."""

    url: str
    host: str = HOST
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
            self.reports.append(run(Load(self.url, host=self.host, requests=RATE * 2, seconds=2, rate=RATE)))

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
    asked = sys.argv[1:] or ["failing"]
    versions = list(BAD) if asked == ["all"] else asked
    if unknown := [version for version in versions if version not in BAD]:
        print(f"demo-canary: {unknown[0]} is no bad version: {', '.join(BAD)} or all", file=sys.stderr)
        return 2
    try:
        demo(versions)
    except DemoError as error:
        print(f"demo-canary: {error}", file=sys.stderr)
        return 1
    finally:
        if not os.environ.get("KEEP"):
            _kubectl("delete", "namespace", NAMESPACE, "--wait=false", check=False)
    return 0


def demo(versions: Sequence[str]) -> None:
    """Raises DemoError."""
    _heading(f"examples/pricing with its Canary, in namespace {NAMESPACE}")
    _kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=90s")
    _kubectl("create", "namespace", NAMESPACE)
    _kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    _apply("good", drain="5")
    _kubectl("rollout", "status", "deployment/pricing", "--timeout=120s")
    _follow({"Stable"}, "TargetAdopted")
    url = gateway(HOST)

    _heading("a good version is committed")
    with Clients(url) as clients:
        before = _round()
        _apply("good", drain="6")
        good = _follow({"Stable", "Failed"}, "Promoted", after=before)
    requests, failed = clients.met()["all"]
    print(f"{requests} requests, {failed} failed")
    if good["reason"] != "Promoted" or failed:
        raise DemoError(f"the good version: {good['reason']}: {good.get('message', '')}; {failed} requests failed")

    lines = [_bad(url, version) for version in versions]
    print(
        f"\ndemo-canary: the good version was promoted with 0 of {requests} requests failed; rolled back by themselves:"
    )
    print("\n".join(lines))


def _bad(url: str, version: str) -> str:
    """Commit a bad version; what became of it, in one line. Raises DemoError."""
    reasons, spec = BAD[version]
    _heading(f"the version {version} is committed")
    with Clients(url) as clients:
        before = _round()
        _apply(version, drain="6", **spec)
        ended = _follow({"Stable", "Failed"}, *reasons, after=before)
    met = clients.met()
    seen, _ = met.get(version, (0, 0))
    requests, failed = met["all"]
    print(_kubectl("get", "canary", "pricing"))
    if ended["phase"] != "Failed" or ended["reason"] not in reasons:
        raise DemoError(f"{version}: {ended['reason']}: {ended.get('message', '')}")
    after = run(Load(url, host=HOST, requests=RATE, seconds=1, rate=RATE)).as_json()["versions"]
    if set(after) != {"good"}:
        raise DemoError(f"{version}: after the rollback these versions answer: {', '.join(after)}")
    share = 100 * failed / requests
    return (
        f"  {version}: {ended['reason']}: {ended['message']}; {seen} of {requests} requests met the version, "
        f"{failed} failed ({share:.2f} %)"
    )


def _apply(version: str, *, drain: str, **spec: Any) -> None:
    _kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests(version, HOST, drain, **spec)))


def manifests(version: str, host: str, drain: str, **spec: Any) -> list[dict[str, Any]]:
    """The example with the image that is in the cluster, a version and a host name; its Canary says `spec` too."""
    documents: list[dict[str, Any]] = []
    for document in (one for name in FILES for one in yaml.safe_load_all((EXAMPLE / f"{name}.yaml").read_text())):
        if document["kind"] == "Deployment":
            container = document["spec"]["template"]["spec"]["containers"][0]
            container["image"] = images()["example-pricing"]
            container["env"] = [
                {"name": "PRICING_VERSION", "value": version},
                {"name": "PRICING_DRAIN", "value": drain},
            ]
        if document["kind"] == "HTTPRoute":
            document["spec"]["hostnames"] = [host]
        if document["kind"] == "Canary":
            document["spec"] |= spec
        documents.append(document)
    return documents


def _round() -> int:
    """How many rollouts the canary has tried."""
    found = json.loads(_kubectl("get", "canary", "pricing", "-o", "json"))
    return int((found.get("status") or {}).get("round") or 0)


def _follow(phases: set[str], *reasons: str, after: int = -1) -> dict[str, Any]:
    """The status once the canary rests in one of `phases`: for one of `reasons`, or after a failure. A line for each change.

    A rest before the rollout number `after + 1` does not count.
    """
    started, shown = time.monotonic(), ""
    while time.monotonic() - started < LIMIT_SECONDS:
        found = json.loads(_kubectl("get", "canary", "pricing", "-o", "json"))
        status: dict[str, Any] = found.get("status") or {}
        parts = (status.get(key) for key in ("phase", "progress", "weight", "verdict", "reason", "message"))
        line = "  ".join(str(part) for part in parts if part not in (None, ""))
        if line != shown:
            print(f"{time.monotonic() - started:6.1f} s  {line}", flush=True)
            shown = line
        over = status.get("phase") in phases and int(status.get("round") or 0) > after
        if over and (status["phase"] == "Failed" or status.get("reason") in reasons):
            return status
        time.sleep(0.2)
    raise DemoError(f"the canary did not come to {' or '.join(reasons)} within {LIMIT_SECONDS:g} s: {shown}")


def gateway(host: str) -> str:
    """The URL of a quote through the Gateway, once the host answers there. Raises DemoError."""
    found = json.loads(_kubectl("get", "gateway", "-n", "sluice-gateway", "sluice-gateway", "-o", "json"))
    address, port = found["status"]["addresses"][0]["value"], found["spec"]["listeners"][0]["port"]
    url = f"http://{address}:{port}/quote?item=apple"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answers = run(Load(url, host=host, requests=10, seconds=0.5, rate=20)).as_json()
        if not answers["failed"]:
            return url
        time.sleep(0.5)
    raise DemoError(f"{url} does not answer for {host}")


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
