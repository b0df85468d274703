"""`--param name=value` and `--params-file`: text to values of the types that the pipeline declares."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence

from sluice.api.base import Json
from sluice.api.pipeline import Param, ParamType
from sluice.cli.documents import read_documents
from sluice.cli.errors import CliError, Exit
from sluice.planning.params import has_type


def parse_params(pairs: Sequence[str], declared: Sequence[Param]) -> dict[str, Json]:
    """The values of `name=value` pairs. CliError says which one is wrong and what is allowed."""
    types = {param.name: param.type for param in declared}
    values: dict[str, Json] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise CliError(f"--param {pair}: must be NAME=VALUE", Exit.USAGE)
        if name not in types:
            raise CliError(f"--param {pair}: no such parameter; {_allowed(name, types)}", Exit.USAGE)
        if name in values:
            raise CliError(f"--param {pair}: {name} is given twice", Exit.USAGE)
        try:
            values[name] = parse_value(text, types[name])
        except ValueError as error:
            raise CliError(f"--param {pair}: {error}", Exit.USAGE) from error
    return values


def _allowed(name: str, types: dict[str, ParamType]) -> str:
    if not types:
        return "the pipeline has none"
    near = difflib.get_close_matches(name, types, 1)
    listed = ", ".join(f"{known} ({kind})" for known, kind in sorted(types.items()))
    return f"the pipeline has: {listed}" + (f'; did you mean "{near[0]}"?' if near else "")


_ALLOWED: dict[ParamType, str] = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number, such as 0.5 or 1e3",
    "boolean": "true or false",
    "array": 'a JSON array, such as ["a", "b"]',
    "object": 'a JSON object, such as {"a": 1}',
}


def parse_value(text: str, wanted: ParamType) -> Json:
    """`text` as a value of the type: a string as it is, everything else as JSON. ValueError says what is allowed."""
    if wanted == "string":
        return text
    try:
        value: Json = json.loads(text.lower() if wanted == "boolean" else text, parse_constant=_refuse_constant)
    except ValueError:
        value = None
    if not has_type(value, wanted):
        raise ValueError(f"must be {_ALLOWED[wanted]}")
    return int(value) if wanted == "integer" and isinstance(value, float) else value


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def read_params(name: str, text: str) -> dict[str, Json]:
    """The values in a params file: one YAML or JSON mapping of names to values, which keep their types."""
    documents = list(read_documents(text))
    if len(documents) > 1:
        raise CliError(f"{name}:{documents[1].line}: must hold one document", Exit.USAGE)
    if not documents:
        return {}
    document = documents[0]
    for problem in document.problems:
        raise CliError(f"{name}:{problem.line}: {problem.message}", Exit.USAGE)
    if not isinstance(document.value, dict):
        raise CliError(f"{name}:{document.line}: must be a mapping of parameter names to values", Exit.USAGE)
    return document.value
