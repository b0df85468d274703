"""What `sluice dora` and `sluice drift` say of releases that came by commits, in a real Argo CD.

Needs the add-ons argocd and gateway.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.argo import Repository, application
from tests.cluster.kit import Manifest, Namespace, pipeline, shell
from tests.cluster.prometheus import Prometheus
from tests.cluster.shop import RESPECT, canary, evidence_of, shop, stands, target

pytestmark = [pytest.mark.argocd, pytest.mark.gateway]

GOOD, BAD = "errors 0.002\n", "errors 0.5\n"


def drifts(namespace: Namespace) -> list[Manifest]:
    """What `sluice drift` finds."""
    done = namespace.cli("drift", "-o", "json")
    document: Manifest = json.loads(done.stdout)
    assert done.returncode == (1 if document["drifts"] else 0), done.stderr
    assert (document["canaries"], document["applications"], document["notes"]) == (1, 1, [])
    return list(document["drifts"])


def keys(namespace: Namespace, kind: str) -> dict[str, Any]:
    """The four keys of the only object of a kind."""
    document = json.loads(namespace.cli("dora", "-o", "json", check=True).stdout)
    (found,) = (row for row in document["objects"] if row["kind"] == kind)
    return dict(found)


def test_what_came_by_commits_is_counted_and_what_differs_is_told(
    namespace: Namespace, tmp_path: Path, prom: Prometheus
) -> None:
    repository = Repository(namespace.name, tmp_path / "work")
    first = repository.commit(
        "Sell apples",
        shop=shop(namespace),
        target=target("apples"),
        canary=canary(canary={"steps": [{"weight": 50, "hold": "4s"}]}, gates=[{"name": "slo"}]),
        evidence=evidence_of(prom),
        one=pipeline("one", shell("main")),
    )
    with application(namespace, repository, RESPECT) as app:
        app.synced(first)
        stands(app, namespace, "Stable", "Healthy")
        namespace.ended(namespace.run("one"))
        assert drifts(namespace) == []

        bad = repository.commit("Sell pears", target=target("pears"))
        stands(app, namespace, "Stepping", "Progressing")
        prom.lines = BAD
        stands(app, namespace, "Failed", "Degraded")
        app.synced(bad)
        namespace.wait_for("its commit", lambda: namespace.get("canary", "pricing")["status"].get("candidateCommit"))
        (row,) = drifts(namespace)
        assert (row["object"]["kind"], row["kind"]) == ("Canary", "RolledBack")
        assert bad[:8] in row["what"]
        assert first[:8] in row["what"]
        assert row["seconds"] > 0
        assert "RolledBack" in namespace.cli("drift").stdout

        repository.git("revert", "--no-edit", "HEAD")
        app.synced(repository.push("Have apples again"))
        stands(app, namespace, "Stable", "Healthy")
        assert drifts(namespace) == []

        prom.lines = GOOD
        plums = repository.commit("Sell plums", target=target("plums"))
        stands(app, namespace, "Stepping", "Progressing")
        stands(app, namespace, "Stable", "Healthy")
        app.synced(plums)
        assert drifts(namespace) == []

        found = keys(namespace, "Canary")
        assert found["outcomes"] == {"Promoted": 1, "RolledBack": 1}
        assert found["deploymentFrequency"]["promoted"] == 1
        assert (found["leadTime"]["count"], found["leadTime"]["withoutCommitTime"]) == (1, 0)
        assert 0 < found["leadTime"]["medianSeconds"] < 300
        assert (found["changeFailureRate"]["failed"], found["changeFailureRate"]["rate"]) == (1, 0.5)
        assert found["timeToRestore"]["count"] == 1
        assert 0 <= found["timeToRestore"]["medianSeconds"] < 30
        (promoted,) = (row for row in rollouts(namespace) if row["outcome"] == "Promoted")
        assert promoted["commit"] == plums

        delivered = keys(namespace, "DataPipeline")
        assert delivered["deploymentFrequency"]["promoted"] == 1
        assert delivered["leadTime"]["count"] == 1
        table = namespace.cli("dora", check=True).stdout
        assert "change failure rate    50.0%" in table, table


def rollouts(namespace: Namespace) -> list[Manifest]:
    return list(namespace.get("canary", "pricing")["status"]["rollouts"])
