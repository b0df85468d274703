"""What is refused of a pipeline or a run beyond its shape, in exact words."""

from typing import Any

import pytest

from sluice.api.pipeline import DataPipelineSpec
from sluice.planning.validation import MAX_ERRORS, check_manifest, check_pipeline, check_run, check_run_change
from tests.builders import manifest, pipeline_spec, run_view, step_dict


def errors(spec: DataPipelineSpec) -> list[str]:
    return [str(error) for error in check_pipeline(spec)]


def consumer(text: str, *depends_on: str, **fields: Any) -> dict[str, Any]:
    return step_dict("load", *depends_on, args=[text], **fields)


EXTRACT = step_dict("extract")
PROMISING = step_dict("extract", outputs=[{"name": "uri"}, {"name": "rows", "default": 0}])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            pipeline_spec(step_dict("a", "c"), step_dict("b", "a"), step_dict("c", "b")),
            'spec.steps[0].dependsOn: Invalid value: ["c"]: makes a cycle: a -> c -> b -> a; '
            "a step must not depend on itself through others",
            id="a cycle",
        ),
        pytest.param(
            pipeline_spec("a", params=[{"name": "day"}], schedule={"cron": ["0 6 * * *"], "timeZone": "UTC"}),
            'spec.params[0].default: Required value: a pipeline with a schedule needs one for "day"',
            id="a scheduled pipeline with a parameter that nobody gives",
        ),
        pytest.param(
            pipeline_spec(EXTRACT, consumer("$(steps.extract.outputs.uri ?? f(x))", "extract")),
            'spec.steps[1].args[0]: Invalid value: "$(steps.extract.outputs.uri ?? f(x": '
            "cannot be read: $(NAME) or $(NAME ?? default), without parentheses inside",
            id="a reference that cannot be read",
        ),
        pytest.param(
            pipeline_spec(step_dict("a", "a")),
            'spec.steps[0].dependsOn[0]: Invalid value: "a": a step cannot depend on itself',
            id="a step that depends on itself",
        ),
        pytest.param(
            pipeline_spec("extract", "clean", step_dict("load", "extrakt")),
            'spec.steps[2].dependsOn[0]: Not found: "extrakt": no such step; '
            'allowed: clean, extract; did you mean "extract"?',
            id="an unknown step with a suggestion",
        ),
        pytest.param(
            pipeline_spec(step_dict("load", "zzz")),
            'spec.steps[0].dependsOn[0]: Not found: "zzz": no such step; there is none',
            id="an unknown step of none",
        ),
        pytest.param(pipeline_spec("a", "b", "a"), 'spec.steps[2].name: Duplicate value: "a"', id="a repeated name"),
        pytest.param(
            pipeline_spec("a", **{"finally": [step_dict("a")]}),
            'spec.finally[0].name: Duplicate value: "a"',
            id="a name repeated in finally",
        ),
        pytest.param(
            pipeline_spec("a", **{"finally": [step_dict("b", "a")]}),
            'spec.finally[0].dependsOn[0]: Not found: "a": no such step; there is none',
            id="a finally step that depends on an ordinary one",
        ),
        pytest.param(
            pipeline_spec(step_dict("a", "b"), **{"finally": [step_dict("b")]}),
            'spec.steps[0].dependsOn[0]: Not found: "b": no such step; there is none',
            id="an ordinary step that depends on a finally step",
        ),
        pytest.param(
            pipeline_spec("a", **{"finally": [step_dict("b", "c"), step_dict("c", "b")]}),
            'spec.finally[0].dependsOn: Invalid value: ["c"]: makes a cycle: b -> c -> b; '
            "a step must not depend on itself through others",
            id="a cycle in finally",
        ),
        pytest.param(
            pipeline_spec(EXTRACT, consumer("$(steps.extrct.outputs.uri)", "extract")),
            'spec.steps[1].args[0]: Not found: "$(steps.extrct.outputs.uri)": no such step; '
            'allowed: extract; did you mean "extract"?',
            id="an output of an unknown step",
        ),
        pytest.param(
            pipeline_spec(EXTRACT, consumer("$(steps.extract.outputs.uri)")),
            'spec.steps[1].args[0]: Invalid value: "$(steps.extract.outputs.uri)": '
            'step "extract" is not upstream of "load"; add it to dependsOn',
            id="an output of a step that is not upstream",
        ),
        pytest.param(
            pipeline_spec(PROMISING, consumer("$(steps.extract.outputs.url)", "extract")),
            'spec.steps[1].args[0]: Not found: "$(steps.extract.outputs.url)": step "extract" has no such output; '
            'allowed: rows, uri; did you mean "uri"?',
            id="an output that is not declared",
        ),
        pytest.param(
            pipeline_spec(PROMISING, **{"finally": [consumer("$(steps.extract.outputs.uri)")]}),
            'spec.finally[0].args[0]: Invalid value: "$(steps.extract.outputs.uri)": '
            'step "extract" may not have succeeded; give a default: $(steps.extract.outputs.uri ?? none)',
            id="an output in finally without a default",
        ),
        pytest.param(
            pipeline_spec(EXTRACT, consumer("$(steps.extract.phase)", "extract")),
            'spec.steps[1].args[0]: Invalid value: "$(steps.extract.phase)": can only be used in finally steps',
            id="the phase of a step outside of finally",
        ),
        pytest.param(
            pipeline_spec(consumer("$(run.outcome)")),
            'spec.steps[0].args[0]: Invalid value: "$(run.outcome)": can only be used in finally steps',
            id="the outcome outside of finally",
        ),
        pytest.param(
            pipeline_spec("a", **{"finally": [consumer("$(steps.b.reason)")]}),
            'spec.finally[0].args[0]: Not found: "$(steps.b.reason)": no such step; allowed: a',
            id="the reason of an unknown step",
        ),
        pytest.param(
            pipeline_spec(consumer("$(params.carier)"), params=[{"name": "carrier"}]),
            'spec.steps[0].args[0]: Not found: "$(params.carier)": no such parameter; '
            'allowed: carrier; did you mean "carrier"?',
            id="an unknown parameter",
        ),
        pytest.param(
            pipeline_spec(step_dict("a", env=[{"name": "X", "value": "$(params.x)"}])),
            'spec.steps[0].env[0].value: Not found: "$(params.x)": no such parameter; there is none',
            id="an unknown parameter in the environment",
        ),
        pytest.param(
            pipeline_spec(consumer("$(run.id)")),
            'spec.steps[0].args[0]: Not found: "$(run.id)": no such reference; allowed: interval.end, '
            "interval.end.date, interval.start, interval.start.date, run.name, run.namespace, run.pipeline, "
            'run.revision, run.uid; did you mean "run.uid"?',
            id="an unknown word",
        ),
        pytest.param(
            pipeline_spec("a", params=[{"name": "x", "type": "integer", "default": "y"}]),
            'spec.params[0].default: Invalid value: "y": must be an integer',
            id="a declaration that contradicts itself",
        ),
        pytest.param(
            pipeline_spec("a", schedule={"cron": ["0 0 6 * * *"], "timeZone": "UTC"}),
            'spec.schedule.cron[0]: Invalid value: "0 0 6 * * *": '
            "must have five fields (minute hour day month weekday), not 6",
            id="six fields of cron",
        ),
        pytest.param(
            pipeline_spec("a", podTemplate={"metadata": {"labels": {"sluice.dev/run": "x"}}}),
            'spec.podTemplate.metadata.labels: Invalid value: "sluice.dev/run": keys of sluice.dev are the operator\'s',
            id="a label of the operator",
        ),
        pytest.param(
            pipeline_spec(step_dict("a", podTemplate={"metadata": {"annotations": {"x.sluice.dev/y": "z"}}})),
            "spec.steps[0].podTemplate.metadata.annotations: "
            'Invalid value: "x.sluice.dev/y": keys of sluice.dev are the operator\'s',
            id="an annotation below the operator's domain",
        ),
    ],
)
def test_a_pipeline_is_refused_for(spec: DataPipelineSpec, message: str) -> None:
    assert errors(spec) == [message]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(pipeline_spec(PROMISING, consumer("$(steps.extract.outputs.uri)", "extract")), id="an output"),
        pytest.param(
            pipeline_spec(
                "a", params=[{"name": "day"}], schedule={"cron": ["0 6 * * *"], "timeZone": "UTC", "suspend": True}
            ),
            id="a parameter without a default while the schedule is suspended",
        ),
        pytest.param(
            pipeline_spec(EXTRACT, step_dict("m", "extract"), consumer("$(steps.extract.outputs.any)", "m")),
            id="an undeclared output of a step further up",
        ),
        pytest.param(
            pipeline_spec(PROMISING, **{"finally": [consumer("$(steps.extract.outputs.rows)")]}),
            id="an output in finally whose declaration has a default",
        ),
        pytest.param(
            pipeline_spec(EXTRACT, **{"finally": [consumer("$(steps.extract.outputs.x ?? none) $(run.reason)")]}),
            id="an output in finally with a default of its own",
        ),
        pytest.param(
            pipeline_spec("a", **{"finally": [step_dict("b"), consumer("$(steps.b.phase) $(steps.a.reason)", "b")]}),
            id="states of ordinary steps and of finally steps upstream",
        ),
        pytest.param(pipeline_spec(consumer("$(HOME) $$(params.x) $(run.name)")), id="what is not ours to judge"),
        pytest.param(
            pipeline_spec("a", podTemplate={"metadata": {"labels": {"notsluice.dev/x": "y", "team": "z"}}}),
            id="a label of another domain",
        ),
    ],
)
def test_a_pipeline_is_accepted_with(spec: DataPipelineSpec) -> None:
    assert errors(spec) == []


