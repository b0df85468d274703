"""The answer of `sluice diff` for people, for a comment on a pull request, and for programs. Pure."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sluice.api.base import Json
from sluice.cli.checking import Finding, Report
from sluice.planning.changes.objects import Change, Effect, Level, Ref, What

MARK = "<!-- sluice diff -->"
"""The first line of a comment, by which a CI job finds the one that it made before."""
MAX_COMMENT = 60_000
"""Characters of a comment: GitHub takes 65,536."""
MAX_LISTED = 50
"""Findings and notes in a comment."""


@dataclass(frozen=True)
class Answer:
    """All that is to be said."""

    base: str
    head: str
    report: Report
    changes: Sequence[Change]
    findings: Sequence[Finding]
    """What must not be merged."""
    notes: Sequence[str]
    errors: Sequence[str]
    """What cannot be read."""

    @property
    def summary(self) -> str:
        """How many objects there are of each sort of change."""
        counts = Counter(change.what for change in self.changes)
        return ", ".join(f"{counts[what]} {what}" for what in What if counts[what]) or "nothing changes"


def _who(change: Change) -> str:
    unit = f"  [{change.ref.unit}]" if change.ref.unit else ""
    before = f"{_place(change.before)} -> {_place(change.ref)}" if change.before is not None else _place(change.ref)
    return f"{change.ref.kind} {before}{unit}"


def _place(ref: Ref) -> str:
    return f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name


# -- text -------------------------------------------------------------------------------------------------------------

_SIGN = {Level.INFO: "  ", Level.WARNING: "! ", Level.ERROR: "x "}


def to_text(answer: Answer) -> str:
    """For a terminal."""
    lines = [f"{answer.base} -> {answer.head}: {answer.summary}"]
    for change in answer.changes:
        lines += ["", f"{change.what}  {_who(change)}"]
        lines += [f"  {_SIGN[effect.level]}{effect.message}" for effect in change.effects]
        lines += [f"      {row}" for row in change.fields]
        if change.more_fields:
            lines.append(f"      and {change.more_fields} more fields")
    lines.append("")
    lines += [str(finding) for finding in answer.findings]
    lines.append(answer.report.verdict())
    return "\n".join(lines)


# -- Markdown ---------------------------------------------------------------------------------------------------------


def to_markdown(answer: Answer) -> str:
    """For a comment: what is wrong, a table of what will happen, and the fields in details. Cut before it is too long."""
    head = [MARK, f"### sluice: {_text(answer.summary)}", "", f"{_text(answer.base)} → {_text(answer.head)}", ""]
    head += _problems(answer)
    rows = [_row(change) for change in answer.changes]
    if rows:
        rows = ["| | object | what will happen |", "|---|---|---|", *rows]
    details = [detail for change in answer.changes if (detail := _details(change))]
    notes = _list("Notes", answer.notes)
    return _cut([*head, *rows, *notes, "", *details])


def _problems(answer: Answer) -> list[str]:
    wrong = [f"`{_code(f'{one.file}:{one.line}')}` {_text(one.message)}" for one in answer.findings]
    lines = _list("**Must not be merged:**", wrong, ready=True) + _list("**Cannot be read:**", answer.errors)
    return lines or [f"Valid: {_text(answer.report.verdict())}.", ""]


def _list(title: str, items: Sequence[str], *, ready: bool = False) -> list[str]:
    if not items:
        return []
    more = [f"- and {len(items) - MAX_LISTED} more"] if len(items) > MAX_LISTED else []
    return ["", title, "", *(f"- {item if ready else _text(item)}" for item in items[:MAX_LISTED]), *more, ""]


def _row(change: Change) -> str:
    effects = "<br>".join(_effect(effect) for effect in change.effects) or _fields_in_short(change)
    return f"| {change.what} | {_text(_who(change))} | {effects} |"


def _effect(effect: Effect) -> str:
    mark = {Level.INFO: "", Level.WARNING: "⚠️ ", Level.ERROR: "❌ "}[effect.level]
    return mark + _text(effect.message)


def _fields_in_short(change: Change) -> str:
    paths = [row.path for row in change.fields[:5]]
    more = len(change.fields) + change.more_fields - len(paths)
    return _text(", ".join(paths) + (f" and {more} more" if more else ""))


def _details(change: Change) -> str:
    if not change.fields:
        return ""
    lines = [f"<details><summary>{_text(_who(change))}: fields</summary>", "", "```diff"]
    for row in change.fields:
        if row.before is not None:
            lines.append(f"- {row.path}: {row.before}")
        if row.after is not None:
            lines.append(f"+ {row.path}: {row.after}")
    if change.more_fields:
        lines.append(f"  and {change.more_fields} more fields")
    return "\n".join([*lines, "```", "", "</details>", ""])


def _cut(blocks: Sequence[str]) -> str:
    taken: list[str] = []
    room = MAX_COMMENT
    for block in blocks:
        room -= len(block) + 1
        if room < 0:
            taken += ["", "The rest is left out, as a comment has only so much room: run `sluice diff` yourself."]
            break
        taken.append(block)
    return "\n".join(taken)


def _text(text: str) -> str:
    """Text that is no markup, whatever it holds, and calls nobody by @name."""
    plain = re.sub(r"\s+", " ", html.escape(text, quote=False))
    plain = re.sub(r"[\\`*_\[\]|~#]", lambda match: f"&#{ord(match[0])};", plain)
    return plain.replace("@", "@<!-- -->")


def _code(text: str) -> str:
    return re.sub(r"[`|\s]+", " ", text)


# -- JSON -------------------------------------------------------------------------------------------------------------


def to_json(answer: Answer) -> str:
    """For programs."""
    document = {
        "base": answer.base,
        "head": answer.head,
        "valid": not answer.findings and not answer.errors,
        "changes": [_change(change) for change in answer.changes],
        "findings": [finding.to_dict() for finding in answer.findings],
        "notes": list(answer.notes),
        "errors": list(answer.errors),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _change(change: Change) -> dict[str, Json]:
    return {
        **dict(_ref(change.ref)),
        "change": str(change.what),
        **({"before": dict(_ref(change.before))} if change.before is not None else {}),
        "fields": [{"path": row.path, "before": row.before, "after": row.after} for row in change.fields],
        "moreFields": change.more_fields,
        "effects": [{"level": str(effect.level), "message": effect.message} for effect in change.effects],
    }


def _ref(ref: Ref) -> Iterator[tuple[str, Json]]:
    yield from (("kind", ref.kind), ("name", ref.name))
    if ref.group:
        yield "group", ref.group
    if ref.namespace:
        yield "namespace", ref.namespace
    if ref.unit:
        yield "builtFrom", ref.unit
