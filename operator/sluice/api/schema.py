"""Judges an object by the schema of its CRD as the API server does, and in its words.

The CRDs are the one place where the shape of an object is stated. `kubectl apply` has them evaluated by the API server;
`sluice validate` has them evaluated here, without a cluster. The wording follows k8s.io/apimachinery (field errors) and
kube-openapi (messages of JSON schema), so that both say the same; a test on a real cluster compares them.
Only what the generated CRDs use is implemented; `_KNOWN` makes anything else an error instead of a silent pass.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import cel

from sluice.api.base import Json
from sluice.api.crd import KINDS, Kind, Schema, definition
from sluice.api.names import API_VERSION

_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_DATE_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([01][0-9]|2[0-3])(:[0-5][0-9]){2}(.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
"""What kube-openapi takes for `format: date-time`."""
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong: where, what sort of error, the value (None: not shown), and what is allowed."""

    field: str
    problem: str
    value: str | None = None
    detail: str = ""

    def __str__(self) -> str:
        """The error as the API server prints it."""
        head = f"{self.field}: {self.problem}" if self.field else self.problem
        parts = [head, *([self.value] if self.value is not None else []), *([self.detail] if self.detail else [])]
        return ": ".join(parts)


def invalid(field: str, value: Json, detail: str) -> FieldError:
    """`value` is not allowed in `field`."""
    return FieldError(field, "Invalid value", show(value), detail)


def not_found(field: str, value: Json, detail: str = "") -> FieldError:
    """`value` in `field` refers to what does not exist."""
    return FieldError(field, "Not found", show(value), detail)


def required(field: str, detail: str = "") -> FieldError:
    """`field` has to be given."""
    return FieldError(field, "Required value", None, detail)


