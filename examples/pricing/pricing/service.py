"""The service: prices by HTTP, and the way it starts and ends.

    GET /quote?item=NAME&item=NAME   a quote for each item
    GET /ready                       200 while it takes requests, 503 once it is asked to end
    GET /live                        200
    GET /metrics                     see metrics.py
    POST /fault?failing=0.5&delay=1  makes this process worse from now on, where PRICING_FAULTS=allowed

On SIGTERM it goes on answering for a while, as not ready, since the news that it ends takes time to reach all who send to
it. It asks them to close their connections, then listens no more, finishes what it has begun, and ends with 0.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RD, socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pricing.metrics import CONTENT_TYPE, Metrics
from pricing.versions import Version, chosen

_MOST_ITEMS = 100
_LAST_REQUESTS_SECONDS = 20.0
_WORST_DELAY = 10.0


class Pricing(ThreadingHTTPServer):
    """One process of one version, listening."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], version: Version, *, faults: bool = False) -> None:
        self.version = version
        self.faults = faults
        self.metrics = Metrics(version.name)
        self.draining = threading.Event()
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._idle_or_gone = threading.Condition(self._lock)
        self._busy: dict[socket, bool] = {}
        self._due = 0.0
        self._leaked: list[bytes] = []
        super().__init__(address, Handler)

    def drain(self, seconds: float) -> None:
        """End: answer for `seconds` more, listen no more, finish what has begun. Returns when that is done."""
        self.draining.set()
        time.sleep(seconds)
        self.shutdown()
        self.socket.close()
        with self._lock:
            for connection, busy in self._busy.items():
                if not busy:
                    connection.shutdown(SHUT_RD)  # wakes its thread, which finds the end of the stream
            self._idle_or_gone.wait_for(lambda: not any(self._busy.values()), _LAST_REQUESTS_SECONDS)

    def mark(self, connection: socket, *, busy: bool) -> None:
        """Note whether a connection has a request that is not answered yet."""
        with self._lock:
            self._busy[connection] = busy
            self._idle_or_gone.notify_all()

    def forget(self, connection: socket) -> None:
        """Note that a connection is closed."""
        with self._lock:
            self._busy.pop(connection, None)
            self._idle_or_gone.notify_all()

    def misbehave(self) -> bool:
        """Do what the version does wrong with a request; whether the request fails."""
        version = self.version
        if version.delay:
            time.sleep(version.delay)
        with self._lock:
            if version.leak:
                self._leaked.append(b"\1" * version.leak)  # not zeros, which would take no memory
            if time.monotonic() - self._started < version.failing_after:
                return False
            # Every twentieth for 5 %: an exact share, however few requests there are.
            self._due += version.failing
            if self._due < 1 - 1e-9:
                return False
            self._due -= 1
            return True

    def worsen(self, failing: float, delay: float) -> None:
        """From now on fail this share of the requests, and take this many seconds more for each."""
        with self._lock:
            self.version = replace(self.version, failing=failing, delay=delay, failing_after=0.0)
            self._due = 0.0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is nothing to report."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Pricing
    protocol_version = "HTTP/1.1"
    server_version = "pricing"
    sys_version = ""
    wbufsize = -1  # head and body leave together; two small writes would wait for each other's acknowledgement
    timeout = 60
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Take the connection."""
        super().setup()
        self.server.mark(self.connection, busy=False)

    def finish(self) -> None:
        """Give it up."""
        self.server.forget(self.connection)
        super().finish()

    def parse_request(self) -> bool:
        """Note that a request has come; `handle_one_request` calls this once it has read the first line."""
        self.server.mark(self.connection, busy=True)
        return super().parse_request()

    def handle_one_request(self) -> None:
        """Read one request and answer it."""
        super().handle_one_request()
        self.server.mark(self.connection, busy=False)
        if self.server.draining.is_set():
            self.close_connection = True

    def do_GET(self) -> None:
        """Answer a GET."""
        url = urlsplit(self.path)
        match url.path:
            case "/quote":
                self._quote(parse_qs(url.query).get("item", []))
            case "/ready" if self.server.draining.is_set():
                self._answer(503, {"ready": False})
            case "/ready":
                self._answer(200, {"ready": True})
            case "/live":
                self._answer(200, {"live": True})
            case "/metrics":
                self._send(200, self.server.metrics.text().encode(), CONTENT_TYPE)
            case _:
                self._answer(404, {"error": f"there is no {url.path}"})

    def do_POST(self) -> None:
        """Take a fault, where that is allowed."""
        url = urlsplit(self.path)
        self.close_connection = True  # a body, if there is one, is not read
        if url.path != "/fault" or not self.server.faults:
            self._answer(404, {"error": f"there is no {url.path}"})
            return
        try:
            failing, delay = _fault(parse_qs(url.query))
        except ValueError as error:
            self._answer(400, {"error": str(error)})
            return
        self.server.worsen(failing, delay)
        self._answer(200, {"failing": failing, "delay": delay, "at": time.time()})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name of the base class)
        """Say nothing of each request: the metrics do."""

    def _quote(self, items: list[str]) -> None:
        started = time.perf_counter()
        quotes: dict[str, str] = {}
        body: dict[str, object]
        if not items or len(items) > _MOST_ITEMS:
            code, body = 400, {"error": f"give from 1 to {_MOST_ITEMS} items, as in /quote?item=apple"}
        elif self.server.misbehave():
            code, body = 500, {"error": "the price list cannot be read"}
        else:
            quotes = {item: price(item) for item in items}
            code, body = 200, {"quotes": quotes, "version": self.server.version.name}
        self.server.metrics.request(code, time.perf_counter() - started, len(quotes))
        self._answer(code, body)

    def _answer(self, code: int, body: Mapping[str, object]) -> None:
        self._send(code, json.dumps(body).encode() + b"\n", "application/json")

    def _send(self, code: int, body: bytes, content_type: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Pricing-Version", self.server.version.name)
        if self.server.draining.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def price(item: str) -> str:
    """The price of an item: always the same one, from 1.00 to 99.99."""
    cents = 100 + int.from_bytes(hashlib.sha256(item.encode()).digest()[:4], "big") % 9900
    return f"{cents // 100}.{cents % 100:02}"


def _fault(query: Mapping[str, list[str]]) -> tuple[float, float]:
    failing, delay = (float(query.get(name, ["0"])[0]) for name in ("failing", "delay"))
    if not (math.isfinite(failing) and 0 <= failing <= 1):
        raise ValueError(f"failing={failing}: it is a share from 0 to 1")
    if not (math.isfinite(delay) and 0 <= delay <= _WORST_DELAY):
        raise ValueError(f"delay={delay}: it is from 0 to {_WORST_DELAY:g} seconds")
    return failing, delay


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Serve until SIGTERM. Returns the exit code."""
    try:
        version = chosen(environment)
        # Not PRICING_PORT: Kubernetes sets that in every pod beside a Service named pricing, to tcp://ADDRESS:PORT.
        port, drain = int(environment.get("PRICING_LISTEN_PORT") or 8080), float(environment.get("PRICING_DRAIN") or 5)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if version.crashing:
        print("error: the price list is not where it should be", file=sys.stderr)
        return 1
    server = Pricing(
        (environment.get("PRICING_LISTEN_ADDRESS", ""), port),
        version,
        faults=environment.get("PRICING_FAULTS") == "allowed",
    )
    ended = threading.Event()

    def end() -> None:
        server.drain(drain)
        ended.set()

    def on_term(*_: object) -> None:
        threading.Thread(target=end).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_term)
    print(f"pricing {version.name} listens on port {server.server_port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    ended.wait()
    print("pricing has ended", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
