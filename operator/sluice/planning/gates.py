"""What a schema cannot say of a gate: one assertion a check, exemptions of checks that exist, rows that can be set aside."""

from collections.abc import Iterator

from sluice.api.gate import Check, QualityGateSpec
from sluice.api.schema import FieldError, invalid, not_found, required, show
from sluice.planning.data_checks import ROW_ASSERTIONS, assertions_of, camel, check_data
from sluice.planning.metrics import check_metric

MAX_SPEC_BYTES = 96 * 1024
"""Size of a gate as JSON: it travels to its pod in an environment variable, which Linux limits to 128 KiB."""


def check_gate(spec: QualityGateSpec) -> list[FieldError]:
    """All that is wrong with a gate whose shape is right."""
    return [
        *_check_names(spec),
        *(error for index, check in enumerate(spec.checks) for error in _check_check(check, f"spec.checks[{index}]")),
        *_check_that_something_counts(spec),
        *_check_sources(spec),
        *_check_quarantine(spec),
        *_check_exemptions(spec),
        *_check_score(spec),
        *_check_size(spec),
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
        yield from check_data(check.data, f"{at}.data")
    if check.metric is not None:
        yield from check_metric(check, f"{at}.metric")
        if check.pii and check.data is None:
            yield invalid(f"{at}.pii", list(check.pii), "is for checks on data: a metric has no columns")


def _check_that_something_counts(spec: QualityGateSpec) -> Iterator[FieldError]:
    """A gate without a check that counts never comes to a verdict, and would hold its step for nothing."""
    if all(check.severity == "Info" and not check.critical for check in spec.checks):
        yield invalid("spec.checks[0].severity", "Info", "at least one check has to count: Block or Warn, or critical")


def _check_sources(spec: QualityGateSpec) -> Iterator[FieldError]:
    for index, source in enumerate(spec.sources):
        at = f"spec.sources[{index}]"
        by_run = source.baseline in ("LastRun", "StableRevision")
        if by_run and source.step is None:
            yield required(f"{at}.step", f"baseline {source.baseline} is the output of a step of an earlier run")
        if by_run and source.uri is not None:
            yield invalid(f"{at}.uri", source.uri, f"baseline {source.baseline} has its uri from an earlier run")
        if source.step is not None and not by_run:
            yield invalid(f"{at}.step", source.step, "only with baseline: LastRun or StableRevision")
        if source.baseline in ("PreviousInterval", "SameWeekday") and source.uri is None:
            yield required(
                f"{at}.uri", f"baseline {source.baseline} needs one, with $(interval.start.date) or the like"
            )
        if source.sample is not None and (source.sample.percent is None) == (source.sample.rows is None):
            yield invalid(f"{at}.sample", source.sample.to_dict(), "exactly one of percent, rows is needed")


def _check_size(spec: QualityGateSpec) -> Iterator[FieldError]:
    size = len(spec.model_dump_json(by_alias=True, exclude_none=True, exclude={"examples", "description"}))
    if size > MAX_SPEC_BYTES:
        yield FieldError("spec", "Too long", None, f"may not be more than {MAX_SPEC_BYTES} bytes as JSON, is {size}")


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
        elif not set(assertions_of(check.data)) <= set(ROW_ASSERTIONS):
            allowed = ", ".join(map(camel, ROW_ASSERTIONS))
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
