"""Members that are null are not there: not in outputs, not in parameters. The API server would not keep them."""

import json

import pytest

from sluice.api.base import Json
from sluice.api.pipeline import Param
from sluice.api.reasons import Reason
from sluice.planning.attempts import parse_outputs
from sluice.planning.params import resolve
from tests.builders import step


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"a": None}, {}),
        ({"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": [1, None, {"b": None}]}, {"a": [1, None, {}]}),
    ],
)
def test_null_members_are_dropped_from_outputs_and_params(given: dict[str, Json], kept: dict[str, Json]) -> None:
    assert (parse_outputs(json.dumps(given), step("extract"), set())[0] or {}) == kept
    assert resolve([Param(name="options", type="object")], {"options": given}) == {"options": kept}


def test_a_promised_output_that_is_null_is_missing() -> None:
    promising = step("extract", outputs=[{"name": "rows"}])
    assert parse_outputs('{"rows": null}', promising, set())[1] is Reason.OUTPUT_MISSING


def test_a_promised_output_that_is_null_has_its_default() -> None:
    promising = step("extract", outputs=[{"name": "rows", "default": 7}])
    assert parse_outputs('{"rows": null}', promising, set())[0] == {"rows": 7}
