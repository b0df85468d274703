"""Rollouts in which the operator is ended after everything that it does: none of it is done twice, left out or out of turn.

The same rollout is done undisturbed before, to compare with. Needs the add-ons gateway and argocd, and the operator for itself.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.argo import Repository
from tests.cluster.boundaries import MOST, Boundaries, Boundary
from tests.cluster.kit import Manifest, Namespace
from tests.cluster.rollouts import SOURCE, Rollouts, canary, check, gate, met

pytestmark = [pytest.mark.gateway, pytest.mark.quiet]

JUDGE = gate("judge", check("error-rate", "ErrorRate", max=0.04, minRequests=15))
STRATEGIES: dict[str, tuple[Manifest, list[int]]] = {
    "canary": ({"canary": {"steps": [{"weight": 20, "hold": "1s"}, {"weight": 60, "hold": "1s"}]}}, [20, 60, 100, 0]),
    "blueGreen": ({"canary": None, "blueGreen": {"watch": "2s", "keepOld": "1s"}}, [100, 0]),
}
POINTS = {"canary": "BeforeStep", "blueGreen": "BeforePromotion"}
SECONDS = 400
RELEASED = ("PATCH", "canaries", "pricing")
"""The last write for a Canary that is deleted: its finalizer."""


@pytest.fixture
def rollouts(namespace: Namespace) -> Rollouts:
    return Rollouts(namespace)


def install(rollouts: Rollouts, **spec: Any) -> Manifest:
    """The example at rest; its status."""
    rollouts.install(SOURCE, JUDGE, canary(gates=[{"name": "judge"}], watch="2s", **spec))
    return rollouts.reaches("Stable", seconds=60)


async def rollout(rollouts: Rollouts, boundaries: Boundaries, version: str, drain: str, *, ending: bool) -> Any:
    """Release a version and see to its end, under load: the last status, and what clients met."""

    def release() -> Manifest:
        boundaries.watch(ending=ending)
        rollouts.release(version, PRICING_DRAIN=drain)

        def over() -> Manifest | None:
            assert boundaries.ends < MOST, "no progress"
            status = boundaries.status()
            return status if status.get("phase") in ("Stable", "Failed") else None

        status = rollouts.namespace.wait_for("the end of the rollout", over, seconds=SECONDS)
        boundaries.rest()
        return status

    return await rollouts.under_load(release)


def require_all(undisturbed: list[Boundary], ended: list[Boundary]) -> None:
    """The operator was ended at every boundary of an undisturbed rollout.

    Boundaries are counted once for each phase and weight: what an operator learns while it is down, the next one writes at once.
    """
    print(f"{len(undisturbed)} boundaries undisturbed:", *undisturbed, sep="\n  ")
    print(f"ended at {len(ended)}:", *ended, sep="\n  ")
    assert {str(one) for one in undisturbed} <= {str(one) for one in ended}


@pytest.mark.parametrize("strategy", list(STRATEGIES))
async def test_a_good_version_is_promoted_whatever_the_operator_was_at(
    rollouts: Rollouts, boundaries: Boundaries, strategy: str
) -> None:
    own, weights = STRATEGIES[strategy]
    hook = {"name": "told", "at": POINTS[strategy], "http": {"url": f"{boundaries.url}/hooks/told"}}
    first = install(rollouts, hooks=[hook], **own)
    route = rollouts.weights()
    await rollout(rollouts, boundaries, "good", "6", ending=False)
    undisturbed, written, called = boundaries.done(), boundaries.weights(), len(boundaries.effects)
    assert written == weights

    status, reports = await rollout(rollouts, boundaries, "good", "5", ending=True)
    assert boundaries.problems == []
    require_all(undisturbed, boundaries.done())
    assert (status["phase"], status["reason"]) == ("Stable", "Promoted")
    assert status["stableRevision"] == first["stableRevision"], "back at the template of the beginning"
    assert status["round"] == 2, "begun once"
    assert boundaries.weights() == weights
    assert rollouts.weights() == route
    assert len(boundaries.effects) == 2 * called
    assert set(boundaries.effects.values()) == {1}
    assert met(reports)[1] == 0, [report.as_json() for report in reports]
    target = rollouts.namespace.get("deployment", "pricing")
    assert not target["spec"].get("paused")
    assert not rollouts.namespace.all_of("deployments", "sluice.dev/candidate=pricing")


@pytest.mark.argocd
async def test_a_bad_version_is_rolled_back_and_reverted_in_git_whatever_the_operator_was_at(
    rollouts: Rollouts, boundaries: Boundaries, tmp_path: Path
) -> None:
    repository = Repository(rollouts.namespace.name, tmp_path)
    write_back = {"repository": repository.url, "branch": "main", "onRollback": "Revert"}
    first = install(rollouts, canary={"steps": [{"weight": 50, "hold": "10m"}]}, writeBack=write_back)
    route = rollouts.weights()
    commit(rollouts, repository, "good")
    commit(rollouts, repository, "failing")
    await rollout(rollouts, boundaries, "failing", "5", ending=False)
    undisturbed = boundaries.done()
    rollouts.namespace.wait_for("the revert", lambda: written(rollouts) == "Pushed")
    rollouts.release("good", PRICING_DRAIN="5")
    rollouts.rests("Reverted")

    repository.git("pull", "--quiet", repository.url, "main")
    bad = commit(rollouts, repository, "failing again")
    status, reports = await rollout(rollouts, boundaries, "failing", "6", ending=True)
    assert boundaries.problems == []
    require_all(undisturbed, boundaries.done())
    assert (status["phase"], status["reason"]) == ("Failed", "GateFailed")
    assert status["stableRevision"] == first["stableRevision"]
    assert boundaries.weights() == [50, 0]
    assert rollouts.weights() == route
    failures = [report.as_json()["failures"].keys() for report in reports]
    assert set().union(*failures) == {"500"}, "what the version did, and nothing else"
    assert rollouts.load(60).as_json()["versions"].keys() == {"good"}
    assert rollouts.namespace.get("deployment", "pricing")["spec"]["paused"], "held on the old pods"
    rollouts.namespace.wait_for("the revert", lambda: written(rollouts) == "Pushed")
    repository.git("pull", "--quiet", repository.url, "main")
    subjects = repository.git("log", "--format=%s", f"{bad}..HEAD").splitlines()
    assert subjects == ['Revert "Release failing again"'], "once"


def commit(rollouts: Rollouts, repository: Repository, version: str) -> str:
    """Commit a version, and have the target say that what comes next is from there. The commit's id."""
    made = repository.commit(f"Release {version}", version={"version": version})
    rollouts.namespace.kubectl("annotate", "--overwrite", "deployment/pricing", f"sluice.dev/commit={made}")
    return made


