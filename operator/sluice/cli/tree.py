"""A run as a tree of its steps. Pure: run, graph and time in, text out.

A step stands below the last of the steps that it waits for, one level deeper; so every step stands below all that come
before it, and steps that can run side by side are on the same level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sluice.api.durations import format_duration
from sluice.api.pipeline import DataPipelineSpec, Step
from sluice.api.reasons import Reason
from sluice.api.run import Interval, RunPhase, StepPhase, StepStatus
from sluice.cli.run_state import RunState

MAX_INDENT = 12
"""Levels that are shown; a chain that is longer goes straight down."""

_STYLES = {
    "Pending": "yellow",
    "Running": "cyan",
    "Retrying": "yellow",
    "Finalizing": "cyan",
    "Succeeded": "green",
    "Failed": "bold red",
    "UpstreamFailed": "red",
    "Cancelled": "magenta",
}
_MARKS = {
    StepPhase.WAITING: ("·", "."),
    StepPhase.PENDING: ("○", "o"),
    StepPhase.RUNNING: ("●", "*"),
    StepPhase.RETRYING: ("↻", "~"),
    StepPhase.SUCCEEDED: ("✔", "+"),
    StepPhase.FAILED: ("✖", "x"),
    StepPhase.UPSTREAM_FAILED: ("⊘", "-"),
    StepPhase.SKIPPED: ("-", "-"),
    StepPhase.CANCELLED: ("■", "#"),
}
_PLAIN_REASONS = frozenset(
    (
        Reason.COMPLETED,
        Reason.SUCCEEDED,
        Reason.RUNNING,
        Reason.FINALIZING,
        Reason.CANCELLED,
        Reason.UPSTREAM_FAILED,
        Reason.RETRYING,
        None,
    )
)
"""Reasons that say no more than the phase."""


@dataclass(frozen=True)
class Place:
    """Where a step stands in the tree."""

    name: str
    depth: int
    after: tuple[str, ...] = ()
    """The steps that it waits for."""
    final: bool = False


def lay_out(spec: DataPipelineSpec) -> tuple[Place, ...]:
    """The steps in the order and at the depth at which they are shown, finally steps last."""
    return (*_lay_out(spec.steps, final=False), *_lay_out(spec.finally_, final=True))


def lay_out_flat(run: RunState) -> tuple[Place, ...]:
    """The same when the graph is not known."""
    return tuple(Place(step.name, 0) for step in run.status.steps)


def _lay_out(steps: Sequence[Step], *, final: bool) -> Iterator[Place]:
    names = {step.name for step in steps}
    waiting = {step.name: [name for name in step.depends_on if name in names] for step in steps}
    missing = {name: set(needs) for name, needs in waiting.items()}
    below: dict[str, list[str]] = {step.name: [] for step in steps}
    for step in steps:
        for name in waiting[step.name]:
            below[name].append(step.name)
    todo = [(step.name, 0) for step in reversed(steps) if not waiting[step.name]]
    shown: set[str] = set()
    while todo:
        name, depth = todo.pop()
        shown.add(name)
        yield Place(name, depth, tuple(waiting[name]), final)
        free = []
        for child in below[name]:
            missing[child].discard(name)
            if not missing[child]:
                free.append((child, depth + 1))
        todo.extend(reversed(free))
    yield from (Place(step.name, 0, tuple(waiting[step.name]), final) for step in steps if step.name not in shown)


# -- words ------------------------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """`text` on one line and without control characters: messages come from programs, and a terminal obeys them."""
    return "".join(char if char.isprintable() else " " for char in text).strip()


def because(reason: str | None, message: str | None) -> str:
    """`reason: message`, leaving out what says nothing."""
    told = "" if reason in _PLAIN_REASONS else str(reason)
    text = clean(message or "")
    if told and text:
        return f"{told}: {text}"
    return told or text


def taken_over(step: StepStatus) -> str:
    """From which run a step was taken over; "" of one that ran in its own."""
    return f"taken over from {step.taken_from}" if step.taken_from is not None else ""


def took(step: StepStatus, now: datetime) -> str:
    """How long the newest attempt ran, or has been running or waiting for its pod."""
    begin = step.started_at or (step.launched_at if step.phase is StepPhase.PENDING else None)
    if begin is None or step.phase is StepPhase.RETRYING:
        return ""
    end = step.finished_at if step.phase.ended else now
    return _whole(end - begin) if end is not None else ""


def _whole(length: timedelta) -> str:
    """In whole seconds: the kubelet's times have no others."""
    seconds = round(length.total_seconds())
    return "<1s" if seconds < 1 else format_duration(timedelta(seconds=seconds)).replace(".0s", "s")


