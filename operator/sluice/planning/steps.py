"""The state machine of one list of steps (the graph, or the finally steps): statuses and pods in, statuses and actions out.

    Waiting -> Pending -> Running -> Succeeded
       |          |          |----> Failed
       |          |          `----> Retrying -> Pending
       |          `---------------> Failed, Retrying
       |----> UpstreamFailed   (a dependency ended otherwise than Succeeded)
       `----> Cancelled        (the run is stopping)

An attempt is on record (phase Pending, its number, the name of its pod) before its pod is created. After a crash between
the two the pod is created again under the same name, which does nothing if it was there.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sluice.api import names
from sluice.api.base import Json
from sluice.api.durations import parse_duration
from sluice.api.pipeline import DataPipelineSpec, Step
from sluice.api.reasons import Reason
from sluice.api.run import AttemptFailure, StepPhase, StepStatus
from sluice.planning import gate_pods, gate_steps
from sluice.planning.actions import CreatePod, StopPod
from sluice.planning.attempts import INFRASTRUCTURE, Attempt, State, judge, nothing_to_show
from sluice.planning.observed import PodView
from sluice.planning.pods import build_pod
from sluice.planning.references import UnresolvedReference, outputs_used
from sluice.planning.retries import INFRASTRUCTURE_RETRIES, Used, retry_delay
from sluice.planning.scene import Progress, Scene, Stop
from sluice.planning.spot import moves_on, on_spot, spot_wait
from sluice.planning.views import Refusal

SETTLE = timedelta(seconds=1)
"""A step's way from Pending to Running is put on record only when it lasts: a short step costs one status write less."""
UNEVENTFUL = timedelta(seconds=30)
"""A pod that only waits its turn shows nothing that is not on record, but for its UID, which is noted after this."""
QUOTA_RECHECK = timedelta(seconds=5)
"""How long a pod that the quota has no room for is not asked for again."""
DEFAULT_PENDING = timedelta(minutes=10)
MAX_RUN_OUTPUTS = 128 * 1024
"""Bytes of all outputs of a run together, so that the object stays far below 256 KiB."""
MAX_FAILURES = 5


def advance(
    steps: Sequence[Step], known: Mapping[str, StepStatus], scene: Scene, stop: Stop | None, max_active: int | None
) -> Progress:
    """One look at `steps`: what became of live attempts, what can start, what has to stop."""
    progress = Progress({step.name: known.get(step.name, StepStatus(name=step.name)) for step in steps})
    expected = outputs_used(scene.spec.all_steps())
    outputs_size = sum(_size(status.outputs) for status in known.values())
    for step in steps:
        status = progress.statuses[step.name]
        if status.phase.live:
            wanted = expected.get(step.name, set())
            follow = _follow if step.gate is None else _follow_gate
            status = follow(step, status, scene, stop, wanted, progress)
            if status.phase is StepPhase.SUCCEEDED:
                if outputs_size + _size(status.outputs) > MAX_RUN_OUTPUTS:
                    status = _too_much(status)
                outputs_size += _size(status.outputs)
            progress.statuses[step.name] = status
    for step in _in_order(steps):
        progress.statuses[step.name] = _before_launch(step, progress.statuses, stop)
    active = sum(status.phase.live for status in progress.statuses.values())
    for step in steps:
        status = progress.statuses[step.name]
        if status.phase is StepPhase.RETRYING and status.retry_at is not None and status.retry_at > scene.now:
            progress.wake(status.retry_at)
        elif _ready(step, progress.statuses):
            if max_active is not None and active >= max_active:
                continue
            progress.statuses[step.name] = _launch(step, status, scene, progress)
            active += progress.statuses[step.name].phase.live
    # What failed to launch may leave others without a way to start.
    for step in _in_order(steps):
        progress.statuses[step.name] = _before_launch(step, progress.statuses, stop)
    return progress


def _size(outputs: Mapping[str, Json] | None) -> int:
    return len(json.dumps(outputs)) if outputs else 0


