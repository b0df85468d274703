"""What is refused at the door. The rules are `sluice.planning.validation`'s; here they meet what is in the cluster."""

from typing import Any

import kopf

from sluice.api.canary import CanarySpec
from sluice.api.run import PipelineRunSpec, Rerun
from sluice.api.schema import FieldError, invalid, not_found
from sluice.kube.client import KubeClient
from sluice.kube.errors import KubeError, NotFound
from sluice.kube.resources import CONTROLLER_REVISIONS, DATA_PIPELINES, PIPELINE_RUNS
from sluice.kube.store import Store
from sluice.planning.canary_checks import check_change, check_others
from sluice.planning.canary_scene import CanaryView
from sluice.planning.rerun import check_from, check_rerun
from sluice.planning.validation import check_manifest, check_run, check_run_change
from sluice.planning.views import PipelineView
from sluice.reconcile.caches import BY_NAMESPACE, project_pipeline, project_revision, project_run

INVALID = 422


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise kopf.AdmissionError("\n".join(str(error) for error in errors), code=INVALID)


def review_object(manifest: dict[str, Any]) -> None:
    """Raise AdmissionError for a DataPipeline, a QualityGate or a metric source that cannot work."""
    if "deletionTimestamp" not in manifest["metadata"]:
        _refuse(check_manifest(manifest))


def review_canary(canaries: Store[CanaryView], manifest: dict[str, Any], old: dict[str, Any] | None) -> None:
    """Raise AdmissionError for a Canary that cannot work, alone or beside the others of its namespace."""
    if "deletionTimestamp" in manifest["metadata"]:
        return
    _refuse(check_manifest(manifest))
    spec = CanarySpec.model_validate(manifest["spec"])
    if old is not None:
        _refuse(check_change(old.get("spec") or {}, spec))
    name, namespace = manifest["metadata"].get("name") or "", manifest["metadata"].get("namespace") or "default"
    others = [view for view in canaries.by_index(BY_NAMESPACE, namespace) if not view.deleting]
    _refuse(check_others(name, spec, [(view.name, view.spec) for view in others if view.spec is not None]))


async def review_run(
    client: KubeClient, pipelines: Store[PipelineView], manifest: dict[str, Any], old: dict[str, Any] | None
) -> None:
    """Raise AdmissionError for a PipelineRun that cannot work, or a change that is not allowed.

    What the cache knows of the pipeline is enough to accept a run, since whoever carries it out checks it again. To
    refuse one, the pipeline is read: the cache may lag behind.
    """
    if old is not None:
        _refuse(check_run_change(old.get("spec") or {}, manifest.get("spec") or {}))
        return
    _refuse(check_manifest(manifest))
    spec = PipelineRunSpec.model_validate(manifest["spec"])
    namespace = manifest["metadata"].get("namespace") or "default"
    if spec.rerun is not None:
        await _review_rerun(client, namespace, spec, spec.rerun)
    known = pipelines.get(namespace, spec.pipeline.name)
    if known is not None and known.spec is not None and not check_run(spec, known.spec):
        return
    try:
        found = await client.get(DATA_PIPELINES, namespace, spec.pipeline.name, timeout=3)
    except NotFound:
        _refuse([not_found("spec.pipeline.name", spec.pipeline.name, f"no such DataPipeline in namespace {namespace}")])
        return
    except KubeError as error:
        raise kopf.AdmissionError(f"the pipeline cannot be read: {error}", code=503) from error
    pipeline = project_pipeline(found)
    if pipeline.spec is not None:
        _refuse(check_run(spec, pipeline.spec))


async def _review_rerun(client: KubeClient, namespace: str, spec: PipelineRunSpec, rerun: Rerun) -> None:
    """Raise AdmissionError for a rerun of what cannot be run again."""
    try:
        old = project_run(await client.get(PIPELINE_RUNS, namespace, rerun.of, timeout=3))
    except NotFound:
        _refuse([not_found("spec.rerun.of", rerun.of, f"no such PipelineRun in namespace {namespace}")])
        return
    except KubeError as error:
        raise kopf.AdmissionError(f"the run to run again cannot be read: {error}", code=503) from error
    _refuse(check_rerun(spec, old))
    revision = old.status.revision or ""
    try:
        found = project_revision(await client.get(CONTROLLER_REVISIONS, namespace, revision, timeout=3))
    except NotFound:
        gone = f'its revision "{revision}" is gone; make another run instead'
        _refuse([invalid("spec.rerun.of", rerun.of, gone)])
        return
    except KubeError as error:
        raise kopf.AdmissionError(f"the revision of the run cannot be read: {error}", code=503) from error
    if found.spec is not None:
        _refuse(check_from(rerun, found.spec))
