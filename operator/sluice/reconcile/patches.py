"""The smallest JSON merge patch between two documents (RFC 7396)."""

from collections.abc import Mapping
from typing import Any


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that makes `new` of `old`: {} when they are equal; None stands for a field that goes."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name not in old:
            patch[name] = value
        elif isinstance(value, Mapping) and isinstance(old[name], Mapping):
            if below := merge_patch(old[name], value):
                patch[name] = below
        elif old[name] != value:
            patch[name] = value
    return patch
