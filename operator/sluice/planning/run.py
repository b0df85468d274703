"""What to do about a PipelineRun: `plan_run(what is wanted, what is seen, now) -> Plan`.

    Pending -> Running -> Finalizing -> Succeeded | Failed | Cancelled
       `------------------------------> Failed | Cancelled        (it never started)

Each phase has one function here. What becomes of the single steps is `sluice.planning.steps`' business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sluice.api.base import ConditionStatus, Json, set_conditions
from sluice.api.durations import format_duration, parse_duration
from sluice.api.pipeline import DataPipelineSpec, Timeouts
from sluice.api.reasons import Reason
from sluice.api.run import Interval, PipelineRunSpec, PipelineRunStatus, RerunOf, RunPhase, StepPhase, StepStatus
from sluice.planning.actions import Action, AdoptRun, CancelRun, Occurrence, Plan, Settings, StopPod, TallyKey, same
from sluice.planning.attempts import nothing_to_show
from sluice.planning.concurrency import Admission, admit
from sluice.planning.observed import PodView
from sluice.planning.params import resolve
from sluice.planning.pods import RunIdentity
from sluice.planning.rerun import ahead_of, check_from, check_rerun, steps_at_start
from sluice.planning.scene import Progress, Scene, Stop
from sluice.planning.schedule import last_complete_interval, zone
from sluice.planning.steps import advance
from sluice.planning.validation import check_run
from sluice.planning.verdicts import Tally
from sluice.planning.views import GateView, PipelineView, Refusal, RevisionView, RunView

PIPELINE_GRACE = timedelta(seconds=30)
"""How long a run waits for its pipeline or revision to appear in the cache before it fails."""
RECHECK = timedelta(seconds=1)

DEFAULT_RUN = timedelta(hours=24)
DEFAULT_QUEUE = timedelta(hours=24)
DEFAULT_FINALLY = timedelta(hours=1)

RunPlan = Plan[PipelineRunStatus]


@dataclass(frozen=True, kw_only=True)
class RunScene:
    """All that a run is judged by."""

    run: RunView
    pipeline: PipelineView | None
    revision: RevisionView | None
    """The revision that the run names; before it starts, the one that it would get."""
    origin: RunView | None = None
    """The run that this one is a rerun of, before it starts; None once it has, and where there is none."""
    pods: Sequence[PodView] = ()
    siblings: Sequence[RunView] = ()
    """All runs of the same pipeline, as far as this one has to know them."""
    refusals: Mapping[str, Refusal]
    gates: Mapping[str, GateView] = field(default_factory=dict)
    """QualityGates of the namespace by name: those that the pipeline's steps wait for."""
    tallies: Mapping[TallyKey, Tally] = field(default_factory=dict)
    """What is remembered of looks at metrics."""
    settings: Settings
    now: datetime


def plan_run(scene: RunScene) -> RunPlan:
    """The next moves of a run. Pure: the same scene gives the same plan."""
    run = scene.run
    if run.deleting or not run.readable:
        # Of a run whose status cannot be read (written by a newer operator, or by hand) it is not known what has been
        # done. It is left alone: to begin again could run steps twice.
        return Plan(None)
    adopt = _adopt(scene)
    if run.phase.ended:
        return Plan(None, after=(*adopt, *_leftovers(scene, run.status)))
    plan = _start(scene) if run.phase is RunPhase.PENDING else _advance(scene, run.status)
    return Plan(
        None if same(plan.status, run.status) else plan.status,
        plan.before,
        (*plan.after, *adopt),
        plan.occurrences,
        plan.wake_at,
    )


def _adopt(scene: RunScene) -> tuple[Action, ...]:
    run, pipeline = scene.run, scene.pipeline
    if run.owned or pipeline is None or pipeline.deleting:
        return ()
    rerun = run.spec.rerun if run.spec is not None else None
    return (AdoptRun(run.name, run.uid, pipeline.name, pipeline.uid, rerun.of if rerun is not None else None),)


