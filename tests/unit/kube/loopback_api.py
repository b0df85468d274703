"""Real HTTP servers on the loopback address that play the API server's part.

`LoopbackApi` answers each request with the next answer of a script. `LoopbackCluster` holds objects, numbers their
changes as etcd does, and serves paged lists and watches of them; it can be told to lose its history, to cut its
watches, or to stay silent.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Object = dict[str, Any]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def condition(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells of."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Loopback:
    """A server on a free port, for as long as the `async with` lasts."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Received] = []
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._receive)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, handler_cancellation=True, shutdown_timeout=0.01
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.received.append(Received(request.method, request.path, dict(request.query), dict(request.headers), body))
        return await self.answer(request)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError


class LoopbackApi(Loopback):
    """Answers with the next of `script`; an answer that is never scripted fails the request with 599."""

    def __init__(self) -> None:
        super().__init__()
        self.script: deque[Answer] = deque()

    def say(self, body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        """Next, answer with JSON."""

        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.json_response(body, status=status, headers=headers)

        self.script.append(answer)
        return self

    def fail(
        self, code: int, reason: str, message: str = "no", headers: Mapping[str, str] | None = None, **details: Any
    ) -> Self:
        """Next, answer with a Status object."""
        return self.say(status_object(code, reason, message, **details), code, headers)

    def stream(self, *chunks: bytes, then: Awaitable[object] | None = None, cut: bool = False) -> Self:
        """Next, answer with chunks as they are; afterwards wait for something, or break off the connection."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            for chunk in chunks:
                await response.write(chunk)
            if then is not None:
                await then
            if cut and request.transport is not None:
                request.transport.abort()
            return response

        self.script.append(answer)
        return self

    def hang(self) -> Self:
        """Next, never answer."""

        async def answer(_request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

        self.script.append(answer)
        return self

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if not self.script:
            return web.json_response(status_object(599, "Unscripted", "the test expected no such request"), status=599)
        return await self.script.popleft()(request)


def status_object(code: int, reason: str, message: str = "no", **details: Any) -> Object:
    """An API `Status` of a failure."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return {**status, "message": message, "details": details}


@dataclass
class _Watcher:
    events: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)


class LoopbackCluster(Loopback):
    """Objects of one resource, with lists and watches of them."""

    def __init__(self) -> None:
        super().__init__()
        self.version = 100
        self.objects: dict[tuple[str, str], Object] = {}
        self.history: list[tuple[int, str, Object]] = []
        self.oldest = 0
        """Watches and continue tokens from before this version are answered with 410."""
        self.page_loses_history = False
        """Let the next continue token expire."""
        self.refuse_next = 0
        """How many of the next requests are answered with 503."""
        self.watches_opened = 0
        self.lists_served = 0
        self._watchers: list[_Watcher] = []
        self._uid = 0

    # What the test does

    def put(self, name: str, namespace: str = "team-a", **content: Any) -> Object:
        """Make or change an object."""
        key = (namespace, name)
        old = self.objects.get(key)
        if old is None:
            self._uid += 1
        uid = old["metadata"]["uid"] if old else f"uid-{self._uid}"
        self.version += 1
        obj = {
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": str(self.version)},
            **content,
        }
        self.objects[key] = obj
        self._happened("MODIFIED" if old else "ADDED", obj)
        return obj

    def delete(self, name: str, namespace: str = "team-a") -> None:
        """Remove an object."""
        obj = self.objects.pop((namespace, name))
        self.version += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
        self._happened("DELETED", {**obj, "metadata": metadata})

    def bookmark(self) -> None:
        """Tell watchers the version, as the server does each minute."""
        self._send("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    def compact(self) -> None:
        """Forget all history, as etcd does every few minutes."""
        self.oldest = self.version

    def tell(self, line: bytes) -> None:
        """Write something into the open watches."""
        for watcher in self._watchers:
            watcher.events.put_nowait(line)

    def end_watches(self) -> None:
        """End the open watches cleanly, as at the server's time limit."""
        for watcher in self._watchers:
            watcher.events.put_nowait(None)

    # What the server does

    def _happened(self, kind: str, obj: Object) -> None:
        self.history.append((self.version, kind, obj))
        self._send(kind, obj)

    def _send(self, kind: str, obj: Object) -> None:
        self.tell(_event(kind, obj))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_next:
            self.refuse_next -= 1
            return _failure(503, "ServiceUnavailable")
        if request.query.get("watch") == "true":
            return await self._watch(request)
        return self._list(request)

    def _list(self, request: web.Request) -> web.StreamResponse:
        limit = int(request.query.get("limit", "0")) or len(self.objects)
        start, version = 0, self.version
        if token := request.query.get("continue"):
            start, version = map(int, token.split("/"))
            if self.page_loses_history or version < self.oldest:
                self.page_loses_history = False
                return _failure(410, "Expired")
        keys = sorted(self.objects)
        metadata: Object = {"resourceVersion": str(version)}
        if start + limit < len(keys):
            metadata["continue"] = f"{start + limit}/{version}"
        self.lists_served += 1
        items = [self.objects[key] for key in keys[start : start + limit]]
        return web.json_response({"kind": "List", "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        self.watches_opened += 1
        if since < self.oldest:
            return _failure(410, "Expired")
        watcher = _Watcher()
        for version, kind, obj in self.history:
            if version > since:
                watcher.events.put_nowait(_event(kind, obj))
        self._watchers.append(watcher)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            while (line := await watcher.events.get()) is not None:
                await response.write(line)
        finally:
            self._watchers.remove(watcher)
        return response


def _event(kind: str, obj: Object) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def _failure(code: int, reason: str) -> web.Response:
    return web.json_response(status_object(code, reason), status=code)
