"""The proxy source against pages as Traefik writes them, served on the loopback address."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from sluice.planning.metrics import Question, RequestsQuestion, Series
from sluice.sources import scrapes as scrapes_module
from sluice.sources.base import BadAnswer, BadQuery, Denied, Misconfigured, TimedOut, TooLarge, Unreachable
from sluice.sources.exposition import holding, samples
from sluice.sources.http import Http
from sluice.sources.proxies import PROXIES
from sluice.sources.requests import Counts, counted
from sluice.sources.scrapes import Scrapes
from tests.unit.sources.back_end import AT, BackEnd, instant, reader_of, secret, spec_of

TRAEFIK = PROXIES["Traefik"]
BOUNDS = ("0.1", "1", "+Inf")
SECOND = timedelta(seconds=1)


def page(
    counts: Mapping[tuple[str, str], float], *, began: float | None = 1.7e9, within: tuple[float, ...] = (1, 1, 1)
) -> str:
    """A page with so many requests by (service, code), of which the parts `within` ended within each bound."""
    lines = ["# HELP traefik_service_requests_total How many.", "# TYPE traefik_service_requests_total counter"]
    for (service, code), count in counts.items():
        labels = f'code="{code}",method="GET",protocol="http",service="team-{service}-http-80@kubernetesgateway"'
        lines.append(f"traefik_service_requests_total{{{labels}}} {count:g}")
        lines.append(f"traefik_service_requests_bytes_total{{{labels}}} 0")
        for bound, part in zip(BOUNDS, within, strict=True):
            name = "traefik_service_request_duration_seconds_bucket"
            lines.append(f'{name}{{{labels},le="{bound}"}} {count * part:g}')
    if began is not None:
        lines.append(f"process_start_time_seconds {began!r}")
    return "\n".join([*lines, ""])


def proxy(*addresses: str, **more: Any) -> Any:
    return spec_of(proxy={"kind": "Traefik", "addresses": list(addresses)}, **more)


def question(measure: Any = "ErrorRate", service: str = "web", **more: Any) -> Question:
    return Question("", AT, requests=RequestsQuestion(measure, "team", service, **{"window": SECOND, **more}))


class Turning:
    """Scrapes whose clock the test turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.wall = 1000.0, 1.8e9
        monkeypatch.setattr(scrapes_module, "time", self)

    def monotonic(self) -> float:
        return self.at

    def time(self) -> float:
        return self.wall

    def turn(self, seconds: float) -> None:
        self.at += seconds
        self.wall += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Turning:
    return Turning(monkeypatch)


async def looks(
    back_end: BackEnd, http: Http, clock: Turning, *pages: str, distance: float = 1.0, asked: Question | None = None
) -> Series:
    """The answer to the last of several looks, at the pages one after the other."""
    back_end.script.clear()
    reader = reader_of(proxy(f"{back_end.url}/metrics"), http, scrapes=Scrapes())
    series: tuple[Series, ...] = ()
    for text in pages:
        clock.turn(distance)
        back_end.script.clear()
        back_end.say(text)
        series = await reader.ask(asked or question())
    (one,) = series
    return one


OK, BAD = ("web", "200"), ("web", "500")
PART = (0.5, 0.75, 1.0)


