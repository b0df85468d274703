"""The metrics and the server that exposes them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sluice.telemetry import metrics
from sluice.telemetry.metrics import TelemetryServer, render


class State:
    """What the probes say."""

    def __init__(self) -> None:
        self.unhealthy: str | None = None
        self.unready: str | None = None


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
async def server(state: State) -> AsyncIterator[TelemetryServer]:
    made = TelemetryServer(host="127.0.0.1", port=0, healthy=lambda: state.unhealthy, ready=lambda: state.unready)
    await made.start()
    yield made
    await made.stop()


async def get(server: TelemetryServer, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}{path}") as response:
        return response.status, await response.text()


async def test_metrics_are_served_as_prometheus_reads_them(server: TelemetryServer) -> None:
    metrics.RECONCILES.labels("PipelineRun", "changed").inc()
    status, text = await get(server, "/metrics")

    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert "sluice_reconcile" in families
    assert "process_cpu_seconds" in families


async def test_probes_say_what_is_wrong(server: TelemetryServer, state: State) -> None:
    assert await get(server, "/healthz") == (200, "ok\n")
    assert await get(server, "/readyz") == (200, "ok\n")
    state.unready = "the cache of pods is not complete yet"

    assert await get(server, "/readyz") == (503, "the cache of pods is not complete yet\n")
    assert await get(server, "/healthz") == (200, "ok\n")
    state.unhealthy = "the event loop hangs"
    assert await get(server, "/healthz") == (503, "the event loop hangs\n")


async def test_other_paths_are_not_there(server: TelemetryServer) -> None:
    assert (await get(server, "/"))[0] == 404


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(server: TelemetryServer) -> None:
    second = TelemetryServer(host="127.0.0.1", port=server.port)
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    await second.stop()


async def test_after_stopping_nothing_answers(server: TelemetryServer) -> None:
    port = server.port
    await server.stop()
    await server.stop()

    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://127.0.0.1:{port}/healthz")


def test_every_metric_is_named_and_explained() -> None:
    ours = [family for family in metrics.REGISTRY.collect() if not family.name.startswith(("process_", "python_"))]

    assert len(ours) > 25
    for family in ours:
        assert family.name.startswith("sluice_")
        assert family.documentation.endswith(".")
        assert family.type != "histogram" or family.name.endswith("_seconds")


def test_buckets_rise() -> None:
    for name in ("_CALL_SECONDS", "_WAIT_SECONDS", "_LAUNCH_SECONDS", "_DURATION_SECONDS"):
        bounds = getattr(metrics, name)
        assert list(bounds) == sorted(set(bounds))


def test_rendering_needs_no_server() -> None:
    assert b"sluice_build_info" in render()
