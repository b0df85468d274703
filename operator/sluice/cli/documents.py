"""YAML and JSON text as values that know the line of each of their fields.

Scalars mean what they mean to kubectl and Argo CD (YAML 1.1 as Go reads it: `on` is true, `0777` is octal, `1:30` and
`2024-01-01` are strings), which is not what PyYAML makes of them. Documents are read one by one, so that an error in
one does not hide the others.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from sluice.api.base import Json

MAX_NODES = 200_000
"""Values in one document, aliases written out. More is a "billion laughs" or not a manifest."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with the text itself. Lines count from 1."""

    line: int
    message: str
    path: str = ""
    """The field that it is about; empty for the whole document."""


@dataclass(frozen=True)
class Document:
    """One document: its value, and where each field stands."""

    line: int
    text: str
    value: Json
    lines: Mapping[str, int] = field(default_factory=dict)
    """{`spec.steps[1].args[0]`: line}. A field of a mapping stands where its name does."""
    problems: tuple[Problem, ...] = ()
    readable: bool = True
    """False when the text is no YAML at all and there is no value."""

    def line_of(self, path: str) -> int:
        """The line of a field; of one that is missing, the line of its parent."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.line

    def part(self, path: str, value: Json) -> Document:
        """The document as if it held nothing but `value`, which stands in it at `path`."""
        inner = {name[len(path) :].lstrip("."): line for name, line in self.lines.items() if name.startswith(path)}
        problems = tuple(
            Problem(problem.line, problem.message, problem.path[len(path) :].lstrip("."))
            for problem in self.problems
            if _within(problem.path, path)
        )
        return Document(self.line_of(path), self.text, value, inner, problems)


def _within(path: str, parent: str) -> bool:
    return path == parent or path.startswith((f"{parent}.", f"{parent}["))


def read_documents(text: str) -> Iterator[Document]:
    """The documents of a file. Empty ones (nothing, or only comments) are passed over, as kubectl does."""
    if re.match(r"\s*\{(?![{%])", text):
        yield _read_json(text)
        return
    for first, chunk in _chunks(text):
        document = _read_yaml(chunk, first)
        if document is not None:
            yield document


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """(number of its first line, text) of each document. A line that begins with --- opens one, wherever it stands."""
    start, first = 0, 1
    for mark in re.finditer(r"^---(?=\s|$)", text, re.MULTILINE):
        if mark.start() > start:
            yield first, text[start : mark.start()]
            first += text.count("\n", start, mark.start())
            start = mark.start()
    yield first, text[start:]


# -- JSON -------------------------------------------------------------------------------------------------------------


def _read_json(text: str) -> Document:
    """A JSON document. Text that is flow-style YAML and no JSON is read as that, as kubectl does."""
    try:
        value: Json = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        found = _read_yaml(text, 1)
        if found is not None and found.readable:
            return found
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        return _unreadable(text, 1, Problem(line, f"neither JSON nor YAML: {reason}"))
    # In JSON a tab can only stand between tokens.
    found = _read_yaml(text.replace("\t", " "), 1)
    # YAML does not know every escape of JSON. Then the value is right all the same and only the lines are not known.
    return found if found is not None and found.readable else Document(1, text, value)


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


# -- YAML -------------------------------------------------------------------------------------------------------------

_PLAIN = "plain"
"""Tag of an unquoted scalar without a tag of its own: the only ones whose type depends on the text."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: ten times as fast."""


class _Loader(_Base):  # type: ignore[misc]
    """Composes nodes, and leaves the meaning of plain scalars to `_scalar`."""

    yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}  # noqa: RUF012 - PyYAML's own way to set it


def _unreadable(text: str, line: int, problem: Problem) -> Document:
    return Document(line, text, None, problems=(problem,), readable=False)


