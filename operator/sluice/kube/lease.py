"""The lease: which replica of the operator may write. One at a time, and none for a while rather than two.

    acquire()    returns once this replica holds the lease, and goes on renewing it
    require()    the fence of the client that does the work: raises NotLeading unless the lease was renewed lately
    release()    hands it on at once, at a stop that is in order

Lengths of time are measured by this machine's monotonic clock alone, since the clocks of machines differ: the lease of another
has expired when it has not changed for as long as it says itself, counted from the moment at which the change was seen here. A
replica that cannot renew begins no write later than RENEW_SECONDS after the beginning of its last renewal, and what it has begun
by then is given up before LEASE_SECONDS are over, when another may begin. An API server that is away for everybody takes the
lease from nobody: who held it goes on.

The lengths are those of Kubernetes' own controllers. A lease that one's own name holds is taken over at once: it is that of the
container that ran in this pod before.
"""

# ruff: noqa: ASYNC109 (as in the client: the deadline of a call is a part of its meaning)

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from sluice.kube.client import Object
from sluice.kube.clock import Clock
from sluice.kube.errors import AlreadyExists, Attempt, Conflict, KubeError, NotFound
from sluice.kube.resources import LEASES, Resource
from sluice.telemetry.logs import get_logger

LEASE_SECONDS: Final = 15
"""After so long without a change others may take it."""
RENEW_SECONDS: Final = 10.0
"""So long after its last renewal began the holder still begins to write."""
RETRY_SECONDS: Final = 2.0
"""From one attempt, to take it or to renew it, to the next."""
MARGIN_SECONDS: Final = 1.0
"""By how much earlier than it has to be a write is given up."""
_ATTEMPT_SECONDS: Final = 5.0

log = get_logger(__name__)


class NotLeading(KubeError):
    """The lease is not held here, so nothing may be written."""

    retryable = True


class Leases(Protocol):
    """What the lease needs of a client: a KubeClient of its own, which load cannot delay and which has no fence."""

    async def get(self, resource: Resource, namespace: str | None, name: str, *, timeout: float) -> Object:
        """One object. Raises NotFound."""
        ...

    async def create(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], *, timeout: float
    ) -> Object:
        """Create an object. Raises AlreadyExists."""
        ...

    async def patch_merge(
        self, resource: Resource, namespace: str | None, name: str, patch: Mapping[str, Any], *, timeout: float
    ) -> Object:
        """Change an object. Raises Conflict where its resourceVersion is another."""
        ...


