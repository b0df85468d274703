"""Metric checks without I/O: the question that a check asks, and what the answer to it comes to. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Question:
    """What a metric source is asked: a query as it is sent, and the moment or the window of time that it is about."""

    text: str
    at: datetime
    window: timedelta | None = None
    """None: an instant query."""
    step: timedelta | None = None
    """Distance of samples, with a window."""


@dataclass(frozen=True)
class Point:
    """One sample. The value may be NaN or infinite."""

    at: datetime
    value: float


@dataclass(frozen=True)
class Series:
    """The samples of one set of labels, oldest first."""

    labels: Mapping[str, str]
    points: tuple[Point, ...]
