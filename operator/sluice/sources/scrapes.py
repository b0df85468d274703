"""What was scraped of proxies lately, in memory: looks are taken anew each time, and an increment needs the looks before.

One for the process, beside `Http`. Of each proxy it keeps the counters of the Services that were asked for within the last
minutes, and no more than a few hundred scrapes of each, so that memory is bounded. All who ask at the same time, or within
100 ms, share one scrape.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import re
import socket
import time
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from sluice.sources.access import Access
from sluice.sources.base import Misconfigured, SourceError, Unreachable
from sluice.sources.exposition import holding, samples, single
from sluice.sources.http import Limits, Trust
from sluice.sources.proxies import ProxySeries
from sluice.sources.requests import STRETCH, Counts, Growth, Track, counted

SHARED_SECONDS: Final = 0.1
"""A scrape that is no older serves all who ask."""
_NAME_SECONDS: Final = 5.0
"""How long the addresses of a name are used again."""
_MOST_ADDRESSES: Final = 64

_Key = tuple[str, str, int, Trust, Limits]


class Scrapes:
    """See the module."""

    def __init__(self) -> None:
        self._targets: dict[_Key, _Target] = {}
        self._names: dict[tuple[str, int], tuple[float, tuple[str, ...]]] = {}

    async def growths(
        self,
        access: Access,
        proxy: ProxySeries,
        urls: tuple[str, ...],
        service: str,
        window: float,
        longest: float = math.inf,
    ) -> list[Growth | None]:
        """What was added to the counters of `service` (a key) within `window` seconds (at most `longest`), at each replica.

        All are scraped for it. Raises SourceError, also when only one does not answer: what it has counted is unknown.
        """
        self._forget()
        targets = []
        for url in urls:
            for target in await self._of(access, proxy, url):
                target.watch(service, window)
                targets.append(target)
        try:
            await asyncio.gather(*(target.look(service) for target in targets))
        except SourceError:
            self._names.clear()  # perhaps a replica has gone
            raise
        return [target.over(service, window, longest) for target in targets]

    async def _of(self, access: Access, proxy: ProxySeries, url: str) -> list[_Target]:
        """Every address behind the host of `url`."""
        parts = urlsplit(url)
        try:
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise Misconfigured(f"proxy.addresses: {url[:100]!r} has no port from 1 to 65535") from None
        found = []
        for address in await self._addresses(host, port):
            shown = f"[{address}]" if ":" in address else address
            place = urlunsplit((parts.scheme, f"{shown}:{port}", parts.path or "/metrics", "", ""))
            way = access.with_headers({"Host": parts.netloc, "Accept-Encoding": "identity"})
            if parts.scheme == "https" and way.trust.server_name is None:
                way = replace(way, trust=replace(way.trust, server_name=host))
            # Whoever has other credentials is not shown what these have brought.
            key = (place, parts.netloc, hash(frozenset(way.headers.items())), way.trust, way.limits)
            found.append(self._targets.setdefault(key, _Target(proxy, place)))
            found[-1].access = way
        return found

    async def _addresses(self, host: str, port: int) -> tuple[str, ...]:
        try:
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            pass
        until, known = self._names.get((host, port), (0.0, ()))
        if until < time.monotonic():
            try:
                rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                raise Unreachable(f"no connection to {host[:100]}: the name is not resolved ({error})") from None
            known = tuple(sorted({str(row[4][0]) for row in rows}))
            if len(known) > _MOST_ADDRESSES:
                raise Misconfigured(f"{host[:100]} has {len(known)} addresses; at most {_MOST_ADDRESSES} are scraped")
            self._names[host, port] = (time.monotonic() + _NAME_SECONDS, known)
        return known

    def _forget(self) -> None:
        """Drop what nobody has asked for lately."""
        now = time.monotonic()
        for key, target in list(self._targets.items()):
            if target.is_idle(now):
                del self._targets[key]
        self._names = {name: row for name, row in self._names.items() if row[0] >= now}


@dataclass
class _Watched:
    """A Service that was asked for."""

    window: float
    asked: float
    track: Track = field(default_factory=Track)

    def is_idle(self, now: float) -> bool:
        return now - self.asked > self.window + 2 * STRETCH


class _Target:
    """One replica of a proxy. Times are monotonic."""

    access: Access

    def __init__(self, proxy: ProxySeries, url: str) -> None:
        self._proxy = proxy
        self._url = url
        self._watched: dict[str, _Watched] = {}
        self._needle: tuple[tuple[str, ...], re.Pattern[bytes]] | None = None
        self._scrape: asyncio.Task[None] | None = None
        self._began: float | None = None
        """When the proxy's process began, in seconds since 1970, as it says itself."""
        self._seen = 0.0
        """When it was last scraped, in seconds since 1970."""

    def is_idle(self, now: float) -> bool:
        """Whether nobody has asked lately."""
        for key, watched in list(self._watched.items()):
            if watched.is_idle(now):
                del self._watched[key]
        return not self._watched and self._scrape is None

    def watch(self, service: str, window: float) -> None:
        """From now on keep what is counted of `service`, for windows of so many seconds."""
        now = time.monotonic()
        watched = self._watched.setdefault(service, _Watched(window, now))
        watched.window, watched.asked = max(watched.window, window), now

    async def look(self, service: str) -> None:
        """Have a scrape of `service`, which is watched, that is no older than SHARED_SECONDS. Raises SourceError."""
        if time.monotonic() - self._watched[service].track.newest <= SHARED_SECONDS:
            return
        if self._scrape is None:
            self._scrape = asyncio.create_task(self._take(), name=f"scrape {self._url}")
            self._scrape.add_done_callback(self._taken)
        await asyncio.shield(self._scrape)  # others wait for it too, whatever becomes of this look

    def _taken(self, task: asyncio.Task[None]) -> None:
        self._scrape = None
        if not task.cancelled():
            task.exception()  # those who waited have been told

    def over(self, service: str, window: float, longest: float) -> Growth | None:
        """What was added within `window` seconds, at most `longest`."""
        return self._watched[service].track.over(window, longest)

    async def _take(self) -> None:
        page = await self.access.send("GET", self._url, accept="text/plain;version=0.0.4")
        at = time.monotonic()
        found = counted(self._proxy, samples(page, (self._proxy.requests, self._proxy.buckets), self._holding()))
        restarted = self._is_restart(page)
        for key, watched in self._watched.items():
            keep = watched.window + STRETCH
            watched.track.add(at, found.get(key, Counts()), keep=keep, restarted=restarted)

    def _holding(self) -> re.Pattern[bytes]:
        keys = tuple(self._watched)
        if self._needle is None or self._needle[0] != keys:
            self._needle = keys, holding(self._proxy.service, [self._proxy.pattern(key) for key in keys])
        return self._needle[1]

    def _is_restart(self, page: bytes) -> bool:
        """Whether the proxy began anew since the scrape before, so that all it has counted is since then.

        Where another process answers that was at work before (a Service in front of several replicas), nothing can be said of
        the time between, and all history is dropped.
        """
        began, before, seen = single(page, self._proxy.started), self._began, self._seen
        self._began, self._seen = began, time.time()
        if began is None or before is None or began == before:
            return False
        if began > seen:
            return True
        for watched in self._watched.values():
            watched.track = Track()
        return False
