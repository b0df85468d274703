"""What follows from a change of a DataPipeline: its steps, its schedule, its parameters, and the revision of the next run."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from sluice.api import names
from sluice.api.base import Json
from sluice.api.pipeline import DataPipelineSpec, Param, Schedule, Step
from sluice.planning.changes.objects import Effect, Manifest, listed, stored_spec, warning
from sluice.planning.pipeline import KEEP_RUNS, content_hash
from sluice.planning.schedule import next_tick, zone

TICKS = 3
"""Ticks that are told of a schedule."""


def pipeline_added(spec: DataPipelineSpec, now: datetime) -> Iterator[Effect]:
    """What a new pipeline will do."""
    yield Effect(f"{_count(len(spec.all_steps()), 'step')}: {listed(step.name for step in spec.all_steps())}")
    if spec.schedule is None:
        yield Effect("has no schedule: runs are started by hand")
    else:
        yield Effect(_ticks(spec.schedule, now))


def pipeline_removed(spec: DataPipelineSpec | None) -> Iterator[Effect]:
    """What goes with a pipeline."""
    yield warning("its runs go with it, also those under way, with their pods, logs and revisions")
    if spec is not None and spec.schedule is not None and not spec.schedule.suspend:
        yield Effect("nothing runs by its schedule any more")


def pipeline_renamed(before: str, after: str, spec: DataPipelineSpec | None, now: datetime) -> Iterator[Effect]:
    """What is lost when a pipeline gets another name."""
    yield warning(
        f"to the cluster these are two pipelines: the runs, logs and revisions of {before} go with it, also runs under way; "
        f"{after} begins without any, and its schedule counts from its creation"
    )
    if spec is not None and spec.schedule is not None:
        yield Effect(_ticks(spec.schedule, now))


def pipeline_changed(
    name: str,
    old: Manifest,
    new: Manifest,
    before: DataPipelineSpec | None,
    after: DataPipelineSpec | None,
    now: datetime,
) -> Iterator[Effect]:
    """What follows from an edit. Nothing is said of a spec that is invalid: that it is, is said elsewhere."""
    yield from _revision(name, old, new)
    if before is None or after is None:
        return
    yield from _steps(before, after)
    yield from _schedule(before.schedule, after.schedule, now)
    yield from _params(before.params, after.params)
    yield from _retention(before, after)


def _revision(name: str, old: Manifest, new: Manifest) -> Iterator[Effect]:
    first, second = (names.revision_name(name, content_hash(stored_spec(one))) for one in (old, new))
    if first == second:
        yield Effect(f"no new revision: the spec stays {first}")
    else:
        yield Effect(f"the next run uses the new revision {second}; runs under way go on with {first}")


# -- steps ------------------------------------------------------------------------------------------------------------


def _steps(before: DataPipelineSpec, after: DataPipelineSpec) -> Iterator[Effect]:
    old, new = _by_name(before), _by_name(after)
    for name, (where, step) in new.items():
        if name not in old:
            what = f"image {step.image}" if step.gate is None else f"gate {step.gate.name}"
            behind = f" after {listed(step.depends_on)}" if step.depends_on else ""
            yield Effect(f"{where} {name} is added{behind}: {what}")
            continue
        was, earlier = old[name]
        if was != where:
            yield Effect(f"{was} {name} becomes a {where}")
        if changed := _changed(earlier, step):
            yield Effect(f"{where} {name} changes: {listed(changed)}")
    for name, (where, _) in old.items():
        if name not in new:
            yield Effect(f"{where} {name} is removed")


def _by_name(spec: DataPipelineSpec) -> dict[str, tuple[str, Step]]:
    steps = {step.name: ("step", step) for step in spec.steps}
    return steps | {step.name: ("finally step", step) for step in spec.finally_}


def _changed(before: Step, after: Step) -> list[str]:
    """The fields of a step that differ, as they are written; of an image also what it becomes."""
    old, new = before.to_dict(), after.to_dict()
    fields = [name for name in [*old, *(name for name in new if name not in old)] if old.get(name) != new.get(name)]
    told: dict[str, str] = {}
    if before.image and after.image:
        told["image"] = f"image {before.image} -> {after.image}"
    return [told.get(name, name) for name in fields]


# -- schedule ---------------------------------------------------------------------------------------------------------


def _schedule(before: Schedule | None, after: Schedule | None, now: datetime) -> Iterator[Effect]:
    if before == after:
        return
    if after is None:
        yield warning("the schedule is removed: runs are started by hand only")
        return
    if before is None:
        yield Effect(
            "a schedule is added; it counts from its arrival in the cluster, and nothing earlier is caught up on"
        )
    elif after.suspend and not before.suspend:
        yield warning("the schedule is suspended: no run starts by itself")
    elif before.suspend and not after.suspend:
        policy = after.catch_up.policy if after.catch_up is not None else "Latest"
        yield Effect(f"the schedule goes on; ticks missed since it was suspended: catchUp {policy}")
    else:
        yield Effect("the schedule changes")
    yield Effect(_ticks(after, now))


def _ticks(schedule: Schedule, now: datetime) -> str:
    """The next ticks in the zone of the schedule."""
    if schedule.suspend:
        return "the schedule is suspended: no run starts by itself"
    moments = [f"{tick.astimezone(zone(schedule.time_zone)):%a %Y-%m-%d %H:%M}" for tick in _following(schedule, now)]
    if not moments:
        return "the schedule has no tick any more"
    return f"next runs: {', '.join(moments)} ({schedule.time_zone})"


def _following(schedule: Schedule, now: datetime) -> list[datetime]:
    def ticks() -> Iterator[datetime]:
        moment: datetime | None = now
        while moment is not None and (moment := next_tick(schedule, moment)) is not None:
            yield moment

    return list(islice(ticks(), TICKS))


# -- the rest ---------------------------------------------------------------------------------------------------------


def _params(before: Sequence[Param], after: Sequence[Param]) -> Iterator[Effect]:
    old, new = ({param.name: param for param in params} for params in (before, after))
    for name, param in new.items():
        if name not in old:
            needed = "; a run has to give it" if param.default is None else f", default {_value(param.default)}"
            yield Effect(f"parameter {name} ({param.type}) is added{needed}")
        elif (was := old[name]) != param:
            if was.default != param.default:
                yield Effect(f"parameter {name}: default {_value(was.default)} -> {_value(param.default)}")
            if was.model_copy(update={"default": param.default}) != param:
                yield Effect(f"parameter {name}: what is allowed, or its description, changes")
    for name in old:
        if name not in new:
            yield warning(f"parameter {name} is removed: runs that give it are refused")


def _value(value: Json) -> str:
    return "none" if value is None else str(value)


def _retention(before: DataPipelineSpec, after: DataPipelineSpec) -> Iterator[Effect]:
    def kept(spec: DataPipelineSpec) -> tuple[int, int]:
        limits = spec.retention
        counts = (limits.succeeded, limits.failed) if limits is not None else (None, None)
        return tuple(KEEP_RUNS if count is None else count for count in counts)  # type: ignore[return-value]

    for what, was, now in zip(("succeeded", "failed"), kept(before), kept(after), strict=True):
        if now < was:
            yield warning(
                f"{what} runs beyond the newest {now} are removed, with their pods and logs; so far {was} are kept"
            )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
