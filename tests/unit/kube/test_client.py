"""The client against a server that can be made to misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from kubernetes.aio.client import Configuration

from sluice.kube.client import KubeClient
from sluice.kube.connection import Connection
from sluice.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    ConnectionFailed,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    RequestTimeout,
    ServerError,
    TooManyRequests,
)
from sluice.kube.limiter import Limiter
from sluice.kube.resources import CONTROLLER_REVISIONS, NAMESPACES, PIPELINE_RUNS, PODS
from sluice.telemetry.metrics import REGISTRY
from tests.unit.kube.loopback_api import LoopbackApi

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "extract-1"}}
RUN_PATH = "/apis/sluice.dev/v1alpha1/namespaces/team-a/pipelineruns/r"


def counted(verb: str, resource: str, code: str) -> float:
    return (
        REGISTRY.get_sample_value("sluice_api_requests_total", {"verb": verb, "resource": resource, "code": code}) or 0
    )


# What is sent -------------------------------------------------------------------------------------


async def test_get_sends_no_body_and_returns_the_object(api: LoopbackApi, client: KubeClient) -> None:
    api.say(POD)

    assert await client.get(PODS, "team-a", "extract-1") == POD
    [request] = api.received
    assert (request.method, request.path, request.query, request.body) == (
        "GET",
        "/api/v1/namespaces/team-a/pods/extract-1",
        {},
        b"",
    )
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"] == "sluice"
    assert "Authorization" not in request.headers


async def test_create_names_the_field_manager(api: LoopbackApi, client: KubeClient) -> None:
    api.say(POD, 201)

    assert await client.create(PODS, "team-a", POD) == POD
    [request] = api.received
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/team-a/pods")
    assert request.query == {"fieldManager": "sluice"}
    assert request.headers["Content-Type"] == "application/json"
    assert request.json == POD


@pytest.mark.parametrize("force", [False, True])
async def test_apply_is_server_side(api: LoopbackApi, client: KubeClient, force: bool) -> None:
    api.say(POD)
    await client.apply(PODS, "team-a", POD, force=force)

    [request] = api.received
    assert (request.method, request.path) == ("PATCH", "/api/v1/namespaces/team-a/pods/extract-1")
    assert request.query == {"fieldManager": "sluice", "force": "true" if force else "false"}
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert request.json == POD


async def test_apply_needs_a_name(client: KubeClient) -> None:
    with pytest.raises(ValueError, match=r"metadata\.name"):
        await client.apply(PODS, "team-a", {"kind": "Pod"})


async def test_merge_patch(api: LoopbackApi, client: KubeClient) -> None:
    api.say({})
    await client.patch_merge(PIPELINE_RUNS, "team-a", "r", {"metadata": {"labels": {"a": None}}})

    [request] = api.received
    assert (request.method, request.path) == ("PATCH", RUN_PATH)
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.json == {"metadata": {"labels": {"a": None}}}


async def test_json_patch(api: LoopbackApi, client: KubeClient) -> None:
    api.say({})
    operations = [{"op": "test", "path": "/metadata/resourceVersion", "value": "7"}]
    await client.patch_json(PIPELINE_RUNS, "team-a", "r", operations)

    [request] = api.received
    assert request.headers["Content-Type"] == "application/json-patch+json"
    assert request.json == operations


async def test_status_goes_to_the_subresource_with_its_precondition(api: LoopbackApi, client: KubeClient) -> None:
    api.say({}).say({})
    await client.patch_status(PIPELINE_RUNS, "team-a", "r", {"phase": "Running"}, resource_version=7)
    await client.patch_status(PIPELINE_RUNS, "team-a", "r", {"phase": "Running"})

    with_version, without = api.received
    assert with_version.path == f"{RUN_PATH}/status"
    assert with_version.query == {"fieldManager": "sluice"}
    assert with_version.headers["Content-Type"] == "application/merge-patch+json"
    assert with_version.json == {"status": {"phase": "Running"}, "metadata": {"resourceVersion": "7"}}
    assert without.json == {"status": {"phase": "Running"}}


async def test_delete_carries_its_preconditions(api: LoopbackApi, client: KubeClient) -> None:
    api.say({})
    deleted = await client.delete(
        PODS, "team-a", "extract-1", uid="u", resource_version="7", propagation="Foreground", grace_seconds=0
    )

    assert deleted is True
    [request] = api.received
    assert request.method == "DELETE"
    assert request.json == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u", "resourceVersion": "7"},
    }


async def test_deleting_what_is_not_there_is_no_error(api: LoopbackApi, client: KubeClient) -> None:
    api.fail(404, "NotFound")

    assert await client.delete(PODS, "team-a", "extract-1") is False


async def test_deleting_another_object_of_the_name_is_a_conflict(api: LoopbackApi, client: KubeClient) -> None:
    api.fail(409, "Conflict", "the UID in the precondition does not match")
    with pytest.raises(Conflict):
        await client.delete(PODS, "team-a", "extract-1", uid="u")


async def test_raw_bodies_and_the_version(api: LoopbackApi, client: KubeClient) -> None:
    api.stream(b"up 1\n").say({"major": "1", "minor": "35"})

    assert await client.get_raw("/metrics", params={"a": "b c"}) == b"up 1\n"
    assert await client.version() == {"major": "1", "minor": "35"}
    assert [(one.path, one.query) for one in api.received] == [("/metrics", {"a": "b c"}), ("/version", {})]


async def test_names_beyond_ascii_travel_intact(api: LoopbackApi, client: KubeClient) -> None:
    api.say({"items": [], "metadata": {"resourceVersion": "1"}}).say({"metadata": {"annotations": {"a": "Straße €"}}})
    await client.list(PODS, "team-a", label_selector="a in (x,ü),b!=c", field_selector="status.phase=Running")
    answer = await client.patch_merge(PODS, "team-a", "p", {"metadata": {"annotations": {"a": "Straße €"}}})

    assert api.received[0].query == {
        "labelSelector": "a in (x,ü),b!=c",
        "fieldSelector": "status.phase=Running",
        "limit": "500",
    }
    assert answer["metadata"]["annotations"] == api.received[1].json["metadata"]["annotations"] == {"a": "Straße €"}


# Lists --------------------------------------------------------------------------------------------


def page(names: list[str], version: str = "9", token: str | None = None) -> dict[str, Any]:
    metadata = {"resourceVersion": version} | ({"continue": token} if token else {})
    return {"metadata": metadata, "items": [{"metadata": {"name": name}} for name in names]}


async def test_a_list_is_read_page_by_page(api: LoopbackApi, client: KubeClient) -> None:
    api.say(page(["a", "b"], token="t1")).say(page(["c", "d"], token="t2")).say(page(["e"]))
    found = await client.list(PODS, "team-a", limit=2)

    assert [item["metadata"]["name"] for item in found.items] == list("abcde")
    assert found.resource_version == "9"
    assert [one.query for one in api.received] == [
        {"limit": "2"},
        {"limit": "2", "continue": "t1"},
        {"limit": "2", "continue": "t2"},
    ]


async def test_a_list_that_expires_half_way_is_started_again_in_one_piece(api: LoopbackApi, client: KubeClient) -> None:
    api.say(page(["a", "b"], version="9", token="t1")).fail(410, "Expired").say(page(["a", "c"], version="20"))
    found = await client.list(PODS, "team-a", limit=2)

    assert [item["metadata"]["name"] for item in found.items] == ["a", "c"]
    assert found.resource_version == "20"
    assert api.received[2].query == {}


async def test_a_list_that_is_gone_from_the_start_is_an_error(api: LoopbackApi, client: KubeClient) -> None:
    api.fail(410, "Expired")
    with pytest.raises(Gone):
        await client.list(PODS, "team-a")


async def test_an_empty_list_may_have_null_for_items(api: LoopbackApi, client: KubeClient) -> None:
    api.say({"metadata": {"resourceVersion": "3"}, "items": None})

    assert (await client.list(PODS)).items == []


# Errors -------------------------------------------------------------------------------------------


async def test_each_error_is_raised_with_what_was_attempted(api: LoopbackApi, client: KubeClient) -> None:
    api.fail(409, "AlreadyExists", 'pods "extract-1" already exists')
    with pytest.raises(AlreadyExists) as raised:
        await client.create(PODS, "team-a", POD)

    assert str(raised.value) == 'create pods team-a/extract-1: pods "extract-1" already exists (409 AlreadyExists)'


async def test_too_many_requests_says_how_long_to_wait_and_is_not_sent_again(
    api: LoopbackApi, client: KubeClient
) -> None:
    api.fail(429, "TooManyRequests", headers={"Retry-After": "7"})
    with pytest.raises(TooManyRequests) as raised:
        await client.get(PODS, "team-a", "p")

    assert raised.value.retry_after == 7.0
    assert len(api.received) == 1


@pytest.mark.parametrize("value", ["soon", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", ""])
async def test_a_retry_after_that_is_no_number_of_seconds_is_left_out(
    api: LoopbackApi, client: KubeClient, value: str
) -> None:
    api.fail(429, "TooManyRequests", headers={"Retry-After": value})
    with pytest.raises(TooManyRequests) as raised:
        await client.get(PODS, "team-a", "p")

    assert raised.value.retry_after is None


async def test_a_server_error_is_not_sent_again(api: LoopbackApi, client: KubeClient) -> None:
    api.fail(500, "InternalError", "etcd")
    with pytest.raises(ServerError):
        await client.get(PODS, "team-a", "p")

    assert len(api.received) == 1


async def test_an_error_page_of_a_proxy_is_quoted(api: LoopbackApi, client: KubeClient) -> None:
    api.say("<html>Bad Gateway</html>", 502)
    with pytest.raises(ServerError, match="Bad Gateway"):
        await client.get(PODS, "team-a", "p")


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"{", b"\xff"])
async def test_a_success_that_is_no_json_object_is_a_failed_connection(
    api: LoopbackApi, client: KubeClient, body: bytes
) -> None:
    api.stream(body)
    with pytest.raises(ConnectionFailed, match="answer is not"):
        await client.get(PODS, "team-a", "p")


async def test_a_redirect_is_not_followed(api: LoopbackApi, client: KubeClient) -> None:
    api.say({}, 302, {"Location": "http://192.0.2.1/elsewhere"})
    with pytest.raises(ApiError) as raised:
        await client.get(PODS, "team-a", "p")

    assert raised.value.code == 302


async def test_a_failed_test_of_a_json_patch_is_a_conflict(api: LoopbackApi, client: KubeClient) -> None:
    refusal = "the server rejected our request due to an error in our request"
    api.fail(422, "Invalid", refusal).fail(422, "Invalid", refusal)
    api.fail(422, "Invalid", "bad", causes=[{"field": "spec.x", "message": "bad"}])
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    add = {"op": "add", "path": "/spec/x", "value": 1}

    with pytest.raises(Conflict):
        await client.patch_json(PODS, "team-a", "p", [test, add])
    with pytest.raises(Invalid):
        await client.patch_json(PODS, "team-a", "p", [add])
    with pytest.raises(Invalid):
        await client.patch_json(PODS, "team-a", "p", [test, add])


async def test_a_server_that_does_not_answer_ends_in_a_timeout(api: LoopbackApi, client: KubeClient) -> None:
    before = counted("get", "pods", "timeout")
    api.hang()
    with pytest.raises(RequestTimeout, match=r"get pods team-a/p: no complete answer within 0\.05 s"):
        await client.get(PODS, "team-a", "p", timeout=0.05)

    assert counted("get", "pods", "timeout") == before + 1


async def test_an_answer_that_stops_half_way_ends_in_a_timeout(api: LoopbackApi, client: KubeClient) -> None:
    api.stream(b'{"metadata":', then=asyncio.Event().wait())
    with pytest.raises(RequestTimeout):
        await client.get(PODS, "team-a", "p", timeout=0.05)


async def test_an_answer_that_is_cut_off_is_a_failed_connection(api: LoopbackApi, client: KubeClient) -> None:
    api.stream(b'{"metadata":', cut=True)
    with pytest.raises(ConnectionFailed, match="get pods team-a/p"):
        await client.get(PODS, "team-a", "p")


async def test_waiting_for_the_limiter_counts_towards_the_timeout(api: LoopbackApi) -> None:
    limiter = Limiter(in_flight=1)
    async with KubeClient(Connection(Configuration(host=api.url)), limiter=limiter) as client, limiter:
        with pytest.raises(RequestTimeout, match="not even sent"):
            await client.get(PODS, "team-a", "p", timeout=0.01)

    assert api.received == []


async def test_a_refused_connection_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with KubeClient(Connection(Configuration(host=url))) as client:
            with pytest.raises(ConnectionFailed, match=r"get pods team-a/p: ClientConnectorError") as raised:
                await client.get(PODS, "team-a", "p")
            with pytest.raises(ConnectionFailed):
                await client.list(PODS)
            with pytest.raises(ConnectionFailed):
                async with aclosing(client.watch(PODS, resource_version="1")) as events:
                    await anext(events)

    assert raised.value.retryable


# A connection that the server closed while it was idle --------------------------------------------


class ForgetfulServer:
    """Answers the first request of its first connection, and closes that one when a second arrives."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[str] = []
        self._connections = 0

    async def __aenter__(self) -> ForgetfulServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        first_connection = self._connections == 1
        served = 0
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head.split(b" ", 1)[0].decode())
                if first_connection and served == 1:
                    return
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
                served += 1
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


