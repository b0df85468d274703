"""What cluster tests say of the operator itself: its pod, its metrics, its restarts."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.kit import OPERATOR_NAMESPACE, Manifest, Namespace

DEPLOYMENT = "deployment/sluice"
LEASE = "sluice"
SELECTOR = "app.kubernetes.io/name=sluice,app.kubernetes.io/instance=sluice"
ACCOUNT = f"system:serviceaccount:{OPERATOR_NAMESPACE}:sluice"


@dataclass(frozen=True)
class Installation:
    """The operator as its chart installed it."""

    namespace: Namespace

    def pod(self) -> Manifest:
        """Its pod, once there is exactly one and it is ready."""

        def look() -> Manifest | None:
            pods = self.namespace.all_of("pods", SELECTOR)
            conditions = pods[0].get("status", {}).get("conditions", ()) if len(pods) == 1 else ()
            ready = any(row["type"] == "Ready" and row["status"] == "True" for row in conditions)
            return pods[0] if ready and "deletionTimestamp" not in pods[0]["metadata"] else None

        return self.namespace.wait_for("the operator", look)

    def kill(self, *options: str) -> None:
        """Delete its pod, with the options of `kubectl delete`, and wait until another one is ready."""
        name = self.pod()["metadata"]["name"]
        self.namespace.kubectl("delete", "pod", name, "--wait=false", *options)
        self.namespace.wait_for("another pod", lambda: self.pod()["metadata"]["name"] != name)

    @contextmanager
    def down(self) -> Iterator[None]:
        """No operator for a while."""
        self.namespace.kubectl("scale", DEPLOYMENT, "--replicas=0")
        try:
            self.namespace.wait_for(
                "the end of the operator", lambda: not self.namespace.all_of("pods", SELECTOR) or None
            )
            yield
        finally:
            self.namespace.kubectl("scale", DEPLOYMENT, "--replicas=1")
            self.pod()

    @contextmanager
    def patched(self, **pod_spec: Any) -> Iterator[None]:
        """The operator with a strategic merge patch of its pod's spec; at the end as before."""
        before = self.namespace.get(*DEPLOYMENT.split("/"))["spec"]["template"]
        self._template("strategic", {"spec": {"template": {"spec": pod_spec}}})
        try:
            yield
        finally:
            self._template("json", [{"op": "replace", "path": "/spec/template", "value": before}])

    def _template(self, kind: str, patch: Any) -> None:
        self.namespace.kubectl("patch", DEPLOYMENT, f"--type={kind}", "-p", json.dumps(patch))
        self.namespace.kubectl("rollout", "status", DEPLOYMENT, "--timeout=120s")
        self.pod()

    def python(self, script: str) -> str:
        """What a Python program in its container prints."""
        return self.namespace.kubectl("exec", DEPLOYMENT, "--", "python", "-c", script).stdout

    def http(self, path: str) -> str:
        """What it answers on its metrics port, through the API server's proxy."""
        service = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/services/sluice-metrics:metrics/proxy"
        return self.namespace.kubectl("get", "--raw", f"{service}{path}").stdout

    def metrics(self) -> dict[str, Metric]:
        """Its metrics by name."""
        return {family.name: family for family in text_string_to_metric_families(self.http("/metrics"))}

    def value(self, sample: str, **labels: str) -> float:
        """The sum of the samples of this name whose labels are at least these; 0 when there is none."""
        return sum(
            row.value
            for family in self.metrics().values()
            for row in family.samples
            if row.name == sample and labels.items() <= row.labels.items()
        )

    def authorities(self) -> list[bytes]:
        """What the API server trusts of each of its webhooks: certificates in PEM, the newest last.

        A webhook that came with an upgrade does not know the older ones.
        """
        begin = b"-----BEGIN"
        known = [
            [begin + block for block in base64.b64decode(webhook["clientConfig"]["caBundle"]).split(begin)[1:]]
            for kind in ("validatingwebhookconfiguration", "mutatingwebhookconfiguration")
            for webhook in self.namespace.get(kind, "sluice")["webhooks"]
        ]
        return [certificate for certificate in known[0] if all(certificate in bundle for bundle in known)]
