"""What to do about a DataPipeline: its revision, the runs that are due, the runs that are past keeping, its status."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sluice.api import names
from sluice.api.base import ConditionStatus, Time, set_conditions
from sluice.api.commits import CommitRecord
from sluice.api.durations import parse_duration
from sluice.api.pipeline import DataPipelineStatus, LastRun, RevisionStatus, Schedule
from sluice.api.reasons import Reason
from sluice.api.run import PipelineRunSpec, RunPhase
from sluice.planning.actions import (
    Action,
    CreateRevision,
    CreateRun,
    DeleteRevision,
    DeleteRun,
    Occurrence,
    Plan,
    ReadPipelineCommit,
    same,
)
from sluice.planning.deliveries import with_delivery
from sluice.planning.origins import NOWHERE, Origin, ReadCommit, short
from sluice.planning.schedule import due_ticks, next_tick, tick_at
from sluice.planning.validation import check_pipeline
from sluice.planning.views import PipelineView, RevisionView, RunView

BY_HAND = "by hand"
"""What stands for a schedule in the status of a pipeline that has none."""
INVALID, SUSPENDED, OVER = "invalid", "suspended", "over"
"""What stands for the next run of one that cannot be run, that is not to be, and whose schedule has ended."""
KEEP_RUNS = 10
KEEP_REVISIONS = 10
CATCH_UP_LIMIT = 100
STARTING_DEADLINE = timedelta(minutes=1)
MAX_DELETIONS = 50
"""Runs removed in one look, so that a lowered limit does not flood the API server."""

PipelinePlan = Plan[DataPipelineStatus]


@dataclass(frozen=True, kw_only=True)
class PipelineScene:
    """All that a pipeline is judged by."""

    pipeline: PipelineView
    runs: Sequence[RunView]
    revisions: Sequence[RevisionView]
    origin: Origin = NOWHERE
    """Where the pipeline says that it comes from."""
    commits: Mapping[str, CommitRecord] = field(default_factory=dict)
    """What was found out about commits, by revision."""
    now: datetime


def content_hash(spec: dict[str, object]) -> str:
    """The hash of a spec: equal specs are one revision, in whatever order their keys are."""
    return names.short_hash(json.dumps(spec, sort_keys=True, separators=(",", ":")), length=10)


def current_revision(pipeline: PipelineView) -> str:
    """The name of the revision that the pipeline's spec is."""
    return names.revision_name(pipeline.name, content_hash(pipeline.raw_spec))


def plan_pipeline(scene: PipelineScene) -> PipelinePlan:
    """The next moves of a pipeline. Pure: the same scene gives the same plan."""
    pipeline = scene.pipeline
    if pipeline.deleting:
        return Plan(None)
    problem = pipeline.problem
    if pipeline.spec is not None:
        problem = "; ".join(str(error) for error in check_pipeline(pipeline.spec)[:3])
    if pipeline.spec is None or problem:
        return _invalid(scene, problem)

    revision, create_revision = _revision(scene)
    due = _due(scene, pipeline.spec.schedule, revision.name)
    retention = _retention(scene)
    following = _next(pipeline.spec.schedule, scene.now)
    status = pipeline.status.model_copy(
        update={
            "revision": revision,
            "schedule": _in_words(pipeline.spec.schedule),
            "last_tick": due.last_tick,
            "next_run": following,
            "next": _next_in_words(pipeline.spec.schedule, following),
        }
    )
    status = _with_runs(scene, status, {action.name for action in retention if isinstance(action, DeleteRun)})
    status = with_delivery(_with_commit(scene, status, revision.name), revision.name, scene.runs)
    status = _with_conditions(scene, status)
    return Plan(
        None if same(status, pipeline.status) else status,
        before=(*create_revision, *due.actions),
        after=(*retention, *_asked(scene, status, revision.name)),
        occurrences=due.occurrences,
        wake_at=following,
    )


def _invalid(scene: PipelineScene, problem: str) -> PipelinePlan:
    """Admission was off or older than the rule. The last valid revision stays; nothing starts."""
    status = scene.pipeline.status.model_copy(update={"next_run": None, "next": INVALID})
    status = _with_runs(scene, status, set())
    before = scene.pipeline.status.conditions
    wanted: dict[str, tuple[ConditionStatus, str, str]] = {
        "Ready": ("False", Reason.INVALID_SPEC, problem),
        "Reconciling": ("False", Reason.INVALID_SPEC, ""),
        "Stalled": ("True", Reason.INVALID_SPEC, problem),
    }
    generation = scene.pipeline.generation
    status = status.model_copy(
        update={
            "observed_generation": generation,
            "health": "Invalid",
            "conditions": set_conditions(before, wanted, generation, scene.now),
        }
    )
    if same(status, scene.pipeline.status):
        return Plan(None)
    return Plan(status, occurrences=(Occurrence("Warning", Reason.INVALID_SPEC, problem),))


