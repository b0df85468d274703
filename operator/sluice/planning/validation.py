"""What a schema cannot say of a pipeline: the graph, the references in it, parameters, the schedule.

Admission, the planner and `sluice validate` all call these functions, so a pipeline is refused everywhere in the same words.
Messages name the field, the value and what is allowed.
"""

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from sluice.api.canary import CanarySpec
from sluice.api.gate import QualityGateSpec
from sluice.api.metric_source import MetricSourceSpec
from sluice.api.names import GROUP
from sluice.api.pipeline import DataPipelineSpec, Step
from sluice.api.run import PipelineRunSpec
from sluice.api.schema import FieldError, as_stored, check_object, invalid, not_found, required, show
from sluice.planning.canary_checks import check_canary
from sluice.planning.gate_steps import OUTPUTS as GATE_OUTPUTS
from sluice.planning.gates import check_gate
from sluice.planning.graph import ancestors, find_cycle
from sluice.planning.params import TYPES, check_declaration, check_params, has_type
from sluice.planning.references import FINALLY_NAMES, PLAIN_NAMES, Reference, fields_of, references, unreadable
from sluice.planning.schedule import check_schedule

MAX_ERRORS = 20
"""Errors reported of one object; more would hide the first."""

_SPECS: dict[str, type[DataPipelineSpec | PipelineRunSpec | QualityGateSpec | CanarySpec | MetricSourceSpec]] = {
    "DataPipeline": DataPipelineSpec,
    "PipelineRun": PipelineRunSpec,
    "QualityGate": QualityGateSpec,
    "Canary": CanarySpec,
    "MetricSource": MetricSourceSpec,
    "ClusterMetricSource": MetricSourceSpec,
}


def check_manifest(manifest: dict[str, Any]) -> list[FieldError]:
    """All that is wrong with a manifest of ours, [] when nothing or when its kind is not ours. The shape comes first."""
    errors = check_object(manifest)
    if not errors and manifest.get("kind") in _SPECS:
        try:
            spec = _SPECS[manifest["kind"]].model_validate(as_stored(manifest)["spec"])
        except ValidationError as error:
            return [invalid(_path(row["loc"]), row["input"], row["msg"]) for row in error.errors()][:MAX_ERRORS]
        match spec:
            case DataPipelineSpec():
                errors = check_pipeline(spec)
            case QualityGateSpec():
                errors = check_gate(spec)
            case CanarySpec():
                errors = check_canary(spec)
            case _:
                errors = []
    return errors[:MAX_ERRORS]


def _path(location: tuple[int | str, ...]) -> str:
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def check_pipeline(spec: DataPipelineSpec) -> list[FieldError]:
    """All that is wrong with a pipeline whose shape is right."""
    return [
        *_check_names(spec),
        *_check_graph("spec.steps", spec.steps),
        *_check_graph("spec.finally", spec.finally_),
        *_check_references(spec),
        *(error for i, param in enumerate(spec.params) for error in check_declaration(param, f"spec.params[{i}]")),
        *(check_schedule(spec.schedule, "spec.schedule") if spec.schedule is not None else ()),
        *_check_scheduled_params(spec),
        *_check_outputs(spec),
        *_check_templates(spec),
    ]


def _check_scheduled_params(spec: DataPipelineSpec) -> Iterator[FieldError]:
    """Nobody is there to give a scheduled run its parameters."""
    if spec.schedule is None or spec.schedule.suspend:
        return
    for index, param in enumerate(spec.params):
        if param.default is None:
            yield required(f"spec.params[{index}].default", f'a pipeline with a schedule needs one for "{param.name}"')


def check_run(run: PipelineRunSpec, pipeline: DataPipelineSpec) -> list[FieldError]:
    """All that is wrong with a run of `pipeline`. A rerun is judged by the run that it is one of, not by the pipeline."""
    if run.rerun is not None:
        return []
    return check_params(pipeline.params, run.params, "spec.params")


def check_run_change(old: dict[str, Any], new: dict[str, Any]) -> list[FieldError]:
    """What may not be changed in the spec of a run: everything but cancel, and that only from false to true."""
    errors = [
        invalid(f"spec.{name}", new.get(name), "cannot be changed; make another run")
        for name in sorted(old.keys() | new.keys())
        if name != "cancel" and old.get(name) != new.get(name)
    ]
    if old.get("cancel") and not new.get("cancel"):
        errors.append(invalid("spec.cancel", new.get("cancel"), "cannot be taken back; make another run"))
    return errors


def _closest(name: str, allowed: Iterable[str]) -> str:
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, 1)
    listed = f"allowed: {', '.join(names)}" if names else "there is none"
    return listed + (f'; did you mean "{near[0]}"?' if near else "")


def _check_names(spec: DataPipelineSpec) -> Iterator[FieldError]:
    seen: set[str] = set()
    for field, steps in (("spec.steps", spec.steps), ("spec.finally", spec.finally_)):
        for index, step in enumerate(steps):
            if step.name in seen:
                yield FieldError(f"{field}[{index}].name", "Duplicate value", show(step.name))
            seen.add(step.name)