def _leftovers(scene: RunScene, status: PipelineRunStatus) -> tuple[StopPod, ...]:
    """Live pods that no step accounts for: of an ended run, or of an attempt that was given up."""
    current = {step.pod for step in status.steps if step.phase.live}
    return tuple(
        StopPod(pod.name, pod.uid, delete=nothing_to_show(pod))
        for pod in scene.pods
        if pod.name not in current
        and pod.phase in ("Pending", "Running")
        and pod.exit_code is None
        and not pod.deleting
        and not pod.stopping
    )


# -- Pending ----------------------------------------------------------------------------------------------------------


def _start(scene: RunScene) -> RunPlan:
    """A run that has not started: whether it can, has to wait, or never will."""
    run, now = scene.run, scene.now
    if run.spec is None:
        return _refuse(scene, Reason.INVALID_SPEC, run.problem)
    if run.spec.cancel:
        return _refuse(scene, Reason.CANCELLED, "cancelled before it started")
    if scene.pipeline is None:
        return _await(scene, Reason.PIPELINE_NOT_FOUND, f'there is no DataPipeline "{run.pipeline}" in {run.namespace}')
    if run.spec.rerun is not None:
        if scene.origin is None:
            missing = f'there is no PipelineRun "{run.spec.rerun.of}" in {run.namespace} to run again'
            return _await(scene, Reason.RERUN_REFUSED, missing)
        if errors := check_rerun(run.spec, scene.origin):
            return _refuse(scene, Reason.RERUN_REFUSED, "; ".join(map(str, errors)))
    if scene.revision is None or scene.revision.spec is None:
        old = scene.origin.status.revision if scene.origin is not None else None
        return _without_revision(scene, scene.pipeline, old or run.spec.revision)
    spec = scene.revision.spec
    if errors := check_run(run.spec, spec):
        return _refuse(scene, Reason.INVALID_PARAMS, "; ".join(map(str, errors)))
    if run.spec.rerun is not None and (errors := check_from(run.spec.rerun, spec)):
        return _refuse(scene, Reason.RERUN_REFUSED, "; ".join(map(str, errors)))
    if (first := ahead_of(run, scene.siblings)) is not None and scene.origin is not None:
        already = f"{scene.origin.name} is being run again already, by {first.name}"
        return _refuse(scene, Reason.CONCURRENCY_FORBIDDEN, already)
    decision = admit(run, scene.siblings, spec.concurrency)
    others = ", ".join(other.name for other in decision.ahead[:3]) + (", ..." if len(decision.ahead) > 3 else "")
    if decision.admission is Admission.REFUSE:
        return _refuse(scene, Reason.CONCURRENCY_FORBIDDEN, f"other runs are under way: {others}")
    if decision.admission is Admission.WAIT:
        limit = _clock(spec.timeouts and spec.timeouts.queue, DEFAULT_QUEUE)
        if now >= run.created + limit:
            return _refuse(
                scene, Reason.QUEUE_TIMED_OUT, f"not started within {format_duration(limit)}, behind {others}"
            )
        waiting = _with_conditions(scene, run.status, RunPhase.PENDING, Reason.QUEUED, f"waits for {others}")
        cancel = tuple(
            CancelRun(other.name, other.uid) for other in decision.replace if other.spec and not other.spec.cancel
        )
        return Plan(waiting, after=cancel, wake_at=run.created + limit)
    started = run.status.model_copy(
        update={
            "phase": RunPhase.RUNNING,
            "revision": scene.revision.name,
            "started_at": now,
            **_at_start(run, run.spec, spec, scene.origin),
        }
    )
    return _advance(scene, started)


def _at_start(
    run: RunView, wanted: PipelineRunSpec, spec: DataPipelineSpec, origin: RunView | None
) -> dict[str, object]:
    """Interval, parameters and steps of a run that starts. Written at once, they need no other run from then on."""
    if wanted.rerun is not None and origin is not None:
        return {
            "rerun_of": RerunOf(name=origin.name, uid=origin.uid),
            "interval": origin.status.interval,
            "params": origin.status.params,
            "steps": steps_at_start(spec, origin, wanted.rerun),
        }
    return {
        "interval": interval_of(run, spec),
        "params": resolve(spec.params, wanted.params) or None,
        "steps": tuple(StepStatus(name=step.name) for step in spec.all_steps()),
    }


