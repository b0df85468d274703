"""Gates on metrics of a real Prometheus: a bound that holds, one that does not, and a Prometheus that goes away."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.addons.metrics import URL
from tests.cluster.kit import Manifest, Namespace, moment, pipeline, shell, steps_of
from tests.cluster.prometheus import Prometheus, prometheus

OUTAGE = timedelta(minutes=2)


@pytest.fixture
def prom(namespace: Namespace, tmp_path: Path) -> Iterator[Prometheus]:
    with prometheus(namespace, tmp_path) as made:
        made.lines = 'errors{service="orders"} 0.002\n'
        yield made


def source(url: str, **spec: Any) -> Manifest:
    """A MetricSource."""
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "MetricSource",
        "metadata": {"name": "prom"},
        "spec": {"prometheus": {"address": url}, **spec},
    }


def gate(**metric: Any) -> Manifest:
    """A gate on the share of errors."""
    query = 'errors{service="$(args.service)"}'
    check = {"name": "errors", "metric": {"source": "prom", "query": query, "max": 0.01, "interval": "2s", **metric}}
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "QualityGate",
        "metadata": {"name": "slo"},
        "spec": {"checks": [check]},
    }


def guarded(**use: Any) -> Manifest:
    """check (the gate `slo`) -> publish."""
    step = {"name": "check", "gate": {"name": "slo", "args": {"service": "orders"}, **use}}
    return pipeline("orders", step, shell("publish", dependsOn=["check"]))


def ready(namespace: Namespace) -> tuple[str, str]:
    """Status and reason of the source's condition Ready."""
    conditions = (namespace.get("metricsource", "prom").get("status") or {}).get("conditions") or [{}]
    return conditions[0].get("status", ""), conditions[0].get("reason", "")


def test_a_metric_within_its_bound_lets_the_run_go_on(namespace: Namespace, prom: Prometheus) -> None:
    prom.wait_for('errors{service="orders"}', 0.002)
    namespace.apply(source(prom.url), gate(minSamples=3), guarded())
    status = namespace.ended(namespace.run("orders"))
    check = steps_of(status)["check"]
    assert (status["phase"], check["gate"]["verdict"]) == ("Succeeded", "Pass"), check
    assert check["gate"]["tallies"][0]["conclusive"] == 3
    namespace.wait_for("a source that answers", lambda: ready(namespace) == ("True", "Answers"), seconds=20)


def test_a_metric_beyond_its_bound_stops_the_run_and_says_by_how_much(namespace: Namespace, prom: Prometheus) -> None:
    prom.lines = 'errors{service="orders"} 0.072\n'
    prom.wait_for('errors{service="orders"}', 0.072)
    namespace.apply(source(prom.url), gate(failureLimit={"consecutive": 2}), guarded())
    run = namespace.run("orders")
    status = namespace.ended(run)
    steps = steps_of(status)
    assert (steps["check"]["phase"], steps["check"]["reason"]) == ("Failed", "GateFailed")
    assert "0.072 is not <= 0.01 (3/3)" in steps["check"]["message"]
    assert steps["publish"]["phase"] == "UpstreamFailed"
    assert "errors" in namespace.cli("gate", "show", run).stdout


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "no data"),
        ('errors{service="orders"} NaN\n', "NaN"),
        ('errors{service="orders"} +Inf\n', "Inf"),
        ('errors{service="orders",pod="a"} 0\nerrors{service="orders",pod="b"} 0\n', "2 series"),
    ],
)
def test_what_is_no_evidence_holds_the_run_and_fails_it_at_the_limit(
    namespace: Namespace, prom: Prometheus, lines: str, said: str
) -> None:
    prom.lines = lines + "up_to_date 1\n"
    prom.wait_for("up_to_date", 1)
    hold = {"alertAfter": "1s", "limit": "15s"}
    namespace.apply(source(prom.url), gate(), guarded(hold=hold))
    run = namespace.run("orders")
    status = namespace.ended(run)
    check = steps_of(status)["check"]
    assert (check["phase"], check["reason"]) == ("Failed", "GateUndecided")
    assert said in check["message"]
    assert namespace.event(run, "GateHolding")["type"] == "Warning"


