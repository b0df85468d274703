"""Hooks: requests to a real server on the loopback address, Jobs in a small API server."""

from __future__ import annotations

import asyncio
import base64
import itertools
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import Configuration

from sluice.api import names
from sluice.api.canary import Hook
from sluice.kube.client import KubeClient
from sluice.kube.clock import ManualClock
from sluice.kube.connection import Connection
from sluice.kube.resources import JOBS, SECRETS
from sluice.planning.canary_actions import EndHook, RunHook
from sluice.planning.canary_scene import HookResult
from sluice.reconcile.hook_requests import AT_ONCE_PER_HOST
from sluice.reconcile.hooks import REMEMBERED, Hooks, wait_before
from tests.unit.kube.loopback_api import condition
from tests.unit.reconcile.small_api import SmallApi, refusal
from tests.unit.sources.back_end import BackEnd
from tests.unit.sources.test_tls import certificate

UID = "canary-1"
KEY = f"{UID}/1/BeforeRollout/smoke"
FACTS = {"target": "pricing", "phase": "Holding", "step": None, "weight": 0, "candidateRevision": "r2"}
SECONDS = 20.0
"""How long a test waits for the end of a call."""
TEMPLATE = {"spec": {"containers": [{"name": "smoke", "image": "busybox", "command": ["true"]}]}}


class World:
    """An API server, hooks that work with it, and a server of the user's."""

    def __init__(self, api: SmallApi, client: KubeClient, clock: ManualClock, server: BackEnd) -> None:
        self.api = api
        self.client = client
        self.clock = clock
        self.server = server
        self.heard: list[tuple[str, str]] = []
        self.made: list[Hooks] = []
        self.hooks = self.restarted()

    def restarted(self) -> Hooks:
        """Hooks that remember nothing."""
        self.hooks = Hooks(self.client, self.clock, called=lambda namespace, name: self.heard.append((namespace, name)))
        self.made.append(self.hooks)
        return self.hooks

    def start(self, attempt: int = 1, key: str = KEY, seconds: float = 5, **fields: Any) -> None:
        """Call the hook `smoke`; `fields` in the words of the manifest."""
        hook = Hook.model_validate({"name": "smoke", "at": "BeforeRollout", **fields})
        action = RunHook(hook, key, attempt, timedelta(seconds=seconds))
        self.hooks.start("data", "pricing", UID, action, FACTS)

    def post(self, attempt: int = 1, *, key: str = KEY, seconds: float = 5, path: str = "/", **http: Any) -> None:
        """Call it as a request to the server."""
        self.start(attempt, key, seconds, http={"url": self.server.url + path, **http})

    def job(self, attempt: int = 1, *, seconds: float = 600, template: Any = None, **job: Any) -> None:
        """Call it as a Job."""
        self.start(attempt, seconds=seconds, job={"template": template or TEMPLATE, **job})

    async def ended(self, key: str = KEY) -> HookResult:
        """The result, once it is there. The clock is turned for as long as somebody waits for it."""
        async with asyncio.timeout(SECONDS):
            while (result := self.hooks.results(UID)[key]).state == "Running":
                if self.clock.pending:
                    self.clock.advance(1)
                await asyncio.sleep(0.001)
        return result

    async def answered(self, **http: Any) -> HookResult:
        """The result of a request."""
        self.post(**http)
        return await self.ended()

    async def the_job(self) -> dict[str, Any]:
        """The Job, once it is made."""
        async with asyncio.timeout(SECONDS):
            await condition(lambda: bool(self.api.all_of(JOBS)))
        (job,) = self.api.all_of(JOBS)
        return job

    async def job_says(self, kind: str, **fields: str) -> HookResult:
        """Give the Job a condition; the result."""
        job = await self.the_job()
        conditions = [{"type": "Suspended", "status": "False"}, {"type": kind, "status": "True", **fields}]
        self.api.put(JOBS, {**job, "status": {"conditions": conditions}})
        return await self.ended()

    def secret(self, **data: bytes) -> None:
        """The Secret `hook`."""
        encoded = {key.replace("_", "-"): base64.b64encode(value).decode() for key, value in data.items()}
        self.api.put(SECRETS, {"metadata": {"name": "hook"}, "data": encoded})

    def creations(self) -> int:
        """How often a Job was asked for."""
        return sum(1 for method, path in self.api.writes() if method == "POST" and path.endswith("/jobs"))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = ManualClock()
    async with (
        SmallApi(clock) as api,
        BackEnd() as server,
        KubeClient(Connection(Configuration(host=api.url))) as client,
    ):
        made = World(api, client, clock, server)
        yield made
        for hooks in made.made:
            await hooks.stop()


