"""Events are written in the background, counted up when repeated, and dropped rather than waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from sluice.kube.client import KubeClient
from sluice.kube.clock import ManualClock
from sluice.kube.connection import Connection
from sluice.kube.events import REMEMBER_SECONDS, EventRecorder, ObjectRef
from sluice.kube.limiter import TokenBucket
from sluice.telemetry.metrics import REGISTRY
from tests.unit.kube.loopback_api import Loopback, condition, status_object

RUN = ObjectRef("sluice.dev/v1alpha1", "PipelineRun", "team-a", "r", "uid-r", "7")


class EventsApi(Loopback):
    """Keeps Events as the API server does."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, dict[str, Any]] = {}
        self.down = False
        self.hangs = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.hangs:
            await asyncio.Event().wait()
        if self.down:
            return web.json_response(status_object(503, "ServiceUnavailable"), status=503)
        name = request.path.rsplit("/", 1)[1]
        if request.method == "POST":
            obj = self.received[-1].json
            name = obj["metadata"]["name"]
            if name in self.stored:
                return web.json_response(status_object(409, "AlreadyExists"), status=409)
            self.stored[name] = obj
        elif name not in self.stored:
            return web.json_response(status_object(404, "NotFound"), status=404)
        elif request.method == "PATCH":
            self.stored[name] |= self.received[-1].json
        return web.json_response(self.stored[name])

    @property
    def only(self) -> dict[str, Any]:
        [event] = self.stored.values()
        return event


@pytest.fixture
async def api() -> AsyncIterator[EventsApi]:
    async with EventsApi() as server:
        yield server


@pytest.fixture
async def client(api: EventsApi) -> AsyncIterator[KubeClient]:
    async with KubeClient(Connection(Configuration(host=api.url))) as kube:
        yield kube


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def recorder(client: KubeClient, clock: ManualClock) -> AsyncIterator[EventRecorder]:
    made = EventRecorder(client, instance="sluice-0", clock=clock)
    made.start()
    yield made
    await made.close(0)


async def written(recorder: EventRecorder) -> None:
    """Wait until nothing is pending."""
    await condition(lambda: recorder.pending == 0)


def outcomes() -> dict[str, float]:
    return {
        outcome: REGISTRY.get_sample_value("sluice_events_recorded_total", {"outcome": outcome}) or 0
        for outcome in ("created", "repeated", "dropped", "failed")
    }


def since(before: dict[str, float]) -> dict[str, float]:
    return {outcome: count - before[outcome] for outcome, count in outcomes().items() if count != before[outcome]}


async def test_an_event_says_what_happened_to_what(api: EventsApi, recorder: EventRecorder) -> None:
    recorder.record(RUN, "Warning", "StepFailed", "step extract failed with exit code 3")
    await written(recorder)

    assert api.received[0].path == "/api/v1/namespaces/team-a/events"
    assert api.only["metadata"]["name"].startswith("r.")
    assert {key: value for key, value in api.only.items() if key != "metadata"} == {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "PipelineRun",
            "namespace": "team-a",
            "name": "r",
            "uid": "uid-r",
            "resourceVersion": "7",
        },
        "type": "Warning",
        "reason": "StepFailed",
        "message": "step extract failed with exit code 3",
        "count": 1,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "source": {"component": "sluice"},
        "reportingComponent": "sluice",
        "reportingInstance": "sluice-0",
    }


async def test_a_repeat_counts_up_instead_of_making_another(
    api: EventsApi, recorder: EventRecorder, clock: ManualClock
) -> None:
    before = outcomes()
    for _ in range(3):
        recorder.record(RUN, "Normal", "Started", "started")
        await written(recorder)
        clock.advance(10)

    assert (api.only["count"], api.only["firstTimestamp"], api.only["lastTimestamp"]) == (
        3,
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:20Z",
    )
    assert [one.method for one in api.received] == ["POST", "PATCH", "PATCH"]
    assert since(before) == {"created": 1, "repeated": 2}


async def test_repeats_that_wait_together_are_written_once(
    api: EventsApi, client: KubeClient, clock: ManualClock
) -> None:
    recorder = EventRecorder(client, clock=clock)
    for _ in range(5):
        recorder.record(RUN, "Normal", "Started", "started")
    recorder.start()

    assert await recorder.close(60) is True
    assert api.only["count"] == 5
    assert len(api.received) == 1


async def test_what_differs_is_another_event(api: EventsApi, recorder: EventRecorder) -> None:
    recorder.record(RUN, "Normal", "Started", "started")
    recorder.record(RUN, "Normal", "Started", "started again")
    recorder.record(RUN, "Warning", "Started", "started")
    recorder.record(RUN, "Normal", "Ended", "started")
    recorder.record(ObjectRef("v1", "Pod", "team-a", "r", "another"), "Normal", "Started", "started")
    await written(recorder)

    assert len(api.stored) == 5


