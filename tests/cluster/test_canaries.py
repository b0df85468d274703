"""Canaries on a real cluster: pods, the Gateway, clients that count, and the proxy's own metrics. Needs the add-on gateway."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.gateway import PARENT
from tests.cluster.installation import Installation
from tests.cluster.kit import BUSYBOX, Namespace
from tests.cluster.prometheus import Prometheus, prometheus
from tests.cluster.rollouts import FAST, SLO, SOURCE, Rollouts, canary, gate, met, served

pytestmark = pytest.mark.gateway


OUTAGE_SECONDS = 300.0


@pytest.fixture
def prom(namespace: Namespace, tmp_path: Path) -> Iterator[Prometheus]:
    with prometheus(namespace, tmp_path) as made:
        made.lines = 'errors{service="pricing"} 0.002\n'
        yield made


@pytest.fixture
def rollouts(namespace: Namespace) -> Rollouts:
    return Rollouts(namespace)


def install(rollouts: Rollouts, drain: str = "5", **spec: Any) -> None:
    rollouts.install(SOURCE, SLO, FAST, canary(**spec), drain=drain)
    rollouts.reaches("Stable", seconds=60)


@pytest.mark.parametrize("drain", ["5", "0"])
async def test_no_request_fails_in_the_canary_of_a_good_version(rollouts: Rollouts, drain: str) -> None:
    """With pods that go on serving while they drain, and with pods that stop at once."""
    install(rollouts, drain)
    route = rollouts.weights()

    def release() -> Any:
        rollouts.release(PRICING_DRAIN=str(int(drain) + 1))
        return rollouts.rests("Promoted")

    status, reports = await rollouts.under_load(release)
    requests, failed = met(reports)
    assert requests > 1500
    assert failed == 0, [report.as_json() for report in reports]
    assert status["stableRevision"]
    assert "candidateRevision" not in status
    assert rollouts.weights() == route, "the route is given back as it was"
    deployment = rollouts.namespace.get("deployment", "pricing")
    assert not deployment["spec"].get("paused")
    assert not rollouts.namespace.all_of("deployments", "sluice.dev/candidate=pricing")


async def test_no_request_fails_in_a_blue_green_switch(rollouts: Rollouts) -> None:
    install(rollouts, canary=None, blueGreen={"watch": "8s", "keepOld": "4s"})

    def release() -> Any:
        rollouts.release(PRICING_DRAIN="6")
        return rollouts.rests("Promoted")

    _, reports = await rollouts.under_load(release)
    requests, failed = met(reports)
    assert requests > 900
    assert failed == 0, [report.as_json() for report in reports]


@pytest.mark.parametrize(("version", "judge", "said"), [("failing", "slo", "error-rate"), ("slow", "fast", "p90")])
async def test_a_bad_version_is_rolled_back_by_itself(rollouts: Rollouts, version: str, judge: str, said: str) -> None:
    steps = {"steps": [{"weight": 50, "hold": "30s"}]}
    install(rollouts, canary=steps, gates=[{"name": judge}])

    def release() -> Any:
        rollouts.release(version)
        return rollouts.rests("GateFailed")

    status, reports = await rollouts.under_load(release)
    assert status["phase"] == "Failed"
    assert said in status["message"]
    assert status["verdict"] == "Fail"
    requests, failed = met(reports)
    print(f"{version}: {served(reports, version)} of {requests} requests met the version, {failed} failed")
    assert failed <= 40
    assert rollouts.load(60).as_json()["versions"].keys() == {"good"}
    column = rollouts.namespace.kubectl("get", "canary", "pricing").stdout
    assert "GateFailed" in column
    assert said in column
    assert rollouts.namespace.event("pricing", "GateFailed")["type"] == "Warning"
    assert rollouts.namespace.get("deployment", "pricing")["spec"]["paused"], "held on the old pods"


def test_a_version_that_crashes_at_start_gets_no_request(rollouts: Rollouts) -> None:
    install(rollouts, progressDeadline="12s")
    rollouts.release("crashing")
    status = rollouts.rests("CandidateNotReady")
    assert status["phase"] == "Failed"
    assert rollouts.load(60).as_json()["versions"].keys() == {"good"}


async def test_a_route_that_is_overwritten_again_and_again_is_put_right(rollouts: Rollouts) -> None:
    install(rollouts)

    def release() -> Any:
        rollouts.release(PRICING_DRAIN="6")
        rollouts.reaches("Stepping")
        for _ in range(3):
            rollouts.namespace.kubectl(
                "patch", "httproute", "pricing", "--type=json", "-p",
                '[{"op":"replace","path":"/spec/rules/0/backendRefs","value":[{"name":"pricing","port":80}]}]',
            )  # fmt: skip
            rollouts.namespace.wait_for(
                "the weights to be back",
                lambda: len(rollouts.weights()) == 2 or rollouts.status()["phase"] == "Stable" or None,
                seconds=10,
            )
        return rollouts.rests("Promoted")

    _, reports = await rollouts.under_load(release)
    assert met(reports)[1] == 0


def test_a_third_revision_begins_anew_and_a_revert_ends_it(rollouts: Rollouts) -> None:
    install(rollouts, canary={"steps": [{"weight": 20, "hold": "10m"}]}, approval={"promotion": "Manual"}, gates=None)
    stable = rollouts.status()["stableRevision"]
    rollouts.release(PRICING_DRAIN="6")
    second = rollouts.reaches("Stepping")
    rollouts.release(PRICING_DRAIN="7")

    def third() -> Any:
        status = rollouts.status()
        anew = status["candidateRevision"] not in (stable, second["candidateRevision"])
        return status if status["phase"] == "Stepping" and anew else None

    status = rollouts.namespace.wait_for("the third revision at the first step", third, seconds=60)
    assert status["round"] == second["round"] + 1
    rollouts.release(PRICING_DRAIN="5")
    status = rollouts.rests("Reverted")
    assert status["weight"] == 0
    assert status["stableRevision"] == stable
    assert [name for name, _ in rollouts.weights()] == ["pricing"]


def test_what_people_ask_for_is_done_and_answered(rollouts: Rollouts) -> None:
    install(rollouts, canary={"steps": [{"weight": 20, "hold": "10m"}]}, approval={"promotion": "Manual"}, gates=None)
    cli, namespace = rollouts.namespace.cli, rollouts.namespace
    rollouts.release(PRICING_DRAIN="6")
    rollouts.reaches("Stepping")
    refused = cli("canary", "retry", "pricing")
    assert refused.returncode == 1
    assert "retry cannot be done in phase Stepping" in refused.stdout + refused.stderr
    cli("canary", "pause", "pricing")
    assert rollouts.status()["paused"]["by"], "the API server knows who asked"
    cli("canary", "resume", "pricing")
    cli("canary", "abort", "pricing")
    status = rollouts.rests("Aborted")
    assert status["phase"] == "Failed"
    assert status["control"]["accepted"]
    namespace.kubectl("annotate", "canary", "pricing", "sluice.dev/control=retry:2", "--overwrite")
    rollouts.reaches("Stepping")
    namespace.kubectl("annotate", "canary", "pricing", "sluice.dev/control=promoteInFull:3", "--overwrite")
    assert rollouts.rests("Promoted")["phase"] == "Stable"


def test_requests_that_match_meet_the_candidate_and_nobody_else_does(rollouts: Rollouts) -> None:
    match = [{"header": {"name": "X-Tester", "value": "yes"}}, {"cookie": {"name": "ring", "value": "early"}}]
    steps = [{"weight": 0, "hold": "10m"}, {"weight": 50, "hold": "10m"}]
    install(rollouts, canary={"match": match, "steps": steps}, approval={"promotion": "Manual"}, gates=None, watch="1s")
    route = rollouts.weights()
    rollouts.release("slow")
    rollouts.reaches("Stepping")

    def tester_meets_it() -> bool | None:
        return set(rollouts.load(1, X_Tester="yes").versions) == {"slow"} or None

    rollouts.namespace.wait_for("the candidate for testers", tester_meets_it, seconds=20)
    assert set(rollouts.load(30, X_Tester="yes").versions) == {"slow"}
    assert set(rollouts.load(30, Cookie="a=b; ring=early").versions) == {"slow"}
    assert set(rollouts.load(30, X_Tester="no").versions) == {"good"}
    # Somebody applies the route as it is in Git: the rule for testers comes back.
    bare = [{"backendRefs": [{"name": "pricing", "port": 80}]}]
    patch = [{"op": "replace", "path": "/spec/rules", "value": bare}]
    rollouts.namespace.kubectl("patch", "httproute", "pricing", "--type=json", "-p", json.dumps(patch))
    rollouts.namespace.wait_for("the candidate for testers, again", tester_meets_it, seconds=20)
    rollouts.namespace.cli("canary", "skip", "pricing")
    rollouts.namespace.wait_for("the weight", lambda: rollouts.status().get("weight") == 50 or None, seconds=30)
    rollouts.namespace.wait_for("testers with it", tester_meets_it, seconds=20)
    assert set(rollouts.load(30, X_Tester="yes").versions) == {"slow"}, "whoever was with the candidate stays with it"
    assert rollouts.namespace.cli("canary", "abort", "pricing").returncode == 0
    rollouts.rests("Aborted")
    assert len(rollouts.rules()) == 1
    assert [name for name, _ in rollouts.weights()] == [name for name, _ in route]
    assert set(rollouts.load(30, X_Tester="yes").versions) == {"good"}


def test_the_candidate_is_autoscaled_by_the_rules_of_the_target(rollouts: Rollouts) -> None:
    """Nothing measures CPU here: of an autoscaler's rules only its bounds act, and the test plays the rest."""
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pricing"}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "prices"},
        "spec": {"scaleTargetRef": ref, "minReplicas": 1, "maxReplicas": 4, "metrics": [cpu]},
    }
    steps = {"steps": [{"weight": 50, "hold": "2s"}]}
    install(rollouts, canary=steps, gates=None, approval={"promotion": "Manual"}, watch="10m")
    namespace = rollouts.namespace
    namespace.apply(autoscaler)
    namespace.kubectl("scale", "deployment/pricing", "--replicas=2")
    namespace.kubectl("rollout", "status", "deployment/pricing", "--timeout=60s")
    rollouts.release(PRICING_DRAIN="6")
    rollouts.reaches("Approving")
    assert namespace.cli("canary", "promote", "pricing").returncode == 0
    rollouts.reaches("Watching")
    copy = namespace.get("hpa", "pricing-candidate")
    assert copy["spec"]["scaleTargetRef"]["name"] == "pricing-candidate"
    assert (copy["spec"]["minReplicas"], copy["spec"]["maxReplicas"], copy["spec"]["metrics"]) == (2, 4, [cpu])
    # All requests are the candidate's: it grows, and the target's autoscaler makes the target small.
    namespace.kubectl("scale", "deployment/pricing-candidate", "--replicas=3")
    namespace.kubectl("rollout", "status", "deployment/pricing-candidate", "--timeout=60s")
    namespace.kubectl("scale", "deployment/pricing", "--replicas=1")
    assert namespace.cli("canary", "promote", "pricing").returncode == 0
    namespace.wait_for("the requests back", lambda: rollouts.status().get("weight") == 0 or None, seconds=90)
    assert namespace.get("deployment", "pricing")["status"]["availableReplicas"] == 3
    rollouts.rests("Promoted")
    namespace.wait_for(
        "the end of the candidate's autoscaler", lambda: len(namespace.all_of("hpa")) == 1 or None, seconds=30
    )