def _without_revision(scene: RunScene, pipeline: PipelineView, wanted: str | None) -> RunPlan:
    """The revision that the run names is not there, or the pipeline has not recorded its current one yet."""
    if wanted is not None:
        return _await(
            scene, Reason.REVISION_NOT_FOUND, f'pipeline "{pipeline.name}" has no readable revision "{wanted}"'
        )
    if pipeline.status.health == "Invalid" and pipeline.status.observed_generation == pipeline.generation:
        ready = next((row.message for row in pipeline.status.conditions if row.type == "Ready"), "")
        return _refuse(scene, Reason.INVALID_SPEC, f'pipeline "{pipeline.name}" is invalid: {ready}')
    return Plan(scene.run.status, wake_at=scene.now + RECHECK)


def _await(scene: RunScene, reason: Reason, message: str) -> RunPlan:
    """Something that the run needs is not there: caches lag, so it is given a moment."""
    if scene.now >= scene.run.created + PIPELINE_GRACE:
        return _refuse(scene, reason, message)
    return Plan(scene.run.status, wake_at=scene.now + RECHECK)


def _refuse(scene: RunScene, reason: Reason, message: str) -> RunPlan:
    """The run ends without having started."""
    cancelled = reason in (Reason.CANCELLED, Reason.CONCURRENCY_FORBIDDEN)
    phase = RunPhase.CANCELLED if cancelled else RunPhase.FAILED
    status = scene.run.status.model_copy(update={"finished_at": scene.now})
    return Plan(
        _with_conditions(scene, status, phase, reason, message), occurrences=(Occurrence("Warning", reason, message),)
    )


def interval_of(run: RunView, spec: DataPipelineSpec) -> Interval:
    """The data interval of a run: as it says; else the last complete one of the schedule; else its moment of creation."""
    if run.spec is not None and run.spec.interval is not None:
        return run.spec.interval
    if spec.schedule is not None and (found := last_complete_interval(spec.schedule, run.created)) is not None:
        return found
    return Interval(start=run.created, end=run.created)


# -- Running and Finalizing -------------------------------------------------------------------------------------------


def _advance(scene: RunScene, status: PipelineRunStatus) -> RunPlan:
    """A run under way: its steps, and once they have ended its finally steps."""
    run, now = scene.run, scene.now
    if scene.revision is None:
        return _without_its_revision(scene, status)
    if scene.revision.spec is None:
        # Without its revision nothing can be judged; live pods go on, nothing is lost.
        return Plan(status, wake_at=now + RECHECK)
    spec = scene.revision.spec
    known = {step.name: step for step in status.steps}
    steps_scene = _steps_scene(scene, spec, status)
    main_known = {step.name: known.get(step.name, StepStatus(name=step.name)) for step in spec.steps}

    limit = _clock(spec.timeouts and spec.timeouts.run, DEFAULT_RUN)
    deadline = (status.started_at or now) + limit
    finalizing = status.phase is RunPhase.FINALIZING
    stop = None if finalizing else _why_stop(run, now, deadline, limit)
    max_active = spec.concurrency.max_active_steps if spec.concurrency is not None else None
    main = advance(spec.steps, main_known, steps_scene, stop, max_active)
    if not main.ended:
        if stop is None:
            main.wake(deadline)
        rest = {step.name: known.get(step.name, StepStatus(name=step.name)) for step in spec.finally_}
        return _under_way(scene, status, spec, main, rest, RunPhase.RUNNING)

    outcome, reason, message = _outcome(run, main.statuses)
    if finalizing and status.outcome is not None:
        # A cancel that comes now is too late: finally steps have been told the outcome.
        outcome, reason, message = status.outcome, Reason(status.reason or Reason.FINALIZING), status.message or ""
    ended = status.model_copy(
        update={
            "outcome": outcome,
            "finalizing_at": status.finalizing_at or now,
            "reason": reason,
            "message": message,
            "phase": RunPhase.FINALIZING,
        }
    )
    if not spec.finally_:
        return _finish(scene, ended, main.statuses, {}, spec)
    final_limit = _clock(spec.timeouts and spec.timeouts.finally_, DEFAULT_FINALLY)
    final_deadline = (ended.finalizing_at or now) + final_limit
    late = f"finally steps ran for longer than {format_duration(final_limit)}"
    final_stop = Stop(Reason.FINALLY_TIMED_OUT, late) if now >= final_deadline else None
    final_known = {step.name: known.get(step.name, StepStatus(name=step.name)) for step in spec.finally_}
    final_scene = _steps_scene(scene, spec, ended, main.statuses)
    final = advance(spec.finally_, final_known, final_scene, final_stop, max_active)
    if not final.ended:
        if final_stop is None:
            final.wake(final_deadline)
        return _under_way(scene, ended, spec, final, main.statuses, RunPhase.FINALIZING)
    return _finish(scene, ended, main.statuses, final.statuses, spec)