def test_each_error_is_reported_once() -> None:
    spec = pipeline_spec(step_dict("a", "a", "nobody"), consumer("$(params.x)$(params.y)"))
    assert [text.split(":")[0] for text in errors(spec)] == [
        "spec.steps[0].dependsOn[0]",
        "spec.steps[0].dependsOn[1]",
        "spec.steps[1].args[0]",
        "spec.steps[1].args[0]",
    ]


# -- manifests --------------------------------------------------------------------------------------------------------


def test_of_a_manifest_the_shape_is_judged_first() -> None:
    document = manifest("DataPipeline", {"steps": [step_dict("a", "a")]})
    assert [error.problem for error in check_manifest(document)] == ["Invalid value"]
    del document["spec"]["steps"][0]["image"]
    wanted = "spec.steps[0].image: Required value: a step has an image or a gate"
    assert [str(error) for error in check_manifest(document)] == [wanted]


def test_no_more_errors_are_reported_than_a_person_reads() -> None:
    rows = [step_dict(f"s{number}", "nobody") for number in range(50)]
    assert len(check_manifest(manifest("DataPipeline", {"steps": rows}))) == MAX_ERRORS


@pytest.mark.parametrize("spec", [None, [], "x", {"steps": [None]}, {"steps": {}}, {"steps": [{"name": None}]}])
def test_whatever_stands_in_a_manifest_it_is_refused_and_nothing_breaks(spec: Any) -> None:
    assert check_manifest({**manifest("DataPipeline", {}), "spec": spec})
    assert check_manifest({**manifest("PipelineRun", {}), "spec": spec})


