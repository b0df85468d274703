"""Where the revisions of a canary come from: what is asked about their commits, and what is put on record. Pure.

It is asked once for each revision, beside everything else: no move of a canary waits for the answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.api.canary_status import CanaryStatus
from sluice.planning.canary_actions import ReadCommit
from sluice.planning.canary_scene import CanaryScene
from sluice.planning.write_back import short

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Applied:
    """What an Argo CD Application says of where it comes from."""

    commit: str = ""
    repository: str = ""
    path: str = ""
    problem: str = ""


def with_commits(scene: CanaryScene, status: CanaryStatus) -> CanaryStatus:
    """The status with the commits of its revisions, as far as they are known."""
    known = dict(scene.commits)
    known |= {row.revision: row for row in (status.stable_commit, status.candidate_commit) if row is not None}
    stable = known.get(status.stable_revision or "")
    candidate = known.get(status.candidate_revision or "")
    newest = next((row.id for row in (candidate, stable) if row is not None and row.id), None)
    update = {
        "stable_commit": stable,
        "candidate_commit": candidate,
        "commit": short(newest) if newest is not None else None,
    }
    return status.model_copy(update=update)


def asked(scene: CanaryScene, status: CanaryStatus) -> tuple[ReadCommit, ...]:
    """What has to be found out. Only what the target states now can be: of an earlier revision nothing tells any more."""
    target = scene.target
    if target is None or not target.origin.known:
        return ()
    wanted = {status.stable_revision, status.candidate_revision}
    known = {row.revision for row in (status.stable_commit, status.candidate_commit) if row is not None}
    if target.revision not in wanted - known:
        return ()
    rule = scene.canary.spec.write_back if scene.canary.spec is not None else None
    secret = rule.secret.name if rule is not None and rule.secret is not None else None
    return (ReadCommit(target.revision, target.origin, rule.repository if rule is not None else None, secret),)


def application_of(tracking: str, namespace: str, name: str) -> str:
    """The Application that a tracking id names; empty where it is that of another object, as on a copy."""
    application, _, rest = tracking.partition(":")
    return application if rest == f"apps/Deployment:{namespace}/{name}" else ""


def is_commit(text: str) -> bool:
    """Whether it is the whole id of a commit."""
    return _ID.fullmatch(text) is not None


def applied(application: Mapping[str, Any]) -> Applied:
    """What an Application has applied, or is applying at this moment. While a sync runs, only the operation tells."""
    spec, status = application.get("spec") or {}, application.get("status") or {}
    if spec.get("sources"):
        return Applied(problem="the Application has several sources, so that its commit is not known")
    source, sync, state = spec.get("source") or {}, status.get("sync") or {}, status.get("operationState") or {}
    if source.get("chart"):
        return Applied(problem="the Application is a chart of a Helm repository, which has no commits")
    asked_for = (((state.get("operation") or {}).get("sync")) or {}).get("revision") or ""
    done = (state.get("syncResult") or {}).get("revision") or ""
    running = (asked_for,) if state.get("phase") == "Running" else ()
    found = next((one for one in (*running, done, sync.get("revision") or "") if is_commit(one)), "")
    path = str(source.get("path") or "").strip("/")
    return Applied(
        commit=found,
        repository=source.get("repoURL") or "",
        path="" if path == "." else path,
        problem="" if found else "the Application has not said which commit it applies",
    )
