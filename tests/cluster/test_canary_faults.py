"""Canaries when something breaks around them, or late: versions that go bad, routes that are overwritten, a proxy that
restarts. Needs the add-on gateway."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dev.cluster.processes import Processes
from dev.cluster.settings import Settings
from tests.cluster.installation import Installation
from tests.cluster.kit import ROOT, Manifest, Namespace
from tests.cluster.rollouts import SLO, SOURCE, Rollouts, canary, check, gate, met, served

pytestmark = pytest.mark.gateway

JUDGE = gate("judge", check("error-rate", "ErrorRate", max=0.04, minRequests=15))
"""Judges sooner than SLO does."""
SLOW_RATE = 15
"""Requests a second, for those that wait long."""
LATE_SECONDS = 120
"""When `failing-later` begins to fail, from the start of its process."""
IN_A_ROW = 10


@pytest.fixture
def rollouts(namespace: Namespace) -> Rollouts:
    return Rollouts(namespace)


def install(rollouts: Rollouts, *, container: Manifest | None = None, drain: str = "5", **spec: Any) -> Manifest:
    """The example at rest; its status."""
    rollouts.install(SOURCE, SLO, JUDGE, canary(**spec), drain=drain, **(container or {}))
    return rollouts.reaches("Stable", seconds=60)


@pytest.mark.long
@pytest.mark.parametrize(("hold", "phase", "weight"), [("10m", "Stepping", 50), ("1s", "Watching", 100)])
async def test_a_version_that_fails_late_is_rolled_back_from_where_it_is(
    rollouts: Rollouts, hold: str, phase: str, weight: int
) -> None:
    """During a step, and in the watch after the switch."""
    first = install(rollouts, canary={"steps": [{"weight": 50, "hold": hold}]}, watch="10m")

    def release() -> Any:
        rollouts.release("failing-later")
        before = rollouts.reaches(phase, seconds=90)
        status = rollouts.rests("GateFailed", seconds=LATE_SECONDS + 60)
        return before, status

    (before, status), reports = await rollouts.under_load(release, rate=SLOW_RATE)
    assert before["round"] == status["round"]
    assert status["phase"] == "Failed"
    assert "error-rate" in status["message"]
    assert status["stableRevision"] == first["stableRevision"]
    requests, failed = met(reports)
    print(
        f"from {phase} at {weight}%: {served(reports, 'failing-later')} of {requests} requests met it, {failed} failed"
    )
    assert served(reports, "failing-later") > SLOW_RATE * 20
    assert 0 < failed < SLOW_RATE * 15 * weight / 100
    assert rollouts.load(60).as_json()["versions"].keys() == {"good"}


@pytest.mark.long
async def test_a_version_that_leaks_memory_is_rolled_back_when_its_pods_die(rollouts: Rollouts) -> None:
    limits = {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}
    steps = {"steps": [{"weight": 50, "hold": "10m"}]}
    first = install(rollouts, container={"resources": limits}, canary=steps, gates=[{"name": "judge"}])
    killed: set[str] = set()

    def over() -> Manifest | None:
        for pod in rollouts.namespace.all_of("pods", "sluice.dev/candidate=pricing"):
            for row in pod["status"].get("containerStatuses", ()):
                ended = [state["terminated"] for state in (row["state"], row["lastState"]) if "terminated" in state]
                killed.update(pod["metadata"]["name"] for one in ended if one["reason"] == "OOMKilled")
        status = rollouts.status()
        return status if status["phase"] == "Failed" else None

    def release() -> Manifest:
        rollouts.release("leaking")
        return rollouts.namespace.wait_for("the end of the rollout", over, seconds=150)

    status, reports = await rollouts.under_load(release)
    requests, failed = met(reports)
    print(f"{status['reason']}: {status['message']}; {failed} of {requests} failed, killed: {killed}")
    assert killed, "for want of memory"
    assert status["reason"] in ("GateFailed", "CandidateLost"), "by its errors, or for want of a pod"
    assert status["stableRevision"] == first["stableRevision"]
    assert failed < requests / 10
    after = rollouts.load(60).as_json()
    assert (after["failed"], after["versions"].keys()) == (0, {"good"})


@pytest.mark.long
async def test_a_route_that_is_overwritten_every_five_seconds_does_not_stop_a_canary(rollouts: Rollouts) -> None:
    install(rollouts)
    patch = '[{"op":"replace","path":"/spec/rules/0/backendRefs","value":[{"name":"pricing","port":80}]}]'
    count = 0

    def overwrite() -> None:
        nonlocal count
        rollouts.namespace.kubectl("patch", "httproute", "pricing", "--type=json", "-p", patch)
        count += 1

    def release() -> Any:
        rollouts.release(PRICING_DRAIN="6")
        with every(5, overwrite):
            return rollouts.rests("Promoted", seconds=240)

    status, reports = await rollouts.under_load(release)
    print(f"overwritten {count} times")
    assert count >= 5
    assert status["phase"] == "Stable"
    assert met(reports)[1] == 0, [report.as_json() for report in reports]


@contextmanager
def every(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """Do the work again and again meanwhile. Fails when it failed."""
    over = threading.Event()
    failures: list[AssertionError] = []

    def repeat() -> None:
        while not over.wait(seconds):
            try:
                work()
            except AssertionError as error:
                failures.append(error)
                return

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert failures == []


@pytest.mark.long
@pytest.mark.parametrize("pods", ["that wait before they stop", "that stop at once"])
async def test_not_one_request_fails_in_ten_canaries_in_a_row(rollouts: Rollouts, pods: str) -> None:
    waits: Manifest = {"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}} if "wait" in pods else {}
    install(
        rollouts,
        container=waits,
        drain="0",
        canary={"steps": [{"weight": 50, "hold": "2s"}]},
        gates=[{"name": "judge"}],
        watch="1s",
    )

    def release() -> None:
        for number in range(1, IN_A_ROW + 1):
            rollouts.release(PRICING_RELEASE=str(number))
            assert rollouts.rests("Promoted", after=number - 1)["round"] == number

    _, reports = await rollouts.under_load(release)
    requests, failed = met(reports)
    print(f"pods {pods}: {requests} requests, {failed} failed")
    assert failed == 0, [report.as_json() for report in reports if report.total.failures]


def start_proxy() -> None:
    """Start what has been stopped of the cluster's add-on."""
    command = [sys.executable, "-m", "dev.cluster", "up", "--no-operator", "--addons", "gateway"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)


