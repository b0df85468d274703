"""Guards of the transitions of a canary on how it goes: what goes wrong, and what goes well enough to go on."""

from datetime import timedelta

from sluice.api.canary_status import CanaryPhase
from sluice.api.reasons import CanaryReason
from sluice.planning.canary_evidence import Evidence
from sluice.planning.canary_guards import Cause, asked
from sluice.planning.canary_hooks import call, failure
from sluice.planning.canary_scene import (
    DEFAULT_HOLD,
    DEFAULT_NO_EVIDENCE,
    DEFAULT_PROGRESS,
    DEFAULT_WATCH,
    NOTHING,
    Moment,
    Share,
    length,
    top_weight,
)
from sluice.planning.canary_traffic import any_share, missing_routes, out, reached, unsettled
from sluice.planning.verdicts import Decision

P = CanaryPhase


# -- what goes wrong


def gate_failed(_: Moment, evidence: Evidence) -> Cause | None:
    """A gate says no."""
    return Cause(CanaryReason.GATE_FAILED, evidence.message) if evidence.decision is Decision.STOP else None


def candidate_lost(m: Moment, _: Evidence) -> Cause | None:
    """The candidate gets requests and has no pod that is available."""
    exposed = m.routed and (m.share != NOTHING or any_share(m))
    return Cause(CanaryReason.CANDIDATE_LOST, "no pod is available") if exposed and not m.candidate_alive else None


def evidence_missing_too_long(m: Moment, _: Evidence) -> Cause | None:
    """Nothing is known for longer than the policy bears."""
    analysis = m.spec.analysis if m.spec is not None else None
    rule = analysis.on_no_evidence if analysis is not None else None
    since = m.status.no_evidence_since
    if rule is None or rule.policy != "Rollback" or since is None:
        return None
    if m.now < since + length(rule.limit, DEFAULT_NO_EVIDENCE):
        return None
    return Cause(CanaryReason.NO_EVIDENCE, f"no evidence for {rule.limit or '5m'}")


def hook_failed(m: Moment, _: Evidence) -> Cause | None:
    """A hook before the rollout, a step or the promotion failed for good."""
    record = failure(m, "BeforeRollout", "BeforeStep", "BeforePromotion")
    return Cause(CanaryReason.HOOK_FAILED, f"{record.name}: {record.message}") if record is not None else None


def candidate_late(m: Moment, _: Evidence) -> Cause | None:
    """The candidate does not become ready in time."""
    spec = m.spec
    if spec is None:
        return None
    needed = {P.PREPARING: Share(first_weight(m)), P.STEPPING: m.step_share, P.SWITCHING: m.top_share}.get(
        m.phase, m.share
    )
    limit = length(spec.progress_deadline, DEFAULT_PROGRESS)
    settled = m.phase is not P.PREPARING and m.share == needed and (m.routed or m.candidate_alive)
    if settled or m.up(needed.weight) or m.now < m.since + limit:
        return None
    return Cause(CanaryReason.CANDIDATE_NOT_READY, f"not ready within {spec.progress_deadline or '10m'}")


# -- what goes well


def first_weight(m: Moment) -> int:
    """The weight that the candidate is made ready for, before it gets any."""
    return 0 if not m.routed or not m.steps else min(m.steps[0].weight, top_weight(m.spec) if m.spec else 0)


def blocked(m: Moment) -> Cause | None:
    """Why a held revision cannot be let in yet, apart from hooks."""
    target = m.scene.target
    if target is None:
        return Cause(CanaryReason.TARGET_NOT_FOUND, "there is no such Deployment")
    if not (target.paused and target.held):
        whose = "is paused by its user; resume it" if target.paused else "is being held"
        return Cause(CanaryReason.HOLDING_TARGET, f"{target.name} {whose}")
    if (problem := _unsuitable(m)) is not None:
        return problem
    waiting = [row.name for row in m.scene.dependencies if not row.stable]
    if waiting:
        return Cause(CanaryReason.DEPENDENCY_NOT_STABLE, f"waits for {', '.join(waiting[:3])}")
    if not m.scene.slot_free:
        return Cause(CanaryReason.AWAITING_SLOT, "as many canaries as are allowed are under way")
    if missing := missing_routes(m):
        return Cause(CanaryReason.ROUTE_NOT_READY, f"{missing[0]} does not exist, or does not name the Service")
    if lacking := next((route.lacking for route in m.scene.routes if route.lacking), ""):
        return Cause(CanaryReason.ROUTE_NOT_READY, lacking)
    if m.scene.services.candidate_fits and (trouble := unsettled(m)):
        return Cause(CanaryReason.ROUTE_NOT_READY, trouble)
    if not out(m):
        return Cause(CanaryReason.CANDIDATE_STARTING, "an earlier candidate is removed")
    if not target.serving:
        why = "is not ready itself" if target.replicas else "has 0 replicas, so nothing could be compared; scale it up"
        return Cause(CanaryReason.STABLE_NOT_READY, f"{target.name} {why}")
    return None