def _too_much(status: StepStatus) -> StepStatus:
    message = f"the outputs of this run are larger than {MAX_RUN_OUTPUTS} bytes together; hand on URIs instead"
    return status.model_copy(
        update={"phase": StepPhase.FAILED, "reason": Reason.OUTPUT_TOO_LARGE, "message": message, "outputs": None}
    )


def _in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps with dependencies first."""
    by_name = {step.name: step for step in steps}
    ordered: dict[str, Step] = {}
    seen: set[str] = set()
    stack = [(step, False) for step in reversed(steps)]
    while stack:
        step, left = stack.pop()
        if left:
            ordered[step.name] = step
        elif step.name not in seen:
            seen.add(step.name)
            stack.append((step, True))
            stack.extend((by_name[name], False) for name in step.depends_on if name in by_name)
    return list(ordered.values())


def _before_launch(step: Step, statuses: Mapping[str, StepStatus], stop: Stop | None) -> StepStatus:
    """A step that has no live attempt: whether it can still come to run."""
    status = statuses[step.name]
    if status.phase not in (StepPhase.WAITING, StepPhase.RETRYING):
        return status
    if stop is not None:
        return _over(status, StepPhase.CANCELLED, stop.reason, stop.message)
    for name in step.depends_on:
        above = statuses[name]
        if above.phase is StepPhase.CANCELLED:
            return _over(status, StepPhase.CANCELLED, Reason.CANCELLED, f"{name} was cancelled")
        if above.phase.ended and above.phase is not StepPhase.SUCCEEDED:
            return _over(status, StepPhase.UPSTREAM_FAILED, Reason.UPSTREAM_FAILED, f"{name} did not succeed")
    return status


def _over(status: StepStatus, phase: StepPhase, reason: Reason, message: str) -> StepStatus:
    return status.model_copy(update={"phase": phase, "reason": reason, "message": message, "retry_at": None})


def _ready(step: Step, statuses: Mapping[str, StepStatus]) -> bool:
    phase = statuses[step.name].phase
    if phase is StepPhase.RETRYING:
        return True
    return phase is StepPhase.WAITING and all(statuses[name].phase is StepPhase.SUCCEEDED for name in step.depends_on)


def _launch(step: Step, status: StepStatus, scene: Scene, progress: Progress) -> StepStatus:
    attempt = status.attempt + 1
    launched = status.model_copy(
        update={
            "phase": StepPhase.PENDING,
            "attempt": attempt,
            "pod": names.pod_name(scene.identity.name, scene.identity.uid, step.name, attempt),
            "pod_uid": None,
            "launched_at": scene.now,
            "started_at": None,
            "retry_at": None,
            "exit_code": None,
            "reason": None,
            "message": None,
            "stopping": None,
        }
    )
    if step.gate is not None:
        launched = gate_steps.launch(launched, step, scene, status.gate)
        if launched.pod is None:
            progress.wake(scene.now)
            return launched
    return _create(step, launched, scene, progress)


def _create(step: Step, status: StepStatus, scene: Scene, progress: Progress) -> StepStatus:
    values = scene.values(progress.statuses)
    try:
        if step.gate is not None:
            manifest = gate_pods.pod_of(step, status, scene, values)
        else:
            manifest = build_pod(scene.identity, scene.spec, step, status.attempt, values, scene.settings.pod_template)
    except UnresolvedReference as error:
        return _failed(status, Reason.OUTPUT_MISSING, str(error), scene.now)
    progress.create.append(CreatePod(step.name, status.attempt, manifest))
    return status


def _failed(status: StepStatus, reason: Reason, message: str, at: datetime) -> StepStatus:
    return status.model_copy(
        update={"phase": StepPhase.FAILED, "reason": reason, "message": message, "finished_at": at, "stopping": None}
    )


def _clocks(step: Step, attempt: int, spec: DataPipelineSpec) -> tuple[timedelta, timedelta | None]:
    pending = (step.timeouts and step.timeouts.pending) or (spec.timeouts and spec.timeouts.pending)
    running = (step.timeouts and step.timeouts.step) or (spec.timeouts and spec.timeouts.step)
    waiting = parse_duration(pending) if pending else DEFAULT_PENDING
    return (
        min(waiting, spot_wait(step)) if on_spot(step, attempt) else waiting,
        parse_duration(running) if running else None,
    )


def _follow_gate(
    step: Step, status: StepStatus, scene: Scene, stop: Stop | None, expected: set[str], progress: Progress
) -> StepStatus:
    """A live gate step: what its pod says, if it has one, and what its gate comes to."""
    if stop is not None and not gate_steps.needs_pod(status):
        return gate_steps.stopped(status, stop, scene.now)
    if gate_steps.needs_pod(status) and (stop is not None or gate_steps.ready(step, status, scene)):
        status = _follow(step, status, scene, stop, expected, progress)
    if stop is not None or not status.phase.live or status.stopping is not None:
        return status
    progress.statuses[step.name] = status
    return gate_steps.follow(step, status, scene, progress)


def _follow(
    step: Step, status: StepStatus, scene: Scene, stop: Stop | None, expected: set[str], progress: Progress
) -> StepStatus:
    """A step with a live attempt: what its pod says."""
    pod = scene.pods.get(status.pod or "")
    if pod is None:
        return _without_pod(step, status, scene, stop, progress)
    if stop is None and status.stopping is not None:
        # A clock of this attempt has run out: that stands, whatever the pod does in its last moments.
        stop = Stop(Reason(status.stopping), status.message or "")
    pending, running = _clocks(step, status.attempt, scene.spec)
    if step.gate is not None:
        expected = set()  # what is promised depends on what the gate decides
    attempt = judge(pod, step, pending=pending, running=running, expected=expected, now=scene.now)
    status = status.model_copy(update={"pod_uid": pod.uid})
    match attempt.state:
        case State.SUCCEEDED if step.gate is not None:
            return gate_steps.after_pod(status, attempt.outputs, scene)
        case State.SUCCEEDED:
            return status.model_copy(
                update={
                    "phase": StepPhase.SUCCEEDED,
                    "reason": None,
                    "message": None,
                    "stopping": None,
                    "started_at": attempt.started_at,
                    "finished_at": attempt.finished_at or scene.now,
                    "exit_code": 0,
                    "outputs": attempt.outputs,
                }
            )
        case State.FAILED:
            return _after_failure(step, status, attempt, scene, progress)
        case State.OVERDUE:
            reason = attempt.reason or Reason.POD_FAILED
            return _stop_attempt(status, pod, stop or Stop(reason, attempt.message), attempt, progress)
        case _:
            if stop is not None:
                return _stop_attempt(status, pod, stop, attempt, progress)
            progress.wake(attempt.deadline)
            return _on_its_way(progress.statuses[step.name], status, attempt, scene.now, progress)


def _on_its_way(
    before: StepStatus, status: StepStatus, attempt: Attempt, now: datetime, progress: Progress
) -> StepStatus:
    phase = StepPhase.RUNNING if attempt.state is State.RUNNING else StepPhase.PENDING
    # A message that only counts up (back-off times) is not news: it is kept while the reason stays.
    message = before.message if before.reason == attempt.reason and before.reason is not None else attempt.message
    settled = _settled_at(before, attempt, before.launched_at or now)
    if now < settled:
        progress.wake(settled)
        return before
    return status.model_copy(
        update={
            "phase": phase,
            "started_at": attempt.started_at,
            "reason": attempt.reason,
            "message": message or None,
        }
    )


def _settled_at(before: StepStatus, attempt: Attempt, launched: datetime) -> datetime:
    """When what the pod shows is put on record. (Clocks of nodes may be wrong: they delay it only so far.)"""
    latest = launched + UNEVENTFUL
    if attempt.state is State.RUNNING:
        return min(max(launched, attempt.started_at or launched) + SETTLE, latest)
    return latest if attempt.reason == before.reason else launched + SETTLE


def _stop_attempt(status: StepStatus, pod: PodView, stop: Stop, attempt: Attempt, progress: Progress) -> StepStatus:
    """End the pod; what is recorded first stays the reason."""
    if not pod.deleting and not pod.stopping:
        progress.stop.append(StopPod(pod.name, pod.uid, delete=nothing_to_show(pod)))
    if status.stopping is not None:
        return status
    return status.model_copy(
        update={
            "phase": StepPhase.RUNNING if attempt.started_at else StepPhase.PENDING,
            "started_at": attempt.started_at,
            "stopping": stop.reason,
            "reason": stop.reason,
            "message": stop.message,
        }
    )


def _without_pod(step: Step, status: StepStatus, scene: Scene, stop: Stop | None, progress: Progress) -> StepStatus:
    refusal = scene.refusals.get(status.pod or "")
    if refusal is not None and refusal.reason is not Reason.QUOTA_EXCEEDED:
        return _failed(status, refusal.reason, refusal.message, scene.now)
    if status.pod_uid is None and stop is None:
        if refusal is not None:
            return _without_room(step, status, refusal, scene, progress)
        return _create(step, status, scene, progress)
    if status.pod_uid is None and stop is not None:
        seen_by = (status.launched_at or scene.now) + SETTLE
        if scene.now < seen_by:
            # Its pod may be there, and only the cache not know it yet.
            progress.wake(seen_by)
            return status
        return _over(status, StepPhase.CANCELLED, stop.reason, stop.message)
    lost = Attempt(State.FAILED, Reason.POD_LOST, "the pod was deleted before it ended", finished_at=scene.now)
    return _after_failure(step, status, lost, scene, progress)


def _without_room(step: Step, status: StepStatus, refusal: Refusal, scene: Scene, progress: Progress) -> StepStatus:
    """The quota leaves no room for the pod. That is no failure: it is asked for again until there is room."""
    # The message counts what others use; that is not news while the reason stays.
    message = status.message if status.reason == refusal.reason else refusal.message
    held = status.model_copy(update={"reason": refusal.reason, "message": message})
    again = refusal.at + QUOTA_RECHECK
    if scene.now < again:
        progress.wake(again)
        return held
    return _create(step, held, scene, progress)


def _after_failure(step: Step, status: StepStatus, attempt: Attempt, scene: Scene, progress: Progress) -> StepStatus:
    """An attempt failed: retry, or give up."""
    reason = Reason(status.stopping) if status.stopping else (attempt.reason or Reason.POD_FAILED)
    message = (status.message or "") if status.stopping else attempt.message
    at = attempt.finished_at or scene.now
    ended = status.model_copy(
        update={"exit_code": attempt.exit_code, "started_at": attempt.started_at or status.started_at}
    )
    if reason in (Reason.CANCELLED, Reason.FINALLY_TIMED_OUT, Reason.RUN_TIMED_OUT):
        phase = StepPhase.CANCELLED if reason is Reason.CANCELLED else StepPhase.FAILED
        return _failed(ended, reason, message, at).model_copy(update={"phase": phase})
    used = Used(status.retries, status.infrastructure_retries)
    moved = moves_on(step, status.attempt, reason)
    delay = timedelta(0) if moved else retry_delay(reason, step.retry, used, f"{scene.identity.uid}/{step.name}")
    if delay is None:
        return _failed(ended, reason, message, at)
    own = reason in INFRASTRUCTURE and used.infrastructure < INFRASTRUCTURE_RETRIES
    failure = AttemptFailure(
        attempt=status.attempt, reason=reason, message=message, exit_code=attempt.exit_code, finished_at=at
    )
    progress.wake(scene.now + delay)
    return ended.model_copy(
        update={
            "phase": StepPhase.RETRYING,
            "reason": reason,
            "message": message,
            "stopping": None,
            "retry_at": scene.now + delay,
            "retries": used.user + (not own and not moved),
            "infrastructure_retries": used.infrastructure + own,
            "failures": (*status.failures, failure)[-MAX_FAILURES:],
        }
    )