@pytest.mark.parametrize(
    ("asked", "pages", "value"),
    [
        pytest.param(question(), [page({OK: 10}), page({OK: 18, BAD: 2})], 0.2, id="the first failures of all"),
        pytest.param(question("SuccessRate"), [page({OK: 10}), page({OK: 18, BAD: 2})], 0.8, id="successes"),
        pytest.param(question("Rate"), [page({OK: 10}), page({OK: 18, BAD: 2})], 10, id="a rate"),
        pytest.param(question(), [page({}), page({OK: 18, BAD: 2})], 0.1, id="a service without requests before"),
        pytest.param(
            question("Latency", quantile=0.5),
            [page({OK: 4}, within=PART), page({OK: 8}, within=PART)],
            0.1,
            id="latency",
        ),
        pytest.param(
            question(),
            [page({OK: 1000}), page({OK: 9, BAD: 1}, began=1.8e9 + 1.5)],
            0.1,
            id="the proxy has been restarted",
        ),
        pytest.param(question(), [page({OK: 1000}), page({OK: 9, BAD: 1})], 0.1, id="counters fell"),
        pytest.param(
            question(service="other"), [page({OK: 5}), page({OK: 9, BAD: 9, ("other", "200"): 3})], 0, id="another"
        ),
    ],
)
async def test_the_second_look_has_a_number(
    asked: Question, pages: list[str], value: float, back_end: BackEnd, http: Http, clock: Turning
) -> None:
    series = await looks(back_end, http, clock, *pages, asked=asked)
    assert [(point.at, point.value) for point in series.points] == [(AT, pytest.approx(value))]
    assert not series.doubt


async def test_looks_at_a_short_distance_share_a_window(back_end: BackEnd, http: Http, clock: Turning) -> None:
    pages = [page({OK: 10.0 * n, BAD: max(0.0, n - 4.0)}) for n in range(1, 8)]
    series = await looks(back_end, http, clock, *pages, distance=0.25)
    assert series.points[0].value == pytest.approx(3 / 43)


async def test_after_a_pause_what_an_earlier_candidate_did_is_not_counted(
    back_end: BackEnd, http: Http, clock: Turning
) -> None:
    failed, recovered = page({OK: 10, BAD: 10}), page({OK: 30, BAD: 10})
    asked = question(begin=AT - timedelta(seconds=2.5))
    series = await looks(back_end, http, clock, page({}), failed, distance=3, asked=asked)
    assert "no history yet" in series.doubt
    series = await looks(back_end, http, clock, page({}), failed, recovered, distance=2, asked=asked)
    assert series.points[0].value == 0


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        pytest.param([page({OK: 10})], "no history yet", id="the first look"),
        pytest.param([page({OK: 10}), page({OK: 10})], "0 requests within 1.0s, minRequests is 1", id="no request"),
        pytest.param([page({}), page({})], "0 requests", id="no such service"),
        pytest.param(
            [page({OK: 10}), page({OK: 900}, began=1.6e9)],
            "no history yet",
            id="an older process answers: two replicas",
        ),
        pytest.param(
            [page({OK: 10}), page({OK: 900}, began=1.75e9)], "no history yet", id="a process that was there before"
        ),
    ],
)
async def test_what_is_no_evidence_is_said(
    pages: list[str], why: str, back_end: BackEnd, http: Http, clock: Turning
) -> None:
    series = await looks(back_end, http, clock, *pages)
    assert not series.points
    assert why in series.doubt


async def test_replicas_behind_one_address_never_come_to_a_number(
    back_end: BackEnd, http: Http, clock: Turning
) -> None:
    first, second = {"began": 1.6e9}, {"began": 1.7e9}
    pages = [page({OK: 100.0 * n}, **(first if n % 2 else second)) for n in range(1, 12)]
    reader = reader_of(proxy(f"{back_end.url}/metrics"), http, scrapes=Scrapes())
    for text in pages:
        clock.turn(1)
        back_end.script.clear()
        back_end.say(text)
        (series,) = await reader.ask(question())
        assert "no history yet" in series.doubt


async def test_all_who_ask_at_once_share_a_scrape(back_end: BackEnd, http: Http, clock: Turning) -> None:
    back_end.say(page({OK: 1, ("other", "200"): 5}))
    scrapes = Scrapes()
    readers = [reader_of(proxy(f"{back_end.url}/metrics"), http, scrapes=scrapes) for _ in range(20)]
    services = ["web", "other", "web", "third"] * 5
    await asyncio.gather(*(reader.ask(question(service=name)) for reader, name in zip(readers, services, strict=True)))
    assert len(back_end.asked) == 1
    clock.turn(0.09)
    await readers[0].ask(question())
    assert len(back_end.asked) == 1
    await readers[0].ask(question(service="new"))
    assert len(back_end.asked) == 2, "a Service that nobody had asked for is not on the page that was read before"
    clock.turn(0.11)
    await readers[0].ask(question())
    assert len(back_end.asked) == 3


