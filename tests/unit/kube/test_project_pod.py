"""What the planner is shown of a pod."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from sluice.kube.pods import project_pod
from sluice.planning.observed import PodView

CREATED = datetime(2026, 1, 1, 6, 0, 0, tzinfo=UTC)

BARE: dict[str, Any] = {
    "metadata": {
        "namespace": "team-a",
        "name": "r-extract-1-abc",
        "uid": "u1",
        "creationTimestamp": "2026-01-01T06:00:00Z",
    },
    "spec": {},
}


def pod(
    *,
    metadata: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    made = copy.deepcopy(BARE)
    made["metadata"] |= metadata or {}
    made["spec"] |= spec or {}
    made["status"] = status
    if state is not None:
        sidecar = {"name": "proxy", "state": {"terminated": {"exitCode": 99}}, "restartCount": 7}
        made["status"]["containerStatuses"] = [sidecar, {"name": "step", "state": state, "restartCount": 1}]
    return made


def condition(kind: str, status: str, **more: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Initialized", "status": "True"}, {"type": kind, "status": status, **more}]}


def test_a_pod_about_which_nothing_is_known_yet() -> None:
    view = project_pod(BARE)

    assert (view.namespace, view.name, view.uid, view.created) == ("team-a", "r-extract-1-abc", "u1", CREATED)
    assert view.phase == "Pending"
    assert (view.run, view.run_uid, view.step, view.attempt, view.spec_hash) == ("", "", "", 0, "")
    assert (view.deleting, view.scheduled, view.node) == (False, False, "")
    assert (view.exit_code, view.running_since, view.finished_at, view.restarts) == (None, None, None, 0)


def test_labels_and_annotations_say_whose_it_is() -> None:
    labels = {
        "sluice.dev/run": "r",
        "sluice.dev/run-uid": "ru",
        "sluice.dev/step": "extract",
        "sluice.dev/attempt": "12",
    }
    view = project_pod(pod(metadata={"labels": labels, "annotations": {"sluice.dev/spec-hash": "cafe"}}))

    assert (view.run, view.run_uid, view.step, view.attempt, view.spec_hash) == ("r", "ru", "extract", 12, "cafe")


@pytest.mark.parametrize("label", ["", "x", "-1", "1.5"])
def test_an_attempt_that_is_no_number_is_0(label: str) -> None:
    assert project_pod(pod(metadata={"labels": {"sluice.dev/attempt": label}})).attempt == 0


@pytest.mark.parametrize(
    ("made", "seen"),
    [
        (pod(metadata={"deletionTimestamp": "2026-01-01T06:00:30Z"}), {"deleting": True}),
        (pod(spec={"nodeName": "n1"}), {"node": "n1", "stopping": False}),
        (pod(spec={"activeDeadlineSeconds": 1}), {"stopping": True}),
        (pod(spec={"activeDeadlineSeconds": 60}), {"stopping": False}),
        (
            pod(phase="Failed", reason="Evicted", message="low on memory"),
            {"phase": "Failed", "reason": "Evicted", "message": "low on memory"},
        ),
        (pod(**condition("PodScheduled", "True")), {"scheduled": True, "unschedulable_message": ""}),
        (
            pod(**condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes")),
            {"scheduled": False, "unschedulable_message": "0/3 nodes"},
        ),
        (
            pod(**condition("PodScheduled", "False", reason="SchedulingGated")),
            {"scheduled": False, "unschedulable_message": ""},
        ),
        (
            pod(**condition("DisruptionTarget", "True", reason="PreemptionByScheduler")),
            {"disruption": "PreemptionByScheduler"},
        ),
        (pod(**condition("DisruptionTarget", "False", reason="PreemptionByScheduler")), {"disruption": ""}),
        (
            pod(state={"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
            {"waiting_reason": "ErrImagePull", "waiting_message": "not found", "exit_code": None, "restarts": 1},
        ),
        (
            pod(state={"running": {"startedAt": "2026-01-01T06:00:05Z"}}, phase="Running"),
            {"running_since": datetime(2026, 1, 1, 6, 0, 5, tzinfo=UTC), "started_at": None, "phase": "Running"},
        ),
        (
            pod(
                state={
                    "terminated": {
                        "exitCode": 137,
                        "reason": "OOMKilled",
                        "message": '{"rows": 1}',
                        "startedAt": "2026-01-01T06:00:05Z",
                        "finishedAt": "2026-01-01T06:00:09Z",
                    }
                }
            ),
            {
                "exit_code": 137,
                "term_reason": "OOMKilled",
                "term_message": '{"rows": 1}',
                "started_at": datetime(2026, 1, 1, 6, 0, 5, tzinfo=UTC),
                "finished_at": datetime(2026, 1, 1, 6, 0, 9, tzinfo=UTC),
                "running_since": None,
            },
        ),
        (pod(state={"terminated": {"exitCode": 0, "startedAt": None, "finishedAt": None}}), {"exit_code": 0}),
    ],
)
def test_state(made: dict[str, Any], seen: dict[str, Any]) -> None:
    view = project_pod(made)

    assert {field: getattr(view, field) for field in seen} == seen


@pytest.mark.parametrize("empty", [{}, {"conditions": None, "containerStatuses": None}])
def test_lists_may_be_missing_or_null(empty: dict[str, Any]) -> None:
    assert project_pod(pod(**empty)).scheduled is False


def test_a_heartbeat_does_not_change_the_view() -> None:
    before = pod(**condition("PodScheduled", "True"))
    after = copy.deepcopy(before)
    after["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    after["metadata"]["resourceVersion"] = "9"
    after["status"]["conditions"][0]["lastProbeTime"] = "2026-01-01T06:01:00Z"

    assert project_pod(after) == project_pod(before)


def test_the_view_is_frozen() -> None:
    view: PodView = project_pod(BARE)
    with pytest.raises(AttributeError):
        view.phase = "Running"  # type: ignore[misc]
