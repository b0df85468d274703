"""Metric checks without I/O: the question that a check asks, and what the answer to it comes to. Pure.

    ask(check, values, escape, now)     -> Question     what the source is asked
    look_at(check, series, at)          -> Look         what its answer comes to
    failed_look(error, at)              -> Look         what it comes to when there is no answer
    limits_of(check), interval_of(check)                how often it is looked at, and how many failures are borne

An answer is only judged when it is whole: no series, several series that nobody said how to reduce, old samples, samples
from the future, NaN and infinity are Inconclusive, and none of them is left out so that the rest can pass.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sluice.api.base import Json
from sluice.api.data_checks import NumberBounds
from sluice.api.durations import format_duration, parse_duration
from sluice.api.gate import Check, MeasureName, MetricCheck, Requests
from sluice.api.schema import FieldError, invalid, required
from sluice.planning.references import (
    CANARY_NAMES,
    IN_QUERIES,
    PLAIN_NAMES,
    Reference,
    UnresolvedReference,
    references,
    replaced,
    unreadable,
)
from sluice.planning.verdicts import Bounds, Limits, Look, NoData, Outcome, Rhythm, judge_value
from sluice.telemetry.redaction import redact_text

MAX_AGE = timedelta(minutes=5)
"""Age beyond which a sample is no evidence, where the check says nothing else."""
STEP = timedelta(seconds=15)
"""Distance of the samples of a range, where the check says nothing else."""
INTERVAL = timedelta(seconds=30)
"""From one look to the next, where the check says nothing else."""
LEAST_INTERVAL = timedelta(milliseconds=250)
MAX_POINTS = 11_000
"""Samples of one series in one answer: what Prometheus allows."""
MAX_AHEAD = timedelta(minutes=1)
"""How far the source's clock may be ahead of ours."""
REQUESTS_WINDOW = timedelta(seconds=30)
"""Window of what is built in, where the check says nothing else."""
LEAST_WINDOW, LONGEST_WINDOW = timedelta(seconds=1), timedelta(minutes=10)
REQUESTS_MAX_AGE = timedelta(seconds=15)
"""What is built in may be this old, or as old as its window is long, where the check says nothing else."""
QUANTILE = 0.99

_LONGEST_MESSAGE = 500
_PLAIN = re.compile(r"[A-Za-z0-9_.:/%~@-]*")
_QUOTES = re.compile(
    r"""
      "(?:[^"\\]|\\.)*(?:"|\Z)
    | '(?:[^'\\]|\\.)*(?:'|\Z)
    | `[^`]*(?:`|\Z)
    | (?:\#|//)[^\n]*
    """,
    re.VERBOSE | re.DOTALL,
)
"""Quoted text, and comments, whose quotes are none."""


@dataclass(frozen=True)
class RequestsQuestion:
    """What is asked of the requests to one Service, as a proxy counts them."""

    measure: MeasureName
    namespace: str
    service: str
    window: timedelta = REQUESTS_WINDOW
    quantile: float = QUANTILE
    """Of Latency."""
    min_requests: int = 1
    """Fewer within the window are no evidence."""
    begin: datetime | None = None
    """What was counted before is about something else, and no window reaches back to it."""


@dataclass(frozen=True)
class Question:
    """What a metric source is asked: a query as it is sent, and the moment or the window of time that it is about."""

    text: str
    """Empty with `requests`."""
    at: datetime
    window: timedelta | None = None
    """None: an instant query."""
    step: timedelta | None = None
    """Distance of samples, with a window."""
    max_age: timedelta = MAX_AGE
    """Older samples are no evidence. A source that only knows windows looks this far back for an instant query."""
    requests: RequestsQuestion | None = None
    """What is built in, instead of a query. A source that cannot answer it raises Misconfigured."""

    @property
    def since(self) -> datetime:
        """The earliest moment that the question is about."""
        return self.at - (self.max_age if self.window is None else self.window)


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
    doubt: str = ""
    """Why the source itself takes it for no evidence; empty where it does not."""
    floor: str = ""
    """Why the true number may be greater; empty where it is exact. Such a number can fail a check, and not pass it."""
    rhythm: Rhythm | None = None
    """When more samples come, where the source knows it."""


class Unaskable(Exception):
    """No question can be made of a check: a reference has no value, or its value may not stand where it would."""


# -- the question -----------------------------------------------------------------------------------------------------


