"""The Prometheus source against a real Prometheus, which scrapes an exporter of ours four times a second."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.addons.metrics import configuration
from dev.cluster.addons.targets import targets_of
from sluice.planning.metrics import Series, ask, look_at
from sluice.planning.verdicts import Look, Outcome
from sluice.sources.base import BadAnswer, BadQuery, Denied, Unreachable
from sluice.sources.http import Http
from sluice.sources.registry import build, secrets_of
from sluice.sources.scrapes import Scrapes
from tests.unit.sources.back_end import check_of, reader_of, secret, spec_of
from tests.unit.sources.real_prometheus import Exporter, prometheus, until
from tests.unit.sources.test_tls import certificate

EVIL = "a\"} or vector(0) #\\ ' `\n.*é"
"""A label's value that holds all that could end a text."""
BCRYPT = "$2b$05$ilhjcXNbHv6zqSDyYQhZRu4PYGb4Ix2/HJTm7/p.n//hZbX2r4/n2"  # of s3cr3t-password


POD = {
    "metadata": {"name": "a", "namespace": "team", "annotations": {"prometheus.io/scrape": "true"}},
    "spec": {"containers": [{"ports": [{"containerPort": 80}]}]},
    "status": {"phase": "Running"},
}


def exposed(text: str) -> str:
    """`text` as the exposition format writes a label's value."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@dataclass
class Real:
    """A Prometheus and its exporter."""

    url: str
    exporter: Exporter

    def look(self, query: str, values: dict[str, str] | None = None, **metric: Any) -> Look:
        return look_at(check_of(query=query, **metric), *self._answer(query, values, **metric))

    def series(self, query: str, values: dict[str, str] | None = None, **metric: Any) -> tuple[Series, ...]:
        return self._answer(query, values, **metric)[0]

    def _answer(self, query: str, values: dict[str, str] | None, **metric: Any) -> tuple[tuple[Series, ...], datetime]:
        async def answer() -> tuple[tuple[Series, ...], datetime]:
            now = datetime.now(UTC)
            async with Http() as http:
                reader = reader_of(spec_of(prometheus={"address": self.url}), http)
                question = ask(check_of(query=query, **metric), values or {}, reader.escape, now)
                return await reader.ask(question), now

        return asyncio.run(answer())


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    with Exporter().serving() as exporter:
        old = int((datetime.now(UTC) - timedelta(minutes=2)).timestamp() * 1000)
        exporter.text = "\n".join(
            [
                'errors{service="a"} 0.25',
                'errors{service="b"} 0.75',
                'broken{service="a"} NaN',
                'broken{service="b"} 0.5',
                "endless +Inf",
                f'odd{{path="{exposed(EVIL)}"}} 7',
                f"old 1 {old}",
                "",
            ]
        )
        folder = tmp_path_factory.mktemp("prometheus")
        # As the development cluster's Prometheus is configured, with the exporter in the place of the API server.
        (folder / "targets.json").write_text(json.dumps(targets_of([POD], f"127.0.0.1:{exporter.port}")))
        config = configuration(folder / "targets.json")
        config["global"] = {"scrape_interval": "250ms", "scrape_timeout": "250ms"}
        with prometheus(folder, config) as port:
            server = Real(f"http://127.0.0.1:{port}", exporter)
            until("the first samples", lambda: len(server.series("errors")) == 2)
            yield server


def test_an_instant_query_is_judged(real: Real) -> None:
    look = real.look('errors{service="a"}', max=0.01)
    assert (look.outcome, look.message) == (Outcome.FAIL, "0.25 is not <= 0.01")


def test_series_say_which_pod_they_are_of(real: Real) -> None:
    (series,) = real.series('errors{service="a"}')
    assert {"job": "pods", "namespace": "team", "pod": "a"}.items() <= series.labels.items()
    assert real.exporter.paths == {"/api/v1/namespaces/team/pods/a:80/proxy/metrics"}


def test_a_range_query_is_judged(real: Real) -> None:
    query, window = 'errors{service="a"}', {"window": "5s", "step": "250ms", "over": "max"}
    until("two samples in the window", lambda: len(real.series(query, range=window)[0].points) >= 2)
    look = real.look(query, max=0.5, range=window)
    assert (look.outcome, look.value) == (Outcome.PASS, 0.25)


def test_a_scalar_is_judged(real: Real) -> None:
    assert real.look("scalar(vector(0.5))").outcome is Outcome.PASS


def test_two_series_need_a_way_to_reduce_them(real: Real) -> None:
    look = real.look("errors")
    assert (look.outcome, look.message.partition(":")[0]) == (Outcome.INCONCLUSIVE, "2 series and no reduce")
    assert real.look("errors", max=0.5, reduce="max").message == "0.75 is not <= 0.5"
    assert real.look("errors", max=0.5, reduce="avg").outcome is Outcome.PASS


@pytest.mark.parametrize("reduce", ["min", "max", "sum", "avg"])
def test_nan_in_one_of_two_series_is_not_hidden(real: Real, reduce: str) -> None:
    look = real.look("broken", reduce=reduce)
    assert (look.outcome, look.message) == (Outcome.INCONCLUSIVE, "NaN is not a measurement (1 of 2 samples)")
    assert any(math.isnan(one.points[0].value) for one in real.series("broken"))


def test_infinity_is_inconclusive(real: Real) -> None:
    assert real.look("endless").message == "Inf is not a measurement"


def test_nothing_found_is_no_data(real: Real) -> None:
    look = real.look("no_such_metric")
    assert (look.outcome, look.message) == (Outcome.INCONCLUSIVE, "no data")


def test_a_value_with_quotes_in_it_finds_its_own_series_and_no_other(real: Real) -> None:
    query = 'odd{path="$(args.path)"}'
    assert [one.labels["path"] for one in real.series(query, {"args.path": EVIL})] == [EVIL]
    assert real.series(query, {"args.path": 'x"} or vector(0) #'}) == ()
    assert [one.labels["path"] for one in real.series("odd{path='$(args.path)'}", {"args.path": EVIL})] == [EVIL]


def test_in_backquotes_a_value_cannot_end_its_text_either(real: Real) -> None:
    assert real.series("odd{path=`$(args.path)`}", {"args.path": "x`} or vector(0) #"}) == ()


def test_a_text_is_a_bad_answer(real: Real) -> None:
    with pytest.raises(BadAnswer, match="the query's result is a string"):
        real.series('"text"')


def test_a_query_that_cannot_be_read_is_told_in_the_servers_words(real: Real) -> None:
    with pytest.raises(BadQuery, match=r'HTTP 400: invalid parameter "query": 1:5: parse error'):
        real.series("up{a")


def test_an_old_sample_is_stale_where_the_check_wants_a_newer_one(real: Real) -> None:
    until("the old sample", lambda: len(real.series("old")) == 1)
    assert real.look("old").outcome is Outcome.PASS
    for metric in ({}, {"range": {"window": "10s", "step": "1s"}}):
        look = real.look("old", maxAge="1m", **metric)
        assert look.outcome is Outcome.INCONCLUSIVE
        assert look.message.startswith("stale: the newest sample is 2m")


def test_a_short_max_age_is_kept_by_what_is_scraped_now(real: Real) -> None:
    assert real.look("errors", maxAge="30s", reduce="max").outcome is Outcome.PASS


def test_a_series_that_vanishes_is_no_data(real: Real) -> None:
    before = real.exporter.text
    real.exporter.text = before + "passing 1\n"
    until("the series to come", lambda: len(real.series("passing")) == 1)
    real.exporter.text = before
    until("the series to go", lambda: real.series("passing") == ())
    look = real.look("passing")
    assert (look.outcome, look.message) == (Outcome.INCONCLUSIVE, "no data")


# -- with TLS and a user ----------------------------------------------------------------------------------------------


async def test_a_server_with_tls_and_a_user_is_asked_with_both(tmp_path: Path, http: Http) -> None:
    pem, _ = certificate(tmp_path, "metrics.acme")
    file = str(tmp_path / "metrics.acme.pem")
    web = {"tls_server_config": {"cert_file": file, "key_file": file}, "basic_auth_users": {"reader": BCRYPT}}
    with prometheus(tmp_path, {}, web) as port:

        async def answer(password: str, name: str) -> tuple[Series, ...]:
            spec = spec_of(
                prometheus={"address": f"https://127.0.0.1:{port}"},
                basic={"username": secret("user"), "password": secret("password")},
                tls={"ca": secret("ca"), "serverName": name},
            )
            texts = {"user": "reader", "password": password, "ca": pem}
            reader = build(spec, {key: texts[key.key] for key in secrets_of(spec)}, http, Scrapes())
            check = check_of(query="vector(0.5)")
            return await reader.ask(ask(check, {}, reader.escape, datetime.now(UTC)))

        assert [one.points[0].value for one in await answer("s3cr3t-password", "metrics.acme")] == [0.5]
        with pytest.raises(Denied, match="HTTP 401"):
            await answer("another", "metrics.acme")
        with pytest.raises(Unreachable, match="TLS"):
            await answer("s3cr3t-password", "other.acme")
