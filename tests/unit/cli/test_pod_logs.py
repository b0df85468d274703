"""Logs: which pod, which lines, and what is said when there are none."""

from typing import Any

import pytest

from sluice.cli.errors import CliError
from sluice.cli.following import RunDeleted
from sluice.cli.pod_logs import NoLog, Request, print_logs, read_log
from sluice.cli.session import Session
from sluice.kube.errors import Attempt, ConnectionFailed, Invalid, NotFound
from tests.unit.cli.api_server import HastyClock, ScriptedClient
from tests.unit.cli.runs import ended, live, run_object

BROKEN = ConnectionFailed(Attempt("logs", "pods", "data", "p"), "reset")
NAME = "flights-x7k2p"


def stamped(second: int, text: str) -> bytes:
    return f"2026-03-01T12:00:{second:02}.000000000Z {text}".encode()


def session(**script: Any) -> tuple[Session, ScriptedClient]:
    client = ScriptedClient(**script)
    return Session(client, "data"), client  # type: ignore[arg-type]


def run_of(*states: dict[str, Any]) -> dict[str, Any]:
    return {f"pipelineruns/{NAME}": list(states)}


async def printed(found: Session, request: Request) -> tuple[list[str], list[str]]:
    """(lines, what is said beside them)."""
    lines: list[str] = []
    told: list[str] = []
    await print_logs(found, request, lambda step, line: lines.append(f"{step}: {line.decode()}"), told.append)
    return lines, told


async def test_all_steps_one_after_the_other() -> None:
    found, client = session(
        objects=run_of(run_object("Running", ended("a"), live("b"), {"name": "c", "phase": "Waiting"})),
        logs={"pod-a-1": [[stamped(1, "one"), stamped(2, "")]], "pod-b-1": [[stamped(3, "two  words")]]},
    )
    lines, told = await printed(found, Request(NAME, tail=5))
    assert lines == ["a: one", "a: ", "b: two  words"]
    assert told == ["c has no pod: it is Waiting"]
    assert [request["tail"] for request in client.log_requests] == [5, 5]
    assert {request["container"] for request in client.log_requests} == {"step"}


async def test_an_earlier_attempt_is_found_by_its_labels() -> None:
    found, client = session(
        objects=run_of(run_object("Running", live("b", attempt=3, pod="pod-b-3"))),
        pods=[{"metadata": {"name": "pod-b-1"}}],
        logs={"pod-b-1": [[stamped(1, "first")]]},
    )
    lines, _ = await printed(found, Request(NAME, "b", attempt=1))
    assert lines == ["b: first"]
    assert client.selectors == [f"sluice.dev/run={NAME},sluice.dev/run-uid=u-1,sluice.dev/step=b,sluice.dev/attempt=1"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(NAME, "zz"), f"run {NAME} has no step zz; its steps: a, b, c"),
        (Request(NAME, "c"), "c has no pod: it is Waiting"),
        (Request(NAME, "b", attempt=9), "b has no attempt 9; it has 2"),
        (
            Request(NAME, "b", attempt=1),
            "the pod of b, attempt 1, is gone and its log with it; what is known of it: ExitCode: exit code 1: boom",
        ),
        (
            Request(NAME, "a"),
            "the pod of a, attempt 1, is gone and its log with it; what is known of it: OOMKilled: killed",
        ),
        (
            Request(NAME, "b"),
            'b: container "step" is waiting to start: ContainerCreating; with --follow its log comes when it starts',
        ),
    ],
)
async def test_what_is_not_there_is_said_clearly(request_: Request, message: str) -> None:
    failures = [{"attempt": 1, "reason": "ExitCode", "message": "exit code 1: boom"}]
    waiting = Invalid(
        Attempt("logs", "pods"),
        'container "step" is waiting to start: ContainerCreating (400 BadRequest)',
        code=400,
    )
    found, _ = session(
        objects=run_of(
            run_object(
                "Running",
                ended("a", "Failed", reason="OOMKilled", message="killed"),
                live("b", attempt=2, pod="pod-b-2", failures=failures),
                {"name": "c", "phase": "Waiting"},
            )
        ),
        logs={"pod-b-2": [[waiting]]},
    )
    with pytest.raises(CliError) as caught:
        await printed(found, request_)
    assert str(caught.value) == message


