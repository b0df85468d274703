"""The actions that Argo CD offers, by its own Lua engine: when they are offered, and what they do."""

import copy
import re

import pytest
import yaml

from sluice.api.canary_status import CanaryPhase
from sluice.api.names import ANNOTATION_CONTROL, DNS_LABEL, MAX_LABEL, MAX_PIPELINE_NAME
from sluice.api.run import RunPhase
from sluice.cli.new_run import build_rerun, build_run
from sluice.planning.canary_controls import ALLOWED, MAX_CONTROL, requested
from sluice.planning.canary_scene import ControlRequest
from sluice.planning.validation import check_manifest
from tests.unit.argocd.engine import CASES, GENERATE, Engine, Object

WORDS = {"promote-full": "promoteInFull"}
"""Actions that have another name than the request that they make."""
REQUESTS = {action: WORDS.get(action, action) for action in GENERATE.ACTIONS["Canary"]}


def pipeline(*, suspend: bool | None = None, name: str = "flights") -> Object:
    item = copy.deepcopy(CASES.made("DataPipeline", None))
    item["metadata"]["name"] = name
    if suspend is not None:
        item["spec"]["schedule"]["suspend"] = suspend
    return item


def by_hand() -> Object:
    item = pipeline()
    del item["spec"]["schedule"]
    return item


# -- Canary -----------------------------------------------------------------------------------------------------------


def test_there_is_an_action_for_every_request() -> None:
    assert set(REQUESTS.values()) == set(ALLOWED)


@pytest.mark.parametrize("phase", CanaryPhase)
@pytest.mark.parametrize("paused", [False, True])
def test_an_action_is_offered_where_the_operator_meets_the_request(
    engine: Engine, phase: CanaryPhase, paused: bool
) -> None:
    met = {action for action, request in REQUESTS.items() if phase in ALLOWED[request]}
    senseless = {"pause"} if paused else {"resume"}
    assert engine.enabled(CASES.canary(phase, paused=paused)) == met - senseless


def test_nothing_is_offered_before_the_operator_has_looked_or_once_it_is_deleted(engine: Engine) -> None:
    assert engine.enabled(CASES.made("Canary", None)) == set()
    going = CASES.canary(CanaryPhase.STEPPING)
    going["metadata"]["deletionTimestamp"] = "2026-03-02T06:00:00Z"
    assert engine.enabled(going) == set()


@pytest.mark.parametrize("action", REQUESTS)
def test_an_action_writes_a_request_that_the_operator_understands_and_nothing_else(engine: Engine, action: str) -> None:
    before = CASES.canary(CanaryPhase.STEPPING, "in step 1", weight=5)
    operation, after = engine.run(before, action)
    text = after["metadata"].pop("annotations")[ANNOTATION_CONTROL]
    assert operation == "patch"
    assert after == before
    assert len(text) <= MAX_CONTROL
    assert requested(text, "argocd") == ControlRequest(REQUESTS[action], text.partition(":")[2], "argocd")
    assert re.fullmatch(r"\w+:argocd-\d{10}", text)


def test_an_action_that_is_run_twice_within_a_second_makes_two_requests(engine: Engine) -> None:
    item = CASES.canary(CanaryPhase.STEPPING, "in step 1", weight=5)
    item["metadata"]["resourceVersion"] = "41"
    first = engine.run(item, "promote")[1]["metadata"]
    assert re.fullmatch(r"promote:argocd-\d{10}-41", first["annotations"][ANNOTATION_CONTROL])
    assert isinstance(requested(first["annotations"][ANNOTATION_CONTROL], None), ControlRequest)
    item["metadata"] = {**first, "resourceVersion": "42"}
    second = engine.run(item, "promote")[1]["metadata"]
    assert re.fullmatch(r"promote:argocd-\d{10}-42", second["annotations"][ANNOTATION_CONTROL])


def test_an_action_leaves_other_annotations_alone(engine: Engine) -> None:
    before = CASES.canary(CanaryPhase.STEPPING)
    before["metadata"]["annotations"] = {"team": "shop", ANNOTATION_CONTROL: "pause:1"}
    annotations = engine.run(before, "resume")[1]["metadata"]["annotations"]
    assert annotations["team"] == "shop"
    assert annotations[ANNOTATION_CONTROL].startswith("resume:")


# -- DataPipeline -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "offered"),
    [
        pytest.param(pipeline(), {"run-now", "suspend"}, id="scheduled"),
        pytest.param(pipeline(suspend=False), {"run-now", "suspend"}, id="not suspended"),
        pytest.param(pipeline(suspend=True), {"run-now", "resume"}, id="suspended"),
        pytest.param(by_hand(), {"run-now"}, id="without a schedule"),
        pytest.param({**pipeline(), "status": {"health": "Invalid"}}, {"suspend"}, id="invalid"),
    ],
)
def test_what_is_offered_for_a_pipeline(engine: Engine, item: Object, offered: set[str]) -> None:
    assert engine.enabled(item) == offered
    item["metadata"]["deletionTimestamp"] = "2026-03-02T06:00:00Z"
    assert engine.enabled(item) == set()


