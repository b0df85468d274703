"""Where Git, what is applied and what runs are not the same: one row for each object and kind of difference. Pure.

    application_view, workload_view     what is needed of an Application and of a Deployment
    drifts                              the rows

Who may read nothing but the API server does not see the repository: the head of a branch is what Argo CD saw of it last.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from sluice.api.canary_status import CanaryPhase, CanaryStatus
from sluice.api.commits import CommitRecord
from sluice.planning.canary_history import unserved
from sluice.planning.origins import short

NOT_SYNCED_AFTER: Final = timedelta(seconds=600)
"""How long Git may be ahead of what is applied, and what is applied of what runs, before it is drift."""
HELD_AFTER: Final = timedelta(hours=1)
"""How long a new revision may wait for somebody or something before it is drift."""
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
SHOWN: Final = 5
"""Fields that are named of an object; of more than these the number is told."""

Object = Mapping[str, Any]


class DriftKind(StrEnum):
    """Which two of the three differ, and how."""

    NOT_SYNCED = "NotSynced"
    """Git is ahead of what is applied."""
    UNMANAGED = "Unmanaged"
    """What is applied was changed by somebody else than Git."""
    ROLLED_BACK = "RolledBack"
    """What is applied was let in and taken out again."""
    HELD_TOO_LONG = "HeldTooLong"
    """What is applied waits."""
    NOT_RUNNING = "NotRunning"
    """What is applied is let in, and the pods are not of it."""


@dataclass(frozen=True, order=True)
class Ref:
    """An object."""

    namespace: str
    kind: str
    name: str


@dataclass(frozen=True)
class Drift:
    """One difference."""

    object: Ref
    kind: DriftKind
    since: datetime | None
    """None: nothing tells since when."""
    what: str


@dataclass(frozen=True, kw_only=True)
class ApplicationView:
    """An Application of Argo CD."""

    ref: Ref
    branch: str
    into: str
    """The namespace that it applies to, where it says one."""
    sync: str
    """Synced, OutOfSync or Unknown."""
    head: str
    """What the branch was at when Argo CD looked last."""
    applied: str
    """What the newest sync that succeeded applied."""
    tried_at: datetime | None
    """When a sync of `head` began that has not succeeded."""
    synced_at: datetime | None
    """When the newest sync that succeeded ended: Git was not ahead for longer."""
    differing: tuple[Ref, ...]
    """Its objects that are not as Git states them."""
    message: str
    """What the sync, or the look at Git, says of itself."""

    @property
    def behind(self) -> bool:
        """Whether Git states something that is not applied."""
        return self.sync == "OutOfSync" and self.head != self.applied


@dataclass(frozen=True, kw_only=True)
class CanaryState:
    """A Canary."""

    ref: Ref
    target: str
    """Name of its Deployment."""
    status: CanaryStatus


@dataclass(frozen=True, kw_only=True)
class WorkloadView:
    """A Deployment."""

    ref: Ref
    replicas: int
    updated: int
    """Pods of the template that is stated, as far as its controller has seen it."""
    paused: bool
    progressed_at: datetime | None
    """When its controller last got any further."""
    changed: tuple[str, ...]
    """Fields that are not as they were applied last."""


def application_view(obj: Object) -> ApplicationView:
    """An Application, reduced."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    sync, state = status.get("sync") or {}, status.get("operationState") or {}
    history, conditions = status.get("history") or (), status.get("conditions") or ()
    head, done = _revision(sync), _revision(state.get("syncResult") or {})
    succeeded = state.get("phase") == "Succeeded"
    newest: Object = max(history, key=lambda row: row.get("deployedAt") or "", default={})
    asked = _revision((state.get("operation") or {}).get("sync") or {}) or done
    trouble = next((row.get("message") for row in conditions if str(row.get("type", "")).endswith("Error")), None)
    said = state.get("message") if state and not succeeded else None
    return ApplicationView(
        ref=Ref(metadata.get("namespace", ""), "Application", metadata["name"]),
        branch=(spec.get("source") or {}).get("targetRevision") or "",
        into=(spec.get("destination") or {}).get("namespace") or "",
        sync=sync.get("status") or "Unknown",
        head=head,
        applied=_revision(newest) or (done if succeeded else ""),
        tried_at=_time(state.get("startedAt")) if state and not succeeded and asked == head else None,
        synced_at=_time(newest.get("deployedAt")) or (_time(state.get("finishedAt")) if succeeded else None),
        differing=tuple(
            Ref(row.get("namespace") or "", row.get("kind") or "", row.get("name") or "")
            for row in status.get("resources") or ()
            if row.get("status") == "OutOfSync"
        ),
        message=_line(trouble or said or ""),
    )


