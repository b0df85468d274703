"""A commit is all it takes: Argo CD applies it, and says what became of it. Needs the add-ons argocd and gateway."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.api.names import ANNOTATION_CONTROL
from tests.cluster.argo import Application, ArgoCD, Refused, Repository, application
from tests.cluster.kit import HELD, Manifest, Namespace, pipeline, shell
from tests.cluster.prometheus import Prometheus
from tests.cluster.shop import RESPECT, canary, evidence_of, shop, stands, target
from tests.unit.argocd.engine import GENERATE

pytestmark = [pytest.mark.argocd, pytest.mark.gateway]

TOLD_SECONDS = 10.0
"""A push is told at once; until the next round it would be up to 30 s. A busy machine is slow."""
YEARLY = {"cron": ["0 0 1 1 *"], "timeZone": "Asia/Kolkata"}


@pytest.fixture
def repository(namespace: Namespace, tmp_path: Path) -> Repository:
    """A repository with one pipeline, whose only step the test lets end."""
    made = Repository(namespace.name, tmp_path)
    made.commit("Add the pipeline one", one=pipeline("one", shell("main", HELD), schedule=YEARLY))
    return made


@pytest.fixture
def app(namespace: Namespace, repository: Repository) -> Iterator[Application]:
    with application(namespace, repository, "ServerSideApply=true") as made:
        made.synced(repository.git("rev-parse", "HEAD"))
        made.is_healthy("Healthy")
        yield made


@pytest.fixture
def viewer() -> ArgoCD:
    return ArgoCD.log_in("viewer")


def test_a_commit_that_adds_a_pipeline_is_synced_and_one_that_removes_it_too(
    app: Application, repository: Repository, namespace: Namespace
) -> None:
    began = time.monotonic()
    commit = repository.commit("Add the pipeline two", two=pipeline("two", shell("main")))
    app.sees(commit)
    assert time.monotonic() - began < TOLD_SECONDS
    app.synced(commit)
    assert namespace.get("pipeline", "two")["spec"]["steps"][0]["name"] == "main"
    app.is_healthy("Healthy")

    app.synced(repository.commit("Remove the pipeline two", two=None))
    assert namespace.kubectl("get", "pipeline", "two", check=False).returncode != 0
    assert namespace.get("pipeline", "one")


def nobody_reviews(namespace: Namespace) -> Manifest:
    """Admission of the ConfigMaps of a namespace by a webhook that nobody serves."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace.name},
        "webhooks": [
            {
                "name": "nobody.example.com",
                "clientConfig": {"url": "https://127.0.0.1:9/"},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["configmaps"],
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


def test_a_commit_that_nobody_could_review_is_never_called_synced_and_is_applied_later(
    app: Application, repository: Repository, namespace: Namespace
) -> None:
    """As while the operator restarts: with comparison by the server, Argo CD 3.1 calls it Synced and never applies it."""

    def note(text: str) -> Manifest:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note"}, "data": {"text": text}}

    app.synced(repository.commit("Add a note", note=note("one")))
    namespace.apply(nobody_reviews(namespace))
    try:
        namespace.wait_for("the webhook", lambda: namespace.apply(note("none"), check=False).returncode or None)
        commit = repository.commit("Change the note", note=note("two"))
        app.sees(commit)
        assert app.sync() == "OutOfSync"
    finally:
        namespace.kubectl("delete", "validatingwebhookconfiguration", namespace.name)
    app.synced(commit)
    assert namespace.get("configmap", "note")["data"] == {"text": "two"}


# -- pipelines and runs -----------------------------------------------------------------------------------------------


def run_now(app: Application, namespace: Namespace, pipeline: str = "one") -> str:
    """Have Argo CD make a run; its name."""
    before = {run["metadata"]["name"] for run in namespace.all_of("pipelineruns")}
    app.act("DataPipeline", pipeline, "run-now")
    (name,) = {run["metadata"]["name"] for run in namespace.all_of("pipelineruns")} - before
    return name


def test_a_run_is_made_followed_and_cancelled_from_argo_cd(
    app: Application, namespace: Namespace, viewer: ArgoCD
) -> None:
    with pytest.raises(Refused) as refused:
        app.act("DataPipeline", "one", "run-now", viewer)
    assert refused.value.status == 403
    assert namespace.all_of("pipelineruns") == []

    run = run_now(app, namespace)
    namespace.running(run, "main")
    app.shows("PipelineRun", run, "Progressing")
    assert app.actions("PipelineRun", run) == {"cancel"}
    with pytest.raises(Refused) as refused:
        app.act("PipelineRun", run, "cancel", viewer)
    assert refused.value.status == 403

    app.act("PipelineRun", run, "cancel")
    assert namespace.ended(run)["phase"] == "Cancelled"
    app.says("PipelineRun", run, "Degraded", "cancelled")
    assert app.actions("PipelineRun", run) == {"rerun-failed"}
    assert app.health() == "Healthy", "a run belongs to the operator, and a cancelled one says nothing of the pipeline"
    assert app.sync() == "Synced"


def test_only_what_failed_is_run_again_from_argo_cd(
    app: Application, repository: Repository, namespace: Namespace, viewer: ArgoCD
) -> None:
    world = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "world"}, "data": {"mended": "no"}}
    namespace.apply(world)
    mended = {"name": "MENDED", "valueFrom": {"configMapKeyRef": {"name": "world", "key": "mended"}}}
    flow = pipeline("one", shell("first"), shell("main", 'test "$MENDED" = yes', dependsOn=["first"], env=[mended]))
    app.synced(repository.commit("A step that fails", one=flow))
    run = run_now(app, namespace)
    assert namespace.ended(run)["phase"] == "Failed"
    app.shows("PipelineRun", run, "Degraded")
    assert app.actions("PipelineRun", run) == {"rerun-failed"}
    with pytest.raises(Refused) as refused:
        app.act("PipelineRun", run, "rerun-failed", viewer)
    assert refused.value.status == 403
    assert [found["metadata"]["name"] for found in namespace.all_of("pipelineruns")] == [run]

    namespace.apply({**world, "data": {"mended": "yes"}})
    app.act("PipelineRun", run, "rerun-failed")
    (again,) = namespace.all_of("pipelineruns", f"sluice.dev/rerun-of={run}")
    name = again["metadata"]["name"]
    status = namespace.ended(name)
    assert status["phase"] == "Succeeded"
    assert [(row["name"], row.get("takenFrom")) for row in status["steps"]] == [("first", run), ("main", None)]
    assert [pod["metadata"]["labels"]["sluice.dev/step"] for pod in namespace.pods(name)] == ["main"]
    app.shows("PipelineRun", name, "Healthy")
    app.is_healthy("Healthy")


