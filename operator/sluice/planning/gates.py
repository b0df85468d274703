"""What a schema cannot say of a gate: one assertion a check, exemptions of checks that exist, rows that can be set aside."""

from collections.abc import Iterator

from sluice.api.base import Json
from sluice.api.data_checks import ASSERTIONS, DataCheck
from sluice.api.gate import Check, QualityGateSpec
from sluice.api.schema import FieldError, invalid, not_found, required, show
from sluice.planning.metrics import check_metric

ROW_ASSERTIONS = (
    "not_null",
    "unique",
    "range",
    "in_set",
    "regex",
    "preset",
    "length",
    "row",
    "reference",
    "window",
)
"""The assertions that say of each row whether it fails, so that such rows can be set aside."""


def check_gate(spec: QualityGateSpec) -> list[FieldError]:
    """All that is wrong with a gate whose shape is right."""
    return [
        *_check_names(spec),
        *(error for index, check in enumerate(spec.checks) for error in _check_check(check, f"spec.checks[{index}]")),
        *_check_quarantine(spec),
        *_check_exemptions(spec),
        *_check_score(spec),
    ]


def _check_names(spec: QualityGateSpec) -> Iterator[FieldError]:
    """Names are unique over both sorts of checks: their outcomes are reported in one list."""
    seen: set[str] = set()
    for index, check in enumerate(spec.checks):
        if check.name in seen:
            yield FieldError(f"spec.checks[{index}].name", "Duplicate value", show(check.name))
        seen.add(check.name)


def _check_check(check: Check, at: str) -> Iterator[FieldError]:
    if check.data is None and check.metric is None:
        yield required(at, "exactly one of data, metric is needed")
    elif check.data is not None and check.metric is not None:
        yield invalid(at, check.name, "has both data and metric; exactly one is needed")
    if check.data is not None:
        yield from _check_data(check.data, f"{at}.data")
    if check.metric is not None:
        yield from check_metric(check, f"{at}.metric")
        if check.pii and check.data is None:
            yield invalid(f"{at}.pii", list(check.pii), "is for checks on data: a metric has no columns")


def _check_data(data: DataCheck, at: str) -> Iterator[FieldError]:
    given = _assertions(data)
    if len(given) != 1:
        known = ", ".join(_camel(name) for name in ASSERTIONS)
        found = ", ".join(map(_camel, given)) or "none"
        yield invalid(at, found, f"exactly one assertion is needed; allowed: {known}")
    aggregate = data.aggregate
    if aggregate is not None and aggregate.function == "quantile" and aggregate.quantile is None:
        yield invalid(f"{at}.aggregate.function", "quantile", "needs quantile, for instance 0.95")
    if data.reference is not None and len(data.reference.columns) != len(data.reference.keys):
        columns: Json = list(data.reference.columns)
        yield invalid(f"{at}.reference.columns", columns, "must be as many as keys")


def _assertions(data: DataCheck) -> list[str]:
    return [name for name in ASSERTIONS if getattr(data, name) is not None]


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _check_quarantine(spec: QualityGateSpec) -> Iterator[FieldError]:
    """Rows are set aside of one source, by checks that say which rows fail."""
    marked = [(index, check) for index, check in enumerate(spec.checks) if check.quarantine]
    for index, check in marked:
        at = f"spec.checks[{index}].quarantine"
        if spec.quarantine is None:
            yield invalid(at, value=True, detail="needs spec.quarantine, which says how many rows may be set aside")
        elif check.data is None:
            yield invalid(at, value=True, detail="is for checks on data: a metric has no rows")
        elif check.data.source != spec.quarantine.source:
            allowed = f'is for checks of spec.quarantine.source, "{spec.quarantine.source}", not "{check.data.source}"'
            yield invalid(at, value=True, detail=allowed)
        elif not set(_assertions(check.data)) <= set(ROW_ASSERTIONS):
            allowed = ", ".join(map(_camel, ROW_ASSERTIONS))
            yield invalid(at, value=True, detail=f"is for checks on rows: {allowed}")
    if spec.quarantine is not None and not marked:
        yield invalid("spec.quarantine.source", spec.quarantine.source, "no check of it has quarantine: true")


def _check_exemptions(spec: QualityGateSpec) -> Iterator[FieldError]:
    names = {check.name for check in spec.checks}
    for index, exemption in enumerate(spec.exemptions):
        if exemption.check not in names:
            allowed = ", ".join(sorted(names))
            yield not_found(f"spec.exemptions[{index}].check", exemption.check, f"no such check; allowed: {allowed}")


def _check_score(spec: QualityGateSpec) -> Iterator[FieldError]:
    if spec.score is not None and spec.score.warn > spec.score.pass_:
        yield invalid("spec.score.warn", spec.score.warn, "must not be above pass")
