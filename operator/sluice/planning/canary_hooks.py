"""Hooks of a canary: recorded in the status before they are called, so that each is one call under one key.

A crash between the call and the record of its answer makes the call again, with the same idempotency key and attempt. A
Job has a name made from the key and is found there; a server of the user's tells a repeated request by the key.
"""

from dataclasses import dataclass
from datetime import timedelta

from sluice.api.canary import Hook, HookPoint
from sluice.api.canary_status import CanaryPhase, CanaryStatus, HookRecord
from sluice.planning.canary_actions import EndHook, RunHook
from sluice.planning.canary_scene import CanaryScene, Moment, length
from sluice.planning.canary_traffic import any_share

DEFAULT_TIMEOUT = timedelta(seconds=30)
DEFAULT_JOB_TIMEOUT = timedelta(minutes=10)
DEFAULT_RETRIES = 2
GOING_BACK = frozenset({CanaryPhase.ROLLING_BACK, CanaryPhase.RESTARTING, CanaryPhase.LEAVING})
"""Phases in which a candidate is taken out before it was promoted."""


@dataclass(frozen=True)
class Called:
    """Where the hooks of a point stand."""

    records: tuple[HookRecord, ...]
    """All records, with those added that are about to be called."""
    actions: tuple[RunHook, ...]
    done: bool
    """Whether all have ended, well or not."""


def hook_key(moment: Moment, hook: Hook) -> str:
    """The idempotency key: one for each Canary, round, point of the rollout and step."""
    step = moment.status.step if hook.at == "BeforeStep" else None
    place = hook.at if step is None else f"{hook.at}-{step}"
    return f"{moment.scene.canary.uid}/{moment.status.round}/{place}/{hook.name}"


def call(moment: Moment, point: HookPoint) -> Called:
    """Call the hooks of `point` that have not ended, one after the other in the order of the spec."""
    records = {record.key: record for record in moment.status.hooks}
    for hook in moment.hooks(point):
        key = hook_key(moment, hook)
        record = records.get(key)
        if record is None:
            record = records[key] = HookRecord(name=hook.name, key=key)
        if record.state == "Called":
            known = moment.scene.hooks.get(key)
            under_way = known is not None and known.attempt == record.attempt
            default = DEFAULT_TIMEOUT if hook.job is None else DEFAULT_JOB_TIMEOUT
            run = RunHook(hook, key, record.attempt, length(hook.timeout, default))
            return Called(tuple(records.values()), () if under_way else (run,), done=False)
    return Called(tuple(records.values()), (), done=True)


def given_up(moment: Moment) -> tuple[EndHook, ...]:
    """The calls that nobody waits for any more, once a rollout goes back and its candidate has no requests: a load test would go
    on without what it is about."""
    if moment.phase not in GOING_BACK or any_share(moment):
        return ()
    calls = [row for row in moment.status.hooks if row.state == "Called" and _leads_on(row.key)]
    return tuple(EndHook(row.name, row.key, row.attempt) for row in calls)


def _leads_on(key: str) -> bool:
    """Whether a hook is one that the rollout waits for on its way up. Those after it tell what came of it, and go on."""
    return key.split("/")[2].startswith("Before")


def heard(scene: CanaryScene, status: CanaryStatus) -> tuple[HookRecord, ...]:
    """The records with what the hooks have answered since: success, another attempt, or failure for good."""
    retries = {hook.name: hook.retries for hook in scene.canary.spec.hooks} if scene.canary.spec is not None else {}
    rows = []
    for record in status.hooks:
        result = scene.hooks.get(record.key)
        if record.state != "Called" or result is None or result.attempt != record.attempt or result.state == "Running":
            rows.append(record)
            continue
        limit = retries.get(record.name)
        again = result.state == "Failed" and record.attempt <= (DEFAULT_RETRIES if limit is None else limit)
        update = {"attempt": record.attempt + 1} if again else {"state": result.state}
        rows.append(record.model_copy(update={**update, "message": result.message[:300]}))
    return tuple(rows)


def failure(moment: Moment, *points: HookPoint) -> HookRecord | None:
    """A hook of these points that failed for good."""
    keys = {hook_key(moment, hook) for point in points for hook in moment.hooks(point)}
    return next((row for row in moment.status.hooks if row.key in keys and row.state == "Failed"), None)
