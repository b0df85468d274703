"""The manifest of a run that is started by hand."""

import re
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from sluice.api.run import Interval
from sluice.cli.errors import CliError
from sluice.cli.new_run import build_run, random_name, spec_of
from sluice.planning.validation import check_manifest

PIPELINE: dict[str, Any] = {
    "apiVersion": "sluice.dev/v1alpha1",
    "kind": "DataPipeline",
    "metadata": {"name": "flights", "namespace": "data", "uid": "u-1"},
    "spec": {"steps": [{"name": "a", "image": "b"}]},
}


def test_the_run_is_owned_by_its_pipeline_from_the_beginning() -> None:
    interval = Interval(start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 1, 2, tzinfo=UTC))
    assert build_run(PIPELINE, "flights-x7k2p", {"rows": 5, "none": None}, interval) == {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": {
            "name": "flights-x7k2p",
            "namespace": "data",
            "labels": {"sluice.dev/pipeline": "flights"},
            "ownerReferences": [
                {
                    "apiVersion": "sluice.dev/v1alpha1",
                    "kind": "DataPipeline",
                    "name": "flights",
                    "uid": "u-1",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "pipeline": {"name": "flights"},
            "params": {"rows": 5, "none": None},
            "interval": {"start": "2013-01-01T00:00:00Z", "end": "2013-01-02T00:00:00Z"},
        },
    }


def test_what_is_not_given_is_left_to_the_operator() -> None:
    run = build_run(PIPELINE, "flights-x7k2p", {}, None)
    assert run["spec"] == {"pipeline": {"name": "flights"}}
    assert check_manifest(run) == []


@pytest.mark.parametrize("pipeline", ["flights", "f" * 42, "f" * 80])
def test_a_random_name_is_short_enough_and_begins_with_the_pipeline(pipeline: str) -> None:
    name = random_name(pipeline, Random(1))
    assert len(name) <= 63
    assert re.fullmatch(rf"{pipeline[:57]}-[bcdfghjklmnpqrstvwxz2456789]{{5}}", name)
    assert random_name(pipeline, Random(1)) == name
    assert random_name(pipeline, Random(2)) != name


def test_a_pipeline_of_a_newer_version_is_not_guessed_at() -> None:
    with pytest.raises(CliError, match=r'cannot read DataPipeline "flights": spec\.future: .*newer sluice'):
        spec_of({**PIPELINE, "spec": {**PIPELINE["spec"], "future": 1}})
