"""What the metrics are told of a run or a canary: read off its status before and after a write."""

from collections.abc import Iterable
from typing import get_args

from sluice.api.canary_status import CanaryPhase, CanaryStatus, RolloutOutcome, RolloutRecord
from sluice.api.run import PipelineRunStatus, StepStatus
from sluice.planning.canary_history import unserved
from sluice.planning.canary_scene import CanaryView
from sluice.planning.dora import lead_time, taken_back, time_to_restore
from sluice.planning.views import PipelineView, RunView
from sluice.telemetry import metrics


def record_run(run: RunView, after: PipelineRunStatus) -> None:
    """Count what ended between the status of `run` and `after`."""
    before = run.status
    ended_before = {step.name for step in before.steps if step.phase.ended}
    for step in after.steps:
        if step.phase.ended and step.name not in ended_before and step.taken_from is None:
            _record_step(step)
    if after.phase.ended and not before.phase.ended:
        metrics.RUNS.labels(run.namespace, run.pipeline, after.phase).inc()
        if after.started_at is not None and after.finished_at is not None:
            seconds = (after.finished_at - after.started_at).total_seconds()
            metrics.RUN_DURATION_SECONDS.labels(run.namespace, run.pipeline).observe(seconds)


def _record_step(step: StepStatus) -> None:
    metrics.STEPS.labels(step.phase, step.reason or "Completed").inc()
    if step.started_at is not None and step.finished_at is not None:
        metrics.STEP_DURATION_SECONDS.observe(max(0.0, (step.finished_at - step.started_at).total_seconds()))


def record_gates(run: RunView, after: PipelineRunStatus) -> list[str]:
    """Count the gates that came to an end between the status of `run` and `after`. Names of those that were evaluated."""
    before = {step.name: step for step in run.status.steps}
    evaluated = []
    for step in after.steps:
        old = before.get(step.name)
        gate, was = step.gate, old.gate if old is not None else None
        if gate is None or step.taken_from is not None:
            continue
        if gate.verdict is None or (was is not None and was.evaluated_at == gate.evaluated_at):
            continue
        evaluated.append(gate.name)
        if step.phase.ended:
            metrics.GATE_EVALUATIONS.labels(run.namespace, gate.name, gate.verdict).inc()
            metrics.GATE_SCORE.labels(run.namespace, gate.name).set(gate.score or 0.0)
    return evaluated


def count_holding(namespace: str, gate: str, runs: Iterable[RunView]) -> None:
    """Say how many steps of `runs` their gate holds for want of evidence."""
    held = sum(
        step.phase.live and step.gate is not None and step.gate.name == gate and step.gate.alerted_at is not None
        for run in runs
        if not run.phase.ended
        for step in run.status.steps
    )
    metrics.GATE_HOLDING.labels(namespace, gate).set(held)


def forget_gate(namespace: str, name: str) -> None:
    """Drop the series of a gate that is gone."""
    for metric in (metrics.GATE_EVALUATIONS, metrics.GATE_SCORE, metrics.GATE_HOLDING):
        metric.remove_by_labels({"namespace": namespace, "gate": name})


def forget_pipeline(namespace: str, name: str) -> None:
    """Drop the series of a pipeline that is gone."""
    for metric in (
        metrics.RUNS,
        metrics.RUN_DURATION_SECONDS,
        metrics.RUN_ACTIVE,
        metrics.DELIVERY_PIPELINES,
        metrics.DELIVERY_PIPELINE_LEAD_SECONDS,
    ):
        metric.remove_by_labels({"namespace": namespace, "pipeline": name})


def record_pipeline(old: PipelineView | None, new: PipelineView) -> None:
    """Count the revisions that were delivered since the pipeline was seen last, and the commits that became known."""
    place, rows = (new.namespace, new.name), new.status.deliveries
    if old is None or old.uid != new.uid:
        metrics.DELIVERY_PIPELINES.labels(*place)
        metrics.DELIVERY_PIPELINE_LEAD_SECONDS.labels(*place)
        return
    known = {(row.revision, row.run): row for row in old.status.deliveries}
    for row in rows if rows != old.status.deliveries else ():
        before = known.get((row.revision, row.run))
        if before is None:
            metrics.DELIVERY_PIPELINES.labels(*place).inc()
        if row.commit_time is not None and (before is None or before.commit_time is None):
            seconds = (row.delivered_at - row.commit_time).total_seconds()
            if seconds >= 0:
                metrics.DELIVERY_PIPELINE_LEAD_SECONDS.labels(*place).observe(seconds)


