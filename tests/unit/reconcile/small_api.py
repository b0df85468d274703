"""A small API server on the loopback address: objects of every kind, as far as the operator uses them.

It numbers changes, keeps uids, generations and resourceVersion preconditions, answers lists, watches and merge patches,
and can be told to fail the next requests of a method, or to be away.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from sluice.kube.clock import Clock
from sluice.kube.resources import (
    APPLICATIONS,
    CANARIES,
    CLUSTER_METRIC_SOURCES,
    CONTROLLER_REVISIONS,
    DATA_PIPELINES,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    LEASES,
    METRIC_SOURCES,
    PIPELINE_RUNS,
    PODS,
    QUALITY_GATES,
    SECRETS,
    SERVICES,
    Resource,
)
from tests.unit.kube.loopback_api import Loopback, status_object

Object = dict[str, Any]
Place = tuple[str, str, str]
"""Path of the collection without its namespace, namespace, name."""

SERVED = (
    APPLICATIONS,
    DATA_PIPELINES,
    PIPELINE_RUNS,
    PODS,
    CONTROLLER_REVISIONS,
    EVENTS,
    QUALITY_GATES,
    METRIC_SOURCES,
    CLUSTER_METRIC_SOURCES,
    SECRETS,
    JOBS,
    LEASES,
    CANARIES,
    DEPLOYMENTS,
    SERVICES,
)


class SmallApi(Loopback):
    """See the module. Objects are created at the time of `clock`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.objects: dict[Place, Object] = {}
        self.version = 100
        self.away = 0
        """How many of the next requests are answered with 503."""
        self.before: Callable[[str, str], web.Response | None] = lambda _method, _path: None
        """Called with each request's method and path; may answer it."""
        self.told: Callable[[str, str | None, Object], None] = lambda _kind, _event, _object: None
        """Called with every change of sluice's own kinds: the part that Kopf plays."""
        self._watchers: list[tuple[str, asyncio.Queue[bytes]]] = []

    # What the test does

    def put(self, resource: Resource, obj: Object, namespace: str = "data") -> Object:
        """Make or change an object, as a user or another controller does. Without a status it keeps the one it has."""
        place = (resource.path(), namespace, obj["metadata"]["name"])
        old = self.objects.get(place, {})
        kept = {"status": old["status"]} if "status" in old else {}
        return self._store(place, resource, {**kept, **obj})

    def get(self, resource: Resource, name: str, namespace: str = "data") -> Object:
        """An object as it is stored."""
        return self.objects[resource.path(), namespace, name]

    def all_of(self, resource: Resource) -> list[Object]:
        """All objects of a kind."""
        return [obj for place, obj in self.objects.items() if place[0] == resource.path()]

    def remove(self, resource: Resource, name: str, namespace: str = "data") -> None:
        """Delete an object."""
        self._delete((resource.path(), namespace, name), resource)

    def writes(self) -> list[tuple[str, str]]:
        """Method and path of all that was written, Events aside."""
        return [(row.method, row.path) for row in self.received if row.method != "GET" and "/events" not in row.path]

    # What the server does

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.away:
            self.away -= 1
            return _failure(503, "ServiceUnavailable")
        if (answer := self.before(request.method, request.path)) is not None:
            return answer
        if request.path.startswith("/apis/gateway.networking.k8s.io/"):
            return web.Response(status=404, text="404 page not found")  # a cluster without the Gateway API
        resource, namespace, name, subresource = _parse(request.path)
        if request.query.get("watch") == "true":
            return await self._watch(request, resource)
        body = json.loads(await request.read() or b"{}")
        place = (resource.path(), namespace, name)
        match request.method:
            case "GET" if not name:
                return self._list(resource)
            case "POST":
                place = (resource.path(), namespace, body["metadata"]["name"])
                if place in self.objects:
                    return _failure(409, "AlreadyExists")
                return web.json_response(self._store(place, resource, body), status=201)
            case _ if place not in self.objects:
                return _failure(404, "NotFound")
            case "GET":
                return web.json_response(self.objects[place])
            case "PATCH":
                return self._patch(place, resource, body, subresource)
            case _:
                wanted = (body.get("preconditions") or {}).get("uid")
                if wanted not in (None, self.objects[place]["metadata"]["uid"]):
                    return _failure(409, "Conflict")
                self._delete(place, resource)
                return web.json_response({"kind": "Status", "status": "Success"})

    def _list(self, resource: Resource) -> web.Response:
        metadata = {"resourceVersion": str(self.version)}
        return web.json_response({"kind": "List", "metadata": metadata, "items": self.all_of(resource)})

    def _patch(self, place: Place, resource: Resource, patch: Object, subresource: str) -> web.Response:
        old = self.objects[place]
        for field in ("uid", "resourceVersion"):
            if patch.get("metadata", {}).pop(field, old["metadata"][field]) != old["metadata"][field]:
                return _failure(409, "Conflict")
        if subresource:
            patch = {"status": patch["status"]}
        return web.json_response(self._store(place, resource, _merged(old, patch)))

    def _store(self, place: Place, resource: Resource, obj: Object) -> Object:
        old = self.objects.get(place)
        self.version += 1
        given = {key: value for key, value in obj["metadata"].items() if key not in ("resourceVersion", "generation")}
        metadata = {
            "uid": old["metadata"]["uid"] if old else f"uid-{self.version}",
            "creationTimestamp": f"{self._clock.now():%Y-%m-%dT%H:%M:%SZ}",
            "generation": (old["metadata"]["generation"] + (old.get("spec") != obj.get("spec"))) if old else 1,
            **given,
            "namespace": place[1],
            "resourceVersion": str(self.version),
        }
        stored = {**obj, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
        self.objects[place] = stored
        self._happened("MODIFIED" if old else "ADDED", resource, stored)
        return stored

    def _delete(self, place: Place, resource: Resource) -> None:
        self.version += 1
        gone = self.objects.pop(place)
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
        self._happened("DELETED", resource, gone)

    def _happened(self, event: str, resource: Resource, obj: Object) -> None:
        self.told(resource.kind, event, obj)
        for path, queue in self._watchers:
            if path == resource.path():
                queue.put_nowait(json.dumps({"type": event, "object": obj}).encode() + b"\n")

    async def _watch(self, request: web.Request, resource: Resource) -> web.StreamResponse:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        watcher = (resource.path(), queue)
        since = int(request.query["resourceVersion"])
        for obj in self.all_of(resource):
            if int(obj["metadata"]["resourceVersion"]) > since:
                queue.put_nowait(json.dumps({"type": "MODIFIED", "object": obj}).encode() + b"\n")
        self._watchers.append(watcher)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            while True:
                await response.write(await queue.get())
        finally:
            self._watchers.remove(watcher)


def _parse(path: str) -> tuple[Resource, str, str, str]:
    """Resource, namespace, name and subresource that a path is about."""
    for resource in SERVED:
        base = resource.path().rpartition("/")[0]
        rest = _parts(path.removeprefix(base)) if path.startswith(base + "/") else iter(())
        namespace, word = "", next(rest, "")
        if word == "namespaces":
            namespace, word = next(rest, ""), next(rest, "")
        if word == resource.plural:
            return resource, namespace, next(rest, ""), next(rest, "")
    raise AssertionError(f"nothing is served at {path}")


def _parts(path: str) -> Iterator[str]:
    return iter(path.strip("/").split("/"))


def _merged(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _failure(code: int, reason: str) -> web.Response:
    return web.json_response(status_object(code, reason), status=code)


def refusal(code: int, reason: str, message: str = "no") -> web.Response:
    """An error of the API, for `before`."""
    return web.json_response(status_object(code, reason, message), status=code)
