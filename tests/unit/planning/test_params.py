"""Typed parameters: types, bounds, defaults."""

from typing import Any

import pytest

from sluice.api.base import Json
from sluice.api.pipeline import Param, ParamType
from sluice.planning.params import check_declaration, check_params, check_value, has_type, resolve

NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**400


def param(name: str = "p", **fields: Any) -> Param:
    return Param.model_validate({"name": name, **fields})


VALUES: list[Json] = ["", "a", 0, 1, -1, 1.0, 1.5, HUGE, NAN, INFINITY, True, False, None, [], [1], {}, {"a": 1}]
OF_TYPE: dict[ParamType, list[Json]] = {
    "string": ["", "a"],
    "integer": [0, 1, -1, 1.0, HUGE],
    "number": [0, 1, -1, 1.0, 1.5, HUGE],
    "boolean": [True, False],
    "array": [[], [1]],
    "object": [{}, {"a": 1}],
}


@pytest.mark.parametrize("wanted", OF_TYPE)
def test_values_of_each_type_and_no_others(wanted: ParamType) -> None:
    found = [value for value in VALUES if has_type(value, wanted)]
    assert list(map(repr, found)) == list(map(repr, OF_TYPE[wanted]))


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        pytest.param(param(type="integer"), True, "f: Invalid value: true: must be an integer", id="true"),
        pytest.param(param(type="integer"), "5", 'f: Invalid value: "5": must be an integer', id="a string"),
        pytest.param(param(type="number"), NAN, "f: Invalid value: NaN: must be a number", id="not a number"),
        pytest.param(param(type="number"), INFINITY, "f: Invalid value: Infinity: must be a number", id="infinity"),
        pytest.param(param(), None, "f: Invalid value: null: must be a string", id="null"),
        pytest.param(param(type="boolean"), 1, "f: Invalid value: 1: must be true or false", id="one for true"),
        pytest.param(
            param(enum=["a", "b"]), "c", 'f: Unsupported value: "c": supported values: "a", "b"', id="not in the list"
        ),
        pytest.param(param(pattern="a|ab"), "abc", 'f: Invalid value: "abc": must match a|ab', id="more than matches"),
        pytest.param(param(pattern="a+"), "a\n", 'f: Invalid value: "a\\n": must match a+', id="a line break behind"),
        pytest.param(param(type="integer", minimum=2), 1, "f: Invalid value: 1: must be at least 2", id="too small"),
        pytest.param(param(type="number", maximum=2), 2.5, "f: Invalid value: 2.5: must be at most 2", id="too large"),
        pytest.param(
            param(minLength=2), "é", 'f: Invalid value: "é": must have a length of at least 2', id="a short string"
        ),
        pytest.param(
            param(type="array", maxLength=1), [1, 2], "f: Invalid value: [1,2]: must have a length of at most 1",
            id="a long list",
        ),
    ],
)  # fmt: skip
def test_a_value_is_refused(declared: Param, value: Json, message: str) -> None:
    assert [str(error) for error in check_value(declared, value, "f")] == [message]


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        pytest.param(param(pattern="a|ab"), "ab", id="the second alternative of a pattern"),
        pytest.param(param(type="integer", minimum=2, maximum=2), 2, id="both bounds are included"),
        pytest.param(param(type="array", minLength=2, maxLength=2), [1, 2], id="both lengths are included"),
        pytest.param(param(type="object", enum=[{"a": 1}]), {"a": 1}, id="an object in a list"),
        pytest.param(param(type="number", enum=[1]), 1.0, id="numbers are compared by value"),
    ],
)
def test_a_value_is_accepted(declared: Param, value: Json) -> None:
    assert list(check_value(declared, value, "f")) == []


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        pytest.param(
            param(type="integer", pattern="a"),
            'f.pattern: Invalid value: "a": is for strings; this parameter is an integer',
            id="a pattern for a number",
        ),
        pytest.param(
            param(pattern="("),
            'f.pattern: Invalid value: "(": is not a regular expression: '
            "missing ), unterminated subpattern at position 0",
            id="a pattern that does not compile",
        ),
        pytest.param(
            param(minimum=1),
            "f.minimum: Invalid value: 1.0: is for numbers; this parameter is a string",
            id="a bound for a string",
        ),
        pytest.param(
            param(type="number", maxLength=1),
            "f.maxLength: Invalid value: 1: is for strings and arrays; this parameter is a number",
            id="a length for a number",
        ),
        pytest.param(
            param(type="integer", enum=[1, "2"]),
            'f.enum[1]: Invalid value: "2": must be an integer',
            id="a list with another type in it",
        ),
        pytest.param(
            param(type="integer", default="x"),
            'f.default: Invalid value: "x": must be an integer',
            id="a default of another type",
        ),
        pytest.param(
            param(enum=["a"], default="b"),
            'f.default: Unsupported value: "b": supported values: "a"',
            id="a default that is not allowed",
        ),
    ],
)
def test_a_declaration_is_refused(declared: Param, message: str) -> None:
    assert [str(error) for error in check_declaration(declared, "f")] == [message]


def test_false_and_zero_and_nothing_are_good_defaults() -> None:
    for kind, default in (("boolean", False), ("integer", 0), ("string", ""), ("array", []), ("object", {})):
        declared = param(type=kind, default=default)
        assert list(check_declaration(declared, "f")) == []
        assert check_params([declared], {}, "spec.params") == []
        assert resolve([declared], {}) == {"p": default}


def test_unknown_and_missing_params_are_refused() -> None:
    declared = [param("day"), param("carrier", default="ALL")]
    assert [str(error) for error in check_params(declared, {"dya": 1}, "spec.params")] == [
        'spec.params.dya: Not found: "dya": the pipeline has these parameters: carrier, day',
        "spec.params.day: Required value: a string without a default",
    ]
    assert [str(error) for error in check_params([], {"x": 1}, "spec.params")] == [
        'spec.params.x: Not found: "x": the pipeline has these parameters: none'
    ]


def test_what_is_given_beats_the_default() -> None:
    declared = [param("a", default="1"), param("b", default="2")]
    assert resolve(declared, {"b": ""}) == {"a": "1", "b": ""}