def workload_view(obj: Object) -> WorkloadView:
    """A Deployment, reduced."""
    metadata, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    progress: Object = next((row for row in status.get("conditions") or () if row.get("type") == "Progressing"), {})
    current = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    return WorkloadView(
        ref=Ref(metadata["namespace"], "Deployment", metadata["name"]),
        replicas=spec.get("replicas", 1),
        updated=status.get("updatedReplicas", 0) if current else 0,
        paused=bool(spec.get("paused")),
        progressed_at=_time(progress.get("lastUpdateTime")),
        changed=changed_fields(obj),
    )


def drifts(
    applications: Iterable[ApplicationView],
    canaries: Iterable[CanaryState],
    workloads: Mapping[tuple[str, str], WorkloadView],
    now: datetime,
    *,
    held_after: timedelta = HELD_AFTER,
) -> tuple[Drift, ...]:
    """What differs, by object. `workloads` are the Deployments by namespace and name."""
    rows: list[Drift] = []
    changed = {}
    for canary in canaries:
        target = workloads.get((canary.ref.namespace, canary.target))
        rows += (row for row in (_taken_out(canary), _held(canary, now, held_after)) if row is not None)
        rows += _not_running(canary, target, now)
        if target is not None and target.changed:
            changed[target.ref] = _fields(target.changed)
    for application in applications:
        row = _not_synced(application, now)
        if row is not None:
            rows.append(row)
        if application.sync == "OutOfSync" and not application.behind:
            rows += (
                Drift(ref, DriftKind.UNMANAGED, None, _unmanaged(application, changed.pop(ref, "")))
                for ref in application.differing or (application.ref,)
            )
    rows += (
        Drift(ref, DriftKind.UNMANAGED, None, f"not as it was applied last: {fields}")
        for ref, fields in changed.items()
    )
    return tuple(sorted(rows, key=lambda row: (row.object, row.kind)))


# -- Git and what is applied ------------------------------------------------------------------------------------------


def _not_synced(application: ApplicationView, now: datetime) -> Drift | None:
    if not application.behind:
        return None
    longest = application.tried_at or application.synced_at
    if longest is not None and now - longest <= NOT_SYNCED_AFTER:
        return None
    branch = f"{application.branch} is at" if application.branch else "Git is at"
    applied = f"{_short(application.applied)} is applied" if application.applied else "nothing was applied yet"
    why = f": {application.message}" if application.message else ""
    return Drift(
        application.ref,
        DriftKind.NOT_SYNCED,
        application.tried_at,
        f"{branch} {_short(application.head)}, {applied}{why}",
    )


def _unmanaged(application: ApplicationView, fields: str) -> str:
    where = f"not as Git states it at {_short(application.head)}, by Application {application.ref.name}"
    return f"{where}: {fields}" if fields else where


# -- what is applied and what runs ------------------------------------------------------------------------------------


def _taken_out(canary: CanaryState) -> Drift | None:
    status = canary.status
    if status.phase is not CanaryPhase.FAILED:
        return None
    failure = next((row for row in status.failed if row.revision == status.candidate_revision), None)
    why = f": {failure.reason}: {_line(failure.message)}" if failure is not None else ""
    runs = _named(status.stable_revision, status.stable_commit)
    what = f"revision {_named(status.candidate_revision, status.candidate_commit)} is applied, {runs} runs{why}"
    return Drift(canary.ref, DriftKind.ROLLED_BACK, unserved(status), what)


def _held(canary: CanaryState, now: datetime, limit: timedelta) -> Drift | None:
    status = canary.status
    if status.phase in (CanaryPhase.STABLE, CanaryPhase.FAILED):
        return None
    waits = status.since if status.phase in (CanaryPhase.HOLDING, CanaryPhase.APPROVING) else None
    paused = status.paused.since if status.paused is not None else None
    since = min((one for one in (waits, status.no_evidence_since, paused) if one is not None), default=None)
    if since is None or now - since <= limit:
        return None
    by = f", paused by {status.paused.by}" if status.paused is not None and status.paused.by else ""
    said = f"{status.reason}: {_line(status.message or '')}".rstrip(": ")
    revision = _named(status.candidate_revision, status.candidate_commit)
    return Drift(canary.ref, DriftKind.HELD_TOO_LONG, since, f"revision {revision} is {status.phase}{by}: {said}")


