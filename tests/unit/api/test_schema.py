"""The schema check: each kind of error, in the words of the API server."""

import copy
from typing import Any

import pytest

from sluice.api.schema import FieldError, check_object, show
from tests.builders import manifest, step_dict


def pipeline(**fields: Any) -> dict[str, Any]:
    return manifest("DataPipeline", {"steps": [step_dict("extract")], **fields})


def with_step(**fields: Any) -> dict[str, Any]:
    return pipeline(steps=[step_dict("extract") | fields])


def run(**fields: Any) -> dict[str, Any]:
    return manifest("PipelineRun", {"pipeline": {"name": "flights"}, **fields})


def schedule(**fields: Any) -> dict[str, Any]:
    return pipeline(schedule={"cron": ["0 6 * * *"], "timeZone": "UTC", **fields})


def without(document: dict[str, Any], *path: str) -> dict[str, Any]:
    document = copy.deepcopy(document)
    below = document
    for name in path[:-1]:
        below = below[name]
    del below[path[-1]]
    return document


IMAGE_RULE = "must be an image such as ghcr.io/acme/flights:1.4.2 or name@sha256:digest"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(
            {**pipeline(), "apiVersion": "sluice.dev/v2"},
            'apiVersion: Unsupported value: "sluice.dev/v2": supported values: "sluice.dev/v1alpha1"',
            id="another version",
        ),
        pytest.param(
            with_step(imagee="x"),
            'strict decoding error: unknown field "spec.steps[0].imagee"',
            id="an unknown field",
        ),
        pytest.param(
            {**pipeline(), "metadata": {"name": "flights", "label": {}}},
            'strict decoding error: unknown field "metadata.label"',
            id="an unknown field of the metadata",
        ),
        pytest.param(
            {**pipeline(), "metadata": {}},
            "metadata.name: Required value: name or generateName is required",
            id="no name",
        ),
        pytest.param(without(pipeline(), "spec"), "spec: Required value", id="no spec"),
        pytest.param({**pipeline(), "spec": None}, "spec: Required value", id="a spec that is null"),
        pytest.param({**run(), "spec": None}, "spec: Required value", id="a run's spec that is null"),
        pytest.param(
            pipeline(steps=[{"name": "extract"}]),
            "spec.steps[0].image: Required value: a step has an image or a gate",
            id="no image",
        ),
        pytest.param(
            with_step(image=None),
            "spec.steps[0].image: Required value: a step has an image or a gate",
            id="an image that is null",
        ),
        pytest.param(
            with_step(gate={"name": "clean"}),
            "spec.steps[0]: Invalid value: a step with a gate has no image, command, args or outputs of its own",
            id="an image and a gate",
        ),
        pytest.param(
            with_step(command="python"),
            'spec.steps[0].command: Invalid value: "string": '
            'spec.steps[0].command in body must be of type array: "string"',
            id="a string where a list belongs",
        ),
        pytest.param(
            with_step(args=[1]),
            'spec.steps[0].args[0]: Invalid value: "integer": '
            'spec.steps[0].args[0] in body must be of type string: "integer"',
            id="a number where a string belongs",
        ),
        pytest.param(
            with_step(retry={"limit": True}),
            'spec.steps[0].retry.limit: Invalid value: "boolean": '
            'spec.steps[0].retry.limit in body must be of type integer: "boolean"',
            id="true where an integer belongs",
        ),
        pytest.param(
            with_step(retry={"limit": 1.5}),
            'spec.steps[0].retry.limit: Invalid value: "number": '
            'spec.steps[0].retry.limit in body must be of type integer: "number"',
            id="a fraction where an integer belongs",
        ),
        pytest.param(
            with_step(retry={"limit": 101}),
            "spec.steps[0].retry.limit: Invalid value: 101: "
            "spec.steps[0].retry.limit in body should be less than or equal to 100",
            id="a number that is too large",
        ),
        pytest.param(
            with_step(retry={"limit": -1}),
            "spec.steps[0].retry.limit: Invalid value: -1: "
            "spec.steps[0].retry.limit in body should be greater than or equal to 0",
            id="a number that is too small",
        ),
        pytest.param(
            with_step(imagePullPolicy="Sometimes"),
            'spec.steps[0].imagePullPolicy: Unsupported value: "Sometimes": '
            'supported values: "Always", "IfNotPresent", "Never"',
            id="a word that is not in the list",
        ),
        pytest.param(
            with_step(name="s" * 41),
            "spec.steps[0].name: Too long: may not be more than 40 bytes",
            id="a step name that is too long",
        ),
        pytest.param(
            with_step(name=""),
            'spec.steps[0].name: Invalid value: "": spec.steps[0].name in body should be at least 1 chars long',
            id="an empty step name",
        ),
        pytest.param(
            with_step(name="Extract_1"),
            'spec.steps[0].name: Invalid value: "Extract_1": '
            'must be lower-case letters, digits and -, at most 40 characters, not "Extract_1"',
            id="a step name that is no DNS label",
        ),
        pytest.param(
            with_step(name="extract\n"),
            'spec.steps[0].name: Invalid value: "extract\\n": '
            "must be lower-case letters, digits and -, at most 40 characters",
            id="a step name with a line break behind it",
        ),
        pytest.param(
            with_step(image="Not An Image"),
            f'spec.steps[0].image: Invalid value: "Not An Image": {IMAGE_RULE}, not "Not An Image"',
            id="a bad image",
        ),
        pytest.param(
            with_step(timeouts={"step": "5 minutes"}),
            'spec.steps[0].timeouts.step: Invalid value: "5 minutes": '
            'must be a duration such as 30s, 15m or 1h30m, not "5 minutes"',
            id="a bad duration",
        ),
        pytest.param(
            with_step(resources={"limits": {"memory": True}}),
            'spec.steps[0].resources.limits.memory: Invalid value: "boolean": '
            'spec.steps[0].resources.limits.memory in body must be of type integer,string: "boolean"',
            id="a quantity that is neither number nor string",
        ),
        pytest.param(
            pipeline(steps=[]),
            "spec.steps: Invalid value: 0: spec.steps in body should have at least 1 items",
            id="too few items",
        ),
        pytest.param(
            schedule(cron=["0 6 * * *"] * 17),
            "spec.schedule.cron: Too many: 17: must have at most 16 items",
            id="too many items",
        ),
        pytest.param(
            pipeline(steps=[step_dict("a"), step_dict("a")]),
            'spec.steps[1]: Duplicate value: {"name":"a"}',
            id="two items of the same key",
        ),
        pytest.param(
            pipeline(steps=[step_dict("a"), step_dict("b", "a", "a")]),
            'spec.steps[1].dependsOn[1]: Duplicate value: "a"',
            id="two equal items of a set",
        ),
        pytest.param(
            pipeline(steps=[None]),
            'spec.steps[0]: Invalid value: "null": spec.steps[0] in body must be of type object: "null"',
            id="null in a list",
        ),
        pytest.param(
            schedule(start="tomorrow"),
            'spec.schedule.start: Invalid value: "tomorrow": '
            'spec.schedule.start in body must be of type date-time: "tomorrow"',
            id="a moment that is none",
        ),
        *(
            pytest.param(
                schedule(start=text),
                f'spec.schedule.start: Invalid value: "{text}": '
                f'spec.schedule.start in body must be of type date-time: "{text}"',
                id=f"a moment that is written as {text}",
            )
            for text in ("1700000000", "2026-01-01 00:00:00Z", "2026-01-01T00:00Z", "2026-02-30T00:00:00Z")
        ),
        pytest.param(
            schedule(start=20260101),
            'spec.schedule.start: Invalid value: "int64": '
            'spec.schedule.start in body must be of type date-time: "int64"',
            id="a moment that is a number",
        ),
        pytest.param(
            with_step(retry={"limit": 10**20}),
            'spec.steps[0].retry.limit: Invalid value: "number": '
            'spec.steps[0].retry.limit in body must be of type integer: "number"',
            id="an integer of more than 64 bits",
        ),
        pytest.param(
            pipeline(description=[{"a": 1}]),
            'strict decoding error: unknown field "spec.description[0].a"',
            id="a list of objects where a string belongs",
        ),
        pytest.param(
            run(interval={"start": "2026-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"}),
            "spec.interval: Invalid value: start must not be after end",
            id="a rule over two fields",
        ),
        pytest.param(
            {**pipeline(), "metadata": {"name": "p" * 43}},
            "metadata.name: Too long: may not be more than 42 bytes",
            id="a pipeline name that is too long",
        ),
    ],
)
def test_an_object_is_refused_for(document: dict[str, Any], message: str) -> None:
    assert [str(error) for error in check_object(document)] == [message]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(pipeline(), id="the smallest pipeline"),
        pytest.param(pipeline(description=None), id="null for a field that may be left out"),
        pytest.param(with_step(resources={"limits": {"cpu": 2, "memory": "1Gi"}}), id="quantities of both types"),
        pytest.param(with_step(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"x": 1}}}]), id="opaque values"),
        pytest.param(with_step(image="localhost:5000/a/b_c:1@sha256:" + "a" * 64), id="an image with all its parts"),
        pytest.param(with_step(retry={"limit": 1, "backoff": {"factor": 2}}), id="an integer where a number belongs"),
        pytest.param(with_step(retry={"limit": 3.0}), id="a whole number where an integer belongs"),
        pytest.param(with_step(dependsOn=None, env=None), id="null for lists that may be left out"),
        pytest.param(pipeline(podTemplate={"metadata": {"labels": {"team": None}}}), id="null for a value of a map"),
        pytest.param(run(params={"a": None, "b": [1, {"c": 2}]}), id="params of any shape"),
        pytest.param(run(interval={"start": "2026-03-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}), id="no length"),
        pytest.param({**run(), "metadata": {"generateName": "flights-"}}, id="a generated name"),
        pytest.param({"kind": "Deployment", "spec": 1}, id="another kind"),
        pytest.param({"kind": ["x"]}, id="a kind that is no string"),
        pytest.param({}, id="nothing at all"),
    ],
)
def test_an_object_is_accepted(document: dict[str, Any]) -> None:
    assert check_object(document) == []


def test_all_errors_are_reported_not_only_the_first() -> None:
    document = pipeline(steps=[{"name": "a"}, {"name": "b"}])
    assert [error.field for error in check_object(document)] == ["spec.steps[0].image", "spec.steps[1].image"]


def test_rules_are_not_tried_on_an_object_whose_shape_is_wrong() -> None:
    document = pipeline(steps=[{"name": "BAD", "image": 5}])
    assert [error.field for error in check_object(document)] == ["spec.steps[0].image"]


def test_a_very_long_value_is_cut_in_a_message() -> None:
    assert show("x" * 500) == '"' + "x" * 199 + "..."


def test_an_error_without_a_field_has_no_colon_before_it() -> None:
    assert str(FieldError("", "strict decoding error")) == "strict decoding error"