async def test_a_run_without_steps_has_no_logs() -> None:
    found, _ = session(objects=run_of(run_object(None)))
    with pytest.raises(NoLog, match=f"run {NAME} has no steps yet"):
        await printed(found, Request(NAME))


async def test_following_goes_through_steps_and_attempts_until_the_run_ends() -> None:
    def state(version: int, phase: str, *steps: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        found = run_object(phase, *steps)
        found["metadata"]["resourceVersion"] = str(version)
        return "MODIFIED", found

    waiting = {"name": "b", "phase": "Waiting"}
    pending = {"name": "a", "phase": "Pending", "attempt": 1, "pod": "pod-a-1"}
    found, client = session(
        objects=run_of(run_object("Running", pending, waiting)),
        watches=[
            [
                state(2, "Running", live("a"), waiting),
                state(3, "Running", {**live("a"), "phase": "Retrying"}, waiting),
                state(4, "Running", live("a", attempt=2, pod="pod-a-2"), waiting),
            ],
            [
                state(5, "Running", ended("a", attempt=2, pod="pod-a-2"), live("b")),
                state(6, "Succeeded", ended("a", attempt=2, pod="pod-a-2"), ended("b")),
            ],
        ],
        logs={
            "pod-a-1": [[stamped(1, "first")]],
            "pod-a-2": [[stamped(2, "second")]],
            "pod-b-1": [[stamped(3, "third")]],
        },
    )
    lines, told = await printed(found, Request(NAME, follow=True))
    assert (sorted(lines), told) == (["a: first", "a: second", "b: third"], [])
    assert [request["pod"] for request in client.log_requests] == ["pod-a-1", "pod-a-2", "pod-b-1"]


async def test_following_a_run_that_is_over_tells_it_in_order() -> None:
    found, _ = session(
        objects=run_of(run_object("Succeeded", ended("a"), ended("b"))),
        logs={"pod-a-1": [[stamped(1, "1"), stamped(2, "2")]], "pod-b-1": [[stamped(1, "3"), stamped(2, "4")]]},
    )
    lines, _ = await printed(found, Request(NAME, follow=True))
    assert lines == ["a: 1", "a: 2", "b: 3", "b: 4"]


async def test_following_one_step_ends_with_it() -> None:
    found, _ = session(
        objects=run_of(run_object("Running", ended("a"), live("b"))), logs={"pod-a-1": [[stamped(1, "all")]]}
    )
    assert await printed(found, Request(NAME, "a", follow=True)) == (["a: all"], [])


async def test_following_a_run_that_is_not_there_is_an_error() -> None:
    with pytest.raises(NotFound):
        await printed(session()[0], Request(NAME, follow=True))


async def test_following_a_run_that_is_deleted_is_an_error() -> None:
    found, _ = session(
        objects=run_of(run_object("Running", live("a"))),
        watches=[[("DELETED", run_object("Running", live("a")))]],
        logs={"pod-a-1": [[stamped(1, "first")]]},
    )
    with pytest.raises(RunDeleted):
        await printed(found, Request(NAME, follow=True))


async def test_following_a_run_that_never_started_a_step_says_so() -> None:
    found, _ = session(objects=run_of(run_object("Failed", reason="InvalidParams")))
    with pytest.raises(NoLog, match=f"nothing of run {NAME} was started"):
        await printed(found, Request(NAME, follow=True))


async def test_a_followed_log_that_breaks_goes_on_where_it_broke() -> None:
    whole = [stamped(n, f"line {n}") for n in range(1, 6)]
    found, client = session(logs={"p": [[*whole[1:3], BROKEN], [BROKEN], whole]})
    clock = HastyClock()
    lines = [line async for line in read_log(found, "p", follow=True, tail=2, clock=clock)]  # type: ignore[arg-type]
    assert lines == [b"line 2", b"line 3", b"line 4", b"line 5"]
    assert [request["tail"] for request in client.log_requests] == [2, None, None]


async def test_a_log_that_is_not_followed_is_not_tried_again() -> None:
    found, _ = session(logs={"p": [[stamped(1, "a"), BROKEN]]})
    with pytest.raises(ConnectionFailed):
        _ = [line async for line in read_log(found, "p", follow=False, tail=None)]
