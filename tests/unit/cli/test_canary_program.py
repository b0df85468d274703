"""The verbs of `sluice canary` as a program, against an API server on the loopback address."""

import json
from pathlib import Path

import pytest

from sluice.api.canary_status import CanaryPhase as P
from tests.unit.cli.canaries import NAME, CanaryCluster
from tests.unit.cli.program import program

ROOT = Path(__file__).resolve().parents[3]


async def sluice(cluster: CanaryCluster, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr)"""
    return await program(cluster.url, folder, "canary", *arguments)


async def test_a_request_that_is_accepted_and_one_that_is_refused(tmp_path: Path) -> None:
    async with CanaryCluster() as cluster:
        assert await sluice(cluster, tmp_path, "abort", NAME) == (
            0,
            "canary.sluice.dev/pricing abort accepted: RollingBack, step 1/2; Aborted: aborted\n",
            "",
        )
        code, out, err = await sluice(cluster, tmp_path, "promote", NAME, "--full")
        assert (code, out) == (1, "")
        assert err.startswith("error: promoteInFull is refused: promoteInFull cannot be done in phase RollingBack; ")


async def test_a_request_that_nobody_answers_ends_with_4(tmp_path: Path) -> None:
    async with CanaryCluster(operator=False) as cluster:
        code, out, err = await sluice(cluster, tmp_path, "pause", NAME, "--timeout", "200ms")
        assert (code, out) == (4, "")
        assert "is sluice running" in err


async def test_the_status_as_text_and_as_json(tmp_path: Path) -> None:
    async with CanaryCluster() as cluster:
        code, text, _ = await sluice(cluster, tmp_path, "status", NAME)
        assert code == 0
        assert text.splitlines()[0].startswith("pricing  Stepping  step 1/2")
        code, text, _ = await sluice(cluster, tmp_path, "status", NAME, "-o", "json")
        found = json.loads(text)
        assert (code, found["name"], found["namespace"], found["target"]) == (0, NAME, "data", "pricing")
        assert found["phase"] == "Stepping"


@pytest.mark.parametrize(("phase", "code"), [(P.STABLE, 0), (P.FAILED, 1)])
async def test_watching_ends_with_what_the_newest_rollout_came_to(tmp_path: Path, phase: P, code: int) -> None:
    async with CanaryCluster(phase) as cluster:
        found = await sluice(cluster, tmp_path, "watch", NAME)
        assert (found[0], found[1].count("\n")) == (code, 1)
