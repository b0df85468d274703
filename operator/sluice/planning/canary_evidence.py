"""What the gates of a canary come to at its current weight.

Evidence belongs to a stage: a step, the preview, or the watch. Each stage begins with fresh tallies; only the number of
failed looks in all is carried on, as the limit for it is one for the whole rollout. Looks are taken while the requests are
divided as asked, after the warm-up. What is missing, stale or cannot be asked for holds, and never passes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.api.base import Json
from sluice.api.canary import Analysis, GateUse
from sluice.api.canary_status import CanaryGate, CanaryPhase, CanaryStatus, JudgedBy
from sluice.api.gate import Check
from sluice.api.run import CheckTally
from sluice.planning.actions import Subject, TakeLook
from sluice.planning.canary_scene import Moment, length
from sluice.planning.canary_traffic import reached
from sluice.planning.metrics import REQUESTS_WINDOW, interval_of, limits_of
from sluice.planning.verdicts import (
    BADNESS,
    CheckResult,
    Decision,
    NoData,
    Outcome,
    ScoreLines,
    Severity,
    Tally,
    combine,
    decide,
    worst,
)
from sluice.planning.views import GateView

LOOKING = frozenset(
    {
        CanaryPhase.PREVIEWING,
        CanaryPhase.STEPPING,
        CanaryPhase.APPROVING,
        CanaryPhase.WATCHING,
        CanaryPhase.KEEPING,
    }
)
"""Phases in which metrics are looked at."""
JUDGED = LOOKING | {CanaryPhase.SWITCHING}
"""Phases in which what is known counts."""
STALE_AFTER = 3
"""Intervals without a look, after which what is known is no longer evidence."""
SLACK = timedelta(seconds=10)
"""What a look may take, besides."""
GRACE = timedelta(seconds=10)
"""How long evidence may be missing without a word: a window that is not filled yet, one lost answer."""
MAX_MESSAGE = 300
_NO_EVIDENCE = (Outcome.INCONCLUSIVE, Outcome.ERROR)
_PASSING = (Outcome.PASS, Outcome.WARN)
_DECISIONS = (Decision.CONTINUE, Decision.HOLD, Decision.STOP)


@dataclass(frozen=True)
class Evidence:
    """What is known, and what is to be asked next."""

    decision: Decision
    verdict: str | None
    message: str
    missing_since: datetime | None
    """Since when something has not been known that should be: not that more of it is wanted. Of a short while nothing is said."""
    missing: str = ""
    """What that is: gate/check."""
    gates: tuple[CanaryGate, ...] = ()
    looks: tuple[TakeLook, ...] = ()
    wake_at: datetime | None = None


@dataclass(frozen=True)
class _Judged:
    gate: CanaryGate
    decision: Decision
    missing_since: datetime | None
    missing: str = ""
    looks: tuple[TakeLook, ...] = ()
    wake_at: datetime | None = None


def gather(moment: Moment) -> Evidence:
    """The evidence of the current stage. Without gates everything passes, as there is nothing to ask."""
    if moment.spec is None:
        return Evidence(Decision.HOLD, None, moment.scene.canary.problem, None, gates=moment.status.gates)
    if moment.phase not in JUDGED:
        return Evidence(Decision.HOLD, moment.status.verdict, "", None, gates=moment.status.gates)
    start = moment.since + _warmup(moment)
    asked = moment.phase is not CanaryPhase.STEPPING or moment.share == moment.step_share
    looking = moment.phase in LOOKING and asked and moment.now >= start and reached(moment)
    rows = [_judge(moment, use, looking) for use in moment.gate_uses]
    if not rows:
        return Evidence(Decision.CONTINUE, None, "no gate", None)
    leading = max(rows, key=lambda row: (_DECISIONS.index(row.decision), _badness(row.gate)))
    missing = min(
        ((row.missing_since, row.missing) for row in rows if row.missing_since is not None), default=(None, "")
    )
    since, what = missing if looking and missing[0] is not None and moment.now - missing[0] >= GRACE else (None, "")
    wakes = [row.wake_at for row in rows if row.wake_at is not None]
    if moment.phase in LOOKING and moment.now < start:
        wakes.append(start)
    if looking and missing[0] is not None and since is None:
        wakes.append(missing[0] + GRACE)  # no look may come that would tell
    return Evidence(
        leading.decision,
        leading.gate.verdict,
        f"{leading.gate.name}: {leading.gate.message}"[:MAX_MESSAGE],
        missing_since=since,
        missing=what,
        gates=tuple(row.gate for row in rows),
        looks=tuple(look for row in rows for look in row.looks),
        wake_at=min(wakes, default=None),
    )


def fresh(gates: Sequence[CanaryGate]) -> tuple[CanaryGate, ...]:
    """The gates as a new stage begins: nothing is known, but how many looks have failed in all."""
    kept = []
    for gate in gates:
        tallies = tuple(CheckTally(name=row.name, total=row.total) for row in gate.tallies if row.total)
        kept.append(CanaryGate(name=gate.name, uid=gate.uid, generation=gate.generation, tallies=tallies))
    return tuple(kept)


def judged(before: Sequence[JudgedBy], gates: Sequence[CanaryGate], now: datetime) -> tuple[JudgedBy, ...]:
    """What the gates have come to as a stage ends. What one has come to before stays where it knows nothing now."""
    rows = {row.name: row for row in before}
    for gate in gates:
        if gate.verdict is None or not gate.uid or all(row.newest in (None, *_NO_EVIDENCE) for row in gate.tallies):
            continue
        failed = next((row.name for row in gate.tallies if row.failed or row.newest == Outcome.FAIL), None)
        rows[gate.name] = JudgedBy(
            name=gate.name,
            uid=gate.uid,
            verdict=gate.verdict,
            score=gate.score,
            message=gate.message,
            worst_check=failed,
            at=now,
        )
    return tuple(rows.values())


def came_to(status: CanaryStatus) -> str | None:
    """The worst that the gates came to in the newest rollout; None where it was judged by none."""
    began = status.started_at
    known = [Outcome(row.verdict) for row in status.judged if began is not None and row.at >= began]
    return str(worst(*known)) if known else None


def _warmup(moment: Moment) -> timedelta:
    spec = moment.spec
    return length(spec.canary.warmup if spec is not None and spec.canary is not None else None, timedelta(0))


def _badness(gate: CanaryGate) -> int:
    return BADNESS[Outcome(gate.verdict or Outcome.INCONCLUSIVE)]


def _judge(moment: Moment, use: GateUse, looking: bool) -> _Judged:  # noqa: FBT001 - the one question that is asked of all
    view = moment.scene.gates.get(use.name)
    record = next((gate for gate in moment.status.gates if gate.name == use.name), CanaryGate(name=use.name))
    problem = _problem(view)
    if view is None or view.spec is None or problem:
        held = record.model_copy(update={"verdict": Outcome.INCONCLUSIVE, "score": None, "message": problem})
        return _Judged(held, Decision.HOLD, moment.since + _warmup(moment), use.name)
    if (record.uid, record.generation) != (view.uid, view.generation):
        record = CanaryGate(name=use.name, uid=view.uid, generation=view.generation)
    analysis = moment.spec.analysis if moment.spec is not None else None
    checks = [with_defaults(check, analysis) for check in view.spec.metric_checks()]
    tallies = {check.name: _tally(moment, view, record, check) for check in checks}
    exempt = {row.check for row in view.spec.exemptions if row.expires > moment.now}
    verdict = combine(
        [_result(check, tallies[check.name], exempt=check.name in exempt) for check in checks],
        ScoreLines(view.spec.score.pass_, view.spec.score.warn) if view.spec.score is not None else None,
    )
    decision, message = decide(verdict.outcome, dry_run=bool(view.spec.dry_run)), verdict.message
    stale = [check.name for check in checks if _stale(moment, check, tallies[check.name])]
    if decision is Decision.CONTINUE and stale and not view.spec.dry_run:
        decision, message = Decision.HOLD, f"{stale[0]}: not measured lately"
    looks, wake_at = _looks(moment, use, view, checks, tallies) if looking else ((), None)
    unknown = [(_missing_since(moment, check, tallies[check.name]), check.name) for check in checks]
    missing = min(((since, f"{use.name}/{name}") for since, name in unknown if since is not None), default=(None, ""))
    gate = record.model_copy(
        update={
            "verdict": str(verdict.outcome),
            "score": verdict.score,
            "message": message[:MAX_MESSAGE],
            "tallies": tuple(_row(name, tally) for name, tally in tallies.items()),
        }
    )
    return _Judged(gate, decision, missing[0], missing[1], looks, wake_at)


def _problem(view: GateView | None) -> str:
    if view is None or view.deleting:
        return "there is no such QualityGate"
    if view.spec is None:
        return f"the QualityGate cannot be read: {view.problem}"
    if view.spec.data_checks():
        return "the QualityGate has checks on data, which canaries of a workload do not evaluate"
    return ""


def with_defaults(check: Check, analysis: Analysis | None) -> Check:
    """`check` with the canary's own words on how to look, where it does not say it itself."""
    if analysis is None:
        return check
    metric = check.on_metric
    update = {
        "interval": metric.interval or analysis.interval,
        "failure_limit": metric.failure_limit or analysis.failure_limit,
        "min_samples": metric.min_samples or analysis.min_samples,
    }
    return check.model_copy(update={"metric": metric.model_copy(update=update)})


