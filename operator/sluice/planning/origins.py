"""Where a revision comes from: what an object says of its commit, and what an Argo CD Application says. Pure.

It is asked once for each revision, beside everything else: nothing waits for the answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.api import names

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class StatedOrigin:
    """What the annotations of an object say."""

    commit: str = ""
    """`sluice.dev/commit`, the commit it comes from."""
    repository: str = ""
    """`sluice.dev/repository`, the repository of that commit."""
    tracking: str = ""
    """How Argo CD knows it."""


NOTHING_STATED = StatedOrigin()


def stated_origin(annotations: Mapping[str, str]) -> StatedOrigin:
    """What is stated; each is empty where it is not."""
    keys = (names.ANNOTATION_COMMIT, names.ANNOTATION_REPOSITORY, names.ANNOTATION_TRACKING)
    return StatedOrigin(*(annotations.get(key, "") for key in keys))


@dataclass(frozen=True)
class Origin:
    """What an object says of the commit that it comes from."""

    commit: str = ""
    """The annotation `sluice.dev/commit`."""
    repository: str = ""
    """The annotation `sluice.dev/repository`."""
    application: str = ""
    """Name of the Argo CD Application that applies it, where Argo CD may be asked."""

    @property
    def known(self) -> bool:
        """Whether it says anything."""
        return bool(self.commit or self.application)


NOWHERE = Origin()


@dataclass(frozen=True)
class ReadCommit:
    """Find out about the commit of a revision. Under way already, or known: nothing more is done."""

    revision: str
    origin: Origin
    repository: str | None
    """The repository that the spec names."""
    secret: str | None


@dataclass(frozen=True)
class Applied:
    """What an Argo CD Application says of where it comes from."""

    commit: str = ""
    repository: str = ""
    path: str = ""
    problem: str = ""


def application_of(tracking: str, kind: str, namespace: str, name: str) -> str:
    """The Application that a tracking id names; empty where it is that of another object, as on a copy. `kind` is as in
    `apps/Deployment`."""
    application, _, rest = tracking.partition(":")
    return application if rest == f"{kind}:{namespace}/{name}" else ""


def short(commit: str) -> str:
    """The first eight digits of a commit's id."""
    return commit[:8]


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
