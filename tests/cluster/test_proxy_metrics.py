"""What the Gateway's Traefik counts, by itself and by way of a Prometheus, against what a client has counted.

Needs the add-on gateway. The Prometheus is the test's own.
"""

import asyncio
import copy
import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pricing.load import Load, Report, run

from dev import demo
from sluice.api.metric_source import MetricSourceSpec
from sluice.planning.metrics import Question, RequestsQuestion, Series
from sluice.sources.http import Http
from sluice.sources.registry import build
from sluice.sources.scrapes import Scrapes
from tests.cluster.gateway import Gateway, http_route
from tests.cluster.kit import ROOT, Manifest, Namespace
from tests.unit.sources.real_prometheus import prometheus

pytestmark = pytest.mark.gateway

EXAMPLE = ROOT / "examples" / "pricing"
WINDOW = timedelta(seconds=20)
"""Covers all of the load, and nothing of what was sent before it."""
REQUESTS, RATE = 480, 40.0
BUCKETS = (0.0, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Of the add-on's Traefik."""


@pytest.fixture
def gateway(namespace: Namespace) -> Gateway:
    return Gateway.find(namespace)


@pytest.fixture
def sources(namespace: Namespace, gateway: Gateway, tmp_path: Path) -> Iterator[Mapping[str, MetricSourceSpec]]:
    """The proxy itself, and a Prometheus that scrapes it every second."""
    found = namespace.kubectl("get", "endpointslice", "-n", "sluice-gateway", "traefik", "-o", "json").stdout
    port = next(row["port"] for row in json.loads(found)["ports"] if row["name"] == "metrics")
    place = f"{gateway.address}:{port}"
    job = {"job_name": "traefik", "static_configs": [{"targets": [place]}]}
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}
    with prometheus(tmp_path, config) as own:
        yield {
            name: MetricSourceSpec.model_validate(spec)
            for name, spec in {
                "proxy": {"proxy": {"kind": "Traefik", "addresses": [f"http://{place}/metrics"]}},
                "prometheus": {"prometheus": {"address": f"http://127.0.0.1:{own}", "proxy": "Traefik"}},
            }.items()
        }


def named(name: str, version: str) -> list[Manifest]:
    """A Deployment of one version of the example, and its Service."""
    made = []
    for file in ("deployment.yaml", "service.yaml"):
        document = copy.deepcopy(yaml.safe_load((EXAMPLE / file).read_text()))
        document["metadata"]["name"] = name
        labels = {"app.kubernetes.io/name": name}
        if document["kind"] == "Service":
            document["spec"]["selector"] = labels
        else:
            document["spec"] |= {"replicas": 1, "selector": {"matchLabels": labels}}
            document["spec"]["template"]["metadata"]["labels"] = labels
            container = document["spec"]["template"]["spec"]["containers"][0]
            container |= {
                "image": demo.images()["example-pricing"],
                "env": [{"name": "PRICING_VERSION", "value": version}],
            }
        made.append(document)
    return made


def deploy(namespace: Namespace, gateway: Gateway, version: str) -> Load:
    """The good version and another one, half of the requests each, answering; the load to send."""
    host = f"{namespace.name}.local"
    backends = [{"name": name, "port": 80, "weight": 50} for name in ("pricing", "pricing-candidate")]
    route = http_route("pricing", {"backendRefs": backends}, host=host)
    namespace.apply(*named("pricing", "good"), *named("pricing-candidate", version), route)
    for name in ("pricing", "pricing-candidate"):
        namespace.kubectl("rollout", "status", f"deployment/{name}", "--timeout=90s")
    load = Load(
        f"http://{gateway.address}:{gateway.port}/quote?item=apple", host=host, requests=REQUESTS, seconds=60, rate=RATE
    )
    first = Load(load.url, host=host, requests=8, rate=RATE)
    namespace.wait_for(
        "answers of both versions", lambda: {"good", version} <= set(run(first).versions) or None, seconds=30
    )
    return load