# -- requests ---------------------------------------------------------------------------------------------------------


async def test_a_request_says_what_is_going_on_and_under_which_key(world: World) -> None:
    world.server.say("all\ngood")
    result = await world.answered(path="/smoke?team=a", headers={"X-Team": "a"})
    assert result == HookResult(1, "Succeeded", "all good")
    (asked,) = world.server.asked
    assert (asked.method, asked.path, asked.query) == ("POST", "/smoke", {"team": "a"})
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["Idempotency-Key"] == KEY
    assert asked.headers["X-Team"] == "a"
    assert asked.json == {
        **FACTS,
        "canary": "pricing",
        "namespace": "data",
        "hook": "smoke",
        "point": "BeforeRollout",
        "key": KEY,
        "attempt": 1,
    }
    assert world.heard == [("data", "pricing")]


async def test_it_is_running_as_soon_as_it_is_started(world: World) -> None:
    world.server.hang()
    world.post()
    assert world.hooks.results(UID) == {KEY: HookResult(1, "Running")}
    assert world.heard == []


async def test_an_answer_without_content_is_success(world: World) -> None:
    world.server.say(b"", 204)
    assert await world.answered() == HookResult(1, "Succeeded", "")


async def test_a_redirect_is_a_failure_and_not_followed(world: World) -> None:
    world.server.say("", 302, {"Location": f"{world.server.url}/other"})
    result = await world.answered()
    assert result.state == "Failed"
    assert result.message == f"HTTP 302 to {world.server.url}: redirects are not followed"
    assert len(world.server.asked) == 1


async def test_an_error_is_told_in_the_words_of_the_server(world: World) -> None:
    world.server.say({"error": "no\nroom"}, 500)
    assert await world.answered() == HookResult(1, "Failed", "HTTP 500: no room")


async def test_of_a_long_answer_the_beginning_is_told(world: World) -> None:
    world.server.say("x" * 5000, 500).say("y" * 5000)
    assert (await world.answered()).message == f"HTTP 500: {'x' * 200}..."
    world.post(2)
    assert (await world.ended()).message == f"{'y' * 200}..."


async def test_a_server_that_never_answers_is_given_up_in_time(world: World) -> None:
    world.server.hang()
    assert await world.answered(seconds=0.2) == HookResult(1, "Failed", "no whole answer within 0.2 s")


async def test_an_answer_that_does_not_end_is_given_up_in_time(world: World) -> None:
    world.server.drip()
    assert await world.answered(seconds=0.2) == HookResult(1, "Failed", "no whole answer within 0.2 s")


async def test_an_endless_answer_is_not_read_to_its_end(world: World) -> None:
    world.server.flood(1 << 40)
    result = await world.answered(seconds=30)
    assert result.state == "Failed"
    assert result.message == "the answer has more than 1048576 bytes and was not read to its end"
    assert world.server.sent < 1 << 28


async def test_a_connection_that_breaks_off_is_a_failure(world: World) -> None:
    world.server.cut(b"{")
    result = await world.answered()
    assert (result.state, "broke off" in result.message) == ("Failed", True)


async def test_a_server_that_is_not_there_is_a_failure(world: World) -> None:
    world.start(http={"url": "http://127.0.0.1:1/"})
    result = await world.ended()
    assert result.state == "Failed"
    assert result.message.startswith("no connection to http://127.0.0.1:1: ")


