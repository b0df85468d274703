"""The status of an object of ours as the CLI reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from sluice.api.base import StatusModel
from sluice.cli.errors import CliError

S = TypeVar("S", bound=StatusModel)


def read_status(model: type[S], obj: Mapping[str, Any], kind: str) -> S:
    """The status of an object of the API server. Raises CliError for one that this program does not understand."""
    try:
        return model.model_validate(obj.get("status") or {})
    except ValidationError as error:
        row = error.errors()[0]
        field = ".".join(map(str, ("status", *row["loc"])))
        name = obj["metadata"]["name"]
        raise CliError(
            f'cannot read {kind} "{name}": {field}: {row["msg"]}; it may be of a newer sluice than this one'
        ) from error
