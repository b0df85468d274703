"""The four keys as text, as Markdown and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sluice.api.durations import format_duration
from sluice.planning.dora import FEW, History, Keys, Lengths, four_keys

SOURCE: Final = "Bands: DORA, Accelerate State of DevOps Report 2024."
_NO_BAND: Final = f"no band: fewer than {FEW}"


@dataclass(frozen=True)
class Report:
    """The keys of each Canary and DataPipeline, and of all together."""

    within: timedelta
    each: Sequence[tuple[History, Keys]]
    together: Keys


@dataclass(frozen=True)
class _Row:
    """One key in words."""

    key: str
    title: str
    value: str
    count: str
    """What it was counted of."""


def report_of(histories: Sequence[History], now: datetime, window: timedelta, within: timedelta) -> Report:
    """The keys of `histories` over the time of `window` up to `now`."""
    each = tuple((row, four_keys([row], now, window, within)) for row in histories)
    return Report(within, each, four_keys(histories, now, window, within))


def _rows(keys: Keys) -> tuple[_Row, ...]:
    rate = keys.failure_rate
    served = f", {keys.failed_unserved} before any request" if keys.failed_unserved else ""
    unknown = f", {keys.without_commit_time} without a commit time" if keys.without_commit_time else ""
    return (
        _Row("frequency", "deployment frequency", _frequency(keys), f"{keys.promoted} promoted"),
        _Row("lead", "lead time for changes", _spread(keys.lead), f"{_count(keys.lead.count, 'change')}{unknown}"),
        _Row(
            "failures",
            "change failure rate",
            f"{rate:.1%}" if rate is not None else "not known",
            f"{keys.failed} of {_count(keys.came, 'change')}{served}",
        ),
        _Row("restore", "time to restore", _spread(keys.restore), _count(keys.restore.count, "failure")),
    )


def _frequency(keys: Keys) -> str:
    if not keys.promoted:
        return "none"
    if keys.frequency >= 1:
        return f"{keys.frequency:.1f} a day"
    if keys.frequency * 7 >= 1:
        return f"{keys.frequency * 7:.1f} a week"
    return f"{keys.frequency * 30:.1f} in 30 days"


def _spread(lengths: Lengths) -> str:
    if lengths.median is None or lengths.p90 is None:
        return "not known"
    median, p90 = (format_duration(timedelta(seconds=value)) for value in (lengths.median, lengths.p90))
    return f"median {median}, p90 {p90}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _stretch(keys: Keys) -> str:
    days = max(1, round((keys.until - keys.since) / timedelta(days=1)))
    ends = ", ".join(f"{number} {outcome}" for outcome, number in keys.outcomes.items())
    return f"{keys.since:%Y-%m-%d} to {keys.until:%Y-%m-%d} ({_count(days, 'day')}): " + (
        f"{_count(keys.rollouts, 'rollout')}, {ends}" if keys.rollouts else "no rollouts"
    )


def _notes(keys: Keys) -> Iterator[str]:
    if keys.cut:
        yield "only the newest 50 are on record: older ones of this time are in the metrics"
    if keys.backwards:
        yield f"{_count(keys.backwards, 'time')} left out, as a clock ran backwards"


def _parts(report: Report) -> Iterator[tuple[str, Keys]]:
    for history, keys in report.each:
        yield f"{history.kind} {history.namespace}/{history.name}", keys
    if len(report.each) > 1:
        yield "together", report.together


def to_text(report: Report) -> str:
    """For people in a terminal."""
    if not report.each:
        return "no Canaries and no DataPipelines"
    lines = []
    for name, keys in _parts(report):
        rows, bands = _rows(keys), keys.bands
        values, counts = max(len(row.value) for row in rows), max(len(row.count) for row in rows)
        lines.append(f"{name}  {_stretch(keys)}")
        for row in rows:
            band = bands[row.key] or _NO_BAND
            lines.append(f"  {row.title:<21}  {row.value:<{values}}  {row.count:<{counts}}  {band}")
        lines += [f"  note: {note}" for note in _notes(keys)]
        lines.append("")
    return "\n".join([*lines, SOURCE])


def to_markdown(report: Report) -> str:
    """For a comment or a page."""
    if not report.each:
        return "No Canaries and no DataPipelines."
    lines = []
    for name, keys in _parts(report):
        lines += [f"### {name}", "", _stretch(keys), "", "| key | value | counted of | band |", "|---|---|---|---|"]
        bands = keys.bands
        lines += [f"| {row.title} | {row.value} | {row.count} | {bands[row.key] or _NO_BAND} |" for row in _rows(keys)]
        lines += ["", *(f"- {note}" for note in _notes(keys))]
        if lines[-1]:
            lines.append("")
    return "\n".join([*lines, SOURCE])


def to_json(report: Report) -> str:
    """For programs. Times are seconds."""
    document = {
        "withinSeconds": report.within.total_seconds(),
        "objects": [
            {"kind": row.kind, "namespace": row.namespace, "name": row.name, **_document(keys)}
            for row, keys in report.each
        ],
        "together": _document(report.together),
        "bands": SOURCE.removeprefix("Bands: "),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _document(keys: Keys) -> dict[str, Any]:
    bands = keys.bands
    return {
        "since": keys.since.isoformat(timespec="seconds"),
        "until": keys.until.isoformat(timespec="seconds"),
        "rollouts": keys.rollouts,
        "outcomes": dict(keys.outcomes),
        "deploymentFrequency": {"perDay": keys.frequency, "promoted": keys.promoted, "band": bands["frequency"]},
        "leadTime": {
            **_lengths(keys.lead),
            "withoutCommitTime": keys.without_commit_time,
            "band": bands["lead"],
        },
        "changeFailureRate": {
            "rate": keys.failure_rate,
            "failed": keys.failed,
            "failedBeforeAnyRequest": keys.failed_unserved,
            "changes": keys.came,
            "band": bands["failures"],
        },
        "timeToRestore": {**_lengths(keys.restore), "band": bands["restore"]},
        "notes": list(_notes(keys)),
    }


def _lengths(lengths: Lengths) -> dict[str, Any]:
    return {"count": lengths.count, "medianSeconds": lengths.median, "p90Seconds": lengths.p90}