async def test_metadata_of_a_cloud_is_not_asked(world: World) -> None:
    world.start(http={"url": "http://169.254.169.254/latest"})
    result = await world.ended()
    assert (result.state, "metadata service" in result.message) == ("Failed", True)


async def test_an_authority_that_the_system_does_not_know_is_not_believed(world: World, tmp_path: Path) -> None:
    context: ssl.SSLContext
    _, context = certificate(tmp_path, "127.0.0.1")
    async with BackEnd(context) as server:
        server.say("ok")
        world.start(http={"url": server.url})
        result = await world.ended()
        assert (result.state, "certificate verify failed" in result.message) == ("Failed", True)
        assert server.asked == []


# -- headers and Secrets ----------------------------------------------------------------------------------------------


async def test_the_keys_of_the_secret_are_headers_and_come_before_those_of_the_spec(world: World) -> None:
    world.server.say("ok")
    world.secret(Authorization=b"Bearer t0ken-of-team-a\n", x_team=b"b")
    await world.answered(
        secret={"name": "hook"}, headers={"X-Team": "a", "content-type": "application/cloudevents+json"}
    )
    sent = [(name.lower(), value) for name, value in world.server.asked[0].headers.items()]
    assert [value for name, value in sent if name == "authorization"] == ["Bearer t0ken-of-team-a"]
    assert [value for name, value in sent if name == "x-team"] == ["b"]
    assert [value for name, value in sent if name == "content-type"] == ["application/cloudevents+json"]


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_that_repeats_the_credentials_is_told_without_them(world: World, status: int) -> None:
    pair = base64.b64encode(b"ci:pa55-w0rd!")
    world.secret(Authorization=b"Basic " + pair, x_sign=b"s1gned")
    world.server.say(f"got pa55-w0rd! s1gned ci:pa55-w0rd! {pair.decode()}", status)
    result = await world.answered(secret={"name": "hook"})
    assert result.message.removeprefix("HTTP 500: ") == "got [redacted] [redacted] [redacted] [redacted]"


async def test_a_secret_that_is_not_there_is_a_failure_that_names_it(world: World) -> None:
    result = await world.answered(secret={"name": "hook"})
    assert result.state == "Failed"
    assert result.message.startswith('Secret "hook" in data cannot be read: ')
    assert world.server.asked == []


async def test_a_secret_that_may_not_be_read_is_a_failure_that_names_it(world: World) -> None:
    world.secret(Authorization=b"Bearer abc")
    world.api.before = lambda _method, path: refusal(403, "Forbidden", "not yours") if "/secrets/" in path else None
    result = await world.answered(secret={"name": "hook"})
    assert result == HookResult(1, "Failed", 'Secret "hook" in data cannot be read: not yours (403 Forbidden)')


@pytest.mark.parametrize("value", [b"\xff\xfe", b"one\nt0ken", b"one\x00t0ken"])
async def test_a_value_that_no_header_can_have_is_told_by_the_name_of_its_key(world: World, value: bytes) -> None:
    world.secret(Authorization=value)
    result = await world.answered(secret={"name": "hook"})
    said = 'Secret "hook" in data: the value of "Authorization" is not one line of text'
    assert result == HookResult(1, "Failed", said)
    assert world.server.asked == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("Idempotency-Key", "1", 'http.headers: the header "Idempotency-Key" is set by sluice'),
        ("content-length", "1", 'http.headers: the header "content-length" is set by sluice'),
        ("X Team", "a", 'http.headers: "X Team" is no name of a header: letters, digits and - are'),
        ("X-Team", "a\r\nX-Other: b", 'http.headers: the value of "X-Team" is not one line of text'),
    ],
)
async def test_a_header_that_cannot_be_sent_is_told(world: World, name: str, value: str, said: str) -> None:
    assert await world.answered(headers={name: value}) == HookResult(1, "Failed", said)
    assert world.server.asked == []


# -- one call for one attempt -----------------------------------------------------------------------------------------


