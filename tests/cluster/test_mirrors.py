"""Canaries behind a second Gateway, Envoy Gateway, which makes copies of requests. Needs the add-ons envoy and metrics."""

import re
from typing import Any

import pytest

from tests.cluster.gateway import MIRRORING
from tests.cluster.kit import Manifest, Namespace
from tests.cluster.rollouts import Rollouts, canary, gate, met, served

pytestmark = pytest.mark.gateway

SOURCE: Manifest = {
    "apiVersion": "sluice.dev/v1alpha1",
    "kind": "MetricSource",
    "metadata": {"name": "prometheus"},
    "spec": {"prometheus": {"address": "http://prometheus.sluice-metrics.svc:9090"}},
}
REQUESTS = 'pricing_requests_total{namespace="$(canary.namespace)", pod=~"$(canary.candidate)-.+"'
ERRORS = f'(sum(rate({REQUESTS}, code=~"5.."}}[5s])) or vector(0)) / sum(rate({REQUESTS}}}[5s]))'
"""As the candidate's pods count them: copies too."""
SLO = gate(
    "slo", {"name": "error-rate", "metric": {"source": "prometheus", "query": ERRORS, "max": 0.02, "interval": "500ms"}}
)


@pytest.fixture
def rollouts(namespace: Namespace) -> Rollouts:
    return Rollouts(namespace, MIRRORING)


def install(rollouts: Rollouts, *steps: Manifest, drain: str = "5") -> None:
    rollouts.install(SOURCE, SLO, canary(canary={"steps": list(steps)}), drain=drain)
    rollouts.reaches("Stable", seconds=60)


def answered(namespace: Namespace) -> int:
    """Requests that the candidate's pods have answered, copies included."""
    total = 0.0
    for pod in namespace.all_of("pods", "sluice.dev/candidate=pricing"):
        path = f"/api/v1/namespaces/{namespace.name}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
        found = namespace.kubectl("get", "--raw", path, check=False).stdout
        total += sum(float(number) for number in re.findall(r"^pricing_requests_total{.*} (\S+)$", found, re.M))
    return int(total)


@pytest.mark.parametrize("drain", ["5", "0"])
async def test_the_candidate_gets_copies_before_it_gets_requests(rollouts: Rollouts, drain: str) -> None:
    """And no request fails until it is promoted, with pods that go on serving while they drain and with pods that do not."""
    install(rollouts, {"weight": 0, "mirror": 50, "hold": "10m"}, {"weight": 50, "hold": "5s"}, drain=drain)
    before, namespace = rollouts.rules(), rollouts.namespace

    def release() -> Any:
        rollouts.release(PRICING_DRAIN=str(int(drain) + 1))
        namespace.wait_for("the first copies", lambda: answered(namespace) > 0 or None, seconds=60)
        return rollouts.status()

    status, reports = await rollouts.under_load(release)
    assert (status["phase"], status["weight"], status["mirror"]) == ("Stepping", 0, 50), status["message"]
    (rule,) = rollouts.rules()
    assert [one["requestMirror"]["backendRef"]["name"] for one in rule["filters"]] == ["pricing-candidate"]

    known, sent = answered(namespace), 1000
    reports.append(rollouts.load(sent, 100))
    assert 0.4 < (answered(namespace) - known) / sent < 0.6

    def promote() -> Any:
        assert namespace.cli("canary", "skip", "pricing").returncode == 0
        return rollouts.rests("Promoted")

    _, more = await rollouts.under_load(promote)
    requests, failed = met([*reports, *more])
    assert requests > 2000
    assert failed == 0, [report.as_json() for report in (*reports, *more)]
    assert rollouts.rules() == before, "the route is given back as it was"


async def test_a_version_that_fails_on_copies_never_answers_a_request(rollouts: Rollouts) -> None:
    install(rollouts, {"weight": 0, "mirror": 100, "hold": "60s"}, {"weight": 50, "hold": "5s"})
    before = rollouts.rules()

    def release() -> Any:
        rollouts.release("failing")
        return rollouts.rests("GateFailed")

    status, reports = await rollouts.under_load(release)
    requests, failed = met(reports)
    assert requests > 300
    assert (failed, served(reports, "failing")) == (0, 0), [report.as_json() for report in reports]
    assert "error-rate" in status["message"]
    assert rollouts.rules() == before