def test_routes_of_both_kinds_have_the_same_weights(rollouts: Rollouts) -> None:
    namespace = rollouts.namespace
    grpc = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GRPCRoute",
        "metadata": {"name": "quotes"},
        "spec": {
            "parentRefs": [PARENT],
            "hostnames": [f"grpc.{rollouts.host}"],
            "rules": [{"backendRefs": [{"name": "pricing", "port": 80}]}],
        },
    }
    namespace.apply(grpc)
    routes = {"gatewayAPI": {"routes": [{"name": "pricing"}, {"kind": "GRPCRoute", "name": "quotes"}]}}
    steps = {"steps": [{"weight": 30, "hold": "10m"}]}
    install(rollouts, routing=routes, canary=steps, approval={"promotion": "Manual"}, gates=None)
    rollouts.release(PRICING_DRAIN="6")

    def weights() -> list[int]:
        backends = namespace.get("grpcroute", "quotes")["spec"]["rules"][0]["backendRefs"]
        return [row.get("weight", 1) for row in backends]

    namespace.wait_for("the weights of the GRPCRoute", lambda: weights() == [70, 30] or None, seconds=60)
    assert [weight for _, weight in rollouts.weights()] == [70, 30]
    assert namespace.cli("canary", "abort", "pricing").returncode == 0
    rollouts.rests("Aborted")
    assert weights() == [1]
    assert [name for name, _ in rollouts.weights()] == ["pricing"]