async def test_an_attempt_is_made_once_however_often_it_is_asked_for(world: World) -> None:
    world.server.say("ok")
    world.post()
    world.post()
    await world.ended()
    world.post()
    assert world.hooks.results(UID) == {KEY: HookResult(1, "Succeeded", "ok")}
    await world.hooks.stop()
    assert len(world.server.asked) == 1


async def test_another_attempt_waits_and_has_the_same_key(world: World) -> None:
    world.server.say("no", 500).say("ok")
    assert (await world.answered()).state == "Failed"
    world.post(2)
    await condition(lambda: world.clock.pending == 1)
    world.clock.advance(0.99)
    assert len(world.server.asked) == 1
    assert world.hooks.results(UID)[KEY] == HookResult(2, "Running")
    assert await world.ended() == HookResult(2, "Succeeded", "ok")
    assert [row.headers["Idempotency-Key"] for row in world.server.asked] == [KEY, KEY]
    assert [row.json["attempt"] for row in world.server.asked] == [1, 2]
    world.post(1)
    assert world.hooks.results(UID)[KEY].attempt == 2


def test_attempts_wait_longer_and_longer_up_to_half_a_minute() -> None:
    assert [wait_before(attempt) for attempt in (1, 2, 3, 4, 5, 6, 7, 8, 21, 1000)] == [0, 1, 2, 4, 8, 16, *[30] * 4]


async def test_calls_to_one_host_beyond_its_share_wait_with_their_time_limit(world: World) -> None:
    for _ in range(AT_ONCE_PER_HOST):
        world.server.hang()
    world.server.say("ok")
    keys = [f"{KEY}-{number}" for number in range(AT_ONCE_PER_HOST + 1)]
    asked: list[int] = []
    world.hooks = Hooks(world.client, world.clock, called=lambda *_: asked.append(len(world.server.asked)))
    world.made.append(world.hooks)
    for key in keys:
        world.post(key=key, seconds=0.5)
    states = [(await world.ended(key)).state for key in keys]
    assert states == ["Failed"] * AT_ONCE_PER_HOST + ["Succeeded"]
    assert asked[0] == AT_ONCE_PER_HOST


async def test_a_forgotten_canary_leaves_nothing(world: World) -> None:
    world.server.say("ok")
    await world.answered()
    world.server.script.clear()
    world.server.hang()
    world.post(key="other")
    await condition(lambda: len(world.server.asked) == 2)
    world.heard.clear()
    world.hooks.forget(UID)
    assert world.hooks.results(UID) == {}
    await world.hooks.stop()
    assert world.hooks.results(UID) == {}
    assert world.heard == []


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_job_that_nobody_waits_for_is_removed(world: World, restarted: bool) -> None:
    world.job()
    await world.the_job()
    if restarted:
        await world.hooks.stop()
        world.restarted()
    await world.hooks.end("data", "pricing", UID, EndHook("smoke", KEY, 1))
    assert world.api.all_of(JOBS) == []
    assert world.hooks.results(UID)[KEY] == HookResult(1, "GivenUp")
    assert world.heard == []


async def test_a_request_that_nobody_waits_for_is_given_up(world: World) -> None:
    world.server.hang()
    world.post()
    await condition(lambda: len(world.server.asked) == 1)
    await world.hooks.end("data", "pricing", UID, EndHook("smoke", KEY, 1))
    assert world.hooks.results(UID)[KEY].state == "GivenUp"
    world.post()
    assert world.hooks.results(UID)[KEY].state == "GivenUp"


async def test_a_job_of_somebody_else_is_not_removed(world: World) -> None:
    name = names.hook_job_name("pricing", "smoke", KEY, 1)
    foreign = world.api.put(JOBS, {"metadata": {"name": name}, "spec": {}})
    await world.hooks.end("data", "pricing", UID, EndHook("smoke", KEY, 1))
    assert world.api.get(JOBS, name) == foreign


async def test_results_that_the_planner_has_long_seen_are_dropped(world: World) -> None:
    world.server.say("ok")
    for number in range(REMEMBERED + 5):
        world.post(key=str(number))
        await world.ended(str(number))
    assert list(world.hooks.results(UID)) == [str(number) for number in range(5, REMEMBERED + 5)]