def _without_its_revision(scene: RunScene, status: PipelineRunStatus) -> RunPlan:
    """Somebody deleted the revision of a run under way: it cannot be told what comes next, so the run ends."""
    message = f'the revision "{status.revision}" of the run is gone; what was live is stopped'
    over = {
        "phase": StepPhase.CANCELLED,
        "reason": Reason.REVISION_NOT_FOUND,
        "message": None,
        "finished_at": scene.now,
    }
    steps = tuple(step if step.phase.ended else step.model_copy(update=over) for step in status.steps)
    ended = status.model_copy(update={"steps": steps, "finished_at": scene.now})
    result = _with_conditions(scene, ended, RunPhase.FAILED, Reason.REVISION_NOT_FOUND, message)
    gone = Occurrence("Warning", Reason.REVISION_NOT_FOUND, message)
    return Plan(result, after=_leftovers(scene, result), occurrences=(gone,))


def _why_stop(run: RunView, now: datetime, deadline: datetime, limit: timedelta) -> Stop | None:
    if run.spec is not None and run.spec.cancel:
        return Stop(Reason.CANCELLED, "the run was cancelled")
    if now >= deadline:
        return Stop(Reason.RUN_TIMED_OUT, f"the run lasted longer than {format_duration(limit)}")
    return None


def _under_way(
    scene: RunScene,
    status: PipelineRunStatus,
    spec: DataPipelineSpec,
    progress: Progress,
    others: Mapping[str, StepStatus],
    phase: RunPhase,
) -> RunPlan:
    statuses = {**others, **progress.statuses}
    merged = status.model_copy(update={"steps": tuple(statuses[step.name] for step in spec.all_steps())})
    if phase is RunPhase.RUNNING:
        reason, message = Reason.RUNNING, _now_running(merged)
    else:
        reason, message = Reason(status.reason or Reason.FINALIZING), status.message or ""
    result = _with_conditions(scene, merged, phase, reason, message)
    return Plan(
        result,
        after=(*progress.stop, *progress.create, *progress.looks, *_leftovers(scene, result)),
        occurrences=_news(scene.run.status, result),
        wake_at=progress.wake_at,
    )


def _now_running(status: PipelineRunStatus) -> str:
    """What is going on, in a few words that do not change more often than the steps do."""
    live = [step.name for step in status.steps if step.phase.live]
    retrying = [step.name for step in status.steps if step.phase is StepPhase.RETRYING]
    parts = []
    if live:
        parts.append(", ".join(live[:3]) + (f" and {len(live) - 3} more" if len(live) > 3 else ""))
    if retrying:
        parts.append(f"{', '.join(retrying[:3])} will be retried")
    return "; ".join(parts)


