"""What a promotion leads to in Git: on record in the status before it is done, so that it is done once. Pure.

The version has to have been the stable one for the soak, and no other may have come. Whether the next environment still needs
it is decided on its branch as it is then (`forwarding`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sluice.api.canary import OnPromotion, WriteBack
from sluice.api.canary_status import CanaryPhase, CanaryStatus, ForwardRecord, RolloutRecord
from sluice.api.reasons import CanaryReason
from sluice.planning.actions import Occurrence
from sluice.planning.canary_actions import PutForward
from sluice.planning.canary_scene import CanaryScene, length
from sluice.planning.forwarding import Promoted
from sluice.planning.git_work import Reasons, heard, noted, told
from sluice.planning.kustomize import Image

_REASONS: Final = Reasons(CanaryReason.FORWARDED, CanaryReason.FORWARD_NOT_NEEDED, CanaryReason.FORWARD_FAILED)


@dataclass(frozen=True)
class Forwarding:
    """Where the work in Git stands."""

    status: CanaryStatus
    actions: tuple[PutForward, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()
    wake_at: datetime | None = None


def forward(scene: CanaryScene, status: CanaryStatus) -> Forwarding:
    """The status with the record of what is done in Git, and what is to be done now."""
    record = _begun(scene, status)
    if record is None or record.state not in ("Soaking", "Pending"):
        return Forwarding(status)
    record, action = _next(scene, status, record)
    wake_at = record.due if record.state == "Soaking" and scene.now < record.due else None
    changed = status.model_copy(update={"forward": record})
    return Forwarding(
        changed, (action,) if action is not None else (), told(scene.canary.status.forward, record, _REASONS), wake_at
    )


def _rule(scene: CanaryScene) -> tuple[WriteBack, OnPromotion] | None:
    back = scene.canary.spec.write_back if scene.canary.spec is not None else None
    return (back, back.on_promotion) if back is not None and back.on_promotion is not None else None


def _begun(scene: CanaryScene, status: CanaryStatus) -> ForwardRecord | None:
    """The record. One begins when a rollout has ended with its promotion, and not later: then the promotion is an old one."""
    record, rule, target = status.forward, _rule(scene), scene.target
    newest, before = _newest(status), _newest(scene.canary.status)
    if rule is None or target is None or newest is None or (before is not None and before.round == newest.round):
        return record
    if newest.outcome != "Promoted" or newest.again or status.phase is not CanaryPhase.STABLE:
        return record
    return ForwardRecord(
        round=newest.round,
        revision=newest.revision,
        images=target.images,
        due=newest.ended_at + length(rule[1].soak, timedelta(0)),
    )


def _newest(status: CanaryStatus) -> RolloutRecord | None:
    return status.rollouts[-1] if status.rollouts else None


def _next(scene: CanaryScene, status: CanaryStatus, record: ForwardRecord) -> tuple[ForwardRecord, PutForward | None]:
    rule = _rule(scene)
    if rule is None:
        return noted(record, state="NotNeeded", message="the Canary does not ask for it any more"), None
    if status.stable_revision != record.revision or status.phase is not CanaryPhase.STABLE:
        said = f"revision {status.candidate_revision or status.stable_revision} came before it was done"
        return noted(record, state="NotNeeded", message=said), None
    if record.state == "Soaking" and (status.paused is not None or scene.now < record.due):
        return record, None
    record, goes_on = heard(noted(record, state="Pending"), scene.forward)
    return _ordered(scene, status, record, *rule) if goes_on else (record, None)


def _ordered(
    scene: CanaryScene, status: CanaryStatus, record: ForwardRecord, back: WriteBack, rule: OnPromotion
) -> tuple[ForwardRecord, PutForward | None]:
    commit = status.stable_commit
    repository = back.repository or (commit.repository if commit is not None else "")
    if not repository:
        return noted(record, state="Failed", message="the repository is not known: state writeBack.repository"), None
    images = [image for image in map(Image.of, record.images) if image is not None]
    if rule.images:
        images = [image for image in images if image.name in rule.images]
    if not images:
        wanted = ", ".join(rule.images) or "any with a tag or a digest"
        said = f"the target has no such image ({wanted}): {', '.join(record.images)}"
        return noted(record, state="Failed", message=said), None
    wanted_there = Promoted(
        canary=f"{scene.canary.namespace}/{scene.canary.name}",
        revision=record.revision,
        commit=commit.id if commit is not None else "",
        images=tuple(dict.fromkeys(images)),
        named=bool(rule.images),
        path=rule.path.strip("/"),
    )
    action = PutForward(
        round=record.round,
        attempt=record.attempt,
        repository=repository,
        branch=rule.branch or back.branch,
        secret=back.secret.name if back.secret is not None else None,
        aside=rule.mode == "Branch",
        wanted=wanted_there,
    )
    return record, action
