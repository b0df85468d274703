"""Revisions say which commit they are from; a rollback takes it back in Git, and Argo CD applies that.

Needs the add-ons argocd and gateway.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.cluster.argo import Repository, application
from tests.cluster.kit import Manifest, Namespace, pipeline, shell
from tests.cluster.prometheus import Prometheus
from tests.cluster.shop import RESPECT, canary, canary_status, evidence_of, from_commit, shop, target, written_back

pytestmark = [pytest.mark.argocd, pytest.mark.gateway]

STEPS = {"steps": [{"weight": 50, "hold": "4s"}]}


def phase_is(namespace: Namespace, *phases: str, seconds: float = 150) -> Manifest:
    """The status of the Canary, once it is in one of the phases."""

    def look() -> Manifest | None:
        found = canary_status(namespace)
        return found if found.get("phase") in phases else None

    return namespace.wait_for(f"the canary to be {' or '.join(phases)}", look, seconds=seconds)


def trailers(repository: Repository, commit: str) -> dict[str, str]:
    """The trailers of a commit that the operator made."""
    lines = repository.git("log", "-1", "--format=%(trailers:only,unfold)", commit).splitlines()
    return dict(line.split(": ", 1) for line in lines if line)


@contextmanager
def one_who_pushes(repository: Repository, folder: Path) -> Iterator[list[str]]:
    """A person at another desk, who commits notes for as long as this lasts; their commits."""
    over, made, desk = threading.Event(), list[str](), repository.desk(folder)

    def push() -> None:
        while not over.wait(0.2):
            made.append(f"Note {len(made) + 1}")
            desk.git("commit", "--quiet", "--allow-empty", "-m", made[-1])
            while desk.heads()["main"] != desk.git("rev-parse", "HEAD"):
                desk.git("pull", "--quiet", "--rebase")  # somebody else was first
                with suppress(AssertionError):
                    desk.git("push", "--quiet", desk.url, "main")

    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        over.set()
        thread.join(60)
    assert not thread.is_alive()


def test_a_bad_release_is_reverted_in_git_beside_people_who_push_and_argo_cd_applies_the_revert(
    namespace: Namespace, tmp_path: Path, prom: Prometheus
) -> None:
    repository = Repository(namespace.name, tmp_path / "work")
    write_back = {"branch": "main", "onRollback": "Revert", "path": "target.yaml"}
    good = repository.commit(
        "Sell apples",
        shop=shop(namespace),
        target=target("apples"),
        canary=canary(canary=STEPS, gates=[{"name": "slo"}], writeBack=write_back),
        evidence=evidence_of(prom),
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(good)
        app.is_healthy("Healthy", seconds=120)
        namespace.wait_for("the commit", lambda: canary_status(namespace).get("stableCommit"))
        first = phase_is(namespace, "Stable")
        assert first["stableCommit"]["id"] == good
        assert first["stableCommit"]["author"] == "Anna Test"
        assert first["stableCommit"]["message"] == "Sell apples"
        assert first["stableCommit"]["repository"] == repository.url

        bad = repository.commit("Sell pears", target=target("pears"))
        phase_is(namespace, "Stepping")
        with one_who_pushes(repository, tmp_path / "desk") as notes:
            namespace.wait_for("a push of somebody else", lambda: len(notes) > 1)
            prom.lines = "errors 0.5\n"
            record = written_back(namespace)
        assert record["state"] == "Pushed", record
        repository.git("pull", "--quiet", repository.url, "main")
        made = repository.git("log", "--format=%s", f"{bad}..HEAD").splitlines()
        assert sorted(made) == sorted([*notes, 'Revert "Sell pears"'])
        assert repository.git("diff", good, "HEAD", "--", "target.yaml") == ""
        told = trailers(repository, record["commit"])
        assert told["Sluice-Canary"] == f"{namespace.name}/pricing"
        assert told["Sluice-Reverts"] == bad
        assert told["Sluice-Reason"].startswith("GateFailed: slo: ")
        assert told["Signed-off-by"]
        assert namespace.event("pricing", "WrittenBack")["message"] == record["message"]

        head = repository.git("rev-parse", "HEAD")
        app.synced(head)
        app.shows("Canary", "pricing", "Healthy", seconds=120)
        app.is_healthy("Healthy")
        last = phase_is(namespace, "Stable")
        assert last["stableRevision"] == first["stableRevision"]
        assert repository.heads() == {"main": head}


def test_a_pipeline_says_which_commit_its_revision_is_from(namespace: Namespace, tmp_path: Path) -> None:
    repository = Repository(namespace.name, tmp_path)
    first = repository.commit("Add the pipeline one", one=pipeline("one", shell("main")))

    def commit() -> Manifest:
        return dict(namespace.get("pipeline", "one").get("status", {}).get("revisionCommit") or {})

    with application(namespace, repository, "ServerSideApply=true") as app:
        app.synced(first)
        namespace.wait_for("the commit", lambda: commit().get("id") == first)
        assert commit()["author"] == "Anna Test"
        assert commit()["message"] == "Add the pipeline one"
        assert first[:8] in namespace.kubectl("get", "pipelines", "-o", "wide").stdout

        second = repository.commit("Change it", one=pipeline("one", shell("main", "echo two")))
        app.synced(second)
        namespace.wait_for("the next commit", lambda: commit().get("id") == second)


def test_a_revert_is_put_on_a_branch_for_a_person(namespace: Namespace, tmp_path: Path, prom: Prometheus) -> None:
    """Without Argo CD: the target itself says which commit it is from."""
    repository = Repository(namespace.name, tmp_path / "work")

    good = repository.commit("Sell apples", target=target("apples"))
    write_back = {"branch": "main", "onRollback": "RevertBranch"}
    namespace.apply(
        *shop(namespace),
        *evidence_of(prom),
        from_commit("apples", good, repository.url),
        canary(canary=STEPS, gates=[{"name": "slo"}], writeBack=write_back),
    )
    phase_is(namespace, "Stable")
    bad = repository.commit("Sell pears", target=target("pears"))
    namespace.apply(from_commit("pears", bad, repository.url))
    phase_is(namespace, "Stepping")
    prom.lines = "errors 0.5\n"
    record = written_back(namespace)
    assert record["state"] == "Pushed", record
    branch = f"sluice/revert-{bad[:8]}"
    assert repository.heads() == {"main": bad, branch: record["commit"]}
    repository.git("fetch", "--quiet", repository.url, branch)
    assert repository.git("diff", good, "FETCH_HEAD") == ""
    assert phase_is(namespace, "Failed")["reason"] == "GateFailed"


STAGING = """\
# what comes after dev
resources: [../base]
images:
- name: localhost/sluice/busybox   # the shop
  newTag: "0"