@pytest.mark.quiet
async def test_a_proxy_that_restarts_delays_a_canary_and_changes_no_weight(rollouts: Rollouts) -> None:
    """Alone, as all tests share the proxy."""
    settings = Settings.from_environment()
    processes = Processes(settings.cluster / "processes", settings.logs)
    if not processes.alive("traefik"):
        pytest.skip("the proxy of this cluster is not a process that tests may restart")
    install(rollouts, canary={"steps": [{"weight": 40, "hold": "20s"}, {"weight": 60, "hold": "1s"}]})

    def begin() -> Any:
        rollouts.release(PRICING_DRAIN="6")
        rollouts.namespace.wait_for("the weight", lambda: dict(rollouts.weights()).get("pricing-candidate") == 40)
        return rollouts.status()

    before, reports = await rollouts.under_load(begin)
    assert met(reports)[1] == 0
    processes.stop("traefik")
    try:
        assert rollouts.load(5, rate=5).total.failures, "nobody answers"
    finally:
        await asyncio.to_thread(start_proxy)
    rollouts.answers()

    def go_on() -> Any:
        status = rollouts.status()
        weights = dict(rollouts.weights())
        return status, weights, rollouts.rests("Promoted")

    (status, weights, end), reports = await rollouts.under_load(go_on)
    assert (status["phase"], status["step"], status["weight"]) == (before["phase"], 0, 40), "neither on nor back"
    assert weights == {"pricing": 60, "pricing-candidate": 40}
    assert end["phase"] == "Stable"
    assert end["round"] == 1
    assert met(reports)[1] == 0, [report.as_json() for report in reports]


@pytest.mark.quiet
def test_more_canaries_than_are_allowed_at_once_wait_for_their_turn(
    namespaces: Callable[[], Namespace], operator: Installation
) -> None:
    """Alone, as the canaries of all tests count."""
    manual: Manifest = {
        "gates": None,
        "approval": {"promotion": "Manual"},
        "canary": {"steps": [{"weight": 20, "hold": "1s"}]},
        "watch": "1s",
    }
    one, other = Rollouts(namespaces()), Rollouts(namespaces())
    for rollouts in (one, other):
        install(rollouts, **manual)
    cap = {"name": "SLUICE_CANARIES_AT_ONCE", "value": "1"}
    with operator.patched(containers=[{"name": "operator", "env": [cap]}]):
        one.release(PRICING_DRAIN="6")
        one.reaches("Approving")
        other.release(PRICING_DRAIN="6")
        waiting = other.namespace.wait_for(
            "the wait for a turn",
            lambda: status if (status := other.status()).get("reason") == "AwaitingSlot" else None,
        )
        assert waiting["phase"] == "Holding"
        assert waiting["message"] == "as many canaries as are allowed are under way"
        assert other.load(60).as_json()["failed"] == 0, "the old pods serve meanwhile"
        assert not other.namespace.all_of("deployments", "sluice.dev/candidate=pricing")
        assert one.namespace.cli("canary", "promote", "pricing").returncode == 0
        one.rests("Promoted")
        other.reaches("Approving")
        assert other.namespace.cli("canary", "promote", "pricing").returncode == 0
        other.rests("Promoted")
