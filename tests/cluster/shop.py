"""A shop whose releases are commits: its manifests as they are kept in Git with Argo CD."""

from tests.cluster.argo import Application
from tests.cluster.gateway import PARENT, http_route, speaker
from tests.cluster.kit import Manifest, Namespace
from tests.cluster.prometheus import Prometheus

RESPECT = "RespectIgnoreDifferences=true"
"""A sync leaves alone what is not compared: the weights."""


def target(word: str) -> Manifest:
    """The Deployment, in a version that answers with a word."""
    (deployment, _) = speaker("pricing")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["command"][-1] = container["command"][-1].replace("echo pricing", f"echo {word}")
    deployment["spec"]["replicas"] = 1
    return deployment


def from_commit(word: str, commit: str, repository: str = "") -> Manifest:
    """The same, saying itself which commit it is from, as without Argo CD."""
    made = target(word)
    stated = {"sluice.dev/commit": commit, "sluice.dev/repository": repository}
    made["metadata"]["annotations"] = {key: text for key, text in stated.items() if text}
    return made


def canary(**spec: object) -> Manifest:
    """A Canary of one step; `spec` in the words of the manifest."""
    fields = {
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pricing"},
        "routing": {"gatewayAPI": {"routes": [{"name": "pricing"}]}},
        "canary": {"steps": [{"weight": 50, "hold": "2s"}]},
        "watch": "2s",
        **spec,
    }
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "pricing"},
        "spec": fields,
    }


def shop(namespace: Namespace) -> list[Manifest]:
    """What the Canary is about and never changes: a Service, and a route that names both backends.

    The route states what the API server would fill in within its lists, or Argo CD took that for differences.
    """
    kind = {"group": "", "kind": "Service"}
    backends = [
        {**kind, "name": "pricing", "port": 80, "weight": 100},
        {**kind, "name": "pricing-candidate", "port": 80, "weight": 0},
    ]
    every = [{"path": {"type": "PathPrefix", "value": "/"}}]
    route = http_route("pricing", {"matches": every, "backendRefs": backends}, host=f"{namespace.name}.local")
    route["spec"]["parentRefs"] = [{"group": "gateway.networking.k8s.io", "kind": "Gateway", **PARENT}]
    return [speaker("pricing")[1], route]


def preview(namespace: Namespace) -> Manifest:
    """A route `preview` of its own host, which leads to the candidate while it is looked at before the switch."""
    route = shop(namespace)[1]
    route["metadata"]["name"] = "preview"
    route["spec"]["hostnames"] = [f"preview.{namespace.name}.local"]
    return route


def evidence_of(prom: Prometheus) -> list[Manifest]:
    """A source, and the gate `slo`: fewer than one error in a hundred."""
    judge = {"source": "prom", "query": "errors", "max": 0.01, "interval": "500ms"}
    return [
        {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "MetricSource",
            "metadata": {"name": "prom"},
            "spec": {"prometheus": {"address": prom.url}},
        },
        {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "QualityGate",
            "metadata": {"name": "slo"},
            "spec": {"checks": [{"name": "errors", "metric": judge}]},
        },
    ]


def canary_status(namespace: Namespace) -> Manifest:
    """The status of the Canary; {} before it has one."""
    return dict(namespace.get("canary", "pricing").get("status") or {})


def written_back(namespace: Namespace, seconds: float = 90) -> Manifest:
    """What came of the write-back, once it has ended."""

    def look() -> Manifest | None:
        record: Manifest = canary_status(namespace).get("writeBack") or {}
        return record if record.get("state") in ("Pushed", "NotNeeded", "Failed") else None

    return namespace.wait_for("the end of the write-back", look, seconds=seconds)


def stands(app: Application, namespace: Namespace, phase: str, health: str, says: str = "") -> None:
    """Wait until the Canary is in a phase, and has a health and a message with this part."""

    def look() -> bool:
        told, message = app.health_of("Canary", "pricing")
        there = (namespace.get("canary", "pricing").get("status") or {}).get("phase")
        seen.append((there, told, message))
        return (there, told) == (phase, health) and says in message

    seen: list[tuple[str, str, str]] = []
    try:
        namespace.wait_for(f"{phase}, {health}, {says}", look, seconds=150)
    finally:
        print(phase, list(dict.fromkeys(seen)))  # shown when the test fails