def _tally(moment: Moment, view: GateView, record: CanaryGate, check: Check) -> Tally:
    """What is known of a check: what the operator remembers, else what the status says."""
    remembered = moment.scene.tallies.get((moment.status.stage, view.uid, view.generation, check.name))
    if remembered is not None:
        return remembered
    written = next((row for row in record.tallies if row.name == check.name), None)
    if written is None:
        return Tally()
    fields = written.model_dump(exclude={"name", "newest"})
    return Tally(**fields, newest=Outcome(written.newest) if written.newest else None)


def _row(name: str, tally: Tally) -> CheckTally:
    # All but the rhythm, which is of the server that is asked now: whoever goes on from here asks anew.
    fields = {field: getattr(tally, field) for field in CheckTally.model_fields if field != "name"}
    cut = {key: fields[key][:MAX_MESSAGE] for key in ("message", "failed")}
    return CheckTally(name=name, **(fields | cut))


def _result(check: Check, tally: Tally, *, exempt: bool) -> CheckResult:
    outcome, message = tally.judge(limits_of(check))
    return CheckResult(
        name=check.name,
        outcome=outcome,
        severity=Severity(check.severity or Severity.BLOCK),
        weight=1.0 if check.weight is None else check.weight,
        critical=bool(check.critical),
        exempt=exempt,
        no_data=NoData.HOLD,  # what missing evidence means is part of the tally already
        message=message,
    )