async def test_a_hook_that_is_neither_is_a_failure(world: World) -> None:
    world.start()
    assert await world.ended() == HookResult(1, "Failed", "the hook has neither http nor job; exactly one is needed")


# -- Jobs -------------------------------------------------------------------------------------------------------------


async def test_the_job_is_the_hooks_template_and_belongs_to_the_canary(world: World) -> None:
    world.job(seconds=90.5)
    job = await world.the_job()
    metadata = job["metadata"]
    assert metadata["name"] == names.hook_job_name("pricing", "smoke", KEY, 1)
    assert metadata["labels"] == {
        "sluice.dev/hook": "smoke",
        "sluice.dev/hook-of": "pricing",
        "app.kubernetes.io/managed-by": "sluice",
    }
    assert metadata["ownerReferences"] == [
        {"apiVersion": "sluice.dev/v1alpha1", "kind": "Canary", "name": "pricing", "uid": UID, "controller": True}
    ]
    assert job["spec"] == {
        "template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}},
        "backoffLimit": 0,
        "activeDeadlineSeconds": 91,
        "ttlSecondsAfterFinished": 3600,
    }


async def test_what_the_hook_says_of_restarts_and_the_deadline_stays(world: World) -> None:
    template = {"spec": {**TEMPLATE["spec"], "restartPolicy": "OnFailure"}}
    world.job(template=template, activeDeadlineSeconds=7)
    spec = (await world.the_job())["spec"]
    assert (spec["template"], spec["activeDeadlineSeconds"]) == (template, 7)


async def test_a_job_that_completes_is_success(world: World) -> None:
    world.job()
    result = await world.job_says("Complete")
    assert result == HookResult(1, "Succeeded", f"Job {(await world.the_job())['metadata']['name']} completed")
    assert world.heard == [("data", "pricing")]


async def test_a_job_that_fails_is_a_failure_with_its_reason(world: World) -> None:
    world.job()
    result = await world.job_says("Failed", reason="BackoffLimitExceeded", message="too often")
    assert result.state == "Failed"
    assert result.message.endswith(" failed: BackoffLimitExceeded: too often")


async def test_a_job_is_not_over_before_its_last_condition(world: World) -> None:
    world.job(seconds=5)
    result = await world.job_says("FailureTarget", reason="DeadlineExceeded")
    assert result.message.endswith(" did not end within 5 s, and was deleted")


async def test_a_job_that_does_not_end_is_deleted(world: World) -> None:
    world.job(seconds=30)
    await world.the_job()
    result = await world.ended()
    assert result.state == "Failed"
    assert result.message.endswith(" did not end within 30 s, and was deleted")
    assert world.api.all_of(JOBS) == []
    (deletion,) = [row for row in world.api.received if row.method == "DELETE"]
    assert deletion.json["propagationPolicy"] == "Background"
    assert world.clock.monotonic() < 33


async def test_a_job_that_cannot_be_deleted_is_told(world: World) -> None:
    world.api.before = lambda method, _path: refusal(403, "Forbidden", "not you") if method == "DELETE" else None
    world.job(seconds=3)
    result = await world.ended()
    assert result.message.endswith(" did not end within 3 s, and cannot be deleted: not you (403 Forbidden)")


async def test_a_job_that_somebody_deletes_is_a_failure(world: World) -> None:
    world.job()
    name = (await world.the_job())["metadata"]["name"]
    world.api.remove(JOBS, name)
    assert await world.ended() == HookResult(1, "Failed", f"Job {name} was deleted before it ended")