# -- runs -------------------------------------------------------------------------------------------------------------


def test_the_params_of_a_run_are_judged_by_its_pipeline() -> None:
    spec = pipeline_spec("a", params=[{"name": "day", "pattern": "[0-9-]+"}])
    run = run_view(spec={"params": {"day": "today"}}).spec
    assert run is not None
    assert [str(error) for error in check_run(run, spec)] == [
        'spec.params.day: Invalid value: "today": must match [0-9-]+'
    ]


RUN = {"pipeline": {"name": "flights"}, "params": {"a": 1}}


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        pytest.param(RUN, RUN, [], id="nothing changed"),
        pytest.param(RUN, RUN | {"cancel": True}, [], id="a cancel"),
        pytest.param(RUN | {"cancel": True}, RUN | {"cancel": True}, [], id="a cancel that stays"),
        pytest.param(RUN, RUN | {"cancel": False}, [], id="no cancel, in so many words"),
        pytest.param(
            RUN | {"cancel": True}, RUN,
            ["spec.cancel: Invalid value: null: cannot be taken back; make another run"], id="a cancel taken back",
        ),
        pytest.param(
            RUN, RUN | {"params": {"a": 2}},
            ['spec.params: Invalid value: {"a":2}: cannot be changed; make another run'], id="other params",
        ),
        pytest.param(
            RUN, {"pipeline": {"name": "x"}},
            [
                "spec.params: Invalid value: null: cannot be changed; make another run",
                'spec.pipeline: Invalid value: {"name":"x"}: cannot be changed; make another run',
            ],
            id="two fields",
        ),
    ],
)  # fmt: skip
def test_of_a_run_only_cancel_can_be_changed(old: dict[str, Any], new: dict[str, Any], messages: list[str]) -> None:
    assert [str(error) for error in check_run_change(old, new)] == messages
