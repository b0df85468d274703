"""Typed parameters: the values of a run, judged by the pipeline's declarations."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from sluice.api.base import Json, without_nulls
from sluice.api.pipeline import Param, ParamType
from sluice.api.schema import FieldError, invalid, required, show

TYPES: dict[ParamType, str] = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
}
"""The types in words."""


def has_type(value: Json, wanted: ParamType) -> bool:
    """Whether `value` is of the JSON type `wanted`. True is no integer; 3.0 is one, as in JSON schema."""
    match wanted:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return (isinstance(value, int) and not isinstance(value, bool)) or (
                isinstance(value, float) and math.isfinite(value) and value.is_integer()
            )
        case "number":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return whole or (isinstance(value, float) and math.isfinite(value))
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)


def check_value(param: Param, value: Json, field: str) -> Iterator[FieldError]:
    """What is wrong with `value` for `param`."""
    if not has_type(value, param.type):
        yield invalid(field, value, f"must be {TYPES[param.type]}")
        return
    if param.enum is not None and value not in param.enum:
        allowed = ", ".join(show(item) for item in param.enum)
        yield FieldError(field, "Unsupported value", show(value), f"supported values: {allowed}")
    if isinstance(value, str) and param.pattern is not None and not re.fullmatch(param.pattern, value):
        yield invalid(field, value, f"must match {param.pattern}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if param.minimum is not None and value < param.minimum:
            yield invalid(field, value, f"must be at least {param.minimum:g}")
        if param.maximum is not None and value > param.maximum:
            yield invalid(field, value, f"must be at most {param.maximum:g}")
    if isinstance(value, str | list):
        if param.min_length is not None and len(value) < param.min_length:
            yield invalid(field, value, f"must have a length of at least {param.min_length}")
        if param.max_length is not None and len(value) > param.max_length:
            yield invalid(field, value, f"must have a length of at most {param.max_length}")


def check_declaration(param: Param, field: str) -> Iterator[FieldError]:
    """What is wrong with the declaration itself: bounds of another type, a pattern that does not compile, the default."""
    if param.pattern is not None:
        if param.type != "string":
            yield invalid(f"{field}.pattern", param.pattern, f"is for strings; this parameter is {TYPES[param.type]}")
        try:
            re.compile(param.pattern)
        except re.error as error:
            yield invalid(f"{field}.pattern", param.pattern, f"is not a regular expression: {error}")
            return
    for name, bound in (("minimum", param.minimum), ("maximum", param.maximum)):
        if bound is not None and param.type not in ("integer", "number"):
            yield invalid(f"{field}.{name}", bound, f"is for numbers; this parameter is {TYPES[param.type]}")
    for name, length in (("minLength", param.min_length), ("maxLength", param.max_length)):
        if length is not None and param.type not in ("string", "array"):
            yield invalid(
                f"{field}.{name}", length, f"is for strings and arrays; this parameter is {TYPES[param.type]}"
            )
    for index, item in enumerate(param.enum or ()):
        if not has_type(item, param.type):
            yield invalid(f"{field}.enum[{index}]", item, f"must be {TYPES[param.type]}")
    if param.default is not None:
        yield from check_value(param, param.default, f"{field}.default")


def check_params(declared: Sequence[Param], given: Mapping[str, Json], field: str) -> list[FieldError]:
    """What is wrong with the values `given` to a run."""
    known = {param.name: param for param in declared}
    errors: list[FieldError] = []
    for name, value in given.items():
        if name in known:
            errors.extend(check_value(known[name], value, f"{field}.{name}"))
        else:
            allowed = ", ".join(sorted(known)) or "none"
            errors.append(
                FieldError(f"{field}.{name}", "Not found", show(name), f"the pipeline has these parameters: {allowed}")
            )
    errors.extend(
        required(f"{field}.{param.name}", f"{TYPES[param.type]} without a default")
        for param in declared
        if param.name not in given and param.default is None
    )
    return errors


def resolve(declared: Sequence[Param], given: Mapping[str, Json]) -> dict[str, Json]:
    """All parameters with the values of a run whose `given` values have been checked."""
    return {param.name: without_nulls(given.get(param.name, param.default)) for param in declared}
