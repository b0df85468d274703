"""What became of one attempt of a step, judged from its pod. One pure function: pod in, verdict out."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from sluice.api.base import Json
from sluice.api.durations import format_duration
from sluice.api.pipeline import Step
from sluice.api.reasons import Reason
from sluice.planning.observed import PodView
from sluice.planning.params import has_type
from sluice.planning.pods import OUTPUTS_PATH

MAX_OUTPUT_BYTES = 4096
"""What the kubelet keeps of /dev/termination-log. Of a longer file it hands on the last 4096 bytes."""
MAX_MESSAGE = 300

_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"})
_NEVER = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError"})
_DISRUPTIONS = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "TerminationByKubelet": Reason.EVICTED,
}


class State(Enum):
    """State of an attempt."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OVERDUE = "overdue"
    """A clock ran out; the pod still has to be stopped."""


@dataclass(frozen=True)
class Attempt:
    """The verdict on one attempt."""

    state: State
    reason: Reason | None = None
    message: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outputs: dict[str, Json] | None = None
    deadline: datetime | None = None
    """When a clock of this attempt runs out."""


INFRASTRUCTURE = frozenset({Reason.EVICTED, Reason.PREEMPTED, Reason.NODE_LOST, Reason.POD_LOST})
"""Failures that say nothing about the step: they have a budget of retries of their own."""
USER = frozenset({Reason.EXIT_CODE, Reason.OOM_KILLED, Reason.STEP_TIMED_OUT, Reason.POD_FAILED})
"""Failures that `retry` is about. All others would fail again in the same way."""


def judge(
    pod: PodView, step: Step, *, pending: timedelta, running: timedelta | None, expected: set[str], now: datetime
) -> Attempt:
    """What became of the attempt whose pod is `pod`.

    `pending` and `running` are the clocks of the attempt, `expected` the outputs that other steps refer to.
    """
    if pod.exit_code is not None or pod.phase in ("Succeeded", "Failed"):
        return _ended(pod, step, expected)
    if pod.deleting:
        return Attempt(State.RUNNING if pod.running_since else State.PENDING, started_at=pod.running_since)
    if pod.running_since is not None:
        deadline = pod.running_since + running if running is not None else None
        if running is not None and deadline is not None and now >= deadline:
            message = f"ran for longer than {format_duration(running)}"
            return Attempt(State.OVERDUE, Reason.STEP_TIMED_OUT, message, started_at=pod.running_since)
        return Attempt(State.RUNNING, started_at=pod.running_since, deadline=deadline)
    return _pending(pod, pending, now)


def _pending(pod: PodView, limit: timedelta, now: datetime) -> Attempt:
    reason: Reason | None = None
    message = ""
    if pod.unschedulable_message:
        reason, message = Reason.UNSCHEDULABLE, _short(pod.unschedulable_message)
    elif pod.waiting_reason in _PULL | _NEVER:
        reason, message = Reason.IMAGE_PULL_FAILED, _short(pod.waiting_message or pod.waiting_reason or "")
    elif pod.waiting_reason in _CONFIG:
        reason, message = Reason.CONTAINER_CONFIG_ERROR, _short(pod.waiting_message or pod.waiting_reason or "")
    if pod.waiting_reason in _NEVER:
        return Attempt(State.OVERDUE, reason, message)
    deadline = pod.created + limit
    if now >= deadline:
        waited = f"not started within {format_duration(limit)}"
        return Attempt(State.OVERDUE, reason or Reason.PENDING_TIMED_OUT, f"{waited}: {message}" if message else waited)
    return Attempt(State.PENDING, reason, message, deadline=deadline)


def _ended(pod: PodView, step: Step, expected: set[str]) -> Attempt:
    started, finished = pod.started_at, pod.finished_at
    if pod.exit_code == 0 and pod.phase != "Failed":
        outputs, reason, problem = parse_outputs(pod.term_message or "", step, expected)
        state = State.FAILED if reason is not None else State.SUCCEEDED
        return Attempt(state, reason, problem, 0, started, finished, outputs)
    reason, message = _why_failed(pod)
    return Attempt(State.FAILED, reason, message, pod.exit_code, started, finished)


def _why_failed(pod: PodView) -> tuple[Reason, str]:
    if pod.disruption in _DISRUPTIONS:
        return _DISRUPTIONS[pod.disruption], _short(pod.message or f"{pod.disruption}")
    if pod.reason == "Evicted":
        return Reason.EVICTED, _short(pod.message or "the node evicted the pod")
    if pod.reason in ("NodeLost", "NodeShutdown", "Shutdown", "Terminated"):
        return Reason.NODE_LOST, _short(pod.message or "the node went away")
    if pod.term_reason == "OOMKilled":
        return Reason.OOM_KILLED, f"killed for memory (exit code {pod.exit_code}); raise resources.limits.memory"
    if pod.exit_code is not None and pod.exit_code != 0:
        last = last_line(pod.term_message or "")
        return Reason.EXIT_CODE, f"exit code {pod.exit_code}" + (f": {last}" if last else "")
    return Reason.POD_FAILED, _short(pod.message or pod.reason or "the pod failed")


def parse_outputs(text: str, step: Step, expected: set[str]) -> tuple[dict[str, Json] | None, Reason | None, str]:
    """(outputs, reason, problem) of what a step that exited 0 left in its termination message.

    Outputs that nobody declared or refers to are optional: then text that is no JSON object is simply not an output.
    """
    wanted = bool(step.outputs) or bool(expected)
    try:
        value: Json = json.loads(text, parse_constant=_refuse_constant) if text.strip() else {}
    except ValueError:
        if len(text.encode()) >= MAX_OUTPUT_BYTES:
            return (
                None,
                Reason.OUTPUT_TOO_LARGE,
                f"outputs are larger than {MAX_OUTPUT_BYTES} bytes; hand on a URI instead",
            )
        if wanted:
            return None, Reason.OUTPUT_INVALID, f"{OUTPUTS_PATH} does not hold a JSON object: {_short(text, 80)}"
        return None, None, ""
    if not isinstance(value, dict):
        if wanted:
            return None, Reason.OUTPUT_INVALID, f"{OUTPUTS_PATH} does not hold a JSON object: {_short(text, 80)}"
        return None, None, ""
    outputs = dict(value)
    for output in step.outputs:
        if output.name not in outputs and output.default is not None:
            outputs[output.name] = output.default
        if output.name not in outputs:
            return None, Reason.OUTPUT_MISSING, f'the step did not write its output "{output.name}" to {OUTPUTS_PATH}'
        if output.type is not None and not has_type(outputs[output.name], output.type):
            found = _short(json.dumps(outputs[output.name]), 80)
            return None, Reason.OUTPUT_INVALID, f'output "{output.name}" must be of type {output.type}, not {found}'
    return outputs or None, None, ""


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def last_line(text: str) -> str:
    """The last line that says something, cut to a length that suits a status."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _short(lines[-1]) if lines else ""


def _short(text: str, length: int = MAX_MESSAGE) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= length else text[: length - 1] + "\u2026"