def _not_running(canary: CanaryState, target: WorkloadView | None, now: datetime) -> Iterator[Drift]:
    """A target whose revision is let in, or that no Canary holds yet, runs it with all its pods before long."""
    if canary.status.phase not in (CanaryPhase.STABLE, CanaryPhase.WAITING):
        return
    if target is None:
        since = canary.status.since
        if since is not None and now - since > NOT_SYNCED_AFTER:
            yield Drift(canary.ref, DriftKind.NOT_RUNNING, since, f'there is no Deployment "{canary.target}"')
        return
    late = target.progressed_at is None or now - target.progressed_at > NOT_SYNCED_AFTER
    if target.updated < target.replicas and late:
        paused = ", and it is paused" if target.paused else ""
        what = f"{target.updated} of {target.replicas} pods are of the template that is applied{paused}"
        yield Drift(target.ref, DriftKind.NOT_RUNNING, target.progressed_at, what)


# -- what was applied last and what is there --------------------------------------------------------------------------


def changed_fields(obj: Object) -> tuple[str, ...]:
    """Fields of the spec, and labels, that are not as they were applied last; none where nothing tells how that was.

    Fields that were not stated then are anybody's. Values are not told: they may be what nobody should read."""
    text = (obj["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        stated = json.loads(text) if text else None
    except ValueError:
        return ()
    if not isinstance(stated, Mapping):
        return ()
    labels = (stated.get("metadata") or {}).get("labels")
    return (
        *_compare("metadata.labels", labels, obj["metadata"].get("labels")),
        *_compare("spec", stated.get("spec"), obj.get("spec")),
    )


def _compare(path: str, stated: Any, live: Any) -> Iterator[str]:
    if stated is None or (not stated and live is None):
        return  # nothing is asked for
    if isinstance(stated, Mapping) and isinstance(live, Mapping):
        for key, value in stated.items():
            yield from _compare(f"{path}.{key}", value, live.get(key))
    elif isinstance(stated, list) and isinstance(live, list):
        yield from _compare_items(path, stated, live)
    elif stated != live and not _same_value(path, stated, live):
        yield path


def _compare_items(path: str, stated: Sequence[Any], live: Sequence[Any]) -> Iterator[str]:
    named = [row for row in (*stated, *live) if isinstance(row, Mapping) and "name" in row]
    if len(named) == len(stated) + len(live):
        there = {row["name"]: row for row in live}
        for row in stated:
            yield from _compare(f"{path}[{row['name']}]", row, there.get(row["name"]))
        known = {row["name"] for row in stated}
        yield from (f"{path}[{name}]" for name in there if name not in known)
    elif len(stated) != len(live):
        yield path
    else:
        for place, (one, other) in enumerate(zip(stated, live, strict=True)):
            yield from _compare(f"{path}[{place}]", one, other)


_SUFFIXES: Final = {
    "": Decimal(1),
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    **{unit: Decimal(10) ** (3 * power) for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(2) ** (10 * power) for power, unit in enumerate("KMGTPE", start=1)},
}
_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]?|[KMGTPE]i)")


def _same_value(path: str, stated: Any, live: Any) -> bool:
    """Whether the API server has only written a quantity in its own way: 1000m as 1."""
    if not re.search(r"\.(resources|sizeLimit)\b", path):
        return False
    found = [_QUANTITY.fullmatch(str(value)) for value in (stated, live)]
    sizes = [Decimal(match[1]) * _SUFFIXES[match[2]] for match in found if match is not None]
    return len(sizes) == 2 and sizes[0] == sizes[1]


# -- words ------------------------------------------------------------------------------------------------------------


def _fields(changed: Sequence[str]) -> str:
    more = len(changed) - SHOWN
    return ", ".join(changed[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _named(revision: str | None, commit: CommitRecord | None) -> str:
    said = revision or "not known"
    return f"{said} ({short(commit.id)})" if commit is not None and commit.id else said


def _short(revision: str) -> str:
    return ", ".join(short(one) for one in revision.split(", "))


def _revision(row: Object) -> str:
    """The commit of a source, or the commits of several."""
    return row.get("revision") or ", ".join(row.get("revisions") or ())


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