def test_prometheus_stopped_for_two_minutes_holds_alerts_and_goes_on_when_it_is_back(
    namespace: Namespace, prom: Prometheus
) -> None:
    prom.wait_for('errors{service="orders"}', 0.002)
    namespace.apply(source(prom.url), gate(**{"for": "20s"}), guarded(hold={"alertAfter": "30s"}))
    run = namespace.run("orders")
    namespace.in_phase(run, "check", "Running")
    prom.stop()
    namespace.wait_for("the loss to be seen", lambda: held_since(namespace, run), seconds=30)
    namespace.wait_for("the source to be not ready", lambda: ready(namespace) == ("False", "NoAnswer"), seconds=30)
    assert namespace.event(run, "GateHolding", seconds=60)["type"] == "Warning"

    def two_minutes() -> bool:
        step = namespace.step(run, "check")
        assert step["phase"] == "Running", "it neither passes nor fails"
        return datetime.now(UTC) - moment(step["gate"]["heldSince"]) >= OUTAGE

    namespace.wait_for("two minutes without metrics", two_minutes, seconds=180)
    assert namespace.step(run, "check")["reason"] == "GateHolding"
    prom.start()
    status = namespace.ended(run)
    check = steps_of(status)["check"]
    assert (status["phase"], check["gate"]["verdict"]) == ("Succeeded", "Pass"), check
    assert ready(namespace) == ("True", "Answers")
    assert len([row for row in namespace.events(run) if row["reason"] == "GateHolding"]) == 1


def held_since(namespace: Namespace, run: str) -> str | None:
    """Since when a step has been without evidence."""
    found = namespace.step(run, "check").get("gate", {}).get("heldSince")
    return str(found) if found else None


def test_failed_looks_are_on_record_and_a_recovery_within_the_limit_passes(
    namespace: Namespace, prom: Prometheus
) -> None:
    prom.lines = 'errors{service="orders"} 0.072\n'
    prom.wait_for('errors{service="orders"}', 0.072)
    namespace.apply(source(prom.url), gate(interval="5s", failureLimit={"consecutive": 20}), guarded())
    run = namespace.run("orders")

    def counted() -> int | None:
        rows = namespace.step(run, "check").get("gate", {}).get("tallies") or [{}]
        return rows[0].get("inRow")

    namespace.wait_for("two failed looks on record", lambda: (counted() or 0) >= 2)
    prom.lines = 'errors{service="orders"} 0.001\n'
    assert namespace.ended(run)["phase"] == "Succeeded"


def test_credentials_come_from_a_secret_that_the_operator_was_given(namespace: Namespace, prom: Prometheus) -> None:
    prom.wait_for('errors{service="orders"}', 0.002)
    namespace.apply(source(prom.url, bearer={"name": "token", "key": "t"}), gate(), guarded())
    run = namespace.run("orders")
    unreadable = ("False", "CredentialsUnreadable")
    namespace.wait_for("what is missing to be said", lambda: ready(namespace) == unreadable, seconds=30)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"t": "hush-hush"}}
    rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["token"], "verbs": ["get"]}]
    rbac = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "sluice-token"}, "rules": rules}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "sluice-token"},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "sluice-token"},
        "subjects": [{"kind": "ServiceAccount", "name": "sluice", "namespace": "sluice-system"}],
    }
    namespace.apply(secret, role, binding)
    assert namespace.ended(run)["phase"] == "Succeeded"
    assert "hush" not in namespace.kubectl("get", "sluice,events", "-o", "yaml").stdout


def test_a_source_of_the_whole_cluster_is_found_by_its_name_in_the_network(namespace: Namespace) -> None:
    """The development cluster's own Prometheus, which scrapes the operator."""
    name = f"shared-{namespace.name}"
    shared = {**source(URL), "kind": "ClusterMetricSource", "metadata": {"name": name}}
    try:
        namespace.apply(shared, gate(source=name, query="sluice_build_info", min=1, max=1, reduce="max"), guarded())
        status = namespace.ended(namespace.run("orders"))
        assert status["phase"] == "Succeeded", steps_of(status)["check"]
    finally:
        namespace.kubectl("delete", "clustermetricsource", name)