def written(rollouts: Rollouts) -> str:
    """What came of the write-back."""
    return str((rollouts.status().get("writeBack") or {}).get("state", ""))


def test_a_canary_takes_over_and_gives_back_whatever_the_operator_was_at(
    rollouts: Rollouts, boundaries: Boundaries
) -> None:
    boundaries.watch(ending=True)
    install(rollouts, canary={"steps": [{"weight": 20, "hold": "10m"}]})
    everything = {
        ("PATCH", "canaries", "pricing"),
        ("PATCH", "canaries/status", "pricing"),
        ("PATCH", "deployments", "pricing"),
        ("PATCH", "services", "pricing-candidate"),
    }
    rollouts.namespace.wait_for(
        "the target to be taken over", lambda: {one.key for one in boundaries.done()} == everything
    )
    print("taken over, ended at:", *boundaries.done(), sep="\n  ")
    route = rollouts.weights()
    boundaries.watch(ending=False)
    rollouts.release(PRICING_DRAIN="6")
    rollouts.namespace.wait_for("the weight", lambda: boundaries.weights() == [20])

    boundaries.watch(ending=True)
    rollouts.namespace.kubectl("delete", "canary", "pricing", "--timeout=200s")
    # kubectl may hear of the last write before the server in between does
    rollouts.namespace.wait_for("the end of the Canary", lambda: RELEASED in {one.key for one in boundaries.done()})
    given = boundaries.done()
    print("given back, ended at:", *given, sep="\n  ")
    assert boundaries.problems == []
    assert {one.key for one in given} == {
        ("PATCH", "canaries", "pricing"),
        ("PATCH", "canaries/status", "pricing"),
        ("PATCH", "deployments", "pricing"),
        ("PATCH", "httproutes", "pricing"),
        ("DELETE", "deployments", "pricing-candidate"),
        ("DELETE", "services", "pricing-candidate"),
    }
    assert boundaries.weights() == [0]
    assert rollouts.weights() == route
    target = rollouts.namespace.get("deployment", "pricing")
    assert "sluice.dev/canary" not in target["metadata"].get("labels", {})
    assert "sluice.dev/held" not in target["metadata"].get("annotations", {})
    assert not target["spec"].get("paused")