def _unsuitable(m: Moment) -> Cause | None:
    """What about the target or its Services does not go with a canary."""
    target, services = m.scene.target, m.scene.services
    if target is not None and target.recreate:
        return Cause(
            CanaryReason.TARGET_UNSUITABLE,
            f"{target.name} has the strategy Recreate, so its versions must not run side by side; RollingUpdate is needed",
        )
    if m.scene.foreign:
        return Cause(CanaryReason.CANDIDATE_REFUSED, m.scene.foreign)
    if not m.routed:
        return None
    if not services.found:
        return Cause(CanaryReason.SERVICE_UNSUITABLE, f'there is no Service "{services.stable}"')
    if not services.selects:
        return Cause(
            CanaryReason.SERVICE_UNSUITABLE, f'Service "{services.stable}" does not select the pods of the target'
        )
    if services.both:
        return Cause(
            CanaryReason.SERVICE_UNSUITABLE,
            f'Service "{services.both[0]}" would select the candidate\'s pods too, past the weights; '
            "let it select by a label of the target's selector",
        )
    return None


def may_start(m: Moment, _: Evidence) -> Cause | None:
    """The target is held, nothing is in the way, and the hooks have been called."""
    if blocked(m) is not None or not call(m, "BeforeRollout").done:
        return None
    return Cause(CanaryReason.CANDIDATE_STARTING, f"revision {m.status.candidate_revision}")


def _ready(m: Moment) -> Cause | None:
    return Cause(CanaryReason.CANDIDATE_READY, "the candidate is ready") if m.up(first_weight(m)) else None


def ready_to_switch_in_full(m: Moment, _: Evidence) -> Cause | None:
    """The candidate is ready, and somebody asked for promotion in full."""
    return _ready(m) if m.status.in_full else None


def ready_for_preview(m: Moment, _: Evidence) -> Cause | None:
    """The candidate is ready, of a blue-green canary."""
    return _ready(m) if m.spec is not None and m.spec.blue_green is not None else None


def ready_for_steps(m: Moment, _: Evidence) -> Cause | None:
    """The candidate is ready."""
    return _ready(m) if m.steps else None


def _manual(m: Moment) -> bool:
    return m.spec is not None and m.spec.approval is not None and m.spec.approval.promotion == "Manual"


def _last(m: Moment) -> bool:
    return (m.status.step or 0) + 1 >= len(m.steps)


def _step_words(m: Moment) -> str:
    return f"step {(m.status.step or 0) + 1}/{len(m.steps)} at {in_words(m.step_share)}"


def in_words(share: Share) -> str:
    """What the candidate gets, as people say it."""
    more = [*(["what matches"] if share.matched else []), *([f"copies of {share.mirror}%"] if share.mirror else [])]
    return ", ".join([f"{share.weight}%", *more])


def _passed(m: Moment, evidence: Evidence, held: timedelta, share: Share) -> bool:
    """Whether the requests are divided as planned, long enough, the candidate is whole, and the gates hold."""
    there = m.share == share and reached(m) and m.up(share.weight)
    return there and m.now >= m.since + held and evidence.decision is Decision.CONTINUE


def _step_passed(m: Moment, evidence: Evidence) -> Cause | None:
    step = m.step
    if step is None or not _passed(m, evidence, length(step.hold, DEFAULT_HOLD), m.step_share):
        return None
    return Cause(CanaryReason.STEP_PASSED, f"{_step_words(m)}: {evidence.message}")


def step_passed(m: Moment, evidence: Evidence) -> Cause | None:
    """The step was held for its time, and its gates hold; there is a further one."""
    return _step_passed(m, evidence) if not _last(m) else None


def last_step_passed(m: Moment, evidence: Evidence) -> Cause | None:
    """The last step has passed."""
    return _step_passed(m, evidence) if not _manual(m) else None


