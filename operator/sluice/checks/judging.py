"""From what a compiled check measured to its outcome. Pure.

Nothing that was not measured is a Pass: no rows, no value, NaN and infinity are Inconclusive, a failing query is an
Error.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.checks.report import Finding
from sluice.checks.sql import Compiled, Measure
from sluice.planning.verdicts import Bounds, Outcome, judge_value


@dataclass(frozen=True)
class Measured:
    """The numbers of a check."""

    evaluated: int
    """Rows looked at."""
    value: float | None
    """Rows that fail, or the number."""
    note: str = ""
    """What there is to say of it."""


Measurement = Measured | str
"""The numbers of a check, or why they cannot be had."""


def read_row(evaluated: Any, value: Any, note: Any = None) -> Measurement:
    """What a compiled check's query returned."""
    if isinstance(value, str | bytes | list | dict | bool):
        return f"the check measured {value!r}, which is no number"
    return Measured(int(evaluated or 0), None if value is None else float(value), str(note or ""))


def judge(compiled: Compiled, measured: Measurement, samples: tuple[Mapping[str, Any], ...] = ()) -> Finding:
    """The finding of a check."""
    check, bound = compiled.check, compiled.text
    if isinstance(measured, str):
        return Finding(check, Outcome.ERROR, measured, bound)
    if compiled.measure is Measure.SCHEMA:
        outcome = Outcome.FAIL if compiled.problems else Outcome.PASS
        message = "; ".join(compiled.problems) or "the columns are as stated"
        return Finding(check, outcome, message, bound, None, measured.evaluated)
    if compiled.measure is Measure.ROWS:
        return _judge_rows(compiled, measured.evaluated, int(measured.value or 0), samples)
    empty_is_known = check.on_data.row_count is not None and check.on_data.row_count.min is not None
    if measured.evaluated == 0 and not empty_is_known:
        return Finding(check, Outcome.INCONCLUSIVE, "there are no rows to judge", bound, _finite(measured.value), 0)
    outcome, message = judge_value(measured.value, Bounds(*compiled.bounds))
    if compiled.infinite_fails and measured.value == math.inf:
        outcome, message = Outcome.FAIL, "the history does not vary, and this differs from it"
    if measured.note:
        message = measured.note if measured.value is None else f"{message}: {measured.note}"
    return Finding(check, outcome, message, bound, _finite(measured.value), measured.evaluated)


def _judge_rows(compiled: Compiled, evaluated: int, failed: int, samples: tuple[Mapping[str, Any], ...]) -> Finding:
    check, bound = compiled.check, compiled.text
    if evaluated == 0:
        return Finding(check, Outcome.INCONCLUSIVE, "there are no rows to judge", bound, None, 0, 0)
    mostly = 1.0 if check.on_data.mostly is None else check.on_data.mostly
    share = (evaluated - failed) / evaluated
    # A share like 0.98 has no exact binary form: one part in a million million is given.
    allowed = math.floor((1 - mostly) * evaluated + 1e-12 * evaluated)
    message = f"{failed} of {evaluated} rows fail"
    if mostly < 1:
        bound += f" for at least {mostly:.6g} of rows"
        message += f" ({share:.6g} hold)"
    outcome = Outcome.PASS if failed <= allowed else Outcome.FAIL
    return Finding(check, outcome, message, bound, share, evaluated, failed, samples)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
