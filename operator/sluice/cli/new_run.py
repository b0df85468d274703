"""The PipelineRuns that `sluice run` and `sluice rerun` make. Pure, but for the dice, which are handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from pydantic import ValidationError

from sluice.api.base import Json, ObjectName
from sluice.api.names import API_VERSION, LABEL_PIPELINE, LABEL_RERUN_OF, MAX_LABEL
from sluice.api.pipeline import DataPipelineSpec
from sluice.api.run import Interval, PipelineRunSpec
from sluice.cli.errors import CliError

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Those of the API server's own generated names: no vowels, so no words."""
_TAIL = 5


def random_name(pipeline: str, dice: Random) -> str:
    """PIPELINE-xxxxx, at most 63 characters."""
    tail = "".join(dice.choices(_LETTERS, k=_TAIL))
    return f"{pipeline[: MAX_LABEL - _TAIL - 1]}-{tail}"


def spec_of(pipeline: Mapping[str, Any]) -> DataPipelineSpec:
    """The spec of a DataPipeline as the API server holds it."""
    try:
        return DataPipelineSpec.model_validate(pipeline.get("spec"))
    except ValidationError as error:
        row = error.errors()[0]
        field = ".".join(map(str, ("spec", *row["loc"])))
        name = pipeline["metadata"]["name"]
        raise CliError(
            f'cannot read DataPipeline "{name}": {field}: {row["msg"]}; it may be of a newer sluice than this one'
        ) from error


def build_run(
    pipeline: Mapping[str, Any], name: str, params: Mapping[str, Json], interval: Interval | None
) -> dict[str, Any]:
    """The manifest. The pipeline owns the run from the beginning, so it goes when the pipeline goes."""
    owner = pipeline["metadata"]
    spec = PipelineRunSpec(pipeline=ObjectName(name=owner["name"]), params=dict(params), interval=interval)
    return {
        "apiVersion": API_VERSION,
        "kind": "PipelineRun",
        "metadata": {
            "name": name,
            "namespace": owner["namespace"],
            "labels": {LABEL_PIPELINE: owner["name"]},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "DataPipeline",
                    "name": owner["name"],
                    "uid": owner["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {key: value for key, value in spec.to_dict().items() if value != {}},
    }


def build_rerun(old: Mapping[str, Any], name: str, from_: Sequence[str]) -> dict[str, Any]:
    """The manifest of a rerun of the run `old`. Its owner is that of `old`, from the beginning."""
    metadata = old["metadata"]
    pipeline = old["spec"]["pipeline"]["name"]
    labels = {LABEL_PIPELINE: pipeline, LABEL_RERUN_OF: metadata["name"]}
    made: dict[str, Any] = {"name": name, "namespace": metadata["namespace"], "labels": labels}
    if metadata.get("ownerReferences"):
        made["ownerReferences"] = metadata["ownerReferences"]
    rerun: dict[str, Any] = {"of": metadata["name"]}
    if from_:
        rerun["from"] = list(from_)
    spec = {"pipeline": {"name": pipeline}, "rerun": rerun}
    return {"apiVersion": API_VERSION, "kind": "PipelineRun", "metadata": made, "spec": spec}
