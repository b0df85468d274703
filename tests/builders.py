"""Small builders of what the planner is shown: every field has a default that suits most tests; each can be set."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sluice.api.pipeline import DataPipelineSpec, DataPipelineStatus, Step
from sluice.api.run import PipelineRunSpec, PipelineRunStatus
from sluice.planning.actions import Settings
from sluice.planning.observed import PodView
from sluice.planning.run import RunScene
from sluice.planning.views import PipelineView, RevisionView, RunView

NAMESPACE = "data"
NOW = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
IMAGE = "ghcr.io/acme/flights:1.4.2"


def after(**lengths: float) -> datetime:
    """The moment that is `lengths` (of timedelta) after NOW."""
    return NOW + timedelta(**lengths)


def step_dict(name: str, *depends_on: str, **fields: Any) -> dict[str, Any]:
    """A step as it stands in a manifest."""
    row: dict[str, Any] = {"name": name, "image": IMAGE, **fields}
    return {**row, "dependsOn": list(depends_on)} if depends_on else row


def step(name: str, *depends_on: str, **fields: Any) -> Step:
    """A step; `fields` in the words of the manifest."""
    return Step.model_validate(step_dict(name, *depends_on, **fields))


def pipeline_spec(*steps: dict[str, Any] | str, **fields: Any) -> DataPipelineSpec:
    """A pipeline of `steps`; a bare name is a step without dependencies. `fields` in the words of the manifest."""
    rows = [step_dict(row) if isinstance(row, str) else row for row in steps or ("extract",)]
    return DataPipelineSpec.model_validate({"steps": rows, **fields})


def manifest(kind: str, spec: Mapping[str, Any], name: str = "flights") -> dict[str, Any]:
    """An object of ours as a user writes it."""
    return {"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}


def pod_view(**fields: Any) -> PodView:
    """A pod of the step `extract` that has just been created and not yet been looked at by the scheduler."""
    defaults: dict[str, Any] = {
        "namespace": NAMESPACE,
        "name": "flights-1-extract-1-abcdef",
        "uid": "pod-1",
        "run": "flights-1",
        "run_uid": "run-1",
        "step": "extract",
        "spec_hash": "",
        "attempt": 1,
        "phase": "Pending",
        "reason": "",
        "message": "",
        "created": NOW,
        "deleting": False,
        "stopping": False,
        "scheduled": False,
        "unschedulable_message": "",
        "node": "",
        "disruption": "",
        "waiting_reason": "",
        "waiting_message": "",
        "running_since": None,
        "exit_code": None,
        "term_reason": "",
        "term_message": "",
        "started_at": None,
        "finished_at": None,
        "restarts": 0,
    }
    return PodView(**(defaults | fields))


def waiting_pod(reason: str, message: str = "", **fields: Any) -> PodView:
    """A pod on a node whose container waits for `reason`."""
    return pod_view(**{"scheduled": True, "node": "n1", "waiting_reason": reason, "waiting_message": message} | fields)


def running_pod(**fields: Any) -> PodView:
    """A pod whose container has been running since NOW."""
    return pod_view(**{"phase": "Running", "scheduled": True, "node": "n1", "running_since": NOW} | fields)


def ended_pod(exit_code: int = 0, **fields: Any) -> PodView:
    """A pod whose container ran from NOW for a minute and ended with `exit_code`."""
    return pod_view(
        **{
            "phase": "Succeeded" if exit_code == 0 else "Failed",
            "scheduled": True,
            "node": "n1",
            "exit_code": exit_code,
            "term_reason": "Completed" if exit_code == 0 else "Error",
            "started_at": NOW,
            "finished_at": after(minutes=1),
        }
        | fields
    )


def pipeline_view(spec: DataPipelineSpec | None = None, **fields: Any) -> PipelineView:
    """The pipeline `flights`."""
    spec = spec or pipeline_spec()
    defaults: dict[str, Any] = {
        "namespace": NAMESPACE,
        "name": "flights",
        "uid": "pipeline-1",
        "generation": 1,
        "created": NOW,
        "deleting": False,
        "raw_spec": spec.to_dict(),
        "spec": spec,
        "problem": "",
        "status": DataPipelineStatus(),
    }
    return PipelineView(**(defaults | fields))


def revision_view(spec: DataPipelineSpec | None = None, **fields: Any) -> RevisionView:
    """The first revision of `flights`."""
    defaults: dict[str, Any] = {
        "namespace": NAMESPACE,
        "name": "flights-0123456789",
        "uid": "revision-1",
        "pipeline": "flights",
        "pipeline_uid": "pipeline-1",
        "number": 1,
        "spec": spec or pipeline_spec(),
    }
    return RevisionView(**(defaults | fields))


def run_view(name: str = "flights-1", *, spec: Mapping[str, Any] | None = None, **fields: Any) -> RunView:
    """A run of `flights` that was just created; `spec` holds what differs from an empty one, as in the manifest."""
    defaults: dict[str, Any] = {
        "namespace": NAMESPACE,
        "name": name,
        "uid": name.replace("flights", "run"),
        "generation": 1,
        "created": NOW,
        "deleting": False,
        "owned": True,
        "scheduled": False,
        "spec": PipelineRunSpec.model_validate({"pipeline": {"name": "flights"}, **(spec or {})}),
        "problem": "",
        "status": PipelineRunStatus(),
    }
    return RunView(**(defaults | fields))


def run_scene(spec: DataPipelineSpec | None = None, **fields: Any) -> RunScene:
    """What a run of `spec` is judged by: its pipeline and its revision are there, no pod is."""
    defaults: dict[str, Any] = {
        "run": run_view(),
        "pipeline": pipeline_view(spec),
        "revision": revision_view(spec),
        "pods": (),
        "siblings": (),
        "refusals": {},
        "settings": Settings(),
        "now": NOW,
    }
    return RunScene(**(defaults | fields))