def show(value: Json) -> str:
    """A value as it appears in a message: a string as Go quotes it, all else as JSON; cut when very long."""
    text = _quote(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= 200 else text[:200] + "..."


_ESCAPES = dict(zip('"\\\a\b\f\n\r\t\v', '"\\abfnrtv', strict=True))


def _quote(text: str) -> str:
    """`text` in quotes, as Go's %q writes it."""

    def written(char: str) -> str:
        if char in _ESCAPES:
            return f"\\{_ESCAPES[char]}"
        if char.isprintable():
            return char
        code = ord(char)
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return f'"{"".join(map(written, text))}"'


@cache
def kinds() -> dict[str, Kind]:
    """The kinds by name."""
    return {kind.name: kind for kind in KINDS}


@cache
def schema_of(kind: str) -> Schema:
    """The schema in the CRD of `kind`."""
    version: Schema = definition(kinds()[kind])["spec"]["versions"][0]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def check_object(manifest: dict[str, Any]) -> list[FieldError]:
    """What the API server would refuse `manifest` for, [] when nothing. Kinds that are not ours have no errors."""
    kind, api_version = manifest.get("kind"), manifest.get("apiVersion")
    if not isinstance(kind, str) or kind not in kinds():
        return []
    if api_version != API_VERSION:
        return [FieldError("apiVersion", "Unsupported value", show(api_version), f'supported values: "{API_VERSION}"')]
    schema = schema_of(kind)
    unknown = [
        FieldError("", f'strict decoding error: unknown field "{path}"')
        for path in sorted(_unknown(manifest, schema, ""))
    ]
    if unknown:
        return unknown
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        return [required("metadata.name", "name or generateName is required")]
    plain = as_stored({**manifest, "metadata": {k: v for k, v in metadata.items() if k in ("name", "generateName")}})
    errors = list(_check(plain, schema, ""))
    return errors or list(_rules(plain, schema, ""))


def as_stored(manifest: dict[str, Any]) -> dict[str, Any]:
    """`manifest`, of one of our kinds, as the API server stores it: fields that are null are not there, and 3.0 is 3."""
    stored: dict[str, Any] = _stored(manifest, schema_of(manifest["kind"]))
    return stored


def _stored(value: Json, schema: Schema) -> Any:
    if isinstance(value, list):
        return [_stored(item, schema.get("items", {})) for item in value]
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        below = {name: known.get(name, others) for name in value}
        return {
            name: _stored(child, below[name] or {})
            for name, child in value.items()
            if child is not None or below[name] is None
        }
    if isinstance(value, float) and value.is_integer() and int(value) in _INT64:
        return int(value)
    return value


_METADATA_FIELDS = frozenset(
    "name generateName namespace labels annotations finalizers ownerReferences uid resourceVersion generation "
    "creationTimestamp deletionTimestamp deletionGracePeriodSeconds managedFields selfLink".split()
)
_KNOWN = frozenset(
    "type description properties required items additionalProperties enum pattern format anyOf "
    "minLength maxLength minItems maxItems minimum maximum "
    "x-kubernetes-preserve-unknown-fields x-kubernetes-int-or-string x-kubernetes-list-type "
    "x-kubernetes-list-map-keys x-kubernetes-validations".split()
)


def _child(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _unknown(value: Json, schema: Schema, path: str) -> Iterator[str]:
    """Paths of fields that the schema does not know."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, schema.get("items", {}), f"{path}[{index}]")
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    for name, child in value.items():
        if path == "metadata":
            if name not in _METADATA_FIELDS:
                yield _child(path, name)
        elif name in known:
            yield from _unknown(child, known[name], _child(path, name))
        elif "additionalProperties" in schema:
            yield from _unknown(child, schema["additionalProperties"], _child(path, name))
        else:
            yield _child(path, name)


def _type_matches(value: Json, schema: Schema) -> bool:
    wanted = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        return _json_type(value) in ("integer", "string")
    if wanted is None:
        return True
    actual = _json_type(value)
    return actual == wanted or (wanted == "number" and actual == "integer")


def _json_type(value: Json) -> str:
    if isinstance(value, int) and value not in _INT64:
        return "number"
    return _JSON_TYPES.get(type(value), "null")


def _wrong_type(value: Json, schema: Schema, path: str) -> FieldError:
    actual, wanted = _json_type(value), schema.get("type", "integer,string")
    if schema.get("format") == "date-time" and not isinstance(value, list):
        # Formats are looked at first, and they call types by their names in Go.
        wanted = "date-time"
        actual = {"integer": "int64", "number": "float64"}.get(actual, "")
    return FieldError(path, "Invalid value", f'"{actual}"', f'{path} in body must be of type {wanted}: "{actual}"')


def _check(value: Json, schema: Schema, path: str) -> Iterator[FieldError]:
    """Errors of the JSON schema proper: types, required fields, bounds, patterns, enums, duplicates."""
    if foreign := schema.keys() - _KNOWN:
        raise AssertionError(f"{path}: the schema uses {sorted(foreign)}, which is not implemented here")
    if not _type_matches(value, schema):
        yield _wrong_type(value, schema, path)
        return
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(show(item) for item in schema["enum"])
        yield FieldError(path, "Unsupported value", show(value), f"supported values: {allowed}")
    match value:
        case str():
            yield from _check_string(value, schema, path)
        case bool() | None:
            pass
        case int() | float():
            yield from _check_number(value, schema, path)
        case list():
            yield from _check_list(value, schema, path)
        case dict():
            for name in schema.get("required", ()):
                if name not in value:
                    yield required(_child(path, name))
            known = schema.get("properties", {})
            for name, child in value.items():
                below = known.get(name, schema.get("additionalProperties"))
                if isinstance(below, dict):
                    yield from _check(child, below, _child(path, name))


def _check_string(value: str, schema: Schema, path: str) -> Iterator[FieldError]:
    if len(value) > schema.get("maxLength", len(value)):
        yield FieldError(path, "Too long", None, f"may not be more than {schema['maxLength']} bytes")
    if len(value) < schema.get("minLength", 0):
        at_least = f"{path} in body should be at least {schema['minLength']} chars long"
        yield invalid(path, value, at_least)
    if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
        yield invalid(path, value, f"{path} in body should match '{schema['pattern']}'")
    if schema.get("format") == "date-time" and not _is_date_time(value):
        yield invalid(path, value, f"{path} in body must be of type date-time: {show(value)}")


def _is_date_time(text: str) -> bool:
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return False
    try:
        # Go has a year 0000, which Python has not; like it, it is a leap year.
        date.fromisoformat(match[1].replace("0000", "2000", 1) if text.startswith("0000") else match[1])
    except ValueError:
        return False
    return True


def _check_number(value: float, schema: Schema, path: str) -> Iterator[FieldError]:
    if value < schema.get("minimum", value):
        yield invalid(path, value, f"{path} in body should be greater than or equal to {schema['minimum']:g}")
    if value > schema.get("maximum", value):
        yield invalid(path, value, f"{path} in body should be less than or equal to {schema['maximum']:g}")


def _check_list(value: list[Json], schema: Schema, path: str) -> Iterator[FieldError]:
    if len(value) > schema.get("maxItems", len(value)):
        yield FieldError(path, "Too many", str(len(value)), f"must have at most {schema['maxItems']} items")
        return
    if len(value) < schema.get("minItems", 0):
        yield invalid(path, len(value), f"{path} in body should have at least {schema['minItems']} items")
    for index, item in enumerate(value):
        if "items" in schema:
            yield from _check(item, schema["items"], f"{path}[{index}]")
    seen: list[Json] = []
    for index, item in enumerate(value):
        match schema.get("x-kubernetes-list-type"):
            case "map" if isinstance(item, dict):
                key: Json = {name: item.get(name) for name in schema["x-kubernetes-list-map-keys"]}
            case "set":
                key = item
            case _:
                continue
        if key in seen:
            yield FieldError(f"{path}[{index}]", "Duplicate value", show(key))
        seen.append(key)


def _message(row: dict[str, str], value: Json) -> str:
    """What a rule says of `value`. A message of several lines is not taken, as by the API server."""
    if "messageExpression" in row:
        message = str(cel.evaluate(row["messageExpression"], {"self": value}))
        if "\n" not in message:
            return message
    return row["message"]


def _broken(row: dict[str, str], path: str, shown: str | None, message: str) -> FieldError:
    """The error of a rule that does not hold: of the field that it names, if it names one, and of the kind that it says."""
    at = path + row.get("fieldPath", "")
    if row.get("reason") == "FieldValueRequired":
        return required(at, message)
    return FieldError(at, "Invalid value", shown, message)


def _rules(value: Json, schema: Schema, path: str) -> Iterator[FieldError]:
    """Errors of the CEL rules. Only of a value whose schema holds: rules may rely on it."""
    for row in schema.get("x-kubernetes-validations", ()):
        shown = None if isinstance(value, dict | list) else show(value)
        try:
            if not cel.evaluate(row["rule"], {"self": value}):
                yield _broken(row, path, shown, _message(row, value))
        except (RuntimeError, ValueError) as error:
            yield FieldError(path, "Invalid value", shown, f"{error} evaluating rule: {row['message']}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _rules(item, schema["items"], f"{path}[{index}]")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for name, child in value.items():
            below = known.get(name, schema.get("additionalProperties"))
            if isinstance(below, dict):
                yield from _rules(child, below, _child(path, name))
