"""A load generator that counts what a client sees: `python -m pricing.load URL`.

Requests leave at their own times, whether or not earlier ones have been answered, so a slow service does not make its
own load lighter; one that leaves late because all connections are busy is counted from when it was due. It ends after a
count and a time, each of which has a ceiling, and sends only to this machine and to the addresses of a cluster.

A request has failed if it was not answered with 200: another status, no whole answer in time, no connection. One whose
connection, kept from an earlier request, turns out to be closed is sent again once, as every HTTP client does, and
counted as `resent`.
"""

from __future__ import annotations

import argparse
import http.client
import ipaddress
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

MOST_REQUESTS = 1_000_000
MOST_SECONDS = 3600.0
MOST_RATE = 2000.0
MOST_CONNECTIONS = 128
ALLOWED = ("127.0.0.0/8", "::1/128", "198.18.0.0/15")
"""This machine, and the range of the development cluster, which is set aside for such tests."""

_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Refused(Exception):
    """The load is larger than allowed, or aimed at something else than a test."""


@dataclass(frozen=True)
class Load:
    """What is sent, and where to."""

    url: str
    requests: int = 1000
    seconds: float = 60.0
    rate: float = 60.0
    """Requests a second."""
    connections: int = 16
    timeout: float = 5.0
    host: str = ""
    """The Host header, by which a gateway finds the route; by default that of the URL."""
    headers: tuple[tuple[str, str], ...] = ()
    cluster_ranges: tuple[str, ...] = ()
    """Further private networks that are the cluster's."""

    def check(self) -> None:
        """Raise Refused for more than is allowed."""
        for name, value, most in (
            ("requests", self.requests, MOST_REQUESTS),
            ("seconds", self.seconds, MOST_SECONDS),
            ("rate", self.rate, MOST_RATE),
            ("connections", self.connections, MOST_CONNECTIONS),
            ("timeout", self.timeout, MOST_SECONDS),
        ):
            if not 0 < value <= most:
                raise Refused(f"{name} is {value:g}: it has to be more than 0 and at most {most:g}")


@dataclass
class Tally:
    """What came back, of one version or of all."""

    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    last: float = 0.0
    """When the last answer came, in seconds since 1970."""

    def add(self, failure: str, seconds: float, at: float) -> None:
        """Count one request; `failure` is empty for a good one."""
        self.requests += 1
        if failure:
            self.failures[failure] += 1
        self.seconds.append(seconds)
        self.last = max(self.last, at)

    def report(self) -> dict[str, Any]:
        """As JSON; latencies in seconds."""
        ranked = sorted(self.seconds)
        return {
            "requests": self.requests,
            "failed": sum(self.failures.values()),
            "failures": dict(self.failures),
            "p50": _quantile(ranked, 0.5),
            "p99": _quantile(ranked, 0.99),
            "max": ranked[-1] if ranked else None,
            "last": self.last,
        }


