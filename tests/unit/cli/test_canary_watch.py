"""`sluice canary watch`: the exit code, what ends it, and what it waits for."""

import asyncio
from typing import Any

import pytest

from sluice.cli.canary_screens import CanaryLines
from sluice.cli.canary_watch import CanaryDeleted, watch_canary
from sluice.cli.errors import CliError, Exit
from sluice.cli.session import Session
from tests.unit.cli.api_server import Event, ScriptedClient
from tests.unit.cli.canaries import NAME, canary_object, move

PROMOTED = {"lastMove": move("Returning", "Stable", "Promoted", 60), "reason": "Promoted"}
REVERTED = {"lastMove": move("Restarting", "Stable", "Reverted", 60), "reason": "Reverted"}
ADOPTED = {"lastMove": move("Waiting", "Stable", "TargetAdopted", 1), "reason": "TargetAdopted"}
BROKEN = {"lastMove": move("RollingBack", "Failed", "GateFailed", 60), "reason": "GateFailed"}


async def watch(*states: dict[str, Any], last: str = "MODIFIED", following: bool = False) -> Exit:
    events: list[Event] = [("MODIFIED", state) for state in states[1:]]
    if last != "MODIFIED":
        events[-1] = (last, states[-1])
    client = ScriptedClient(objects={f"canaries/{NAME}": [states[0]]}, watches=[list(events)])
    session = Session(client, "data")  # type: ignore[arg-type]
    return await watch_canary(session, NAME, CanaryLines(), limit=5, following=following)


@pytest.mark.parametrize(
    ("phase", "status", "code"),
    [
        ("Stable", PROMOTED, Exit.OK),
        ("Stable", REVERTED, Exit.NO),
        ("Failed", BROKEN, Exit.NO),
    ],
)
async def test_the_exit_code_says_what_became_of_the_new_version(
    phase: str, status: dict[str, Any], code: Exit
) -> None:
    states = (canary_object("Stepping"), canary_object("Watching"), canary_object(phase, **status))
    assert await watch(*states) is code


async def test_each_change_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    await watch(canary_object("Stepping"), canary_object("Stepping"), canary_object("Failed", **BROKEN))
    out, err = capsys.readouterr()
    assert [line.split("  ")[2] for line in out.splitlines()] == ["Stepping", "Failed"]
    assert err == "for another try of this revision: sluice canary retry -n data pricing\n"


@pytest.mark.parametrize(
    ("phase", "status", "code"),
    [("Stable", PROMOTED, Exit.OK), ("Stable", ADOPTED, Exit.OK), ("Failed", BROKEN, Exit.NO)],
)
async def test_without_a_rollout_it_ends_with_what_the_newest_one_came_to(
    phase: str, status: dict[str, Any], code: Exit
) -> None:
    assert await watch(canary_object(phase, **status)) is code


async def test_with_next_it_waits_for_a_rollout(capsys: pytest.CaptureFixture[str]) -> None:
    later = {"lastMove": move("Returning", "Stable", "Promoted", 600), "reason": "Promoted"}
    before = canary_object("Failed", **BROKEN)
    states = (before, before, canary_object("Holding"), canary_object("Stable", **later))
    assert await watch(*states, following=True) is Exit.OK
    assert "no rollout is under way; waiting for the next one" in capsys.readouterr().err


async def test_with_next_a_rollout_under_way_is_the_one() -> None:
    assert await watch(canary_object("Stepping"), canary_object("Stable", **PROMOTED), following=True) is Exit.OK


async def test_a_canary_that_is_deleted_has_no_outcome() -> None:
    with pytest.raises(CanaryDeleted, match="Canary pricing was deleted while it was Leaving") as caught:
        await watch(canary_object("Stepping"), canary_object("Leaving"), last="DELETED")
    assert caught.value.code is Exit.UNKNOWN


async def test_a_canary_at_rest_that_is_being_deleted_is_followed_to_its_end() -> None:
    dying = canary_object("Stable", **PROMOTED)
    dying["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    with pytest.raises(CanaryDeleted):
        await watch(dying, dying, last="DELETED")


class SilentClient(ScriptedClient):
    """A watch that brings nothing."""

    async def watch(self, *_args: Any, **_options: Any) -> Any:
        await asyncio.Event().wait()
        yield


async def test_the_timeout_leaves_the_rollout_alone() -> None:
    client = SilentClient(objects={f"canaries/{NAME}": [canary_object("Stepping")]})
    with pytest.raises(CliError, match="Canary pricing is Stepping when the timeout passes; it goes on") as caught:
        await watch_canary(
            Session(client, "data"),  # type: ignore[arg-type]
            NAME,
            CanaryLines(),
            limit=0.01,
            following=False,
        )
    assert caught.value.code is Exit.UNKNOWN


async def test_a_phase_of_a_newer_sluice_is_told_and_not_guessed() -> None:
    with pytest.raises(CliError, match=r'cannot read Canary "pricing": status\.phase: .* newer sluice'):
        await watch(canary_object("Levitating"))