def local_time(moment: datetime, zone: tzinfo | None) -> str:
    """`moment` in `zone` (None: that of the terminal), with the zone's name."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def interval_text(interval: Interval, zone: tzinfo | None) -> str:
    """The interval; whole minutes without seconds."""
    start, end = (moment.astimezone(zone) for moment in (interval.start, interval.end))
    form = "%Y-%m-%d %H:%M" if not (start.second or end.second) else "%Y-%m-%d %H:%M:%S"
    return f"{start:{form}} to {end:{form} %Z}"


def _note(step: StepStatus, place: Place, steps: Mapping[str, StepStatus], now: datetime) -> str:
    """What there is to say of a step besides its phase."""
    told = because(step.reason, step.message)
    if step.taken_from is not None:
        return ": ".join(filter(None, (taken_over(step), told)))
    if step.phase is StepPhase.WAITING:
        ended = {name for name in place.after if name in steps and steps[name].phase.ended}
        left = [name for name in place.after if name not in ended]
        return f"after {', '.join(left)}" if left else told
    if step.phase is StepPhase.RETRYING and step.retry_at is not None:
        wait = max(timedelta(), step.retry_at - now)
        return f"{told}; again in {_whole(wait)}" if told else f"again in {_whole(wait)}"
    if step.stopping and step.phase.live:
        return f"stopping: {step.stopping}"
    if step.phase is StepPhase.RUNNING and step.failures and not told:
        last = step.failures[-1]
        return f"before: {because(last.reason, last.message)}"
    return told


# -- the tree ---------------------------------------------------------------------------------------------------------


def title(run: RunState, now: datetime, zone: tzinfo | None) -> list[Text]:
    """The lines above the tree."""
    status = run.status
    head = Text.assemble((run.name, "bold"), "  ", (str(status.phase), _STYLES.get(status.phase, "")))
    if status.progress:
        head.append(f"  {status.progress} steps")
    if status.started_at is not None:
        head.append(f"  {format_duration((status.finished_at or now) - status.started_at)}")
    if run.cancelling and not status.phase.ended:
        head.append("  cancelling", "magenta")
    lines = [head]
    if told := because(status.reason, status.message):
        lines.append(Text(f"  {told}"))
    facts = []
    if status.rerun_of is not None:
        facts.append(f"rerun of {status.rerun_of.name}")
    if status.interval is not None and status.interval.start != status.interval.end:
        facts.append(f"interval {interval_text(status.interval, zone)}")
    if status.started_at is not None:
        facts.append(f"started {local_time(status.started_at, zone)}")
    if facts:
        lines.append(Text(f"  {'; '.join(facts)}", style="dim"))
    return lines


def render(
    run: RunState,
    places: Sequence[Place],
    now: datetime,
    *,
    zone: tzinfo | None = None,
    rows: int | None = None,
    ascii_only: bool = False,
) -> RenderableType:
    """The tree. With `rows`, at most so many steps, those that are going on or went wrong first, and a line each."""
    steps = {step.name: step for step in run.status.steps}
    shown = [place for place in places if place.name in steps] if steps else list(places)
    kept, hidden = _fit(shown, steps, rows)
    lines: list[tuple[Text, ...]] = []
    finally_said = False
    for place in kept:
        if place.final and not finally_said:
            finally_said = True
            lines.append((Text("  finally", style="dim"), Text(), Text(), Text()))
        lines.append(_cells(place, steps.get(place.name, StepStatus(name=place.name)), steps, now, ascii_only))
    table = _table(lines, one_line_each=rows is not None)
    parts: list[RenderableType] = [*title(run, now, zone), table]
    if hidden:
        parts.append(Text(f"  and {hidden} more that have ended well or are waiting", style="dim"))
    return Group(*parts)


def _table(lines: Sequence[tuple[Text, ...]], *, one_line_each: bool) -> Table:
    """The lines in columns. Only the last one, the note, gives way when there is not enough room."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for index in range(3):
        width = max((line[index].cell_len for line in lines), default=0)
        table.add_column(no_wrap=True, min_width=width, justify="right" if index == 2 else "left")
    table.add_column(ratio=1, no_wrap=one_line_each, overflow="ellipsis" if one_line_each else "fold")
    for line in lines:
        table.add_row(*line)
    return table


