"""One HTTP request to a back end, from a total time limit to a limited answer. All that sources share of HTTP is here.

What an answer may do is limited, since a back end is somebody else's program:

- the whole exchange has one time limit, and the answer is read in pieces up to a number of bytes, before and after it
  is decompressed; what is larger is cut off;
- a redirect is never followed, so that credentials stay with the host that they were meant for;
- link-local addresses and other well-known addresses of cloud metadata are not asked: a user who may write a
  MetricSource must not read the node's credentials through the operator;
- JSON is refused where it has NaN, the same name twice in an object, or no end of nesting;
- no error message holds a credential: what the back end says is searched for the secrets that were sent, and for what
  looks like any other. Errors of aiohttp are not chained, since they carry the request's headers.
"""

from __future__ import annotations

import asyncio
import base64
import html
import ipaddress
import json
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import quote, quote_plus, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from sluice.api.base import Json
from sluice.sources.base import (
    BadAnswer,
    BadQuery,
    Denied,
    Misconfigured,
    SourceError,
    Throttled,
    TimedOut,
    TooLarge,
    Unreachable,
)
from sluice.telemetry.redaction import REDACTED, redact_text

_CHUNK: Final = 1 << 16
_WORDS_BYTES: Final = 1 << 14
"""How much is read of an answer that says what went wrong."""
_WORDS: Final = 300
"""How much of it is shown."""
_METADATA: Final = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254")))
"""Where clouds give credentials to machines, besides the link-local addresses."""
_CONNECTIONS: Final = 256
_CONNECTIONS_PER_HOST: Final = 16


@dataclass(frozen=True)
class Request:
    """What is sent. `secrets` are the texts in it that no message may show."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Limits:
    """What an exchange may take."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Trust:
    """How the server is known: certificate authorities in PEM (None: the system's), the name in its certificate."""

    ca: str | None = None
    server_name: str | None = None
    insecure: bool = False


Complaint = Callable[[int, bytes], SourceError | None]
"""What a back end's own error answer (status, body) means; None: what the status means."""


class Http:
    """The connections to all back ends. One for the process; `async with`, or `aclose` at the end."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[Trust, ssl.SSLContext] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(
        self, request: Request, limits: Limits, trust: Trust, complaint: Complaint = lambda _status, _body: None
    ) -> bytes:
        """The body of a successful answer. Raises SourceError."""
        mask = Mask(request.secrets)
        context = self._context(trust)
        # Raised behind the `except`, so that no error of aiohttp, which knows the headers, is chained to it.
        try:
            async with asyncio.timeout(limits.seconds):
                return await self._exchange(request, limits, trust, context, complaint, mask)
        except TimeoutError:
            failure: SourceError = TimedOut(f"no whole answer within {limits.seconds:g} s")
        except SourceError as error:
            failure = error
        except aiohttp.ClientConnectorCertificateError as error:
            failure = Unreachable(mask(f"TLS: {error.certificate_error}"))
        except (aiohttp.ClientConnectorError, aiohttp.ClientSSLError) as error:
            failure = Unreachable(mask(f"no connection to {_host(request.url)}: {error.strerror or error.os_error}"))
        except aiohttp.InvalidURL:
            failure = Misconfigured(f"the address is no URL: {mask(_host(request.url))}")
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
            failure = BadAnswer(mask(f"the answer is not HTTP or broke off: {type(error).__name__}"))
        except (aiohttp.ClientError, OSError) as error:
            failure = Unreachable(mask(f"the connection to {_host(request.url)} broke off: {type(error).__name__}"))
        except (ValueError, UnicodeError):
            failure = Misconfigured("the request cannot be written as HTTP")
        raise failure.with_traceback(None)

    async def _exchange(
        self,
        request: Request,
        limits: Limits,
        trust: Trust,
        context: ssl.SSLContext,
        complaint: Complaint,
        mask: Mask,
    ) -> bytes:
        _refuse_metadata(urlsplit(request.url).hostname)
        async with self._opened().request(
            request.method,
            request.url,
            headers={"Accept-Encoding": "gzip", **request.headers},
            data=request.body,
            allow_redirects=False,
            ssl=context,
            server_hostname=trust.server_name,
        ) as response:
            if response.status in range(200, 300):
                return await _read(response, limits.bytes)
            if response.status in range(300, 400):
                where = _host(response.headers.get("Location", "")) or "elsewhere"
                raise BadAnswer(mask(f"HTTP {response.status} to {where}: redirects are not followed"))
            body = await _read_words(response, min(limits.bytes, _WORDS_BYTES))
            own = complaint(response.status, body)
            if own is not None:
                raise type(own)(mask(str(own)))
            raise _by_status(response.status, response.headers.get("Retry-After"), mask(words_of(body)))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_CONNECTIONS, limit_per_host=_CONNECTIONS_PER_HOST, resolver=_Resolver()
                ),
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    def _context(self, trust: Trust) -> ssl.SSLContext:
        key = Trust(trust.ca, None, trust.insecure)
        if key not in self._contexts:
            if len(self._contexts) >= 64:
                self._contexts.clear()
            self._contexts[key] = _made_context(key)
        return self._contexts[key]


def _made_context(trust: Trust) -> ssl.SSLContext:
    context: ssl.SSLContext | None = None
    if trust.ca is None or trust.ca.strip():  # an empty text would mean the system's authorities
        with suppress(ssl.SSLError, ValueError):  # not chained: it may quote what is in the Secret
            context = ssl.create_default_context(cadata=trust.ca)
    if context is None:
        raise Misconfigured("tls.ca: the Secret's key holds no certificate in PEM")
    if trust.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Resolver(AbstractResolver):
    """The system's resolver, which does not lead to cloud metadata."""

    def __init__(self) -> None:
        self._system = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        for one in found:
            _refuse_metadata(one["host"])
        return found

    async def close(self) -> None:
        await self._system.close()