def ask(
    check: Check,
    values: Mapping[str, Json],
    escape: Callable[[str], str],
    now: datetime,
    begin: datetime | None = None,
) -> Question:
    """The question of `check` at `now`, its references filled from `values` ({"args.service": ...}).

    Requests that were counted before `begin` are left out, where a window could reach back to them.

    Every value goes through `escape`, the source's way to write a text inside quotes. Where a reference stands outside
    quotes there is nothing that could hold a value in, so there it may only be of letters, digits and _.:/%~@-. Raises
    Unaskable.
    """
    metric = check.on_metric
    if metric.requests is not None and metric.query is None:
        return Question("", now, max_age=_max_age(metric), requests=_requests(metric.requests, values, begin))
    if metric.query is None or metric.requests is not None:
        raise Unaskable("exactly one of query, requests is needed")
    quoted = [match.span() for match in _QUOTES.finditer(metric.query) if match[0][0] in "\"'`"]

    def write(value: str, at: int) -> str:
        written = escape(value)
        if not _PLAIN.fullmatch(written) and not any(start < at < end for start, end in quoted):
            raise Unaskable(
                "a value that stands outside quotes in the query may only hold letters, digits and _.:/%~@-, "
                f"not {value[:50]!r}"
            )
        return written

    try:
        text = replaced(metric.query, values, write, IN_QUERIES)
    except UnresolvedReference as error:
        raise Unaskable(f"the query has {error.reference}, which has no value and no default") from error
    if metric.range is None:
        return Question(text, now, max_age=_max_age(metric))
    return Question(text, now, parse_duration(metric.range.window), _step(metric), _max_age(metric))


def _requests(requests: Requests, values: Mapping[str, Json], begin: datetime | None) -> RequestsQuestion:
    """The question that is built in, about the Service that the canary's values name."""
    named = "canary.service" if requests.of == "Stable" else "canary.candidate"
    namespace, service = values.get("canary.namespace"), values.get(named)
    for name, value in (("canary.namespace", namespace), (named, service)):
        if not value:
            raise Unaskable(f"requests is for gates of canaries, which say whose: {name} has no value here")
    return RequestsQuestion(
        measure=requests.measure,
        namespace=str(namespace),
        service=str(service),
        window=_window(requests),
        quantile=QUANTILE if requests.quantile is None else requests.quantile,
        min_requests=requests.min_requests or 1,
        begin=begin,
    )


def _window(requests: Requests) -> timedelta:
    return REQUESTS_WINDOW if requests.window is None else parse_duration(requests.window)


def _max_age(metric: MetricCheck) -> timedelta:
    if metric.max_age is not None:
        return parse_duration(metric.max_age)
    return MAX_AGE if metric.requests is None else max(_window(metric.requests), REQUESTS_MAX_AGE)


def _step(metric: MetricCheck) -> timedelta:
    given = metric.range.step if metric.range is not None else None
    return STEP if given is None else parse_duration(given)


# -- the answer -------------------------------------------------------------------------------------------------------


def look_at(check: Check, series: Sequence[Series], at: datetime) -> Look:
    """What the series that a source answered at `at` come to."""
    rhythms = [one.rhythm for one in series if one.rhythm is not None]
    return replace(_judged(check.on_metric, series, at), rhythm=min(rhythms, key=lambda one: one.next_at, default=None))


def _judged(metric: MetricCheck, series: Sequence[Series], at: datetime) -> Look:
    doubt = _doubt(metric, series, at)
    if doubt:
        return Look(at, Outcome.INCONCLUSIVE, message=doubt)
    over = (metric.range.over or "avg") if metric.range is not None else "last"
    samples = [[point.value for point in one.points] for one in series]
    used = [values[-1:] if over == "last" else values for values in samples]
    if odd := _not_finite(used):
        return Look(at, Outcome.INCONCLUSIVE, message=odd)
    numbers = [_reduced(over, values) for values in used]
    value = numbers[0] if metric.reduce is None else _reduced(metric.reduce, numbers)
    outcome, message = judge_value(value, _bounds(metric), _bounds(metric.warn) if metric.warn is not None else None)
    if outcome is not Outcome.FAIL and (floor := next((one.floor for one in series if one.floor), "")):
        return Look(at, Outcome.INCONCLUSIVE, message=f"at least {value:g}: {floor}")
    return Look(at, outcome, value if math.isfinite(value) else None, message)


def _doubt(metric: MetricCheck, series: Sequence[Series], at: datetime) -> str:
    """Why an answer cannot be judged at all; empty when it can be."""
    if metric.min is None and metric.max is None:
        return "the check has neither min nor max"
    if doubt := next((one.doubt for one in series if one.doubt), ""):
        return doubt
    if not series:
        return "no data"
    if len(series) > 1 and metric.reduce is None:
        return f"{len(series)} series and no reduce: one is needed, or reduce: min, max, sum or avg"
    empty = sum(not one.points for one in series)
    if empty:
        return "no data" if empty == len(series) else f"no data in {empty} of {len(series)} series"
    ahead = max(max(point.at for point in one.points) for one in series) - at
    if ahead > MAX_AHEAD:
        return f"a sample is {format_duration(ahead)} in the future: the clocks differ"
    age, limit = at - min(max(point.at for point in one.points) for one in series), _max_age(metric)
    if age > limit:
        which = "the newest sample" if len(series) == 1 else f"the newest sample of one of {len(series)} series"
        return f"stale: {which} is {format_duration(age)} old, maxAge is {format_duration(limit)}"
    return ""


def _not_finite(samples: Sequence[Sequence[float]]) -> str:
    """What is no number among the samples; empty when all are."""
    odd = [value for values in samples for value in values if not math.isfinite(value)]
    if not odd:
        return ""
    shown = "NaN" if any(map(math.isnan, odd)) else "Inf"
    total = sum(map(len, samples))
    where = "" if total == 1 else f" ({len(odd)} of {total} samples)"
    return f"{shown} is not a measurement{where}"