# -- revisions --------------------------------------------------------------------------------------------------------


def _revision(scene: PipelineScene) -> tuple[RevisionStatus, tuple[CreateRevision, ...]]:
    """The current revision. A spec that was there before is that revision again, with its old number."""
    pipeline = scene.pipeline
    name = current_revision(pipeline)
    for revision in scene.revisions:
        if revision.name == name:
            return RevisionStatus(name=name, number=revision.number), ()
    known = [revision.number for revision in scene.revisions]
    if pipeline.status.revision is not None:
        known.append(pipeline.status.revision.number)
    number = max(known, default=0) + 1
    create = CreateRevision(name, number, pipeline.name, pipeline.uid, pipeline.raw_spec)
    return RevisionStatus(name=name, number=number), (create,)


def _with_commit(scene: PipelineScene, status: DataPipelineStatus, revision: str) -> DataPipelineStatus:
    known = status.revision_commit
    if known is None or known.revision != revision:
        known = scene.commits.get(revision)
    commit = short(known.id) if known is not None and known.id else None
    return status.model_copy(update={"commit": commit, "revision_commit": known})


def _asked(scene: PipelineScene, status: DataPipelineStatus, revision: str) -> tuple[ReadPipelineCommit, ...]:
    """The commit of a revision is asked for once."""
    if status.revision_commit is not None or not scene.origin.known:
        return ()
    pipeline = scene.pipeline
    return (ReadPipelineCommit(pipeline.name, pipeline.uid, ReadCommit(revision, scene.origin, None, None)),)


