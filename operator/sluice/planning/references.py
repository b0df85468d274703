"""`$(...)` references in commands, arguments and environment values.

    $(params.NAME)                               a parameter of the run
    $(interval.start) $(interval.end)            RFC 3339 in UTC;  .date gives the day in the schedule's time zone
    $(run.name) .namespace .uid .pipeline .revision
    $(steps.STEP.outputs.KEY)                    an output of a step upstream
    $(steps.STEP.outputs.KEY ?? text)            the same with a default
    $(steps.STEP.phase) .reason, $(run.outcome) .reason      in finally steps only

Text that does not begin with one of these words belongs to Kubernetes ($(VAR) is a variable of the container) and is left
as it is; `$$(` is Kubernetes' own escape. What is put in is escaped, so that a value holding `$(X)` stays that text.

Queries of metric checks hold references too, with `$(args.NAME)` and, in gates of canaries, `$(canary.name)` and its like
(`CANARY_NAMES`) besides; there `$$` is nothing special (`IN_QUERIES`).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sluice.api.base import Json
from sluice.api.pipeline import Step


def _syntax(*words: str, escape: str = "") -> re.Pattern[str]:
    """An escape, a reference (group 1), or what begins like one and cannot be read as one (group 2)."""
    word = "|".join(words)
    return re.compile(rf"{escape}\$\(((?:{word})\.[^()]*)\)|(\$\((?:{word})\.[^)]*)")


IN_PODS = _syntax("params", "interval", "run", "steps", escape=r"\$\$|")
"""References in what a pod is given, where `$$` is Kubernetes' escape."""
IN_QUERIES = _syntax("args", "params", "interval", "run", "steps", "canary")
"""References in queries, whose own `$` is left alone."""
_OUTPUT = re.compile(r"steps\.([^.]+)\.outputs\.([^.]+)")
_STATE = re.compile(r"steps\.([^.]+)\.(phase|reason)")

PLAIN_NAMES = (
    "interval.start",
    "interval.end",
    "interval.start.date",
    "interval.end.date",
    "run.name",
    "run.namespace",
    "run.uid",
    "run.pipeline",
    "run.revision",
)
CANARY_NAMES = (
    "canary.name",
    "canary.namespace",
    "canary.target",
    "canary.service",
    "canary.candidate",
    "canary.revision",
    "canary.weight",
)
"""What queries of a canary's gates may refer to: `service` is the user's Service, `candidate` that of the candidate."""
FINALLY_NAMES = ("run.outcome", "run.reason")


@dataclass(frozen=True)
class Reference:
    """One `$(path)` or `$(path ?? default)`."""

    path: str
    default: str | None = None

    @property
    def output(self) -> tuple[str, str] | None:
        """(step, key) when this refers to an output."""
        match = _OUTPUT.fullmatch(self.path)
        return (match[1], match[2]) if match else None

    @property
    def state_of(self) -> str | None:
        """The step when this refers to its phase or reason."""
        match = _STATE.fullmatch(self.path)
        return match[1] if match else None

    @property
    def param(self) -> str | None:
        """The parameter when this refers to one."""
        return self.path.removeprefix("params.") if self.path.startswith("params.") else None

    def __str__(self) -> str:
        return f"$({self.path})"


class UnresolvedReference(Exception):
    """A reference has no value and no default."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(f"{reference} has no value and no default")
        self.reference = reference


def _parse(inner: str) -> Reference:
    path, separator, default = inner.partition("??")
    return Reference(path.strip(), default.strip() if separator else None)


def references(text: str, syntax: re.Pattern[str] = IN_PODS) -> Iterator[Reference]:
    """The references in `text`, in order."""
    for match in syntax.finditer(text):
        if match[1] is not None:
            yield _parse(match[1])


def unreadable(text: str, syntax: re.Pattern[str] = IN_PODS) -> Iterator[str]:
    """What in `text` begins like a reference and is none."""
    for match in syntax.finditer(text):
        if match[2] is not None:
            yield match[2]


def fields_of(step: Step) -> Iterator[tuple[str, str]]:
    """(field, text) of everything in `step` that may hold references; field is relative to the step."""
    for index, text in enumerate(step.command):
        yield f"command[{index}]", text
    for index, text in enumerate(step.args):
        yield f"args[{index}]", text
    for index, variable in enumerate(step.env):
        if variable.value is not None:
            yield f"env[{index}].value", variable.value
    if step.gate is not None:
        for name, text in step.gate.sources.items():
            yield f"gate.sources[{name}]", text
        for name, text in step.gate.args.items():
            yield f"gate.args[{name}]", text
        for field in ("quarantine", "passing", "report"):
            if (text := getattr(step.gate, field)) is not None:
                yield f"gate.{field}", text


def outputs_used(steps: tuple[Step, ...]) -> dict[str, set[str]]:
    """{step: keys of its outputs that some step refers to}."""
    used: dict[str, set[str]] = {}
    for step in steps:
        for _, text in fields_of(step):
            for reference in references(text):
                if reference.output:
                    used.setdefault(reference.output[0], set()).add(reference.output[1])
    return used


def as_text(value: Json) -> str:
    """A value as it appears in an argument: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def substitute(text: str, values: Mapping[str, Json], *, escape: bool = True) -> str:
    """`text` of a pod with every reference replaced from `values` ({path: value}). Raises UnresolvedReference.

    `escape`: what is put in is escaped for Kubernetes, which expands `$(VAR)` in commands, arguments and the environment.
    """
    return replaced(text, values, lambda found, _at: found.replace("$", "$$") if escape else found, IN_PODS)


def replaced(text: str, values: Mapping[str, Json], write: Callable[[str, int], str], syntax: re.Pattern[str]) -> str:
    """`text` with every reference replaced by `write(its value, where it stands)`. Raises UnresolvedReference."""

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]  # an escape, or what admission refuses
        reference = _parse(match[1])
        if reference.path in values:
            found = as_text(values[reference.path])
        elif reference.default is not None:
            found = reference.default
        else:
            raise UnresolvedReference(reference)
        return write(found, match.start())

    return syntax.sub(replace, text)
