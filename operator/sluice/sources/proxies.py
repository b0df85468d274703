"""How proxies name what they count: the series of each, and which Service a series is about. Pure.

A further proxy is one more entry of `PROXIES`, and of `ProxyName` in `sluice.api.metric_source`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sluice.api.metric_source import ProxyName


@dataclass(frozen=True)
class ProxySeries:
    """The series of one proxy that built-in measures are made of."""

    requests: str
    """Counter of requests, with the answer's status in the label `code`."""
    code: str
    buckets: str
    """Buckets of the histogram of their duration in seconds, with the upper bound in the label `le`."""
    service: str
    """Label of both that says which Service it is."""
    witness: str
    """A series that each scrape has, without that label: proof that the proxy was scraped at a moment."""
    started: str
    """A series without labels: when the process began, in seconds since 1970."""
    key: Callable[[str, str], str]
    """Of the namespace and the name of a Service: what stands for it here. Letters, digits and dashes."""
    others: tuple[str, ...]
    """Further labels of these series."""
    around: tuple[str, str]
    """What stands before and behind the key in the label, as regular expressions (RE2 and Python)."""

    @property
    def own_labels(self) -> frozenset[str]:
        """Labels that are the proxy's; the others say which replica was scraped."""
        return frozenset(("__name__", "le", self.code, self.service, *self.others))

    def pattern(self, key: str) -> str:
        """A regular expression for the whole label of a Service, over all its ports."""
        before, behind = self.around
        return f"{before}{key}{behind}"

    def key_of(self, label: str) -> str | None:
        """Which Service a label is about; None of what is no Service."""
        match = re.fullmatch(self.pattern("(.+)"), label)
        return match[1] if match is not None else None


def _traefik_key(namespace: str, service: str) -> str:
    """Traefik's own way to put a name together (`provider.Normalize`): runs of other characters become one dash.

    So Service c of namespace a-b and Service b-c of namespace a are one and the same to Traefik, in its routes too.
    """
    return "-".join(re.findall(r"[^\W_]+", f"{namespace}-{service}"))


PROXIES: Final[Mapping[ProxyName, ProxySeries]] = {
    # Seen with Traefik 3.6: NAMESPACE-SERVICE-http-PORT@kubernetesgateway, one for each backend of a route, weighted or
    # mirrored. What a Service without a ready endpoint is not given (503) is counted of no Service.
    "Traefik": ProxySeries(
        requests="traefik_service_requests_total",
        code="code",
        buckets="traefik_service_request_duration_seconds_bucket",
        service="service",
        witness="traefik_config_reloads_total",
        started="process_start_time_seconds",
        key=_traefik_key,
        others=("method", "protocol"),
        around=("", "-http-[0-9]+@kubernetesgateway"),
    ),
}
