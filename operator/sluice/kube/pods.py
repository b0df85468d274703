"""From a pod as the API shows it to the few fields that the planner needs.

Runs once for each watch event, so it walks the object once and allocates little. Objects of the API are trusted to have
the API's types, but every optional field may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sluice.api.names import ANNOTATION_SPEC_HASH, LABEL_ATTEMPT, LABEL_RUN, LABEL_RUN_UID, LABEL_STEP, STEP_CONTAINER
from sluice.planning.observed import PodView

_NOTHING: Mapping[str, Any] = {}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def project_pod(obj: Mapping[str, Any]) -> PodView:
    """The planner's view of a pod."""
    metadata = obj["metadata"]
    labels = metadata.get("labels") or _NOTHING
    annotations = metadata.get("annotations") or _NOTHING
    status = obj.get("status") or _NOTHING

    scheduled = False
    unschedulable = disruption = ""
    for condition in status.get("conditions") or ():
        kind = condition["type"]
        if kind == "PodScheduled":
            scheduled = condition["status"] == "True"
            if not scheduled and condition.get("reason") == "Unschedulable":
                unschedulable = condition.get("message") or "Unschedulable"
        elif kind == "DisruptionTarget" and condition["status"] == "True":
            disruption = condition.get("reason") or "DisruptionTarget"

    container = _container_status(status)
    state = container.get("state") or _NOTHING
    waiting = state.get("waiting") or _NOTHING
    running = state.get("running") or _NOTHING
    terminated = state.get("terminated") or _NOTHING

    return PodView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        run=labels.get(LABEL_RUN, ""),
        run_uid=labels.get(LABEL_RUN_UID, ""),
        step=labels.get(LABEL_STEP, ""),
        spec_hash=annotations.get(ANNOTATION_SPEC_HASH, ""),
        attempt=_attempt(labels.get(LABEL_ATTEMPT, "")),
        phase=status.get("phase") or "Pending",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        created=_time(metadata.get("creationTimestamp")) or _EPOCH,
        deleting="deletionTimestamp" in metadata,
        stopping=(obj.get("spec") or _NOTHING).get("activeDeadlineSeconds") == 1,
        scheduled=scheduled,
        unschedulable_message=unschedulable,
        node=(obj.get("spec") or _NOTHING).get("nodeName") or "",
        disruption=disruption,
        waiting_reason=waiting.get("reason") or "",
        waiting_message=waiting.get("message") or "",
        running_since=_time(running.get("startedAt")),
        exit_code=terminated.get("exitCode"),
        term_reason=terminated.get("reason") or "",
        term_message=terminated.get("message") or "",
        started_at=_time(terminated.get("startedAt")),
        finished_at=_time(terminated.get("finishedAt")),
        restarts=container.get("restartCount", 0),
        deletion_asked=_deletion_asked(metadata),
    )


def _deletion_asked(metadata: Mapping[str, Any]) -> datetime | None:
    """The API server writes when the pod is to be gone at the latest: the request and the grace period together."""
    gone = _time(metadata.get("deletionTimestamp"))
    return None if gone is None else gone - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)


def _container_status(status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in status.get("containerStatuses") or ():
        if container["name"] == STEP_CONTAINER:
            found: Mapping[str, Any] = container
            return found
    return _NOTHING


def _attempt(label: str) -> int:
    return int(label) if label.isdecimal() else 0


def _time(text: str | None) -> datetime | None:
    """A metav1.Time, such as 2026-01-01T00:00:00Z. (Python 3.11's fromisoformat takes the Z and fractions of a
    second.)"""
    return datetime.fromisoformat(text) if text else None
