"""From the spec of a MetricSource to a reader: one line for each back end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from sluice.api.metric_source import BACKENDS, MetricSourceSpec, SecretKey
from sluice.sources.access import Access, open_access
from sluice.sources.base import MetricReader, Misconfigured
from sluice.sources.cloud_watch import CloudWatchReader
from sluice.sources.datadog import DatadogReader
from sluice.sources.graphite import GraphiteReader
from sluice.sources.http import Http
from sluice.sources.http_json import HttpJsonReader
from sluice.sources.influxdb import InfluxReader
from sluice.sources.new_relic import NewRelicReader
from sluice.sources.prometheus import PrometheusReader

READERS: Final[Mapping[str, Callable[[Any, Access], MetricReader]]] = {
    "prometheus": PrometheusReader,
    "http": HttpJsonReader,
    "datadog": DatadogReader,
    "influxdb": InfluxReader,
    "graphite": GraphiteReader,
    "new_relic": NewRelicReader,
    "cloud_watch": CloudWatchReader,
}
"""What reads each back end, by the field of the spec that configures it."""

_SCHEMES: Final = {"influxdb": "Token"}
"""Where the Authorization header of a `bearer` does not say Bearer."""


def build(spec: MetricSourceSpec, secrets: Mapping[SecretKey, str], http: Http) -> MetricReader:
    """The reader of a source, with the texts of all Secrets that `secrets_of(spec)` names. Does no I/O.

    Raises Denied for a Secret that is missing or unusable, Misconfigured for a spec that cannot work.
    """
    given = [name for name in BACKENDS if getattr(spec, name) is not None]
    if len(given) != 1:
        raise Misconfigured(f"exactly one back end is needed, not {len(given)}")
    (name,) = given
    access = open_access(spec, secrets, http, _SCHEMES.get(name, "Bearer"))
    return READERS[name](getattr(spec, name), access)


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
