# ruff: noqa: INP001 - docs/ is no package
"""Writes what documents say of the code from the code: docs/reference.md, the tables of verdicts in docs/gates.md, and the
phases of a canary and what can be asked in them in docs/canaries.md.

    python docs/generate.py           write them
    python docs/generate.py --check   fail when one is stale

The CRDs are generated from the models, and what the models say of a field is all that the reference says of it. A
generated part of another document stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sluice.api.canary_status import CanaryPhase
from sluice.api.crd import KINDS, Kind, Schema, definition
from sluice.api.names import API_VERSION
from sluice.planning.canary_controls import ACTIONS, ALLOWED
from sluice.planning.canary_transitions import diagram
from sluice.planning.verdicts import BADNESS, CREDIT, DECISION_TABLE, SEVERITY_TABLE, Outcome

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference.md"
GATES = DOCS / "gates.md"
CANARIES = DOCS / "canaries.md"

_HEAD = f"""\
<!-- Generated from the models by `python docs/generate.py`. Do not edit. -->

# Reference of all kinds

Every field of every kind of `{API_VERSION}`, as the CRDs in [crds/](../crds) state them. How things behave is told in
[pipelines.md](pipelines.md), [gates.md](gates.md) and [canaries.md](canaries.md).

`[]` in a field's path stands for each item of a list, `.*` for each key of a map. **Bold** fields are required. A type
given as *Kubernetes* is not described by sluice: its shape is that of the field of the same name in a pod, and the API
server checks it when the pod is created.
"""


def render() -> str:
    """The whole document."""
    return _HEAD + "".join(_kind(kind) for kind in KINDS)


def _kind(kind: Kind) -> str:
    body = definition(kind)["spec"]
    schema: Schema = body["versions"][0]["schema"]["openAPIV3Schema"]
    names = ", ".join(f"`{name}`" for name in body["names"]["shortNames"])
    scope, longest = body["scope"], kind.max_name
    parts = [
        f"\n## {kind.name}\n",
        f"\n`kubectl get {kind.plural}`, short: {names}. {scope}. A name has at most {longest} characters.\n",
        _table("Spec", "spec", schema["properties"]["spec"]),
        _table("Status", "status", schema["properties"]["status"]),
        "\n### Columns of `kubectl get`\n\n| column | what it is | shown |\n|---|---|---|\n",
    ]
    for column in kind.columns:
        shown = "with `-o wide`" if column.priority else "always"
        parts.append(f"| {column.name} | {_cell(column.description)} | {shown} |\n")
    return "".join(parts)


def _table(title: str, path: str, schema: Schema) -> str:
    rows = "".join(f"| {' | '.join(row)} |\n" for row in _rows(path, schema))
    return f"\n### {title}\n\n{schema.get('description', '')}\n\n| field | type | what it is |\n|---|---|---|\n{rows}"


def _rows(path: str, schema: Schema) -> Iterator[tuple[str, str, str]]:
    """(field, type, what it is) of everything below `path`, parents before their children."""
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        field = f"{path}.{name}"
        shown = f"**`{field}`**" if name in required else f"`{field}`"
        yield shown, _type(child), _cell(" ".join(filter(None, (child.get("description", ""), _limits(child)))))
        yield from _below(field, child)


def _below(field: str, schema: Schema) -> Iterator[tuple[str, str, str]]:
    if "items" in schema:
        yield from _rows(f"{field}[]", schema["items"])
    elif isinstance(schema.get("additionalProperties"), dict):
        yield from _rows(f"{field}.*", schema["additionalProperties"])
    else:
        yield from _rows(field, schema)


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of {_type(schema['additionalProperties'])}"
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return "*Kubernetes*" if schema.get("type") == "object" else "any value"
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "any value"))


def _limits(schema: Schema) -> str:
    """What the schema allows: values, lengths, bounds, the messages of its rules; of a list of values also theirs."""
    said = list(_allowed(schema))
    if "items" in schema and "properties" not in schema["items"]:
        said += [f"Each: {text[0].lower()}{text[1:]}" for text in _allowed(schema["items"])]
    return " ".join(said)


def _allowed(schema: Schema) -> Iterator[str]:
    if "enum" in schema:
        yield f"One of {', '.join(f'`{value}`' for value in schema['enum'])}."
    for rule in schema.get("x-kubernetes-validations", ()):
        message = rule["message"]
        yield f"{message[0].upper()}{message[1:]}{'' if message.endswith('.') else '.'}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        yield f"From {low:g} to {high:g}."
    elif low is not None:
        yield f"At least {low:g}."
    elif high is not None:
        yield f"At most {high:g}."
    for few, many, what in (("minItems", "maxItems", "items"), ("minLength", "maxLength", "characters")):
        if schema.get(few):
            yield f"At least {schema[few]} {what if schema[few] > 1 else what[:-1]}."
        if many in schema:
            yield f"At most {schema[many]} {what}."
    if schema.get("x-kubernetes-list-type") == "map":
        yield f"Unique by `{'`, `'.join(schema['x-kubernetes-list-map-keys'])}`."
    elif schema.get("x-kubernetes-list-type") == "set":
        yield "No item twice."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


# -- parts of documents that are written by hand ----------------------------------------------------------------------


def verdict_parts() -> dict[str, str]:
    """The generated parts of docs/gates.md by name: what an outcome counts for, and what a verdict leads to."""
    order = sorted(Outcome, key=BADNESS.__getitem__)
    severities = _markdown(
        ("severity", *order),
        ((severity, *(counts[outcome] for outcome in order)) for severity, counts in SEVERITY_TABLE.items()),
    )
    decisions = _markdown(
        ("verdict", "decision", "a check that came to this earns of its weight"),
        ((outcome, DECISION_TABLE[outcome], f"{CREDIT[outcome]:.0%}") for outcome in order),
    )
    decides = f"The worst contribution decides, in the order {', '.join(order)}.\n\n"
    return {"severities": decides + severities, "decisions": decisions}


def canary_parts() -> dict[str, str]:
    """The generated parts of docs/canaries.md by name: the phases, and where each request can be met."""
    everywhere = set.union(*(set(phases) for phases in ALLOWED.values()))
    rows = [
        (
            f"`{action}`",
            "in every phase but Leaving and Gone" if ALLOWED[action] == everywhere else _phases(ALLOWED[action]),
        )
        for action in ACTIONS
    ]
    return {
        "phases": f"```mermaid\n{diagram()}```\n",
        "controls": _markdown(("request", "can be met"), rows),
    }


def _phases(phases: Iterable[CanaryPhase]) -> str:
    """Phases in the order of a rollout."""
    return ", ".join(phase for phase in CanaryPhase if phase in phases)


def with_parts(text: str, parts: Mapping[str, str]) -> str:
    """`text` with each of `parts` between its markers. Raises ValueError for markers that do not stand there once."""
    for name, part in parts.items():
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
        found = re.findall(pattern, text, flags=re.DOTALL)
        if len(found) != 1:
            raise ValueError(f"the markers of the generated part {name} stand there {len(found)} times, not once")
        text = re.sub(pattern, r"\g<1>" + part.replace("\\", r"\\") + r"\g<2>", text, flags=re.DOTALL)
    return text


def _markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "".join(f"{line}\n" for line in lines)


def texts() -> dict[Path, str]:
    """What each document should hold."""
    gates = GATES.read_text(encoding="utf-8")
    canaries = CANARIES.read_text(encoding="utf-8")
    return {
        REFERENCE: render(),
        GATES: with_parts(gates, verdict_parts()),
        CANARIES: with_parts(canaries, canary_parts()),
    }


def main(arguments: list[str]) -> int:
    """Write the files, or with --check say which are stale. Exit code 1 when one is."""
    code = 0
    for path, text in texts().items():
        name = f"docs/{path.name}"
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            print(f"{name} is stale: run `python docs/generate.py`")
            code = 1
        else:
            path.write_text(text, encoding="utf-8")
            print(f"{name}: {len(text.encode())} bytes")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
