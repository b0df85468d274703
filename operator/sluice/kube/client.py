"""`KubeClient`: the API server as dicts in, dicts out.

It stands on the configuration, TLS and credentials of `kubernetes.aio` (see `connection`), and sends requests on the
pooled session directly: the generated methods of that library build a model of every answer, and look for proxies and
.netrc in two threads for every request. JSON is read and written by pydantic-core, which is here anyway.

CPU of one GET of a small object, eight at a time, all three on the same busy 2-core machine within a minute
(time.process_time over 600 requests to a real API server over TLS): 0.30 ms here, 0.60 ms
`read_namespace_without_preload_content`, 0.93 ms `read_namespace`. While the machine had nothing else to do: 0.17 ms
here.

Rules that every call keeps:
- It has a deadline for everything, waiting for the limiter included; the connection has to be made within 5 s.
- It passes the limiter; streams take one token and hold no place.
- It is sent once. Only a request that finds its idle connection closed by the server is sent again by aiohttp, and only
  when it is idempotent: GET, and DELETE, for which callers give the object's uid. Everything else raises, and the
  work queue backs off.
- Before it changes anything it calls the fence, after any waiting: a replica that lost its lease raises there instead
  of writing. The fence says how long the call may take, so that none reaches the server when another replica may write.
"""

# ruff: noqa: ASYNC109 (each call has a deadline of its own, which is a part of its meaning and of its error)

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlencode

import aiohttp
import pydantic_core
from yarl import URL

from sluice.api.names import FIELD_MANAGER
from sluice.kube.connection import CONNECT_TIMEOUT, Connection
from sluice.kube.errors import (
    ApiError,
    Attempt,
    Conflict,
    ConnectionFailed,
    Gone,
    Invalid,
    NotFound,
    RequestTimeout,
    error_from_status,
)
from sluice.kube.limiter import Limiter
from sluice.kube.resources import PODS, Resource
from sluice.telemetry import metrics

Object = dict[str, Any]
"""A Kubernetes object as it is in JSON."""
Objects = list[Object]

Propagation = Literal["Background", "Foreground", "Orphan"]

DEFAULT_TIMEOUT: Final = 10.0
PAGE_SIZE: Final = 500
WATCH_SECONDS: Final = 290
"""How long the server is asked to keep a watch open."""
INACTIVITY_SECONDS: Final = 90.0
"""A watch that brings nothing for this long, not even a bookmark (the server sends one every 60 to 75 s), is taken for
dead."""

_JSON: Final = "application/json"
_MERGE_PATCH: Final = "application/merge-patch+json"
_JSON_PATCH: Final = "application/json-patch+json"
_APPLY_PATCH: Final = "application/apply-patch+yaml"
"""JSON is YAML, so the body of an apply is JSON like any other."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    items: Objects
    resource_version: str
    """Of the whole list: the same on each page."""
    restarted: bool
    """True when the pages before this one have to be forgotten, because the list expired and was started again."""


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A whole list, and the version to watch from."""

    items: Objects
    resource_version: str