class Looker:
    """Asks both sources, as looks of a gate do."""

    def __init__(self, http: Http, namespace: str, sources: Mapping[str, MetricSourceSpec]) -> None:
        self._http = http
        self._namespace = namespace
        self._sources = sources
        self._scrapes = Scrapes()

    async def ask(self, source: str, service: str, measure: Any, **more: Any) -> Series:
        asked = RequestsQuestion(measure, self._namespace, service, **{"window": WINDOW, **more})
        reader = build(self._sources[source], {}, self._http, self._scrapes)
        (series,) = await reader.ask(Question("", datetime.now(UTC), requests=asked))
        return series

    async def number(self, source: str, service: str, measure: Any, **more: Any) -> float:
        series = await self.ask(source, service, measure, **more)
        assert not series.doubt, (source, service, measure, series.doubt)
        return series.points[0].value

    async def quiet(self) -> None:
        """Look until the window is covered, and nothing was sent within it."""
        deadline = asyncio.get_running_loop().time() + 90
        while True:
            doubts = [
                (await self.ask(source, service, "Rate")).doubt
                for source in self._sources
                for service in ("pricing", "pricing-candidate")
            ]
            if all(doubt.startswith("0 requests") for doubt in doubts):
                return
            assert asyncio.get_running_loop().time() < deadline, doubts
            await asyncio.sleep(0.25)  # the pace of looks

    async def during(self, sending: "asyncio.Task[Report]", rates: dict[str, list[float]]) -> None:
        """Look four times a second while requests are sent, and keep the rates over 3 s."""
        while not sending.done():
            for source, found in rates.items():
                series = await self.ask(source, "pricing-candidate", "Rate", window=timedelta(seconds=3))
                found.extend(point.value for point in series.points)
            await asyncio.sleep(0.25)  # the pace of looks


@pytest.mark.parametrize("version", ["failing", "slow"])
async def test_both_sources_say_what_the_client_has_counted(
    namespace: Namespace, gateway: Gateway, sources: Mapping[str, MetricSourceSpec], version: str
) -> None:
    load = await asyncio.to_thread(deploy, namespace, gateway, version)
    async with Http() as http:
        looker = Looker(http, namespace.name, sources)
        await looker.quiet()
        sending = asyncio.create_task(asyncio.to_thread(run, load))
        rates: dict[str, list[float]] = {source: [] for source in sources}
        await looker.during(sending, rates)
        report = (await sending).versions
        counted = report[version].requests
        assert counted + report["good"].requests == REQUESTS
        await everything_scraped(looker, counted)
        failed = sum(report[version].failures.values())
        assert failed > 0 or version == "slow"
        for source in sources:
            assert await looker.number(source, "pricing-candidate", "ErrorRate") == pytest.approx(failed / counted)
            assert await looker.number(source, "pricing-candidate", "SuccessRate") == pytest.approx(
                1 - failed / counted
            )
            assert await looker.number(source, "pricing", "ErrorRate") == 0
            assert max(rates[source]) == pytest.approx(RATE / 2, rel=0.25)
            assert sorted(rates[source])[len(rates[source]) // 2] == pytest.approx(RATE / 2, rel=0.1)
        # Traefik's time is a little shorter than the client's, which includes the way there and the wait for a free thread.
        for quantile in (0.5, 0.9):
            own, far = [
                await looker.number(source, "pricing-candidate", "Latency", quantile=quantile) for source in sources
            ]
            true = sorted(report[version].seconds)[math.ceil(quantile * counted) - 1]
            upper = next(bound for bound in BUCKETS if true <= bound)
            assert own == pytest.approx(far, rel=0.01)
            assert own <= upper
            # Near the bound of a bucket the two may fall on either side of it; 0.4 s more is what the version itself takes.
            assert version == "failing" or own >= max(bound for bound in BUCKETS if bound < 0.4)


async def everything_scraped(looker: Looker, counted: int) -> None:
    """Wait until both sources have seen the last request: as many as the client, for which minRequests stands."""
    deadline = asyncio.get_running_loop().time() + 5
    for source in ("proxy", "prometheus"):
        while (await looker.ask(source, "pricing-candidate", "ErrorRate", min_requests=counted)).doubt:
            assert asyncio.get_running_loop().time() < deadline, f"{source} has not seen {counted} requests"
            await asyncio.sleep(0.1)  # the pace of looks
    for source in ("proxy", "prometheus"):
        more = await looker.ask(source, "pricing-candidate", "ErrorRate", min_requests=counted + 1)
        assert f"{counted} requests" in more.doubt
