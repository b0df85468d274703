"""The pricing example with a Canary in a namespace: its manifests, its rollouts, and clients that count what fails."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from pricing.load import Load, Report, run

from dev import demo
from tests.cluster.gateway import PARENT, Gateway
from tests.cluster.kit import ROOT, Manifest, Namespace

EXAMPLE = ROOT / "examples" / "pricing"
SCRAPED = "http://traefik.sluice-gateway.svc:9100/metrics"
RATE = 60
"""Requests a second."""


def check(name: str, measure: str, **metric: Any) -> Manifest:
    """A check on the candidate's requests, as the proxy counts them."""
    bound = {key: metric.pop(key) for key in ("min", "max") if key in metric}
    requests = {"measure": measure, "window": "3s", "minRequests": 5, **metric}
    return {"name": name, "metric": {"source": "proxy", "requests": requests, "interval": "250ms", **bound}}


def gate(name: str, *checks: Manifest) -> Manifest:
    """A QualityGate."""
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "QualityGate",
        "metadata": {"name": name},
        "spec": {"checks": list(checks)},
    }


SLO = gate("slo", check("error-rate", "ErrorRate", max=0.04, window="6s", minRequests=20))
FAST = gate("fast", check("p90", "Latency", quantile=0.9, max=0.35))
"""For a version that is slower by 0.4 s; apart, as a busy machine makes any version slow."""
SOURCE: Manifest = {
    "apiVersion": "sluice.dev/v1alpha1",
    "kind": "MetricSource",
    "metadata": {"name": "proxy"},
    "spec": {"proxy": {"kind": "Traefik", "addresses": [SCRAPED]}},
}
STEPS: Manifest = {"steps": [{"weight": 20, "hold": "8s"}, {"weight": 60, "hold": "6s"}]}


def canary(**spec: Any) -> Manifest:
    """A Canary of the example; `spec` in the words of the manifest, None takes a field away."""
    fields: dict[str, Any] = {
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pricing"},
        "routing": {"gatewayAPI": {"routes": [{"name": "pricing"}]}},
        "canary": STEPS,
        "gates": [{"name": "slo"}],
        "watch": "6s",
        **spec,
    }
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "pricing"},
        "spec": {key: value for key, value in fields.items() if value is not None},
    }


class Rollouts:
    """The example in one namespace, behind the Gateway of an add-on."""

    def __init__(self, namespace: Namespace, parent: Mapping[str, str] = PARENT) -> None:
        self.namespace = namespace
        self.host = f"{namespace.name}.local"
        self.gateway = Gateway.find(namespace, parent)
        self._parent = dict(parent)

    def install(self, *more: Manifest, drain: str = "5", **container: Any) -> None:
        """Apply the example with `more`, and wait until it answers. `container` in the words of a container's manifest."""
        documents: list[Manifest] = []
        for name in ("deployment.yaml", "service.yaml", "route.yaml"):
            document = yaml.safe_load((EXAMPLE / name).read_text())
            if document["kind"] == "Deployment":
                row = document["spec"]["template"]["spec"]["containers"][0]
                row |= {"image": demo.images()["example-pricing"], **container}
                # A machine that runs many tests answers probes late; a pod that is only slow is to stay behind its Service.
                row["readinessProbe"] |= {"timeoutSeconds": 5, "failureThreshold": 3}
                row["env"] = [
                    {"name": "PRICING_VERSION", "value": "good"},
                    {"name": "PRICING_DRAIN", "value": drain},
                ]
            if document["kind"] == "HTTPRoute":
                document["spec"] |= {"hostnames": [self.host], "parentRefs": [self._parent]}
            documents.append(document)
        self.namespace.apply(*documents, *more)
        self.namespace.kubectl("rollout", "status", "deployment/pricing", "--timeout=90s")
        self.answers()

    def answers(self) -> None:
        """Wait until it answers through the Gateway."""

        def live() -> bool:
            with contextlib.suppress(ConnectionError):
                return bool(self.gateway.ask(self.host, path="/live")['{"live": true}'])
            return False

        self.namespace.wait_for("an answer through the Gateway", live, seconds=60)

    def release(self, version: str = "good", **env: str) -> None:
        """Commit another version."""
        values = [f"{name}={value}" for name, value in env.items()]
        self.namespace.kubectl("set", "env", "deployment/pricing", f"PRICING_VERSION={version}", *values)

    def status(self) -> Manifest:
        """The Canary's status."""
        return dict(self.namespace.get("canary", "pricing").get("status") or {})

    def reaches(self, *phases: str, seconds: float = 120) -> Manifest:
        """The status, once the Canary is in one of the phases."""

        def there() -> Manifest | None:
            status = self.status()
            return status if status.get("phase") in phases else None

        return self.namespace.wait_for(f"the canary to be {' or '.join(phases)}", there, seconds=seconds)

    def rests(self, reason: str, seconds: float = 150, after: int = 0) -> Manifest:
        """The status, once a rollout later than that of the round `after` has ended for this reason."""

        def there() -> Manifest | None:
            status = self.status()
            ended = status.get("phase") in ("Stable", "Failed") and status.get("reason") == reason
            return status if ended and status.get("round", 0) > after else None

        return self.namespace.wait_for(f"the canary to rest: {reason}", there, seconds=seconds)

    def weights(self) -> list[tuple[str, int | None]]:
        """The backends of the route."""
        route = self.namespace.get("httproute", "pricing")
        return [(row["name"], row.get("weight")) for row in route["spec"]["rules"][0]["backendRefs"]]

    def rules(self) -> list[Manifest]:
        """The rules of the route."""
        found: list[Manifest] = self.namespace.get("httproute", "pricing")["spec"]["rules"]
        return found

    def load(self, requests: int, rate: float = RATE, **headers: str) -> Report:
        """So many requests; `headers` with _ for -."""
        url = f"http://{self.gateway.address}:{self.gateway.port}/quote?item=apple"
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return run(Load(url, host=self.host, headers=named, requests=requests, seconds=requests / rate, rate=rate))

    async def under_load(self, work: Callable[[], Any], rate: int = RATE) -> tuple[Any, list[Report]]:
        """What `work` gives, and what clients met from before its start until after its end."""
        working = asyncio.create_task(asyncio.to_thread(work))
        reports = []
        while not working.done():
            reports.append(await asyncio.to_thread(self.load, rate * 2, rate))
        reports.append(await asyncio.to_thread(self.load, rate * 2, rate))
        return await working, reports


def met(reports: list[Report]) -> tuple[int, int]:
    """Requests, and how many of them failed."""
    rows = [report.as_json() for report in reports]
    return sum(row["requests"] for row in rows), sum(row["failed"] for row in rows)


def served(reports: list[Report], version: str) -> int:
    """Requests that a version answered."""
    rows = [report.as_json()["versions"] for report in reports]
    return sum(row[version]["requests"] for row in rows if version in row)
