"""The pricing service: over loopback, each with a port of its own."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pricing.metrics import Metrics
from pricing.service import Pricing, price
from pricing.versions import VERSIONS, Version, chosen

ROOT = Path(__file__).parents[3] / "examples" / "pricing"

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def serve() -> Iterator[Callable[..., Pricing]]:
    """Serves a version in this process until the end of the test."""
    running: list[tuple[Pricing, threading.Thread]] = []

    def start(version: Version | str = "good", *, faults: bool = False) -> Pricing:
        found = VERSIONS[version] if isinstance(version, str) else version
        server = Pricing(("127.0.0.1", 0), found, faults=faults)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(server: Pricing, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_a_quote_is_given_for_each_item_and_is_always_the_same(serve: Callable[..., Pricing]) -> None:
    status, text = ask(serve(), "/quote?item=apple&item=pear")
    assert status == 200
    assert json.loads(text) == {"quotes": {"apple": price("apple"), "pear": price("pear")}, "version": "good"}
    assert re.fullmatch(r"\d{1,2}\.\d{2}", price("apple"))
    assert price("apple") != price("pear")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/quote", 400),
        ("/quote?item=", 400),
        (f"/quote?{'&'.join(['item=a'] * 101)}", 400),
        ("/nowhere", 404),
        ("/ready", 200),
        ("/live", 200),
    ],
)
def test_other_requests_are_answered_too(serve: Callable[..., Pricing], path: str, status: int) -> None:
    assert ask(serve(), path)[0] == status


def test_one_in_twenty_fails_exactly(serve: Callable[..., Pricing]) -> None:
    server = serve("failing")
    assert [ask(server, "/quote?item=a")[0] for _ in range(100)].count(500) == 5


def test_a_version_that_fails_later_is_good_until_then(serve: Callable[..., Pricing]) -> None:
    assert VERSIONS["failing-later"].failing_after == 120
    server = serve("failing-later")
    assert {ask(server, "/quote?item=a")[0] for _ in range(10)} == {200}
    server = serve(Version("failing-later", failing=0.5, failing_after=1e-9))
    assert [ask(server, "/quote?item=a")[0] for _ in range(4)] == [200, 500, 200, 500]


def test_a_slow_version_takes_its_time(serve: Callable[..., Pricing]) -> None:
    server = serve(Version("slow", delay=0.06))
    ask(server, "/quote?item=a")
    text = server.metrics.text()
    assert 'le="0.05"} 0' in text
    assert 'le="+Inf"} 1' in text


def test_a_leaking_version_keeps_a_part_of_each_request(serve: Callable[..., Pricing]) -> None:
    server = serve("leaking")
    for _ in range(3):
        ask(server, "/quote?item=a")
    assert [len(one) for one in server._leaked] == [1 << 20] * 3


def test_metrics_are_what_a_scraper_reads(serve: Callable[..., Pricing]) -> None:
    server = serve("failing")
    for _ in range(20):
        ask(server, "/quote?item=a&item=b")
    status, text = ask(server, "/metrics")
    assert status == 200
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert found['pricing_requests_total{version="failing",code="200"}'] == "19"
    assert found['pricing_requests_total{version="failing",code="500"}'] == "1"
    assert found['pricing_quotes_total{version="failing"}'] == "38"
    assert found['pricing_request_duration_seconds_count{version="failing"}'] == "20"
    assert found['pricing_request_duration_seconds_bucket{version="failing",le="+Inf"}'] == "20"


def test_buckets_hold_what_is_at_most_their_bound() -> None:
    metrics = Metrics("v")
    for seconds in (0.005, 0.0051, 9.0):
        metrics.request(200, seconds, 1)
    text = metrics.text()
    assert 'le="0.005"} 1' in text
    assert 'le="0.01"} 2' in text
    assert 'le="5.0"} 2' in text
    assert 'le="+Inf"} 3' in text


def test_a_fault_is_taken_only_where_it_is_allowed(serve: Callable[..., Pricing]) -> None:
    assert ask(serve(), "/fault?failing=1", "POST")[0] == 404
    server = serve(faults=True)
    assert ask(server, "/fault?failing=2", "POST")[0] == 400
    assert ask(server, "/fault?delay=nan", "POST")[0] == 400
    assert ask(server, "/fault?failing=0.5", "POST")[0] == 200
    assert [ask(server, "/quote?item=a")[0] for _ in range(4)] == [200, 500, 200, 500]


@pytest.mark.parametrize(
    ("environment", "name"), [({}, "good"), ({"PRICING_VERSION": ""}, "good"), ({"PRICING_VERSION": "slow"}, "slow")]
)
def test_the_version_is_chosen_by_the_environment(environment: dict[str, str], name: str) -> None:
    assert chosen(environment).name == name


def start(**environment: str) -> subprocess.Popen[str]:
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PRICING_LISTEN_ADDRESS": "127.0.0.1",
        "PRICING_LISTEN_PORT": "0",
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "pricing.service"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("environment", "code", "said"),
    [
        ({"PRICING_VERSION": "crashing"}, 1, "price list"),
        ({"PRICING_VERSION": "best"}, 2, "PRICING_VERSION=best: there is good, slow"),
        ({"PRICING_LISTEN_PORT": "http"}, 2, "http"),
    ],
)
def test_what_cannot_start_ends_with_the_reason(environment: dict[str, str], code: int, said: str) -> None:
    with start(**environment) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert said in errors


def test_a_service_that_is_asked_to_end_finishes_what_it_has_begun() -> None:
    with start(PRICING_VERSION="slow", PRICING_DRAIN="0.3") as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[-1])
        idle, busy = (http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(2))
        idle.request("GET", "/ready")
        assert idle.getresponse().read()
        busy.request("GET", "/quote?item=a")
        process.send_signal(signal.SIGTERM)
        answer = busy.getresponse()
        assert answer.status == 200
        assert answer.read()
        late = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        assert process.wait(timeout=20) == 0
        with pytest.raises(ConnectionRefusedError):
            late.request("GET", "/ready")
        idle.close()
        busy.close()


def test_a_service_that_is_asked_to_end_is_not_ready_and_closes_connections(serve: Callable[..., Pricing]) -> None:
    server = serve()
    server.draining.set()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", "/ready")
    answer = connection.getresponse()
    answer.read()
    assert (answer.status, answer.headers["Connection"]) == (503, "close")
    assert ask(server, "/quote?item=a")[0] == 200


def test_the_manifests_fit_together() -> None:
    found = {name: yaml.safe_load((ROOT / f"{name}.yaml").read_text()) for name in ("deployment", "service", "route")}
    template = found["deployment"]["spec"]["template"]
    assert found["service"]["spec"]["selector"] == template["metadata"]["labels"]
    assert found["deployment"]["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    backend = found["route"]["spec"]["rules"][0]["backendRefs"][0]
    port = found["service"]["spec"]["ports"][0]
    assert (backend["name"], backend["port"]) == (found["service"]["metadata"]["name"], port["port"])
    assert port["targetPort"] == template["spec"]["containers"][0]["ports"][0]["name"]
    version = template["spec"]["containers"][0]["env"][0]
    assert version["value"] in VERSIONS