def test_an_earlier_revision_within_the_window_is_let_in_at_once(rollouts: Rollouts) -> None:
    steps = {"steps": [{"weight": 50, "hold": "2s"}]}
    install(rollouts, canary=steps, gates=None, approval={"promotion": "Manual"}, watch="1s", rollback={"window": 1})
    first = rollouts.status()["stableRevision"]
    rollouts.release(PRICING_DRAIN="6")
    rollouts.reaches("Approving")
    assert rollouts.namespace.cli("canary", "promote", "--full", "pricing").returncode == 0
    rollouts.rests("Promoted")
    assert [row["revision"] for row in rollouts.status()["past"]] == [first]
    rollouts.release(PRICING_DRAIN="5")
    status = rollouts.namespace.wait_for(
        "the earlier revision, without steps and approval",
        lambda: found if (found := rollouts.status())["stableRevision"] == first else None,
        seconds=90,
    )
    assert (status["phase"], status["reason"]) == ("Stable", "Promoted")


def test_copies_are_not_asked_of_a_gateway_that_cannot_make_them(rollouts: Rollouts) -> None:
    """Traefik would answer every request of such a rule with 500."""
    install(rollouts, canary={"steps": [{"weight": 0, "mirror": 20, "hold": "1s"}, {"weight": 50, "hold": "1s"}]})
    rollouts.release(PRICING_DRAIN="6")

    def said() -> Any:
        status = rollouts.status()
        return status if status["reason"] == "RouteNotReady" else None

    status = rollouts.namespace.wait_for("what is lacking", said, seconds=30)
    assert status["phase"] == "Holding"
    assert "does not claim to support HTTPRouteRequestMirror, HTTPRouteRequestPercentageMirror" in status["message"]
    assert len(rollouts.rules()) == 1
    assert rollouts.load(30).as_json()["failed"] == 0


