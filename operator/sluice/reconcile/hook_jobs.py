"""Hooks that are Jobs: made once for each key and attempt, and read until they end.

The name of a Job comes from key and attempt. Whoever asks again, after a restart of the operator too, finds it there and
goes on reading. A name that another Job has is a failure.
"""

import asyncio
import copy
import json
import math
import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sluice.api import names
from sluice.api.canary import JobHook
from sluice.kube.backoff import Backoff
from sluice.kube.client import KubeClient, Object
from sluice.kube.clock import Clock
from sluice.kube.errors import AlreadyExists, ApiError, KubeError, NotFound
from sluice.kube.resources import CANARIES, JOBS
from sluice.reconcile.hook_call import HookCall, HookFailed

AT_ONCE: Final = 128
"""Jobs that are waited for at once: each is a request a second to the API server."""
READ_SECONDS: Final = 1.0
"""From one look at a Job to the next, on average."""
KEPT_SECONDS: Final = 3600
"""How long Kubernetes keeps a Job that has ended."""
_DELETE_TRIES: Final = 3


class HookJobs:
    """Makes Jobs and waits for their ends."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._room = asyncio.Semaphore(AT_ONCE)
        self._backoff = Backoff(1.0, 10.0)

    async def run(self, call: HookCall, job: JobHook) -> str:
        """Make the Job, or find it, and wait for its end; what came of it. Raises HookFailed."""
        wanted = manifest(call, job)
        async with self._room:
            ends = self._clock.monotonic() + call.seconds
            made, found = await self._made(call, wanted, ends)
            if found:
                ends -= max(0.0, (self._clock.now() - _created(made)).total_seconds())
            return await self._ended(call, made, ends)

    async def remove(self, namespace: str, canary_uid: str, name: str) -> None:
        """Delete the Job of this name, if the Canary has one. Raises KubeError."""
        try:
            job = await self._client.get(JOBS, namespace, name)
            if _belongs_to(job, canary_uid):
                await self._client.delete(JOBS, namespace, name, uid=job["metadata"]["uid"], propagation="Background")
        except NotFound:
            return

    async def _made(self, call: HookCall, wanted: Object, ends: float) -> tuple[Object, bool]:
        """The Job, and whether it was there before. What may pass is tried again until `ends`."""
        name, failures = wanted["metadata"]["name"], 0
        while True:
            try:
                return await self._client.create(JOBS, call.namespace, wanted), False
            except AlreadyExists as error:
                problem: KubeError = error
                if (job := await self._found(call, wanted)) is not None:
                    return job, True
            except KubeError as error:
                if not error.retryable:
                    raise HookFailed(f"Job {name} cannot be created: {error.message}") from error
                problem = error
            failures += 1
            delay = max(self._backoff.delay(failures), _asked_for(problem))
            if self._clock.monotonic() + delay >= ends:
                raise HookFailed(f"Job {name} was not created within {call.seconds:g} s: {problem.message}")
            await self._clock.sleep(delay)

    async def _found(self, call: HookCall, wanted: Object) -> Object | None:
        """The Job that has the name, when it is the one that was meant. None: it cannot be read, or is gone again."""
        name = wanted["metadata"]["name"]
        try:
            job = await self._client.get(JOBS, call.namespace, name)
        except NotFound:
            return None
        except KubeError as error:
            if error.retryable:
                return None
            raise HookFailed(f"Job {name} cannot be read: {error.message}") from error
        if not _belongs_to(job, call.canary_uid):
            raise HookFailed(f"the name {name} is taken by a Job that does not belong to this Canary")
        if _hash_of(job) != _hash_of(wanted):
            raise HookFailed(f"Job {name} is there already, and was made from another text of the hook")
        return job

    async def _ended(self, call: HookCall, job: Object, ends: float) -> str:
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        while True:
            said = judged(job)
            if said is not None:
                return said
            left = ends - self._clock.monotonic()
            if left <= 0:
                raise HookFailed(f"Job {name} did not end within {call.seconds:g} s{await self._deleted(call, job)}")
            await self._clock.sleep(min(left, READ_SECONDS * random.uniform(0.8, 1.2)))
            try:
                seen = await self._client.get(JOBS, call.namespace, name)
            except NotFound:
                raise HookFailed(_gone(name)) from None
            except KubeError as error:
                if not error.retryable:
                    raise HookFailed(f"Job {name} cannot be read: {error.message}") from error
                continue
            if seen["metadata"]["uid"] != uid:
                raise HookFailed(_gone(name))
            job = seen

    async def _deleted(self, call: HookCall, job: Object) -> str:
        """Delete the Job; what to add to the message."""
        metadata, tries = job["metadata"], 0
        while True:
            tries += 1
            try:
                await self._client.delete(
                    JOBS, call.namespace, metadata["name"], uid=metadata["uid"], propagation="Background"
                )
            except KubeError as error:
                if error.retryable and tries < _DELETE_TRIES:
                    await self._clock.sleep(self._backoff.delay(tries))
                    continue
                return f", and cannot be deleted: {error.message}"
            return ", and was deleted"


def manifest(call: HookCall, job: JobHook) -> Object:
    """The Job of a call."""
    hook, key, attempt = call.action.hook, call.action.key, call.action.attempt
    template = copy.deepcopy(job.template)
    pod = template.get("spec")
    if isinstance(pod, dict) and pod.get("restartPolicy") is None:
        pod["restartPolicy"] = "Never"
    spec = {
        "template": template,
        "backoffLimit": 0,
        "activeDeadlineSeconds": job.active_deadline_seconds or max(1, math.ceil(call.seconds)),
        "ttlSecondsAfterFinished": KEPT_SECONDS,
    }
    content = names.short_hash(key, str(attempt), json.dumps(spec, sort_keys=True), length=16)
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": names.hook_job_name(call.canary, hook.name, key, attempt),
            "namespace": call.namespace,
            "labels": {
                names.LABEL_HOOK: hook.name,
                names.LABEL_HOOK_OF: call.canary,
                names.LABEL_MANAGED_BY: names.FIELD_MANAGER,
            },
            "annotations": {names.ANNOTATION_SPEC_HASH: content},
            "ownerReferences": [
                {
                    "apiVersion": CANARIES.api_version,
                    "kind": CANARIES.kind,
                    "name": call.canary,
                    "uid": call.canary_uid,
                    "controller": True,
                }
            ],
        },
        "spec": spec,
    }


def judged(job: Mapping[str, Any]) -> str | None:
    """What came of a Job that has succeeded; None while it is at work. Raises HookFailed."""
    name = job["metadata"]["name"]
    true = {row["type"]: row for row in (job.get("status") or {}).get("conditions") or () if row["status"] == "True"}
    if "Complete" in true:
        return f"Job {name} completed"
    if (row := true.get("Failed")) is not None:
        why = ": ".join(filter(None, (row.get("reason"), row.get("message"))))
        raise HookFailed(f"Job {name} failed: {why}" if why else f"Job {name} failed")
    if job["metadata"].get("deletionTimestamp"):
        raise HookFailed(_gone(name))
    return None


def _belongs_to(job: Mapping[str, Any], canary_uid: str) -> bool:
    return any(owner.get("uid") == canary_uid for owner in job["metadata"].get("ownerReferences") or ())


def _gone(name: str) -> str:
    return f"Job {name} was deleted before it ended"


def _asked_for(error: KubeError) -> float:
    """Seconds that the API server asks to wait."""
    return (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0


def _hash_of(job: Mapping[str, Any]) -> str | None:
    found: str | None = (job["metadata"].get("annotations") or {}).get(names.ANNOTATION_SPEC_HASH)
    return found


def _created(job: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(job["metadata"]["creationTimestamp"])
