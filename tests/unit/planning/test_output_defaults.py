"""The default of a declared output has the declared type."""

from typing import Any

import pytest

from sluice.planning.validation import check_manifest
from tests.builders import manifest, step_dict


def with_output(**output: Any) -> dict[str, Any]:
    return manifest("DataPipeline", {"steps": [step_dict("extract") | {"outputs": [{"name": "rows", **output}]}]})


def test_a_default_of_another_type_is_refused() -> None:
    assert [str(error) for error in check_manifest(with_output(type="integer", default="many"))] == [
        'spec.steps[0].outputs[0].default: Invalid value: "many": must be an integer'
    ]


@pytest.mark.parametrize("output", [{"type": "integer", "default": 3}, {"default": "many"}, {"type": "integer"}])
def test_a_default_of_the_declared_type_is_taken(output: dict[str, Any]) -> None:
    assert check_manifest(with_output(**output)) == []
