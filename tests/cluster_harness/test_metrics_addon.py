"""What Prometheus is given to scrape, from pods as the API server lists and watches them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from dev.cluster import install
from dev.cluster.addons import metrics, targets
from dev.cluster.addons.targets import follow, targets_of

SCRAPE = {"prometheus.io/scrape": "true"}
API = "127.0.0.1:1"


def pod(
    name: str = "a",
    annotations: dict[str, str] | None = None,
    ports: tuple[int, ...] = (80,),
    phase: str = "Running",
    namespace: str = "team",
    labels: dict[str, str] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    rows = [{"containerPort": port, "name": "metrics" if port == 8080 else f"p{port}"} for port in ports]
    own = {"name": name, "namespace": namespace, "annotations": annotations or {}, "labels": labels or {}, **metadata}
    return {"metadata": own, "spec": {"containers": [{"ports": rows}]}, "status": {"phase": phase}}


def paths(*pods: dict[str, Any]) -> list[str]:
    return [target["labels"]["__metrics_path__"] for target in targets_of(pods, API)]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param(pod(), [], id="a pod that does not ask"),
        pytest.param(pod(annotations={"prometheus.io/scrape": "false"}), [], id="a pod that asks not to be"),
        pytest.param(pod(annotations=SCRAPE), ["team/pods/a:80/proxy/metrics"], id="a pod that asks"),
        pytest.param(
            pod(annotations={**SCRAPE, "prometheus.io/port": "9", "prometheus.io/path": "/m"}),
            ["team/pods/a:9/proxy/m"],
            id="a pod that says where",
        ),
        pytest.param(
            pod(annotations=SCRAPE, ports=(1, 2)),
            ["team/pods/a:1/proxy/metrics", "team/pods/a:2/proxy/metrics"],
            id="a pod with two ports",
        ),
        pytest.param(pod(annotations=SCRAPE, ports=()), [], id="a pod without a port"),
        pytest.param(pod(annotations=SCRAPE, phase="Succeeded"), [], id="a pod that has ended"),
        pytest.param(pod(annotations=SCRAPE, deletionTimestamp="now"), [], id="a pod that is going"),
        pytest.param(
            pod(namespace="sluice-system", labels={"app.kubernetes.io/instance": "sluice"}, ports=(8080, 8443)),
            ["sluice-system/pods/a:8080/proxy/metrics"],
            id="the operator",
        ),
    ],
)
def test_pods_are_scraped_that_ask_for_it(given: dict[str, Any], found: list[str]) -> None:
    assert paths(given) == [f"/api/v1/namespaces/{path}" for path in found]


def test_labels_of_a_pod_are_labels_of_its_series_but_not_those_that_say_where_they_are_from() -> None:
    labels = {"app.kubernetes.io/name": "x", "job": "mine", "version": "2"}
    (target,) = targets_of([pod(annotations=SCRAPE, labels=labels)], API)
    assert target["targets"] == [API]
    assert target["labels"] == {
        "app_kubernetes_io_name": "x",
        "version": "2",
        "job": "pods",
        "namespace": "team",
        "pod": "a",
        "instance": "a:80",
        "__metrics_path__": "/api/v1/namespaces/team/pods/a:80/proxy/metrics",
    }


def test_the_operator_is_looked_for_where_it_is_installed() -> None:
    assert (install.NAMESPACE, install.RELEASE) == targets.OPERATOR


def test_the_file_follows_the_pods(tmp_path: Path) -> None:
    file, seen = tmp_path / "targets.json", []
    first, second = pod("a", SCRAPE), pod("b", SCRAPE)
    events = [("ADDED", second), ("DELETED", first), ("MODIFIED", pod("b"))]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            self.send_response(200)
            self.end_headers()
            if "watch" not in query:
                self.wfile.write(json.dumps({"metadata": {"resourceVersion": "7"}, "items": [first]}).encode())
                return
            assert query["resourceVersion"] == ["7"]
            for kind, changed in events:
                self.wfile.write(json.dumps({"type": kind, "object": changed}).encode() + b"\n")

        def log_message(self, *_words: object) -> None:
            pass

    with pytest.MonkeyPatch.context() as patch, ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        patch.setattr(
            targets, "_write", lambda _file, found: seen.append([target["labels"]["pod"] for target in found])
        )
        follow(f"127.0.0.1:{server.server_address[1]}", file)
        server.shutdown()
    assert seen == [["a"], ["a", "b"], ["b"], []]


def test_the_service_has_the_address_of_this_machine() -> None:
    text = metrics.service("198.18.0.1", 20290)
    namespace, service, slice_ = yaml.safe_load_all(text)
    assert f"http://{service['metadata']['name']}.{namespace['metadata']['name']}.svc:9090" == metrics.URL
    assert service["spec"]["ports"] == [{"name": "http", "port": 9090, "targetPort": 20290}]
    assert slice_["ports"] == [{"name": "http", "port": 20290, "protocol": "TCP"}]
    assert slice_["endpoints"] == [{"addresses": ["198.18.0.1"], "conditions": {"ready": True}}]
    assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == "prometheus"


def test_the_proxy_is_scraped_every_second_where_there_is_one() -> None:
    config = metrics.configuration(Path("targets.json"), "198.18.0.1:9100")
    (targets, proxy) = config["scrape_configs"]
    assert config["global"]["scrape_interval"] == "1s"
    assert proxy["static_configs"] == [{"targets": ["198.18.0.1:9100"]}]
    assert metrics.configuration(Path("targets.json"))["scrape_configs"] == [targets]