class Lease:
    """See the module."""

    def __init__(
        self,
        client: Leases,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        identity: str,
        lost: Callable[[str], None],
    ) -> None:
        """`lost(holder)` is called, once, when another has taken the lease that was held here: this replica has to end."""
        self.holder = ""
        """Who held it when it was seen last; empty: nobody."""
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._lost = lost
        self._renewed = -math.inf
        """When the newest renewal that succeeded began."""
        self._version = ""
        self._changed = -math.inf
        """When it was first seen as it is."""
        self._trouble = ""
        """What the newest attempt failed with."""
        self._renewing: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str | None:
        """Why this replica does not work; None when it may."""
        if self._age() <= RENEW_SECONDS:
            return None
        why = f": {self._trouble}" if self._trouble else ""
        match self.holder:
            case self._identity:
                return f"the lease {self._name} could not be renewed{why}"
            case "":
                return f"waits for the lease {self._name}{why}"
            case holder:
                return f"the lease {self._name} is held by {holder}{why}"

    def require(self) -> float:
        """How many seconds a write that begins now may take. Raises NotLeading."""
        age = self._age()
        if age > RENEW_SECONDS:
            raise NotLeading(Attempt("hold", LEASES.label, self._namespace, self._name), self.problem or "not renewed")
        return LEASE_SECONDS - MARGIN_SECONDS - age

    async def acquire(self) -> None:
        """Wait until the lease is held here, for as long as it takes."""
        told = ""
        while not await self._attempt(self._take):
            if self.problem != told:
                told = self.problem or ""
                log.info("stands by", why=told)
            await self._clock.sleep(RETRY_SECONDS)
        log.info("holds the lease", lease=self._name, identity=self._identity)
        self._renewing = asyncio.create_task(self._renew(), name="lease")

    async def release(self) -> None:
        """Stop renewing, and let another have it without a wait. Nothing may be written any more."""
        if self._renewing is None:
            return
        self._renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._renewing
        held, self._renewed = self._age() <= RENEW_SECONDS, -math.inf
        if not held:
            return
        patch = {
            "metadata": {"resourceVersion": self._version},
            "spec": {"holderIdentity": "", "leaseDurationSeconds": 1},
        }
        try:
            await self._client.patch_merge(LEASES, self._namespace, self._name, patch, timeout=_ATTEMPT_SECONDS)
        except KubeError as error:
            log.warning("cannot release the lease, which others have to wait for", error=str(error))

    def _age(self) -> float:
        return self._clock.monotonic() - self._renewed

    async def _renew(self) -> None:
        open_ = True
        while True:
            await self._clock.sleep(RETRY_SECONDS)
            if await self._attempt(self._keep):
                if not open_:
                    log.warning("holds the lease again", lease=self._name)
                open_ = True
                continue
            if self.holder != self._identity:
                log.error("lost the lease", lease=self._name, holder=self.holder)
                self._renewed = -math.inf
                self._lost(self.holder)
                return
            if open_ and self._age() > RENEW_SECONDS:
                log.error(
                    "could not renew the lease, and writes nothing until it can", lease=self._name, why=self._trouble
                )
                open_ = False

    async def _attempt(self, step: Callable[[], Awaitable[str | None]]) -> bool:
        """Take the lease, or keep it. Whether it is held now."""
        began, self._trouble = self._clock.monotonic(), ""
        try:
            version = await step()
        except KubeError as error:
            self._trouble = str(error)
            return False
        except Exception as error:  # whatever it is, the lease is not renewed, and that has a rule of its own
            self._trouble = f"the attempt crashed: {type(error).__name__}"
            log.exception("an attempt at the lease crashed")
            return False
        if version is None:
            return False
        self._renewed, self._version, self._changed, self.holder = began, version, began, self._identity
        return True

    async def _take(self) -> str | None:
        """The resourceVersion of the lease, once it is written that it is held here; None: another has it. Raises KubeError."""
        found = await self._seen()
        if found is None:
            return await self._created()
        length = float(found.get("leaseDurationSeconds") or LEASE_SECONDS)
        if self.holder not in ("", self._identity) and self._clock.monotonic() < self._changed + length:
            return None
        anew: dict[str, Any] = {}
        if self.holder != self._identity:
            anew = {"acquireTime": self._stamp(), "leaseTransitions": int(found.get("leaseTransitions") or 0) + 1}
        return await self._written(anew)

    async def _keep(self) -> str | None:
        """The same, of a lease that was held here. Where another had it meanwhile, even if nobody has it now, it is lost."""
        if await self._seen() is None:
            return await self._created()
        return await self._written({}) if self.holder == self._identity else None

    async def _seen(self) -> Mapping[str, Any] | None:
        """The lease's spec; None: there is none. Raises KubeError."""
        try:
            found = await self._client.get(LEASES, self._namespace, self._name, timeout=_ATTEMPT_SECONDS)
        except NotFound:
            return None
        spec, version = found.get("spec") or {}, str(found["metadata"]["resourceVersion"])
        if version != self._version:
            self._version, self._changed = version, self._clock.monotonic()
        self.holder = spec.get("holderIdentity") or ""
        return spec

    async def _written(self, more: Mapping[str, Any]) -> str | None:
        """Write that it is held here, if it still is as it was seen. Raises KubeError."""
        held = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": self._stamp(),
        }
        patch = {"metadata": {"resourceVersion": self._version}, "spec": {**held, **more}}
        try:
            written = await self._client.patch_merge(
                LEASES, self._namespace, self._name, patch, timeout=_ATTEMPT_SECONDS
            )
        except Conflict:
            return None  # somebody was faster; who that is shows at the next look
        return str(written["metadata"]["resourceVersion"])

    def _stamp(self) -> str:
        """Now, as leases have it: a MicroTime."""
        return self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")

    async def _created(self) -> str | None:
        now = self._stamp()
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
        try:
            made = await self._client.create(LEASES, self._namespace, body, timeout=_ATTEMPT_SECONDS)
        except AlreadyExists:
            return None
        return str(made["metadata"]["resourceVersion"])