def _read_yaml(text: str, first: int) -> Document | None:
    """The document in `text`, whose first line has the number `first`. None when there is nothing in it."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
        if node is None or (node.tag == _PLAIN and node.value == ""):
            return None
        walk = _Walk(first)
        value = walk.value(node, "")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _unreadable(text, first, _syntax_problem(text, first, mark.line if mark is not None else 0, error))
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) if isinstance(position, int) else 0
        return _unreadable(text, first, Problem(first + line, str(error).splitlines()[0]))
    except _Refused as error:
        problem = _template_problem(text, first) or Problem(error.line, error.message)
        return _unreadable(text, first, problem)
    except RecursionError:
        return _unreadable(text, first, Problem(first, "nested too deeply"))
    return Document(first + node.start_mark.line, text, value, walk.lines, tuple(walk.problems))


_TEMPLATE = re.compile(r"^\s*(- +)?\{\{|:\s+\{\{|^\s*\{%", re.MULTILINE)


def _template_problem(text: str, first: int) -> Problem | None:
    """Helm and its like: what stands in {{ }} cannot be judged before it is filled in."""
    match = _TEMPLATE.search(text)
    if match is None:
        return None
    line = first + text.count("\n", 0, text.index("{", match.start()))
    return Problem(line, "is a template, not YAML; render it first: helm template CHART | sluice validate -")


def _syntax_problem(text: str, first: int, line: int, error: yaml.MarkedYAMLError) -> Problem:
    if template := _template_problem(text, first):
        return template
    lines = text.splitlines()
    for number in (line, line - 1):
        if 0 <= number < len(lines) and re.match(r" *\t", lines[number]):
            return Problem(first + number, "a tab in the indentation; YAML takes spaces only")
    context = f" {error.context}" if error.context else ""
    return Problem(first + line, f"not YAML: {error.problem or 'syntax error'}{context}")


class _Refused(Exception):
    """The nodes are YAML, but not what can be sent to Kubernetes."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class _Walk:
    """One walk over the nodes of a document: makes the value and notes the lines."""

    def __init__(self, first: int) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        self._first = first
        self._count = 0
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: str) -> Json:
        self._count += 1
        if self._count > MAX_NODES:
            raise _Refused(self._first, f"more than {MAX_NODES} values, aliases written out")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node.tag, node.value, self._line(node))
        if id(node) in self._open:
            raise _Refused(self._line(node), "an anchor that contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._item(item, f"{path}[{index}]") for index, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _line(self, node: yaml.Node) -> int:
        return self._first + int(node.start_mark.line)

    def _item(self, node: yaml.Node, path: str) -> Json:
        self.lines[path] = self._line(node)
        return self.value(node, path)

    def _mapping(self, node: yaml.Node, path: str) -> dict[str, Json]:
        result: dict[str, Json] = {}
        seen: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key, child in node.value:
            line = self._line(key)
            if key.tag == _PLAIN and key.value == "<<":
                merged.append(child)
                continue
            name = _key(key, line)
            at = f"{path}.{name}" if path else name
            if name in seen:
                message = f'duplicate field "{at}": it stands in line {seen[name]} too, and only the last would count'
                self.problems.append(Problem(line, message, at))
            seen[name] = line
            self.lines[at] = line
            result[name] = self.value(child, at)
        for source in merged:
            self._merge(source, path, result)
        return result

    def _merge(self, source: yaml.Node, path: str, into: dict[str, Json]) -> None:
        """`<<`: what `source` has and the mapping does not say itself. Lines are those of the anchor."""
        parts = source.value if isinstance(source, yaml.SequenceNode) else [source]
        for part in parts:
            if not isinstance(part, yaml.MappingNode) or id(part) in self._open:
                raise _Refused(self._line(source), "<< takes a mapping or a list of mappings")
            inner = _Walk(self._first)
            inner._count, inner._open = self._count, self._open
            for name, value in inner._mapping(part, path).items():
                if name not in into:
                    into[name] = value
                    at = f"{path}.{name}" if path else name
                    self.lines |= {field: line for field, line in inner.lines.items() if _within(field, at)}
            self._count = inner._count


def _key(node: yaml.Node, line: int) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _Refused(line, "a key must be a string")
    value = _scalar(node.tag, node.value, line)
    if value is None:
        raise _Refused(line, "a key must be a string, not null")
    return value if isinstance(value, str) else json.dumps(value)


_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {
    word: value
    for value, words in ((True, ("y", "yes", "true", "on")), (False, ("n", "no", "false", "off")))
    for plain in words
    for word in (plain, plain.capitalize(), plain.upper())
}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGER: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"[-+]?0[xX][0-9a-fA-F]+"), 16),
    (re.compile(r"[-+]?0[bB][01]+"), 2),
    (re.compile(r"[-+]?0[oO]?[0-7]+"), 8),
    (re.compile(r"[-+]?(0|[1-9][0-9]*)"), 10),
)
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def _scalar(tag: str, text: str, line: int) -> Json:
    """The value of a scalar, as Go's YAML reads it."""
    if tag != _PLAIN and tag.rsplit(":", 1)[-1] not in ("int", "float", "bool", "null"):
        return text
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _SPECIAL.fullmatch(text):
        raise _Refused(line, f"{text} cannot be written in JSON")
    digits = text.replace("_", "")
    if digits[:1] in tuple("+-.0123456789") and digits:
        for pattern, base in _INTEGER:
            if pattern.fullmatch(digits):
                return _as_integer(digits, base)
        if _FLOAT.fullmatch(digits):
            number = float(digits)
            if not math.isfinite(number):
                raise _Refused(line, f"{text} is too large")
            # JSON has one kind of number, and Kubernetes takes 3.0 for an integer.
            return int(number) if number.is_integer() and abs(number) < 2**63 else number
    return text


def _as_integer(digits: str, base: int) -> int | float:
    sign = -1 if digits[0] == "-" else 1
    body = digits.lstrip("+-")
    read: Callable[[str], int] = (lambda text: int(text, base)) if base == 10 else (lambda text: int(text, 0))
    if base == 8 and body[1:2] not in ("o", "O"):
        body = "0o" + body
    number = sign * read(body)
    return number if -(2**63) <= number < 2**64 else float(number)
