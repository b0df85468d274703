"""An API server that plays a script: what each get, watch and log brings. No network."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from sluice.kube.errors import Attempt, NotFound
from sluice.kube.resources import Resource

Event = tuple[str, dict[str, Any]]


def not_found(name: str = "x") -> NotFound:
    """What the server says of an object that is not there."""
    return NotFound(Attempt("get", "things", "data", name), f'things "{name}" not found (404 NotFound)', code=404)


class ScriptedClient:
    """Stands for KubeClient. A script is a list of answers; an exception in it is raised."""

    def __init__(
        self,
        *,
        objects: Mapping[str, list[Any]] | None = None,
        watches: list[list[Event | Exception]] | None = None,
        logs: Mapping[str, list[list[bytes | Exception]]] | None = None,
        pods: list[dict[str, Any]] | None = None,
    ) -> None:
        self.objects = {name: list(answers) for name, answers in (objects or {}).items()}
        self.watches = list(watches or [])
        self.log_scripts = {pod: list(scripts) for pod, scripts in (logs or {}).items()}
        self.pods = pods or []
        self.watched_from: list[str] = []
        self.log_requests: list[dict[str, Any]] = []
        self.selectors: list[str | None] = []

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        answers = self.objects.get(f"{resource.plural}/{name}")
        if not answers:
            raise not_found(name)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        found: dict[str, Any] = answer
        return found

    async def watch(
        self, resource: Resource, namespace: str, *, resource_version: str, field_selector: str
    ) -> AsyncIterator[Event]:
        self.watched_from.append(resource_version)
        assert self.watches, "one watch more than the script has"
        for event in self.watches.pop(0):
            await asyncio.sleep(0)
            if isinstance(event, Exception):
                raise event
            yield event

    async def logs(self, namespace: str, pod: str, **options: Any) -> AsyncIterator[bytes]:
        self.log_requests.append({"pod": pod, **options})
        scripts = self.log_scripts.get(pod)
        if not scripts:
            raise not_found(pod)
        for line in scripts.pop(0) if len(scripts) > 1 else scripts[0]:
            await asyncio.sleep(0)
            if isinstance(line, Exception):
                raise line
            yield line

    async def list(self, resource: Resource, namespace: str, *, label_selector: str | None = None) -> Any:
        self.selectors.append(label_selector)

        class Found:
            items = self.pods

        return Found


class HastyClock:
    """A clock whose sleeps are over at once; they are written down, and time passes as they say."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
