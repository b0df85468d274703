"""The states of a run as they come, by an API watch that is opened again whenever it closes or breaks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

from sluice.cli.errors import CliError, Exit
from sluice.cli.run_state import RunState, read_run
from sluice.kube.backoff import Backoff
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock, SystemClock
from sluice.kube.errors import Gone, KubeError, NotFound, Unauthorized
from sluice.kube.resources import PIPELINE_RUNS
from sluice.telemetry.logs import get_logger

PATIENCE: Final = 300.0
"""Seconds without a connection before giving up: an API server that is being replaced takes less."""
SHORTEST: Final = 1.0
"""Seconds between two openings of the watch."""

log = get_logger(__name__)


class RunDeleted(CliError):
    """The run is gone, so nobody can say what became of it."""

    def __init__(self, run: RunState) -> None:
        super().__init__(f"run {run.name} was deleted while it was {run.status.phase}", Exit.UNKNOWN)


def _silent(_notice: str) -> None:
    pass


async def follow_run(
    client: KubeClient,
    namespace: str,
    name: str,
    *,
    notify: Callable[[str], None] = _silent,
    clock: Clock | None = None,
    backoff: Backoff | None = None,
) -> AsyncGenerator[RunState]:
    """The run as it is, then each change of it. `notify` is told when the connection is lost and found again.

    Raises NotFound, RunDeleted, and what kept it from connecting for PATIENCE seconds.
    """
    clock, backoff = clock or SystemClock(), backoff or Backoff(base=0.5, cap=10.0)
    current = await client.get(PIPELINE_RUNS, namespace, name)
    run = read_run(current)
    yield run
    version: str = current["metadata"]["resourceVersion"]
    failures, heard, stale = 0, clock.monotonic(), False
    while True:
        opened = clock.monotonic()
        try:
            if stale:
                current = await client.get(PIPELINE_RUNS, namespace, name)
                version, stale = current["metadata"]["resourceVersion"], False
                run = _next(run, current)
                yield run
            watch = client.watch(
                PIPELINE_RUNS, namespace, resource_version=version, field_selector=f"metadata.name={name}"
            )
            async with aclosing(watch) as events:
                async for kind, obj in events:
                    if failures > 1:
                        notify("connected again")
                    failures, heard = 0, clock.monotonic()
                    version = obj["metadata"]["resourceVersion"]
                    if kind == "BOOKMARK":
                        continue
                    run = _next(run, obj)
                    if kind == "DELETED":
                        raise RunDeleted(run)
                    yield run
            # The server closes a watch after some minutes. One that closes at once would be opened without end.
            await clock.sleep(max(0.0, SHORTEST - (clock.monotonic() - opened)))
        except NotFound as error:
            raise RunDeleted(run) from error
        except KubeError as error:
            failures += 1
            stale = stale or isinstance(error, Gone)
            if _hopeless(error, failures) or clock.monotonic() - heard > PATIENCE:
                raise
            if failures == 2:
                notify(f"lost the connection ({error.message}); trying again")
            log.debug("the watch broke; it is opened again", error=str(error), failures=failures)
            await clock.sleep(backoff.delay(failures))


def _hopeless(error: KubeError, failures: int) -> bool:
    """Whether trying again is of no use. Credentials get a second chance, since they may have just been refreshed."""
    return not error.retryable or (isinstance(error, Unauthorized) and failures > 2)


def _next(run: RunState, obj: dict[str, Any]) -> RunState:
    """The next state. Another object under the same name is another run."""
    if obj["metadata"]["uid"] != run.uid:
        raise RunDeleted(run)
    return read_run(obj)