def test_a_run_that_waits_for_another_is_progressing(
    app: Application, namespace: Namespace, repository: Repository
) -> None:
    queued = pipeline("one", shell("main", HELD), concurrency={"policy": "Queue"})
    app.synced(repository.commit("One run at a time", one=queued))
    first = run_now(app, namespace)
    namespace.running(first, "main")
    second = run_now(app, namespace)
    app.says("PipelineRun", second, "Progressing", first)
    assert namespace.get("pipelinerun", second)["status"]["phase"] == "Pending"
    for run in (first, second):
        namespace.release(run, "main")
        app.shows("PipelineRun", run, "Healthy")


def test_a_pipeline_is_as_healthy_as_its_newest_run(
    app: Application, namespace: Namespace, repository: Repository
) -> None:
    run = run_now(app, namespace)
    namespace.release(run, "main")
    assert namespace.ended(run)["phase"] == "Succeeded"
    app.shows("PipelineRun", run, "Healthy")
    app.is_healthy("Healthy")

    app.synced(repository.commit("Break it", one=pipeline("one", shell("main", "exit 3"), schedule=YEARLY)))
    broken = run_now(app, namespace)
    assert namespace.ended(broken)["phase"] == "Failed"
    app.shows("PipelineRun", broken, "Degraded")
    app.says("DataPipeline", "one", "Degraded", broken)
    app.is_healthy("Degraded")

    app.synced(repository.commit("Mend it", one=pipeline("one", shell("main"), schedule=YEARLY)))
    assert namespace.ended(run_now(app, namespace))["phase"] == "Succeeded"
    app.is_healthy("Healthy")


def test_a_schedule_is_suspended_and_resumed_and_stays_so_as_git_does_not_state_it(
    app: Application, namespace: Namespace, repository: Repository
) -> None:
    assert app.actions("DataPipeline", "one") == {"run-now", "suspend"}
    app.act("DataPipeline", "one", "suspend")
    app.is_healthy("Suspended")
    assert app.actions("DataPipeline", "one") == {"run-now", "resume"}
    app.synced(repository.commit("Add the pipeline two", two=pipeline("two", shell("main"))))
    assert namespace.get("pipeline", "one")["spec"]["schedule"]["suspend"] is True

    app.act("DataPipeline", "one", "resume")
    app.is_healthy("Healthy")
    assert "suspend" not in namespace.get("pipeline", "one")["spec"]["schedule"]


