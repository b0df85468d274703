"""Requests through the Gateway of the add-on, and small services behind it that say who they are."""

import http.client
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from tests.cluster.kit import BUSYBOX, Manifest, Namespace

PARENT = {"name": "sluice-gateway", "namespace": "sluice-gateway"}
"""The Gateway of the add-on gateway, Traefik."""
MIRRORING = {"name": "sluice-envoy", "namespace": "sluice-envoy"}
"""The Gateway of the add-on envoy."""


@dataclass(frozen=True)
class Gateway:
    """Where a Gateway listens."""

    address: str
    port: int

    @classmethod
    def find(cls, namespace: Namespace, parent: Mapping[str, str] = PARENT) -> "Gateway":
        """The Gateway of an add-on. Fails where it is not up."""
        words = ("get", "gateway", "-n", parent["namespace"], parent["name"], "-o", "json")
        found = namespace.kubectl(*words, check=False)
        if found.returncode != 0:
            addon = parent["name"].removeprefix("sluice-")
            pytest.fail(f"the add-on {addon} is not up (python3 -m dev.cluster up --addons {addon}): {found.stderr}")
        gateway = json.loads(found.stdout)
        return cls(gateway["status"]["addresses"][0]["value"], gateway["spec"]["listeners"][0]["port"])

    def ask(self, host: str, count: int = 1, path: str = "/", **headers: str) -> Counter[str]:
        """Answers to so many requests, one after the other on one connection, by body; else by status."""
        answers: Counter[str] = Counter()
        connection = http.client.HTTPConnection(self.address, self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for _ in range(count):
            connection.request("GET", path, headers={"Host": host, **named})
            answer = connection.getresponse()
            body = answer.read().decode().strip()
            answers[body if answer.status == 200 else str(answer.status)] += 1
        connection.close()
        return answers


def speaker(name: str) -> list[Manifest]:
    """A Deployment of one pod that answers every request with its name, and its Service."""
    labels = {"app": name}
    script = f"mkdir -p /tmp/www && echo {name} > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "automountServiceAccountToken": False,
                        "terminationGracePeriodSeconds": 1,
                        "securityContext": {
                            "runAsNonRoot": True,
                            "runAsUser": 65532,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [
                            {
                                "name": "httpd",
                                "image": BUSYBOX,
                                "command": ["sh", "-c", script],
                                "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                                "securityContext": {
                                    "allowPrivilegeEscalation": False,
                                    "capabilities": {"drop": ["ALL"]},
                                },
                                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                            }
                        ],
                        "volumes": [{"name": "tmp", "emptyDir": {}}],
                    },
                },
            },
        },
        service(name, app=name),
    ]


def service(name: str, *, app: str) -> Manifest:
    """A Service on port 80 for the pods of a speaker."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


def http_route(name: str, *rules: Manifest, host: str) -> Manifest:
    """An HTTPRoute at the Gateway of the add-on."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {"parentRefs": [PARENT], "hostnames": [host], "rules": list(rules)},
    }
