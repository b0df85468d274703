"""The pod of an attempt: templates merged, restricted by default, named and hashed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.api import names
from sluice.api.base import Json
from sluice.api.pipeline import DataPipelineSpec
from sluice.api.pod_template import PodTemplate
from sluice.planning.pods import RunIdentity, build_pod, merge
from sluice.planning.references import UnresolvedReference
from tests.builders import IMAGE, pipeline_spec, step_dict

GOLDEN = Path(__file__).with_name("golden_pod.yaml")
RUN = RunIdentity("data", "flights-20260301t0600-abc123", "run-1", "flights", "flights-0123456789")
VALUES: dict[str, Json] = {"params.carrier": "A$A", "interval.start.date": "2026-03-01", "run.name": RUN.name}


def template(**fields: Any) -> PodTemplate:
    return PodTemplate.model_validate(fields)


def build(
    spec: DataPipelineSpec | None = None,
    *,
    attempt: int = 1,
    run: RunIdentity = RUN,
    cluster: PodTemplate | None = None,
) -> dict[str, Any]:
    spec = spec or pipeline_spec()
    return build_pod(run, spec, spec.steps[0], attempt, VALUES, cluster)


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["spec"]["containers"]
    assert isinstance(found, dict)
    return found


FULL = pipeline_spec(
    step_dict(
        "extract",
        command=["python", "-m", "flights.extract"],
        args=["--day=$(interval.start.date)", "--carrier=$(params.carrier)", "--home=$(HOME)"],
        env=[
            {"name": "RUN", "value": "$(run.name)"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "api", "key": "key"}}},
        ],
        envFrom=[{"prefix": "DB_", "secretRef": {"name": "db"}}],
        workingDir="/app",
        imagePullPolicy="IfNotPresent",
        resources={"requests": {"cpu": 2, "memory": "1Gi"}},
        volumeMounts=[{"name": "scratch", "mountPath": "/scratch"}],
        podTemplate={"spec": {"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}}]}},
    ),
    podTemplate={
        "metadata": {"labels": {"team": "data"}, "annotations": {"note": "pipeline"}},
        "spec": {
            "serviceAccountName": "flights",
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "ca", "csi": {"driver": "ca"}}],
        },
    },
)  # fmt: skip
CLUSTER = template(
    metadata={"labels": {"team": "nobody", "cost": "shared"}},
    spec={
        "nodeSelector": {"pool": "batch"},
        "tolerations": [{"key": "batch", "operator": "Exists"}],
        "priorityClassName": "low",
        "imagePullSecrets": [{"name": "registry"}],
    },
)


def test_a_pod_with_everything_looks_as_the_golden_file_says() -> None:
    text = yaml.safe_dump(build(FULL, cluster=CLUSTER), sort_keys=False)
    assert yaml.safe_load(text) == yaml.safe_load(GOLDEN.read_text()), text


# -- merging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        pytest.param({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, id="maps are joined"),
        pytest.param({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}, id="at every depth"),
        pytest.param({"a": 1}, {"a": 2}, {"a": 2}, id="the later single value wins"),
        pytest.param({"a": {"x": 1}}, {"a": 2}, {"a": 2}, id="also over a map"),
        pytest.param(
            {"v": [{"name": "a", "x": 1}, {"name": "b"}]}, {"v": [{"name": "c"}, {"name": "a", "y": 2}]},
            {"v": [{"name": "a", "y": 2}, {"name": "b"}, {"name": "c"}]}, id="named things are replaced by name",
        ),
        pytest.param({"t": [{"k": 1}]}, {"t": [{"k": 2}, {"k": 1}]}, {"t": [{"k": 1}, {"k": 2}]}, id="lists join"),
        pytest.param({"t": [1]}, {"t": []}, {"t": [1]}, id="an empty list takes nothing away"),
    ],
)  # fmt: skip
def test_merging(below: dict[str, Any], above: dict[str, Any], merged: dict[str, Any]) -> None:
    before = repr((below, above))
    assert merge(below, above) == merged
    assert repr((below, above)) == before, "what is merged is not changed"


def test_of_three_levels_the_step_wins_over_the_pipeline_and_that_over_the_cluster() -> None:
    def level(name: str) -> dict[str, Any]:
        return {"spec": {"priorityClassName": name, "nodeSelector": {name: "yes"}}}

    spec = pipeline_spec(step_dict("a", podTemplate=level("step")), podTemplate=level("pipeline"))
    pod = build(spec, cluster=template(**level("cluster")))
    assert pod["spec"]["priorityClassName"] == "step"
    assert pod["spec"]["nodeSelector"] == {"cluster": "yes", "pipeline": "yes", "step": "yes"}


# -- security ---------------------------------------------------------------------------------------------------------


def test_a_pod_is_restricted_by_default() -> None:
    pod = build()
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["securityContext"]["runAsUser"] == 65532
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(pod)["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_the_restrictions_are_overridden_one_by_one() -> None:
    spec = pipeline_spec(
        step_dict(
            "a",
            securityContext={"readOnlyRootFilesystem": True, "capabilities": {"add": ["NET_BIND_SERVICE"]}},
            podTemplate={"spec": {"securityContext": {"runAsUser": 1000}}},
        )
    )
    pod = build(spec)
    assert (pod["spec"]["securityContext"]["runAsUser"], pod["spec"]["securityContext"]["runAsNonRoot"]) == (1000, True)
    assert container(pod)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "readOnlyRootFilesystem": True,
    }
    assert build()["spec"]["securityContext"]["runAsUser"] == 65532, "the default is as it was"


def test_no_token_is_mounted_even_with_a_service_account() -> None:
    pod = build(pipeline_spec(podTemplate={"spec": {"serviceAccountName": "flights"}}))
    assert pod["spec"]["serviceAccountName"] == "flights"
    assert pod["spec"]["automountServiceAccountToken"] is False


# -- identity ---------------------------------------------------------------------------------------------------------


def test_the_run_owns_its_pod() -> None:
    assert build()["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "PipelineRun",
            "name": RUN.name,
            "uid": "run-1",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_the_labels_of_the_operator_win_over_those_of_templates() -> None:
    labels = {names.LABEL_RUN: "other", names.LABEL_MANAGED_BY: "helm", "team": "data"}
    found = build(cluster=template(metadata={"labels": labels}))["metadata"]["labels"]
    assert (found[names.LABEL_RUN], found[names.LABEL_MANAGED_BY], found["team"]) == (RUN.name, "sluice", "data")
    assert (found[names.LABEL_STEP], found[names.LABEL_ATTEMPT]) == ("extract", "1")


def spec_hash(pod: dict[str, Any]) -> str:
    found = pod["metadata"]["annotations"][names.ANNOTATION_SPEC_HASH]
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(build(attempt=2), id="another attempt"),
        pytest.param(build(run=RunIdentity("data", RUN.name, "run-2", "flights", "r")), id="another run of the name"),
        pytest.param(build(pipeline_spec(step_dict("extract", args=["x"]))), id="another argument"),
        pytest.param(build(pipeline_spec(step_dict("extract") | {"image": "a:2"})), id="another image"),
        pytest.param(build(cluster=CLUSTER), id="another cluster template"),
        pytest.param(build(cluster=template(metadata={"annotations": {"a": "b"}})), id="another annotation"),
    ],
)
def test_the_hash_differs_with(other: dict[str, Any]) -> None:
    assert spec_hash(other) != spec_hash(build())


def test_the_same_attempt_is_the_same_pod() -> None:
    assert build(FULL, cluster=CLUSTER) == build(FULL, cluster=CLUSTER)


# -- container --------------------------------------------------------------------------------------------------------


def test_a_variable_of_the_user_replaces_one_of_the_operator() -> None:
    spec = pipeline_spec(step_dict("a", env=[{"name": "SLUICE_STEP", "value": "mine"}]))
    found = {row["name"]: row["value"] for row in container(build(spec))["env"]}
    assert found == {
        "SLUICE_RUN": RUN.name,
        "SLUICE_ATTEMPT": "1",
        "SLUICE_OUTPUTS": "/dev/termination-log",
        "SLUICE_STEP": "mine",
    }
    assert len(container(build(spec))["env"]) == len(found)


def test_what_a_step_does_not_say_is_left_to_the_image() -> None:
    assert container(build()).keys() == {
        "name", "image", "env", "securityContext", "terminationMessagePath", "terminationMessagePolicy"
    }  # fmt: skip
    assert container(build())["image"] == IMAGE


def test_a_reference_without_a_value_is_an_error() -> None:
    with pytest.raises(UnresolvedReference):
        build(pipeline_spec(step_dict("a", args=["$(steps.b.outputs.x)"])))
