"""Parameters on the command line and in files."""

import pytest

from sluice.api.pipeline import Param
from sluice.cli.errors import CliError, Exit
from sluice.cli.params import parse_params, parse_value, read_params

DECLARED = [
    Param(name="carrier"),
    Param(name="rows", type="integer"),
    Param(name="share", type="number"),
    Param(name="force", type="boolean"),
    Param(name="airports", type="array"),
    Param(name="extra", type="object"),
]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "ALL", "ALL"),
        ("string", "", ""),
        ("string", "5", "5"),
        ("string", "true", "true"),
        ("integer", "5", 5),
        ("integer", "-7", -7),
        ("integer", "1e3", 1000),
        ("number", "0.5", 0.5),
        ("number", "3", 3),
        ("boolean", "true", True),
        ("boolean", "False", False),
        ("array", '["JFK", 1]', ["JFK", 1]),
        ("object", '{"a": {"b": null}}', {"a": {"b": None}}),
    ],
)
def test_a_value_takes_the_declared_type(kind: str, text: str, value: object) -> None:
    found = parse_value(text, kind)  # type: ignore[arg-type]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("rows=many", "--param rows=many: must be an integer"),
        ("rows=1.5", "--param rows=1.5: must be an integer"),
        ("rows=", "--param rows=: must be an integer"),
        ("rows=true", "--param rows=true: must be an integer"),
        ("share=a", "--param share=a: must be a number, such as 0.5 or 1e3"),
        ("share=NaN", "--param share=NaN: must be a number, such as 0.5 or 1e3"),
        ("share=1e999", "--param share=1e999: must be a number, such as 0.5 or 1e3"),
        ("force=yes", "--param force=yes: must be true or false"),
        ("force=1", "--param force=1: must be true or false"),
        ("airports=JFK", '--param airports=JFK: must be a JSON array, such as ["a", "b"]'),
        ("airports={}", '--param airports={}: must be a JSON array, such as ["a", "b"]'),
        ("extra=[]", '--param extra=[]: must be a JSON object, such as {"a": 1}'),
        ("carrier", "--param carrier: must be NAME=VALUE"),
        (
            "carier=AA",
            "--param carier=AA: no such parameter; the pipeline has: airports (array), carrier (string), "
            'extra (object), force (boolean), rows (integer), share (number); did you mean "carrier"?',
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(pair: str, message: str) -> None:
    with pytest.raises(CliError) as caught:
        parse_params([pair], DECLARED)
    assert (str(caught.value), caught.value.code) == (message, Exit.USAGE)


def test_a_value_may_hold_equals_signs() -> None:
    assert parse_params(["carrier=a=b=c"], DECLARED) == {"carrier": "a=b=c"}


def test_a_parameter_that_is_given_twice_is_refused() -> None:
    with pytest.raises(CliError, match="rows is given twice"):
        parse_params(["rows=1", "rows=2"], DECLARED)


def test_a_pipeline_without_parameters_says_so() -> None:
    with pytest.raises(CliError, match="no such parameter; the pipeline has none"):
        parse_params(["a=b"], [])


def test_a_file_keeps_the_types() -> None:
    assert read_params("p.yaml", "rows: 5\ncarrier: '5'\nairports: [JFK]\n") == {
        "rows": 5,
        "carrier": "5",
        "airports": ["JFK"],
    }
    assert read_params("p.json", '{"rows": 5}') == {"rows": 5}
    assert read_params("p.yaml", "# nothing\n") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows: 1\nrows: 2\n", 'p.yaml:2: duplicate field "rows"'),
        ("- rows\n", "p.yaml:1: must be a mapping of parameter names to values"),
        ("a: 1\n---\nb: 2\n", "p.yaml:3: must hold one document"),
        ("a: [1\n", "p.yaml:2: not YAML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_line(text: str, message: str) -> None:
    with pytest.raises(CliError) as caught:
        read_params("p.yaml", text)
    assert str(caught.value).startswith(message)
