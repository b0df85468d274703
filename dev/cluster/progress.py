"""Says what is going on: a line when a part of the work ends, with the seconds it took, and one every 15 s while it
lasts.

Everything goes to standard error, so that standard output stays free for what a command is asked to print. Parts may
run in several threads.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_HEARTBEAT_SECONDS = 15.0
_printing = threading.Lock()
_began = time.monotonic()


def say(text: str) -> None:
    """Print one line, with the seconds since the command began."""
    with _printing:
        print(f"[{time.monotonic() - _began:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextmanager
def part(what: str) -> Iterator[None]:
    """Time the block as one part of the work named `what`."""
    began = time.monotonic()
    ended = threading.Event()

    def heartbeat() -> None:
        while not ended.wait(_HEARTBEAT_SECONDS):
            say(f"...  {what}: {time.monotonic() - began:.0f} s so far")

    thread = threading.Thread(target=heartbeat, daemon=True)
    thread.start()
    mark = "FAIL"
    try:
        yield
        mark = "ok  "
    finally:
        ended.set()
        thread.join()
        say(f"{mark} {what} ({time.monotonic() - began:.1f} s)")
