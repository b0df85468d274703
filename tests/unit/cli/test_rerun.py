"""`sluice rerun`: what is made, what is said of it, and what is refused before anything is sent; and how it is shown."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from sluice.cli.errors import CliError
from sluice.cli.new_run import build_rerun
from sluice.cli.pod_logs import Request, print_logs
from sluice.cli.rerun import _create
from sluice.cli.session import Session
from sluice.cli.tree import changes, lay_out
from sluice.planning.validation import check_manifest
from tests.unit.cli.api_server import ScriptedClient
from tests.unit.cli.runs import NOON, ended, run_object, run_state
from tests.unit.cli.test_tree import FLIGHTS, text

NAME = "flights-x7k2p"
REVISION = {"data": {"spec": {"steps": [{"name": "a", "image": "i"}, {"name": "b", "image": "i", "dependsOn": ["a"]}]}}}
FAILED = run_object("Failed", ended("a"), ended("b", "Failed"), startedAt=NOON, revision="flights-1")


class Writable(ScriptedClient):
    """Keeps what is created."""

    created: dict[str, Any] | None = None

    async def create(self, _resource: Any, _namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
        self.created = manifest
        return manifest


def client(**objects: Any) -> Writable:
    return Writable(objects={"controllerrevisions/flights-1": [REVISION], **objects})


async def make(api: Writable, old: dict[str, Any] = FAILED, *from_: str, name: str | None = None) -> tuple[str, str]:
    return await _create(Session(api, "data"), old, name, list(from_))  # type: ignore[arg-type]


async def test_the_new_run_names_the_old_one_and_says_what_will_run() -> None:
    api = client()
    name, told = await make(api)
    assert re.fullmatch("flights-[a-z0-9]{5}", name)
    assert api.created == build_rerun(FAILED, name, [])
    assert told == f"runs again: b\ntaken over from {NAME}: a"


async def test_from_a_step_on() -> None:
    api = client()
    name, told = await make(api, FAILED, "a", name="again")
    assert name == "again"
    assert api.created is not None
    assert api.created["spec"]["rerun"] == {"of": NAME, "from": ["a"]}
    assert told == f"runs again: a, b\ntaken over from {NAME}: nothing"


@pytest.mark.parametrize(
    ("old", "from_", "words"),
    [
        (run_object("Running", startedAt=NOON, revision="flights-1"), (), "is Running; only a run that has ended"),
        (run_object(None), (), "is Pending; only a run that has ended"),
        (run_object("Failed"), (), "never started, so there is nothing to take over"),
        (run_object("Succeeded", startedAt=NOON, revision="flights-1"), (), "there is nothing to run again"),
        (FAILED, ("c",), r'spec\.rerun\.from\[0\]: Not found: "c": .*these: a, b'),
        (FAILED, ("A B",), r"spec\.rerun\.from\[0\]"),
    ],
)
async def test_what_would_be_refused_is_not_sent(old: dict[str, Any], from_: tuple[str, ...], words: str) -> None:
    api = client()
    with pytest.raises(CliError, match=words):
        await make(api, old, *from_)
    assert api.created is None


async def test_a_run_whose_revision_is_gone_is_not_run_again() -> None:
    api = Writable()
    with pytest.raises(CliError, match=r'the revision "flights-1" .* is gone; start another run: sluice run flights'):
        await make(api)
    assert api.created is None


def test_the_manifest_belongs_to_the_pipeline_of_the_old_run() -> None:
    owner = {"kind": "DataPipeline", "name": "flights", "uid": "p-1"}
    old = {**FAILED, "metadata": {**FAILED["metadata"], "ownerReferences": [owner]}}
    made = build_rerun(old, "again", [])
    assert made["metadata"]["ownerReferences"] == [owner]
    assert made["metadata"]["labels"] == {"sluice.dev/pipeline": "flights", "sluice.dev/rerun-of": NAME}
    assert check_manifest(build_rerun(FAILED, "again", ["a"])) == []


RERUN = run_state(
    "Running",
    ended("extract", takenFrom="flights-old"),
    ended("clean", begin=20, end=30),
    startedAt=NOON,
    rerunOf={"name": "flights-old", "uid": "u-0"},
)


def test_the_tree_says_where_a_step_was_taken_over_from() -> None:
    shown = text(RERUN, lay_out(FLIGHTS)).splitlines()
    assert "rerun of flights-old; started" in shown[1]
    assert shown[2].split(maxsplit=4)[1:] == ["extract", "Succeeded", "12s", "taken over from flights-old"]
    assert "taken over" not in shown[3]


def test_the_lines_say_so_too_at_the_time_of_the_rerun() -> None:
    now = datetime(2026, 3, 2, 9, 0, 0, tzinfo=UTC)
    (line,) = (row for row in changes(None, RERUN, now, UTC) if "extract" in row)
    assert line == "09:00:00  extract  Succeeded  after 12s: taken over from flights-old"


async def test_the_log_of_a_step_that_was_taken_over_is_that_of_the_pod_that_ran() -> None:
    run = run_object("Running", ended("a", takenFrom="flights-old", attempt=2, pod="pod-a-2"))
    api = ScriptedClient(
        objects={f"pipelineruns/{NAME}": [run]},
        pods=[{"metadata": {"name": "pod-a-1"}}],
        logs={
            "pod-a-1": [[b"2026-03-01T12:00:01.000000000Z first"]],
            "pod-a-2": [[b"2026-03-01T12:00:02.000000000Z two"]],
        },
    )
    lines: list[bytes] = []
    for attempt in (None, 1):
        request = Request(NAME, "a", attempt=attempt)
        await print_logs(Session(api, "data"), request, lambda _step, line: lines.append(line), lines.append)  # type: ignore[arg-type]
    assert lines == [b"two", b"first"]
    assert api.selectors == ["sluice.dev/run=flights-old,sluice.dev/step=a,sluice.dev/attempt=1"]
