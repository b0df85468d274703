"""Debian's Prometheus as a process, and a small exporter for it to scrape."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dev.cluster import packages
from dev.cluster.addons.metrics import arguments
from dev.cluster.commands import wait_until
from dev.cluster.errors import ClusterError

_SECONDS = 60


class Exporter:
    """Serves `text` as metrics."""

    def __init__(self) -> None:
        self.text = ""
        self.paths: set[str] = set()
        """What was asked for."""
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter.paths.add(self.path)
                body = exporter.text.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]

    @contextmanager
    def serving(self) -> Iterator[Exporter]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@contextmanager
def prometheus(folder: Path, config: dict[str, Any], web: dict[str, Any] | None = None) -> Iterator[int]:
    """The port of a Prometheus with this configuration, ready; `web` is its configuration of TLS and users."""
    packages.ensure(packages.METRICS, folder / "apt.log")
    file, log = folder / "prometheus.json", folder / "prometheus.log"
    file.write_text(json.dumps(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    words = arguments(file, folder / "data", f"127.0.0.1:{port}")
    if web is not None:
        (folder / "web.json").write_text(json.dumps(web))
        words.append(f"--web.config.file={folder / 'web.json'}")
    with log.open("wb") as output, subprocess.Popen(words, stdout=output, stderr=output) as process:

        def alive() -> None:
            if process.poll() is not None:
                raise ClusterError(f"prometheus has ended:\n{log.read_text()}")

        try:
            wait_until("Prometheus to listen", lambda: _listens(port), timeout=_SECONDS, alive=alive)
            yield port
        finally:
            process.terminate()
            process.wait(_SECONDS)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait for a condition. Raises ClusterError after a minute."""
    wait_until(what, holds, timeout=_SECONDS)