@dataclass
class Report:
    """All that came back. No version is known of a request without an answer: such are under `none`."""

    total: Tally = field(default_factory=Tally)
    versions: dict[str, Tally] = field(default_factory=dict)
    resent: int = 0
    elapsed: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As it is printed."""
        return {
            **self.total.report(),
            "resent": self.resent,
            "elapsed": self.elapsed,
            "rate": self.total.requests / self.elapsed if self.elapsed else 0.0,
            "versions": {name: tally.report() for name, tally in sorted(self.versions.items())},
        }


@dataclass(frozen=True)
class _Target:
    address: str
    port: int
    path: str
    headers: dict[str, str]


def run(load: Load) -> Report:
    """Send all of it. Raises Refused before the first request, or not at all."""
    load.check()
    target = _target(load)
    report, lock, count = Report(), threading.Lock(), iter(range(load.requests))
    started = time.monotonic()

    def work() -> None:
        connection = _Connection(target, load.timeout)
        while True:
            with lock:
                number = next(count, None)
            if number is None:
                break
            due = started + number / load.rate
            if due > started + load.seconds or time.monotonic() > started + load.seconds:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            failure, version, resent = connection.get()
            ended = time.monotonic()
            with lock:
                report.resent += resent
                for tally in (report.total, report.versions.setdefault(version, Tally())):
                    tally.add(failure, ended - due, time.time())
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(load.connections)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    report.elapsed = time.monotonic() - started
    return report


class _Connection:
    """One connection that is kept, to an address that has been looked up and checked once."""

    def __init__(self, target: _Target, timeout: float) -> None:
        self._target = target
        self._http = http.client.HTTPConnection(target.address, target.port, timeout=timeout)

    def get(self) -> tuple[str, str, int]:
        """What went wrong or an empty text, the version that answered, and how often it was sent again."""
        kept = self._http.sock is not None
        try:
            return (*self._once(), 0)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self._http.close()
            if not kept:
                return type(error).__name__, "none", 0
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            return type(error).__name__, "none", 0
        try:
            return (*self._once(), 1)
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            return type(error).__name__, "none", 1

    def close(self) -> None:
        self._http.close()

    def _once(self) -> tuple[str, str]:
        self._http.request("GET", self._target.path, headers=self._target.headers)
        answer = self._http.getresponse()
        answer.read()
        version = answer.headers.get("X-Pricing-Version", "none")
        return "" if answer.status == 200 else str(answer.status), version


def _target(load: Load) -> _Target:
    """Where to send, by address. Raises Refused unless every address of the name is allowed."""
    url = urlsplit(load.url)
    if url.scheme != "http" or not url.hostname:
        raise Refused(f"{load.url} is no http:// address")
    allowed = [ipaddress.ip_network(text) for text in ALLOWED] + [_private(text) for text in load.cluster_ranges]
    port = url.port or 80
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(url.hostname, port, type=socket.SOCK_STREAM)}
    except socket.gaierror as error:
        raise Refused(f"{url.hostname} is not known: {error.strerror}") from error
    for address in sorted(found):
        if not any(ipaddress.ip_address(address) in network for network in allowed):
            raise Refused(
                f"{address} is neither this machine nor the development cluster: name your cluster's own range with "
                "--cluster-range"
            )
    headers = {"Host": load.host or url.netloc, **dict(load.headers)}
    path = url.path or "/"
    return _Target(min(found), port, f"{path}?{url.query}" if url.query else path, headers)


def _private(text: str) -> _Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise Refused(f"{text} is no network, such as 10.96.0.0/12") from error
    # Not `is_private`, which is true of 0.0.0.0/0.
    if not any(_within(network, private) for private in _PRIVATE):
        raise Refused(f"{text} is a public network: load is for clusters of your own")
    return network


def _within(network: _Network, other: _Network) -> bool:
    return network.version == other.version and network.network_address in other and network.broadcast_address in other


def _quantile(ranked: Sequence[float], share: float) -> float | None:
    """The nearest rank; None of nothing."""
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)] if ranked else None


def main(argv: Sequence[str] | None = None) -> int:
    """Send a load and print what came back. 0 if no request failed, 1 if any did, 2 if it was refused."""
    parser = argparse.ArgumentParser(prog="python -m pricing.load", description="Send requests and count failures.")
    parser.add_argument("url", help="for example http://127.0.0.1:8080/quote?item=apple")
    parser.add_argument("--requests", type=int, default=Load.requests, help=f"at most {MOST_REQUESTS}")
    parser.add_argument("--seconds", type=float, default=Load.seconds, help=f"at most {MOST_SECONDS:g}")
    parser.add_argument("--rate", type=float, default=Load.rate, help=f"requests a second, at most {MOST_RATE:g}")
    parser.add_argument("--connections", type=int, default=Load.connections, help=f"at most {MOST_CONNECTIONS}")
    parser.add_argument("--timeout", type=float, default=Load.timeout, help="seconds for each request")
    parser.add_argument("--host", default="", help="the Host header")
    parser.add_argument("--header", action="append", default=[], metavar="NAME: VALUE")
    parser.add_argument("--cluster-range", action="append", default=[], metavar="CIDR", help="a private network")
    options = parser.parse_args(argv)
    headers = [(name.strip(), value.strip()) for name, _, value in (one.partition(":") for one in options.header)]
    try:
        report = run(
            Load(
                options.url,
                options.requests,
                options.seconds,
                options.rate,
                options.connections,
                options.timeout,
                options.host,
                tuple(headers),
                tuple(options.cluster_range),
            )
        )
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report.as_json(), indent=2))
    return 1 if report.total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
