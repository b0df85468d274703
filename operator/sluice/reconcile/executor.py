"""Carries out actions, and decides nothing. Every action can be done twice, or be found done already."""

import asyncio
from collections.abc import Iterable
from typing import Any

from sluice.api import names
from sluice.api.reasons import Reason
from sluice.kube.client import KubeClient
from sluice.kube.clock import Clock
from sluice.kube.errors import AlreadyExists, Attempt, Conflict, Forbidden, Invalid, KubeError, NotFound, QuotaExceeded
from sluice.kube.resources import CONTROLLER_REVISIONS, DATA_PIPELINES, PIPELINE_RUNS, PODS, Resource
from sluice.planning.actions import (
    Action,
    AdoptRun,
    CancelRun,
    CreatePod,
    CreateRevision,
    CreateRun,
    DeleteRevision,
    DeleteRun,
    ReadPipelineCommit,
    StopPod,
    TakeLook,
)
from sluice.planning.views import Refusal
from sluice.reconcile.caches import Caches
from sluice.reconcile.commits import Commits
from sluice.reconcile.measurer import Measurer
from sluice.reconcile.queue import Key
from sluice.telemetry.logs import get_logger

log = get_logger(__name__)


class StaleNamesake(KubeError):
    """An object of the wanted name belongs to a deleted owner of the same name; it goes soon."""

    retryable = True


