"""Kubernetes Events: what `kubectl describe` shows under an object. Best effort, and never in the way.

`record` only puts into a bounded queue, so that it neither waits nor fails; one task writes, slowly. What does not fit
is dropped and counted.

The name of an Event is made from what it says (object, type, reason, message), so that the same thing said again meets
the Event of the first time, also after a restart or from another replica: its count goes up and its last time moves on,
instead of a second object being made. The API server deletes an Event an hour after its last change, after which a
repeat makes a new one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock, SystemClock
from sluice.kube.errors import AlreadyExists, KubeError, NotFound
from sluice.kube.limiter import TokenBucket
from sluice.kube.resources import EVENTS
from sluice.telemetry import metrics
from sluice.telemetry.logs import get_logger
from sluice.telemetry.redaction import redact_text

EventType = Literal["Normal", "Warning"]

MAX_MESSAGE: Final = 1024
"""Characters of a message; the API refuses longer ones."""
MAX_PENDING: Final = 1000
REMEMBER_SECONDS: Final = 1800.0
REMEMBER: Final = 4096
"""How long, and of how many Events, the count is known without asking. Half the hour for which the API server keeps
them."""
PER_SECOND: Final = 10.0
BURST: Final = 100

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Which object an Event is about."""

    api_version: str
    kind: str
    namespace: str
    """Empty for a cluster-scoped object; its Events go to the namespace `default`."""
    name: str
    uid: str
    resource_version: str | None = None

    @classmethod
    def to(cls, obj: Mapping[str, Any]) -> ObjectRef:
        """The reference to an object that carries its apiVersion and kind."""
        metadata = obj["metadata"]
        return cls(
            api_version=obj["apiVersion"],
            kind=obj["kind"],
            namespace=metadata.get("namespace") or "",
            name=metadata["name"],
            uid=metadata["uid"],
            resource_version=metadata.get("resourceVersion"),
        )


@dataclass(slots=True)
class _Pending:
    regarding: ObjectRef
    kind: EventType
    reason: str
    message: str
    count: int
    first: datetime
    last: datetime


class EventRecorder:
    """See the module. `start` it, `record` at will, `close` it at the end."""

    def __init__(
        self,
        client: KubeClient,
        *,
        component: str = "sluice",
        instance: str = "",
        max_pending: int = MAX_PENDING,
        bucket: TokenBucket | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`component` and `instance` say who reports: the program, and its pod."""
        self._client = client
        self._component = component
        self._instance = instance
        self._max_pending = max_pending
        self._clock = clock or SystemClock()
        self._bucket = bucket or TokenBucket(rate=PER_SECOND, burst=BURST, clock=self._clock)
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def pending(self) -> int:
        """Events that are not written yet."""
        return len(self._pending)

    def start(self) -> None:
        """Write in the background what was and will be recorded."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="events")

    def record(self, regarding: ObjectRef, kind: EventType, reason: str, message: str) -> None:
        """Say something about an object. `reason` is CamelCase from a closed set; `message` is for people, and is cut
        at 1,024 characters."""
        message = _fitting(redact_text(message))
        name = _event_name(regarding, kind, reason, message)
        now = self._clock.now()
        pending = self._pending.get(name)
        if pending is not None:
            pending.count += 1
            pending.last = now
        elif self._closed or len(self._pending) >= self._max_pending:
            metrics.EVENTS_RECORDED.labels("dropped").inc()
        else:
            self._pending[name] = _Pending(regarding, kind, reason, message, 1, now, now)
            self._changed.set()

    async def close(self, deadline: float) -> bool:
        """Take nothing more, and write what is left for at most `deadline` seconds. True when all of it was."""
        self._closed = True
        self._changed.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task], timeout=max(0.0, deadline))
            task.cancel()
            await asyncio.wait([task])
        left = len(self._pending)
        self._pending.clear()
        if left:
            metrics.EVENTS_RECORDED.labels("dropped").inc(left)
        return left == 0

    async def _run(self) -> None:
        while True:
            while self._pending:
                await self._bucket.take()
                # Looked at but left in place until it is written, so that being cancelled half-way does not lose it
                # uncounted.
                name, event = next(iter(self._pending.items()))
                said = event.count
                outcome = await self._write(name, event)
                metrics.EVENTS_RECORDED.labels(outcome).inc()
                event.count -= said
                if event.count <= 0 or outcome == "failed":
                    del self._pending[name]
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()

    async def _write(self, name: str, event: _Pending) -> str:
        try:
            return await self._create_or_repeat(name, event)
        except KubeError as error:
            log.info("event not written", reason=event.reason, error=str(error))
        except Exception:
            # Whatever it is (the fence, say), it must not end the task.
            log.warning("event not written", reason=event.reason, exc_info=True)
        return "failed"

    async def _create_or_repeat(self, name: str, event: _Pending) -> str:
        namespace = event.regarding.namespace or "default"
        known = self._known.get(name)
        if known is not None and known[1] > self._clock.monotonic():
            try:
                await self._repeat(namespace, name, event, known[0])
            except NotFound:
                del self._known[name]
            else:
                return "repeated"
        try:
            await self._client.create(EVENTS, namespace, self._object(namespace, name, event))
        except AlreadyExists:
            stored = await self._client.get(EVENTS, namespace, name)
            await self._repeat(namespace, name, event, int(stored.get("count") or 1))
            return "repeated"
        self._remember(name, event.count)
        return "created"

    async def _repeat(self, namespace: str, name: str, event: _Pending, before: int) -> None:
        count = before + event.count
        patch = {"count": count, "lastTimestamp": _timestamp(event.last)}
        await self._client.patch_merge(EVENTS, namespace, name, patch)
        self._remember(name, count)

    def _remember(self, name: str, count: int) -> None:
        self._known.pop(name, None)
        self._known[name] = (count, self._clock.monotonic() + REMEMBER_SECONDS)
        while len(self._known) > REMEMBER:
            self._known.popitem(last=False)

    def _object(self, namespace: str, name: str, event: _Pending) -> dict[str, Any]:
        regarding = event.regarding
        involved = {
            "apiVersion": regarding.api_version,
            "kind": regarding.kind,
            "name": regarding.name,
            "uid": regarding.uid,
        }
        if regarding.namespace:
            involved["namespace"] = regarding.namespace
        if regarding.resource_version:
            involved["resourceVersion"] = regarding.resource_version
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "type": event.kind,
            "reason": event.reason,
            "message": event.message,
            "count": event.count,
            "firstTimestamp": _timestamp(event.first),
            "lastTimestamp": _timestamp(event.last),
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }


def _event_name(regarding: ObjectRef, kind: EventType, reason: str, message: str) -> str:
    digest = hashlib.sha256("\0".join((regarding.uid, kind, reason, message)).encode()).hexdigest()[:16]
    return f"{regarding.name[:200].rstrip('.-')}.{digest}"


def _fitting(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