def _outcome(run: RunView, statuses: Mapping[str, StepStatus]) -> tuple[RunPhase, Reason, str]:
    """What the ordinary steps came to."""
    phases = [status.phase for status in statuses.values()]
    if all(phase in (StepPhase.SUCCEEDED, StepPhase.SKIPPED) for phase in phases):
        return RunPhase.SUCCEEDED, Reason.SUCCEEDED, ""
    if any(status.reason == Reason.RUN_TIMED_OUT for status in statuses.values()):
        first = next(status for status in statuses.values() if status.reason == Reason.RUN_TIMED_OUT)
        return RunPhase.FAILED, Reason.RUN_TIMED_OUT, first.message or ""
    failed = [status for status in statuses.values() if status.phase is StepPhase.FAILED]
    if failed and not (run.spec is not None and run.spec.cancel):
        first = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return RunPhase.FAILED, Reason.STEPS_FAILED, f"{first.name}: {first.reason}: {first.message}{more}"
    return RunPhase.CANCELLED, Reason.CANCELLED, "the run was cancelled"


def _finish(
    scene: RunScene,
    status: PipelineRunStatus,
    main: Mapping[str, StepStatus],
    final: Mapping[str, StepStatus],
    spec: DataPipelineSpec,
) -> RunPlan:
    """All steps have ended."""
    statuses = {**main, **final}
    phase = status.outcome or RunPhase.FAILED
    reason, message = Reason(status.reason or Reason.SUCCEEDED), status.message or ""
    bad = [step for step in final.values() if step.phase is not StepPhase.SUCCEEDED]
    if bad and phase is RunPhase.SUCCEEDED:
        phase = RunPhase.FAILED
        timed_out = any(step.reason == Reason.FINALLY_TIMED_OUT for step in bad)
        reason = Reason.FINALLY_TIMED_OUT if timed_out else Reason.FINALLY_FAILED
        message = f"{bad[0].name}: {bad[0].reason}: {bad[0].message}"
    took = scene.now - (status.started_at or scene.now)
    merged = status.model_copy(
        update={
            "steps": tuple(statuses[step.name] for step in spec.all_steps()),
            "finished_at": scene.now,
            "duration": format_duration(took),
        }
    )
    result = _with_conditions(scene, merged, phase, reason, message)
    news = _news(scene.run.status, result)
    if phase is not RunPhase.SUCCEEDED:
        words = f"{result.progress} steps in {result.duration}" + (f": {message}" if message else "")
        news = (*news, Occurrence("Warning", reason, words))
    return Plan(result, after=_leftovers(scene, result), occurrences=news)


def _news(before: PipelineRunStatus, after: PipelineRunStatus) -> tuple[Occurrence, ...]:
    """What of the steps is worth an Event: failures and retries. What goes well is in the status, and must not take the
    place of what does not: Events are few a second."""
    known = {step.name: step for step in before.steps}
    news = []
    for step in after.steps:
        old = known.get(step.name)
        if step.taken_from is not None:
            continue  # no news of this run
        if step.reason == Reason.QUOTA_EXCEEDED and (old is None or old.reason != step.reason):
            # There is no pod whose own Events could say it.
            news.append(Occurrence("Warning", Reason.QUOTA_EXCEEDED, f"{step.name}: {step.message}"))
        if step.gate is not None and step.gate.alerted_at is not None:
            before_gate = old.gate if old is not None else None
            if before_gate is None or before_gate.alerted_at is None:
                news.append(Occurrence("Warning", Reason.GATE_HOLDING, f"{step.name}: {step.message}"))
        if old is not None and old.phase == step.phase and old.attempt == step.attempt:
            continue
        if step.phase is StepPhase.RETRYING and step.reason is None:
            continue  # a gate that is looked at again
        if step.phase is StepPhase.RETRYING:
            text = f"{step.name}: attempt {step.attempt} failed ({step.reason}: {step.message}); the next one follows"
            news.append(Occurrence("Warning", Reason.RETRYING, text))
        elif step.phase is StepPhase.SUCCEEDED and step.reason == Reason.GATE_WARNED:
            news.append(Occurrence("Warning", Reason.GATE_WARNED, f"{step.name}: {step.message}"))
        elif step.phase is StepPhase.FAILED:
            news.append(Occurrence("Warning", Reason(step.reason or Reason.POD_FAILED), f"{step.name}: {step.message}"))
    return tuple(news)


