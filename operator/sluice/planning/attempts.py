"""What became of one attempt of a step, judged from its pod. One pure function: pod in, verdict out."""

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum

from sluice.api.base import Json, without_nulls
from sluice.api.durations import format_duration
from sluice.api.pipeline import Step
from sluice.api.reasons import Reason
from sluice.planning.observed import PodView
from sluice.planning.params import has_type
from sluice.planning.pods import OUTPUTS_PATH
from sluice.telemetry.redaction import redact_text

MAX_OUTPUT_BYTES = 4096
"""What the kubelet keeps of /dev/termination-log. Of a longer file it hands on the last 4096 bytes."""
MAX_OUTPUT_DEPTH = 32
MAX_MESSAGE = 300

_GO_EXPONENT = 1e21
"""From here on Go, and so the API server, writes numbers with an exponent."""

_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"})
_NEVER = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError"})
_ON_ITS_WAY = frozenset({"", "ContainerCreating", "PodInitializing"})
_KILLED = frozenset({137, 143})
"""Exit codes of SIGKILL and SIGTERM: with a pod that is being deleted, they are the deletion's, not the step's."""
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
    if pod.phase in ("Succeeded", "Failed"):
        return _ended(pod, step, expected)
    if pod.exit_code is not None:
        if pod.exit_code == 0 and pod.stopping:
            # It may have exited because it was told to stop; the phase of the pod will say which.
            return Attempt(State.RUNNING, started_at=pod.started_at)
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


def nothing_to_show(pod: PodView) -> bool:
    """Whether nothing is lost when a live pod is deleted: its container has not begun, and says nothing of why.

    A kubelet that waits for a volume notices a deadline only after minutes, but a deletion at once.
    """
    begun = pod.running_since is not None or pod.exit_code is not None
    return not pod.scheduled or (not begun and pod.waiting_reason in _ON_ITS_WAY)


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
    if _told_to_go(pod):
        message = "the pod was deleted while it ran; that it then exited with 0 does not say that its work was done"
        return Attempt(State.FAILED, Reason.POD_LOST, message, pod.exit_code, started, finished)
    if pod.phase == "Succeeded" or (pod.exit_code == 0 and pod.phase != "Failed"):
        outputs, reason, problem = parse_outputs(pod.term_message or "", step, expected)
        state = State.FAILED if reason is not None else State.SUCCEEDED
        return Attempt(state, reason, problem, 0, started, finished, outputs)
    reason, message = _why_failed(pod)
    return Attempt(State.FAILED, reason, message, pod.exit_code, started, finished)


def _told_to_go(pod: PodView) -> bool:
    """Whether somebody else deleted the pod before its container ended: many programs exit with 0 on SIGTERM."""
    if pod.stopping or pod.deletion_asked is None or pod.exit_code != 0:
        return False
    return pod.finished_at is None or pod.finished_at >= pod.deletion_asked


def _why_failed(pod: PodView) -> tuple[Reason, str]:
    if pod.disruption in _DISRUPTIONS:
        return _DISRUPTIONS[pod.disruption], _short(pod.message or f"{pod.disruption}")
    if pod.reason == "Evicted":
        return Reason.EVICTED, _short(pod.message or "the node evicted the pod")
    if pod.reason in ("NodeLost", "NodeShutdown", "Shutdown", "Terminated"):
        return Reason.NODE_LOST, _short(pod.message or "the node went away")
    if pod.term_reason == "OOMKilled":
        return Reason.OOM_KILLED, f"killed for memory (exit code {pod.exit_code}); raise resources.limits.memory"
    if pod.deleting and not pod.stopping and pod.exit_code in _KILLED:
        return Reason.POD_LOST, f"the pod was deleted before it ended (exit code {pod.exit_code})"
    if pod.exit_code is not None and pod.exit_code != 0:
        last = last_line(pod.term_message or "")
        return Reason.EXIT_CODE, f"exit code {pod.exit_code}" + (f": {last}" if last else "")
    return Reason.POD_FAILED, _short(pod.message or pod.reason or "the pod failed")


def parse_outputs(text: str, step: Step, expected: set[str]) -> tuple[dict[str, Json] | None, Reason | None, str]:
    """(outputs, reason, problem) of what a step that exited 0 left in its termination message.

    Outputs that nobody declared or refers to are optional: then text that is no JSON object is simply not an output. Of
    a text that was cut off only the end is known: one that ends like an object was meant as one, and is too large.
    """
    wanted = bool(step.outputs) or bool(expected)
    too_long = len(text.encode(errors="replace")) >= MAX_OUTPUT_BYTES
    try:
        value = _read(text) if text.strip() or too_long else {}
    except ValueError:
        if too_long and (wanted or text.rstrip().endswith("}")):
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


def _read(text: str) -> Json:
    """`text` as JSON that the API server stores as it is, and gives back as it is. ValueError for everything else."""
    try:
        value: Json = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_read_float, parse_int=_read_integer
        )
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError for half a surrogate pair
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    if _depth_exceeds(value, MAX_OUTPUT_DEPTH):
        raise ValueError("is nested too deeply")
    return without_nulls(value)


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _read_integer(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{text} does not fit 64 bits")
    return number


def _read_float(text: str) -> float | int:
    """Whole numbers come back from the API server as integers (1.0 as 1), so they are made integers right away."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return int(Decimal(repr(number))) if number.is_integer() and abs(number) < _GO_EXPONENT else number


def _depth_exceeds(value: Json, limit: int) -> bool:
    if isinstance(value, dict):
        return limit == 0 or any(_depth_exceeds(item, limit - 1) for item in value.values())
    if isinstance(value, list):
        return limit == 0 or any(_depth_exceeds(item, limit - 1) for item in value)
    return False


def last_line(text: str) -> str:
    """The last line that says something, without credentials, cut to a length that suits a status."""
    lines = [line.strip() for line in redact_text(text).splitlines() if line.strip()]
    return _short(lines[-1]) if lines else ""


def _short(text: str, length: int = MAX_MESSAGE) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= length else text[: length - 1] + "\u2026"
