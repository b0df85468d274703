"""Commits that are no good, and Git that is away: it is said in Argo CD, nothing is lost, and the next good commit mends it all.

Needs the add-ons argocd and gateway.
"""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from dev.cluster.addons import argocd
from dev.cluster.addons.git_server import USER
from dev.cluster.settings import Settings
from tests.cluster.argo import FEW, Application, Repository, application
from tests.cluster.installation import ACCOUNT
from tests.cluster.kit import HELD, Namespace, pipeline, shell
from tests.cluster.prometheus import Prometheus
from tests.cluster.shop import (
    RESPECT,
    canary,
    canary_status,
    evidence_of,
    from_commit,
    shop,
    stands,
    target,
    written_back,
)

pytestmark = [pytest.mark.argocd, pytest.mark.gateway]

LONG = {"steps": [{"weight": 50, "hold": "1h"}]}
SHORT = {"steps": [{"weight": 50, "hold": "2s"}]}


def refused(app: Application, commit: str, part: str) -> str:
    """What the sync of a commit says against an object, once it has failed and says this."""

    def look() -> str:
        operation = app.status().get("operationState") or {}
        result = operation.get("syncResult") or {}
        if result.get("revision") != commit:
            return ""
        said = [row["message"] for row in result.get("resources") or [] if row.get("status") == "SyncFailed"]
        return next((text for text in (*said, str(operation.get("message", ""))) if part in text), "")

    return app.namespace.wait_for(f"{part} said of {commit[:8]}", look)


# -- commits that are refused -----------------------------------------------------------------------------------------


def test_a_cyclic_pipeline_is_refused_in_argo_cd_and_the_one_before_goes_on(
    namespace: Namespace, tmp_path: Path
) -> None:
    repository = Repository(namespace.name, tmp_path)
    good = pipeline("one", shell("a"), shell("b", dependsOn=["a"]))
    first = repository.commit("Add the pipeline one", one=good)
    with application(namespace, repository, "ServerSideApply=true", retry=FEW) as app:
        app.synced(first)
        revision = namespace.get("pipeline", "one")["status"]["revision"]
        cyclic = pipeline("one", shell("a", dependsOn=["b"]), shell("b", dependsOn=["a"]))
        bad = repository.commit("Go in circles", one=cyclic, two=pipeline("two", shell("main")))
        assert "a -> b -> a" in refused(app, bad, "cycle")
        assert app.sync() == "OutOfSync"
        assert namespace.get("pipeline", "one")["status"]["revision"] == revision
        assert namespace.ended(namespace.run("one"))["phase"] == "Succeeded"

        app.synced(repository.commit("Go straight", one=good))
        app.is_healthy("Healthy")
        assert namespace.get("pipeline", "two"), "what was good in the bad commit is there too"


def test_an_invalid_canary_is_refused_in_argo_cd_and_the_one_before_stays(namespace: Namespace, tmp_path: Path) -> None:
    repository = Repository(namespace.name, tmp_path)
    manual = {"approval": {"promotion": "Manual"}}
    good = canary(canary=SHORT, **manual)
    first = repository.commit("Sell apples", shop=shop(namespace), target=target("apples"), canary=good)
    with application(namespace, repository, RESPECT, retry=FEW) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        heavy = canary(canary={"steps": [{"weight": 150}]}, **manual)
        assert "150" in refused(app, repository.commit("Give too much", canary=heavy), "spec.canary.steps[0].weight")
        falling = canary(canary={"steps": [{"weight": 50}, {"weight": 20}]}, **manual)
        assert "20" in refused(app, repository.commit("Take back", canary=falling), "spec.canary.steps[1].weight")
        assert namespace.get("canary", "pricing")["spec"]["canary"]["steps"] == good["spec"]["canary"]["steps"]

        repository.commit("Sell pears", canary=good, target=target("pears"))
        stands(app, namespace, "Approving", "Suspended")


# -- commits in mid-canary --------------------------------------------------------------------------------------------


