"""Canaries of gRPC services: GRPCRoutes behind Traefik, and clients that call. Needs the add-on gateway."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from dev.cluster.images import GRPC_CALLER
from tests.cluster.gateway import PARENT, Gateway
from tests.cluster.kit import Manifest, Namespace

pytestmark = pytest.mark.gateway

CALLS = 400
PAUSE = 0.005
NAMES = {"app": "quotes"}


def service_of(version: str) -> list[Manifest]:
    """A Deployment of the gRPC service, its Service, and its route."""
    container = {
        "name": "quotes",
        "image": GRPC_CALLER,
        "args": ["serve", f"-version={version}"],
        "ports": [{"name": "grpc", "containerPort": 8080}],
        "readinessProbe": {"grpc": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    user = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    template = {"metadata": {"labels": NAMES}, "spec": {"containers": [container], "securityContext": user}}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "quotes"},
            "spec": {"replicas": 2, "selector": {"matchLabels": NAMES}, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "quotes"},
            "spec": {
                "selector": NAMES,
                "ports": [{"name": "grpc", "port": 80, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"}],
            },
        },
    ]


def route(host: str) -> Manifest:
    """Calls of the health check."""
    method = {"service": "grpc.health.v1.Health", "method": "Check"}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GRPCRoute",
        "metadata": {"name": "quotes"},
        "spec": {
            "parentRefs": [PARENT],
            "hostnames": [host],
            "rules": [{"matches": [{"method": method}], "backendRefs": [{"name": "quotes", "port": 80}]}],
        },
    }


class Calls:
    """A client that goes on calling until it is stopped, round after round."""

    def __init__(self, gateway: Gateway, host: str) -> None:
        self._words = ["grpc-caller", "call", f"-address={gateway.address}:{gateway.port}", f"-authority={host}"]

    def start(self, count: int = CALLS, pause: float = PAUSE) -> "subprocess.Popen[str]":
        """Begin so many calls."""
        words = [*self._words, f"-count={count}", f"-pause={pause}s"]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def made(self, count: int = CALLS) -> dict[str, int]:
        """Answers by version, errors by their text."""
        return answers(self.start(count))


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[str]"]]:
    """Clients that a test has started; none outlives it."""
    clients: list[subprocess.Popen[str]] = []
    yield clients
    for client in clients:
        client.kill()
        client.wait()


def answers(client: "subprocess.Popen[str]") -> dict[str, int]:
    """What a client has counted, once it is through."""
    out, err = client.communicate(timeout=300)
    assert client.returncode == 0, err
    counted: dict[str, int] = json.loads(out)
    return counted


def test_calls_are_divided_and_none_fails(namespace: Namespace, started: list["subprocess.Popen[str]"]) -> None:
    host = f"grpc.{namespace.name}.local"
    canary = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "quotes"},
        "spec": {
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "quotes"},
            "routing": {"gatewayAPI": {"routes": [{"kind": "GRPCRoute", "name": "quotes"}]}},
            "canary": {"steps": [{"weight": 25, "hold": "10m"}, {"weight": 50, "hold": "2s"}]},
            "approval": {"promotion": "Manual"},
            "watch": "2s",
        },
    }
    namespace.apply(*service_of("old"), route(host))
    namespace.kubectl("rollout", "status", "deployment/quotes", "--timeout=90s")
    calls = Calls(Gateway.find(namespace), host)
    namespace.wait_for("an answer through the Gateway", lambda: calls.made(1).get("old"), seconds=60)
    namespace.apply(canary)
    before = namespace.get("grpcroute", "quotes")["spec"]["rules"]

    def status() -> Any:
        return namespace.get("canary", "quotes").get("status") or {}

    def is_in(phase: str) -> None:
        namespace.wait_for(f"phase {phase}", lambda: status().get("phase") == phase or None, seconds=90)

    is_in("Stable")
    throughout = calls.start(count=1_000_000)
    started.append(throughout)
    namespace.apply(service_of("new")[0])
    namespace.wait_for("calls to the new version", lambda: calls.made(20).get("new"), seconds=60)
    counted = calls.made()
    assert counted.keys() == {"old", "new"}
    assert counted["new"] == pytest.approx(CALLS * 0.25, abs=CALLS * 0.02), (
        "a gateway that divides by weight, call by call"
    )
    assert namespace.cli("canary", "skip", "quotes").returncode == 0
    is_in("Approving")
    assert namespace.cli("canary", "promote", "quotes").returncode == 0
    is_in("Stable")
    assert status()["reason"] == "Promoted"
    throughout.terminate()
    counted = answers(throughout)
    assert counted.keys() == {"old", "new"}, "no call failed"
    assert calls.made() == {"new": CALLS}
    assert namespace.get("grpcroute", "quotes")["spec"]["rules"] == before