# -- canaries ---------------------------------------------------------------------------------------------------------


MANUAL = canary(approval={"promotion": "Manual"})


@pytest.fixture(params=[()])
def shopping(
    request: pytest.FixtureRequest, namespace: Namespace, tmp_path: Path
) -> Iterator[tuple[Application, Repository]]:
    """An Application with a Deployment and a Canary that asks a person, at rest; the parameter has more sync options."""
    repository = Repository(namespace.name, tmp_path)
    first = repository.commit("Sell apples", shop=shop(namespace), target=target("apples"), canary=MANUAL)
    with application(namespace, repository, RESPECT, *request.param) as made:
        made.synced(first)
        made.is_healthy("Healthy", seconds=120)
        made.shows("Canary", "pricing", "Healthy")
        yield made, repository


@pytest.mark.parametrize(
    "shopping",
    [pytest.param((), id="client-side apply"), pytest.param(("ServerSideApply=true",), id="server-side apply")],
    indirect=True,
)
def test_a_release_waits_for_a_person_and_is_promoted_from_argo_cd(
    shopping: tuple[Application, Repository], namespace: Namespace, viewer: ArgoCD
) -> None:
    app, repository = shopping
    assert app.actions("Canary", "pricing") == {"pause"}
    with app.watched() as seen:
        pears = repository.commit("Sell pears", target=target("pears"))
        app.shows("Canary", "pricing", "Progressing")
        app.shows("Canary", "pricing", "Suspended", seconds=120)
        app.is_healthy("Suspended")
        assert namespace.get("canary", "pricing")["status"]["phase"] == "Approving"
        assert app.actions("Canary", "pricing") == {"promote", "promote-full", "pause", "abort"}

        with pytest.raises(Refused) as refused:
            app.act("Canary", "pricing", "promote", viewer)
        assert refused.value.status == 403
        assert "control" not in namespace.get("canary", "pricing")["status"]

        app.act("Canary", "pricing", "promote")
        app.shows("Canary", "pricing", "Healthy", seconds=120)
        app.is_healthy("Healthy")
    app.synced(pears)
    assert namespace.get("canary", "pricing")["status"]["control"]["accepted"] is True
    assert seen.healths[0] == seen.healths[-1] == "Healthy"
    assert {"Progressing", "Suspended"} <= set(seen.healths)
    assert "Degraded" not in seen.healths
    # A commit that is not applied yet is a difference, and the only one.
    assert [sync for sync in seen.syncs if sync != "Synced"] in ([], ["OutOfSync"])