def _cells(
    place: Place,
    step: StepStatus,
    steps: Mapping[str, StepStatus],
    now: datetime,
    ascii_only: bool,  # noqa: FBT001 - private, handed through
) -> tuple[Text, Text, Text, Text]:
    style = _STYLES.get(step.phase, "dim")
    mark = _MARKS[step.phase][1 if ascii_only else 0]
    indent = "  " * (min(place.depth, MAX_INDENT) + (2 if place.final else 1))
    note = _note(step, place, steps, now)
    return (
        Text.assemble(indent, (mark, style), " ", place.name),
        Text(_phase_text(step), style=style),
        Text(took(step, now)),
        Text(note, style="dim" if step.phase is StepPhase.WAITING else ""),
    )


def _fit(places: Sequence[Place], steps: Mapping[str, StepStatus], rows: int | None) -> tuple[list[Place], int]:
    """The places that are shown when there is room for `rows`, and how many are not."""
    if rows is None or len(places) <= rows:
        return list(places), 0
    quiet = (StepPhase.SUCCEEDED, StepPhase.SKIPPED, StepPhase.WAITING, StepPhase.UPSTREAM_FAILED)
    loud = [place for place in places if place.name in steps and steps[place.name].phase not in quiet]
    names = {place.name for place in loud[: max(rows, 0)]}
    for place in places:
        if len(names) >= rows:
            break
        if place.name in steps and steps[place.name].phase is not StepPhase.SUCCEEDED:
            names.add(place.name)
    kept = [place for place in places if place.name in names]
    return kept, len(places) - len(kept)


# -- one line a change ------------------------------------------------------------------------------------------------


def changes(old: RunState | None, new: RunState, now: datetime, zone: tzinfo | None = None) -> list[str]:
    """One line for each change from `old` (None: nothing is known) to `new`: time, step, phase, why.

    A run that starts comes before its steps; the end of steps comes before what the run makes of it.
    """
    run = [_run_line(new, now)] if old is None or _of_run(old) != _of_run(new) else []
    before = {step.name: step for step in old.status.steps} if old is not None else {}
    width = max((len(step.name) for step in new.status.steps), default=0)
    ended: list[_Line] = []
    others: list[_Line] = []
    for step in new.status.steps:
        known = before.get(step.name, StepStatus(name=step.name))
        if _of_step(step) != _of_step(known):
            moment = _when(step, now) if (step.phase, step.attempt) != (known.phase, known.attempt) else now
            line = _Line(moment, step.name.ljust(width), _phase_text(step), _told(step, now))
            (ended if step.phase.ended else others).append(line)
    starts = new.status.phase in (RunPhase.PENDING, RunPhase.RUNNING)
    lines = (*run, *ended, *others) if starts else (*ended, *run, *others)
    return [line.text(zone) for line in lines]


@dataclass(frozen=True)
class _Line:
    moment: datetime
    name: str
    phase: str
    told: str

    def text(self, zone: tzinfo | None) -> str:
        return f"{self.moment.astimezone(zone):%H:%M:%S}  {self.name}  {self.phase}  {self.told}".rstrip()


def _of_run(run: RunState) -> tuple[object, ...]:
    """What makes a line of its own. While steps go on they speak for the run."""
    status = run.status
    waits = (status.reason, status.message) if status.phase is RunPhase.PENDING else ()
    return status.phase, run.cancelling and not status.phase.ended, *waits


def _of_step(step: StepStatus) -> tuple[object, ...]:
    return step.phase, step.attempt, step.reason


def _run_line(run: RunState, now: datetime) -> _Line:
    status = run.status
    told = because(status.reason, status.message)
    if status.phase.ended:
        told = ": ".join(filter(None, (f"after {status.duration}" if status.duration else "", told)))
        return _Line(status.finished_at or now, run.name, str(status.phase), told)
    if run.cancelling:
        return _Line(now, run.name, f"{status.phase}, cancelling", "")
    moment = status.started_at if status.phase is RunPhase.RUNNING else status.finalizing_at
    return _Line(moment or now, run.name, str(status.phase), told if status.phase is not RunPhase.RUNNING else "")


def _when(step: StepStatus, now: datetime) -> datetime:
    """When the change happened, where the status says it."""
    if step.phase.ended:
        return now if step.taken_from is not None else step.finished_at or now
    if step.phase is StepPhase.RUNNING:
        return step.started_at or now
    return (step.launched_at or now) if step.phase is StepPhase.PENDING and not step.reason else now


def _phase_text(step: StepStatus) -> str:
    return str(step.phase) + (f" (attempt {step.attempt})" if step.attempt > 1 else "")


def _told(step: StepStatus, now: datetime) -> str:
    told = because(step.reason, step.message)
    length = took(step, now) if step.phase.ended else ""
    return ": ".join(filter(None, (f"after {length}" if length else "", taken_over(step), told)))