async def test_who_has_no_credentials_sees_nothing_of_who_has(back_end: BackEnd, http: Http, clock: Turning) -> None:
    back_end.say(page({OK: 1}))
    scrapes, url = Scrapes(), f"{back_end.url}/metrics"
    await reader_of(proxy(url, bearer=secret()), http, "one", scrapes).ask(question())
    await reader_of(proxy(url, bearer=secret()), http, "two", scrapes).ask(question())
    await reader_of(proxy(url), http, scrapes=scrapes).ask(question())
    assert [row.headers.get("Authorization") for row in back_end.asked] == ["Bearer one", "Bearer two", None]


async def test_a_look_that_is_given_up_takes_the_scrape_from_nobody(back_end: BackEnd, http: Http) -> None:
    let, arrived = asyncio.Event(), asyncio.Event()

    async def late(_request: web.Request) -> web.StreamResponse:
        arrived.set()
        await let.wait()
        return web.Response(text=page({OK: 1}))

    back_end.script.append(late)
    reader = reader_of(proxy(back_end.url), http, scrapes=Scrapes())
    given_up, waiting = (asyncio.create_task(reader.ask(question())) for _ in range(2))
    await arrived.wait()
    given_up.cancel()
    let.set()
    (series,) = await waiting
    assert "no history yet" in series.doubt
    assert len(back_end.asked) == 1


async def test_a_host_with_several_addresses_is_scraped_at_each(
    back_end: BackEnd, http: Http, clock: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(back_end.url.rpartition(":")[2])
    addresses = ["127.0.0.1"]

    async def resolve(host: str, port: int, **_more: Any) -> list[Any]:
        assert host == "traefik.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    async with BackEnd() as second:  # another port stands for another address
        reader = reader_of(
            proxy(f"http://traefik.example:{port}/metrics", f"{second.url}/metrics"), http, scrapes=Scrapes()
        )
        back_end.say(page({OK: 10}))
        second.say(page({OK: 10}, began=1.6e9))
        await reader.ask(question())
        clock.turn(1)
        back_end.script.clear()
        second.script.clear()
        back_end.say(page({OK: 16}))
        second.say(page({OK: 10, BAD: 2}, began=1.6e9))
        (series,) = await reader.ask(question())
    assert series.points[0].value == pytest.approx(0.25)
    assert back_end.asked[0].headers["Host"] == f"traefik.example:{port}"


async def test_the_addresses_of_a_name_are_all_asked(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int, **_more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.1", "127.0.0.2")]

    async def both(request: web.Request) -> web.StreamResponse:
        return web.Response(text=page({OK: 1}))

    app = web.Application()
    app.router.add_get("/metrics", both)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    reader = reader_of(proxy(f"http://traefik.example:{port}"), http, scrapes=Scrapes())
    try:
        with pytest.raises(Unreachable, match=r"no connection to http://127.0.0.2"):
            await reader.ask(question())
    finally:
        await runner.cleanup()


async def test_what_nobody_asks_for_any_more_is_forgotten(back_end: BackEnd, http: Http, clock: Turning) -> None:
    back_end.say(page({OK: 1}))
    scrapes = Scrapes()
    reader = reader_of(proxy(back_end.url), http, scrapes=scrapes)
    await reader.ask(question())
    await reader.ask(question(service="other"))
    clock.turn(200)
    await reader.ask(question())
    (target,) = scrapes._targets.values()
    assert set(target._watched) == {"team-web"}
    clock.turn(200)
    scrapes._forget()
    assert not scrapes._targets


# -- failures ---------------------------------------------------------------------------------------------------------


async def test_a_query_is_refused(back_end: BackEnd, http: Http) -> None:
    with pytest.raises(BadQuery, match="a proxy answers no query: use requests instead"):
        await reader_of(proxy(back_end.url), http).ask(instant())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (page({OK: float("nan")}), "is nan"),
        (page({OK: 1}) + page({OK: 1}), "is there twice"),
        ('traefik_service_requests_total{service="team-web-http-80@kubernetesgateway" 3\n', "cannot be read"),
    ],
)
async def test_a_page_that_is_not_as_promised_is_a_bad_answer(
    text: str, complaint: str, back_end: BackEnd, http: Http
) -> None:
    back_end.say(text)
    with pytest.raises(BadAnswer, match=complaint):
        await reader_of(proxy(back_end.url), http).ask(question())


