"""The benchmark of rollbacks: from what was seen of a fault to its figures, and what is made and sent for it."""

import asyncio
import math
import threading
from collections.abc import Iterator

import pytest
from pricing.service import Pricing
from pricing.versions import VERSIONS

from dev.bench.counters import parse
from dev.bench.figures import read_ranges
from dev.bench.gateways import Gateway
from dev.bench.requests import NO_ANSWER, Answer, Load, post
from dev.bench.rollback import parser as parser_of
from dev.bench.rollback import series_of, writes_of
from dev.bench.rollback_figures import Fault, NoAnswer, fault_of, figures_of, histogram, parts_table, strays
from dev.bench.shop import (
    CANDIDATE,
    CHECKS,
    SOURCES,
    STABLE,
    Judged,
    canary,
    gate,
    seconds_of,
    share_of,
    source_spec,
    workload,
)
from sluice.api.canary import CanarySpec
from sluice.api.gate import QualityGateSpec
from sluice.api.metric_source import MetricSourceSpec


def answer(sent: float, seconds: float, version: str = CANDIDATE, status: int = 200) -> Answer:
    return Answer(sent, sent + seconds, version, status)


TIMELINE = [
    answer(99.0, 0.1, status=500),  # before the fault
    answer(100.0, 0.01),
    answer(100.0, 0.01, STABLE),
    answer(100.2, 0.05, status=500),
    answer(100.9, 1.2),
    answer(101.4, 0.1, status=500),
    answer(101.3, 0.6),
    answer(102.0, 0.1, STABLE),
]


def test_a_fault_is_split_into_its_parts() -> None:
    fault = fault_of(100.0, 101.0, 101.05, TIMELINE, candidate=CANDIDATE)
    assert fault.first == pytest.approx(100.25)
    assert fault.met == 2
    assert fault.parts == pytest.approx({"metric": 1.0, "write": 0.05, "proxy": 1.05, "whole": 2.1})
    assert sum(fault.parts[name] for name in ("metric", "write", "proxy")) == pytest.approx(fault.parts["whole"])
    assert fault.last_sent == pytest.approx(101.4)


def test_slow_answers_are_bad_where_slowness_is_the_fault() -> None:
    fault = fault_of(100.0, 101.0, 101.05, TIMELINE, candidate=CANDIDATE, slow=1.0)
    assert fault.met == 3


def test_failures_that_are_not_the_candidates_are_counted_apart() -> None:
    others = [answer(100.5, 0.1, "", 503), answer(100.6, 5.0, "", NO_ANSWER), answer(100.7, 0.1, STABLE, 500)]
    fault = fault_of(100.0, 101.0, 101.05, [*TIMELINE, *others], candidate=CANDIDATE)
    assert fault.met == 2
    found = strays([*TIMELINE, *others], CANDIDATE)
    assert (found.value, found.note) == (3, "of 11; 1 with 0; 1 with 500; 1 with 503; at 00:01:40, 00:01:45")
    assert strays(TIMELINE, CANDIDATE).value == 0


def test_a_fault_that_no_client_met_has_no_first_answer() -> None:
    fault = fault_of(100.0, 101.0, 101.0, [answer(100.1, 0.1)], candidate=CANDIDATE)
    assert math.isnan(fault.first)
    assert fault.met == 0
    assert "nan" in parts_table([fault])


def test_a_candidate_that_answers_nothing_has_no_figures() -> None:
    with pytest.raises(NoAnswer, match=f"none of 2 answers after the fault is by {CANDIDATE}"):
        fault_of(200.0, 201.0, 201.0, [*TIMELINE, *(answer(200.0, 1, STABLE) for _ in "12")], candidate=CANDIDATE)


def faults(*wholes: float) -> list[Fault]:
    return [Fault(0.0, 0.1, whole - 0.1, whole - 0.05, whole, whole - 0.01, 20) for whole in wholes]


def test_the_figures_are_those_that_are_judged() -> None:
    found = {figure.name: figure.value for figure in figures_of("rollback-errors-prometheus", faults(1.0, 1.2, 2.0))}
    assert found["rollback-errors-prometheus-p50"] == 1.2
    assert found["rollback-errors-prometheus-p99"] == 2.0
    assert found["rollback-errors-prometheus-met"] == 20
    assert {"rollback-errors-prometheus-p50", "rollback-errors-prometheus-p99"} <= set(read_ranges())


def test_no_faults_are_in_no_range() -> None:
    ranges = read_ranges()
    for figure in figures_of("rollback-errors-prometheus", []):
        if figure.name.endswith(("p50", "p99")):
            assert not ranges[figure.name].holds(figure.value)


def test_the_table_has_a_row_for_each_part() -> None:
    lines = parts_table(faults(1.0, 2.0)).splitlines()
    rows = {line[:18].strip(): line[18:].split() for line in lines}
    assert rows["part"] == ["median", "p90", "p99", "most"]
    assert rows["whole"] == ["1.000", "2.000", "2.000", "2.000"]
    assert rows["write"] == ["0.050"] * 4


def test_a_histogram_shows_gaps_and_puts_bounds_into_the_upper_range() -> None:
    lines = histogram([0.3, 0.5, 0.74, 1.1]).splitlines()
    assert [line.split()[:5] for line in lines] == [
        ["0.25", "to", "0.50", "s", "1"],
        ["0.50", "to", "0.75", "s", "2"],
        ["0.75", "to", "1.00", "s", "0"],
        ["1.00", "to", "1.25", "s", "1"],
    ]
    assert [line.count("#") for line in lines] == [25, 50, 0, 25]
    assert histogram([]) == "no samples"


