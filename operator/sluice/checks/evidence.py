"""Evidence of a gate's evaluation: JSON for machines, lines for a terminal, a short form for a status. Pure.

The page for people is made from the JSON, by `sluice.checks.page`.
"""

import json
import math
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from sluice.api.base import Json
from sluice.checks.report import Finding, Report, SetAside
from sluice.planning.verdicts import BADNESS, Outcome

MAX_SHORT_BYTES = 3500
"""The short form travels in a termination message of at most 4096 bytes."""
MAX_LINE_BYTES = 256 * 1024
"""The whole report travels in one line of a container's log."""
MAX_CELL = 200
MAX_MESSAGE = 300


def to_json(report: Report) -> dict[str, Json]:
    """The whole report as a JSON document."""
    return {
        "gate": report.gate,
        "verdict": report.verdict.outcome,
        "decision": report.decision,
        "dryRun": report.dry_run,
        "score": report.verdict.score,
        "message": report.verdict.message,
        "evaluatedAt": report.when.now.isoformat(),
        "interval": {"start": report.when.start.isoformat(), "end": report.when.end.isoformat()}
        if report.when.start is not None and report.when.end is not None
        else None,
        "sources": dict(report.sources),
        "sampled": dict(report.samples),
        "quarantine": _set_aside(report.quarantine) if report.quarantine is not None else None,
        "passing": {"uri": report.passing.uri, "rows": report.passing.rows} if report.passing is not None else None,
        "checks": [_check(finding) for finding in report.findings],
    }


def _check(finding: Finding) -> dict[str, Json]:
    return {
        "name": finding.check.name,
        "outcome": finding.outcome,
        "severity": finding.severity,
        "exempt": finding.exempt,
        "message": finding.message,
        "bound": finding.bound,
        "value": finding.value,
        "rowsEvaluated": finding.rows_evaluated,
        "rowsFailed": finding.rows_failed,
        "sampled": finding.sampled or None,
        "samples": [{name: _cell(value) for name, value in row.items()} for row in finding.samples],
    }


def _set_aside(aside: SetAside) -> Json:
    return {
        "source": aside.source,
        "rows": aside.rows,
        "of": aside.total,
        "share": aside.share,
        "uri": aside.uri,
        "problem": aside.problem or None,
    }


def _cell(value: Any) -> Json:
    """A value of a sample row as JSON: short, finite, and readable."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            text = str(value)
            return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "\u2026"


def to_lines(report: Report) -> list[str]:
    """The report for a terminal: a line for each check, then what went where, then the verdict."""
    lines = []
    for finding in report.findings:
        exempt = " (exempt)" if finding.exempt else ""
        found = finding.message
        if finding.rows_evaluated is not None and finding.rows_failed is None:
            found += f" (over {finding.rows_evaluated} rows)"
        if finding.sampled:
            found += f" (sample of {finding.sampled})"
        head = f"{finding.outcome:12} {finding.severity:5} {finding.check.name}{exempt}"
        lines.append(f"{head}: {finding.bound or '-'} | {found}")
    if report.quarantine is not None and report.quarantine.uri is not None:
        lines.append(f"set aside: {report.quarantine.rows} rows in {report.quarantine.uri}")
    if report.passing is not None:
        lines.append(f"passing: {report.passing.rows} rows in {report.passing.uri}")
    verdict = report.verdict
    dry = ", dry run" if report.dry_run else ""
    lines.append(
        f"{report.gate}: {verdict.outcome}, score {verdict.score:g}, {report.decision}{dry}: {verdict.message}"
    )
    return lines


def to_line(report: Report, limit: int = MAX_LINE_BYTES) -> str:
    """The whole report as JSON in one line of at most `limit` bytes.

    What does not fit is left out, sample rows first, then the ends of messages and bounds; then `truncated` is true.
    """
    document = to_json(report)
    line = _dumped(document)
    for longest in (None, 300, 100, 30):
        if len(line.encode()) <= limit:
            break
        checks: list[Json] = [
            {
                **_check(finding),
                "samples": [],
                "message": finding.message[:longest],
                "bound": finding.bound[:longest],
            }
            for finding in report.findings
        ]
        line = _dumped({**document, "truncated": True, "checks": checks})
    return line


def to_short(report: Report, report_uri: str | None = None, limit: int = MAX_SHORT_BYTES) -> str:
    """What a status holds, as JSON of at most `limit` bytes: the verdict, and of the checks that did not pass as many as
    fit, the worst first. The same report gives the same text.
    """
    verdict, aside, passing = report.verdict, report.quarantine, report.passing
    short: dict[str, Json] = {
        "verdict": verdict.outcome,
        "decision": report.decision,
        "score": verdict.score,
        "weight": verdict.weight,
        "counting": verdict.counting,
        "worst": verdict.worst_check,
        "message": verdict.message[:MAX_MESSAGE],
        "evaluatedAt": report.when.now.isoformat(),
        "dryRun": report.dry_run,
        "rows": passing.rows if passing is not None else None,
        "uri": passing.uri if passing is not None else None,
        "quarantined": aside.rows if aside is not None else None,
        "quarantineUri": aside.uri if aside is not None else None,
        "reportUri": report_uri,
    }
    short = {name: value for name, value in short.items() if value is not None}
    for name in ("reportUri", "quarantineUri", "message", "uri"):
        if len(_dumped({**short, "checks": []}).encode()) > limit:
            short.pop(name, None)
    rows: list[Json] = []
    for finding in sorted(report.findings, key=_badness, reverse=True):
        if finding.outcome is Outcome.PASS:
            continue
        row: dict[str, Json] = {
            "name": finding.check.name,
            "outcome": finding.outcome,
            "message": finding.message[:MAX_MESSAGE],
        }
        if finding.value is not None:
            row["value"] = finding.value
        if len(_dumped({**short, "checks": [*rows, row]}).encode()) > limit:
            break
        rows.append(row)
    return _dumped({**short, "checks": rows})


def _badness(finding: Finding) -> tuple[int, int, float]:
    result = finding.result()
    return BADNESS[result.effective], BADNESS[finding.outcome], result.weight


def _dumped(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
