"""The lease: whatever fails, no two replicas may write at the same time; and one that can goes on."""

# ruff: noqa: ASYNC109 (as in the client)

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes.aio.client import Configuration

from sluice.kube.client import KubeClient, Object
from sluice.kube.clock import Clock, ManualClock, Timer
from sluice.kube.connection import Connection
from sluice.kube.errors import AlreadyExists, Attempt, Conflict, ConnectionFailed, Forbidden, KubeError, NotFound
from sluice.kube.lease import LEASE_SECONDS, RENEW_SECONDS, Lease, NotLeading
from sluice.kube.resources import LEASES, Resource
from tests.unit.reconcile.small_api import SmallApi

STEP = 0.25
"""Seconds from one look at who may write to the next."""


class Store:
    """The lease as an API server keeps it."""

    def __init__(self) -> None:
        self.stored: Object | None = None
        self.version = 0

    def put(self, obj: Mapping[str, Any]) -> Object:
        self.version += 1
        made = copy.deepcopy(dict(obj))
        made["metadata"] = {**made["metadata"], "resourceVersion": str(self.version)}
        self.stored = made
        return copy.deepcopy(made)


class Line:
    """A replica's way to the API server, which can be cut: before a request arrives, or before its answer does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.cut = False
        self.deaf = False
        self.forbidden = False

    async def get(self, resource: Resource, namespace: str | None, name: str, *, timeout: float) -> Object:
        attempt = self._sent("get")
        if self._store.stored is None:
            raise NotFound(attempt, "there is none", code=404)
        return self._answered(copy.deepcopy(self._store.stored))

    async def create(
        self, resource: Resource, namespace: str | None, obj: Mapping[str, Any], *, timeout: float
    ) -> Object:
        attempt = self._sent("create")
        if self._store.stored is not None:
            raise AlreadyExists(attempt, "it is there", code=409)
        return self._answered(self._store.put(obj))

    async def patch_merge(
        self, resource: Resource, namespace: str | None, name: str, patch: Mapping[str, Any], *, timeout: float
    ) -> Object:
        attempt, stored = self._sent("patch"), self._store.stored
        if stored is None:
            raise NotFound(attempt, "there is none", code=404)
        if patch["metadata"]["resourceVersion"] != stored["metadata"]["resourceVersion"]:
            raise Conflict(attempt, "it has changed", code=409)
        return self._answered(self._store.put({**stored, "spec": {**stored["spec"], **patch["spec"]}}))

    def _sent(self, verb: str) -> Attempt:
        attempt = Attempt(verb, LEASES.label, "system", "sluice")
        if self.forbidden:
            raise Forbidden(attempt, "leases are not for you", code=403)
        if self.cut:
            raise ConnectionFailed(attempt, "no way there")
        return attempt

    def _answered(self, answer: Object) -> Object:
        if self.deaf:
            raise ConnectionFailed(Attempt("read", LEASES.label), "no way back")
        return answer


class Skewed:
    """A clock of another machine: it began at another moment, and its wall clock is wrong."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def monotonic(self) -> float:
        return self._clock.monotonic() + self._seconds

    def now(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._seconds)

    def call_later(self, seconds: float, callback: Any) -> Timer:
        return self._clock.call_later(seconds, callback)

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class Replica:
    """One replica, from its start to its end."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.line = Line(world.store)
        self.losses: list[str] = []
        self.lease = made(self.line, Skewed(world.clock, len(world.replicas) * 1000.0), name, self.losses)
        self.acquiring = asyncio.create_task(self.lease.acquire())

    @property
    def allowed(self) -> float | None:
        """For how many seconds it may write; None: it may not. One that has lost the lease ends, and one that waits has no work."""
        if not self.acquiring.done() or self.losses:
            return None
        try:
            return self.lease.require()
        except NotLeading:
            return None

    async def stop(self) -> None:
        """End in order."""
        self.acquiring.cancel()
        await self.lease.release()


def made(line: Any, clock: Clock, name: str, losses: list[str]) -> Lease:
    return Lease(line, clock, namespace="system", name="sluice", identity=name, lost=losses.append)


class World:
    """Replicas of one operator, and who of them may write."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = Store()
        self.replicas: list[Replica] = []
        self._until: dict[str, float] = {}
        """Until when what a replica has begun to write may go on."""

    async def start(self, name: str) -> Replica:
        replica = Replica(self, name)
        self.replicas.append(replica)
        await self._settle()
        return replica

    async def kill(self, replica: Replica) -> None:
        """Its process ends without a word."""
        self.replicas.remove(replica)
        replica.line.cut = True
        replica.acquiring.cancel()
        await replica.lease.release()
        self._until.pop(replica.name, None)

    async def stop(self, replica: Replica) -> None:
        self.replicas.remove(replica)
        await replica.stop()
        self._until.pop(replica.name, None)  # it has waited for the end of its writes

    async def go_on(self, seconds: float) -> None:
        """Let time pass, and see at every step that no two may write."""
        for _ in range(max(1, round(seconds / STEP))):
            self.clock.advance(STEP)
            await self._settle()
            now = self.clock.monotonic()
            writing = {row.name: row.allowed for row in self.replicas}
            may = [name for name, allowed in writing.items() if allowed is not None]
            assert len(may) <= 1, f"{may} may write at {now}"
            for name in may:
                others = {other: until for other, until in self._until.items() if other != name and until > now}
                assert not others, f"{name} may write at {now}, and what others have begun goes on: {others}"
                self._until[name] = now + (writing[name] or 0.0)

    @property
    def leaders(self) -> list[str]:
        return [row.name for row in self.replicas if row.allowed is not None]

    async def _settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def end(self) -> None:
        for replica in self.replicas:
            replica.line.cut = True
            replica.acquiring.cancel()
            await replica.lease.release()


