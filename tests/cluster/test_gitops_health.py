"""What Argo CD says of states that do not come by in a release that goes well. Needs the add-ons argocd and gateway."""

import json
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.addons.argocd import NAMESPACE
from tests.cluster.argo import Application, Repository, application
from tests.cluster.installation import ACCOUNT
from tests.cluster.kit import HELD, OUTAGE, Manifest, Namespace, pipeline, shell
from tests.cluster.prometheus import Prometheus
from tests.cluster.shop import RESPECT, canary, evidence_of, preview, shop, stands, target
from tests.cluster.test_hooks import template

pytestmark = [pytest.mark.argocd, pytest.mark.gateway]

GOOD, BAD = "errors 0.002\n", "errors 0.5\n"


def slow(word: str) -> Manifest:
    """A version whose pods count as available a while after they are ready, so that its roll-out can be seen."""
    made = target(word)
    made["spec"]["minReadySeconds"] = 4
    return made


def let_hook_end(namespace: Namespace) -> None:
    """Let the newest Job of a hook end well."""

    def pod() -> str | None:
        jobs = {row["metadata"]["name"]: row["metadata"]["creationTimestamp"] for row in namespace.all_of("jobs")}
        newest = max(jobs, key=lambda name: jobs[name], default="")
        pods = namespace.all_of("pods", f"job-name={newest}") if newest else []
        return next((str(row["metadata"]["name"]) for row in pods if row["status"]["phase"] == "Running"), None)

    name = namespace.wait_for("the pod of the hook", pod)
    done = namespace.kubectl("exec", name, "--", "kill", "-USR1", "1", check=False)
    assert done.returncode in (0, 137), done.stderr