def test_a_load_test_ends_with_the_rollout_that_it_belongs_to(rollouts: Rollouts) -> None:
    namespace = rollouts.namespace
    container = {
        "name": "load",
        "image": BUSYBOX,
        "command": ["sleep", "600"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    user = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"containers": [container], "securityContext": user, "terminationGracePeriodSeconds": 0}
    hook = {"name": "load", "at": "BeforeStep", "job": {"template": {"spec": pod}}}
    install(rollouts, hooks=[hook], gates=None, approval={"promotion": "Manual"})
    rollouts.release(PRICING_DRAIN="6")
    (first,) = namespace.wait_for("the load test", lambda: namespace.all_of("jobs"), seconds=60)
    rollouts.release(PRICING_DRAIN="7")  # another revision before the first one is through

    def replaced() -> bool:
        jobs = namespace.all_of("jobs")
        return len(jobs) == 1 and jobs[0]["metadata"]["uid"] != first["metadata"]["uid"]

    namespace.wait_for("the load test of the other revision alone", replaced, seconds=60)
    assert namespace.cli("canary", "abort", "pricing").returncode == 0
    rollouts.rests("Aborted")
    namespace.wait_for("the end of the load test", lambda: not namespace.all_of("jobs"), seconds=30)


def test_a_changed_config_is_a_new_revision_and_reaches_every_pod(rollouts: Rollouts) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prices"}, "data": {"apple": "1"}}
    rollouts.namespace.apply(config)
    steps = {"steps": [{"weight": 50, "hold": "2s"}]}
    install(
        rollouts,
        canary=steps,
        gates=None,
        approval={"promotion": "Manual"},
        watch="2s",
        configs=[{"kind": "ConfigMap", "name": "prices"}],
    )
    stable = rollouts.status()["stableRevision"]
    rollouts.namespace.apply({**config, "data": {"apple": "2"}})
    rollouts.reaches("Approving", seconds=60)
    assert rollouts.namespace.get("deployment", "pricing")["spec"]["paused"]
    assert rollouts.namespace.cli("canary", "promote", "pricing").returncode == 0
    status = rollouts.rests("Promoted")
    assert status["stableRevision"] != stable
    template = rollouts.namespace.get("deployment", "pricing")["spec"]["template"]
    assert template["metadata"]["annotations"]["sluice.dev/configs"]
    pods = rollouts.namespace.all_of("pods", "app.kubernetes.io/name=pricing")
    live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert all("sluice.dev/configs" in pod["metadata"]["annotations"] for pod in live)


def test_a_canary_waits_for_those_that_it_depends_on(rollouts: Rollouts) -> None:
    manual = {"gates": None, "approval": {"promotion": "Manual"}, "canary": {"steps": [{"weight": 20, "hold": "2s"}]}}
    rollouts.install(SOURCE, SLO, canary(**manual, dependsOn=[{"name": "base"}]))
    rollouts.reaches("Stable", seconds=60)
    rollouts.release(PRICING_DRAIN="6")

    def waits() -> Any:
        status = rollouts.status()
        return status if status["reason"] == "DependencyNotStable" else None

    status = rollouts.namespace.wait_for("the dependency to be named", waits, seconds=30)
    assert "base" in status["message"]
    rollouts.namespace.kubectl(
        "patch", "canary", "pricing", "--type=merge", "-p", '{"spec":{"dependsOn":null}}'
    )  # fmt: skip
    rollouts.reaches("Approving", seconds=60)


@pytest.mark.parametrize("cascade", ["background", "foreground"])
async def test_a_canary_that_is_deleted_gives_everything_back_and_no_request_is_lost(
    rollouts: Rollouts, cascade: str
) -> None:
    """In the foreground, as Argo CD prunes, Kubernetes deletes at once what nobody but the Canary owns."""
    install(rollouts, canary={"steps": [{"weight": 20, "hold": "10m"}]}, approval={"promotion": "Manual"}, gates=None)
    route = rollouts.weights()
    rollouts.release(PRICING_DRAIN="6")
    rollouts.reaches("Stepping")
    rollouts.namespace.wait_for("the weight", lambda: dict(rollouts.weights()).get("pricing-candidate") == 20 or None)

    def leave() -> None:
        rollouts.namespace.kubectl("delete", "canary", "pricing", f"--cascade={cascade}", "--timeout=90s")

    _, reports = await rollouts.under_load(leave)
    requests, failed = met(reports)
    assert requests > 0
    assert failed == 0, reports
    names = [row["metadata"]["name"] for kind in ("deployments", "services") for row in rollouts.namespace.all_of(kind)]
    assert names == ["pricing", "pricing"]
    assert rollouts.weights() == route or [name for name, _ in rollouts.weights()] == ["pricing"]
    deployment = rollouts.namespace.get("deployment", "pricing")
    assert "sluice.dev/canary" not in (deployment["metadata"].get("labels") or {})
    assert "sluice.dev/held" not in (deployment["metadata"].get("annotations") or {})
    assert not deployment["spec"].get("paused")
    rollouts.namespace.kubectl("rollout", "status", "deployment/pricing", "--timeout=90s")


def test_what_is_in_the_way_is_said(rollouts: Rollouts) -> None:
    rollouts.install(SOURCE, SLO, FAST, canary())
    rollouts.reaches("Stable", seconds=60)
    broad = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "everything"},
        "spec": {"selector": {"team": "quotes"}, "ports": [{"port": 80}]},
    }
    rollouts.namespace.apply(broad)
    label = '{"spec":{"template":{"metadata":{"labels":{"team":"quotes"}}}}}'
    rollouts.namespace.kubectl("patch", "deployment", "pricing", "-p", label)

    def said() -> Any:
        status = rollouts.status()
        return status if status["reason"] == "ServiceUnsuitable" else None

    status = rollouts.namespace.wait_for("the Service to be named", said, seconds=30)
    assert status["phase"] == "Holding"
    assert '"everything"' in status["message"]
    rollouts.namespace.kubectl("delete", "service", "everything")
    rollouts.reaches("Preparing", "Stepping", seconds=30)