@pytest.mark.parametrize("name", ["flights", "f" * MAX_PIPELINE_NAME])
def test_run_now_makes_the_run_that_the_command_line_makes(engine: Engine, name: str) -> None:
    item = pipeline(name=name)
    operation, run = engine.run(item, "run-now")
    assert operation == "create"
    assert run == build_run(item, run["metadata"]["name"], {}, None)
    assert re.fullmatch(rf"{name}-\d{{8}}t\d{{6}}", run["metadata"]["name"])
    assert len(run["metadata"]["name"]) <= MAX_LABEL
    assert re.fullmatch(DNS_LABEL, run["metadata"]["name"])
    assert check_manifest(run) == []


@pytest.mark.parametrize("action", ["suspend", "resume"])
def test_a_pipeline_without_a_schedule_cannot_be_suspended(engine: Engine, action: str) -> None:
    assert "this pipeline has no schedule" in engine.refusal(by_hand(), action)


# -- PipelineRun ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", RunPhase)
def test_a_run_can_be_cancelled_until_it_has_ended_and_run_again_once_it_has_failed(
    engine: Engine, phase: RunPhase
) -> None:
    item = copy.deepcopy(CASES.run(phase))
    again = {"rerun-failed"} if phase in (RunPhase.FAILED, RunPhase.CANCELLED) else set()
    assert engine.enabled(item) == (again if phase.ended else {"cancel"})
    item["spec"]["cancel"] = True
    assert engine.enabled(item) == again
    item["metadata"]["deletionTimestamp"] = "2026-03-02T06:00:00Z"
    assert "rerun-failed" not in engine.enabled(item)


def test_a_run_that_failed_before_it_started_is_not_offered_to_be_run_again(engine: Engine) -> None:
    item = copy.deepcopy(CASES.run(RunPhase.FAILED))
    del item["status"]["startedAt"]
    assert engine.enabled(item) == set()


OWNER = {
    "apiVersion": "sluice.dev/v1alpha1",
    "kind": "DataPipeline",
    "name": "flights",
    "uid": "7c3f3b7e-6f0e-4e0c-9d55-0d3a7b1f2a11",
    "controller": True,
    "blockOwnerDeletion": True,
}


@pytest.mark.parametrize("owners", [[], [OWNER]])
@pytest.mark.parametrize("name", ["flights", "f" * MAX_PIPELINE_NAME])
def test_rerun_failed_makes_the_run_that_the_command_line_makes(
    engine: Engine, name: str, owners: list[Object]
) -> None:
    item = copy.deepcopy(CASES.run(RunPhase.FAILED))
    item["spec"]["pipeline"]["name"] = name
    if owners:
        item["metadata"]["ownerReferences"] = owners
    operation, run = engine.run(item, "rerun-failed")
    assert operation == "create"
    assert run == build_rerun(item, run["metadata"]["name"], [])
    assert re.fullmatch(rf"{name}-\d{{8}}t\d{{6}}", run["metadata"]["name"])
    assert len(run["metadata"]["name"]) <= MAX_LABEL
    assert re.fullmatch(DNS_LABEL, run["metadata"]["name"])
    assert check_manifest(run) == []


def test_a_run_without_a_status_can_be_cancelled(engine: Engine) -> None:
    assert engine.enabled(CASES.made("PipelineRun", None)) == {"cancel"}


# -- what is generated ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GENERATE.ACTIONS)
def test_every_action_that_is_offered_has_a_script(engine: Engine, kind: str) -> None:
    item = CASES.cases(kind)[-1].object
    (found,) = engine.ask([{"object": item, "discover": True}])
    assert {row["name"] for row in found["actions"]} == set(GENERATE.ACTIONS[kind])
    assert all(row["displayName"] and row["iconClass"] for row in found["actions"])


@pytest.mark.parametrize("kind", GENERATE.ACTIONS)
def test_the_tests_for_argo_cds_repository_hold(engine: Engine, kind: str) -> None:
    folder = GENERATE.UPSTREAM / kind / "actions"
    for row in yaml.safe_load((folder / "action_test.yaml").read_text())["actionTests"]:
        before, after = (
            yaml.safe_load((folder / row[path]).read_text()) for path in ("inputPath", "expectedOutputPath")
        )
        assert engine.run(before, row["action"]) == ("patch", after)


def test_what_is_generated_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert GENERATE.main(["--check"]) == 0, capsys.readouterr().out
