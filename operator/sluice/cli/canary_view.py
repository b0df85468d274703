"""A Canary as text. Pure: its state and the time in, text out.

render     one screen
changes    one line for each change, for a stream
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from rich.console import Group
from rich.text import Text

from sluice.api.canary_status import AnsweredControl, CanaryGate, CanaryPhase, CanaryStatus, HookRecord
from sluice.api.durations import format_duration
from sluice.api.run import CheckTally
from sluice.cli.canary_state import CanaryState
from sluice.cli.tree import clean, local_time
from sluice.planning.canary_controls import is_answer, requested

_STYLES = {
    CanaryPhase.STABLE: "green",
    CanaryPhase.FAILED: "bold red",
    CanaryPhase.ROLLING_BACK: "bold red",
    CanaryPhase.RESTARTING: "yellow",
    CanaryPhase.HOLDING: "yellow",
    CanaryPhase.WAITING: "yellow",
    CanaryPhase.APPROVING: "magenta",
    CanaryPhase.LEAVING: "magenta",
    "Pass": "green",
    "Warn": "yellow",
    "Inconclusive": "yellow",
    "Fail": "bold red",
    "Error": "red",
    "Succeeded": "green",
    "Called": "cyan",
    "Failed": "bold red",
}


def _joined(*parts: str | None, by: str = ": ") -> str:
    return by.join(clean(part) for part in parts if part)


def _style(word: object) -> str:
    return _STYLES.get(str(word), "cyan" if isinstance(word, CanaryPhase) else "")


# -- one screen -------------------------------------------------------------------------------------------------------


def render(state: CanaryState, now: datetime, *, zone: tzinfo | None = None, rows: int | None = None) -> Group:
    """The whole state. With `rows`, at most so many lines, each on one line of the terminal."""
    lines = list(_lines(state, now, zone))
    if rows is None:
        return Group(*lines)
    if len(lines) > rows:
        hidden = len(lines) - rows + 1
        lines = [*lines[: rows - 1], Text(f"  and {hidden} more lines: sluice canary status {state.name}", style="dim")]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines)


def _lines(state: CanaryState, now: datetime, zone: tzinfo | None) -> Iterator[Text]:
    status = state.status
    yield _head(state, now)
    yield Text(f"  {_why(state)}")
    yield Text(f"  target {state.target}; {_revisions(status)}")
    yield from _commits(status, zone)
    if status.phase not in (CanaryPhase.WAITING, CanaryPhase.STABLE, CanaryPhase.FAILED) or status.weight:
        yield Text(f"  {', '.join(_given(status))} asked, {_seen(status)}")
    if status.no_evidence_since is not None:
        yield Text(f"  no evidence since {local_time(status.no_evidence_since, zone)}", style="yellow")
    if status.paused is not None:
        yield Text(f"  paused{_by(status.paused.by)} since {local_time(status.paused.since, zone)}", style="yellow")
    yield from _gates(status.gates)
    yield from _hooks(status.hooks)
    yield from _asked(state, zone)
    if (move := status.last_move) is not None:
        told = _joined(move.reason, move.message)
        yield Text("  last move", style="dim")
        yield Text(f"    {move.from_phase} to {move.to_phase}{_by(move.by)} at {local_time(move.at, zone)}: {told}")
    if status.failed:
        yield Text("  failed revisions", style="dim")
        for row in reversed(status.failed):
            told = _joined(row.reason, row.message)
            yield Text(f"    {row.revision} at {local_time(row.at, zone)}: {told}")
    if status.conditions:
        yield Text("  conditions", style="dim")
        yield from _columns([(row.type, row.status, _joined(row.reason, row.message)) for row in status.conditions])


def _head(state: CanaryState, now: datetime) -> Text:
    status = state.status
    head = Text.assemble((state.name, "bold"), "  ", (str(status.phase), _style(status.phase)))
    if status.step is not None:
        head.append(f"  step {status.progress}")
    if status.started_at is not None:
        head.append(f"  {format_duration((status.finished_at or now) - status.started_at)}")
    if status.paused is not None:
        head.append("  paused", "yellow")
    if state.deleting:
        head.append("  deleting", "magenta")
    return head


def _why(state: CanaryState) -> str:
    if not state.noticed:
        return "no operator has looked at it yet"
    return _joined(state.status.reason, state.status.message)


def _revisions(status: CanaryStatus) -> str:
    said = [f"stable revision {status.stable_revision or 'not known yet'}"]
    if status.candidate_revision is not None:
        said.append(f"candidate revision {status.candidate_revision}")
    return ", ".join(said)


def _commits(status: CanaryStatus, zone: tzinfo | None) -> Iterator[Text]:
    for side, row in (("stable", status.stable_commit), ("candidate", status.candidate_commit)):
        if row is not None:
            moment = local_time(row.time, zone) if row.time is not None else None
            known = _joined(row.id[:8] or "not known", clean(row.author) or None, moment, by=", ")
            yield Text(f"  commit of {side}: {_joined(known, clean(row.message or row.problem))}")
    if (work := status.write_back) is not None:
        style = "red" if work.state == "Failed" else ""
        yield Text(f"  write-back of {work.revision}: {_joined(work.state, clean(work.message))}", style=style)
    if (brought := status.forward) is not None:
        style = "red" if brought.state == "Failed" else ""
        until = f"until {local_time(brought.due, zone)}" if brought.state == "Soaking" else None
        told = _joined(brought.state, until, clean(brought.message) or None)
        yield Text(f"  to the next environment, {brought.revision}: {told}", style=style)


def _given(status: CanaryStatus) -> tuple[str, ...]:
    """What the candidate was asked to get of the requests."""
    matched = ("what matches",) if status.matched else ()
    return f"weight {status.weight}%", *matched, *((f"copies of {status.mirror}%",) if status.mirror else ())


def _seen(status: CanaryStatus) -> str:
    return "not seen yet" if status.weight_seen is None else f"{status.weight_seen}% seen when this was written"


def _by(who: str) -> str:
    return f" by {clean(who)}" if who else ""


def _gates(gates: Sequence[CanaryGate]) -> Iterator[Text]:
    if not gates:
        return
    yield Text("  gates, as last written: looks that pass are not written", style="dim")
    for gate in gates:
        verdict = gate.verdict or "not evaluated"
        yield Text.assemble(f"    {gate.name}  ", (verdict, _style(verdict)), f"  {clean(gate.message)}".rstrip())
        yield from _columns([_tally(row) for row in gate.tallies], indent=6)


def _tally(row: CheckTally) -> tuple[str, str, str]:
    looks = f"{row.conclusive} conclusive looks; failed: {row.in_row} in a row, {row.total} in all"
    value = f"newest value {row.value:g}" if row.value is not None else None
    return row.name, row.newest or "not measured", _joined(looks, value, row.failed or row.message, by="; ")


def _hooks(hooks: Sequence[HookRecord]) -> Iterator[Text]:
    if hooks:
        yield Text("  hooks", style="dim")
        yield from _columns([(_hook_name(row), row.state, _hook_note(row)) for row in hooks])


def _hook_name(row: HookRecord) -> str:
    """The hook with the point at which it was called, which is in its key: UID/round/point/name."""
    parts = row.key.split("/")
    return f"{row.name} ({parts[2]})" if len(parts) == 4 else row.name


def _hook_note(row: HookRecord) -> str:
    return _joined(f"attempt {row.attempt}", row.message)


def _asked(state: CanaryState, zone: tzinfo | None) -> Iterator[Text]:
    control, text = state.status.control, requested(state.control, None)
    waits = text is not None and (control is None or not is_answer(control, text))
    if control is None and not waits:
        return
    yield Text("  last request", style="dim")
    if waits:
        yield Text(f"    {clean(state.control or '')[:80]}: not answered yet", style="yellow")
    if control is not None:
        yield Text(f"    {_request(control)} at {local_time(control.at, zone)}: {_answer(control)}")


def _request(control: AnsweredControl) -> str:
    return f"{clean(control.action)}{_by(control.by)}"


def _answer(control: AnsweredControl) -> str:
    return "accepted" if control.accepted else _joined("refused", control.message)


def _columns(rows: Sequence[tuple[str, str, str]], indent: int = 4) -> Iterator[Text]:
    """Name, word, note; the words begin and end at the same place in all lines."""
    names, words = (max((len(row[index]) for row in rows), default=0) for index in (0, 1))
    for name, word, note in rows:
        gap = " " * (words - len(word) + 2) if note else ""
        yield Text.assemble(f"{' ' * indent}{name.ljust(names)}  ", (word, _style(word)), gap, note)


# -- one line a change ------------------------------------------------------------------------------------------------


def standing(status: CanaryStatus) -> str:
    """Phase, step and weight in a few words."""
    step = f"step {status.progress}" if status.step is not None else None
    given = _given(status) if status.weight or status.matched or status.mirror else ()
    paused = "paused" if status.paused is not None else None
    return ", ".join(part for part in (str(status.phase), step, *given, paused) if part)


def changes(old: CanaryState | None, new: CanaryState, now: datetime, zone: tzinfo | None = None) -> list[str]:
    """One line for each change from `old` (None: nothing is known) to `new`: time, what, how it stands, why."""
    before = old.status if old is not None else None
    lines = [*_news_of_request(before, new.status), *_news_of_canary(old, new, now)]
    lines += [(now, line) for line in (*_news_of_gates(before, new.status), *_news_of_hooks(before, new.status))]
    return [f"{moment.astimezone(zone):%H:%M:%S}  {text}".rstrip() for moment, text in lines]


def _news_of_canary(old: CanaryState | None, new: CanaryState, now: datetime) -> Iterator[tuple[datetime, str]]:
    move, known = new.status.last_move, old.status.last_move if old is not None else None
    if old is not None and _shown(old) == _shown(new):
        return
    moved = move is not None and old is not None and move != known
    moment, by = (move.at, _by(move.by)) if moved and move is not None else (now, "")
    deleting = "deleting" if new.deleting else None
    yield moment, f"{new.name}  {_joined(standing(new.status), deleting, by=', ')}{by}  {_why(new)}"


def _shown(state: CanaryState) -> tuple[object, ...]:
    return standing(state.status), state.deleting, _why(state)


def _news_of_request(before: CanaryStatus | None, status: CanaryStatus) -> Iterator[tuple[datetime, str]]:
    control = status.control
    if before is not None and control is not None and control != before.control:
        yield control.at, f"request {_request(control)}  {_answer(control)}"


def _news_of_gates(before: CanaryStatus | None, status: CanaryStatus) -> Iterator[str]:
    known = {row.name: row for row in before.gates} if before is not None else {}
    for gate in status.gates:
        if gate.verdict is not None and (gate.name not in known or _said(known[gate.name]) != _said(gate)):
            yield f"gate {gate.name}  {gate.verdict}  {clean(gate.message)}"


def _said(gate: CanaryGate) -> tuple[object, ...]:
    return gate.verdict, gate.message


def _news_of_hooks(before: CanaryStatus | None, status: CanaryStatus) -> Iterator[str]:
    known = {row.key: row for row in before.hooks} if before is not None else {}
    for row in status.hooks:
        if known.get(row.key) != row:
            yield f"hook {_hook_name(row)}  {row.state}  {_hook_note(row)}"