@pytest.mark.long
def test_every_phase_of_a_blue_green_release_has_its_health(
    namespace: Namespace, tmp_path: Path, prom: Prometheus
) -> None:
    repository = Repository(namespace.name, tmp_path / "work")
    spec: dict[str, Any] = {
        "canary": None,
        "blueGreen": {
            "preview": {"name": "preview"},
            "checks": [{"name": "slo"}],
            "watch": "3s",
            "keepOld": "1h",
        },
        "gates": [{"name": "slo"}],
        "hooks": [{"name": "smoke", "at": "BeforePromotion", "job": {"template": template(HELD)}}],
    }
    first = repository.commit(
        "Sell apples",
        shop=[*shop(namespace), preview(namespace)],
        target=slow("apples"),
        canary=canary(**spec),
        evidence=evidence_of(prom),
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")

        prom.lines = "other 1\n"
        repository.commit("Sell pears", target=slow("pears"))
        stands(app, namespace, "Preparing", "Progressing")
        stands(app, namespace, "Previewing", "Progressing", "weight 0 %: ")
        prom.lines = GOOD
        stands(app, namespace, "Switching", "Progressing", "hooks before the switch")
        app.act("Canary", "pricing", "pause")
        stands(app, namespace, "Switching", "Suspended", "paused by ")
        app.act("Canary", "pricing", "resume")
        let_hook_end(namespace)
        stands(app, namespace, "Watching", "Progressing", "weight 100 %: ")
        stands(app, namespace, "Keeping", "Progressing")
        app.act("Canary", "pricing", "promote")
        stands(app, namespace, "Promoting", "Progressing")
        stands(app, namespace, "Returning", "Progressing")
        stands(app, namespace, "Stable", "Healthy")
        app.is_healthy("Healthy")

        repository.commit("Sell plums", target=slow("plums"))
        stands(app, namespace, "Switching", "Progressing")
        repository.commit("Sell figs", target=slow("figs"))
        stands(app, namespace, "Restarting", "Progressing")
        stands(app, namespace, "Switching", "Progressing")
        let_hook_end(namespace)
        stands(app, namespace, "Keeping", "Progressing")
        prom.lines = BAD
        stands(app, namespace, "RollingBack", "Degraded", "errors")
        app.is_healthy("Degraded")


def test_a_source_that_does_not_answer_and_one_whose_secret_is_missing_are_degraded(
    namespace: Namespace, tmp_path: Path, prom: Prometheus
) -> None:
    repository = Repository(namespace.name, tmp_path / "work")
    source, gate = evidence_of(prom)
    first = repository.commit(
        "Sell apples",
        shop=shop(namespace),
        target=target("apples"),
        canary=canary(canary={"steps": [{"weight": 50, "hold": "1h"}]}, gates=[{"name": "slo"}]),
        source=source,
        gate=gate,
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        app.says("MetricSource", "prom", "Healthy", "it has not been asked yet")
        app.says("QualityGate", "slo", "Healthy", "NotEvaluated")
        repository.commit("Sell pears", target=target("pears"))
        stands(app, namespace, "Stepping", "Progressing")
        app.says("MetricSource", "prom", "Healthy", "")

        away = {**source, "spec": {"prometheus": {"address": "http://127.0.0.1:9"}}}
        repository.commit("Ask nobody", source=away)
        app.says("MetricSource", "prom", "Degraded", "no connection")
        stands(app, namespace, "Stepping", "Progressing", "no evidence from slo/errors")

        secret = {**source["spec"], "bearer": {"name": "nothing", "key": "token"}}
        repository.commit("Ask with a secret", source={**source, "spec": secret})
        app.says("MetricSource", "prom", "Degraded", 'Secret "nothing"')
        header = {"prometheus": {**source["spec"]["prometheus"], "headers": {"Authorization": "Basic YTpi"}}}
        repository.commit("State a header that has a field of its own", source={**source, "spec": header})
        app.says("MetricSource", "prom", "Degraded", "Authorization cannot be set")
        (ready,) = namespace.get("metricsource", "prom")["status"]["conditions"]
        assert ready["reason"] == "InvalidSpec"
        app.synced(repository.commit("Ask as before", source=source))
        app.shows("MetricSource", "prom", "Healthy")
        assert namespace.get("canary", "pricing")["status"]["phase"] == "Stepping"


def test_a_canary_that_leaves_in_mid_canary_is_progressing_until_it_is_gone(
    namespace: Namespace, tmp_path: Path
) -> None:
    repository = Repository(namespace.name, tmp_path)
    made = canary(canary={"steps": [{"weight": 50, "hold": "1h"}]}, approval={"promotion": "Manual"})
    first = repository.commit("Sell apples", shop=shop(namespace), target=slow("apples"), canary=made)
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        repository.commit("Sell pears", target=slow("pears"))
        stands(app, namespace, "Stepping", "Progressing")
        last = repository.commit("Have no canary", canary=None)
        stands(app, namespace, "Leaving", "Progressing")
        app.synced(last)
        namespace.wait_for("the end of the Canary", lambda: not namespace.all_of("canaries"))
        # Argo CD calls a route Degraded that names a Service which is gone, and with RespectIgnoreDifferences it never takes
        # a backend out.
        service, route = shop(namespace)
        del route["spec"]["rules"][0]["backendRefs"][1]
        none = json.dumps({"spec": {"syncPolicy": {"syncOptions": []}}})
        namespace.kubectl("patch", "application", app.name, "-n", NAMESPACE, "--type=merge", "-p", none)
        app.synced(repository.commit("Name the candidate's Service no more", shop=[service, route]))
        app.is_healthy("Healthy")
        template = namespace.get("deployment", "pricing")["spec"]["template"]
        assert "echo pears" in template["spec"]["containers"][0]["command"][-1]
        assert not namespace.all_of("deployments", "sluice.dev/candidate")


def test_a_run_that_is_at_its_finally_steps_is_progressing(namespace: Namespace, tmp_path: Path) -> None:
    repository = Repository(namespace.name, tmp_path)
    last = pipeline("one", shell("main"), **{"finally": [shell("last", HELD)]})
    first = repository.commit("Add the pipeline one", one=last)
    with application(namespace, repository, "ServerSideApply=true") as app:
        app.synced(first)
        run = namespace.run("one")
        namespace.running(run, "last")
        app.shows("PipelineRun", run, "Progressing")
        assert namespace.get("pipelinerun", run)["status"]["phase"] == "Finalizing"
        namespace.release(run, "last")
        app.shows("PipelineRun", run, "Healthy")


INVALID: dict[str, Manifest] = {
    "DataPipeline": pipeline("bad", shell("main", dependsOn=["absent"])),
    "Canary": canary(),
    "QualityGate": {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "QualityGate",
        "metadata": {"name": "bad"},
        "spec": {"checks": [{"name": "errors", "metric": {"source": "prom", "query": "errors", "max": 1, "min": 2}}]},
    },
}


@pytest.mark.parametrize("kind", list(INVALID))
def test_a_spec_that_cannot_be_acted_on_is_degraded(kind: str, namespace: Namespace, tmp_path: Path) -> None:
    """Refused at first, so Argo CD says why; then it comes by another way, as before the webhook was installed."""
    repository = Repository(namespace.name, tmp_path)
    made = INVALID[kind]
    name = made["metadata"]["name"]
    commit = repository.commit("Add what cannot be", bad=made)
    with application(namespace, repository, "ServerSideApply=true") as app:
        app.sees(commit)
        why = namespace.wait_for("the refusal", lambda: refusal(app))
        assert "spec." in why
        unseen(namespace, app, made)
        message = app.shows(kind, name, "Degraded")
        assert message.partition(":")[0] in why, "the same words"
        app.is_healthy("Degraded")


def refusal(app: Application) -> str:
    """What the newest sync says against an object of ours. It is tried again where another test had the operator away."""
    rows = ((app.status().get("operationState") or {}).get("syncResult") or {}).get("resources") or []
    said = [row["message"] for row in rows if row.get("status") == "SyncFailed"]
    return next((message for message in said if not OUTAGE.search(message)), "")


def unseen(namespace: Namespace, app: Application, thing: Manifest) -> None:
    """Apply an object as the operator, whose writes are not reviewed, with the mark of Argo CD."""
    rules = [{"apiGroups": ["sluice.dev"], "resources": ["*"], "verbs": ["*"]}]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "unseen"},
        "rules": rules,
    }
    namespace.apply(role)
    account = ACCOUNT.removeprefix("system:serviceaccount:")
    namespace.kubectl("create", "rolebinding", "unseen", "--role=unseen", f"--serviceaccount={account}")
    mark = f"{app.name}:sluice.dev/{thing['kind']}:{namespace.name}/{thing['metadata']['name']}"
    marked = {**thing, "metadata": {**thing["metadata"], "annotations": {"argocd.argoproj.io/tracking-id": mark}}}
    apply = ("apply", f"--as={ACCOUNT}", "-f", "-")
    namespace.wait_for(
        "the right to write",
        lambda: namespace.kubectl(*apply, stdin=json.dumps(marked), check=False).returncode == 0,
    )
