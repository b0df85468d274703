r"""Regular expressions that mean the same in RE2 and in PostgreSQL. Pure.

A pattern is read by a small grammar: ASCII letters, digits and punctuation, escapes of punctuation and of digits,
classes of single characters and ranges, groups, alternatives and greedy repetitions. All else (`.`, `\w`, `\b`, flags,
look-around, texts outside of ASCII) has a meaning of its own in each engine, or none, and is not translated.
"""

import re
from string import ascii_lowercase, ascii_uppercase, digits

_MOST_REPETITIONS = 255
"""PostgreSQL's limit; RE2's is higher."""
_REPEAT = re.compile(r"[*+?]|\{(\d+)(?:(,)(\d*))?\}")
_CLASS = re.compile(r"\[\^?(?:(?:[A-Za-z0-9 _@#%&=~,;:!<>/\"'.+*?(){}|$-]|\\[.+*?()\[\]{}|$^/-]|\\d)+)\]")
_CLASS_PART = re.compile(r"\\d|\\.|.", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9 _@#%&=~,;:!<>/\"'-]|\\[.+*?()\[\]{}|$^/-]")


class Untranslatable(Exception):
    """The pattern may mean something else in PostgreSQL."""


def to_postgres(pattern: str) -> str:
    """A pattern that matches in PostgreSQL exactly the texts that `pattern` matches whole in RE2."""
    text, end = _alternatives(pattern, 0)
    if end != len(pattern):
        raise Untranslatable(pattern)
    return f"^(?:{text})$"


def _alternatives(pattern: str, at: int) -> tuple[str, int]:
    branch, at = _branch(pattern, at)
    while at < len(pattern) and pattern[at] == "|":
        other, at = _branch(pattern, at + 1)
        branch += f"|{other}"
    return branch, at


def _branch(pattern: str, at: int) -> tuple[str, int]:
    parts = ""
    while at < len(pattern) and pattern[at] not in "|)":
        atom, at = _atom(pattern, at)
        parts += atom
        repeat = _REPEAT.match(pattern, at)
        if repeat is not None:
            _check(repeat, pattern)
            if repeat[1] is not None and "{" in atom.replace("\\{", "") and atom.startswith("("):
                raise Untranslatable(pattern)  # RE2 bounds the product
            parts += repeat[0]
            at = repeat.end()
            if at < len(pattern) and pattern[at] in "*+?{":
                raise Untranslatable(pattern)
    if not parts:
        raise Untranslatable(pattern)
    return parts, at


def _check(repeat: re.Match[str], pattern: str) -> None:
    least, most = repeat[1], repeat[3]
    if least is not None and max(int(least), int(most or 0)) > _MOST_REPETITIONS:
        raise Untranslatable(pattern)
    if least is not None and most and int(most) < int(least):
        raise Untranslatable(pattern)


def _atom(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at] == "(":
        start = at + 3 if pattern.startswith("(?:", at) else at + 1
        inside, end = _alternatives(pattern, start)
        if end >= len(pattern):
            raise Untranslatable(pattern)
        return f"(?:{inside})", end + 1
    if pattern.startswith("\\d", at):
        return "[0-9]", at + 2
    if (found := _CLASS.match(pattern, at)) is not None:
        return _class(found[0], pattern), found.end()
    if (found := _PLAIN.match(pattern, at)) is not None:
        return found[0], found.end()
    raise Untranslatable(pattern)


def _class(text: str, pattern: str) -> str:
    """A class in brackets. A hyphen stands at its end, or between two digits or letters of one case."""
    inside = text[1:-1].removeprefix("^")
    parts = _CLASS_PART.findall(inside)
    at = 0
    while at < len(parts):
        is_range = parts[at + 1 : at + 2] == ["-"] and at + 2 < len(parts)
        if parts[at] == "-" and at != len(parts) - 1:
            raise Untranslatable(pattern)
        if is_range and not _is_range(parts[at], parts[at + 2]):
            raise Untranslatable(pattern)
        at += 3 if is_range else 1
    return text[: len(text) - 1 - len(inside)] + "".join("0-9" if part == "\\d" else part for part in parts) + "]"


def _is_range(first: str, last: str) -> bool:
    alike = any(first in letters and last in letters for letters in (digits, ascii_lowercase, ascii_uppercase))
    return len(first) == len(last) == 1 and alike and first <= last