async def test_the_first_one_has_it_at_once_and_the_second_stands_by() -> None:
    world = World()
    first = await world.start("a")
    second = await world.start("b")
    await world.go_on(60)
    assert world.leaders == ["a"]
    assert (first.lease.problem, second.lease.problem) == (None, "the lease sluice is held by a")
    assert world.store.stored is not None
    assert world.store.stored["spec"]["leaseTransitions"] == 0
    await world.end()


async def test_after_one_that_died_another_has_it_when_it_has_expired() -> None:
    world = World()
    first = await world.start("a")
    await world.start("b")
    await world.go_on(10)
    await world.kill(first)
    await world.go_on(LEASE_SECONDS - 3)
    assert world.leaders == []
    await world.go_on(6)
    assert world.leaders == ["b"]
    assert world.store.stored is not None
    assert world.store.stored["spec"]["leaseTransitions"] == 1
    await world.end()


async def test_one_that_ends_in_order_hands_it_on() -> None:
    world = World()
    first = await world.start("a")
    await world.start("b")
    await world.go_on(10)
    await world.stop(first)
    with pytest.raises(NotLeading):
        first.lease.require()
    await world.go_on(2.5)
    assert world.leaders == ["b"]
    await world.end()


async def test_the_next_container_of_a_pod_goes_on_at_once() -> None:
    world = World()
    first = await world.start("a")
    await world.go_on(10)
    await world.kill(first)
    await world.start("a")
    assert world.leaders == ["a"]
    await world.end()


async def test_who_cannot_renew_it_writes_nothing_and_goes_on_when_nobody_took_it() -> None:
    """As when the API server is away for everybody."""
    world = World()
    first, second = await world.start("a"), await world.start("b")
    await world.go_on(4)
    first.line.cut = second.line.cut = True
    await world.go_on(RENEW_SECONDS - 2)
    assert world.leaders == ["a"]
    await world.go_on(4)
    assert world.leaders == []
    assert first.lease.problem == (
        "the lease sluice could not be renewed: get leases.coordination.k8s.io system/sluice: no way there"
    )
    await world.go_on(300)
    first.line.cut = False
    await world.go_on(2.5)
    assert world.leaders == ["a"]
    assert first.losses == []
    await world.end()


async def test_who_was_cut_off_while_another_took_it_has_lost_it() -> None:
    world = World()
    first = await world.start("a")
    await world.start("b")
    await world.go_on(4)
    first.line.cut = True
    await world.go_on(20)
    assert world.leaders == ["b"]
    first.line.cut = False
    await world.go_on(3)
    assert first.losses == ["b"]
    await world.end()