_REDUCE: Mapping[str, Callable[[Sequence[float]], float]] = {
    "last": lambda values: values[-1],
    "min": min,
    "max": max,
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
}


def _reduced(how: str, values: Sequence[float]) -> float:
    return float(_REDUCE[how](values))


def _bounds(bounds: NumberBounds) -> Bounds:
    return Bounds(bounds.min, bounds.max)


def failed_look(error_text: str, at: datetime) -> Look:
    """What a look comes to that brought an error and no answer."""
    text = redact_text(error_text)
    return Look(at, Outcome.ERROR, message=text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "...")


# -- looks over time --------------------------------------------------------------------------------------------------


def limits_of(check: Check) -> Limits:
    """When looks at `check` come to an outcome."""
    metric = check.on_metric
    failures = metric.failure_limit
    return Limits(
        consecutive=failures.consecutive or 0 if failures is not None else 0,
        total=failures.total if failures is not None else None,
        min_samples=metric.min_samples or 1,
        sustained=parse_duration(metric.for_) if metric.for_ is not None else timedelta(0),
        no_data=NoData(check.on_no_data) if check.on_no_data is not None else NoData.HOLD,
    )


def interval_of(check: Check) -> timedelta:
    """From one look at `check` to the next."""
    given = check.on_metric.interval
    return INTERVAL if given is None else max(parse_duration(given), LEAST_INTERVAL)


# -- what a schema cannot say -----------------------------------------------------------------------------------------


def check_metric(check: Check, at_path: str) -> Iterator[FieldError]:
    """All that is wrong with the metric of `check`, whose shape is right; `at_path` is the field it stands in."""
    metric = check.on_metric
    if metric.min is None and metric.max is None:
        yield required(f"{at_path}.max", "max, min or both are needed")
    yield from _check_bounds(metric, at_path)
    if metric.warn is not None:
        yield from _check_bounds(metric.warn, f"{at_path}.warn")
        if metric.warn.min is None and metric.warn.max is None:
            yield required(f"{at_path}.warn.max", "max, min or both are needed")
    yield from _check_references(metric.query or "", f"{at_path}.query")
    yield from _check_range(metric, f"{at_path}.range")
    if metric.requests is not None:
        yield from _check_requests(metric, metric.requests, at_path)
    failures = metric.failure_limit
    if failures is not None and failures.total and not failures.consecutive:
        yield invalid(
            f"{at_path}.failureLimit.total",
            failures.total,
            "has no effect while consecutive is 0: the first failed look fails the check",
        )


def _check_bounds(bounds: NumberBounds, at: str) -> Iterator[FieldError]:
    for name, value in (("min", bounds.min), ("max", bounds.max)):
        if value is not None and not math.isfinite(value):
            yield invalid(f"{at}.{name}", str(value), "must be a finite number")
    if bounds.min is not None and bounds.max is not None and bounds.min > bounds.max:
        yield invalid(f"{at}.min", bounds.min, f"must not be above max, {bounds.max:g}")


def _check_requests(metric: MetricCheck, requests: Requests, at: str) -> Iterator[FieldError]:
    window = _window(requests)
    if not LEAST_WINDOW <= window <= LONGEST_WINDOW:
        yield invalid(f"{at}.requests.window", requests.window, "must be from 1s to 10m")
    if metric.range is not None:
        yield invalid(f"{at}.range", metric.range.to_dict(), "is for a query: requests has its own window")
    if metric.reduce is not None:
        yield invalid(f"{at}.reduce", metric.reduce, "is for a query: requests comes to one number")


def _check_references(query: str, at: str) -> Iterator[FieldError]:
    for broken in unreadable(query, IN_QUERIES):
        yield invalid(at, broken, "cannot be read: $(NAME) or $(NAME ?? default), without parentheses inside")
    for reference in references(query, IN_QUERIES):
        if not _is_known(reference):
            known = ", ".join(("args.NAME", "params.NAME", *PLAIN_NAMES, *CANARY_NAMES))
            yield invalid(at, str(reference), f"a query has no such reference; allowed: {known}")


def _is_known(reference: Reference) -> bool:
    named = reference.path in PLAIN_NAMES or reference.path in CANARY_NAMES
    return named or re.fullmatch(r"(args|params)\.[A-Za-z0-9_.-]+", reference.path) is not None


def _check_range(metric: MetricCheck, at: str) -> Iterator[FieldError]:
    if metric.range is None:
        return
    window, step = parse_duration(metric.range.window), _step(metric)
    shown = metric.range.step or format_duration(step)
    if window <= timedelta(0):
        yield invalid(f"{at}.window", metric.range.window, "must be longer than 0s")
    elif step <= timedelta(0):
        yield invalid(f"{at}.step", shown, "must be longer than 0s")
    elif step > window:
        yield invalid(f"{at}.step", shown, f"must not be longer than window, {metric.range.window}")
    elif window / step > MAX_POINTS:
        yield invalid(f"{at}.step", shown, f"makes {window / step:.0f} samples of the window; at most {MAX_POINTS}")
