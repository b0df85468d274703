"""What a measurement finds, what it should be, and how the two are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

RANGES = Path(__file__).parent / "ranges.yaml"


@dataclass(frozen=True)
class Figure:
    """One number."""

    name: str
    """As in ranges.yaml, if it has a range there."""
    value: float
    unit: str
    note: str = ""
    """Number of samples, other percentiles, what disturbed it."""


@dataclass(frozen=True)
class Range:
    """What a figure has to be, and the feature that says so."""

    feature: str
    least: float = -math.inf
    most: float = math.inf

    def holds(self, value: float) -> bool:
        """Whether `value` is inside. NaN never is."""
        return self.least <= value <= self.most

    def __str__(self) -> str:
        parts = (
            f">= {self.least:g}" if self.least > -math.inf else "",
            f"<= {self.most:g}" if self.most < math.inf else "",
        )
        return " and ".join(part for part in parts if part)


def read_ranges(path: Path = RANGES) -> dict[str, Range]:
    """The ranges by the name of the figure."""
    rows: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())
    return {
        name: Range(row["feature"], float(row.get("min", -math.inf)), float(row.get("max", math.inf)))
        for name, row in rows.items()
    }


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of all samples do not exceed; NaN when there are none."""
    if not samples:
        return math.nan
    return sorted(samples)[max(0, math.ceil(share * len(samples)) - 1)]


def spread(samples: Sequence[float]) -> str:
    """The shape of `samples` (seconds) in a few words."""
    return f"{len(samples)} samples, p90 {percentile(samples, 0.9):.4f}, most {max(samples, default=math.nan):.4f}"


def short_of(figures: Sequence[Figure], ranges: dict[str, Range]) -> list[Figure]:
    """The figures that are not in their range."""
    return [figure for figure in figures if figure.name in ranges and not ranges[figure.name].holds(figure.value)]


def table(figures: Sequence[Figure], ranges: dict[str, Range]) -> str:
    """All figures as text, one a line."""
    rows = [("", "figure", "value", "unit", "range", "feature", "note")]
    for figure in figures:
        wanted = ranges.get(figure.name)
        verdict = "" if wanted is None else "ok" if wanted.holds(figure.value) else "SHORT"
        rows.append(
            (
                verdict,
                figure.name,
                f"{figure.value:.4g}",
                figure.unit,
                str(wanted or ""),
                wanted.feature if wanted else "",
                figure.note,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])).rstrip()
        for row in rows
    )


def document(figures: Sequence[Figure], ranges: dict[str, Range], about: dict[str, Any]) -> dict[str, Any]:
    """All figures as JSON."""
    return {
        **about,
        "figures": [
            {
                "name": figure.name,
                "value": None if math.isnan(figure.value) else figure.value,
                "unit": figure.unit,
                "note": figure.note,
                "range": str(ranges[figure.name]) if figure.name in ranges else None,
                "holds": ranges[figure.name].holds(figure.value) if figure.name in ranges else None,
            }
            for figure in figures
        ],
    }