async def test_another_replica_counts_on_where_the_first_was(
    api: EventsApi, client: KubeClient, recorder: EventRecorder
) -> None:
    for _ in range(2):
        recorder.record(RUN, "Normal", "Started", "started")
        await written(recorder)
    successor = EventRecorder(client)
    successor.record(RUN, "Normal", "Started", "started")
    successor.start()

    assert await successor.close(60) is True
    assert api.only["count"] == 3


async def test_an_event_that_the_server_forgot_is_made_anew(api: EventsApi, recorder: EventRecorder) -> None:
    recorder.record(RUN, "Normal", "Started", "started")
    await written(recorder)
    api.stored.clear()
    recorder.record(RUN, "Normal", "Started", "started")
    await written(recorder)

    assert api.only["count"] == 1


async def test_after_a_while_the_server_is_asked_for_the_count(
    api: EventsApi, recorder: EventRecorder, clock: ManualClock
) -> None:
    recorder.record(RUN, "Normal", "Started", "started")
    await written(recorder)
    api.only["count"] = 40
    clock.advance(REMEMBER_SECONDS + 1)
    recorder.record(RUN, "Normal", "Started", "started")
    await written(recorder)

    assert api.only["count"] == 41


async def test_what_does_not_fit_is_dropped_and_counted(api: EventsApi, client: KubeClient) -> None:
    before = outcomes()
    recorder = EventRecorder(client, max_pending=3)
    for number in range(10):
        recorder.record(RUN, "Normal", "Started", f"step {number}")
    recorder.start()

    assert await recorder.close(60) is True
    assert len(api.stored) == 3
    assert since(before) == {"created": 3, "dropped": 7}


async def test_a_failure_is_counted_and_the_next_event_is_written(api: EventsApi, recorder: EventRecorder) -> None:
    before = outcomes()
    api.down = True
    recorder.record(RUN, "Normal", "Started", "one")
    await written(recorder)
    api.down = False
    recorder.record(RUN, "Normal", "Started", "two")
    await written(recorder)

    assert api.only["message"] == "two"
    assert since(before) == {"failed": 1, "created": 1}


async def test_a_closed_fence_fails_events_and_nothing_else(
    api: EventsApi, client: KubeClient, recorder: EventRecorder
) -> None:
    def closed() -> None:
        raise RuntimeError("the lease is lost")

    client.fence = closed
    recorder.record(RUN, "Normal", "Started", "one")
    await written(recorder)
    client.fence = None
    recorder.record(RUN, "Normal", "Started", "two")
    await written(recorder)

    assert api.only["message"] == "two"


async def test_no_more_are_written_than_the_rate_allows(api: EventsApi, client: KubeClient, clock: ManualClock) -> None:
    recorder = EventRecorder(client, bucket=TokenBucket(rate=1, burst=2, clock=clock), clock=clock)
    for number in range(4):
        recorder.record(RUN, "Normal", "Started", f"step {number}")
    recorder.start()
    await condition(lambda: clock.pending > 0)
    assert len(api.stored) == 2
    clock.advance(1)
    await condition(lambda: clock.pending > 0)
    assert len(api.stored) == 3
    await recorder.close(0)


async def test_closing_gives_up_at_the_deadline_and_counts_what_is_lost(api: EventsApi, client: KubeClient) -> None:
    before = outcomes()
    api.hangs = True
    recorder = EventRecorder(client)
    recorder.start()
    recorder.record(RUN, "Normal", "Started", "one")
    recorder.record(RUN, "Normal", "Started", "two")
    await condition(lambda: len(api.received) > 0)

    assert await recorder.close(0) is False
    recorder.record(RUN, "Normal", "Started", "after the end")
    assert since(before) == {"dropped": 3}


async def test_a_message_is_cut_and_carries_no_credential(api: EventsApi, recorder: EventRecorder) -> None:
    recorder.record(RUN, "Normal", "Started", "Authorization: Bearer abcdefghijkl " + "ü" * 5000)
    await written(recorder)

    assert len(api.only["message"]) == 1024
    assert api.only["message"].endswith("…")
    assert "abcdefghijkl" not in api.only["message"]


async def test_a_cluster_scoped_object_has_its_events_in_the_default_namespace(
    api: EventsApi, recorder: EventRecorder
) -> None:
    recorder.record(ObjectRef("sluice.dev/v1alpha1", "DeliveryPolicy", "", "p", "u"), "Normal", "Frozen", "frozen")
    await written(recorder)

    assert api.received[0].path == "/api/v1/namespaces/default/events"
    assert "namespace" not in api.only["involvedObject"]


def test_a_reference_to_an_object() -> None:
    obj = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": {"namespace": "team-a", "name": "r", "uid": "uid-r", "resourceVersion": "7"},
    }

    assert ObjectRef.to(obj) == RUN