def test_a_gate_that_is_deleted_in_mid_canary_holds_it_and_is_said(
    namespace: Namespace, tmp_path: Path, prom: Prometheus
) -> None:
    repository = Repository(namespace.name, tmp_path / "work")
    source, gate = evidence_of(prom)
    steps = canary(
        canary={"steps": [{"weight": 50, "hold": "3s"}]},
        gates=[{"name": "slo"}],
        analysis={"onNoEvidence": {"policy": "Hold", "limit": "10s"}},
    )
    first = repository.commit(
        "Sell apples", shop=shop(namespace), target=target("apples"), canary=steps, source=source, gate=gate
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        repository.commit("Sell pears without the gate", target=target("pears"), gate=None)
        stands(app, namespace, "Stepping", "Progressing", "slo")
        namespace.event("pricing", "NoEvidence", seconds=90)
        assert canary_status(namespace)["weight"] == 50
        app.synced(repository.commit("Have the gate again", gate=gate))
        stands(app, namespace, "Stable", "Healthy")
        assert canary_status(namespace)["reason"] == "Promoted"


def test_of_two_commits_in_quick_succession_the_second_is_promoted(namespace: Namespace, tmp_path: Path) -> None:
    repository = Repository(namespace.name, tmp_path)
    first = repository.commit(
        "Sell apples",
        shop=shop(namespace),
        target=target("apples"),
        canary=canary(canary=SHORT, approval={"promotion": "Manual"}),
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        repository.commit("Sell pears", target=target("pears"))
        plums = repository.commit("Sell plums", target=target("plums"))
        app.synced(plums)
        stands(app, namespace, "Approving", "Suspended")
        namespace.wait_for("its commit", lambda: canary_status(namespace).get("candidateCommit", {}).get("id") == plums)
        app.act("Canary", "pricing", "promote")
        stands(app, namespace, "Stable", "Healthy")
        template = namespace.get("deployment", "pricing")["spec"]["template"]
        assert "echo plums" in template["spec"]["containers"][0]["command"][-1]


def test_a_revert_in_mid_canary_needs_nobody(namespace: Namespace, tmp_path: Path) -> None:
    repository = Repository(namespace.name, tmp_path)
    first = repository.commit(
        "Sell apples",
        shop=shop(namespace),
        target=target("apples"),
        canary=canary(canary=LONG, approval={"promotion": "Manual"}),
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        stable = canary_status(namespace)["stableRevision"]
        repository.commit("Sell pears", target=target("pears"))
        stands(app, namespace, "Stepping", "Progressing")
        repository.git("revert", "--no-edit", "HEAD")
        app.synced(repository.push("Have apples again"))
        stands(app, namespace, "Stable", "Healthy")
        assert canary_status(namespace)["stableRevision"] == stable
        assert not namespace.all_of("deployments", "sluice.dev/candidate=pricing")


def test_a_branch_that_is_rewritten_is_followed(namespace: Namespace, tmp_path: Path) -> None:
    repository = Repository(namespace.name, tmp_path)
    first = repository.commit(
        "Sell apples",
        shop=shop(namespace),
        target=target("apples"),
        canary=canary(canary=SHORT, approval={"promotion": "Manual"}),
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        app.synced(repository.commit("Sell pears", target=target("pears")))
        stands(app, namespace, "Approving", "Suspended")
        repository.git("reset", "--quiet", "--hard", first)
        (repository.folder / "notes.txt").write_text("history, written anew\n")
        repository.git("add", "--all")
        repository.git("commit", "--quiet", "--amend", "-m", "Sell apples, said in other words")
        repository.git("push", "--quiet", "--force", repository.url, "main")
        app.synced(repository.git("rev-parse", "HEAD"))
        stands(app, namespace, "Stable", "Healthy")
        plums = repository.commit("Sell plums", target=target("plums"))
        stands(app, namespace, "Approving", "Suspended")
        namespace.wait_for("its commit", lambda: canary_status(namespace).get("candidateCommit", {}).get("id") == plums)


# -- Git that is away -------------------------------------------------------------------------------------------------


def test_a_repository_that_is_gone_for_a_while_stops_no_release(namespace: Namespace, tmp_path: Path) -> None:
    repository = Repository(namespace.name, tmp_path)
    first = repository.commit(
        "Sell apples",
        shop=shop(namespace),
        target=target("apples"),
        canary=canary(canary=SHORT, approval={"promotion": "Manual"}),
    )
    folder = argocd.git_folder(Settings.from_environment()) / f"{namespace.name}.git"
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        app.synced(repository.commit("Sell pears", target=target("pears")))
        stands(app, namespace, "Approving", "Suspended")
        shutil.move(folder, tmp_path / "away")
        try:
            namespace.wait_for("the error", lambda: unknown(app), seconds=90)
            app.act("Canary", "pricing", "promote")
            stands(app, namespace, "Stable", "Healthy")
        finally:
            shutil.move(tmp_path / "away", folder)
        app.synced(repository.commit("Sell plums", target=target("plums")), seconds=120)
        stands(app, namespace, "Approving", "Suspended")


def unknown(app: Application, *, hard: bool = True) -> str:
    """What Argo CD says against the repository, once it knows nothing of it."""
    status = app.compare(hard=True) if hard else app.status()
    rows = [row["message"] for row in status.get("conditions") or [] if row["type"] == "ComparisonError"]
    return rows[0] if rows and status["sync"]["status"] == "Unknown" else ""


OUTAGE = 600.0


@pytest.mark.long
def test_a_repository_that_is_gone_for_ten_minutes_gets_its_revert_when_it_is_back(
    namespace: Namespace, tmp_path: Path, prom: Prometheus
) -> None:
    """Nobody helps: neither is Argo CD told to look, nor the operator asked to try again."""
    repository = Repository(namespace.name, tmp_path / "work")
    write_back = {"branch": "main", "onRollback": "Revert", "path": "target.yaml"}
    spec = {"canary": SHORT, "watch": "2m", "gates": [{"name": "slo"}], "writeBack": write_back}
    first = repository.commit(
        "Sell apples", shop=shop(namespace), target=target("apples"), canary=canary(**spec), evidence=evidence_of(prom)
    )
    folder = argocd.git_folder(Settings.from_environment()) / f"{namespace.name}.git"
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        bad = repository.commit("Sell pears", target=target("pears"))
        stands(app, namespace, "Watching", "Progressing")
        namespace.wait_for("its commit", lambda: canary_status(namespace).get("candidateCommit", {}).get("author"))
        shutil.move(folder, tmp_path / "away")
        back_at = time.monotonic() + OUTAGE
        try:
            prom.lines = "errors 0.5\n"
            stands(app, namespace, "Failed", "Degraded", "slo")
            assert "tried again" in namespace.event("pricing", "WriteBackFailed")["message"]
            namespace.wait_for("the error in Argo CD", lambda: unknown(app, hard=False), seconds=OUTAGE)
            time.sleep(max(0.0, back_at - time.monotonic()))  # the length of the outage is what this is about
            record = canary_status(namespace)["writeBack"]
            assert (record["state"], record["attempt"] > 3) == ("Pending", True), record
        finally:
            shutil.move(tmp_path / "away", folder)

        record = written_back(namespace, seconds=360)
        assert record["state"] == "Pushed", record
        repository.git("pull", "--quiet", repository.url, "main")
        assert repository.git("log", "--format=%s", f"{bad}..HEAD") == 'Revert "Sell pears"'
        app.synced(record["commit"], seconds=360)
        stands(app, namespace, "Stable", "Healthy")
        app.is_healthy("Healthy")


@pytest.mark.long
def test_a_repository_of_500_megabytes_is_applied_read_and_written_to(
    namespace: Namespace, tmp_path: Path, prom: Prometheus
) -> None:
    """The operator's clones have 128 MiB at most: it fetches what a revert needs, and not the content of the large file."""
    repository = Repository(namespace.name, tmp_path / "work")
    large = repository.folder / "large.bin"
    folder = argocd.git_folder(Settings.from_environment()) / f"{namespace.name}.git"
    write_back = {"branch": "main", "onRollback": "Revert"}
    try:
        repository.git("config", "core.compression", "0")
        with large.open("wb") as file:
            for _ in range(500):
                file.write(os.urandom(1 << 20))
        first = repository.commit(
            "Sell apples",
            shop=shop(namespace),
            target=target("apples"),
            canary=canary(canary=SHORT, gates=[{"name": "slo"}], writeBack=write_back),
            evidence=evidence_of(prom),
        )
        assert sum(file.stat().st_size for file in (folder / "objects").rglob("*") if file.is_file()) > 500 << 20
        with application(namespace, repository, RESPECT) as app:
            app.synced(first, seconds=300)
            stands(app, namespace, "Stable", "Healthy")
            namespace.wait_for("its commit", lambda: canary_status(namespace).get("stableCommit", {}).get("author"))
            bad = repository.commit("Sell pears", target=target("pears"))
            stands(app, namespace, "Stepping", "Progressing")
            prom.lines = "errors 0.5\n"
            record = written_back(namespace, seconds=150)
            assert record["state"] == "Pushed", record
            assert canary_status(namespace)["candidateCommit"]["id"] == bad
            app.synced(record["commit"], seconds=300)
            stands(app, namespace, "Stable", "Healthy")
    finally:
        for place in (repository.folder, folder):
            shutil.rmtree(place)


def test_a_wrong_credential_of_argo_cd_is_said_and_the_right_one_heals(
    namespace: Namespace, private: Repository
) -> None:
    def credential(password: str) -> None:
        """As Argo CD takes it from Git: a Secret with a label."""
        made = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"repo-{namespace.name}", "labels": {"argocd.argoproj.io/secret-type": "repository"}},
            "stringData": {"type": "git", "url": private.url, "username": USER, "password": password},
        }
        namespace.kubectl("apply", "-n", argocd.NAMESPACE, "-f", "-", stdin=json.dumps(made))

    password = argocd.git_password(Settings.from_environment())
    first = private.commit("Add the pipeline one", one=pipeline("one", shell("main")))
    credential(password)
    try:
        with application(namespace, private, "ServerSideApply=true") as app:
            app.synced(first)
            credential("wrong")
            second = private.commit("Change it", one=pipeline("one", shell("main", "echo two")))
            said = namespace.wait_for("the error", lambda: unknown(app))
            assert "authentication required" in said
            assert namespace.ended(namespace.run("one"))["phase"] == "Succeeded", "what is applied goes on"
            credential(password)
            namespace.wait_for("the repository to be read", lambda: not unknown(app))
            app.synced(second)
            app.is_healthy("Healthy")
            assert not app.status().get("conditions")
    finally:
        namespace.kubectl("delete", "secret", "-n", argocd.NAMESPACE, f"repo-{namespace.name}")


@pytest.fixture
def private(namespace: Namespace, tmp_path: Path) -> Repository:
    """A repository that needs a password."""
    return Repository(namespace.name, tmp_path / "work", password=argocd.git_password(Settings.from_environment()))


@pytest.mark.parametrize("right", [True, False])
def test_the_operator_writes_back_with_a_credential_of_the_namespace_and_says_when_it_is_wrong(
    namespace: Namespace, private: Repository, prom: Prometheus, right: bool
) -> None:
    password = argocd.git_password(Settings.from_environment()) if right else "wrong"
    commits = [private.commit(f"Sell {word}", target=target(word)) for word in ("apples", "pears")]

    credential = {"username": USER, "password": password}
    rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["pricing-git"], "verbs": ["get"]}]
    namespace.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pricing-git"}, "stringData": credential},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "git"}, "rules": rules},
    )
    account = ACCOUNT.removeprefix("system:serviceaccount:")
    namespace.kubectl("create", "rolebinding", "git", "--role=git", f"--serviceaccount={account}")
    write_back = {
        "repository": private.url,
        "branch": "main",
        "secret": {"name": "pricing-git"},
        "onRollback": "Revert",
    }
    namespace.apply(
        *shop(namespace),
        *evidence_of(prom),
        from_commit("apples", commits[0], private.url),
        canary(canary=SHORT, gates=[{"name": "slo"}], writeBack=write_back),
    )
    namespace.wait_for("the canary at rest", lambda: canary_status(namespace).get("phase") == "Stable")
    namespace.apply(from_commit("pears", commits[1], private.url))
    namespace.wait_for("the step", lambda: canary_status(namespace).get("phase") == "Stepping")
    prom.lines = "errors 0.5\n"
    record = written_back(namespace)
    assert (record["state"], len(private.heads())) == ("Pushed" if right else "Failed", 1), record
    assert right or "could not read Username" in record["message"]
    assert private.heads()["main"] == (record["commit"] if right else commits[1])
    assert password not in json.dumps(namespace.get("canary", "pricing"))