def record_canary(old: CanaryView | None, new: CanaryView) -> None:
    """Say where a canary stands, and count what ended since it was seen last."""
    place, status = (new.namespace, new.name), new.status
    metrics.CANARY_WEIGHT.labels(*place).set(status.weight)
    before = old.status if old is not None and old.uid == new.uid else None
    if before is None or before.phase is not status.phase:
        metrics.CANARY_PHASE.remove_by_labels({"namespace": new.namespace, "canary": new.name})
    metrics.CANARY_PHASE.labels(*place, status.phase).set(1)
    since = unserved(status)
    if since is not None:
        metrics.CANARY_UNSERVED.labels(*place).set(since.timestamp())
    elif before is None or unserved(before) is not None:
        metrics.CANARY_UNSERVED.remove_by_labels({"namespace": new.namespace, "canary": new.name})
    if before is None:
        _begin_deliveries(place)
        return
    _record_deliveries(place, before, status)
    move = status.last_move
    moved = move is not None and before.last_move != move
    if moved and before.phase is CanaryPhase.STEPPING and before.since is not None and move is not None:
        metrics.CANARY_STEP_SECONDS.observe(max(0.0, (move.at - before.since).total_seconds()))
    if status.finished_at is None or status.finished_at == before.finished_at or move is None:
        return
    result = "Failed" if status.phase is CanaryPhase.FAILED else "Promoted"
    if status.phase is CanaryPhase.STABLE and before.phase is not CanaryPhase.RETURNING:
        return
    metrics.CANARY_ROLLOUTS.labels(*place, result, move.reason).inc()


def _begin_deliveries(place: tuple[str, str]) -> None:
    """Series that begin with 0, so that the first rollout is an increase."""
    for outcome in get_args(RolloutOutcome):
        metrics.DELIVERY_ROLLOUTS.labels(*place, outcome)
    metrics.DELIVERY_TAKEN_BACK.labels(*place)
    metrics.DELIVERY_LEAD_SECONDS.labels(*place)


def _record_deliveries(place: tuple[str, str], before: CanaryStatus, after: CanaryStatus) -> None:
    """Count the rollouts that ended, the commits that became known, and what was taken back."""
    if after.rollouts == before.rollouts:
        return
    known = {_identity(row): row for row in before.rollouts}
    for row in after.rollouts:
        old, seconds = known.get(_identity(row)), lead_time(row)
        if seconds is not None and seconds >= 0 and (old is None or old.commit_time is None) and not row.again:
            metrics.DELIVERY_LEAD_SECONDS.labels(*place).observe(seconds)
        if old is not None:
            continue
        metrics.DELIVERY_ROLLOUTS.labels(*place, row.outcome).inc()
        restore = time_to_restore(row)
        if restore is not None and restore >= 0:
            metrics.DELIVERY_RESTORE_SECONDS.labels(*place, row.outcome).observe(restore)
    for undone in taken_back(after.rollouts):
        if _identity(undone.by) not in known:
            metrics.DELIVERY_TAKEN_BACK.labels(*place).inc()
            metrics.DELIVERY_RESTORE_SECONDS.labels(*place, "TakenBack").observe(max(0.0, undone.seconds))


def _identity(row: RolloutRecord) -> tuple[object, ...]:
    return row.round, row.outcome, row.ended_at


def forget_canary(namespace: str, name: str) -> None:
    """Drop the series of a canary that is gone."""
    for metric in (
        metrics.CANARY_WEIGHT,
        metrics.CANARY_PHASE,
        metrics.CANARY_ROLLOUTS,
        metrics.CANARY_UNSERVED,
        metrics.DELIVERY_ROLLOUTS,
        metrics.DELIVERY_LEAD_SECONDS,
        metrics.DELIVERY_RESTORE_SECONDS,
        metrics.DELIVERY_TAKEN_BACK,
    ):
        metric.remove_by_labels({"namespace": namespace, "canary": name})