async def test_a_page_that_is_too_large_is_not_read_to_its_end(back_end: BackEnd, http: Http) -> None:
    back_end.flood(1 << 26)
    with pytest.raises(TooLarge, match="8388608 bytes"):
        await reader_of(proxy(back_end.url), http).ask(question())
    back_end.script.clear()
    back_end.say(page({OK: 1}) * 100)
    with pytest.raises(TooLarge, match="1024 bytes"):
        await reader_of(proxy(back_end.url, maxBytes=1024), http).ask(question())


async def test_a_proxy_that_does_not_answer_is_told(back_end: BackEnd, http: Http) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(Unreachable, match="no connection"):
        await reader_of(proxy(f"http://127.0.0.1:{port}"), http).ask(question())
    back_end.hang()
    with pytest.raises(TimedOut, match=r"no whole answer within 0.2 s"):
        await reader_of(proxy(back_end.url, timeout="200ms"), http).ask(question())
    back_end.script.clear()
    back_end.say("no", 403)
    with pytest.raises(Denied, match="HTTP 403"):
        await reader_of(proxy(back_end.url), http).ask(question())


async def test_after_an_outage_the_history_goes_on(back_end: BackEnd, http: Http, clock: Turning) -> None:
    scrapes = Scrapes()
    reader = reader_of(proxy(back_end.url), http, scrapes=scrapes)
    back_end.say(page({OK: 10}))
    await reader.ask(question())
    back_end.script.clear()
    back_end.say("down", 503)
    clock.turn(1)
    with pytest.raises(BadAnswer, match="HTTP 503"):
        await reader.ask(question())
    back_end.script.clear()
    back_end.say(page({OK: 14, BAD: 4}))
    clock.turn(1)
    (series,) = await reader.ask(question())
    assert series.points[0].value == pytest.approx(0.5)


async def test_a_name_that_is_not_resolved_is_told(http: Http) -> None:
    with pytest.raises(Unreachable, match="the name is not resolved"):
        await reader_of(proxy("http://no-such-host.invalid/metrics"), http).ask(question())


@pytest.mark.parametrize("address", ["http://169.254.169.254/latest", "http://100.100.100.200/"])
async def test_cloud_metadata_is_not_scraped(address: str, http: Http) -> None:
    with pytest.raises(Misconfigured, match="link-local or a cloud's metadata"):
        await reader_of(proxy(address), http).ask(question())


async def test_a_port_that_is_none_is_told(http: Http) -> None:
    with pytest.raises(Misconfigured, match="has no port from 1 to 65535"):
        await reader_of(proxy("http://traefik:99999/metrics"), http).ask(question())


# -- cost -------------------------------------------------------------------------------------------------------------


def test_a_page_of_a_thousand_services_costs_few_milliseconds() -> None:
    """The limit is twenty times what it takes on an idle machine; to make objects of every line would exceed it."""
    text = page(
        {(f"service-{n}", code): n for n in range(1000) for code in ("200", "404", "500")}, within=PART
    ).encode()
    needle = holding(TRAEFIK.service, [TRAEFIK.pattern("team-service-7")])
    began = time.process_time()
    found = counted(TRAEFIK, samples(text, (TRAEFIK.requests, TRAEFIK.buckets), needle))
    took = time.process_time() - began
    assert found == {"team-service-7": Counts(21, 7, (0.1, 1, math.inf), (10.5, 15.75, 21))}
    assert took < 0.05
