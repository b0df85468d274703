"""Canaries for the tests of the CLI: states as the API server holds them, and a server with a canary that is worked on."""

from typing import Any

from aiohttp import web

from sluice.api.canary_status import CanaryPhase
from sluice.cli.canary_state import CanaryState, read_canary
from tests.unit.cli.runs import NOON, at
from tests.unit.kube.loopback_api import LoopbackCluster, status_object
from tests.unit.planning.canary_world import World, canary_spec

NAME = "pricing"
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}


def canary_object(phase: str | None = "Stepping", *, asked: str | None = None, **status: Any) -> dict[str, Any]:
    """A Canary; without a phase, one that nobody has looked at."""
    full = {"observedGeneration": 1, "phase": phase, **status} if phase is not None else {}
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "Canary",
        "metadata": {
            "name": NAME,
            "namespace": "data",
            "uid": "u-1",
            "creationTimestamp": NOON,
            "resourceVersion": "1",
            **({"annotations": {"sluice.dev/control": asked}} if asked is not None else {}),
        },
        "spec": {"target": TARGET},
        "status": full,
    }


def canary_state(phase: str | None = "Stepping", **fields: Any) -> CanaryState:
    """The same as the CLI reads it."""
    return read_canary(canary_object(phase, **fields))


def move(origin: str, to: str, reason: str, seconds: float = 0, **fields: Any) -> dict[str, Any]:
    """A `lastMove`."""
    return {"fromPhase": origin, "toPhase": to, "reason": reason, "at": at(seconds), **fields}


class CanaryCluster(LoopbackCluster):
    """An API server with one Canary, on which the planner works at each request that somebody makes of it."""

    def __init__(self, phase: CanaryPhase = CanaryPhase.STEPPING, *, operator: bool = True, **spec: Any) -> None:
        super().__init__()
        self.operator = operator
        self.patches: list[dict[str, Any]] = []
        self.world = World(canary_spec(**spec))
        self.world.run()
        if phase is not CanaryPhase.STABLE:
            self.world.broken = {"v2"} if phase is CanaryPhase.FAILED else set()
            self.world.git("v2")
            self.world.run(until=phase)
        self.annotations: dict[str, str] = {}
        self.write()

    def write(self) -> None:
        """Store the Canary as it is now, and tell the watches of it."""
        self.version += 1
        obj = canary_object(None)
        obj["metadata"] |= {"resourceVersion": str(self.version), "annotations": dict(self.annotations)}
        obj["status"] = self.world.status.to_dict()
        self.objects["data", NAME] = obj
        self._happened("MODIFIED", obj)

    def work(self) -> None:
        """The operator looks once."""
        self.world.look()
        self.write()

    def annotate(self, text: str) -> None:
        """Somebody writes the annotation; the operator looks at it."""
        self.annotations["sluice.dev/control"] = text
        self.write()
        if self.operator:
            self.world.annotate(text)
            self.work()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await super().answer(request)
        if request.path != f"/apis/sluice.dev/v1alpha1/namespaces/data/canaries/{NAME}":
            message = f'canaries.sluice.dev "{request.path.rpartition("/")[2]}" not found'
            return web.json_response(status_object(404, "NotFound", message), status=404)
        if request.method == "PATCH":
            assert request.content_type == "application/merge-patch+json"
            patch = await request.json()
            self.patches.append(patch)
            self.annotate(patch["metadata"]["annotations"]["sluice.dev/control"])
            return web.json_response(self.history[-2 if self.operator else -1][2])
        return web.json_response(self.objects["data", NAME])
