"""The states of an object as they come, by an API watch that is opened again whenever it closes or breaks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

from sluice.cli.errors import CliError, Exit
from sluice.cli.run_state import RunState, read_run
from sluice.kube.backoff import Backoff
from sluice.kube.client import KubeClient, Object
from sluice.kube.clock import Clock, SystemClock
from sluice.kube.errors import Gone, KubeError, NotFound, Unauthorized
from sluice.kube.resources import PIPELINE_RUNS, Resource
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
    """The run as it is, then each change of it; otherwise as `follow`. Raises RunDeleted."""

    def deleted(last: Object) -> CliError:
        return RunDeleted(read_run(last))

    objects = follow(
        client, PIPELINE_RUNS, namespace, name, deleted=deleted, notify=notify, clock=clock, backoff=backoff
    )
    async with aclosing(objects):
        async for obj in objects:
            yield read_run(obj)


async def follow(
    client: KubeClient,
    resource: Resource,
    namespace: str,
    name: str,
    *,
    deleted: Callable[[Object], CliError],
    notify: Callable[[str], None] = _silent,
    clock: Clock | None = None,
    backoff: Backoff | None = None,
) -> AsyncGenerator[Object]:
    """The object as it is, then each change of it. `notify` is told when the connection is lost and found again.

    Raises NotFound, what `deleted` makes of the last state of an object that is gone, and what kept it from connecting
    for PATIENCE seconds.
    """
    clock, backoff = clock or SystemClock(), backoff or Backoff(base=0.5, cap=10.0)
    current = await client.get(resource, namespace, name)
    yield current
    version: str = current["metadata"]["resourceVersion"]
    failures, heard, stale = 0, clock.monotonic(), False

    def same(obj: Object) -> Object:
        """`obj`, unless it is another one under the same name."""
        if obj["metadata"]["uid"] != current["metadata"]["uid"]:
            raise deleted(current)
        return obj

    while True:
        opened = clock.monotonic()
        try:
            if stale:
                current = same(await client.get(resource, namespace, name))
                version, stale = current["metadata"]["resourceVersion"], False
                yield current
            watch = client.watch(resource, namespace, resource_version=version, field_selector=f"metadata.name={name}")
            async with aclosing(watch) as events:
                async for kind, obj in events:
                    if failures > 1:
                        notify("connected again")
                    failures, heard = 0, clock.monotonic()
                    version = obj["metadata"]["resourceVersion"]
                    if kind == "BOOKMARK":
                        continue
                    current = same(obj)
                    if kind == "DELETED":
                        raise deleted(current)
                    yield current
            # The server closes a watch after some minutes. One that closes at once would be opened without end.
            await clock.sleep(max(0.0, SHORTEST - (clock.monotonic() - opened)))
        except NotFound as error:
            raise deleted(current) from error
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