"""


def test_a_promoted_version_is_committed_to_the_next_environment(namespace: Namespace, tmp_path: Path) -> None:
    repository = Repository(namespace.name, tmp_path)
    folder = repository.folder / "staging"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(STAGING)
    write_back = {"branch": "main", "onPromotion": {"path": "staging"}}
    first = repository.commit(
        "Sell apples",
        shop=shop(namespace),
        target=target("apples"),
        canary=canary(approval={"promotion": "Manual"}, writeBack=write_back),
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        phase_is(namespace, "Stable")
        pears = repository.commit("Sell pears", target=target("pears"))
        phase_is(namespace, "Approving")
        namespace.cli("canary", "promote", "pricing", check=True)

        def brought() -> Manifest | None:
            record: Manifest = canary_status(namespace).get("forward") or {}
            return record if record.get("state") in ("Pushed", "NotNeeded", "Failed") else None

        record = namespace.wait_for("the commit to the next environment", brought, seconds=120)
        assert record["state"] == "Pushed", record
        repository.git("pull", "--quiet", repository.url, "main")
        assert (folder / "kustomization.yaml").read_text() == STAGING.replace('"0"', '"1"')
        assert repository.git("log", "--format=%s", f"{pears}..HEAD") == "Promote busybox 1 to staging"
        assert trailers(repository, "HEAD")["Sluice-Commit"] == pears
        assert namespace.event("pricing", "Forwarded")["message"] == record["message"]
        app.synced(repository.git("rev-parse", "HEAD"))
        app.is_healthy("Healthy")


@pytest.mark.parametrize(
    ("url", "says", "state"),
    [
        pytest.param(
            "https://git.example.com/shop.git",
            "is not one that the operator may use",
            "Failed",
            id="a repository that is not allowed",
        ),
        pytest.param("{url}-gone.git", "not found", "Pending", id="a repository that is not there"),
    ],
)
def test_what_cannot_be_written_back_is_said_and_the_rollback_is_done(
    namespace: Namespace, tmp_path: Path, prom: Prometheus, url: str, says: str, state: str
) -> None:
    repository = Repository(namespace.name, tmp_path / "work")
    asked = url.format(url=repository.url.removesuffix(".git"))
    commits = [repository.commit(f"Sell {word}", target=target(word)) for word in ("apples", "pears")]

    write_back = {"repository": asked, "branch": "main", "onRollback": "Revert"}
    namespace.apply(
        *shop(namespace),
        *evidence_of(prom),
        from_commit("apples", commits[0]),
        canary(canary=STEPS, gates=[{"name": "slo"}], writeBack=write_back),
    )
    phase_is(namespace, "Stable")
    namespace.apply(from_commit("pears", commits[1]))
    phase_is(namespace, "Stepping")
    prom.lines = "errors 0.5\n"
    phase_is(namespace, "Failed")
    event = namespace.event("pricing", "WriteBackFailed")
    record = canary_status(namespace)["writeBack"]
    assert record["state"] == state, record
    assert says in record["message"]
    assert record["message"] in event["message"]
    assert repository.heads() == {"main": commits[1]}