# -- what goes --------------------------------------------------------------------------------------------------------


def test_a_commit_that_deletes_a_pipeline_with_a_run_under_way_ends_the_run(
    namespace: Namespace, tmp_path: Path
) -> None:
    repository = Repository(namespace.name, tmp_path)
    pipelines = {"one": pipeline("one", shell("main", HELD)), "two": pipeline("two", shell("main"))}
    first = repository.commit("Add pipelines", **pipelines)
    with application(namespace, repository, "ServerSideApply=true") as app:
        app.synced(first)
        namespace.running(namespace.run("one"), "main")
        app.synced(repository.commit("Remove the pipeline one", one=None))
        namespace.wait_for("the end of its run", lambda: not namespace.all_of("pipelineruns"))
        namespace.wait_for("the end of its pod", lambda: not namespace.all_of("pods"))
        app.is_healthy("Healthy")
        app.synced(repository.commit("Have it again", one=pipeline("one", shell("main"))))
        assert namespace.ended(namespace.run("one"))["phase"] == "Succeeded"


def test_a_pipeline_that_is_renamed_goes_and_comes(namespace: Namespace, tmp_path: Path) -> None:
    repository = Repository(namespace.name, tmp_path)
    first = repository.commit("Add the pipeline one", one=pipeline("one", shell("main")))
    with application(namespace, repository, "ServerSideApply=true") as app:
        app.synced(first)
        app.synced(repository.commit("Call it uno", one=pipeline("uno", shell("main"))))
        assert [row["metadata"]["name"] for row in namespace.all_of("pipelines")] == ["uno"]
        assert namespace.ended(namespace.run("uno"))["phase"] == "Succeeded"


def test_a_canary_that_is_renamed_in_mid_canary_gives_its_target_to_its_successor(
    namespace: Namespace, tmp_path: Path
) -> None:
    repository = Repository(namespace.name, tmp_path)
    made = canary(canary=LONG, approval={"promotion": "Manual"})
    first = repository.commit("Sell apples", shop=shop(namespace), target=target("apples"), canary=made)
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        repository.commit("Sell pears", target=target("pears"))
        stands(app, namespace, "Stepping", "Progressing")
        renamed = {**made, "metadata": {"name": "prices"}}
        app.synced(repository.commit("Call the canary prices", canary=renamed))

        def successor() -> bool:
            return (namespace.get("canary", "prices").get("status") or {}).get("phase") == "Stepping"

        namespace.wait_for("the successor to go on", successor)
        assert [row["metadata"]["name"] for row in namespace.all_of("canaries")] == ["prices"]
        assert namespace.get("deployment", "pricing")["metadata"]["labels"]["sluice.dev/canary"] == "prices"
        (candidate,) = namespace.all_of("deployments", "sluice.dev/candidate")
        assert candidate["metadata"]["ownerReferences"][0]["name"] == "prices"
        app.is_healthy("Progressing")