def _check_graph(field: str, steps: list[Step]) -> Iterator[FieldError]:
    graph = {step.name: step.depends_on for step in steps}
    for index, step in enumerate(steps):
        for position, name in enumerate(step.depends_on):
            at = f"{field}[{index}].dependsOn[{position}]"
            if name == step.name:
                yield invalid(at, name, "a step cannot depend on itself")
            elif name not in graph:
                yield not_found(at, name, f"no such step; {_closest(name, graph.keys() - {step.name})}")
    without_self = {name: [below for below in needs if below != name] for name, needs in graph.items()}
    if cycle := find_cycle(without_self):
        index = next(i for i, step in enumerate(steps) if step.name == cycle[0])
        yield invalid(
            f"{field}[{index}].dependsOn",
            graph[cycle[0]],  # type: ignore[arg-type]
            f"makes a cycle: {' -> '.join(cycle)}; a step must not depend on itself through others",
        )


def _check_references(spec: DataPipelineSpec) -> Iterator[FieldError]:
    graph = {step.name: step.depends_on for step in spec.steps}
    promised = {step.name: step for step in spec.all_steps()}
    params = {param.name for param in spec.params}
    for field, steps in (("spec.steps", spec.steps), ("spec.finally", spec.finally_)):
        in_finally = field == "spec.finally"
        for index, step in enumerate(steps):
            upstream = (
                set(graph) | ancestors({s.name: s.depends_on for s in steps}, step.name)
                if in_finally
                else ancestors(graph, step.name)
            )
            for place, text in fields_of(step):
                at = f"{field}[{index}].{place}"
                for broken in unreadable(text):
                    yield invalid(
                        at, broken, "cannot be read: $(NAME) or $(NAME ?? default), without parentheses inside"
                    )
                for reference in references(text):
                    yield from _check_reference(reference, at, step.name, in_finally, params, upstream, promised)


def _check_reference(
    reference: Reference,
    at: str,
    step: str,
    in_finally: bool,  # noqa: FBT001 - which of the two lists the step stands in
    params: set[str],
    upstream: set[str],
    promised: dict[str, Step],
) -> Iterator[FieldError]:
    text = str(reference)
    if reference.param is not None:
        if reference.param not in params:
            yield not_found(at, text, f"no such parameter; {_closest(reference.param, params)}")
    elif reference.output is not None:
        name, key = reference.output
        if name not in promised:
            yield not_found(at, text, f"no such step; {_closest(name, upstream)}")
            return
        if name not in upstream:
            yield invalid(at, text, f'step "{name}" is not upstream of "{step}"; add it to dependsOn')
            return
        outputs = {output.name: output for output in promised[name].outputs}
        if promised[name].gate is not None and key not in GATE_OUTPUTS:
            yield not_found(at, text, f'step "{name}" is a gate; {_closest(key, GATE_OUTPUTS)}')
            return
        if outputs and key not in outputs:
            yield not_found(at, text, f'step "{name}" has no such output; {_closest(key, outputs)}')
            return
        has_default = reference.default is not None or (key in outputs and outputs[key].default is not None)
        if in_finally and not has_default:
            yield invalid(
                at, text, f'step "{name}" may not have succeeded; give a default: $({reference.path} ?? none)'
            )
    elif reference.state_of is not None:
        if not in_finally:
            yield invalid(at, text, "can only be used in finally steps")
        elif reference.state_of not in upstream:
            yield not_found(at, text, f"no such step; {_closest(reference.state_of, upstream)}")
    elif reference.path in FINALLY_NAMES:
        if not in_finally:
            yield invalid(at, text, "can only be used in finally steps")
    elif reference.path not in PLAIN_NAMES:
        yield not_found(at, text, f"no such reference; {_closest(reference.path, PLAIN_NAMES)}")


def _check_outputs(spec: DataPipelineSpec) -> Iterator[FieldError]:
    for field, steps in (("spec.steps", spec.steps), ("spec.finally", spec.finally_)):
        for index, step in enumerate(steps):
            for position, output in enumerate(step.outputs):
                if output.type is not None and output.default is not None and not has_type(output.default, output.type):
                    at = f"{field}[{index}].outputs[{position}].default"
                    yield invalid(at, output.default, f"must be {TYPES[output.type]}")


def _check_templates(spec: DataPipelineSpec) -> Iterator[FieldError]:
    places = [("spec.podTemplate", spec.pod_template)]
    for field, steps in (("spec.steps", spec.steps), ("spec.finally", spec.finally_)):
        places += [(f"{field}[{i}].podTemplate", step.pod_template) for i, step in enumerate(steps)]
    for field, template in places:
        if template is None or template.metadata is None:
            continue
        for kind, keys in (("labels", template.metadata.labels), ("annotations", template.metadata.annotations)):
            for key in keys:
                if f".{key.split('/')[0]}".endswith(f".{GROUP}"):
                    yield invalid(f"{field}.metadata.{kind}", key, f"keys of {GROUP} are the operator's")
