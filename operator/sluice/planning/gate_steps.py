"""A step that is a gate: from its checks to whether the run goes on.

    checks on data      in a pod, like any step; its answer travels in the termination message
    checks on metrics   asked by the operator, look after look (`TakeLook`), without a pod

Both parts are judged together. Continue lets the step succeed, Stop fails it, Hold looks again: at the data with a new
attempt after `hold.interval`, at metrics all the time. While it is held nothing downstream starts, and after `hold.limit`
the step fails. An edited gate is evaluated anew. Nothing that is missing ever counts as a Pass.
"""

import contextlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sluice.api.base import Json
from sluice.api.durations import format_duration, parse_duration
from sluice.api.gate import Check, QualityGateSpec
from sluice.api.pipeline import GateUse, Step
from sluice.api.reasons import Reason
from sluice.api.run import CheckFound, CheckTally, GatePart, GateResult, StepPhase, StepStatus
from sluice.planning.actions import Subject, TakeLook
from sluice.planning.metrics import interval_of, limits_of
from sluice.planning.references import UnresolvedReference, substitute
from sluice.planning.scene import Progress, Scene, Stop
from sluice.planning.verdicts import (
    BADNESS,
    CheckResult,
    Decision,
    NoData,
    Outcome,
    ScoreLines,
    Severity,
    Tally,
    Verdict,
    combine,
    decide,
    join,
)
from sluice.planning.views import GateView

DEFAULT_HOLD_INTERVAL = timedelta(minutes=1)
DEFAULT_HOLD_LIMIT = timedelta(hours=1)
DEFAULT_ALERT_AFTER = timedelta(minutes=1)
DEFAULT_PENDING = timedelta(minutes=10)
"""How long a step waits for its gate to exist."""
OUTPUTS = ("verdict", "score", "rows", "uri", "quarantined", "quarantineUri", "reportUri")
"""Keys that steps downstream can refer to."""
MAX_CHECKS = 20
"""Checks that are kept in a step's status."""
MAX_MESSAGE = 300
_NO_EVIDENCE = (Outcome.INCONCLUSIVE, Outcome.ERROR)


def launch(status: StepStatus, step: Step, scene: Scene, before: GateResult | None) -> StepStatus:
    """The step begins, or begins a further attempt: which gate it evaluates is put on record."""
    assert step.gate is not None
    view = scene.gates.get(step.gate.name)
    result = GateResult(name=step.gate.name, since=scene.now)
    if view is not None and view.spec is not None:
        result = result.model_copy(update={"uid": view.uid, "generation": view.generation})
        if before is not None and _same(before, view):
            kept = ("since", "tallies", "held_since", "alerted_at")
            result = result.model_copy(update={name: getattr(before, name) for name in kept})
    update: dict[str, Any] = {"gate": result}
    if view is None or view.spec is None:
        update |= {"pod": None}
    elif not view.spec.data_checks():
        update |= {"phase": StepPhase.RUNNING, "pod": None, "started_at": scene.now}
    return status.model_copy(update=update)


def ready(step: Step, status: StepStatus, scene: Scene) -> bool:
    """Whether the gate is the one that the attempt was launched for."""
    assert step.gate is not None
    view = scene.gates.get(step.gate.name)
    known = view is not None and view.spec is not None and not view.deleting
    return known and view is not None and status.gate is not None and _same(status.gate, view)


def needs_pod(status: StepStatus) -> bool:
    """Whether the attempt has, or is to have, a pod that has not yet been judged."""
    return status.pod is not None and (status.gate is None or status.gate.data is None)


def follow(step: Step, status: StepStatus, scene: Scene, progress: Progress) -> StepStatus:
    """A live gate step, apart from its pod: what the checks on metrics say, and what follows when all is judged."""
    assert step.gate is not None
    result, view = status.gate, scene.gates.get(step.gate.name)
    if result is None or view is None or view.spec is None or view.deleting:
        return _without_gate(step, status, view, scene, progress)
    if not _same(result, view):
        return _again(status, scene.now)
    tallies = {check.name: _tally(step, check, result, view, scene) for check in view.spec.metric_checks()}
    _take_looks(step, view, tallies, scene, progress)
    metrics = _metric_verdict(view.spec, tallies, scene.now)
    parts = [part for part in (_data_verdict(result.data), metrics) if part is not None]
    if needs_pod(status):
        if metrics is None or metrics.outcome is not Outcome.FAIL or bool(view.spec.dry_run):
            return status.model_copy(update={"gate": _with_tallies(result, tallies)})
    elif metrics is not None and not _looked(view.spec, tallies) and metrics.outcome is not Outcome.FAIL:
        return _hold(step, status, _with_tallies(result, tallies), view.spec, tallies, metrics, scene, progress)
    verdict = join(parts, _lines(view.spec))
    decision = decide(verdict.outcome, dry_run=bool(view.spec.dry_run))
    judged = _judged(_with_tallies(result, tallies, always=decision is not Decision.HOLD), view.spec, verdict, decision)
    judged = judged.model_copy(update={"checks": _not_passed(result, view.spec, tallies, scene.now)})
    match decision:
        case Decision.STOP:
            ended = judged.model_copy(update={"evaluated_at": scene.now, "held_since": None})
            return _failed(status, ended, Reason.GATE_FAILED, f"{verdict.outcome}: {verdict.message}", scene.now)
        case Decision.CONTINUE:
            return _succeeded(status, judged, verdict, scene)
        case Decision.HOLD:
            return _hold(step, status, judged, view.spec, tallies, verdict, scene, progress)


