"""A back end on the loopback address that answers what the test tells it to, and readers of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl

from aiohttp import web

from sluice.api.gate import Check
from sluice.api.metric_source import MetricSourceSpec
from sluice.planning.metrics import Question, Series, look_at
from sluice.planning.verdicts import Look
from sluice.sources.base import MetricReader
from sluice.sources.http import Http
from sluice.sources.registry import build, secrets_of
from sluice.sources.scrapes import Scrapes

AT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
EPOCH = int(AT.timestamp())
SECRET = "s3cr3t-Value+/=\"'&x"
"""The text of every key of every Secret: with everything in it that may be escaped somewhere."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class BackEnd:
    """Answers with the next of its script, and goes on with the last one."""

    def __init__(self, tls: Any = None) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.script: deque[Answer] = deque()
        self.sent = 0
        """Bytes that an endless answer has written."""
        self._tls = tls
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._receive)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, handler_cancellation=True, shutdown_timeout=0.01
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        scheme = "http" if self._tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        query = {name: texts[-1] for name, texts in parse_qs(request.query_string).items()}
        self.asked.append(Asked(request.method, request.path, query, dict(request.headers), body))
        answer = self.script.popleft() if len(self.script) > 1 else self.script[0]
        return await answer(request)

    def say(self, body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        """Next, answer with this: text or bytes as they are, all else as JSON."""
        raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()

        async def answer(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=raw, status=status, headers={"Content-Type": "text/plain", **(headers or {})})

        self.script.append(answer)
        return self

    def echo(self, status: int) -> Self:
        """Next, answer with all that was sent, as a careless back end does."""

        async def answer(request: web.Request) -> web.StreamResponse:
            said = f"you sent {dict(request.headers)} {request.path_qs} {(await request.read()).decode()}"
            return web.json_response({"error": said}, status=status)

        self.script.append(answer)
        return self

    def hang(self) -> Self:
        """Next, never answer."""

        async def answer(_request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

        self.script.append(answer)
        return self

    def drip(self) -> Self:
        """Next, begin an answer and never end it."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"{")
            await asyncio.Event().wait()
            raise AssertionError

        self.script.append(answer)
        return self

    def flood(self, size: int, *, compressed: bool = False, status: int = 200) -> Self:
        """Next, answer with `size` bytes, in pieces; `compressed`, they are a thousandth of that on the wire."""
        piece = b" " * (1 << 20)

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(status=status)
            if compressed:
                response.headers["Content-Encoding"] = "gzip"
            await response.prepare(request)
            if compressed:
                await response.write(gzip.compress(piece * (size // len(piece))))
                return response
            while self.sent < size:
                await response.write(piece)
                self.sent += len(piece)
            return response

        self.script.append(answer)
        return self

    def cut(self, beginning: bytes) -> Self:
        """Next, promise more than is sent, and break off."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": str(len(beginning) + 100)})
            await response.prepare(request)
            await response.write(beginning)
            assert request.transport is not None
            request.transport.abort()
            return response

        self.script.append(answer)
        return self


def spec_of(**fields: Any) -> MetricSourceSpec:
    return MetricSourceSpec.model_validate(fields)


def secret(key: str = "key") -> dict[str, str]:
    return {"name": "metrics", "key": key}


def reader_of(spec: MetricSourceSpec, http: Http, text: str = SECRET, scrapes: Scrapes | None = None) -> MetricReader:
    return build(spec, dict.fromkeys(secrets_of(spec), text), http, scrapes or Scrapes())


def instant(text: str = "up") -> Question:
    return Question(text, AT)


def over_ten_minutes(text: str = "up") -> Question:
    return Question(text, AT, timedelta(minutes=10), timedelta(minutes=1))


def check_of(**metric: Any) -> Check:
    return Check.model_validate({"name": "c", "metric": {"source": "s", "query": "q", "max": 1, **metric}})


def judged(series: tuple[Series, ...], **metric: Any) -> Look:
    return look_at(check_of(**metric), series, AT)


def values(series: tuple[Series, ...]) -> list[list[float]]:
    return [[point.value for point in one.points] for one in series]
