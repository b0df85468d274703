"""Following a run: through watches that close, break and expire, until it is over or gone."""

from typing import Any

import pytest

from sluice.cli.errors import Exit
from sluice.cli.following import PATIENCE, RunDeleted, follow_run
from sluice.kube.backoff import Backoff
from sluice.kube.errors import Attempt, ConnectionFailed, Forbidden, Gone, KubeError, NotFound, Unauthorized
from tests.unit.cli.api_server import Event, HastyClock, ScriptedClient, not_found
from tests.unit.cli.runs import run_object

WATCH = Attempt("watch", "pipelineruns.sluice.dev", "data")
BROKEN = ConnectionFailed(WATCH, "reset")
GONE = Gone(WATCH, "too old resource version", code=410)
RUN = "pipelineruns/flights-x7k2p"


def state(version: int, phase: str | None = "Running", uid: str = "u-1") -> dict[str, Any]:
    found = run_object(phase)
    found["metadata"] |= {"resourceVersion": str(version), "uid": uid}
    return found


def changed(version: int, phase: str = "Running", kind: str = "MODIFIED", uid: str = "u-1") -> Event:
    return kind, state(version, phase, uid)


def bookmark(version: int) -> Event:
    return "BOOKMARK", {"metadata": {"resourceVersion": str(version)}}


async def follow(client: ScriptedClient, *, states: int = 100) -> tuple[list[str], list[str], HastyClock]:
    """(phases seen, what the user was told, the clock), until the run has ended or `states` of it were seen."""
    seen: list[str] = []
    told: list[str] = []
    clock = HastyClock()
    runs = follow_run(
        client,  # type: ignore[arg-type]
        "data",
        "flights-x7k2p",
        notify=told.append,
        clock=clock,  # type: ignore[arg-type]
        backoff=Backoff(1.0, 10.0),
    )
    async for run in runs:
        seen.append(str(run.status.phase))
        if run.status.phase.ended or len(seen) == states:
            break
    await runs.aclose()
    return seen, told, clock


async def test_the_state_comes_first_and_then_every_change() -> None:
    client = ScriptedClient(
        objects={RUN: [state(5, None)]}, watches=[[changed(6), bookmark(7), changed(8, "Succeeded")]]
    )
    seen, told, _ = await follow(client)
    assert (seen, told) == (["Pending", "Running", "Succeeded"], [])
    assert client.watched_from == ["5"]


async def test_a_watch_that_closes_is_opened_again_where_it_ended() -> None:
    client = ScriptedClient(
        objects={RUN: [state(5)]}, watches=[[changed(6)], [bookmark(9)], [changed(11, "Succeeded")]]
    )
    seen, told, clock = await follow(client)
    assert (seen, told) == (["Running", "Running", "Succeeded"], [])
    assert client.watched_from == ["5", "6", "9"]
    assert clock.slept == [1.0, 1.0], "a server that closes every watch at once is not asked without end"


async def test_a_connection_that_breaks_is_made_again() -> None:
    client = ScriptedClient(
        objects={RUN: [state(5)]}, watches=[[changed(6), BROKEN], [BROKEN], [BROKEN], [changed(7, "Failed")]]
    )
    seen, told, _ = await follow(client)
    assert seen == ["Running", "Running", "Failed"]
    assert told == ["lost the connection (reset); trying again", "connected again"]


async def test_an_expired_version_is_read_again() -> None:
    client = ScriptedClient(objects={RUN: [state(5), state(900)]}, watches=[[GONE], [changed(901, "Succeeded")]])
    seen, _, _ = await follow(client)
    assert seen == ["Running", "Running", "Succeeded"]
    assert client.watched_from == ["5", "900"]


@pytest.mark.parametrize(
    "client",
    [
        ScriptedClient(objects={RUN: [state(5)]}, watches=[[changed(6, kind="DELETED")]]),
        ScriptedClient(objects={RUN: [state(5), not_found()]}, watches=[[GONE]]),
        ScriptedClient(objects={RUN: [state(5), state(9, uid="u-2")]}, watches=[[GONE]]),
        ScriptedClient(objects={RUN: [state(5)]}, watches=[[], [changed(9, kind="ADDED", uid="u-2")]]),
    ],
    ids=["watched", "while the watch was down", "made again", "made again, and watched"],
)
async def test_a_run_that_is_deleted_has_no_outcome(client: ScriptedClient) -> None:
    with pytest.raises(RunDeleted, match="run flights-x7k2p was deleted while it was Running") as caught:
        await follow(client)
    assert caught.value.code is Exit.UNKNOWN


async def test_a_run_that_is_not_there_is_an_error() -> None:
    with pytest.raises(NotFound):
        await follow(ScriptedClient())


async def test_patience_ends() -> None:
    client = ScriptedClient(objects={RUN: [state(5)]}, watches=[[BROKEN]] * 200)
    with pytest.raises(ConnectionFailed):
        await follow(client)
    assert PATIENCE / 10 < len(client.watched_from) < PATIENCE / 2


@pytest.mark.parametrize(
    ("error", "tries"),
    [(Forbidden(WATCH, "no", code=403), 1), (Unauthorized(WATCH, "no", code=401), 3)],
)
async def test_what_does_not_get_better_is_not_waited_for(error: KubeError, tries: int) -> None:
    client = ScriptedClient(objects={RUN: [state(5)]}, watches=[[error]] * 10)
    with pytest.raises(type(error)):
        await follow(client)
    assert len(client.watched_from) == tries