def _refuse_metadata(host: str | None) -> None:
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return  # a name, which the resolver sees
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_link_local or address in _METADATA:
        raise Misconfigured(f"{address} is link-local or a cloud's metadata service, which is not asked")


# -- reading ----------------------------------------------------------------------------------------------------------


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body, decompressed, of at most `limit` bytes on the wire and as many when decompressed."""
    if (response.content_length or 0) > limit:
        raise _too_large(limit)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise BadAnswer("the answer has a Content-Encoding that was not asked for")
    unpacker = zlib.decompressobj(wbits=31) if encoding.endswith("gzip") else None
    parts: list[bytes] = []
    on_wire = size = 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        on_wire += len(chunk)
        part = _unpacked(unpacker, chunk, limit - size + 1) if unpacker is not None else chunk
        size += len(part)
        parts.append(part)
        if on_wire > limit or size > limit:
            raise _too_large(limit)
    if unpacker is not None and (not unpacker.eof or unpacker.unused_data):
        raise BadAnswer("the compressed answer is broken or ends too early")
    return b"".join(parts)


def _unpacked(unpacker: Any, chunk: bytes, most: int) -> bytes:
    """At most `most` bytes of what `chunk` unpacks to: a small chunk can hold a thousand times its size."""
    try:
        part: bytes = unpacker.decompress(chunk, most)
    except zlib.error:
        part, broken = b"", True
    else:
        broken = False
    if broken:
        raise BadAnswer("the compressed answer is broken or ends too early")
    return part


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the answer has more than {limit} bytes (maxBytes) and was not read to its end")


async def _read_words(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The beginning of an answer whose status says already that it is an error."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    body = b""
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) >= most:
            break
    if encoding in ("gzip", "x-gzip"):
        try:
            return zlib.decompressobj(wbits=31).decompress(body[:most], most)
        except zlib.error:
            return b""
    return body[:most]


def _by_status(status: int, retry_after: str | None, words: str) -> SourceError:
    said = f": {words}" if words else ""
    if status == 429:
        later = f", Retry-After {retry_after[:40]}" if retry_after else ""
        return Throttled(f"HTTP 429, asked too often{later}{said}")
    if status in (401, 403):
        return Denied(f"HTTP {status}{said}")
    if status in range(400, 500):
        return BadQuery(f"HTTP {status}{said}")
    return BadAnswer(f"HTTP {status}{said}")


def _host(url: str) -> str:
    """Scheme, host and port of a URL: what may be told of it."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else ""


# -- words of the back end --------------------------------------------------------------------------------------------


def words_of(body: bytes) -> str:
    """What an error answer says, from the places where back ends put it, else its text without HTML. Not yet redacted."""
    text = body.decode("utf-8", "replace")
    try:
        found = _said(json.loads(text))
    except (ValueError, RecursionError):
        found = ""
    return found or html.unescape(re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.I))


def _said(answer: Json) -> str:
    if isinstance(answer, str):
        return answer
    if isinstance(answer, list):
        return "; ".join(filter(None, map(_said, answer)))
    if isinstance(answer, dict):
        for name in ("error", "message", "Message", "errors", "error_message"):
            if answer.get(name):
                return _said(answer[name])
    return ""


class Mask:
    """Takes secrets out of texts, in the forms in which a back end may give them back."""

    def __init__(self, secrets: Sequence[str]) -> None:
        forms: set[str] = set()
        for secret in filter(None, secrets):
            encoded = base64.b64encode(secret.encode()).decode()
            forms |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret), encoded}
            forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
            forms.add(" ".join(secret.split()))
        longest_first = sorted(filter(None, forms), key=len, reverse=True)
        self._longest = len(longest_first[0]) if longest_first else 0
        self._secret = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """`text` in one line, redacted, then cut: cut first, half a secret could be left of it."""
        if self._secret is not None:
            if len(text) >= _WORDS_BYTES // 2:
                text = text[: -self._longest]  # where the text broke off there may be the half of one
            text = self._secret.sub(REDACTED, text)
        text = " ".join(redact_text(text).split())
        text = "".join(char for char in text if char.isprintable())
        return text if len(text) <= _WORDS else text[:_WORDS] + "..."


# -- JSON -------------------------------------------------------------------------------------------------------------


def parse_json(body: bytes) -> Json:
    """A JSON document that means one thing only. Raises BadAnswer; the message quotes nothing of the answer."""
    try:
        value: Json = json.loads(body, parse_constant=_refuse_constant, object_pairs_hook=_unique)
        return value
    except SourceError as error:
        failure = error
    except RecursionError:
        failure = BadAnswer("the answer is JSON that is nested too deeply")
    except ValueError:  # also of bad UTF-8. It holds the whole answer, and so is not chained
        html_ = body.lstrip()[:1] == b"<"
        broken = "is HTML and not JSON: is the address right?" if html_ else "is not JSON, or not all of it"
        failure = BadAnswer(f"the answer {broken}")
    raise failure.with_traceback(None)


def _refuse_constant(name: str) -> Json:
    raise BadAnswer(f"the answer holds {name}, which JSON has not")


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadAnswer("the answer has the same name twice in one object")
    return found
