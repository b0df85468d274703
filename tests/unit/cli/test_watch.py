"""`sluice watch`: the exit code, the timeout, and what a user is told who waits for nobody."""

import asyncio
import io
from typing import Any

import pytest
from rich.console import Console

from sluice.cli import reminder, show_run
from sluice.cli.errors import CliError, Exit
from sluice.cli.screens import Lines, Painting
from sluice.cli.session import Session
from sluice.cli.watch import watch_run
from tests.unit.cli.api_server import ScriptedClient
from tests.unit.cli.runs import NOON, ended, live, run_object, run_state

NAME = "flights-x7k2p"
REVISION = {"data": {"spec": {"steps": [{"name": "b", "image": "i", "dependsOn": ["a"]}, {"name": "a", "image": "i"}]}}}


def session(*states: dict[str, Any], **objects: Any) -> Session:
    client = ScriptedClient(
        objects={f"pipelineruns/{NAME}": [states[0]], **objects},
        watches=[[("MODIFIED", state) for state in states[1:]]],
    )
    return Session(client, "data")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phase", "code"), [("Succeeded", Exit.OK), ("Failed", Exit.NO), ("Cancelled", Exit.CANCELLED)]
)
async def test_the_exit_code_says_what_became_of_the_run(
    phase: str, code: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    found = session(run_object("Running", live("a")), run_object(phase, ended("a"), finishedAt=NOON))
    assert await watch_run(found, NAME, None) is code
    assert capsys.readouterr().out.splitlines()[-1].split("  ")[1:] == [NAME, phase]


async def test_a_failed_run_is_shown_the_way_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    found = session(run_object("Failed", ended("a", "Failed"), ended("b", "UpstreamFailed")))
    assert await watch_run(found, NAME, None) is Exit.NO
    assert capsys.readouterr().err == f"for its log: sluice logs -n data {NAME} a\n"


class SilentClient(ScriptedClient):
    """A watch that brings nothing."""

    async def watch(self, *_args: Any, **_options: Any) -> Any:
        await asyncio.Event().wait()
        yield


async def test_the_timeout_leaves_the_run_alone() -> None:
    client = SilentClient(objects={f"pipelineruns/{NAME}": [run_object("Running")]})
    with pytest.raises(CliError, match="is Running when the timeout passes; it goes on") as caught:
        await watch_run(Session(client, "data"), NAME, 0.01)  # type: ignore[arg-type]
    assert caught.value.code is Exit.UNKNOWN


async def test_who_waits_for_nobody_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reminder, "UNNOTICED", 0.0)
    client = SilentClient(objects={f"pipelineruns/{NAME}": [run_object(None)]})
    with pytest.raises(CliError):
        await watch_run(Session(client, "data"), NAME, 0.05)  # type: ignore[arg-type]
    assert "no operator has looked at this run yet" in capsys.readouterr().err


class Recorder(Lines):
    """Keeps the order in which steps would be shown."""

    places: tuple[str, ...] = ()

    def show(self, run: Any, places: Any) -> None:
        self.places = tuple(place.name for place in places)


@pytest.mark.parametrize(("known", "order"), [(True, ("a", "b")), (False, ("b", "a"))])
async def test_the_tree_is_that_of_the_revision_where_it_can_be_read(known: bool, order: tuple[str, ...]) -> None:
    objects = {"controllerrevisions/flights-1": [REVISION]} if known else {}
    screen = Recorder()
    run = run_object("Succeeded", ended("b"), ended("a"), revision="flights-1")
    await show_run.show_run(session(run, **objects), NAME, screen)
    assert screen.places == order


def test_a_painting_leaves_its_last_picture() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, height=12, force_terminal=True, color_system=None)
    with Painting(console) as painting:
        painting.show(run_state("Running", live("a")), ())
        painting.notify("connected again")
        painting.show(run_state("Succeeded", ended("a")), ())
    lines = out.getvalue().splitlines()
    assert any("connected again" in line for line in lines)
    assert any("Succeeded" in line for line in lines[-3:])