# -- shared -----------------------------------------------------------------------------------------------------------


def _clock(text: str | Timeouts | None, default: timedelta) -> timedelta:
    return parse_duration(text) if isinstance(text, str) else default


def _with_conditions(
    scene: RunScene, status: PipelineRunStatus, phase: RunPhase, reason: Reason, message: str
) -> PipelineRunStatus:
    """`status` with phase, reason, progress and the conditions that belong to them."""
    ended = sum(step.phase.ended for step in status.steps)
    succeeded: ConditionStatus = "Unknown" if not phase.ended else "True" if phase is RunPhase.SUCCEEDED else "False"
    stalled: ConditionStatus = "True" if phase.ended and phase is not RunPhase.SUCCEEDED else "False"
    wanted: dict[str, tuple[ConditionStatus, str, str]] = {
        "Succeeded": (succeeded, reason, message),
        "Reconciling": ("False" if phase.ended else "True", reason, ""),
        "Stalled": (stalled, reason, ""),
    }
    return status.model_copy(
        update={
            "observed_generation": scene.run.generation,
            "phase": phase,
            "reason": reason,
            "message": message or None,
            "progress": f"{ended}/{len(status.steps)}" if status.steps else None,
            "conditions": set_conditions(status.conditions, wanted, scene.run.generation, scene.now),
        }
    )


def _steps_scene(
    scene: RunScene, spec: DataPipelineSpec, status: PipelineRunStatus, ended: Mapping[str, StepStatus] | None = None
) -> Scene:
    """What steps are judged by; `ended` are the ordinary steps, when the finally steps are looked at."""
    identity = RunIdentity(
        scene.run.namespace, scene.run.name, scene.run.uid, scene.run.pipeline, status.revision or ""
    )
    plain = _plain_values(identity, spec, status)

    def values(statuses: Mapping[str, StepStatus]) -> Mapping[str, Json]:
        found = dict(plain)
        if ended is not None:
            for promised in spec.all_steps():
                for output in promised.outputs:
                    if output.default is not None:
                        found[f"steps.{promised.name}.outputs.{output.name}"] = output.default
        for step in (*(ended or {}).values(), *statuses.values()):
            if step.phase is StepPhase.SUCCEEDED:
                found |= {f"steps.{step.name}.outputs.{key}": value for key, value in (step.outputs or {}).items()}
            if ended is not None:
                found[f"steps.{step.name}.phase"] = str(step.phase)
                found[f"steps.{step.name}.reason"] = step.reason or ""
        if ended is not None:
            found["run.outcome"] = str(status.outcome)
            found["run.reason"] = status.reason or ""
        return found

    return Scene(
        identity=identity,
        spec=spec,
        pods={pod.name: pod for pod in scene.pods},
        refusals=scene.refusals,
        gates=scene.gates,
        tallies=scene.tallies,
        interval=status.interval,
        siblings=scene.siblings,
        values=values,
        settings=scene.settings,
        now=scene.now,
    )


def _plain_values(identity: RunIdentity, spec: DataPipelineSpec, status: PipelineRunStatus) -> dict[str, Json]:
    values: dict[str, Json] = {
        "run.name": identity.name,
        "run.namespace": identity.namespace,
        "run.uid": identity.uid,
        "run.pipeline": identity.pipeline,
        "run.revision": identity.revision,
    }
    values |= {f"params.{name}": value for name, value in (status.params or {}).items()}
    if status.interval is not None:
        local = zone(spec.schedule.time_zone) if spec.schedule is not None else UTC
        for name, moment in (("start", status.interval.start), ("end", status.interval.end)):
            utc = moment.astimezone(UTC)
            values[f"interval.{name}"] = utc.isoformat(timespec="seconds").replace("+00:00", "Z")
            values[f"interval.{name}.date"] = moment.astimezone(local).date().isoformat()
    return values
