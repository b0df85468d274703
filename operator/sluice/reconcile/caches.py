"""What the operator knows of the cluster: one cache a resource, each holding what the planner needs and no more."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from sluice.api.base import Model
from sluice.api.canary import CanarySpec
from sluice.api.canary_status import CanaryStatus
from sluice.api.gate import QualityGateSpec, QualityGateStatus
from sluice.api.metric_source import MetricSourceSpec, MetricSourceStatus
from sluice.api.names import (
    ANNOTATION_CONTROL,
    ANNOTATION_CONTROL_BY,
    FINALIZER_CANARY,
    LABEL_PIPELINE,
    LABEL_TRIGGER,
    TRIGGER_SCHEDULE,
)
from sluice.api.pipeline import DataPipelineSpec, DataPipelineStatus
from sluice.api.run import PipelineRunSpec, PipelineRunStatus
from sluice.kube.pods import project_pod
from sluice.kube.store import Store
from sluice.planning.canary_checks import check_canary
from sluice.planning.canary_controls import requested
from sluice.planning.canary_scene import SLOT_PHASES, CanaryView
from sluice.planning.canary_spec import gate_names, steered
from sluice.planning.observed import PodView
from sluice.planning.origins import stated_origin
from sluice.planning.views import GateView, PipelineView, RevisionView, RunView, SourceView
from sluice.reconcile.workloads import (
    DeploymentRow,
    RouteRow,
    ServiceRow,
    project_deployment,
    project_route,
    project_service,
)
from sluice.telemetry.logs import get_logger

ModelT = TypeVar("ModelT", bound=Model)

log = get_logger(__name__)

BY_RUN = "run"
BY_PIPELINE = "pipeline"
LIVE_BY_PIPELINE = "live"
"""Runs that have not ended."""
BY_GATE = "gate"
"""Runs with a step that evaluates, or has evaluated, a gate; canaries that are judged by one."""
BY_TARGET = "target"
BY_ROUTE = "route"
BY_NEED = "need"
"""Canaries by those that they depend on."""
BY_CANARY = "canary"
"""Deployments by the Canary whose target they are."""
BY_CANDIDATE = "candidate"
"""Deployments by the Canary whose candidate they are."""
BY_NAMESPACE = "namespace"
UNDER_WAY = "underWay"
"""Canaries that take one of the places for rollouts."""
WAITING_BY_PIPELINE = "waiting"
"""Runs that have not started, nor ended."""


def project_pipeline(obj: Mapping[str, Any]) -> PipelineView:
    """A DataPipeline as the planner sees it. A spec that cannot be read is kept as such, with the problem."""
    metadata, raw = obj["metadata"], obj.get("spec") or {}
    spec, problem = None, ""
    try:
        spec = DataPipelineSpec.model_validate(raw)
    except ValidationError as error:
        problem = _problem(error)
    return PipelineView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        raw_spec=raw,
        spec=spec,
        problem=problem,
        status=_pipeline_status(obj.get("status") or {}),
        origin=stated_origin(metadata.get("annotations") or {}),
    )


def _pipeline_status(raw: dict[str, Any]) -> DataPipelineStatus:
    try:
        return DataPipelineStatus.model_validate(raw)
    except ValidationError:
        # Somebody else wrote into it. All of it can be found out again, but for the tick: missed ticks follow catchUp.
        return DataPipelineStatus()


def project_run(obj: Mapping[str, Any]) -> RunView:
    """A PipelineRun as the planner sees it."""
    metadata = obj["metadata"]
    spec, problem = None, ""
    status, readable = PipelineRunStatus(), True
    try:
        spec = PipelineRunSpec.model_validate(obj.get("spec") or {})
    except ValidationError as error:
        problem = _problem(error)
    try:
        status = PipelineRunStatus.model_validate(obj.get("status") or {})
    except ValidationError as error:
        readable = False
        name = f"{metadata['namespace']}/{metadata['name']}"
        log.warning(
            "the status of a run cannot be read; the run is left alone", run=name, problem=_problem(error, "status")
        )
    return RunView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        owned=bool(metadata.get("ownerReferences")),
        scheduled=(metadata.get("labels") or {}).get(LABEL_TRIGGER) == TRIGGER_SCHEDULE,
        spec=spec,
        problem=problem,
        status=status,
        readable=readable,
    )


def project_revision(obj: Mapping[str, Any]) -> RevisionView:
    """A ControllerRevision as the planner sees it."""
    metadata = obj["metadata"]
    spec: DataPipelineSpec | None = None
    with contextlib.suppress(ValidationError):
        spec = DataPipelineSpec.model_validate((obj.get("data") or {}).get("spec"))
    owners = metadata.get("ownerReferences") or []
    return RevisionView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        pipeline=(metadata.get("labels") or {}).get(LABEL_PIPELINE, ""),
        pipeline_uid=owners[0]["uid"] if owners else "",
        number=obj.get("revision", 0),
        spec=spec,
    )


def project_gate(obj: Mapping[str, Any]) -> GateView:
    """A QualityGate as the planner sees it."""
    metadata, raw = obj["metadata"], obj.get("spec") or {}
    spec, problem = _read(QualityGateSpec, raw)
    return GateView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        deleting="deletionTimestamp" in metadata,
        raw_spec=raw,
        spec=spec,
        problem=problem,
        status=_status(QualityGateStatus, obj),
    )


def project_source(obj: Mapping[str, Any]) -> SourceView:
    """A MetricSource or a ClusterMetricSource as the operator sees it."""
    metadata = obj["metadata"]
    spec, problem = _read(MetricSourceSpec, obj.get("spec") or {})
    return SourceView(
        namespace=metadata.get("namespace") or "",
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        spec=spec,
        problem=problem,
        status=_status(MetricSourceStatus, obj),
    )


def project_canary(obj: Mapping[str, Any]) -> CanaryView:
    """A Canary as the planner sees it. A status that cannot be read must not be taken for that of a new Canary.

    A spec that admission would refuse counts as one that cannot be read: admission was off, or older than the rule.
    """
    metadata, notes = obj["metadata"], obj["metadata"].get("annotations") or {}
    spec, problem = _read(CanarySpec, obj.get("spec") or {})
    if spec is not None and (errors := check_canary(spec)):
        spec, problem = None, str(errors[0])
    status, readable = CanaryStatus(), True
    try:
        status = CanaryStatus.model_validate(obj.get("status") or {})
    except ValidationError as error:
        readable = False
        name = f"{metadata['namespace']}/{metadata['name']}"
        log.warning(
            "the status of a canary cannot be read; it is left alone", canary=name, problem=_problem(error, "status")
        )
    return CanaryView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        deleting="deletionTimestamp" in metadata,
        spec=spec,
        problem=problem,
        status=status,
        finalized=FINALIZER_CANARY in (metadata.get("finalizers") or ()),
        readable=readable,
        control=requested(notes.get(ANNOTATION_CONTROL), notes.get(ANNOTATION_CONTROL_BY)),
    )


def _read(model: type[ModelT], raw: dict[str, Any]) -> tuple[ModelT | None, str]:
    """(spec, problem): one of the two."""
    try:
        return model.model_validate(raw), ""
    except ValidationError as error:
        return None, _problem(error)


def _status(model: type[ModelT], obj: Mapping[str, Any]) -> ModelT:
    """A status all of which can be found out again; what somebody else wrote into it is passed over."""
    try:
        return model.model_validate(obj.get("status") or {})
    except ValidationError:
        return model()


def _problem(error: ValidationError, part: str = "spec") -> str:
    rows = [f"{part}.{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors()[:3]]
    return "; ".join(rows)


@dataclass(frozen=True)
class Caches:
    """All of them."""

    pipelines: Store[PipelineView]
    runs: Store[RunView]
    revisions: Store[RevisionView]
    pods: Store[PodView]
    gates: Store[GateView]
    sources: Store[SourceView]
    """MetricSources."""
    cluster_sources: Store[SourceView]
    canaries: Store[CanaryView]
    deployments: Store[DeploymentRow]
    services: Store[ServiceRow]
    http_routes: Store[RouteRow]
    grpc_routes: Store[RouteRow]

    def target_of(self, view: CanaryView) -> DeploymentRow | None:
        """The target of a canary; without a spec that can be read, what was adopted before."""
        if view.spec is not None:
            found = self.deployments.get(view.namespace, view.spec.target.name)
        else:
            found = next(iter(self.deployments.by_index(BY_CANARY, (view.namespace, view.name))), None)
        return found if found is not None and not found.deleting else None

    def routes(self, kind: str) -> Store[RouteRow]:
        """The routes of a kind."""
        return self.grpc_routes if kind == "GRPCRoute" else self.http_routes

    @classmethod
    def empty(cls) -> "Caches":
        """Caches that know nothing yet."""
        return cls(
            pipelines=Store("datapipelines", project_pipeline),
            runs=Store(
                "pipelineruns",
                project_run,
                indices={
                    BY_PIPELINE: lambda run: [(run.namespace, run.pipeline)],
                    LIVE_BY_PIPELINE: lambda run: [] if run.phase.ended else [(run.namespace, run.pipeline)],
                    WAITING_BY_PIPELINE: lambda run: [(run.namespace, run.pipeline)] if run.waiting else [],
                    BY_GATE: lambda run: {(run.namespace, step.gate.name) for step in run.status.steps if step.gate},
                },
            ),
            revisions=Store(
                "controllerrevisions",
                project_revision,
                indices={BY_PIPELINE: lambda revision: [(revision.namespace, revision.pipeline)]},
            ),
            pods=Store("pods", project_pod, indices={BY_RUN: lambda pod: [(pod.namespace, pod.run)]}),
            gates=Store("qualitygates", project_gate),
            sources=Store("metricsources", project_source),
            cluster_sources=Store("clustermetricsources", project_source),
            canaries=Store(
                "canaries",
                project_canary,
                indices={
                    BY_TARGET: lambda view: [(view.namespace, view.spec.target.name)] if view.spec is not None else [],
                    BY_NAMESPACE: lambda view: [view.namespace],
                    BY_ROUTE: lambda view: [
                        (view.namespace, kind, name) for kind, name, *_ in steered(view.spec, view.status.routes)
                    ],
                    BY_GATE: lambda view: [(view.namespace, name) for name in gate_names(view.spec)],
                    BY_NEED: lambda view: (
                        [(view.namespace, need.name) for need in view.spec.depends_on] if view.spec is not None else []
                    ),
                    UNDER_WAY: lambda view: [""] if view.status.phase in SLOT_PHASES else [],
                },
            ),
            deployments=Store(
                "deployments",
                project_deployment,
                indices={
                    BY_CANARY: lambda row: [(row.namespace, row.canary)] if row.canary else [],
                    BY_CANDIDATE: lambda row: [(row.namespace, row.candidate_of)] if row.candidate_of else [],
                },
            ),
            services=Store("services", project_service, indices={BY_NAMESPACE: lambda row: [row.namespace]}),
            http_routes=Store("httproutes", project_route("HTTPRoute")),
            grpc_routes=Store("grpcroutes", project_route("GRPCRoute")),
        )