class KubeClient:
    """One API server, for as long as the process runs. Use one for the work and a second for the lease, so that load
    cannot delay it.

    `fence` is called before each call that changes something, and stops it by raising; it gives the seconds within which
    the call has to be over, or None.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        limiter: Limiter | None = None,
        fence: Callable[[], float | None] | None = None,
        field_manager: str = FIELD_MANAGER,
        user_agent: str = "sluice",
    ) -> None:
        self.fence = fence
        self._connection = connection
        self._limiter = limiter or Limiter()
        self._manager = field_manager
        self._headers = {"User-Agent": user_agent, "Accept": _JSON}
        self._options = connection.request_options

    @classmethod
    async def connect(
        cls,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        limiter: Limiter | None = None,
        fence: Callable[[], float | None] | None = None,
        user_agent: str = "sluice",
    ) -> KubeClient:
        """A client for the given kubeconfig, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

        Nothing is sent yet. Raises NotConfigured.
        """
        connection = await Connection.load(kubeconfig=kubeconfig, context=context)
        return cls(connection, limiter=limiter, fence=fence, user_agent=user_agent)

    async def __aenter__(self) -> KubeClient:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. Calls that are under way fail."""
        await self._connection.aclose()

    # Reading --------------------------------------------------------------------------------------

    async def get(
        self, resource: Resource, namespace: str | None, name: str, *, timeout: float = DEFAULT_TIMEOUT
    ) -> Object:
        """One object. Raises NotFound."""
        return await self._call(
            Attempt("get", resource.label, namespace, name), "GET", resource.path(namespace, name), timeout=timeout
        )

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int = PAGE_SIZE,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> AsyncGenerator[Page]:
        """All objects, a page at a time; `timeout` is for each page.

        When the list expires half-way (410) it is started again in one piece, which cannot expire, and that page says
        so.
        """
        attempt = Attempt("list", resource.label, namespace)
        path = resource.path(namespace)
        params = _without_none(labelSelector=label_selector, fieldSelector=field_selector)
        token: str | None = None
        restarted = False
        while True:
            paging = {} if restarted else _without_none(limit=limit, **{"continue": token})
            try:
                answer = await self._call(attempt, "GET", path, {**params, **paging}, timeout=timeout)
            except Gone:
                if token is None:
                    raise
                token, restarted = None, True
                continue
            metadata = answer.get("metadata") or {}
            yield Page(answer.get("items") or [], str(metadata.get("resourceVersion", "")), restarted)
            token = metadata.get("continue")
            if not token:
                return

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int = PAGE_SIZE,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> ObjectList:
        """All objects at once. Items of a list carry neither kind nor apiVersion."""
        items: Objects = []
        version = ""
        async for page in self.pages(
            resource,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            timeout=timeout,
        ):
            if page.restarted:
                items = []
            items.extend(page.items)
            version = page.resource_version
        return ObjectList(items, version)

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str | None = None,
        field_selector: str | None = None,
        seconds: int = WATCH_SECONDS,
        inactivity: float = INACTIVITY_SECONDS,
    ) -> AsyncGenerator[tuple[str, Object]]:
        """Changes since `resource_version`, as (type, object); type is ADDED, MODIFIED, DELETED or BOOKMARK.

        Ends when the server ends it, after `seconds`. Raises Gone when the version is too old, RequestTimeout after
        `inactivity` seconds without anything, ConnectionFailed when it breaks. Close it (`contextlib.aclosing`) when
        leaving early.
        """
        attempt = Attempt("watch", resource.label, namespace)
        params = _without_none(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            timeoutSeconds=seconds,
            labelSelector=label_selector,
            fieldSelector=field_selector,
        )
        async with self._stream(attempt, resource.path(namespace), params, inactivity=inactivity) as response:
            async for line in _lines(response.content):
                try:
                    event = pydantic_core.from_json(line, cache_strings="keys")
                    kind, obj = event["type"], event["object"]
                except (ValueError, KeyError, TypeError) as error:
                    raise ConnectionFailed(attempt, f"not a watch event: {line[:80]!r}") from error
                if kind == "ERROR":
                    raise error_from_status(attempt, int(obj.get("code") or 500), obj)
                yield kind, obj

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str | None = None,
        follow: bool = False,
        tail: int | None = None,
        since_seconds: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
        limit_bytes: int | None = None,
        inactivity: float | None = None,
    ) -> AsyncGenerator[bytes]:
        """The lines of a container's log, without their line ends; the last may be incomplete. With `follow`, until the
        container ends.

        Without `inactivity` a followed log may be silent for ever, as programs are. Close it (`contextlib.aclosing`)
        when leaving early.
        """
        attempt = Attempt("logs", PODS.label, namespace, pod)
        params = _without_none(
            container=container,
            follow="true" if follow else None,
            tailLines=tail,
            sinceSeconds=since_seconds,
            previous="true" if previous else None,
            timestamps="true" if timestamps else None,
            limitBytes=limit_bytes,
        )
        async with self._stream(attempt, PODS.path(namespace, pod, "log"), params, inactivity=inactivity) as response:
            async for line in _lines(response.content):
                yield line

    async def get_raw(
        self, path: str, *, params: Mapping[str, str] | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> bytes:
        """The body of any GET, such as `/metrics` or `/readyz`."""
        attempt = Attempt("get", path)
        return await self._send(attempt, "GET", path, params or {}, timeout=timeout, resource_label="raw", accept="*/*")

    async def version(self, *, timeout: float = DEFAULT_TIMEOUT) -> Object:
        """The server's version: `major`, `minor`, `gitVersion` and more."""
        return await self._call(Attempt("get", "version"), "GET", "/version", timeout=timeout)

    # Writing --------------------------------------------------------------------------------------

    async def create(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], *, timeout: float = DEFAULT_TIMEOUT
    ) -> Object:
        """Create an object and return it as stored. Raises AlreadyExists."""
        attempt = Attempt("create", resource.label, namespace, _name_of(obj))
        params = {"fieldManager": self._manager}
        return await self._call(attempt, "POST", resource.path(namespace), params, obj, timeout=timeout)

    async def apply(
        self,
        resource: Resource,
        namespace: str | None,
        obj: Mapping[str, Any],
        *,
        force: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Object:
        """Server-side apply of a complete intended object (apiVersion, kind and metadata.name included); returns it as
        stored.

        Without `force`, raises Conflict when another manager owns a field with a different value; `causes` names the
        fields.
        """
        name = _name_of(obj)
        if name is None:
            raise ValueError("an object to apply needs metadata.name")
        params = {"fieldManager": self._manager, "force": "true" if force else "false"}
        return await self._call(
            Attempt("apply", resource.label, namespace, name),
            "PATCH",
            resource.path(namespace, name),
            params,
            obj,
            content_type=_APPLY_PATCH,
            timeout=timeout,
        )

    async def patch_merge(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Object:
        """JSON merge patch. A `metadata.resourceVersion` in it is a precondition: raises Conflict when it is not the
        current one."""
        return await self._call(
            Attempt("patch", resource.label, namespace, name),
            "PATCH",
            resource.path(namespace, name, subresource),
            {"fieldManager": self._manager},
            patch,
            content_type=_MERGE_PATCH,
            timeout=timeout,
        )

    async def patch_json(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        subresource: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Object:
        """JSON patch. Raises Conflict when a `test` in it does not hold, which the API itself reports as an invalid
        request."""
        attempt = Attempt("patch", resource.label, namespace, name)
        try:
            return await self._call(
                attempt,
                "PATCH",
                resource.path(namespace, name, subresource),
                {"fieldManager": self._manager},
                operations,
                content_type=_JSON_PATCH,
                timeout=timeout,
            )
        except Invalid as error:
            if _may_be_failed_test(error, operations):
                raise Conflict(
                    attempt, f"a test in the patch does not hold: {error.message}", code=409, reason="Conflict"
                ) from error
            raise

    async def patch_status(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        status: Mapping[str, Any],
        *,
        resource_version: str | int | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Object:
        """Merge patch of the status subresource; `status` is what goes under that key.

        With `resource_version`, raises Conflict unless it is the object's current one.
        """
        patch: Object = {"status": status}
        if resource_version is not None:
            patch["metadata"] = {"resourceVersion": str(resource_version)}
        return await self.patch_merge(resource, namespace, name, patch, subresource="status", timeout=timeout)

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | int | None = None,
        propagation: Propagation = "Background",
        grace_seconds: int | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> bool:
        """Delete an object; True when this call did, False when it was not there. It may live on for its grace period
        or finalizers.

        Raises Conflict when the object of this name has another uid or resourceVersion.
        """
        preconditions = _without_none(
            uid=uid, resourceVersion=None if resource_version is None else str(resource_version)
        )
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if preconditions:
            options["preconditions"] = preconditions
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        attempt = Attempt("delete", resource.label, namespace, name)
        try:
            await self._call(attempt, "DELETE", resource.path(namespace, name), None, options, timeout=timeout)
        except NotFound:
            return False
        return True

    # Sending --------------------------------------------------------------------------------------

    async def _call(
        self,
        attempt: Attempt,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: object = None,
        *,
        content_type: str = _JSON,
        timeout: float,
    ) -> Object:
        """One request whose answer is a JSON object."""
        data = None if body is None else pydantic_core.to_json(body)
        answer = await self._send(attempt, method, path, params or {}, data, content_type=content_type, timeout=timeout)
        try:
            parsed = pydantic_core.from_json(answer, cache_strings="keys") if answer else {}
        except ValueError as error:
            raise ConnectionFailed(attempt, f"the answer is not JSON: {answer[:80]!r}") from error
        if not isinstance(parsed, dict):
            raise ConnectionFailed(attempt, f"the answer is not a JSON object: {answer[:80]!r}")
        return parsed

    async def _send(
        self,
        attempt: Attempt,
        method: str,
        path: str,
        params: Mapping[str, Any],
        data: bytes | None = None,
        *,
        content_type: str = _JSON,
        timeout: float,
        resource_label: str | None = None,
        accept: str | None = None,
    ) -> bytes:
        """One request; the body of its answer. Everything that every call has in common is here."""
        label = resource_label or attempt.resource
        started: float | None = None
        code, within = "cancelled", timeout
        try:
            async with asyncio.timeout(timeout), self._limiter:
                headers = await self._headers_for(content_type if data is not None else None, accept)
                allowed = self.fence() if method != "GET" and self.fence is not None else None
                within = timeout if allowed is None else min(timeout, allowed)
                started = time.perf_counter()
                async with (
                    asyncio.timeout(allowed),
                    self._connection.session.request(
                        method,
                        self._url(path, params),
                        data=data,
                        headers=headers,
                        allow_redirects=False,
                        **self._options,
                    ) as response,
                ):
                    answer = await response.read()
                    code = str(response.status)
                    if response.status < 300:
                        return answer
                    raise _error_of(attempt, response, answer)
        except aiohttp.ClientError as error:
            code = "connection"
            raise ConnectionFailed(attempt, _describe(error)) from error
        except TimeoutError as error:
            code = "timeout"
            where = (
                "no complete answer" if started is not None else "not even sent: the client's own limits were reached"
            )
            raise RequestTimeout(attempt, f"{where} within {within:g} s") from error
        finally:
            if started is not None:
                _count(attempt.verb, label, code)
                _observe(attempt.verb, label, time.perf_counter() - started)

    @asynccontextmanager
    async def _stream(
        self, attempt: Attempt, path: str, params: Mapping[str, Any], *, inactivity: float | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request whose answer is read as it comes; at most `inactivity` seconds pass between two pieces of it."""
        code = "cancelled"
        try:
            async with asyncio.timeout(DEFAULT_TIMEOUT):
                await self._limiter.pass_rate()
                headers = await self._headers_for(None, None)
            async with self._connection.session.get(
                self._url(path, params),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=inactivity),
                **self._options,
            ) as response:
                code = str(response.status)
                if response.status >= 300:
                    raise _error_of(attempt, response, await response.read())
                yield response
        except aiohttp.SocketTimeoutError as error:
            code = "timeout"
            raise RequestTimeout(attempt, f"nothing received for {inactivity:g} s") from error
        except aiohttp.ClientError as error:
            code = "connection"
            raise ConnectionFailed(attempt, _describe(error)) from error
        except TimeoutError as error:
            code = "timeout"
            raise RequestTimeout(
                attempt, f"not sent within {DEFAULT_TIMEOUT:g} s: the client's own limits were reached"
            ) from error
        finally:
            _count(attempt.verb, attempt.resource, code)

    async def _headers_for(self, content_type: str | None, accept: str | None) -> dict[str, str]:
        headers = dict(self._headers)
        authorization = await self._connection.authorization()
        if authorization:
            headers["Authorization"] = authorization
        if content_type is not None:
            headers["Content-Type"] = content_type
        if accept is not None:
            headers["Accept"] = accept
        return headers

    def _url(self, path: str, params: Mapping[str, Any]) -> URL:
        query = f"?{urlencode(params)}" if params else ""
        return URL(f"{self._connection.host}{path}{query}", encoded=True)


async def _lines(stream: aiohttp.StreamReader) -> AsyncGenerator[bytes]:
    """The non-empty lines of a stream, however long, however they are cut into chunks; a last one without its line end
    included."""
    pending: list[bytes] = []
    async for chunk in stream.iter_any():
        lines = chunk.split(b"\n")
        if len(lines) == 1:
            pending.append(chunk)
            continue
        if pending:
            pending.append(lines[0])
            lines[0] = b"".join(pending)
            pending.clear()
        last = lines.pop()
        if last:
            pending.append(last)
        for line in lines:
            if line:
                yield line
    if pending:
        yield b"".join(pending)


def _error_of(attempt: Attempt, response: aiohttp.ClientResponse, body: bytes) -> ApiError:
    try:
        status = pydantic_core.from_json(body)
    except ValueError:
        status = None
    text = "" if isinstance(status, dict) else body[:200].decode(errors="replace").strip()
    return error_from_status(
        attempt,
        response.status,
        status if isinstance(status, dict) else None,
        retry_after=_seconds(response.headers.get("Retry-After")),
        text=text,
    )


def _seconds(value: str | None) -> float | None:
    """A Retry-After header in seconds. The API server sends whole seconds; a date is left to the default back-off."""
    return float(value) if value is not None and value.isdecimal() else None


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _may_be_failed_test(error: Invalid, operations: Sequence[Mapping[str, Any]]) -> bool:
    return error.code == 422 and not error.causes and any(operation.get("op") == "test" for operation in operations)


def _name_of(obj: Mapping[str, Any]) -> str | None:
    name: str | None = (obj.get("metadata") or {}).get("name")
    return name


def _without_none(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


_counters: dict[tuple[str, str, str], Any] = {}
_timers: dict[tuple[str, str], Any] = {}
"""Children of the metrics: looking them up by label costs more than counting."""


def _count(verb: str, resource: str, code: str) -> None:
    counter = _counters.get((verb, resource, code))
    if counter is None:
        counter = _counters[verb, resource, code] = metrics.API_REQUESTS.labels(verb, resource, code)
    counter.inc()


def _observe(verb: str, resource: str, seconds: float) -> None:
    timer = _timers.get((verb, resource))
    if timer is None:
        timer = _timers[verb, resource] = metrics.API_REQUEST_SECONDS.labels(verb, resource)
    timer.observe(seconds)
