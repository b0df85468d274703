"""A rerun: which steps of an ended run run again, and which are taken over with all that is on record of them. Pure.

What succeeded is taken over, unless the rerun asks for it, or something upstream of it, to run again: a step never stands
on the outputs of one attempt of its upstream while others stand on those of another. That goes for gates as for every
step: a verdict is on the data that it looked at, and as long as those stay, so does it. Finally steps always run again.
"""

from collections.abc import Collection, Iterable, Sequence

from sluice.api.base import Json, without_nulls
from sluice.api.pipeline import DataPipelineSpec
from sluice.api.run import PipelineRunSpec, PipelineRunStatus, Rerun, RunPhase, StepPhase, StepStatus
from sluice.api.schema import FieldError, invalid, not_found, show
from sluice.planning.graph import descendants
from sluice.planning.views import RunView


def run_again(spec: DataPipelineSpec, old: PipelineRunStatus, from_: Collection[str]) -> set[str]:
    """The steps, finally steps among them, that run again; the others can be taken over from `old`."""
    succeeded = {step.name for step in old.steps if step.phase is StepPhase.SUCCEEDED}
    graph = {step.name: step.depends_on for step in spec.steps}
    roots = {name for name in graph if name not in succeeded or name in from_}
    return descendants(graph, roots) | {step.name for step in spec.finally_}


def steps_at_start(spec: DataPipelineSpec, old: RunView, rerun: Rerun) -> tuple[StepStatus, ...]:
    """The steps of a rerun that begins: those that run again untouched, the others as the run that they ran in left them."""
    again = run_again(spec, old.status, rerun.from_)
    known = {step.name: step for step in old.status.steps}
    return tuple(
        StepStatus(name=step.name)
        if step.name in again
        else known[step.name].model_copy(update={"taken_from": known[step.name].taken_from or old.name})
        for step in spec.all_steps()
    )


def check_rerun(run: PipelineRunSpec, old: RunView) -> list[FieldError]:
    """What is wrong with a rerun of `old`, as far as that is known without the steps of its revision."""
    assert run.rerun is not None
    at = "spec.rerun.of"
    if old.pipeline != run.pipeline.name:
        return [
            invalid(at, old.name, f'is a run of pipeline "{old.pipeline}"; it must be one of "{run.pipeline.name}"')
        ]
    if not old.readable:
        return [invalid(at, old.name, "has a status that this version cannot read")]
    status = old.status
    if not status.phase.ended:
        return [invalid(at, old.name, f"is {status.phase}; only a run that has ended can be run again")]
    if status.started_at is None or status.revision is None:
        earlier = old.spec.rerun.of if old.spec is not None and old.spec.rerun is not None else None
        instead = f'run "{earlier}" again' if earlier else "make another run"
        return [invalid(at, old.name, f"never started, so there is nothing to take over; {instead} instead")]
    if status.phase is RunPhase.SUCCEEDED and not run.rerun.from_:
        return [invalid(at, old.name, "has succeeded, so there is nothing to run again; spec.rerun.from names a step")]
    return [*_differences(run, old.name, status)]


def _differences(run: PipelineRunSpec, name: str, old: PipelineRunStatus) -> Iterable[FieldError]:
    """What the rerun states that was otherwise in the run."""
    rule = f'a rerun has that of run "{name}", which is'
    if run.revision is not None and run.revision != old.revision:
        yield invalid("spec.revision", run.revision, f"{rule} {show(old.revision)}; leave it out, or make another run")
    if run.interval is not None and run.interval != old.interval:
        stated, had = (one.to_dict() if one is not None else None for one in (run.interval, old.interval))
        yield invalid("spec.interval", stated, f"{rule} {show(had)}; leave it out, or make another run")
    had_params = old.params or {}
    for param, value in run.params.items():
        if param not in had_params:
            yield invalid(f"spec.params.{param}", value, f'run "{name}" had no such parameter; leave it out')
        elif not _equal(without_nulls(value), had_params[param]):
            was = show(had_params[param])
            yield invalid(f"spec.params.{param}", value, f"{rule} {was}; leave it out, or make another run")


def _equal(one: Json, other: Json) -> bool:
    """Equality of JSON values: to Python, true is 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def check_from(rerun: Rerun, spec: DataPipelineSpec) -> list[FieldError]:
    """The steps of `rerun.from` that the revision does not have."""
    known = [step.name for step in spec.all_steps()]
    return [
        not_found(f"spec.rerun.from[{index}]", name, f'the revision of run "{rerun.of}" has these: {", ".join(known)}')
        for index, name in enumerate(rerun.from_)
        if name not in known
    ]


def ahead_of(run: RunView, siblings: Sequence[RunView]) -> RunView | None:
    """Another rerun of the same run that is under way, or was there first. Of two, both find the same one first."""
    if run.spec is None or run.spec.rerun is None:
        return None
    for other in sorted(siblings, key=lambda row: (row.created, row.name)):
        if other.uid == run.uid or other.phase.ended or other.deleting:
            continue
        if other.spec is None or other.spec.rerun is None or other.spec.rerun.of != run.spec.rerun.of:
            continue
        if other.status.started_at is not None or (other.created, other.name) < (run.created, run.name):
            return other
    return None