def _patience(check: Check) -> timedelta:
    return interval_of(check) * STALE_AFTER + SLACK


def _stale(moment: Moment, check: Check, tally: Tally) -> bool:
    """Whether the newest look is too old to go by; a tally of old, after a restart, is a memory and no evidence."""
    return tally.last_at is None or moment.now - tally.last_at > _patience(check)


def _begin(moment: Moment, check: Check) -> datetime:
    """When a check is looked at first. A window of requests must not reach back to an earlier candidate, which had the same
    Service: what that one did is not held against this one."""
    begin, requests = moment.since + _warmup(moment), check.on_metric.requests
    if requests is None or moment.status.started_at is None:
        return begin
    return max(begin, moment.status.started_at + length(requests.window, REQUESTS_WINDOW))


def _missing_since(moment: Moment, check: Check, tally: Tally) -> datetime | None:
    """Since when a check has not been known: its looks find nothing out, or do not come. None while it is known."""
    begin = _begin(moment, check)
    overdue = moment.now - max(begin, tally.last_at or begin) > _patience(check)
    if not overdue and tally.newest not in _NO_EVIDENCE:
        return None
    return max(begin, tally.known_at or begin)


def _looks(
    moment: Moment, use: GateUse, view: GateView, checks: Sequence[Check], tallies: Mapping[str, Tally]
) -> tuple[tuple[TakeLook, ...], datetime | None]:
    looks: list[TakeLook] = []
    subject = Subject("Canary", moment.scene.canary.name, moment.scene.canary.uid)
    wake_at: datetime | None = None
    for check in checks:
        tally = tallies[check.name]
        if tally.failed:
            continue
        due = max(_begin(moment, check), tally.due(interval_of(check)) or moment.now)
        wake = due if due > moment.now else moment.now + _patience(check)  # should the look never come back
        wake_at = wake if wake_at is None else min(wake_at, wake)
        if due > moment.now:
            continue
        key = (moment.status.stage, view.uid, view.generation, check.name)
        looks.append(TakeLook(subject, key, check, _values(moment, use), tally, moment.status.started_at))
    return tuple(looks), wake_at


def _values(moment: Moment, use: GateUse) -> dict[str, Json]:
    canary, status = moment.scene.canary, moment.status
    values: dict[str, Json] = {
        "canary.name": canary.name,
        "canary.namespace": canary.namespace,
        "canary.target": moment.spec.target.name if moment.spec is not None else "",
        "canary.service": moment.scene.services.stable,
        "canary.candidate": moment.scene.services.candidate,
        "canary.revision": status.candidate_revision or "",
        "canary.weight": status.weight,
    }
    return values | {f"args.{name}": text for name, text in use.args.items()}


def worth_writing(before: tuple[CanaryGate, ...], evidence: Evidence, *, lasts: bool) -> bool:
    """Whether a crash would lose more than passing looks, or people would miss that a gate has come to pass. Where the stage
    does not last, what follows it tells them."""
    known = {gate.name for gate in before if gate.verdict in _PASSING}
    news = any(gate.verdict in _PASSING and gate.name not in known for gate in evidence.gates)
    missing = evidence.missing_since is not None
    return (news and lasts) or _essence(before, missing=missing) != _essence(evidence.gates, missing=missing)


def _essence(gates: tuple[CanaryGate, ...], *, missing: bool) -> list[object]:
    rows: list[object] = []
    for gate in gates:
        bad = [
            (row.name, row.in_row, row.total, row.failed, row.newest if missing else None)
            for row in gate.tallies
            if row.total or (missing and row.newest in _NO_EVIDENCE)
        ]
        rows.append((gate.name, gate.uid, gate.generation, bad))
    return rows
