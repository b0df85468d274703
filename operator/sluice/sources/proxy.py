"""A proxy's own metrics, scraped by the operator at each look: no Prometheus stands between a failure and the rollback.

It answers `requests` of a check, and no query. The increments come from the scrapes of earlier looks
(`sluice.sources.scrapes`), so the first looks say that there is no history yet.
"""

from __future__ import annotations

import math

from sluice.api.metric_source import Proxy
from sluice.planning.metrics import Question, Series
from sluice.sources.access import Access
from sluice.sources.base import BadQuery
from sluice.sources.proxies import PROXIES
from sluice.sources.requests import measured
from sluice.sources.scrapes import Scrapes


class ProxyReader:
    """All replicas of one proxy."""

    def __init__(self, spec: Proxy, access: Access, scrapes: Scrapes) -> None:
        self._proxy = PROXIES[spec.kind]
        self._urls = tuple(dict.fromkeys(spec.addresses))
        self._access = access
        self._scrapes = scrapes

    def escape(self, text: str) -> str:
        """`text`: there is no query that it could stand in."""
        return text

    async def ask(self, question: Question) -> tuple[Series, ...]:
        """One series of one sample, at the moment of the question. Raises SourceError."""
        asked = question.requests
        if asked is None:
            raise BadQuery("a proxy answers no query: use requests instead, or a source that has a query language")
        key, window = self._proxy.key(asked.namespace, asked.service), asked.window.total_seconds()
        longest = (question.at - asked.begin).total_seconds() if asked.begin is not None else math.inf
        growths = await self._scrapes.growths(self._access, self._proxy, self._urls, key, window, longest)
        return (measured(asked, growths, question.at),)