async def test_another_job_in_its_place_is_not_taken_for_it(world: World) -> None:
    world.job()
    job = await world.the_job()
    world.api.remove(JOBS, job["metadata"]["name"])
    metadata = {**job["metadata"], "uid": "another"}
    world.api.put(
        JOBS, {**job, "metadata": metadata, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    )
    result = await world.ended()
    assert (result.state, "was deleted before it ended" in result.message) == ("Failed", True)


@pytest.mark.parametrize(("code", "reason"), [(422, "Invalid"), (403, "Forbidden")])
async def test_a_job_that_is_refused_is_a_failure_in_the_words_of_the_api_server(
    world: World, code: int, reason: str
) -> None:
    world.api.before = lambda method, _path: refusal(code, reason, "that is why") if method == "POST" else None
    world.job()
    result = await world.ended()
    assert result.state == "Failed"
    assert result.message.endswith(f" cannot be created: that is why ({code} {reason})")
    assert world.creations() == 1


async def test_an_api_server_that_is_away_for_a_while_is_waited_for(world: World) -> None:
    world.api.away = 3
    world.job()
    await condition(lambda: world.api.away == 2)
    await _turned(world, lambda: bool(world.api.all_of(JOBS)))
    world.api.away = 3
    await _turned(world, lambda: world.api.away == 0)
    assert (await world.job_says("Complete")).state == "Succeeded"


async def test_an_api_server_that_stays_away_is_a_failure_in_time(world: World) -> None:
    world.api.away = 10_000
    world.job(seconds=60)
    result = await world.ended()
    assert result.state == "Failed"
    assert " was not created within 60 s: " in result.message
    assert world.clock.monotonic() <= 60


async def test_after_a_restart_the_job_is_found_and_not_made_again(world: World) -> None:
    world.job()
    uid = (await world.the_job())["metadata"]["uid"]
    await world.hooks.stop()
    world.restarted()
    world.job()
    await condition(lambda: world.creations() == 2)
    result = await world.job_says("Complete")
    assert result.state == "Succeeded"
    assert [job["metadata"]["uid"] for job in world.api.all_of(JOBS)] == [uid]


async def test_a_job_that_ended_while_the_operator_was_away_is_heard_of(world: World) -> None:
    world.job()
    job = await world.the_job()
    await world.hooks.stop()
    conditions = [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]
    world.api.put(JOBS, {**job, "status": {"conditions": conditions}})
    world.clock.advance(1000)
    world.restarted()
    world.job()
    result = await world.ended()
    assert (result.state, result.message[-16:]) == ("Failed", "DeadlineExceeded")


async def test_the_time_of_a_job_does_not_begin_again_with_a_restart(world: World) -> None:
    world.job(seconds=60)
    await world.the_job()
    await world.hooks.stop()
    world.clock.advance(50)
    world.restarted()
    world.job(seconds=60)
    assert "did not end within 60 s" in (await world.ended()).message
    assert 59 <= world.clock.monotonic() <= 63


async def test_a_job_of_somebody_else_under_the_name_is_left_alone(world: World) -> None:
    name = names.hook_job_name("pricing", "smoke", KEY, 1)
    status = {"conditions": [{"type": "Complete", "status": "True"}]}
    foreign = world.api.put(JOBS, {"metadata": {"name": name}, "spec": {}, "status": status})
    world.job()
    said = f"the name {name} is taken by a Job that does not belong to this Canary"
    assert await world.ended() == HookResult(1, "Failed", said)
    assert world.api.get(JOBS, name) == foreign


async def test_a_job_of_another_text_of_the_hook_is_not_taken_for_it(world: World) -> None:
    world.job()
    await world.the_job()
    await world.hooks.stop()
    world.restarted()
    world.job(activeDeadlineSeconds=5)
    result = await world.ended()
    assert result.state == "Failed"
    assert result.message.endswith(" is there already, and was made from another text of the hook")


async def test_each_attempt_has_a_job_of_its_own(world: World) -> None:
    world.job()
    assert (await world.job_says("Failed")).state == "Failed"
    world.job(2)
    await _turned(world, lambda: len(world.api.all_of(JOBS)) == 2)
    assert len({job["metadata"]["name"] for job in world.api.all_of(JOBS)}) == 2


async def _turned(world: World, holds: Any) -> None:
    """Turn the clock until something holds."""
    async with asyncio.timeout(SECONDS):
        for _ in itertools.count():
            if holds():
                return
            if world.clock.pending:
                world.clock.advance(0.5)
            await asyncio.sleep(0.001)
