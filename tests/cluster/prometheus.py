"""A Prometheus of a test's own, with one metric that the test sets: it can be stopped without disturbing anybody else.

It runs beside the cluster, on the address of this machine that the nodes reach.
"""

import contextlib
import json
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dev.cluster import packages
from tests.cluster.kit import Namespace

SECONDS = 30.0


def address_for_nodes(namespace: Namespace) -> str:
    """The address of this machine from which its nodes are reached, and so one that they reach."""
    nodes = json.loads(namespace.kubectl("get", "nodes", "-o", "json").stdout)["items"]
    found = [row for node in nodes for row in node["status"].get("addresses", ())]  # simulated nodes have none
    node = next(row["address"] for row in found if row["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node, 9))  # sends nothing: it only chooses the address
        return str(probe.getsockname()[0])


class Prometheus:
    """See the module. Use as a context manager."""

    def __init__(self, folder: Path, address: str) -> None:
        self.lines = ""
        """What is scraped, in Prometheus' text format."""
        self._folder = folder
        self._address = address
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _free_port(address)
        self._exporter = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        """Its address, for a MetricSource."""
        return f"http://{self._address}:{self._port}"

    def __enter__(self) -> "Prometheus":
        packages.ensure(["prometheus"], self._folder / "apt.log")
        threading.Thread(target=self._exporter.serve_forever, daemon=True).start()
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [
                {"job_name": "t", "static_configs": [{"targets": [f"127.0.0.1:{self._exporter.server_port}"]}]}
            ],
        }
        (self._folder / "prometheus.json").write_text(json.dumps(config))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._exporter.shutdown()
        self._exporter.server_close()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = (self._folder / "prometheus.log").open("ab")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self._folder}/prometheus.json",
                f"--storage.tsdb.path={self._folder}/data",
                f"--web.listen-address={self._address}:{self._port}",
            ],
            stdout=log,
            stderr=log,
        )
        _until(lambda: self._answers("/-/ready"), "Prometheus did not become ready")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(SECONDS)
            self._process = None

    def wait_for(self, query: str, value: float) -> None:
        """Wait until a query yields a value."""
        path = f"/api/v1/query?query={urllib.parse.quote(query)}"

        def holds() -> bool:
            answer = self._answers(path)
            result = json.loads(answer)["data"]["result"] if answer else []
            return [float(row["value"][1]) for row in result] == [value]

        _until(holds, f"{query} did not become {value}")

    def _answers(self, path: str) -> str:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}{path}", timeout=2) as answer:
            return str(answer.read().decode())
        return ""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        prometheus = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = prometheus.lines.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _until(holds: Callable[[], object], problem: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, problem
        time.sleep(0.1)  # the pace of looking


@contextlib.contextmanager
def prometheus(namespace: Namespace, folder: Path) -> Iterator[Prometheus]:
    """A running Prometheus."""
    with Prometheus(folder, address_for_nodes(namespace)) as made:
        yield made