def after_pod(status: StepStatus, outputs: Mapping[str, Json] | None, scene: Scene) -> StepStatus:
    """The pod that looked at the data has ended well: what it said is put on record, for `follow` to judge."""
    part, checks = _part_of(outputs)
    assert status.gate is not None
    if part is None:
        message = "the pod of the gate said nothing that can be read as a verdict; its log has more"
        return _failed(status, status.gate, Reason.OUTPUT_INVALID, message, scene.now)
    result = status.gate.model_copy(update={"data": part, "checks": checks, "evaluated_at": scene.now})
    known = {key: value for key, value in (outputs or {}).items() if key in OUTPUTS and value is not None}
    return status.model_copy(update={"gate": result, "outputs": known or None})


def _same(result: GateResult, view: GateView) -> bool:
    return (result.uid, result.generation) == (view.uid, view.generation)


def _without_gate(
    step: Step, status: StepStatus, view: GateView | None, scene: Scene, progress: Progress
) -> StepStatus:
    """The gate is not there (yet), or cannot be read. It is waited for as a pod would be."""
    assert step.gate is not None
    own = step.timeouts.pending if step.timeouts is not None else None
    common = scene.spec.timeouts.pending if scene.spec.timeouts is not None else None
    text = own or common
    limit = parse_duration(text) if text else DEFAULT_PENDING
    if view is not None and view.spec is None:
        reason, problem = Reason.INVALID_SPEC, f'QualityGate "{view.name}" cannot be read: {view.problem}'
    else:
        reason = Reason.GATE_NOT_FOUND
        problem = f'there is no QualityGate "{step.gate.name}" in {scene.identity.namespace}'
    result = status.gate or GateResult(name=step.gate.name, since=scene.now)
    since = result.held_since or scene.now
    result = result.model_copy(update={"held_since": since})
    if scene.now >= since + limit:
        message = f"{problem}, and it did not come within {format_duration(limit)}"
        return _failed(status, result, reason, message, scene.now)
    progress.wake(since + limit)
    return status.model_copy(update={"gate": result, "reason": reason, "message": problem})


def _again(status: StepStatus, now: datetime) -> StepStatus:
    """Another attempt at once: the gate is there now, or is another than it was."""
    return status.model_copy(update={"phase": StepPhase.RETRYING, "retry_at": now, "reason": None, "message": None})


# -- checks on metrics ------------------------------------------------------------------------------------------------


def _tally(step: Step, check: Check, result: GateResult, view: GateView, scene: Scene) -> Tally:
    """What is known of a check: what the operator remembers, else what the status says."""
    remembered = scene.tallies.get((step.name, view.uid, view.generation, check.name))
    if remembered is not None:
        return remembered
    written = next((row for row in result.tallies if row.name == check.name), None)
    if written is None:
        return Tally()
    fields = written.model_dump(exclude={"name", "newest"})
    return Tally(**fields, newest=Outcome(written.newest) if written.newest else None)


def _take_looks(step: Step, view: GateView, tallies: Mapping[str, Tally], scene: Scene, progress: Progress) -> None:
    assert view.spec is not None
    assert step.gate is not None
    values: Mapping[str, Json] | None = None
    for check in view.spec.metric_checks():
        tally = tallies[check.name]
        if tally.failed:
            continue
        due = tally.due(interval_of(check)) or scene.now
        if due > scene.now:
            progress.wake(due)
            continue
        if values is None:
            known = scene.values(progress.statuses)
            plain = {key: value for key, value in known.items() if not key.startswith("steps.")}
            values = {**plain, **_args(step.gate, known)}
        progress.looks.append(
            TakeLook(
                subject=Subject("PipelineRun", scene.identity.name, scene.identity.uid),
                key=(step.name, view.uid, view.generation, check.name),
                check=check,
                values=values,
                known=tally,
            )
        )