# -- schedule ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Due:
    last_tick: Time | None
    actions: tuple[CreateRun, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()


def _due(scene: PipelineScene, schedule: Schedule | None, revision: str) -> _Due:
    """The runs whose tick has come.

    Ticks count from the one dealt with last, else from the pipeline's creation; those of a schedule that is added later
    count from then, since nothing was missed before. A run that already exists for the interval, of whatever revision, is
    not made again: an edit between a tick and its record must not double it.
    """
    pipeline, now = scene.pipeline, scene.now
    last = pipeline.status.last_tick
    if schedule is None:
        return _Due(None)
    if pipeline.status.schedule == BY_HAND:
        return _Due(now)
    if schedule.suspend:
        return _Due(last)
    ticks = due_ticks(schedule, last or pipeline.created, now)
    if not ticks:
        return _Due(last)
    wanted, skipped = _catch_up(schedule, ticks, now)
    there = {
        (run.spec.interval.start, run.spec.interval.end)
        for run in scene.runs
        if run.scheduled and run.spec is not None and run.spec.interval is not None
    }
    actions = []
    for moment in wanted:
        interval = tick_at(schedule, moment).interval
        if (interval.start, interval.end) in there:
            continue
        actions.append(
            CreateRun(
                name=names.run_name(pipeline.name, interval.start, interval.end, revision),
                pipeline=pipeline.name,
                pipeline_uid=pipeline.uid,
                due=moment,
                spec=PipelineRunSpec.model_validate(
                    {"pipeline": {"name": pipeline.name}, "revision": revision, "interval": interval}
                ),
            )
        )
    news: tuple[Occurrence, ...] = ()
    if skipped:
        policy = schedule.catch_up.policy if schedule.catch_up is not None else "Latest"
        text = f"{len(skipped)} missed ticks are not run (catchUp {policy}): {_span(skipped)}"
        news = (Occurrence("Warning", Reason.INTERVAL_SKIPPED, text),)
    return _Due(ticks[-1], tuple(actions), news)


def _span(ticks: Sequence[datetime]) -> str:
    first, last = (f"{moment:%Y-%m-%dT%H:%MZ}" for moment in (ticks[0], ticks[-1]))
    return first if first == last else f"{first} to {last}"


def _catch_up(schedule: Schedule, ticks: list[datetime], now: datetime) -> tuple[list[datetime], list[datetime]]:
    """(run, skip) of the ticks that have passed, by the schedule's policy."""
    policy = schedule.catch_up.policy if schedule.catch_up is not None else "Latest"
    match policy:
        case "All":
            limit = (schedule.catch_up and schedule.catch_up.limit) or CATCH_UP_LIMIT
            return ticks[-limit:], ticks[:-limit]
        case "Skip":
            deadline = parse_duration(schedule.starting_deadline) if schedule.starting_deadline else STARTING_DEADLINE
            timely = [tick for tick in ticks if now - tick <= deadline]
            return timely, [tick for tick in ticks if now - tick > deadline]
        case _:
            return ticks[-1:], ticks[:-1]


def _next(schedule: Schedule | None, now: datetime) -> datetime | None:
    return None if schedule is None or schedule.suspend else next_tick(schedule, now)


def _next_in_words(schedule: Schedule | None, following: datetime | None) -> str:
    if schedule is None:
        return BY_HAND
    if following is None:
        return SUSPENDED if schedule.suspend else OVER
    return f"{following.astimezone(ZoneInfo(schedule.time_zone)):%Y-%m-%d %H:%M %Z}"


def _in_words(schedule: Schedule | None) -> str | None:
    if schedule is None:
        return BY_HAND
    words = f"{'; '.join(schedule.cron)} {schedule.time_zone}"
    return f"{words} (suspended)" if schedule.suspend else words


# -- retention --------------------------------------------------------------------------------------------------------


def _retention(scene: PipelineScene) -> tuple[Action, ...]:
    """Ended runs beyond the limits, oldest first, and revisions that nothing needs."""
    spec = scene.pipeline.spec
    limits = spec.retention if spec is not None else None
    keep_succeeded = limits.succeeded if limits is not None and limits.succeeded is not None else KEEP_RUNS
    keep_failed = limits.failed if limits is not None and limits.failed is not None else KEEP_RUNS
    # Others wait to take steps over from these.
    needed = {run.spec.rerun.of for run in scene.runs if run.waiting and run.spec is not None and run.spec.rerun}
    ended = sorted((run for run in scene.runs if run.phase.ended), key=lambda run: (run.created, run.name))
    succeeded = [run for run in ended if run.phase is RunPhase.SUCCEEDED]
    failed = [run for run in ended if run.phase is not RunPhase.SUCCEEDED]
    excess = [*succeeded[: max(0, len(succeeded) - keep_succeeded)], *failed[: max(0, len(failed) - keep_failed)]]
    excess.sort(key=lambda run: (run.created, run.name))
    excess = [run for run in excess if run.name not in needed]
    runs = [DeleteRun(run.name, run.uid) for run in excess[:MAX_DELETIONS] if not run.deleting]
    return (*runs, *_old_revisions(scene))


def _old_revisions(scene: PipelineScene) -> list[DeleteRevision]:
    used = {run.status.revision for run in scene.runs} | {
        run.spec.revision for run in scene.runs if run.spec is not None
    }
    current = current_revision(scene.pipeline)
    unused = sorted((row for row in scene.revisions if row.name not in used | {current}), key=lambda row: row.number)
    # The current one is there, or is made before these go: it counts, since nothing may prompt another look.
    beyond = len({row.name for row in scene.revisions} | {current}) - KEEP_REVISIONS
    return [DeleteRevision(row.name, row.uid) for row in unused[: max(0, beyond)]]


# -- status -----------------------------------------------------------------------------------------------------------


def _with_runs(scene: PipelineScene, status: DataPipelineStatus, leaving: set[str]) -> DataPipelineStatus:
    staying = [run for run in scene.runs if run.name not in leaving]
    newest = max(staying, key=lambda run: (run.created, run.name), default=None)
    last = status.last_run
    if newest is not None:
        last = LastRun(name=newest.name, phase=str(newest.phase), finished_at=newest.status.finished_at)
    return status.model_copy(update={"active_runs": sum(not run.phase.ended for run in scene.runs), "last_run": last})


def _with_conditions(scene: PipelineScene, status: DataPipelineStatus) -> DataPipelineStatus:
    pipeline = scene.pipeline
    suspended = (
        pipeline.spec is not None and pipeline.spec.schedule is not None and bool(pipeline.spec.schedule.suspend)
    )
    ended = [run for run in scene.runs if run.phase in (RunPhase.SUCCEEDED, RunPhase.FAILED)]
    newest = max(ended, key=lambda run: (run.status.finished_at or run.created, run.name), default=None)
    failing = newest is not None and newest.phase is RunPhase.FAILED
    health = "Failing" if failing else "Suspended" if suspended else "Healthy"
    message = f"{newest.name}: {newest.status.message}" if failing and newest is not None else ""
    reason = Reason.LAST_RUN_FAILED if failing else Reason.SUSPENDED if suspended else Reason.AS_SPECIFIED
    wanted: dict[str, tuple[ConditionStatus, str, str]] = {
        "Ready": ("True", reason, message),
        "Reconciling": ("False", Reason.AS_SPECIFIED, ""),
        "Stalled": ("False", Reason.AS_SPECIFIED, ""),
    }
    return status.model_copy(
        update={
            "observed_generation": pipeline.generation,
            "health": health,
            "conditions": set_conditions(pipeline.status.conditions, wanted, pipeline.generation, scene.now),
        }
    )
