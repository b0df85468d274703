"""Logs of the pods of a run: which pod belongs to which attempt of which step, and its lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from sluice.api.names import LABEL_ATTEMPT, LABEL_RUN, LABEL_RUN_UID, LABEL_STEP, STEP_CONTAINER
from sluice.api.run import StepPhase, StepStatus
from sluice.cli.errors import CliError, message_of
from sluice.cli.following import follow_run
from sluice.cli.run_state import RunState, read_run
from sluice.cli.session import Session
from sluice.cli.tree import because
from sluice.kube.backoff import Backoff
from sluice.kube.clock import Clock, SystemClock
from sluice.kube.errors import ApiError, Invalid, NotFound, TransportError
from sluice.kube.resources import PIPELINE_RUNS, PODS

RECONNECTS: Final = 10
"""Times in a row that a followed log is opened again without bringing a line."""


@dataclass(frozen=True)
class Origin:
    """Where a log comes from."""

    step: str
    attempt: int
    pod: str


Write = Callable[[str, bytes], None]
"""Takes the step's name and a line of its log."""


@dataclass(frozen=True)
class Request:
    """What the user wants to see."""

    run: str
    step: str | None = None
    attempt: int | None = None
    follow: bool = False
    tail: int | None = None


class NoLog(CliError):
    """There is nothing to print for a step, and why."""


async def print_logs(session: Session, request: Request, write: Write, notify: Callable[[str], None]) -> None:
    """Write the logs that are asked for; `notify` is told what is missing. Raises NoLog when there is none at all."""
    if request.follow and request.attempt is None:
        await _follow(session, request, write, notify)
        return
    run = read_run(await session.client.get(PIPELINE_RUNS, session.namespace, request.run))
    missing: list[NoLog] = []
    steps = choose_steps(run, request.step)
    for step in steps:
        try:
            origin = await _origin(session, run, step, request.attempt)
            await _copy(session, step, origin, request, write)
        except NoLog as problem:
            missing.append(problem)
    if len(missing) == len(steps):
        raise NoLog("; ".join(map(str, missing[:3])) if missing else f"run {run.name} has no steps yet")
    for each in missing:
        notify(str(each))


def choose_steps(run: RunState, name: str | None) -> Sequence[StepStatus]:
    """The step of this name, or all of them."""
    if name is None:
        return run.status.steps
    step = run.step(name)
    if step is None:
        known = ", ".join(other.name for other in run.status.steps) or "none yet: it has not started"
        raise CliError(f"run {run.name} has no step {name}; its steps: {known}")
    return (step,)


async def _origin(session: Session, run: RunState, step: StepStatus, attempt: int | None) -> Origin:
    """The pod of an attempt (None: the newest). Pods of earlier attempts are found by their labels."""
    if step.pod is None or step.attempt == 0:
        told = because(step.reason, step.message)
        raise NoLog(f"{step.name} has no pod: it is {step.phase}" + (f" ({told})" if told else ""))
    if attempt is None or attempt == step.attempt:
        return Origin(step.name, step.attempt, step.pod)
    if not 1 <= attempt <= step.attempt:
        raise NoLog(f"{step.name} has no attempt {attempt}; it has {step.attempt}")
    labels = {LABEL_RUN: run.name, LABEL_RUN_UID: run.uid, LABEL_STEP: step.name, LABEL_ATTEMPT: str(attempt)}
    if step.taken_from is not None:
        labels[LABEL_RUN] = step.taken_from
        del labels[LABEL_RUN_UID]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = await session.client.list(PODS, session.namespace, label_selector=selector)
    if not pods.items:
        raise _gone(step, attempt)
    return Origin(step.name, attempt, pods.items[0]["metadata"]["name"])


def _gone(step: StepStatus, attempt: int) -> NoLog:
    failure = next((failure for failure in step.failures if failure.attempt == attempt), None)
    told = because(failure.reason, failure.message) if failure else because(step.reason, step.message)
    known = f"; what is known of it: {told}" if told else ""
    return NoLog(f"the pod of {step.name}, attempt {attempt}, is gone and its log with it{known}")


async def _copy(session: Session, step: StepStatus, origin: Origin, request: Request, write: Write) -> None:
    """Write one log. Raises NoLog when the pod is gone or its container has not started."""
    try:
        async with aclosing(read_log(session, origin.pod, follow=request.follow, tail=request.tail)) as lines:
            async for line in lines:
                write(origin.step, line)
    except NotFound as error:
        raise _gone(step, origin.attempt) from error
    except Invalid as error:
        raise NoLog(f"{origin.step}: {message_of(error)}; with --follow its log comes when it starts") from error


async def read_log(
    session: Session,
    pod: str,
    *,
    follow: bool,
    tail: int | None,
    clock: Clock | None = None,
    backoff: Backoff | None = None,
) -> AsyncGenerator[bytes]:
    """The lines of the step's container, empty ones too. A followed log that breaks goes on where it broke.

    Lines are asked for with their times, which never come twice: what is not later than the last one is known already.
    """
    clock, backoff = clock or SystemClock(), backoff or Backoff(base=0.5, cap=10.0)
    last, failures = b"", 0
    while True:
        try:
            stream = session.client.logs(
                session.namespace,
                pod,
                container=STEP_CONTAINER,
                follow=follow,
                tail=tail if not last else None,
                timestamps=True,
            )
            async with aclosing(stream) as lines:
                async for stamped in lines:
                    moment, _, line = stamped.partition(b" ")
                    if moment > last:
                        last, failures = moment, 0
                        yield line
            return
        except TransportError:
            failures += 1
            if not follow or failures > RECONNECTS:
                raise
            await clock.sleep(backoff.delay(failures))


# -- following --------------------------------------------------------------------------------------------------------


async def _follow(session: Session, request: Request, write: Write, notify: Callable[[str], None]) -> None:
    """Write the log of every attempt as it starts, until the step or the whole run has ended."""
    seen: set[Origin] = set()
    copies: list[asyncio.Task[None]] = []
    states = follow_run(session.client, session.namespace, request.run, notify=notify)
    try:
        async with aclosing(states) as runs:
            async for run in runs:
                steps = choose_steps(run, request.step) if run.status.steps or run.status.phase.ended else ()
                for step in steps:
                    origin = started(step)
                    if origin is not None and origin not in seen:
                        seen.add(origin)
                        copy = _copy_or_say(session, step, origin, request, write, notify)
                        if step.phase.ended:
                            # What is over is told in order; only what goes on at the same time is mixed.
                            await copy
                        else:
                            copies.append(asyncio.create_task(copy))
                if run.status.phase.ended or (request.step is not None and steps and steps[0].phase.ended):
                    break
        await asyncio.gather(*copies)
    finally:
        for task in copies:
            task.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
    if not seen:
        raise NoLog(f"nothing of run {request.run} was started")


def started(step: StepStatus) -> Origin | None:
    """The newest attempt of a step, once its container has started (or never will)."""
    waiting = step.phase in (StepPhase.WAITING, StepPhase.PENDING)
    return None if waiting or step.pod is None else Origin(step.name, step.attempt, step.pod)


async def _copy_or_say(
    session: Session,
    step: StepStatus,
    origin: Origin,
    request: Request,
    write: Write,
    notify: Callable[[str], None],
) -> None:
    try:
        await _copy(session, step, origin, request, write)
    except (NoLog, ApiError, TransportError) as problem:
        notify(str(problem))