def last_step_passed_for_approval(m: Moment, evidence: Evidence) -> Cause | None:
    """The last step has passed, and a person has to let the revision in."""
    return _step_passed(m, evidence) if _last(m) and _manual(m) else None


def _checked(m: Moment, evidence: Evidence) -> Cause | None:
    if not _passed(m, evidence, timedelta(0), NOTHING):
        return None
    return Cause(CanaryReason.STEP_PASSED, f"preview: {evidence.message}")


def checks_passed(m: Moment, evidence: Evidence) -> Cause | None:
    """The checks before the switch hold."""
    return _checked(m, evidence) if not _manual(m) else None


def checks_passed_for_approval(m: Moment, evidence: Evidence) -> Cause | None:
    """The checks before the switch hold, and a person has to let the revision in."""
    return _checked(m, evidence) if _manual(m) else None


def _may_switch(m: Moment) -> bool:
    """Whether the hooks before the promotion have been called, and the candidate can take what it is to get."""
    return m.spec is not None and call(m, "BeforePromotion").done and m.up(m.top_share.weight)


def _switched(m: Moment) -> bool:
    return m.share == m.top_share and reached(m)


def switched_in_full(m: Moment, _: Evidence) -> Cause | None:
    """All requests go to the candidate, and somebody asked for no watch."""
    if not m.status.in_full or not _may_switch(m) or not _switched(m):
        return None
    return Cause(CanaryReason.SWITCHED, f"the candidate has {m.top_share.weight}%")


def ready_to_switch(m: Moment, _: Evidence) -> Cause | None:
    """All requests can go to the candidate, and the watch begins with them. Where requests are divided by pods, they have gone."""
    if m.status.in_full or not _may_switch(m) or not (m.routed or _switched(m)):
        return None
    return Cause(CanaryReason.SWITCHED, f"the candidate gets {m.top_share.weight}%")


def watch_length(m: Moment) -> timedelta:
    """How long the gates have to hold after the switch."""
    own = m.spec.blue_green.watch if m.spec is not None and m.spec.blue_green is not None else None
    return length(own or (m.spec.watch if m.spec is not None else None), DEFAULT_WATCH)


def keep_length(m: Moment) -> timedelta:
    """How long the old version is kept after the watch."""
    blue_green = m.spec.blue_green if m.spec is not None else None
    return length(blue_green.keep_old if blue_green is not None else None, timedelta(0))


def _watched(m: Moment, evidence: Evidence) -> Cause | None:
    if m.spec is None or not _passed(m, evidence, watch_length(m), m.top_share):
        return None
    return Cause(CanaryReason.WATCH_PASSED, f"watch: {evidence.message}")


def watch_passed_and_old_is_kept(m: Moment, evidence: Evidence) -> Cause | None:
    """The gates held for the whole watch; the old version is to stay warm for a while."""
    return _watched(m, evidence) if keep_length(m) > timedelta(0) else None


def watch_passed(m: Moment, evidence: Evidence) -> Cause | None:
    """The gates held for the whole watch."""
    return _watched(m, evidence)


def kept_long_enough(m: Moment, evidence: Evidence) -> Cause | None:
    """The old version was kept for its time, and the gates hold."""
    if m.spec is None or not _passed(m, evidence, keep_length(m), m.top_share):
        return None
    return Cause(CanaryReason.KEPT_LONG_ENOUGH, "the old version was kept as long as asked")


def skip_asked(m: Moment, _: Evidence) -> Cause | None:
    """Somebody asked to skip the step, and there is a further one."""
    by = asked(m, "skip")
    return Cause(CanaryReason.STEP_SKIPPED, _step_words(m), by) if by is not None and not _last(m) else None


def skip_of_last_asked(m: Moment, _: Evidence) -> Cause | None:
    """Somebody asked to skip the last step."""
    by = asked(m, "skip")
    return Cause(CanaryReason.STEP_SKIPPED, _step_words(m), by) if by is not None and not _manual(m) else None


def skip_of_last_asked_for_approval(m: Moment, _: Evidence) -> Cause | None:
    """Somebody asked to skip the last step, and a person has to let it in."""
    by = asked(m, "skip")
    return Cause(CanaryReason.STEP_SKIPPED, _step_words(m), by) if by is not None and _last(m) and _manual(m) else None
