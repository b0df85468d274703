"""Calls hooks of canaries, beside the work queue: a slow hook must not keep a worker.

A call is started by a plan (`RunHook`), runs as a task of its own with a time limit, and leaves a result, after which the
canary is looked at again. Results live here, in memory; that a hook is called at all is in the canary's status before. After
a restart the planner asks again with the same key and attempt: a Job is found by its name, a server knows the key. A
failure of any kind is a failure of the hook, and the planner decides on another attempt.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from sluice.api import names
from sluice.api.base import Json
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock
from sluice.planning.canary_actions import EndHook, RunHook
from sluice.planning.canary_scene import HookResult
from sluice.reconcile.hook_call import HookCall, HookFailed
from sluice.reconcile.hook_jobs import HookJobs
from sluice.reconcile.hook_requests import HookRequests
from sluice.telemetry.logs import get_logger
from sluice.telemetry.redaction import redact_text

FIRST_WAIT: Final = 1.0
"""Seconds before the second attempt; twice as many before each further one."""
LONGEST_WAIT: Final = 30.0
REMEMBERED: Final = 128
"""Results that are kept for each Canary. The planner has put older ones into its status."""

log = get_logger(__name__)


class Hooks:
    """See the module."""

    def __init__(self, client: KubeClient, clock: Clock, *, called: Callable[[str, str], None]) -> None:
        """`called(namespace, canary)` is called when a hook has succeeded or failed."""
        self._clock = clock
        self._called = called
        self._requests = HookRequests(client)
        self._jobs = HookJobs(client, clock)
        self._results: dict[str, dict[str, HookResult]] = {}
        """By UID of the Canary, then by key; the newest last."""
        self._under_way: dict[asyncio.Task[None], tuple[str, str]] = {}
        """The UIDs of their canaries, and their keys."""

    def results(self, canary_uid: str) -> Mapping[str, HookResult]:
        """What is remembered of a Canary's hooks, by key, as it is now."""
        return dict(self._results.get(canary_uid, {}))

    def start(
        self, namespace: str, canary_name: str, canary_uid: str, action: RunHook, facts: Mapping[str, Json]
    ) -> None:
        """Call the hook, unless it was called before under this key and attempt, or a later one. `facts` go into the payload."""
        known = self._results.setdefault(canary_uid, {})
        before = known.pop(action.key, None)
        if before is not None and before.attempt >= action.attempt:
            known[action.key] = before
            return
        known[action.key] = HookResult(action.attempt, "Running")
        _drop_oldest(known)
        call = HookCall(namespace, canary_name, canary_uid, action, dict(facts))
        task = asyncio.create_task(self._call(call), name=f"hook {canary_name}/{action.hook.name}")
        self._under_way[task] = (canary_uid, action.key)
        task.add_done_callback(self._under_way.pop)

    async def end(self, namespace: str, canary_name: str, canary_uid: str, action: EndHook) -> None:
        """Give up a call, and remove its Job. Raises KubeError."""
        tasks = [task for task, place in self._under_way.items() if place == (canary_uid, action.key)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._jobs.remove(
            namespace, canary_uid, names.hook_job_name(canary_name, action.name, action.key, action.attempt)
        )
        self._results.setdefault(canary_uid, {})[action.key] = HookResult(action.attempt, "GivenUp")
        log.info("gave up a hook", namespace=namespace, canary=canary_name, hook=action.name, attempt=action.attempt)

    def forget(self, canary_uid: str) -> None:
        """The Canary is gone: what is remembered of it is dropped, and what is under way is given up. Its Jobs go with it."""
        self._results.pop(canary_uid, None)
        for task, (uid, _) in self._under_way.items():
            if uid == canary_uid:
                task.cancel()

    async def stop(self) -> None:
        """Give up all calls. Jobs go on, and are found again."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._requests.aclose()

    # -- one call --------------------------------------------------------------------------------------

    async def _call(self, call: HookCall) -> None:
        action = call.action
        try:
            if (seconds := wait_before(action.attempt)) > 0:
                await self._clock.sleep(seconds)
            result = HookResult(action.attempt, "Succeeded", _line(await self._made(call)))
        except HookFailed as error:
            result = HookResult(action.attempt, "Failed", _line(str(error)))
        except Exception as error:  # whatever it is, it is no success; the operator goes on
            log.exception("the call of a hook crashed", canary=call.canary, hook=action.hook.name)
            result = HookResult(action.attempt, "Failed", f"the call crashed: {type(error).__name__}")
        known = self._results.get(call.canary_uid, {})
        if known.get(action.key) != HookResult(action.attempt, "Running"):
            return  # forgotten, or a later attempt is under way
        known[action.key] = result
        log.info(
            "called a hook",
            namespace=call.namespace,
            canary=call.canary,
            hook=action.hook.name,
            attempt=action.attempt,
            state=result.state,
            answer=result.message,
        )
        self._called(call.namespace, call.canary)

    async def _made(self, call: HookCall) -> str:
        hook = call.action.hook
        if hook.http is not None:
            return await self._requests.send(call, hook.http)
        if hook.job is not None:
            return await self._jobs.run(call, hook.job)
        raise HookFailed("the hook has neither http nor job; exactly one is needed")


def wait_before(attempt: int) -> float:
    """Seconds before an attempt: none before the first, then 1, 2, 4 and so on, at most 30."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt - 2, 30)) if attempt > 1 else 0.0


def _drop_oldest(known: dict[str, HookResult]) -> None:
    for key in list(known)[: max(0, len(known) - REMEMBERED)]:
        if known[key].state != "Running":
            del known[key]


def _line(text: str) -> str:
    return " ".join(redact_text(text).split())
