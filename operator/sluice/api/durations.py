"""Durations as Kubernetes users write them: `30s`, `15m`, `1h30m`, `250ms`."""

import re
from datetime import timedelta

DURATION_PATTERN = r"^([0-9]+([.][0-9]+)?(ms|s|m|h))+$"

_PART = re.compile(r"([0-9]+(?:[.][0-9]+)?)(ms|s|m|h)")
_LONGEST = timedelta(days=36525)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> timedelta:
    """The length of `text`, a sequence of numbers with a unit (ms, s, m, h). ValueError says what is allowed.

    More than a century is a century, so that every moment plus every duration is a moment.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f'must be a duration such as 30s, 15m or 1h30m, not "{text}"')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    return timedelta(seconds=min(seconds, _LONGEST.total_seconds()))


def format_duration(length: timedelta) -> str:
    """`length` in two units at the most, as people say it: 850ms, 4.2s, 12m5s, 3h20m, 2d4h."""
    seconds = max(0.0, length.total_seconds())
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    for size, name, rest_size, rest_name in ((60, "m", 1, "s"), (3600, "h", 60, "m"), (86400, "d", 3600, "h")):
        if whole < size * {60: 60, 3600: 24, 86400: 10**9}[size]:
            rest = whole % size // rest_size
            return f"{whole // size}{name}" + (f"{rest}{rest_name}" if rest else "")
    raise AssertionError("unreachable")
