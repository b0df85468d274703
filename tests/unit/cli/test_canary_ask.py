"""Requests to a Canary over a real connection: what is written, what comes of it, and what the user is told."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kubernetes.aio.client import Configuration

from sluice.api.canary_status import CanaryPhase as P
from sluice.cli.canary_ask import ask
from sluice.cli.errors import CliError, Exit, explain
from sluice.cli.session import Session
from sluice.kube.client import KubeClient
from sluice.kube.connection import Connection
from sluice.kube.errors import NotFound
from sluice.planning.canary_controls import ACTIONS, ALLOWED
from tests.unit.cli.canaries import NAME, CanaryCluster

WHERE = {"skip": P.STEPPING, "promote": P.STEPPING, "retry": P.FAILED}


@asynccontextmanager
async def session(cluster: CanaryCluster) -> AsyncIterator[Session]:
    async with cluster, KubeClient(Connection(Configuration(host=cluster.url))) as client:
        yield Session(client, "data")


@pytest.mark.parametrize("action", ACTIONS)
async def test_every_request_is_understood_and_its_outcome_told(action: Any) -> None:
    cluster = CanaryCluster(WHERE.get(action, P.STEPPING))
    async with session(cluster) as found:
        told = await ask(found, NAME, action, 5.0)
    assert told.startswith(f"canary.sluice.dev/{NAME} {action} accepted: {cluster.world.status.phase}")
    (patch,) = cluster.patches
    assert list(patch) == ["metadata"]
    text = patch["metadata"]["annotations"]["sluice.dev/control"]
    assert re.fullmatch(rf"{action}:[0-9a-f]{{8}}", text)


async def test_what_came_of_it_says_where_the_canary_stands() -> None:
    async with session(CanaryCluster()) as found:
        assert await ask(found, NAME, "abort", 5.0) == (
            "canary.sluice.dev/pricing abort accepted: RollingBack, step 1/2; Aborted: aborted"
        )


async def test_a_second_request_of_the_same_kind_is_another_one() -> None:
    cluster = CanaryCluster()
    async with session(cluster) as found:
        await ask(found, NAME, "pause", 5.0)
        await ask(found, NAME, "pause", 5.0)
    first, second = (patch["metadata"]["annotations"]["sluice.dev/control"] for patch in cluster.patches)
    assert first != second


async def test_a_refusal_says_why_and_ends_with_1() -> None:
    async with session(CanaryCluster(P.STABLE)) as found:
        with pytest.raises(
            CliError, match="abort is refused: abort cannot be done in phase Stable; it can in"
        ) as caught:
            await ask(found, NAME, "abort", 5.0)
    assert caught.value.code is Exit.NO
    assert all(str(phase) in str(caught.value) for phase in ALLOWED["abort"])


async def test_who_waits_for_nobody_is_told_that_the_request_stays() -> None:
    async with session(CanaryCluster(operator=False)) as found:
        with pytest.raises(CliError) as caught:
            await ask(found, NAME, "pause", 0.05, nonce="7")
    assert str(caught.value) == (
        "no answer to pause:7 within 50ms: an operator has looked at this Canary before; is sluice running, and does it "
        "serve this namespace? The request stays, and is dealt with when it does; to take it back: "
        "kubectl -n data annotate canary pricing sluice.dev/control-"
    )
    assert caught.value.code is Exit.UNKNOWN


class Contested(CanaryCluster):
    """Somebody else asks for something right after us."""

    def annotate(self, text: str) -> None:
        self.operator = False
        super().annotate(text)
        self.operator = True
        super().annotate("pause:theirs")


async def test_a_request_that_another_one_replaced_is_not_waited_for() -> None:
    cluster = Contested()
    async with session(cluster) as found:
        with pytest.raises(CliError, match="another request, pause:theirs, took the place of this one") as caught:
            await ask(found, NAME, "promote", 5.0)
    assert caught.value.code is Exit.UNKNOWN
    assert cluster.world.status.paused is not None


async def test_a_canary_that_is_not_there_is_an_error_with_its_name() -> None:
    async with session(CanaryCluster()) as found:
        with pytest.raises(NotFound) as caught:
            await ask(found, "prizing", "pause", 5.0)
    assert str(explain(caught.value, "h", "")) == (
        'canaries.sluice.dev "prizing" not found in namespace data; is it the right name and namespace?'
    )
