"""`sluice drift` as a program, against an API server on the loopback address."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.unit.cli.canaries import canary_object
from tests.unit.cli.lists import Lists, sluice

HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1, seconds=5)).isoformat()


def canary(phase: str = "Stable", namespace: str = "data", **status: Any) -> dict[str, Any]:
    obj = canary_object(phase, since=HOUR_AGO, startedAt=HOUR_AGO, **status)
    obj["metadata"]["namespace"] = namespace
    return obj


def deployment(name: str = "pricing", namespace: str = "data", *, updated: int = 2) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "generation": 1},
        "spec": {"replicas": 2},
        "status": {"updatedReplicas": updated, "observedGeneration": 1},
    }


def application(name: str = "shop", into: str = "data", sync: str = "Synced", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {"source": {"targetRevision": "main"}, "destination": {"namespace": into}},
        "status": {
            "sync": {"status": sync, "revision": "b" * 40},
            "history": [{"revision": "a" * 40, "deployedAt": HOUR_AGO}],
            **status,
        },
    }


FAILED: dict[str, Any] = {
    "stableRevision": "v1",
    "candidateRevision": "v2",
    "failed": [{"revision": "v2", "reason": "GateFailed", "message": "error-rate: \x1b[31m0.4", "at": HOUR_AGO}],
    "lastMove": {"fromPhase": "RollingBack", "toPhase": "Failed", "reason": "GateFailed", "at": HOUR_AGO},
}


async def test_nothing_differs(tmp_path: Path) -> None:
    lists = {"canaries": [canary()], "deployments": [deployment()], "applications": [application()]}
    async with Lists(**lists) as api:
        assert await sluice(api, tmp_path, "drift") == (0, "no drift: 1 Canary, 1 Application\n", "")


async def test_what_differs_is_one_line_each_and_exit_code_1(tmp_path: Path) -> None:
    lists = {
        "canaries": [canary("Failed", **FAILED)],
        "deployments": [deployment(updated=0), deployment("of-nobody", updated=0)],
        "applications": [application(sync="OutOfSync"), application("elsewhere", "other", "OutOfSync")],
    }
    async with Lists(**lists) as api:
        code, out, err = await sluice(api, tmp_path, "drift")
        assert (code, err) == (1, "")
        first, second, last = out.splitlines()
        assert first.split() == "Application argocd/shop NotSynced - main is at bbbbbbbb, aaaaaaaa is applied".split()
        assert second.startswith("Canary data/pricing      RolledBack  ")
        assert " UTC (1h" in second
        assert ")  revision v2 is applied, v1 runs: GateFailed: error-rate: " in second
        assert "\x1b" not in out, "what others wrote does not steer the terminal"
        assert last == "2 differences: 1 Canary, 1 Application"


async def test_all_namespaces_as_json(tmp_path: Path) -> None:
    lists = {
        "canaries": [canary("Approving", candidateRevision="v2"), canary(namespace="other")],
        "deployments": [deployment(), deployment(namespace="other", updated=1)],
        "applications": [application("elsewhere", "other", "OutOfSync")],
    }
    async with Lists(**lists) as api:
        code, out, _ = await sluice(api, tmp_path, "drift", "-A", "-o", "json")
        found = json.loads(out)
        assert code == 1
        assert [(row["kind"], row["object"]["namespace"], row["object"]["name"]) for row in found["drifts"]] == [
            ("NotSynced", "argocd", "elsewhere"),
            ("HeldTooLong", "data", "pricing"),
            ("NotRunning", "other", "pricing"),
        ]
        assert (found["canaries"], found["applications"], found["notes"]) == (2, 1, [])
        assert found["drifts"][0]["seconds"] is None
        assert 3600 < found["drifts"][1]["seconds"] < 7200
        code, _, _ = await sluice(api, tmp_path, "drift", "--held-after", "2h")
        assert code == 0


async def test_without_argo_cd_or_the_right_to_ask_it_the_rest_is_told_with_a_note(tmp_path: Path) -> None:
    async with Lists(canaries=[canary()], deployments=[deployment()]) as api:
        assert await sluice(api, tmp_path, "drift") == (
            0,
            "no drift: 1 Canary, 0 Applications\n",
            "note: there is no Argo CD in this cluster: what Git states is not known\n",
        )
        api.forbidden = {"applications"}
        code, _, err = await sluice(api, tmp_path, "drift", "--argocd", "cd")
        assert (code, err) == (0, "note: you may not list the Applications in cd: what Git states is not known\n")
        api.forbidden = {"canaries"}
        code, out, err = await sluice(api, tmp_path, "drift")
        assert (code, out) == (1, "")
        assert "is forbidden" in err


async def test_an_application_that_argo_cd_cannot_compare_is_a_note(tmp_path: Path) -> None:
    conditions = [{"type": "ComparisonError", "message": "repository not accessible"}]
    applications = [application(sync="Unknown", conditions=conditions)]
    async with Lists(canaries=[], deployments=[], applications=applications) as api:
        assert await sluice(api, tmp_path, "drift") == (
            0,
            "no drift: 0 Canaries, 1 Application\n",
            "note: Application shop: Argo CD does not know how it stands: repository not accessible\n",
        )


async def test_an_output_that_there_is_not(tmp_path: Path) -> None:
    async with Lists() as api:
        assert await sluice(api, tmp_path, "drift", "-o", "yaml") == (
            2,
            "",
            'error: --output "yaml" is not known; allowed: text, json\n',
        )
