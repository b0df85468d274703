"""Texts without credentials. Pure; what a user's program printed passes through here before anybody else is shown it."""

from __future__ import annotations

import re
from typing import Final

REDACTED: Final = "[redacted]"

_SECRET_TEXT: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        REDACTED,
    ),
    (
        re.compile(r"(authorization[\"']?\s*[:=]\s*[\"']?(?:[a-z]+\s+)?)[^\s\"',;}]{4,}", re.IGNORECASE),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"\b((?i:bearer|basic)\s+)(?=[a-z]*[A-Z0-9+/=._~-])[A-Za-z0-9+/=._~-]{8,}"), rf"\1{REDACTED}"),
    (re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), REDACTED),
    (re.compile(r"(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*://)[^/\s@'\"]+@", re.IGNORECASE), rf"\1{REDACTED}@"),
    (
        re.compile(
            r"\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[abeprs]-[\w-]{10,}|A[KS]IA[A-Z0-9]{16})"
        ),
        REDACTED,
    ),
    (
        re.compile(
            r"""
            (?P<name>["']?(?<![\w.-])[\w.-]*
                (?:token|password|passwd|secret|api[-_]?key|access[-_]?key|client[-_]?key(?:[-_]data)?)["']?\s*[=:]\s*)
            (?P<quote>["']?)[^\s"'&,;}]+(?P=quote)
            """,
            re.IGNORECASE | re.VERBOSE,
        ),
        rf"\g<name>\g<quote>{REDACTED}\g<quote>",
    ),
)
"""What looks like a credential inside a text: private keys, Authorization values, JSON web tokens, user:password in a
URL, tokens of well-known forms, and `name=value` or `"name": "value"` where the name says so. A pattern that starts
with a run of characters may only start where the run does, which keeps it linear."""

_HINT: Final = re.compile(
    r"-----BEGIN|authorization|bearer|basic|eyJ|://|gh[pousr]_|github_pat_|glpat-|xox|A[KS]IA|token|passw|secret|key",
    re.IGNORECASE,
)
"""One cheap search that says whether any of the patterns above can match; most texts stop here."""


def redact_text(text: str) -> str:
    """`text` without what looks like a credential."""
    if _HINT.search(text) is None:
        return text
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text
