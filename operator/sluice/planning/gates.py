"""What a schema cannot say of a gate: one assertion a check, exemptions of checks that exist, lines in order."""

from collections.abc import Iterator

from sluice.api.base import Json
from sluice.api.data_checks import ASSERTIONS
from sluice.api.gate import QualityGateSpec
from sluice.api.schema import FieldError, invalid, not_found


def check_gate(spec: QualityGateSpec) -> list[FieldError]:
    """All that is wrong with a gate whose shape is right."""
    return [*_check_assertions(spec), *_check_exemptions(spec), *_check_score(spec)]


def _check_assertions(spec: QualityGateSpec) -> Iterator[FieldError]:
    for index, check in enumerate(spec.checks):
        at = f"spec.checks[{index}].data"
        if check.data is None:
            continue
        given = [name for name in ASSERTIONS if getattr(check.data, name) is not None]
        if len(given) != 1:
            known = ", ".join(_camel(name) for name in ASSERTIONS)
            found = ", ".join(map(_camel, given)) or "none"
            yield invalid(at, found, f"exactly one assertion is needed; allowed: {known}")
        aggregate = check.data.aggregate
        if aggregate is not None and aggregate.function == "quantile" and aggregate.quantile is None:
            yield invalid(f"{at}.aggregate.function", "quantile", "needs quantile, for instance 0.95")
        if check.data.reference is not None and len(check.data.reference.columns) != len(check.data.reference.keys):
            columns: Json = list(check.data.reference.columns)
            yield invalid(f"{at}.reference.columns", columns, "must be as many as keys")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _check_exemptions(spec: QualityGateSpec) -> Iterator[FieldError]:
    names = {check.name for check in spec.checks}
    for index, exemption in enumerate(spec.exemptions):
        if exemption.check not in names:
            allowed = ", ".join(sorted(names))
            yield not_found(f"spec.exemptions[{index}].check", exemption.check, f"no such check; allowed: {allowed}")


def _check_score(spec: QualityGateSpec) -> Iterator[FieldError]:
    if spec.score is not None and spec.score.warn > spec.score.pass_:
        yield invalid("spec.score.warn", spec.score.warn, "must not be above pass")
