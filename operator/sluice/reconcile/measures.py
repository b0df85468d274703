"""What the metrics are told of a run: read off its status before and after a write."""

from sluice.api.run import PipelineRunStatus, StepStatus
from sluice.planning.views import RunView
from sluice.telemetry import metrics


def record_run(run: RunView, after: PipelineRunStatus) -> None:
    """Count what ended between the status of `run` and `after`."""
    before = run.status
    ended_before = {step.name for step in before.steps if step.phase.ended}
    for step in after.steps:
        if step.phase.ended and step.name not in ended_before:
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


def forget_pipeline(namespace: str, name: str) -> None:
    """Drop the series of a pipeline that is gone."""
    for metric in (metrics.RUNS, metrics.RUN_DURATION_SECONDS, metrics.RUN_ACTIVE):
        metric.remove_by_labels({"namespace": namespace, "pipeline": name})
