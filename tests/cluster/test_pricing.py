"""The pricing example as its manifests install it, behind the Gateway, under load. Needs the add-on gateway."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from pricing.load import Load, Report, run

from dev import demo
from tests.cluster.gateway import Gateway
from tests.cluster.kit import ROOT, Manifest, Namespace

pytestmark = pytest.mark.gateway

EXAMPLE = ROOT / "examples" / "pricing"


@pytest.fixture
def host(namespace: Namespace) -> str:
    """The example in a namespace, answering; the host name of its route."""
    documents = [
        manifest(EXAMPLE / name) for name in yaml.safe_load((EXAMPLE / "kustomization.yaml").read_text())["resources"]
    ]
    for document in documents:
        if document["kind"] == "Deployment":
            document["spec"]["template"]["spec"]["containers"][0]["image"] = demo.images()["example-pricing"]
        if document["kind"] == "HTTPRoute":
            document["spec"]["hostnames"] = [f"{namespace.name}.local"]
    namespace.apply(*documents)
    namespace.kubectl("rollout", "status", "deployment/pricing", "--timeout=90s")
    found = f"{namespace.name}.local"
    gateway = Gateway.find(namespace)
    namespace.wait_for(
        "an answer through the Gateway", lambda: gateway.ask(found, path="/live")['{"live": true}'] or None, seconds=30
    )
    return found


def manifest(file: Path) -> Manifest:
    found: Manifest = yaml.safe_load(file.read_text())
    return found


def load(namespace: Namespace, host: str, **more: Any) -> Report:
    gateway = Gateway.find(namespace)
    return run(Load(f"http://{gateway.address}:{gateway.port}/quote?item=apple&item=pear", host=host, **more))


async def test_no_request_fails_while_all_pods_are_replaced(namespace: Namespace, host: str) -> None:
    sending = asyncio.create_task(asyncio.to_thread(load, namespace, host, requests=1200, seconds=20, rate=60))
    await asyncio.to_thread(namespace.kubectl, "rollout", "restart", "deployment/pricing")
    await asyncio.to_thread(namespace.kubectl, "rollout", "status", "deployment/pricing", "--timeout=90s")
    report = (await sending).as_json()
    print(report)
    assert report["requests"] == 1200
    assert report["failed"] == 0, report


def test_one_request_in_twenty_fails_at_the_client_too(namespace: Namespace, host: str) -> None:
    namespace.kubectl("set", "env", "deployment/pricing", "PRICING_VERSION=failing")
    namespace.kubectl("rollout", "status", "deployment/pricing", "--timeout=90s")
    namespace.wait_for(
        "the failing version alone",
        lambda: set(load(namespace, host, requests=20, rate=200).versions) == {"failing"} or None,
        seconds=30,
    )
    report = load(namespace, host, requests=400, rate=200)
    assert abs(report.total.failures["500"] - 20) <= 2


def test_a_leaking_version_is_killed_for_its_memory(namespace: Namespace, host: str) -> None:
    namespace.kubectl("scale", "deployment/pricing", "--replicas=1")
    namespace.kubectl("set", "env", "deployment/pricing", "PRICING_VERSION=leaking")
    namespace.kubectl("rollout", "status", "deployment/pricing", "--timeout=90s")

    def killed() -> bool | None:
        load(namespace, host, requests=100, rate=200, timeout=2.0)
        pods = namespace.all_of("pods", "app.kubernetes.io/name=pricing")
        states = [row for pod in pods for row in pod["status"].get("containerStatuses", ())]
        return any(row["lastState"].get("terminated", {}).get("reason") == "OOMKilled" for row in states) or None

    namespace.wait_for("OOMKilled", killed, seconds=60)
