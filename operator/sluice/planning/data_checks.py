"""What a schema cannot say of an assertion: fields that need each other, bounds in order. Pure."""

from collections.abc import Iterator

from sluice.api.base import Json
from sluice.api.data_checks import ASSERTIONS, DataCheck, NumberBounds
from sluice.api.schema import FieldError, invalid, required

_BOUNDED = ("row_count", "range", "length", "aggregate", "ratio")
"""Assertions with a least and a greatest value, of which at least one is needed."""
_ON_ROWS = (
    *(
        "not_null",
        "unique",
        "range",
        "in_set",
        "regex",
        "preset",
        "length",
        "row",
        "conditional",
        "reference",
        "window",
    ),
)


def check_data(check: DataCheck, at: str) -> Iterator[FieldError]:
    """What is wrong with a data check whose shape is right. `at` is the field that holds it."""
    given = [name for name in ASSERTIONS if getattr(check, name) is not None]
    if len(given) != 1:
        known = ", ".join(_camel(name) for name in ASSERTIONS)
        found = ", ".join(map(_camel, given)) or "none"
        yield invalid(at, found, f"exactly one assertion is needed; allowed: {known}")
        return
    name = given[0]
    if check.mostly is not None and name not in _ON_ROWS:
        allowed = ", ".join(map(_camel, _ON_ROWS))
        yield invalid(f"{at}.mostly", check.mostly, f"only with a check on rows: {allowed}")
    bounds = getattr(check, name)
    if name in _BOUNDED and isinstance(bounds, NumberBounds):
        yield from _check_bounds(bounds, f"{at}.{_camel(name)}")
    yield from _check_fields(check, at)


def _check_bounds(bounds: NumberBounds, at: str) -> Iterator[FieldError]:
    if bounds.min is None and bounds.max is None:
        yield required(at, "min, max or both")
    elif bounds.min is not None and bounds.max is not None and bounds.min > bounds.max:
        yield invalid(f"{at}.min", bounds.min, "must not be above max")


def _check_fields(check: DataCheck, at: str) -> Iterator[FieldError]:
    aggregate, anomaly, reconcile, columns = check.aggregate, check.anomaly, check.reconcile, check.columns
    if aggregate is not None and aggregate.function == "quantile" and aggregate.quantile is None:
        yield invalid(f"{at}.aggregate.function", "quantile", "needs quantile, for instance 0.95")
    if aggregate is not None and aggregate.function != "quantile" and aggregate.quantile is not None:
        yield invalid(f"{at}.aggregate.quantile", aggregate.quantile, "only with function: quantile")
    if anomaly is not None and anomaly.column is None and anomaly.function != "count":
        yield required(f"{at}.anomaly.column", f"{anomaly.function} is computed over a column")
    if check.reference is not None and len(check.reference.columns) != len(check.reference.keys):
        names: Json = list(check.reference.columns)
        yield invalid(f"{at}.reference.columns", names, "must be as many as keys")
    if reconcile is not None and reconcile.columns and reconcile.sample_rows is None:
        compared: Json = list(reconcile.columns)
        yield invalid(f"{at}.reconcile.columns", compared, "only with sampleRows")
    if columns is not None and not columns.names and not columns.types and columns.same_as is None:
        yield required(f"{at}.columns", "names, types or sameAs")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