@pytest.mark.parametrize("strategy", ["canary", "blueGreen"])
async def test_the_operator_is_killed_in_every_phase_and_nobody_notices(
    rollouts: Rollouts, operator: Installation, strategy: str
) -> None:
    own = {"canary": None, "blueGreen": {"watch": "10s"}} if strategy == "blueGreen" else {}
    phases = ["Preparing", "Stepping", "Watching", "Promoting", "Returning"]
    install(rollouts, **own)

    def release() -> Any:
        rollouts.release(PRICING_DRAIN="6")
        weights: list[int] = []
        for phase in phases:
            # A phase may be over before it is seen; the operator is then killed in the next.
            later = phases[phases.index(phase) :]
            weights.append(rollouts.reaches(*later, "Stable", seconds=90).get("weight", 0))
            operator.kill("--force", "--grace-period=0")
        return rollouts.rests("Promoted"), weights

    (status, weights), reports = await rollouts.under_load(release)
    assert status["round"] == 1, "begun once"
    rising = weights[: weights.index(max(weights)) + 1]
    assert rising == sorted(rising)
    assert met(reports)[1] == 0, [report.as_json() for report in reports]


def test_without_a_router_the_share_of_pods_is_the_share_of_requests(rollouts: Rollouts) -> None:
    """The Service picks the pods of both versions by their labels."""
    steps = {"steps": [{"weight": 50, "hold": "10m"}]}
    install(rollouts, routing={"replicas": {}}, canary=steps, approval={"promotion": "Manual"}, gates=None)
    rollouts.release(PRICING_DRAIN="6")
    status = rollouts.reaches("Stepping")
    seen = rollouts.namespace.wait_for(
        "half of the pods", lambda: rollouts.status() if rollouts.status().get("weight") == 50 else None, seconds=30
    )
    assert seen["candidateRevision"] == status["candidateRevision"]

    def candidates() -> int | None:
        found = rollouts.namespace.get("endpoints", "pricing").get("subsets") or [{}]
        return len(found[0].get("addresses") or ()) if len(found[0].get("addresses") or ()) == 4 else None

    rollouts.namespace.wait_for("two pods of each version behind the Service", candidates, seconds=30)
    rollouts.namespace.cli("canary", "promote", "--full", "pricing")
    assert rollouts.rests("Promoted")["phase"] == "Stable"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"canary": {"steps": [{"weight": 101}]}}, "spec.canary.steps[0].weight"),
        ({"canary": {"steps": [{"weight": 50}, {"weight": 20}]}}, "weights have to rise"),
        ({"gates": None}, "without a gate nothing could stop a bad version"),
        ({"routing": {}}, "exactly one of gatewayAPI, replicas is needed"),
    ],
)
def test_a_canary_that_cannot_work_is_refused(namespace: Namespace, spec: dict[str, Any], said: str) -> None:
    refused = namespace.apply(canary(**spec), check=False)
    assert refused.returncode != 0
    assert said in refused.stderr


