"""What the gates of a run came to: from the run's status, and with more detail from the log of the gate's pod."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from sluice.api.names import REPORT_PREFIX
from sluice.api.run import GateResult, StepStatus
from sluice.cli.errors import CliError
from sluice.cli.pod_logs import read_log
from sluice.cli.run_state import RunState, read_run
from sluice.cli.session import Session
from sluice.kube.errors import ApiError
from sluice.kube.resources import PIPELINE_RUNS


@dataclass(frozen=True)
class Shown:
    """One gate step of a run."""

    step: StepStatus
    gate: GateResult
    report: Mapping[str, Any] | None
    """The report of the checks on data; None when there is none (a gate of metrics alone), or it is gone with its pod."""


async def find_gates(session: Session, name: str, step: str | None) -> list[Shown]:
    """The gate steps of a run, or the one that is named. Raises CliError when there is none."""
    run = read_run(await session.client.get(PIPELINE_RUNS, session.namespace, name))
    return [Shown(one, gate, await _report(session, one)) for one, gate in _chosen(run, step)]


def _chosen(run: RunState, step: str | None) -> list[tuple[StepStatus, GateResult]]:
    gates = [(one, one.gate) for one in run.status.steps if one.gate is not None]
    if step is not None:
        gates = [(one, gate) for one, gate in gates if one.name == step]
    if not gates:
        names = [one.name for one in run.status.steps if one.gate is not None]
        known = (
            f"its gates: {', '.join(names)}" if names else "none of its steps is a gate, or has begun to be evaluated"
        )
        raise CliError(f"run {run.name} has no gate{f' in step {step}' if step else ''}; {known}")
    return gates


async def _report(session: Session, step: StepStatus) -> Mapping[str, Any] | None:
    if step.pod is None:
        return None
    found: Mapping[str, Any] | None = None
    mark = REPORT_PREFIX.encode()
    try:
        async with aclosing(read_log(session, step.pod, follow=False, tail=None)) as lines:
            async for line in lines:
                if line.startswith(mark):
                    found = json.loads(line.removeprefix(mark))
    except (ApiError, ValueError):
        return None  # the pod is gone, or its log was cut: the status still says what it came to
    return found


def lines_of(shown: Shown) -> Sequence[str]:
    """The gate as text: the verdict, then its checks, those that did not pass first."""
    step, gate = shown.step, shown.gate
    head = f"{step.name}: {gate.name}: {gate.verdict or 'not evaluated'}"
    if gate.score is not None:
        head += f", score {gate.score:g}"
    if gate.decision is not None:
        head += f", {gate.decision}" + (" (dry run)" if gate.dry_run else "")
    text = gate.message or step.message
    lines = [head + (f": {text}" if text else "")]
    reported = {row["name"]: row for row in (shown.report or {}).get("checks", ())}
    rows = [(row.outcome, row.name, _found(row.message, reported.get(row.name))) for row in gate.checks]
    known = {name for _, name, _ in rows}
    rows += [
        (row["outcome"], name, _found(row.get("message", ""), row))
        for name, row in reported.items()
        if name not in known
    ]
    rows += [
        (tally.newest or "Inconclusive", tally.name, tally.message)
        for tally in gate.tallies
        if tally.name not in known | reported.keys()
    ]
    lines += [f"  {outcome:12} {name}: {found}" for outcome, name, found in rows]
    if shown.report is None and gate.data is not None:
        lines.append("  the report of the checks on data is gone with the log of its pod")
    return lines


def _found(message: str, row: Mapping[str, Any] | None) -> str:
    if row is None:
        return message
    bound = row.get("bound") or ""
    looked_at = row.get("rowsEvaluated")
    rows = f" (over {looked_at} rows)" if looked_at is not None and "rows" not in message else ""
    return f"{bound} | {message}{rows}" if bound else f"{message}{rows}"


def document_of(shown: Sequence[Shown]) -> list[dict[str, Any]]:
    """The gates as JSON."""
    return [
        {"step": one.step.name, "phase": one.step.phase, **one.gate.to_dict(), "report": one.report} for one in shown
    ]
