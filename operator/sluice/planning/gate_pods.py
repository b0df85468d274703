"""The pod that evaluates the data checks of a gate: what it is told, and where the data lies. Pure.

The gate itself travels in the environment, so that the pod needs no access to the API server.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sluice.api.base import Json
from sluice.api.durations import parse_duration
from sluice.api.gate import QualityGateSpec, Source
from sluice.api.names import STEP_CONTAINER
from sluice.api.pipeline import DataPipelineSpec, Resources, Step
from sluice.api.run import RunPhase, StepStatus
from sluice.planning.graph import ancestors
from sluice.planning.pods import Manifest, build_pod
from sluice.planning.references import substitute
from sluice.planning.scene import Scene
from sluice.planning.views import GateView

DEFAULT_REQUESTS: Mapping[str, int | str] = {"cpu": "100m", "memory": "256Mi"}
DEFAULT_MEMORY_LIMIT = "1Gi"
SHARE_OF_TIME = 0.9
"""Of the step's timeout, for the evaluation."""
SPILL = "/spill"
"""Where the pod puts what does not fit into its memory."""
RUN_BASELINES = ("LastRun", "StableRevision")
"""Baselines that are outputs of earlier runs, which the operator looks up."""


def pod_of(step: Step, status: StepStatus, scene: Scene, values: Mapping[str, Json]) -> Manifest:
    """The pod that looks at the data. Raises UnresolvedReference."""
    assert step.gate is not None
    view = scene.gates[step.gate.name]
    assert view.spec is not None
    gate, identity = step.gate, scene.identity

    def filled(text: str | None) -> str | None:
        return substitute(text, values, escape=False) if text is not None else None

    document = {
        "name": gate.name,
        "spec": {key: value for key, value in view.raw_spec.items() if key not in ("examples", "description")},
        "sources": _uris(step, view.spec, scene, values),
        "args": {name: filled(text) for name, text in gate.args.items()},
        "interval": {"start": values["interval.start"], "end": values["interval.end"]}
        if "interval.start" in values
        else None,
        "zone": scene.spec.schedule.time_zone if scene.spec.schedule is not None else "UTC",
        "quarantine": filled(gate.quarantine),
        "passing": filled(gate.passing),
        "report": filled(gate.report),
        "run": identity.name,
        "step": step.name,
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    runner = step.model_copy(
        update={
            "image": scene.settings.gate_image,
            "command": ["python", "-m", "sluice.checks.runner"],
            "resources": _resources(step.resources),
        }
    )
    env: list[dict[str, Any]] = [
        {"name": "SLUICE_GATE", "value": text.replace("$", "$$")},
        {"name": "SLUICE_SPILL", "value": SPILL},
        _resource("SLUICE_MEMORY_LIMIT", "limits.memory"),
        _resource("SLUICE_CPU_LIMIT", "limits.cpu"),
    ]
    own, common = step.timeouts, scene.spec.timeouts
    limit = (own.step if own is not None else None) or (common.step if common is not None else None)
    if limit is not None:
        # Before the pod is ended, what still runs becomes an Error of its check, which says more than a pod that is gone.
        seconds = parse_duration(limit).total_seconds()
        env.append({"name": "SLUICE_GATE_TIMEOUT", "value": f"{max(1.0, seconds * SHARE_OF_TIME):g}"})
    return build_pod(
        identity,
        scene.spec,
        runner,
        status.attempt,
        values,
        scene.settings.pod_template,
        extra_env=env,
        scratch=SPILL,
    )


def _resource(name: str, resource: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"resourceFieldRef": {"containerName": STEP_CONTAINER, "resource": resource}}}


def _resources(given: Resources | None) -> Resources:
    requests = {**DEFAULT_REQUESTS, **(given.requests if given is not None else {})}
    limits = {"memory": DEFAULT_MEMORY_LIMIT, **(given.limits if given is not None else {})}
    if given is not None and "memory" in given.limits and "memory" not in given.requests:
        requests["memory"] = given.limits["memory"]
    return Resources(requests=requests, limits=limits)


def sources_of(spec: QualityGateSpec) -> set[str]:
    """Names of all data sets that the checks of a gate look at."""
    found = {source.name for source in spec.sources}
    for check in spec.data_checks():
        found.add(check.on_data.source)
        for name in type(check.on_data).model_fields:
            other = getattr(getattr(check.on_data, name), "source", None)
            if isinstance(other, str):
                found.add(other)
    return found


def _uris(step: Step, spec: QualityGateSpec, scene: Scene, values: Mapping[str, Json]) -> dict[str, str]:
    """Where data sets lie: as the step says, as the gate says (the pod knows), or at the output of a step upstream."""
    assert step.gate is not None
    uris = {name: substitute(text, values, escape=False) for name, text in step.gate.sources.items()}
    stated = {source.name for source in spec.sources if source.uri is not None}
    upstream = ancestors({one.name: one.depends_on for one in scene.spec.steps}, step.name)
    for source in spec.sources:
        if source.name not in uris and source.baseline in RUN_BASELINES:
            earlier = _earlier(source, scene)
            if earlier is not None:
                uris[source.name] = earlier
    by_run = {source.name for source in spec.sources if source.baseline in RUN_BASELINES}
    for name in sorted(sources_of(spec) - uris.keys() - stated - by_run):
        uri = values.get(f"steps.{name}.outputs.uri")
        if name in upstream and isinstance(uri, str):
            uris[name] = uri
    return uris


def _earlier(source: Source, scene: Scene) -> str | None:
    """The output uri of a step in an earlier run that succeeded: of the newest interval before ours, or of the stable revision."""
    own = scene.interval
    found: list[tuple[bool, datetime, str]] = []
    for run in scene.siblings:
        interval = run.status.interval
        if run.name == scene.identity.name or run.phase is not RunPhase.SUCCEEDED or interval is None or own is None:
            continue
        if source.baseline == "LastRun" and interval.end > own.start:
            continue
        if source.baseline == "StableRevision" and run.status.revision == scene.identity.revision:
            continue
        for step in run.status.steps:
            uri = (step.outputs or {}).get("uri")
            if step.name == source.step and isinstance(uri, str):
                found.append((interval == own, interval.end, uri))
    return max(found)[2] if found else None


def wants_runs(gates: Iterable[GateView]) -> bool:
    """Whether a gate compares with the outputs of earlier runs."""
    return any(source.baseline in RUN_BASELINES for gate in gates if gate.spec for source in gate.spec.sources)


def uses_gate(spec: DataPipelineSpec) -> set[str]:
    """Names of the gates that a pipeline's steps wait for."""
    return {step.gate.name for step in spec.all_steps() if step.gate is not None}
