"""What the service counts, in the text format of Prometheus.

Labels are few: whoever scrapes adds the pod, and the pod says which revision it is of.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the buckets of the latency, in seconds."""


class Metrics:
    """The counts of one process, for any number of threads."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._lock = threading.Lock()
        self._requests: Counter[int] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self._quotes = 0

    def request(self, code: int, seconds: float, quotes: int) -> None:
        """Count one request: its status, how long it took, and the quotes that it was given."""
        with self._lock:
            self._requests[code] += 1
            self._buckets[bisect_left(BOUNDS, seconds)] += 1
            self._seconds += seconds
            self._quotes += quotes

    def text(self) -> str:
        """All of it. A success is there from the start, at 0, so that a rate has something to begin with."""
        with self._lock:
            requests = {200: 0, 500: 0} | dict(self._requests)
            buckets, seconds, quotes = list(self._buckets), self._seconds, self._quotes
        version = f'version="{self._version}"'
        lines = ["# HELP pricing_requests_total Requests for quotes.", "# TYPE pricing_requests_total counter"]
        lines += [f'pricing_requests_total{{{version},code="{code}"}} {requests[code]}' for code in sorted(requests)]
        name = "pricing_request_duration_seconds"
        lines += [f"# HELP {name} Time from a request to its answer.", f"# TYPE {name} histogram"]
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{{version},le="{bound}"}} {total}')
        lines += [f"{name}_sum{{{version}}} {seconds:.6f}", f"{name}_count{{{version}}} {total}"]
        lines += ["# HELP pricing_quotes_total Quotes given.", "# TYPE pricing_quotes_total counter"]
        lines.append(f"pricing_quotes_total{{{version}}} {quotes}")
        return "\n".join((*lines, ""))