class Executor:
    """Does what plans ask for in one namespace after the other."""

    def __init__(self, client: KubeClient, caches: Caches, clock: Clock, measurer: Measurer, commits: Commits) -> None:
        self._client = client
        self._caches = caches
        self._clock = clock
        self._measurer = measurer
        self._commits = commits
        self.refusals: dict[tuple[str, str], dict[str, Refusal]] = {}
        """Refusals of pods, by (namespace, run) and pod name. Lost on a restart, and then found out again."""

    async def run(self, namespace: str, actions: Iterable[Action]) -> None:
        """Do all `actions`, side by side. Raises the first error when all have been tried."""
        results = await asyncio.gather(*(self._do(namespace, action) for action in actions), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _do(self, namespace: str, action: Action) -> None:
        match action:
            case CreatePod():
                await self._create_pod(namespace, action)
            case StopPod():
                await self._stop_pod(namespace, action)
            case TakeLook():
                self._measurer.start(namespace, action)
            case AdoptRun():
                await self._adopt(namespace, action)
            case CancelRun():
                patch = {"metadata": {"uid": action.uid}, "spec": {"cancel": True}}
                await self._patch_run(namespace, action.run, patch)
            case CreateRevision():
                await self._create_revision(namespace, action)
            case CreateRun():
                await self._create_run(namespace, action)
            case DeleteRun():
                await self._client.delete(PIPELINE_RUNS, namespace, action.name, uid=action.uid)
                log.info("removed a run beyond the retention limit", run=action.name)
            case ReadPipelineCommit():
                self._commits.read(Key(DATA_PIPELINES.kind, namespace, action.pipeline), action.uid, action.read)
            case DeleteRevision():
                await self._client.delete(CONTROLLER_REVISIONS, namespace, action.name, uid=action.uid)

    async def _create_pod(self, namespace: str, action: CreatePod) -> None:
        metadata = action.manifest["metadata"]
        run = (namespace, metadata["labels"][names.LABEL_RUN])
        try:
            pod = await self._client.create(PODS, namespace, action.manifest)
        except AlreadyExists:
            pod = await self._client.get(PODS, namespace, metadata["name"])
            if not _same_pod(pod, action.manifest):
                self._refuse(run, metadata["name"], Reason.NAME_TAKEN, "a foreign pod has this name")
                return
        except QuotaExceeded as error:
            self._refuse(run, metadata["name"], Reason.QUOTA_EXCEEDED, error.message)
            return
        except (Invalid, Forbidden) as error:
            if error.retryable:
                raise
            self._refuse(run, metadata["name"], Reason.POD_REJECTED, error.message)
            return
        self.refusals.get(run, {}).pop(metadata["name"], None)
        self._caches.pods.upsert(pod)
        log.info("created pod", pod=metadata["name"], step=action.step, attempt=action.attempt)

    def _refuse(self, run: tuple[str, str], pod: str, reason: Reason, message: str) -> None:
        self.refusals.setdefault(run, {})[pod] = Refusal(pod, message, reason, self._clock.now())
        log.warning("pod refused", pod=pod, reason=reason, problem=message)

    async def _stop_pod(self, namespace: str, action: StopPod) -> None:
        try:
            if action.delete:
                await self._client.delete(PODS, namespace, action.name, uid=action.uid)
            else:
                patch = {"metadata": {"uid": action.uid}, "spec": {"activeDeadlineSeconds": 1}}
                self._caches.pods.upsert(await self._client.patch_merge(PODS, namespace, action.name, patch))
        except (NotFound, Conflict):
            return  # it is gone, or another has its name: nothing of ours is left to stop
        log.info("stopping pod", pod=action.name)

    async def _adopt(self, namespace: str, action: AdoptRun) -> None:
        labels = {names.LABEL_PIPELINE: action.pipeline}
        if action.rerun_of is not None:
            labels[names.LABEL_RERUN_OF] = action.rerun_of
        patch = {
            "metadata": {
                "uid": action.uid,
                "labels": labels,
                "ownerReferences": [_owner("DataPipeline", action.pipeline, action.pipeline_uid)],
            }
        }
        await self._patch_run(namespace, action.run, patch)

    async def _patch_run(self, namespace: str, name: str, patch: dict[str, Any]) -> None:
        try:
            self._caches.runs.upsert(await self._client.patch_merge(PIPELINE_RUNS, namespace, name, patch))
        except NotFound:
            return  # it is gone, and with it the reason

    async def _create_revision(self, namespace: str, action: CreateRevision) -> None:
        body = {
            "apiVersion": CONTROLLER_REVISIONS.api_version,
            "kind": CONTROLLER_REVISIONS.kind,
            "metadata": {
                "name": action.name,
                "namespace": namespace,
                "labels": {names.LABEL_PIPELINE: action.pipeline, names.LABEL_MANAGED_BY: names.FIELD_MANAGER},
                "ownerReferences": [_owner("DataPipeline", action.pipeline, action.pipeline_uid)],
            },
            "revision": action.number,
            "data": {"spec": action.data},
        }
        try:
            created = await self._client.create(CONTROLLER_REVISIONS, namespace, body)
        except AlreadyExists:
            created = await self._client.get(CONTROLLER_REVISIONS, namespace, action.name)
            if not created["metadata"].get("ownerReferences"):
                # Left behind by a deletion that spared children (--cascade=orphan). The name is a hash of the content.
                await self._client.delete(CONTROLLER_REVISIONS, namespace, action.name, uid=created["metadata"]["uid"])
                created = await self._client.create(CONTROLLER_REVISIONS, namespace, body)
            _check_owner(CONTROLLER_REVISIONS, created, action.pipeline_uid)
        self._caches.revisions.upsert(created)

    async def _create_run(self, namespace: str, action: CreateRun) -> None:
        body = {
            "apiVersion": names.API_VERSION,
            "kind": PIPELINE_RUNS.kind,
            "metadata": {
                "name": action.name,
                "namespace": namespace,
                "labels": {
                    names.LABEL_PIPELINE: action.pipeline,
                    names.LABEL_TRIGGER: names.TRIGGER_SCHEDULE,
                    names.LABEL_MANAGED_BY: names.FIELD_MANAGER,
                },
                "ownerReferences": [_owner("DataPipeline", action.pipeline, action.pipeline_uid)],
            },
            "spec": action.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True),
        }
        try:
            created = await self._client.create(PIPELINE_RUNS, namespace, body)
        except AlreadyExists:
            created = await self._client.get(PIPELINE_RUNS, namespace, action.name)
            _check_owner(PIPELINE_RUNS, created, action.pipeline_uid)
        else:
            log.info("created run", run=action.name, due=action.due.isoformat())
        self._caches.runs.upsert(created)


def _owner(kind: str, name: str, uid: str) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _same_pod(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the pod that has the name is the one that was meant: same run, same content (safety rule 1)."""
    labels = found["metadata"].get("labels") or {}
    annotations = found["metadata"].get("annotations") or {}
    return bool(
        labels.get(names.LABEL_RUN_UID) == wanted["metadata"]["labels"][names.LABEL_RUN_UID]
        and annotations.get(names.ANNOTATION_SPEC_HASH) == wanted["metadata"]["annotations"][names.ANNOTATION_SPEC_HASH]
    )


def _check_owner(resource: Resource, found: dict[str, Any], uid: str) -> None:
    metadata = found["metadata"]
    if not any(owner["uid"] == uid for owner in metadata.get("ownerReferences") or []):
        attempt = Attempt("create", resource.label, metadata["namespace"], metadata["name"])
        raise StaleNamesake(attempt, "one of this name belongs to an earlier pipeline")