async def test_who_was_cut_off_while_another_had_it_has_lost_it_though_nobody_has_it_now() -> None:
    world = World()
    first = await world.start("a")
    second = await world.start("b")
    await world.go_on(4)
    first.line.cut = True
    await world.go_on(20)
    await world.stop(second)
    first.line.cut = False
    await world.go_on(3)
    assert first.losses == [""]
    assert world.leaders == []
    await world.end()


async def test_who_has_no_permission_says_so() -> None:
    world = World()
    first = Replica(world, "a")
    first.line.forbidden = True
    world.replicas.append(first)
    await world.go_on(10)
    assert world.leaders == []
    assert first.lease.problem == (
        "waits for the lease sluice: get leases.coordination.k8s.io system/sluice: leases are not for you"
    )
    first.line.forbidden = False
    await world.go_on(3)
    assert world.leaders == ["a"]
    await world.end()


async def test_a_lease_that_somebody_deleted_is_made_again() -> None:
    world = World()
    first = await world.start("a")
    await world.go_on(4)
    world.store.stored = None
    await world.go_on(4)
    assert world.leaders == ["a"]
    assert first.losses == []
    await world.end()


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_two_may_write_whatever_happens(data: st.DataObject) -> None:
    """Replicas come, die, end, lose their line in either direction and get it back; their clocks have nothing in common."""

    async def history() -> None:
        world, names = World(), iter("abcdefghijklmnop")
        for _ in range(data.draw(st.integers(1, 14))):
            acts = ["wait", *(["start"] if len(world.replicas) < 3 else [])]
            acts += ["kill", "stop", "cut", "deafen", "heal"] if world.replicas else []
            act = data.draw(st.sampled_from(acts))
            replica = data.draw(st.sampled_from(world.replicas)) if world.replicas else None
            match act, replica:
                case "start", _:
                    await world.start(next(names))
                case "kill", Replica():
                    await world.kill(replica)
                case "stop", Replica() if not replica.line.cut and not replica.line.deaf:
                    await world.stop(replica)
                case "cut", Replica():
                    replica.line.cut = True
                case "deafen", Replica():
                    replica.line.deaf = True
                case "heal", Replica():
                    replica.line.cut = replica.line.deaf = False
            await world.go_on(data.draw(st.sampled_from([STEP, 1, 3, 8, 11, 16, 31])))
        # Whoever is there and can be reached: one of them works in the end.
        for replica in list(world.replicas):
            replica.line.cut = replica.line.deaf = False
            if replica.losses:
                await world.kill(replica)
        await world.start("z")
        await world.go_on(40)
        survivors = [row for row in world.replicas if not row.losses]
        assert len(world.leaders) == 1, [row.name for row in survivors]
        await world.end()

    asyncio.run(history())


async def test_what_stands_in_the_lease_at_an_api_server() -> None:
    clock = ManualClock()
    losses: list[str] = []
    async with SmallApi(clock) as api, KubeClient(Connection(Configuration(host=api.url))) as client:
        lease = made(client, clock, "sluice-1", losses)
        await lease.acquire()
        spec = api.get(LEASES, "sluice", "system")["spec"]
        assert spec == {
            "holderIdentity": "sluice-1",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:00.000000Z",
            "leaseTransitions": 0,
        }
        await lease.release()
        assert api.get(LEASES, "sluice", "system")["spec"]["holderIdentity"] == ""
        other = made(client, clock, "sluice-2", losses)
        await other.acquire()
        spec = api.get(LEASES, "sluice", "system")["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("sluice-2", 15, 1)
        await other.release()


async def test_a_write_is_given_up_before_another_may_write() -> None:
    """The fence says how long it may take, and the client keeps to it."""

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    async with SmallApi(ManualClock()) as api:
        api.answer = never  # type: ignore[method-assign]
        async with KubeClient(Connection(Configuration(host=api.url)), fence=lambda: 0.2) as client:
            with pytest.raises(KubeError, match=r"no complete answer within 0\.2 s"):
                await client.create(LEASES, "system", {"metadata": {"name": "x"}}, timeout=30)
