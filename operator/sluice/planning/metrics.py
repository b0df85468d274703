"""Metric checks without I/O: the question that a check asks, and what the answer to it comes to. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice.api.durations import parse_duration
from sluice.api.gate import Check
from sluice.planning.verdicts import Limits, NoData


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


def limits_of(check: Check) -> Limits:
    """When repeated looks make an outcome."""
    metric = check.on_metric
    limit = metric.failure_limit
    return Limits(
        consecutive=limit.consecutive or 0 if limit else 0,
        total=limit.total if limit else None,
        min_samples=metric.min_samples or 1,
        sustained=parse_duration(metric.for_) if metric.for_ else timedelta(0),
        no_data=NoData(check.on_no_data or NoData.HOLD),
    )


def interval_of(check: Check) -> timedelta:
    """From one look to the next."""
    return parse_duration(check.on_metric.interval or "30s")
