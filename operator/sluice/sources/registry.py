"""From the spec of a MetricSource to a reader: one line for each back end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from sluice.api.metric_source import BACKENDS, MetricSourceSpec, SecretKey
from sluice.planning.metrics import Question, Series
from sluice.sources.access import MAX_BYTES, Access, open_access
from sluice.sources.base import MetricReader, Misconfigured
from sluice.sources.cloud_watch import CloudWatchReader
from sluice.sources.datadog import DatadogReader
from sluice.sources.graphite import GraphiteReader
from sluice.sources.http import Http
from sluice.sources.http_json import HttpJsonReader
from sluice.sources.influxdb import InfluxReader
from sluice.sources.new_relic import NewRelicReader
from sluice.sources.prometheus import PrometheusReader
from sluice.sources.proxy import ProxyReader
from sluice.sources.scrapes import Scrapes

READERS: Final[Mapping[str, Callable[[Any, Access], MetricReader]]] = {
    "prometheus": PrometheusReader,
    "http": HttpJsonReader,
    "datadog": DatadogReader,
    "influxdb": InfluxReader,
    "graphite": GraphiteReader,
    "new_relic": NewRelicReader,
    "cloud_watch": CloudWatchReader,
}
"""What reads each back end that has a query language, by the field of the spec that configures it."""

_SCHEMES: Final = {"influxdb": "Token"}
"""Where the Authorization header of a `bearer` does not say Bearer."""
_MAX_BYTES: Final = {"proxy": 8 << 20}
"""Where the greatest answer, without `maxBytes`, is not the common one."""
_COUNTING: Final = ("prometheus", "proxy")
"""What can answer `requests` of a check."""


class QueriesOnly:
    """A back end that knows nothing of proxies."""

    def __init__(self, reader: MetricReader, name: str) -> None:
        self._reader = reader
        self._name = name

    def escape(self, text: str) -> str:
        """As the back end does it."""
        return self._reader.escape(text)

    async def ask(self, question: Question) -> tuple[Series, ...]:
        """As the back end does it. Raises SourceError."""
        if question.requests is not None:
            raise Misconfigured(f"{self._name} cannot answer requests: prometheus (with its field proxy) and proxy can")
        return await self._reader.ask(question)


def build(spec: MetricSourceSpec, secrets: Mapping[SecretKey, str], http: Http, scrapes: Scrapes) -> MetricReader:
    """The reader of a source, with the texts of all Secrets that `secrets_of(spec)` names. Does no I/O.

    `http` and `scrapes` are the process' own: readers are made anew for each look, and these outlive them.
    Raises Denied for a Secret that is missing or unusable, Misconfigured for a spec that cannot work.
    """
    given = [name for name in BACKENDS if getattr(spec, name) is not None]
    if len(given) != 1:
        raise Misconfigured(f"exactly one back end is needed, not {len(given)}")
    (name,) = given
    access = open_access(spec, secrets, http, _SCHEMES.get(name, "Bearer"), _MAX_BYTES.get(name, MAX_BYTES))
    if spec.proxy is not None:
        return ProxyReader(spec.proxy, access, scrapes)
    reader = READERS[name](getattr(spec, name), access)
    return reader if name in _COUNTING else QueriesOnly(reader, to_camel(name))


def secrets_of(spec: MetricSourceSpec) -> tuple[SecretKey, ...]:
    """The keys of Secrets that a source needs, each once, in the order of the spec's fields."""
    return tuple(dict.fromkeys(_keys(spec)))


def _keys(model: BaseModel) -> Iterator[SecretKey]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, SecretKey):
            yield value
        elif isinstance(value, BaseModel):
            yield from _keys(value)
