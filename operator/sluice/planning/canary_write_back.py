"""What a rollback leads to in Git: on record in the status before it is done, so that it is done once. Pure.

Which commit is taken back, and whether it still has to be, is decided on the branch as it is then (`write_back`). Here it is
decided that it is looked at at all.
"""

from dataclasses import dataclass
from typing import Final

from sluice.api.canary import WriteBack
from sluice.api.canary_status import CanaryPhase, CanaryStatus, WriteBackRecord
from sluice.api.reasons import CanaryReason
from sluice.planning.actions import Occurrence
from sluice.planning.canary_actions import TakeBack
from sluice.planning.canary_scene import CanaryScene
from sluice.planning.git_work import Reasons, heard, noted, told
from sluice.planning.write_back import RolledBack

_WRITES: Final = (CanaryPhase.ROLLING_BACK, CanaryPhase.FAILED)
"""Phases in which Git states a revision that has failed."""


_REASONS: Final = Reasons(CanaryReason.WRITTEN_BACK, CanaryReason.WRITE_BACK_NOT_NEEDED, CanaryReason.WRITE_BACK_FAILED)


@dataclass(frozen=True)
class Writing:
    """Where the work in Git stands."""

    status: CanaryStatus
    actions: tuple[TakeBack, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()


def write_back(scene: CanaryScene, status: CanaryStatus) -> Writing:
    """The status with the record of what is done in Git, and what is to be done now."""
    record = _begun(scene, status)
    if record is None or record.state != "Pending":
        return Writing(status)
    record, action = _next(scene, status, record)
    changed = status.model_copy(update={"write_back": record})
    return Writing(
        changed, (action,) if action is not None else (), told(scene.canary.status.write_back, record, _REASONS)
    )


def _rule(scene: CanaryScene) -> WriteBack | None:
    rule = scene.canary.spec.write_back if scene.canary.spec is not None else None
    return rule if rule is not None and rule.on_rollback != "None" else None


def _begun(scene: CanaryScene, status: CanaryStatus) -> WriteBackRecord | None:
    """The record. One begins while a revision that a gate said no to is taken out: later, the failure is an old one."""
    record, revision = status.write_back, status.candidate_revision
    if status.phase is not CanaryPhase.ROLLING_BACK or _rule(scene) is None or revision is None:
        return record
    failure = next((row for row in status.failed if row.revision == revision), None)
    if failure is None or failure.reason != CanaryReason.GATE_FAILED:
        return record
    if record is not None and record.round == status.round:
        return record
    return WriteBackRecord(round=status.round, revision=revision)


def _next(scene: CanaryScene, status: CanaryStatus, record: WriteBackRecord) -> tuple[WriteBackRecord, TakeBack | None]:
    record, goes_on = heard(record, scene.write_back)
    if not goes_on:
        return record, None
    rule = _rule(scene)
    if rule is None:
        return noted(record, state="NotNeeded", message="the Canary does not ask for it any more"), None
    if record.round != status.round or status.phase not in _WRITES:
        return noted(record, state="NotNeeded", message=f"the Canary is {status.phase} by now"), None
    return _ordered(scene, status, record, rule)


def _ordered(
    scene: CanaryScene, status: CanaryStatus, record: WriteBackRecord, rule: WriteBack
) -> tuple[WriteBackRecord, TakeBack | None]:
    rows = {row.revision: row for row in (status.stable_commit, status.candidate_commit) if row is not None}
    commit, stable = rows.get(record.revision), rows.get(status.stable_revision or "")
    if commit is None:
        target = scene.target
        if target is not None and target.revision == record.revision and target.origin.known:
            return record, None  # it is being asked for
        message = "the target does not say which commit it comes from, by sluice.dev/commit or by Argo CD"
        return noted(record, state="Failed", message=message), None
    if not commit.id:
        return noted(record, state="Failed", message=f"the commit is not known: {commit.problem}"), None
    repository = rule.repository or commit.repository
    if not repository:
        return noted(record, state="Failed", message="the repository is not known: state writeBack.repository"), None
    failure = next((row for row in status.failed if row.revision == record.revision), None)
    wanted = RolledBack(
        canary=f"{scene.canary.namespace}/{scene.canary.name}",
        revision=record.revision,
        commit=commit.id,
        stable=(stable.id or None) if stable is not None else None,
        reason=failure.reason if failure is not None else CanaryReason.GATE_FAILED,
        message=failure.message if failure is not None else "",
    )
    action = TakeBack(
        round=record.round,
        attempt=record.attempt,
        repository=repository,
        branch=rule.branch,
        path=rule.path or commit.path or None,
        secret=rule.secret.name if rule.secret is not None else None,
        aside=rule.on_rollback == "RevertBranch",
        wanted=wanted,
    )
    return record, action
