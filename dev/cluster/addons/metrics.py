"""metrics: a real Prometheus, Debian's, as a process of this machine. It scrapes the operator, all pods that ask for it, and
the Traefik of the add-on gateway.

Pods ask by the annotation `prometheus.io/scrape: "true"`; `prometheus.io/port` and `prometheus.io/path` say where, by default
the container's ports and /metrics. They are found (by targets.py) and scraped through the API server, by a `kubectl proxy`,
which has the kubeconfig's credentials: the addresses of pods are not reachable from here on every kind of cluster.

Pods reach Prometheus by the Service `prometheus` in the namespace `sluice-metrics`. It listens on this machine's address in
the network of the nodes, and on no other.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path
from string import Template
from typing import Any

from dev.cluster import network, packages, progress
from dev.cluster.addons.context import Context
from dev.cluster.commands import wait_until
from dev.cluster.errors import ClusterError
from dev.cluster.kubectl import Kubectl

NAMESPACE = "sluice-metrics"
URL = f"http://prometheus.{NAMESPACE}.svc:9090"
"""Where pods find it."""
_SERVICE = Path(__file__).parent / "metrics-service.yaml"
_TARGETS = Path(__file__).parent / "targets.py"
_SECONDS = 60


def up(context: Context) -> None:
    """Start Prometheus and the proxy that it scrapes through, and give the cluster its Service."""
    packages.ensure(packages.METRICS, context.settings.cache / "logs" / "apt.log")
    with progress.part("start Prometheus"):
        ports = context.settings.ports
        address = _own_address(context.kubectl)
        context.processes.start(
            "prometheus-api",
            [
                context.toolbox.kubectl(),
                f"--kubeconfig={context.cluster.kubeconfig}",
                *("proxy", "--address=127.0.0.1", f"--port={ports.prometheus_api}"),
            ],
            reads=[context.cluster.kubeconfig],
        )
        targets, config = (context.settings.cluster / f"prometheus{name}.json" for name in ("-targets", ""))
        context.processes.start(
            "prometheus-targets", [sys.executable, _TARGETS, str(ports.prometheus_api), targets], reads=[_TARGETS]
        )
        config.write_text(json.dumps(configuration(targets, _proxy(context)), indent=2))
        context.processes.start(
            "prometheus",
            arguments(config, context.settings.cluster / "prometheus", f"{address}:{ports.prometheus}"),
            reads=[config],
        )
        context.kubectl.apply(service(address, ports.prometheus))

        def alive() -> None:
            context.processes.require("prometheus-api")
            context.processes.require("prometheus-targets")
            context.processes.require("prometheus")

        wait_until(
            "Prometheus to be ready",
            lambda: is_ready(f"http://{address}:{ports.prometheus}"),
            timeout=_SECONDS,
            alive=alive,
        )


def arguments(config: Path, data: Path, listen: str) -> list[str | Path]:
    """The words that start Prometheus."""
    program = shutil.which("prometheus", path=packages.search_path())
    if program is None:
        raise ClusterError("prometheus is not installed (no such program on the PATH)")
    return [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=6h",
        f"--web.listen-address={listen}",
        "--log.level=warn",
    ]


def is_ready(url: str) -> bool:
    """Whether it answers queries."""
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def configuration(targets: Path, proxy: str = "") -> dict[str, Any]:
    """Scrape what the file says, and a proxy at HOST:PORT, every second. JSON is YAML too."""
    jobs: list[dict[str, Any]] = [
        {"job_name": "targets", "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "5s"}]}
    ]
    if proxy:
        jobs.append({"job_name": "traefik", "static_configs": [{"targets": [proxy]}]})
    return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}


def _proxy(context: Context) -> str:
    """Where the metrics of the add-on gateway are, or will be; empty where it runs no Traefik of its own."""
    local = context.cluster.name == "local"
    return f"{network.NODE_ADDRESS}:{context.settings.ports.gateway_metrics}" if local else ""


def service(address: str, port: int) -> str:
    """The manifest of the Service by which pods find Prometheus at `address`."""
    return Template(_SERVICE.read_text()).substitute(address=address, port=port)


def _own_address(kubectl: Kubectl) -> str:
    """The address of this machine in the network of the cluster's first node."""
    # Simulated nodes have none.
    nodes = (node["status"].get("addresses") for node in kubectl.get("nodes")["items"])
    addresses = next(found for found in nodes if found)
    node = next(row["address"] for row in addresses if row["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node, 9))  # sends nothing: the kernel only looks up the way
        own: str = probe.getsockname()[0]
    return own