def test_one_target_has_one_canary(namespace: Namespace) -> None:
    namespace.apply(canary())
    other = canary()
    other["metadata"]["name"] = "another"
    refused = namespace.wait_for(
        "the second to be refused",
        lambda: done.stderr if (done := namespace.apply(other, check=False)).returncode else None,
        seconds=20,
    )
    assert 'is the target of Canary "pricing" already' in refused
    moved = canary(target={"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"})
    assert "cannot be changed" in namespace.apply(moved, check=False).stderr


@pytest.mark.long
async def test_metrics_that_are_away_hold_the_weight_raise_an_alert_and_promote_when_they_are_back(
    rollouts: Rollouts, prom: Prometheus
) -> None:
    prom.wait_for('errors{service="pricing"}', 0.002)
    source = {"prometheus": {"address": prom.url}}
    metric = {"source": "own", "query": 'errors{service="pricing"}', "max": 0.01, "interval": "2s"}
    rollouts.install(
        {**SOURCE, "metadata": {"name": "own"}, "spec": source},
        gate("errors", {"name": "errors", "metric": metric}),
        canary(
            gates=[{"name": "errors"}],
            canary={"steps": [{"weight": 30, "hold": "20s"}]},
            analysis={"onNoEvidence": {"limit": "15s"}},
        ),
    )
    rollouts.reaches("Stable", seconds=60)
    rollouts.release(PRICING_DRAIN="6")
    rollouts.namespace.wait_for("the weight", lambda: rollouts.status().get("weight") == 30 or None, seconds=60)
    prom.stop()
    assert rollouts.namespace.event("pricing", "NoEvidence", seconds=90)["type"] == "Warning"
    await asyncio.sleep(OUTAGE_SECONDS)
    status = rollouts.status()
    assert (status["phase"], status["weight"]) == ("Stepping", 30), "neither on nor back"
    assert status["reason"] == "NoEvidence"
    prom.start()
    assert rollouts.rests("Promoted")["phase"] == "Stable"


def test_a_target_that_does_not_exist_is_waited_for(namespace: Namespace) -> None:
    namespace.apply(SOURCE, SLO, FAST, canary())
    found = namespace.wait_for(
        "the target to be missed",
        lambda: (namespace.get("canary", "pricing").get("status") or {}).get("message"),
        seconds=20,
    )
    assert found == 'there is no Deployment "pricing"'
