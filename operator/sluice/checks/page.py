"""The report of a gate as one page for people, made from the report as JSON. Pure.

The page has no scripts and links to nothing outside, so that it can be kept and sent as one file. All that comes from data
is escaped.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

_COLORS: Mapping[str, str] = {
    "Pass": "#1a7f37",
    "Warn": "#9a6700",
    "Fail": "#cf222e",
    "Inconclusive": "#6e40c9",
    "Error": "#57606a",
}
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1f2328}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{border:1px solid #d0d7de;padding:.3rem .6rem;text-align:left;vertical-align:top}
th{background:#f6f8fa}.o{color:#fff;border-radius:.4rem;padding:0 .5rem;white-space:nowrap}
.n{text-align:right;white-space:nowrap}.scroll{overflow-x:auto}summary{cursor:pointer}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th{background:#161b22}td,th{border-color:#30363d}}
"""


def to_html(report: Mapping[str, Any]) -> str:
    """The page of a report, as `sluice.checks.evidence.to_json` makes it."""
    checks: Sequence[Mapping[str, Any]] = report.get("checks") or ()
    interval = report.get("interval")
    covered = f", data from {_e(interval['start'])} to {_e(interval['end'])}" if interval else ""
    where = "".join(
        f", {word} {_e(report[key])}" for key, word in (("run", "run"), ("step", "step")) if report.get(key)
    )
    dry = " (dry run: nothing was stopped)" if report.get("dryRun") else ""
    cut = "<p>This report was cut to its greatest size.</p>" if report.get("truncated") else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_e(report['gate'])}: {_e(report['verdict'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{_e(report['gate'])} {_badge(report['verdict'])}</h1>"
        f"<p>Score {report['score']:g} of 100, decision {_e(report['decision'])}{dry}. {_e(report['message'])}</p>"
        f"<p>Evaluated {_e(report['evaluatedAt'])}{covered}{where}.</p>{cut}{_moved(report)}"
        '<div class="scroll"><table><tr><th>Check</th><th>Outcome</th><th>Severity</th><th>What has to hold</th>'
        f"<th>What was found</th><th>Rows looked at</th></tr>{''.join(map(_row, checks))}</table></div>"
        f"{''.join(_samples(check) for check in checks if check.get('samples'))}{_sources(report)}</body></html>\n"
    )


def _e(value: object) -> str:
    return html.escape("" if value is None else str(value))


def _badge(outcome: str) -> str:
    return f'<span class="o" style="background:{_COLORS.get(outcome, "#57606a")}">{_e(outcome)}</span>'


def _row(check: Mapping[str, Any]) -> str:
    exempt = " (exempt)" if check.get("exempt") else ""
    rows = check.get("rowsEvaluated")
    where = "" if check.get("evaluatedIn") in (None, "duckdb") else f" (in {_e(check['evaluatedIn'])})"
    return (
        f"<tr><td>{_e(check['name'])}</td><td>{_badge(check['outcome'])}</td>"
        f"<td>{_e(check.get('severity'))}{exempt}</td><td>{_e(check.get('bound'))}</td>"
        f'<td>{_e(check.get("message"))}{where}</td><td class="n">{"" if rows is None else f"{rows:,}"}</td></tr>'
    )


def _samples(check: Mapping[str, Any]) -> str:
    rows: Sequence[Mapping[str, Any]] = check["samples"]
    names = list(rows[0])
    head = "".join(f"<th>{_e(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_e(row.get(name))}</td>" for name in names) + "</tr>" for row in rows)
    return (
        f"<details><summary>Rows that fail {_e(check['name'])}</summary>"
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div></details>'
    )


def _moved(report: Mapping[str, Any]) -> str:
    """What became of the rows, where some were set aside."""
    text = ""
    aside, passing = report.get("quarantine"), report.get("passing")
    if aside and aside.get("uri"):
        text += f"<p>{aside['rows']:,} rows were set aside in {_e(aside['uri'])}.</p>"
    if passing:
        text += f"<p>{passing['rows']:,} rows went on in {_e(passing['uri'])}.</p>"
    return text


def _sources(report: Mapping[str, Any]) -> str:
    sampled = report.get("sampled") or {}
    rows = "".join(
        f"<tr><td>{_e(name)}</td><td>{_e(uri)}</td><td>{_e(sampled.get(name, 'all rows'))}</td></tr>"
        for name, uri in (report.get("sources") or {}).items()
    )
    return f"<h2>Sources</h2><table><tr><th>Name</th><th>Place</th><th>Looked at</th></tr>{rows}</table>"