def _args(gate: GateUse, values: Mapping[str, Json]) -> dict[str, Json]:
    """Values of `args.NAME`. One that cannot be filled in is left out: a query that needs it is then not asked, and says so."""
    found: dict[str, Json] = {}
    for name, text in gate.args.items():
        with contextlib.suppress(UnresolvedReference):
            found[f"args.{name}"] = substitute(text, values, escape=False)
    return found


def _settled(check: Check, tally: Tally) -> bool:
    """Whether more looks would only be needed for want of evidence, not because the check asks for more of them."""
    outcome, _ = tally.judge(limits_of(check))
    return outcome not in _NO_EVIDENCE or tally.newest in _NO_EVIDENCE


def _looked(spec: QualityGateSpec, tallies: Mapping[str, Tally]) -> bool:
    return all(_settled(check, tallies[check.name]) for check in spec.metric_checks())


def _metric_results(spec: QualityGateSpec, tallies: Mapping[str, Tally], now: datetime) -> list[CheckResult]:
    exempt = {exemption.check for exemption in spec.exemptions if exemption.expires > now}
    results = []
    for check in spec.metric_checks():
        outcome, message = tallies[check.name].judge(limits_of(check))
        results.append(
            CheckResult(
                name=check.name,
                outcome=outcome,
                severity=Severity(check.severity or Severity.BLOCK),
                weight=1.0 if check.weight is None else check.weight,
                critical=bool(check.critical),
                exempt=check.name in exempt,
                no_data=NoData.HOLD,  # what missing evidence means is part of the tally already
                message=message,
            )
        )
    return results


def _metric_verdict(spec: QualityGateSpec, tallies: Mapping[str, Tally], now: datetime) -> Verdict | None:
    results = _metric_results(spec, tallies, now)
    return combine(results) if results else None


def _with_tallies(result: GateResult, tallies: Mapping[str, Tally], *, always: bool = False) -> GateResult:
    """The result with tallies put on record where a crash would lose more than passing looks, or with `always`."""
    if not tallies:
        return result
    written = {row.name: row for row in result.tallies}
    rows = []
    for name, tally in tallies.items():
        row = _row(name, tally)
        old = written.get(name)
        news = old is None and (tally.total or tally.newest in _NO_EVIDENCE)
        changed = old is not None and (old.in_row, old.total, old.newest, old.failed) != (
            row.in_row,
            row.total,
            row.newest,
            row.failed,
        )
        if always or news or changed:
            rows.append(row)
        elif old is not None:
            rows.append(old)
    return result.model_copy(update={"tallies": tuple(rows)})


def _row(name: str, tally: Tally) -> CheckTally:
    return CheckTally(
        name=name,
        conclusive=tally.conclusive,
        in_row=tally.in_row,
        total=tally.total,
        first_at=tally.first_at,
        last_at=tally.last_at,
        last_failure=tally.last_failure,
        newest=tally.newest,
        value=tally.value,
        message=tally.message[:MAX_MESSAGE],
        failed=tally.failed[:MAX_MESSAGE],
    )


# -- what it comes to -------------------------------------------------------------------------------------------------


def _part_of(outputs: Mapping[str, Json] | None) -> tuple[GatePart | None, tuple[CheckFound, ...]]:
    """The verdict that a pod handed on, and the checks that did not pass. (None, ()) when it is not readable as one."""
    if not outputs or outputs.get("verdict") not in set(Outcome):
        return None, ()
    try:
        part = GatePart.model_validate({key: outputs[key] for key in GatePart.model_fields if key in outputs})
        rows = outputs.get("checks")
        found = [CheckFound.model_validate(row) for row in rows] if isinstance(rows, list) else []
    except ValueError:
        return None, ()
    return part, tuple(found[:MAX_CHECKS])


def _data_verdict(part: GatePart | None) -> Verdict | None:
    if part is None:
        return None
    return Verdict(Outcome(part.verdict), part.score, part.worst, part.message, {}, part.weight, part.counting)


def _lines(spec: QualityGateSpec) -> ScoreLines | None:
    return ScoreLines(spec.score.pass_, spec.score.warn) if spec.score is not None else None


def _judged(result: GateResult, spec: QualityGateSpec, verdict: Verdict, decision: Decision) -> GateResult:
    return result.model_copy(
        update={
            "verdict": verdict.outcome,
            "decision": decision,
            "score": verdict.score,
            "worst_check": verdict.worst_check,
            "message": verdict.message[:MAX_MESSAGE],
            "dry_run": True if spec.dry_run else None,
        }
    )