async def test_a_get_on_a_connection_that_went_stale_is_sent_once_more() -> None:
    async with ForgetfulServer() as server, KubeClient(Connection(Configuration(host=server.url))) as client:
        await client.get(PODS, "team-a", "p")
        await client.get(PODS, "team-a", "p")

    assert server.requests == ["GET", "GET", "GET"]


@pytest.mark.parametrize(
    "write",
    [
        lambda client: client.create(PODS, "team-a", POD),
        lambda client: client.patch_status(PIPELINE_RUNS, "team-a", "r", {}),
        lambda client: client.apply(PODS, "team-a", POD),
    ],
)
async def test_a_write_on_a_connection_that_went_stale_is_not(
    write: Callable[[KubeClient], Coroutine[Any, Any, Any]],
) -> None:
    async with ForgetfulServer() as server, KubeClient(Connection(Configuration(host=server.url))) as client:
        await client.get(PODS, "team-a", "p")
        with pytest.raises(ConnectionFailed):
            await write(client)

    assert len(server.requests) == 2


# Fence --------------------------------------------------------------------------------------------


class LeaseLost(Exception):
    """What a leader election would raise."""


def closed_fence() -> None:
    raise LeaseLost


WRITES: list[Callable[[KubeClient], Coroutine[Any, Any, Any]]] = [
    lambda client: client.create(PODS, "team-a", POD),
    lambda client: client.apply(PODS, "team-a", POD),
    lambda client: client.patch_merge(PODS, "team-a", "p", {}),
    lambda client: client.patch_json(PODS, "team-a", "p", []),
    lambda client: client.patch_status(PODS, "team-a", "p", {}),
    lambda client: client.delete(PODS, "team-a", "p"),
]


