"""Hooks that are requests: a POST of JSON, whose success is an answer of 2xx.

The exchange is that of metric sources (`sluice.sources.http`): one time limit, a limited answer, no redirects, no metadata
services of clouds, TLS by the system's authorities, and no credential in a message. Each request has a connection of its
own: a POST is not sent again on its own account, so it must not be the one that finds an idle connection closed.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import pydantic_core

from sluice.api.canary import HttpHook
from sluice.kube.client import KubeClient
from sluice.kube.errors import KubeError
from sluice.kube.resources import SECRETS
from sluice.reconcile.hook_call import HookCall, HookFailed
from sluice.sources.base import SourceError, TooLarge
from sluice.sources.http import Http, Limits, Mask, Request, Trust, words_of

AT_ONCE: Final = 128
"""Requests under way at once."""
AT_ONCE_PER_HOST: Final = 16
"""So many of them to one host. The others wait, and their time limit has not begun."""
ANSWER_BYTES: Final = 1 << 20
"""A longer answer is a failure, whatever its status."""
SHOWN: Final = 200
"""How many characters of an answer are shown."""
_SEARCHED_BYTES: Final = 1 << 14
"""How much of an answer is looked at for that."""
_SECRET_SECONDS: Final = 5.0

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "idempotency-key", "transfer-encoding"},
)
"""Headers that nobody else sets."""


class _Refused(SourceError):
    """The server answered with an error."""


class HookRequests:
    """The connections to all servers of hooks. `aclose` at the end."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._http = Http()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._rooms: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """By host, for as long as somebody has to do with it."""

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def send(self, call: HookCall, http: HttpHook) -> str:
        """Send the request; what it was answered, in one line. Raises HookFailed, and what the fence of the client raises."""
        host = self._rooms.setdefault(_host(http.url), asyncio.Semaphore(AT_ONCE_PER_HOST))
        async with host, self._room:
            try:
                async with asyncio.timeout(call.seconds):
                    return await self._sent(call, http)
            except TimeoutError:
                raise HookFailed(f"no whole answer within {call.seconds:g} s") from None

    async def _sent(self, call: HookCall, http: HttpHook) -> str:
        if self._client.fence is not None:
            self._client.fence()  # a replica that is not the leader any more calls nobody
        secret = await self._secret(call.namespace, http.secret.name) if http.secret is not None else {}
        secrets = tuple(text for value in secret.values() for text in _credentials(value))
        headers = _headers(call, http, secret)
        request = Request("POST", http.url, headers, pydantic_core.to_json(payload(call)), secrets)
        try:
            body = await self._http.fetch(request, Limits(call.seconds, ANSWER_BYTES), Trust(), _complaint)
        except _Refused as error:
            failure = _cut(str(error))
        except TooLarge:
            failure = f"the answer has more than {ANSWER_BYTES} bytes and was not read to its end"
        except SourceError as error:
            failure = str(error)
        else:
            return _cut(Mask(secrets)(words_of(body[:_SEARCHED_BYTES])))
        raise HookFailed(failure)

    async def _secret(self, namespace: str, name: str) -> Mapping[str, str]:
        """The texts of a Secret. A final line end does not belong to them."""
        try:
            found = await self._client.get(SECRETS, namespace, name, timeout=_SECRET_SECONDS)
        except KubeError as error:
            raise HookFailed(f'Secret "{name}" in {namespace} cannot be read: {error.message}') from error
        texts = {}
        for key, value in (found.get("data") or {}).items():
            if problem := _problem(key):
                raise HookFailed(f'Secret "{name}" in {namespace}: {problem}')
            text = _text(value)
            if text is None or not _fits(text):
                raise HookFailed(f'Secret "{name}" in {namespace}: the value of "{key}" is not one line of text')
            texts[key] = text
        return texts


def payload(call: HookCall) -> dict[str, object]:
    """The JSON that is sent."""
    action = call.action
    return {
        **call.facts,
        "canary": call.canary,
        "namespace": call.namespace,
        "hook": action.hook.name,
        "point": action.hook.at,
        "key": action.key,
        "attempt": action.attempt,
    }


def _headers(call: HookCall, http: HttpHook, secret: Mapping[str, str]) -> dict[str, str]:
    """All headers. One that is given twice, in whatever case, is sent once: the Secret's, else the spec's."""
    for name, value in http.headers.items():
        if problem := _problem(name):
            raise HookFailed(f"http.headers: {problem}")
        if not _fits(value):
            raise HookFailed(f'http.headers: the value of "{name}" is not one line of text')
    merged = {"content-type": ("Content-Type", "application/json")}
    merged |= {name.lower(): (name, value) for name, value in http.headers.items()}
    merged |= {name.lower(): (name, value) for name, value in secret.items()}
    return {**dict(merged.values()), "Idempotency-Key": call.action.key, "Connection": "close"}


def _problem(header: str) -> str:
    if not _NAME.fullmatch(header):
        return f'"{header}" is no name of a header: letters, digits and - are'
    return f'the header "{header}" is set by sluice' if header.lower() in _OWN else ""


def _text(value: str) -> str | None:
    try:
        return base64.b64decode(value, validate=True).decode().rstrip("\r\n")
    except (binascii.Error, UnicodeDecodeError):
        return None


def _fits(value: str) -> bool:
    return all(char == "\t" or (ord(char) >= 32 and ord(char) != 127) for char in value)


def _credentials(value: str) -> Iterator[str]:
    """The parts of a header's value that a message must not show: all of it, and what stands behind `Bearer` or `Basic`."""
    yield value
    scheme, _, credentials = value.partition(" ")
    if not credentials.strip():
        return
    yield credentials.strip()
    if scheme.lower() == "basic":
        pair = _text(credentials.strip()) or ""
        yield pair
        yield pair.partition(":")[2]


def _complaint(status: int, body: bytes) -> SourceError:
    words = words_of(body)
    return _Refused(f"HTTP {status}: {words}" if words.strip() else f"HTTP {status}")


def _cut(text: str) -> str:
    most = SHOWN + len("HTTP 500: ") if text.startswith("HTTP ") else SHOWN
    return text if len(text) <= most else text[:most] + "..."


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""
