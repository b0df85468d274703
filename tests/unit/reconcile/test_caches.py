"""What becomes of objects that this version cannot read."""

from typing import Any

import pytest

from sluice.planning.actions import Plan
from sluice.planning.run import plan_run
from sluice.reconcile.caches import project_canary, project_pipeline, project_run
from tests.builders import run_scene

METADATA = {"namespace": "data", "name": "flights-1", "uid": "u1", "creationTimestamp": "2026-01-01T00:00:00Z"}


def run(status: Any) -> dict[str, Any]:
    return {"metadata": METADATA, "spec": {"pipeline": {"name": "flights"}}, "status": status}


@pytest.mark.parametrize(
    "status", [{"phase": "Hibernating"}, {"phase": "Succeeded", "steps": [{"name": "a", "phase": "New"}]}, {"steps": 3}]
)
def test_a_run_whose_status_cannot_be_read_is_left_alone_and_never_begun_again(status: dict[str, Any]) -> None:
    view = project_run(run(status))
    assert not view.readable
    assert view.pipeline == "flights"
    assert plan_run(run_scene(run=view)) == Plan(None)


@pytest.mark.parametrize("status", [None, {}, {"phase": "Running", "fieldOfANewerOperator": 1}])
def test_a_status_with_more_or_less_than_is_known_can_be_read(status: Any) -> None:
    assert project_run(run(status)).readable


def test_a_spec_that_cannot_be_read_is_kept_with_its_problem() -> None:
    view = project_pipeline({"metadata": METADATA, "spec": {"steps": [{"name": "a", "image": 3}]}})
    assert view.spec is None
    assert view.problem.startswith("spec.steps.0.image: ")
    assert view.raw_spec == {"steps": [{"name": "a", "image": 3}]}


def test_a_canary_that_admission_would_refuse_is_not_acted_upon() -> None:
    spec = {
        "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pricing"},
        "routing": {"gatewayAPI": {"routes": [{"name": "pricing"}]}},
        "canary": {"steps": [{"weight": 20}]},
    }
    view = project_canary({"metadata": METADATA, "spec": spec})
    assert view.spec is None
    assert view.problem.startswith("spec.gates: Required value: without a gate nothing could stop a bad version")
    judged = {**spec, "gates": [{"name": "slo"}]}
    assert project_canary({"metadata": METADATA, "spec": judged}).problem == ""