def test_every_phase_that_lasts_has_its_health(namespace: Namespace, tmp_path: Path) -> None:
    long = canary(
        canary={"steps": [{"weight": 50, "hold": "1h"}]},
        watch="1h",
        approval={"promotion": "Manual"},
        dependsOn=[{"name": "other"}],
        progressDeadline="15s",
    )
    repository = Repository(namespace.name, tmp_path)
    first = repository.commit("Have a canary of nothing yet", shop=shop(namespace), canary=long)
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Waiting", "Progressing")

        repository.commit("Sell apples", target=target("apples"))
        stands(app, namespace, "Stable", "Healthy")

        repository.commit("Sell pears", target=target("pears"))
        stands(app, namespace, "Holding", "Progressing", "waits for other")
        app.act("Canary", "pricing", "pause")
        stands(app, namespace, "Holding", "Suspended", "paused by ")
        app.act("Canary", "pricing", "resume")
        stands(app, namespace, "Holding", "Progressing")

        del long["spec"]["dependsOn"]
        repository.commit("Wait for nothing", canary=long)
        stands(app, namespace, "Stepping", "Progressing", "weight 50 %: ")
        app.act("Canary", "pricing", "promote")
        stands(app, namespace, "Watching", "Progressing", "weight 100 %: ")
        app.act("Canary", "pricing", "promote")
        stands(app, namespace, "Stable", "Healthy")

        broken = target("plums")
        broken["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["tcpSocket"]["port"] = 8081
        commit = repository.commit("Sell what never becomes ready", target=broken)
        stands(app, namespace, "Preparing", "Progressing")
        stands(app, namespace, "Failed", "Degraded", "not ready")
        app.is_healthy("Degraded")
        app.synced(commit)


def test_who_may_not_runs_no_action_at_all_and_who_may_skips_and_promotes_in_full(
    namespace: Namespace, tmp_path: Path, viewer: ArgoCD
) -> None:
    repository = Repository(namespace.name, tmp_path)
    steps = {"steps": [{"weight": 50, "hold": "1h"}, {"weight": 80, "hold": "1h"}]}
    first = repository.commit(
        "Sell apples",
        shop=shop(namespace),
        target=target("apples"),
        canary=canary(canary=steps, watch="1h", approval={"promotion": "Manual"}),
        one=pipeline("one", shell("main", HELD), schedule=YEARLY),
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        run = run_now(app, namespace)
        namespace.running(run, "main")
        app.shows("PipelineRun", run, "Progressing")
        repository.commit("Sell pears", target=target("pears"))
        stands(app, namespace, "Stepping", "Progressing", "weight 50 %: ")

        named = {"Canary": "pricing", "DataPipeline": "one", "PipelineRun": run}
        assert set(GENERATE.ACTIONS) == set(named)
        for kind, name in named.items():
            before = namespace.get(kind.lower(), name)
            for action in GENERATE.ACTIONS[kind]:
                with pytest.raises(Refused) as refused:
                    app.act(kind, name, action, viewer)
                assert refused.value.status == 403, (kind, action)
            after = namespace.get(kind.lower(), name)
            assert after["spec"] == before["spec"]
            assert after["metadata"].get("annotations") == before["metadata"].get("annotations")
        assert [row["metadata"]["name"] for row in namespace.all_of("pipelineruns")] == [run]

        app.act("Canary", "pricing", "skip")
        stands(app, namespace, "Stepping", "Progressing", "weight 80 %: ")
        app.act("Canary", "pricing", "promote-full")
        stands(app, namespace, "Stable", "Healthy")
        status = namespace.get("canary", "pricing")["status"]
        assert (status["reason"], status["control"]["action"]) == ("Promoted", "promoteInFull")
        assert status["control"]["accepted"]
        namespace.release(run, "main")


def test_who_ran_an_action_is_said_by_argo_cd(shopping: tuple[Application, Repository], namespace: Namespace) -> None:
    app, _ = shopping
    app.act("Canary", "pricing", "pause")
    event = namespace.event("pricing", "ResourceActionRan")
    assert event["message"] == "admin ran action pause"
    assert event["involvedObject"]["kind"] == "Canary"
    request = namespace.get("canary", "pricing")["metadata"]["annotations"][ANNOTATION_CONTROL]
    assert re.fullmatch(r"pause:argocd-\d{10}-\d+", request), "what tells it from another within the second"


def test_a_release_is_paused_resumed_aborted_tried_again_and_reverted(
    shopping: tuple[Application, Repository], namespace: Namespace
) -> None:
    app, repository = shopping
    apples = repository.git("rev-parse", "HEAD")
    app.act("Canary", "pricing", "pause")
    app.says("Canary", "pricing", "Healthy", "the next revision waits")
    repository.commit("Sell pears", target=target("pears"))
    app.says("Canary", "pricing", "Suspended", "paused by ", seconds=90)
    app.is_healthy("Suspended")
    assert "resume" in app.actions("Canary", "pricing")

    app.act("Canary", "pricing", "resume")
    app.shows("Canary", "pricing", "Progressing")
    namespace.wait_for("the step", lambda: namespace.get("canary", "pricing")["status"]["phase"] == "Approving" or None)
    app.act("Canary", "pricing", "abort")
    app.says("Canary", "pricing", "Degraded", "abort")
    app.is_healthy("Degraded")
    namespace.wait_for("the end", lambda: namespace.get("canary", "pricing")["status"]["phase"] == "Failed" or None)
    assert app.actions("Canary", "pricing") == {"retry", "pause"}
    assert app.sync() == "Synced"

    app.act("Canary", "pricing", "retry")
    app.shows("Canary", "pricing", "Progressing")
    repository.git("revert", "--no-edit", f"{apples}..HEAD")
    back = repository.push("Have apples again")
    app.synced(back)
    app.shows("Canary", "pricing", "Healthy", seconds=120)
    app.is_healthy("Healthy")


def test_a_bad_release_is_degraded_by_itself_and_a_good_one_healthy(
    namespace: Namespace, tmp_path: Path, prom: Prometheus
) -> None:
    prom.wait_for("errors", 0.002)
    repository = Repository(namespace.name, tmp_path / "work")
    steps = {"steps": [{"weight": 50, "hold": "4s"}]}
    first = repository.commit(
        "Sell apples",
        shop=shop(namespace),
        target=target("apples"),
        canary=canary(canary=steps, gates=[{"name": "slo"}]),
        evidence=evidence_of(prom),
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        app.is_healthy("Healthy", seconds=120)
        repository.commit("Sell pears", target=target("pears"))
        app.shows("Canary", "pricing", "Progressing")
        namespace.wait_for(
            "the step", lambda: namespace.get("canary", "pricing")["status"]["phase"] == "Stepping" or None
        )
        prom.lines = "errors 0.5\n"
        app.says("Canary", "pricing", "Degraded", "errors", seconds=90)
        app.is_healthy("Degraded")
        app.says("QualityGate", "slo", "Healthy", "Fail")
        assert namespace.get("gate", "slo")["status"]["evaluatedBy"] == "canary/pricing"
        assert app.health_of("MetricSource", "prom")[0] == "Healthy"

        prom.lines = "errors 0.002\n"
        prom.wait_for("errors", 0.002)
        app.synced(repository.commit("Sell plums", target=target("plums")))
        app.shows("Canary", "pricing", "Healthy", seconds=150)
        app.is_healthy("Healthy")
        assert app.sync() == "Synced"


def test_a_canary_and_a_rollback_are_no_drift(namespace: Namespace, tmp_path: Path, prom: Prometheus) -> None:
    """With self-healing, only commits are differences, and only commits are synced."""
    prom.wait_for("errors", 0.002)
    repository = Repository(namespace.name, tmp_path / "work")
    gated = canary(canary={"steps": [{"weight": 50, "hold": "4s"}]}, gates=[{"name": "slo"}])
    commits = [
        repository.commit(
            "Sell apples", shop=shop(namespace), target=target("apples"), canary=gated, evidence=evidence_of(prom)
        )
    ]

    def phase() -> str:
        return str((namespace.get("canary", "pricing").get("status") or {}).get("phase", ""))

    def stepping() -> bool:
        return phase() == "Stepping"

    with application(namespace, repository, RESPECT) as app:
        app.synced(commits[0])
        app.is_healthy("Healthy", seconds=120)
        namespace.wait_for("the Canary at rest", lambda: phase() == "Stable" or None)
        with app.recorded() as seen:
            commits.append(repository.commit("Sell pears", target=target("pears")))
            namespace.wait_for("the step", stepping)
            app.compare()
            app.shows("Canary", "pricing", "Healthy", seconds=150)
            app.synced(commits[1])

            commits.append(repository.commit("Sell plums", target=target("plums")))
            namespace.wait_for("the step", stepping)
            prom.lines = "errors 0.5\n"
            namespace.wait_for("the rollback", lambda: phase() == "Failed" or None)
            app.is_healthy("Degraded")
            app.compare()
            app.synced(commits[2])

            prom.lines = "errors 0.002\n"
            repository.git("revert", "--no-edit", "HEAD")
            commits.append(repository.push("Have pears again"))
            app.synced(commits[3])
            app.is_healthy("Healthy")
            app.compare()
        history = app.status()["history"]

    assert [row["revision"] for row in history] == commits
    assert [word for word in told(seen) if word[1] == "Synced"] == [(commit, "Synced") for commit in commits]
    for number, (commit, word) in enumerate(told(seen)):
        assert word in ("Synced", "OutOfSync")
        # A commit that is not applied yet is a difference; once it has been applied there is none.
        assert word == "Synced" or (commit, "Synced") not in told(seen)[:number], told(seen)
    operations = {row["operationState"]["startedAt"]: row["operationState"] for row in seen if "operationState" in row}
    assert [operation["syncResult"]["revision"] for _, operation in sorted(operations.items())] == commits


def told(seen: list[Manifest]) -> list[tuple[str, str]]:
    """Commits and what was said of them, one after the other; what was said twice in a row is there once."""
    rows: list[tuple[str, str]] = []
    for status in seen:
        row = status["sync"]["revision"], status["sync"]["status"]
        if rows[-1:] != [row]:
            rows.append(row)
    return rows