def _not_passed(
    result: GateResult, spec: QualityGateSpec, tallies: Mapping[str, Tally], now: datetime
) -> tuple[CheckFound, ...]:
    """The checks that did not pass, worst first: those on data as the pod said, those on metrics as they are."""
    metrics = {check.name for check in spec.metric_checks()}
    rows = [row for row in result.checks if row.name not in metrics]
    rows += [
        CheckFound(name=row.name, outcome=row.outcome, message=row.message[:MAX_MESSAGE], value=tallies[row.name].value)
        for row in _metric_results(spec, tallies, now)
        if row.outcome is not Outcome.PASS
    ]
    return tuple(sorted(rows, key=lambda row: -BADNESS[Outcome(row.outcome)])[:MAX_CHECKS])


def _failed(status: StepStatus, result: GateResult, reason: Reason, message: str, now: datetime) -> StepStatus:
    return status.model_copy(
        update={
            "phase": StepPhase.FAILED,
            "reason": reason,
            "message": f"{result.name}: {message}"[:MAX_MESSAGE],
            "finished_at": now,
            "retry_at": None,
            "stopping": None,
            "gate": result,
        }
    )


def _succeeded(status: StepStatus, result: GateResult, verdict: Verdict, scene: Scene) -> StepStatus:
    own: dict[str, Json] = {"verdict": str(verdict.outcome), "score": verdict.score}
    warned = verdict.outcome is not Outcome.PASS
    return status.model_copy(
        update={
            "phase": StepPhase.SUCCEEDED,
            "reason": Reason.GATE_WARNED if warned else None,
            "message": f"{result.name}: {verdict.outcome}: {verdict.message}"[:MAX_MESSAGE] if warned else None,
            "finished_at": scene.now,
            "retry_at": None,
            "stopping": None,
            "outputs": {**(status.outputs or {}), **own},
            "gate": result.model_copy(update={"evaluated_at": scene.now, "held_since": None}),
        }
    )


def _hold(
    step: Step,
    status: StepStatus,
    result: GateResult,
    spec: QualityGateSpec,
    tallies: Mapping[str, Tally],
    verdict: Verdict,
    scene: Scene,
    progress: Progress,
) -> StepStatus:
    """Nothing is known, or the metrics have not been looked at for long enough."""
    assert step.gate is not None
    hold = step.gate.hold
    interval = _duration(hold.interval if hold else None, DEFAULT_HOLD_INTERVAL)
    limit = _duration(hold.limit if hold else None, DEFAULT_HOLD_LIMIT) + _planned(spec.metric_checks())
    alert = _duration(hold.alert_after if hold else None, DEFAULT_ALERT_AFTER)
    data = _data_verdict(result.data)
    data_unknown = data is not None and decide(data.outcome) is Decision.HOLD
    metric_unknown = any(tally.newest in _NO_EVIDENCE for tally in tallies.values())
    missing = data_unknown or metric_unknown
    since, now = result.since or scene.now, scene.now
    held_since = (result.held_since or now) if missing else None
    result = result.model_copy(update={"held_since": held_since, "alerted_at": result.alerted_at if missing else None})
    if now >= since + limit:
        message = f"undecided after {format_duration(limit)}: {verdict.message}"
        return _failed(status, result.model_copy(update={"evaluated_at": now}), Reason.GATE_UNDECIDED, message, now)
    progress.wake(since + limit)
    reason: Reason | None = None
    text: str | None = None
    if held_since is not None:
        if now >= held_since + alert:
            result = result.model_copy(update={"alerted_at": result.alerted_at or now})
            # What exactly is missing may change from look to look: that is no news while the step is held.
            reason = Reason.GATE_HOLDING
            text = f"{result.name}: held, no evidence: {verdict.message}"[:MAX_MESSAGE]
            if status.reason == Reason.GATE_HOLDING:
                text = status.message
        else:
            progress.wake(held_since + alert)
    updated = status.model_copy(
        update={
            "phase": StepPhase.RUNNING,
            "started_at": status.started_at or now,
            "gate": result,
            "reason": reason,
            "message": text,
        }
    )
    if data_unknown:
        again = (result.evaluated_at or now) + interval
        if now >= again:
            return _again(updated, now)
        progress.wake(again)
    return updated


def _planned(checks: Iterable[Check]) -> timedelta:
    """How long the looks of metric checks take at least, by what they ask for."""
    lengths = [timedelta(0)]
    for check in checks:
        limits = limits_of(check)
        lengths.append(max(limits.sustained, interval_of(check) * limits.min_samples))
    return max(lengths)


def _duration(text: str | None, default: timedelta) -> timedelta:
    return parse_duration(text) if text is not None else default


def stopped(status: StepStatus, stop: Stop, now: datetime) -> StepStatus:
    """A gate step without a pod that has to stop."""
    cancelled = stop.reason is Reason.CANCELLED
    return status.model_copy(
        update={
            "phase": StepPhase.CANCELLED if cancelled else StepPhase.FAILED,
            "reason": stop.reason,
            "message": stop.message,
            "finished_at": now,
            "retry_at": None,
        }
    )