def test_series_are_all_that_was_asked_for() -> None:
    one = series_of(parser_of().parse_args(["--faults", "10"]))
    assert [series.name for series in one] == ["rollback-errors-prometheus", "rollback-errors-proxy"]
    assert [(series.rate, series.window, series.judged.interval) for series in one] == [
        (60, 5, "250ms"),
        (60, 2, "250ms"),
    ]
    many = series_of(parser_of().parse_args(["--at-once", "30", "--source", "proxy", "--fault", "latency"]))
    assert [(series.name, series.rate, series.lanes) for series in many] == [("rollback-latency-proxy-many", 10, 1)]


@pytest.mark.parametrize("text", ["0", "-3", "some"])
def test_a_number_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser_of().parse_args(["--faults", text])
    assert f"argument --faults: {text}: give a number from 1" in capsys.readouterr().err


DOOR = Gateway("door", "doors", "127.0.0.1", 80, "http://127.0.0.1:81/metrics")
GROWTH = """
# TYPE sluice_api_requests_total counter
sluice_api_requests_total{verb="patch",resource="canaries.sluice.dev",code="200"} 14
sluice_api_requests_total{verb="create",resource="events",code="201"} 4
sluice_api_requests_total{verb="patch",resource="metricsources.sluice.dev",code="200"} 3
sluice_api_requests_total{verb="get",resource="canaries.sluice.dev",code="200"} 50
# TYPE sluice_canary_rollouts_total counter
sluice_canary_rollouts_total{namespace="bench",canary="a",result="Failed",reason="GateFailed"} 2
"""


def test_writes_are_those_of_each_canary() -> None:
    figure = writes_of("rollback-writes", parse(GROWTH), 2, "bench")
    assert figure.value == 10.5
    assert "patch canaries.sluice.dev 7.00" in figure.note
    assert "DISTURBED" not in figure.note
    assert "DISTURBED by 2" in writes_of("rollback-writes", parse(GROWTH), 2, "another").note
    assert math.isnan(writes_of("rollback-writes", parse(GROWTH), 0, "bench").value)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fault", CHECKS)
def test_what_is_made_is_what_the_kinds_allow(source: str, fault: str) -> None:
    checks = QualityGateSpec.model_validate(gate(Judged(source, fault, "5s", "1s"))["spec"]).checks
    assert [check.name for check in checks] == [fault]
    MetricSourceSpec.model_validate(source_spec(source, [DOOR]))
    spec = CanarySpec.model_validate(canary("shop-1", hold="3h")["spec"])
    assert spec.target.name == "shop-1"


def test_a_workload_is_the_example_under_another_name() -> None:
    objects = [manifest for _, manifest in workload("shop-1", "shop-1.local", "image:1", DOOR)]
    deployment, service, route = objects
    assert {manifest["metadata"]["name"] for manifest in objects} == {"shop-1"}
    template = deployment["spec"]["template"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    environment = [row["name"] for row in template["spec"]["containers"][0]["env"]]
    assert (environment[0], environment[3]) == ("PRICING_VERSION", "RELEASE")
    assert route["spec"]["hostnames"] == ["shop-1.local"]
    assert route["spec"]["parentRefs"] == [{"name": "door", "namespace": "doors"}]
    assert share_of(route, "shop-1") == 1
    assert share_of(route, "shop-1-candidate") == 0


def test_a_moment_of_a_status_keeps_its_milliseconds() -> None:
    assert seconds_of("2026-01-01T00:00:00.250Z") == 1767225600.25


@pytest.fixture
def server() -> Iterator[Pricing]:
    served = Pricing(("127.0.0.1", 0), VERSIONS[CANDIDATE], faults=True)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def load_of(port: int, rate: float) -> Load:
    return Load("127.0.0.1", port, "shop.local", "/quote?item=apple", rate)


async def arrived(load: Load, count: int) -> None:
    async with asyncio.timeout(10):
        while len(load.answers) < count:  # noqa: ASYNC110 (a list has no event)
            await asyncio.sleep(0.01)


async def test_a_fault_is_seen_by_the_load(server: Pricing) -> None:
    load = load_of(server.server_port, 100)
    async with load.running():
        await arrived(load, 10)
        assert {(row.status, row.version) for row in load.answers} == {(200, CANDIDATE)}
        injected = (await post("127.0.0.1", server.server_port, "/fault?failing=1"))["at"]
        await arrived(load, len(load.answers) + 10)
    after = [row.status for row in load.answers if row.sent >= injected]
    assert after
    assert set(after) == {500}


async def test_slow_answers_do_not_slow_the_load_down(server: Pricing) -> None:
    await post("127.0.0.1", server.server_port, "/fault?delay=0.5")
    load = load_of(server.server_port, 50)
    async with load.running():
        await arrived(load, 20)
    sent = [row.sent for row in load.answers]
    assert max(sent) - min(sent) < 0.9 * 20 * 0.5
    assert all(row.seconds >= 0.5 for row in load.answers)


async def test_a_service_that_is_not_there_gives_no_answer() -> None:
    with Pricing(("127.0.0.1", 0), VERSIONS[STABLE]) as closed:
        port = closed.server_port
    load = load_of(port, 100)
    async with load.running():
        await arrived(load, 3)
    assert {(row.status, row.version) for row in load.answers} == {(NO_ANSWER, "")}


async def test_a_fault_that_is_refused_is_an_error(server: Pricing) -> None:
    with pytest.raises(ConnectionError, match="400"):
        await post("127.0.0.1", server.server_port, "/fault?failing=2")
