"""The load generator, against services of this process."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from pricing.load import Load, Refused, main, run
from pricing.service import Pricing
from pricing.versions import VERSIONS, Version


@pytest.fixture
def failing() -> Iterator[Pricing]:
    """A service of which every twentieth answer is a 500."""
    server = Pricing(("127.0.0.1", 0), VERSIONS["failing"])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(server: Pricing) -> str:
    return f"http://127.0.0.1:{server.server_port}/quote?item=apple"


def test_failures_are_counted_at_the_client(failing: Pricing) -> None:
    report = run(Load(url(failing), requests=200, rate=2000)).as_json()
    assert (report["requests"], report["failed"], report["failures"]) == (200, 10, {"500": 10})
    assert report["versions"]["failing"]["requests"] == 200
    assert report["resent"] == 0
    assert 0 < report["p50"] <= report["p99"] <= report["max"]


def test_it_ends_after_its_count(failing: Pricing) -> None:
    report = run(Load(url(failing), requests=7, seconds=60, rate=2000, connections=16))
    assert report.total.requests == 7


def test_it_ends_after_its_time_and_keeps_its_rate(failing: Pricing) -> None:
    report = run(Load(url(failing), requests=100_000, seconds=0.5, rate=100))
    assert 45 <= report.total.requests <= 51
    assert report.elapsed < 5


def test_a_slow_answer_does_not_make_the_load_lighter(failing: Pricing) -> None:
    failing.version = Version("slow", delay=0.2)
    report = run(Load(url(failing), requests=20, rate=100, connections=1))
    # One connection gets five answers a second, so the last request, due after 0.2 s, is answered after 4 s.
    assert max(report.total.seconds) > 3


def test_a_server_that_is_not_there_is_a_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        report = run(Load(f"http://127.0.0.1:{port}/", requests=3, rate=1000))
    assert report.as_json()["failures"] == {"ConnectionRefusedError": 3}
    assert list(report.versions) == ["none"]


def test_an_answer_that_does_not_come_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        report = run(Load(f"http://127.0.0.1:{silent.getsockname()[1]}/", requests=2, rate=1000, timeout=0.1))
    assert report.as_json()["failures"] == {"TimeoutError": 2}


def test_a_kept_connection_that_was_closed_is_sent_again_once() -> None:
    def serve(listening: socket.socket) -> None:
        for _ in range(2):  # one answer for each connection, and the end without a word
            connection, _address = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        target = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        report = run(Load(target, requests=2, rate=20, connections=1))
        thread.join()
    assert (report.total.requests, report.total.failures.total(), report.resent) == (2, 0, 1)


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (Load("http://192.0.2.1/"), "192.0.2.1 is neither this machine nor the development cluster"),
        (Load("http://10.96.0.1/"), "10.96.0.1 is neither"),
        (Load("http://[2001:db8::1]/"), "2001:db8::1 is neither"),
        (Load("https://127.0.0.1/"), "is no http:// address"),
        (Load("http:///quote"), "is no http:// address"),
        (Load("http://127.0.0.1/", requests=1_000_001), "requests is 1e+06"),
        (Load("http://127.0.0.1/", requests=0), "requests is 0"),
        (Load("http://127.0.0.1/", seconds=3601), "seconds is 3601"),
        (Load("http://127.0.0.1/", rate=float("nan")), "rate is nan"),
        (Load("http://127.0.0.1/", connections=1000), "connections is 1000"),
        (Load("http://127.0.0.1/", cluster_ranges=("0.0.0.0/0",)), "0.0.0.0/0 is a public network"),
        (Load("http://127.0.0.1/", cluster_ranges=("10.0.0.0/7",)), "10.0.0.0/7 is a public network"),
        (Load("http://127.0.0.1/", cluster_ranges=("cluster",)), "cluster is no network"),
    ],
)
def test_what_is_no_test_is_refused(load: Load, said: str) -> None:
    with pytest.raises(Refused) as refused:
        run(load)
    assert said in str(refused.value)


def test_the_command_prints_json_and_its_code_says_whether_any_failed(
    failing: Pricing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main([url(failing), "--requests=10", "--rate=1000", "--header", "x-canary: 1", "--host", "pricing.local"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["requests"] == 10
    assert main([url(failing), "--requests=20", "--rate=1000"]) == 1
    capsys.readouterr()
    assert main(["http://192.0.2.1/"]) == 2
    assert "neither this machine" in capsys.readouterr().err
