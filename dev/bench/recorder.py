"""What a watch saw, and when: one clock, this process's, for everything that is compared.

Times are `time.perf_counter()` at the moment at which the event had been received and read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from sluice.api.names import LABEL_RUN, LABEL_STEP, STEP_CONTAINER
from sluice.kube.client import KubeClient
from sluice.kube.resources import PIPELINE_RUNS, PODS, Resource

ENDED = ("Succeeded", "Failed", "Cancelled")


class TooSlow(Exception):
    """Something did not happen in the time it was given."""


@dataclass
class PodTimes:
    """One pod."""

    name: str
    run: str
    step: str
    added: float
    ended: float | None = None
    phase: str = ""


@dataclass
class RunTimes:
    """One run."""

    phase: str = ""
    ended: float | None = None


@dataclass
class Recorder:
    """Watches the pods and runs of one namespace: `await start()`, `until(...)`, `await stop()`."""

    client: KubeClient
    namespace: str
    pods: dict[str, PodTimes] = field(default_factory=dict)
    runs: dict[str, RunTimes] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Begin to watch; what is there already is not recorded."""
        for resource, note in ((PODS, self._note_pod), (PIPELINE_RUNS, self._note_run)):
            version = (await self.client.list(resource, self.namespace)).resource_version
            self._tasks.append(asyncio.create_task(self._watch(resource, version, note)))

    async def stop(self) -> None:
        """End the watches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def until(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until `condition` holds; it is looked at after each event. Raises TooSlow."""
        deadline = time.perf_counter() + seconds
        while not condition():
            self._changed.clear()
            for task in self._tasks:
                if task.done():
                    task.result()
            left = deadline - time.perf_counter()
            if left <= 0:
                raise TooSlow(f"{what}: not within {seconds:g} s")
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, 5.0))
            except TimeoutError:
                continue

    def pods_of(self, run: str) -> dict[str, PodTimes]:
        """The pods of a run, by step."""
        return {pod.step: pod for pod in self.pods.values() if pod.run == run}

    def ended(self, run: str) -> bool:
        """Whether a run has ended."""
        found = self.runs.get(run)
        return found is not None and found.ended is not None

    async def _watch(self, resource: Resource, version: str, note: Callable[[Mapping[str, Any], float], None]) -> None:
        while True:
            events = self.client.watch(resource, self.namespace, resource_version=version)
            async with aclosing(events):
                async for kind, obj in events:
                    now = time.perf_counter()
                    version = obj["metadata"]["resourceVersion"]
                    if kind in ("ADDED", "MODIFIED"):
                        note(obj, now)
                        self._changed.set()

    def _note_pod(self, pod: Mapping[str, Any], now: float) -> None:
        metadata, status = pod["metadata"], pod.get("status") or {}
        labels = metadata.get("labels") or {}
        name = metadata["name"]
        seen = self.pods.get(name)
        if seen is None:
            seen = self.pods[name] = PodTimes(name, labels.get(LABEL_RUN, ""), labels.get(LABEL_STEP, ""), now)
        seen.phase = status.get("phase") or ""
        if seen.ended is None and (seen.phase in ENDED or _terminated(status)):
            seen.ended = now

    def _note_run(self, run: Mapping[str, Any], now: float) -> None:
        seen = self.runs.setdefault(run["metadata"]["name"], RunTimes())
        seen.phase = (run.get("status") or {}).get("phase") or ""
        if seen.ended is None and seen.phase in ENDED:
            seen.ended = now


def _terminated(status: Mapping[str, Any]) -> bool:
    return any(
        container["name"] == STEP_CONTAINER and "terminated" in (container.get("state") or {})
        for container in status.get("containerStatuses") or ()
    )
