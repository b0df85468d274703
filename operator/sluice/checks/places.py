"""Where the sources of a gate lie: their uris with the run's interval and arguments put in. Pure.

A source with a `baseline` is that of an earlier interval: its uri is read with the interval moved back by its own
length, or by seven days of the calendar of the run's time zone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sluice.api.base import Json
from sluice.api.gate import Source
from sluice.checks.sql import When
from sluice.checks.stores.base import without_password
from sluice.planning.references import UnresolvedReference, substitute

_ARGUMENT = re.compile(r"\$\(args\.")
WEEK = timedelta(days=7)


def resolve_places(
    sources: Sequence[Source], given: Mapping[str, str], when: When, args: Mapping[str, Json]
) -> tuple[dict[str, str], dict[str, str]]:
    """({source: uri}, {source: why there is none}). `given` uris win over the sources' own; both may hold references."""
    declared = {source.name: source for source in sources}
    texts = {source.name: source.uri for source in sources if source.uri is not None} | dict(given)
    places: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name, text in texts.items():
        source = declared.get(name)
        try:
            places[name] = _resolve(text, shifted(when, source.baseline if source is not None else None), args)
        except UnresolvedReference as error:
            path = error.reference.path.replace("params.", "args.", 1)
            why = "the gate was not run for an interval" if path.startswith("interval.") else "it has no value"
            missing[name] = f'the uri of "{name}", {without_password(text)}, holds $({path}): {why}'
    return places, missing


def shifted(when: When, baseline: str | None) -> When:
    """The moment of evaluation with the interval that a source is read of."""
    if baseline is None or when.start is None or when.end is None:
        return when
    if baseline == "SameWeekday":
        zone = ZoneInfo(when.zone)
        start, end = (_back(moment, zone) for moment in (when.start, when.end))
    else:
        start, end = _before(when.start, when.end, ZoneInfo(when.zone)), when.start
    return When(when.now, start, end, when.zone)


def _back(moment: datetime, zone: ZoneInfo) -> datetime:
    """Seven days earlier at the same time of the clock on the wall."""
    return (moment.astimezone(zone) - WEEK).astimezone(UTC)


def _before(start: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """`start` moved back by the interval's length on the clock on the wall, so that the day before a day is a day."""
    length = end.astimezone(zone).replace(tzinfo=None) - start.astimezone(zone).replace(tzinfo=None)
    return (start.astimezone(zone) - length).astimezone(UTC)


def _resolve(text: str, when: When, args: Mapping[str, Json]) -> str:
    values = {**dict(_interval(when)), **{f"params.{name}": value for name, value in args.items()}}
    # `substitute` escapes `$` for Kubernetes, which does not read this text.
    return substitute(_ARGUMENT.sub("$(params.", text), values).replace("$$", "$")


def _interval(when: When) -> Iterator[tuple[str, Json]]:
    zone = ZoneInfo(when.zone)
    for name, moment in (("start", when.start), ("end", when.end)):
        if moment is not None:
            yield f"interval.{name}", f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            yield f"interval.{name}.date", f"{moment.astimezone(zone):%Y-%m-%d}"
