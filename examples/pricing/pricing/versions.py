"""The versions: how each goes about its requests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """What is wrong with a version; by default nothing."""

    name: str
    delay: float = 0.0
    """Seconds that each request takes longer."""
    failing: float = 0.0
    """Share of the requests that are answered with 500, spread evenly."""
    failing_after: float = 0.0
    """Seconds from the start of the process to the first failure."""
    leak: int = 0
    """Bytes that each request leaves behind in memory."""
    crashing: bool = False
    """Whether the process ends as soon as it has started."""


VERSIONS = {
    version.name: version
    for version in (
        Version("good"),
        Version("slow", delay=0.4),
        Version("failing", failing=0.05),
        Version("failing-later", failing=0.5, failing_after=120),
        Version("crashing", crashing=True),
        Version("leaking", leak=1 << 20),
    )
}


def chosen(environment: Mapping[str, str] = os.environ) -> Version:
    """The version that PRICING_VERSION names. Raises ValueError for an unknown one."""
    name = environment.get("PRICING_VERSION") or "good"
    if name not in VERSIONS:
        raise ValueError(f"PRICING_VERSION={name}: there is {', '.join(VERSIONS)}")
    return VERSIONS[name]
