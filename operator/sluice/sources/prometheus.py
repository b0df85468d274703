"""Prometheus, and what speaks its HTTP API: Thanos, Mimir, VictoriaMetrics, Cortex.

A query is sent as a form to /api/v1/query, or to /api/v1/query_range with a window. What comes back carries the time of the
query and not that of the scrape: the server looks back for up to 5 minutes (unless it is configured otherwise) for a
sample that it then gives as the present one. A target that is gone is known to be gone at once; one that merely stopped
being written is not. So where maxAge is shorter than that, the server is asked once more, for `timestamp(QUERY)`, which
is the scrape's time where the query is a plain selector, and for a shorter look-back, which newer servers grant
for every query (`lookback_delta`) and others pass over.

A partial answer is no answer. Thanos and VictoriaMetrics are asked not to give one, and `isPartial: true` or any
`warnings` (of Thanos, of a remote read, of PromQL itself about samples that it left out) make a BadAnswer. `infos`, which are
about style, are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from sluice.api.base import Json
from sluice.api.metric_source import Prometheus
from sluice.planning.metrics import STEP, Point, Question, RequestsQuestion, Series
from sluice.planning.verdicts import Rhythm
from sluice.sources.access import Access
from sluice.sources.answers import a_list, a_moment, a_pair, an_object, labels
from sluice.sources.base import BadAnswer, BadQuery, Misconfigured
from sluice.sources.exposition import Sample
from sluice.sources.proxies import PROXIES, ProxySeries
from sluice.sources.requests import STRETCH, Counts, Track, counted, doubtful, measured

_LOOK_BACK: Final = timedelta(minutes=5)
INGESTED: Final = 0.02
"""Seconds from the time of a sample, which is the beginning of its scrape, until the server answers with it, as a rule."""
LATE: Final = 0.25
"""For so many seconds more a sample that is due is waited for."""
_AGAIN: Final = 0.05
"""How soon it is asked for again."""
_FARTHEST_SCRAPE: Final = 15.0
"""A window is begun by a sample before it: how many seconds before, at least, one is looked for."""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': "\\x22", "'": "\\x27", "`": "\\x60", "\n": "\\n"})


class PrometheusReader:
    """One Prometheus."""

    def __init__(self, spec: Prometheus, access: Access) -> None:
        self._address = spec.address.rstrip("/")
        self._access = access.with_plain_headers(spec.headers)
        self._proxy = PROXIES[spec.proxy] if spec.proxy is not None else None

    def escape(self, text: str) -> str:
        r"""`text` inside a label value in double quotes: `{path="$(args.path)"}`.

        Backslash, quotes and line break are escaped, so a value cannot end the text that it stands in; quotes by their
        numbers, since `\"` is an error in single quotes. What is special in a regular expression is not escaped: in
        `=~"$(args.path)"` the value is a pattern.
        """
        return text.translate(_ESCAPES)

    async def ask(self, question: Question) -> tuple[Series, ...]:
        """The series that answer `question`. Raises SourceError."""
        if question.requests is not None:
            return (await self._measured(question, question.requests),)
        form = {
            "timeout": f"{self._access.limits.seconds:g}s",
            "lookback_delta": _seconds(min(question.max_age, _LOOK_BACK)),
            "partial_response": "false",
            "deny_partial_response": "1",
        }
        present = {**form, "time": _timestamp(question.at)}
        if question.window is None:
            series = await self._asked("query", question.text, present)
        else:
            step = question.step or STEP
            # The last sample of the grid is at the moment of the look, so that its age is the data's and not the grid's.
            start = question.at - question.window // step * step
            form |= {"start": _timestamp(start), "end": _timestamp(question.at), "step": _seconds(step)}
            series = await self._asked("query_range", question.text, form)
        if question.max_age >= _LOOK_BACK or not any(one.labels for one in series):
            return series
        return _dated(series, await self._asked("query", f"timestamp((\n{question.text}\n))", present))

    async def _measured(self, question: Question, asked: RequestsQuestion) -> Series:
        """What is built in, from the samples of the proxy's counters as they were scraped.

        They are summed up here and not by `increase`, which misses the first failure of all (its series has no sample
        before) and guesses what lies beyond the samples.
        """
        if self._proxy is None:
            allowed = ", ".join(PROXIES)
            raise Misconfigured(f"requests needs prometheus.proxy, the proxy that this Prometheus scrapes: {allowed}")
        window = asked.window.total_seconds()
        look_back = window + min(max(window, _FARTHEST_SCRAPE), STRETCH)
        query = f"{_selector(self._proxy, asked)}[{look_back * 1000:.0f}ms]"
        form = {"timeout": f"{self._access.limits.seconds:g}s", "time": _timestamp(question.at)}
        form |= {"partial_response": "false", "deny_partial_response": "1"}
        series = await self._asked("query", query, form)
        if not series:
            return doubtful(f"no data: {self._proxy.witness} of the proxy is not there")
        tracks = _tracks(self._proxy, self._proxy.key(asked.namespace, asked.service), series)
        # The oldest of them, since what a replica has counted that is no longer scraped is not known.
        newest = a_moment(min(track.newest for track in tracks), "the time of a sample")
        begin = asked.begin.timestamp() if asked.begin is not None else -math.inf
        number = measured(asked, [track.over(window, track.newest - begin) for track in tracks], newest)
        return replace(number, rhythm=_rhythm(tracks, question.at))

    async def _asked(self, how: str, query: str, form: Mapping[str, str]) -> tuple[Series, ...]:
        return self._series(await self._access.post_form(f"{self._address}/api/v1/{how}", {"query": query, **form}))

    def _series(self, answer: Json) -> tuple[Series, ...]:
        document = an_object(answer, "the answer")
        if document.get("status") != "success":
            raise BadQuery(f"the query failed: {self._access.quoted(str(document.get('error')))}")
        if document.get("isPartial"):
            raise BadAnswer("the answer is partial: some of the server's storage did not answer")
        if warnings := a_list(document.get("warnings") or [], "warnings"):
            raise BadAnswer(f"the answer is partial or doubtful: {self._access.quoted(str(warnings[0]))}")
        return _result(document)


def _selector(proxy: ProxySeries, asked: RequestsQuestion) -> str:
    """The series that `asked` needs, and the witness, which has no such label, of each replica."""
    wanted = proxy.buckets if asked.measure == "Latency" else proxy.requests
    service = proxy.pattern(proxy.key(asked.namespace, asked.service))
    return f'{{__name__=~"{proxy.witness}|{wanted}",{proxy.service}=~"|{service}"}}'


def _tracks(proxy: ProxySeries, key: str, series: tuple[Series, ...]) -> list[Track]:
    """The scrapes of each replica. Samples of one scrape have the same time; the witness is in each."""
    targets: dict[frozenset[tuple[str, str]], dict[datetime, list[Sample]]] = {}
    for one in series:
        target = frozenset((name, text) for name, text in one.labels.items() if name not in proxy.own_labels)
        pages, name = targets.setdefault(target, {}), one.labels.get("__name__", "")
        for point in one.points:
            pages.setdefault(point.at, []).append(Sample(name, one.labels, point.value))
    tracks = []
    for pages in targets.values():
        track = Track()
        for at in sorted(pages):
            track.add(at.timestamp(), counted(proxy, pages[at]).get(key, Counts()))
        tracks.append(track)
    return tracks


def _rhythm(tracks: Sequence[Track], now: datetime) -> Rhythm | None:
    """When the next scrape of any replica can be asked for; None where none is known to be due."""
    rows: list[Rhythm] = []
    for at, every in (track.rhythm for track in tracks if track.rhythm is not None):
        late = now.timestamp() - at - INGESTED
        if late < LATE:  # a longer silence is an outage
            due = at + INGESTED if late < 0 else now.timestamp() + _AGAIN
            rows.append(Rhythm(datetime.fromtimestamp(due, UTC), timedelta(seconds=every)))
    return min(rows, key=lambda row: row.next_at, default=None)


def _timestamp(moment: datetime) -> str:
    return f"{moment.timestamp():.3f}"


def _seconds(length: timedelta) -> str:
    return f"{max(length.total_seconds(), 0.001):.3f}"


def _dated(series: tuple[Series, ...], scrapes: tuple[Series, ...]) -> tuple[Series, ...]:
    """The series with no point later than its scrape, which `timestamp()` gave for the series that are present."""
    times = {_identity(one): one.points[-1].value for one in scrapes if one.points}
    return tuple(_not_after(one, times[_identity(one)]) if _identity(one) in times else one for one in series)


def _identity(series: Series) -> frozenset[tuple[str, str]]:
    """Its labels without the name, which functions take away."""
    return frozenset((name, text) for name, text in series.labels.items() if name != "__name__")


def _not_after(series: Series, scraped: float) -> Series:
    latest = a_moment(scraped, "the time of a scrape")
    return replace(series, points=tuple(replace(point, at=min(point.at, latest)) for point in series.points))


def _result(document: dict[str, Json]) -> tuple[Series, ...]:
    data = an_object(document.get("data"), "data")
    kind, result = data.get("resultType"), a_list(data.get("result"), "result")
    if kind == "scalar":
        return (Series({}, (_point(result),)),)
    if kind not in ("vector", "matrix"):
        raise BadAnswer(f"the query's result is a {str(kind)[:20]}, and no vector, matrix or scalar")
    return tuple(_one(an_object(row, "a series"), kind) for row in result)


def _one(row: dict[str, Json], kind: str) -> Series:
    if "histogram" in row or "histograms" in row:
        raise BadAnswer("a series is a native histogram: take a number of it, as by histogram_quantile")
    samples = [row.get("value")] if kind == "vector" else a_list(row.get("values"), "values")
    return Series(labels(row.get("metric")), tuple(map(_point, samples)))


def _point(pair: Json) -> Point:
    at, text = a_pair(pair, "a sample")
    if not isinstance(text, str):
        raise BadAnswer("the value of a sample is no text")
    try:
        value = float(text)  # also NaN, +Inf and -Inf
    except ValueError:
        raise BadAnswer("the value of a sample is no number") from None
    return Point(a_moment(at, "the time of a sample"), value)