@pytest.mark.parametrize("write", WRITES)
async def test_a_closed_fence_stops_every_write(
    api: LoopbackApi, client: KubeClient, write: Callable[[KubeClient], Coroutine[Any, Any, Any]]
) -> None:
    client.fence = closed_fence
    with pytest.raises(LeaseLost):
        await write(client)

    assert api.received == []


async def test_a_closed_fence_lets_reads_pass(api: LoopbackApi, client: KubeClient) -> None:
    client.fence = closed_fence
    api.say(POD)

    assert await client.get(PODS, "team-a", "p") == POD


async def test_a_fence_that_closes_while_a_write_waits_for_the_limiter_stops_it(api: LoopbackApi) -> None:
    limiter = Limiter(in_flight=1)
    async with KubeClient(Connection(Configuration(host=api.url)), limiter=limiter) as client:
        async with limiter:
            write = asyncio.create_task(client.create(PODS, "team-a", POD))
            await asyncio.sleep(0)
            client.fence = closed_fence
        with pytest.raises(LeaseLost):
            await write

    assert api.received == []


# Watches ------------------------------------------------------------------------------------------


def event(kind: str, **metadata: Any) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": metadata}}).encode()


async def collect(events: AsyncIterator[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    return [(kind, obj["metadata"]["name"]) async for kind, obj in events]


async def test_a_watch_asks_for_bookmarks_and_a_time_limit(api: LoopbackApi, client: KubeClient) -> None:
    api.stream(event("ADDED", name="a") + b"\n" + event("BOOKMARK", name="b") + b"\n")
    events = client.watch(PODS, "team-a", resource_version="7", label_selector="sluice.dev/run", seconds=100)

    assert await collect(events) == [("ADDED", "a"), ("BOOKMARK", "b")]
    assert api.received[0].query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "timeoutSeconds": "100",
        "labelSelector": "sluice.dev/run",
    }


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
async def test_events_may_be_cut_into_chunks_anywhere(api: LoopbackApi, client: KubeClient, size: int) -> None:
    text = b"\n".join(event("ADDED", name=f"pod-{number}", note="ü" * number) for number in range(20)) + b"\n\n"
    api.stream(*(text[start : start + size] for start in range(0, len(text), size)))
    found = await collect(client.watch(PODS, resource_version="7"))

    assert found == [("ADDED", f"pod-{number}") for number in range(20)]


async def test_an_event_may_be_a_line_of_megabytes(api: LoopbackApi, client: KubeClient) -> None:
    note = "x" * 3_000_000
    api.stream(event("ADDED", name="big", note=note) + b"\n" + event("ADDED", name="small") + b"\n")
    async with aclosing(client.watch(PODS, resource_version="7")) as events:
        _, big = await anext(events)
        _, small = await anext(events)

    assert len(big["metadata"]["note"]) == 3_000_000
    assert small["metadata"]["name"] == "small"


async def test_a_watch_whose_version_is_too_old_is_gone_by_code(api: LoopbackApi, client: KubeClient) -> None:
    api.fail(410, "Expired")
    with pytest.raises(Gone):
        await collect(client.watch(PODS, resource_version="1"))


async def test_a_watch_whose_version_is_too_old_is_gone_by_event(api: LoopbackApi, client: KubeClient) -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    api.stream(event("ADDED", name="a") + b"\n" + json.dumps(gone).encode() + b"\n")
    found = []
    with pytest.raises(Gone, match="watch pods team-a: too old"):  # noqa: PT012 (what came before the error counts)
        async for kind, _ in client.watch(PODS, "team-a", resource_version="1"):
            found.append(kind)

    assert found == ["ADDED"]


async def test_another_error_in_a_watch_is_raised_as_what_it_is(api: LoopbackApi, client: KubeClient) -> None:
    api.stream(json.dumps({"type": "ERROR", "object": {"kind": "Status", "message": "decode"}}).encode() + b"\n")
    with pytest.raises(ServerError, match="decode"):
        await collect(client.watch(PODS, resource_version="1"))


@pytest.mark.parametrize("cut", [True, False])
async def test_a_watch_that_breaks_off_inside_an_event_is_a_failed_connection(
    api: LoopbackApi, client: KubeClient, cut: bool
) -> None:
    api.stream(event("ADDED", name="a") + b"\n" + event("ADDED", name="b")[:20], cut=cut)
    found = []
    with pytest.raises(ConnectionFailed):  # noqa: PT012
        async for _, obj in client.watch(PODS, resource_version="1"):
            found.append(obj["metadata"]["name"])

    assert found == ["a"]


@pytest.mark.parametrize("line", [b"not json\n", b"[]\n", b"3\n", b"{}\n", b'{"type":"ADDED"}\n'])
async def test_a_line_that_is_no_event_is_a_failed_connection(
    api: LoopbackApi, client: KubeClient, line: bytes
) -> None:
    api.stream(line)
    with pytest.raises(ConnectionFailed, match="not a watch event"):
        await collect(client.watch(PODS, resource_version="1"))


async def test_a_silent_watch_times_out(api: LoopbackApi, client: KubeClient) -> None:
    api.stream(event("ADDED", name="a") + b"\n", then=asyncio.Event().wait())
    found = []
    with pytest.raises(RequestTimeout, match=r"nothing received for 0\.5 s"):  # noqa: PT012
        async for _, obj in client.watch(PODS, resource_version="1", inactivity=0.5):
            found.append(obj["metadata"]["name"])

    assert found == ["a"]


async def test_a_server_that_accepts_a_watch_and_says_nothing_at_all_times_out(
    api: LoopbackApi, client: KubeClient
) -> None:
    api.hang()
    with pytest.raises(RequestTimeout):
        await collect(client.watch(PODS, resource_version="1", inactivity=0.05))


async def test_leaving_a_watch_closes_its_connection(api: LoopbackApi, client: KubeClient) -> None:
    closed = asyncio.Event()

    async def until_closed() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()

    api.stream(event("ADDED", name="a") + b"\n", then=until_closed())
    async with aclosing(client.watch(PODS, resource_version="1")) as events:
        await anext(events)
    await closed.wait()


async def test_open_watches_take_no_place_from_requests(api: LoopbackApi) -> None:
    async with KubeClient(Connection(Configuration(host=api.url)), limiter=Limiter(in_flight=1)) as client:
        api.stream(event("ADDED", name="a") + b"\n", then=asyncio.Event().wait()).say(POD)
        async with aclosing(client.watch(PODS, resource_version="1")) as events:
            await anext(events)
            assert await client.get(PODS, "team-a", "p") == POD


# Logs ---------------------------------------------------------------------------------------------


async def test_logs_come_line_by_line(api: LoopbackApi, client: KubeClient) -> None:
    api.stream(b"one\ntw", b"o\nthree")
    found = [line async for line in client.logs("team-a", "p", container="step", follow=True, tail=10)]

    assert found == [b"one", b"two", b"three"]
    assert api.received[0].path == "/api/v1/namespaces/team-a/pods/p/log"
    assert api.received[0].query == {"container": "step", "follow": "true", "tailLines": "10"}


async def test_logs_of_a_pod_that_is_not_there(api: LoopbackApi, client: KubeClient) -> None:
    api.fail(404, "NotFound", 'pods "p" not found')
    with pytest.raises(NotFound, match="logs pods team-a/p"):
        await anext(client.logs("team-a", "p"))


# Metrics and secrets ------------------------------------------------------------------------------


async def test_requests_are_counted_by_verb_resource_and_code(api: LoopbackApi, client: KubeClient) -> None:
    counted_before = counted("get", "controllerrevisions.apps", "404")
    api.fail(404, "NotFound")
    with pytest.raises(NotFound):
        await client.get(CONTROLLER_REVISIONS, "team-a", "r")

    assert counted("get", "controllerrevisions.apps", "404") == counted_before + 1
    seconds = REGISTRY.get_sample_value(
        "sluice_api_request_seconds_count", {"verb": "get", "resource": "controllerrevisions.apps"}
    )
    assert seconds is not None
    assert seconds >= 1


async def test_the_token_is_sent_and_is_in_no_error(api: LoopbackApi) -> None:
    configuration = Configuration(host=api.url)
    configuration.api_key["BearerToken"] = "Bearer s3cr3t-value"
    async with KubeClient(Connection(configuration)) as client:
        api.say(POD).hang().fail(500, "InternalError").stream(b"{", cut=True)
        await client.get(NAMESPACES, None, "a")
        for _ in range(3):
            with pytest.raises(KubeError) as raised:
                await client.get(NAMESPACES, None, "a", timeout=0.05)
            assert "s3cr3t" not in f"{raised.value!r} {raised.value} {raised.value.__cause__!r} {raised.value.__dict__}"

    assert api.received[0].headers["Authorization"] == "Bearer s3cr3t-value"
