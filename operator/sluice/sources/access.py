"""How one source is reached: what its spec says of credentials, TLS, time and size, with its Secrets filled in."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from sluice.api.base import Json
from sluice.api.durations import parse_duration
from sluice.api.metric_source import MetricSourceSpec, SecretKey
from sluice.sources.base import Denied, Misconfigured
from sluice.sources.http import Complaint, Http, Limits, Mask, Request, Trust, parse_json

TIMEOUT: Final = timedelta(seconds=10)
LONGEST_TIMEOUT: Final = timedelta(seconds=60)
LEAST_TIMEOUT: Final = timedelta(milliseconds=100)
MAX_BYTES: Final = 1 << 20

_RESERVED: Final = frozenset(
    "authorization proxy-authorization cookie host connection content-length content-encoding content-type "
    "transfer-encoding accept-encoding expect te trailer upgrade".split()
)
"""Headers that are ours to write, or that would hold a credential in the spec."""


@dataclass(frozen=True)
class Access:
    """A way to one back end."""

    http: Http = field(repr=False)
    trust: Trust = field(repr=False)
    limits: Limits
    secrets: Mapping[SecretKey, str] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def secret(self, key: SecretKey) -> str:
        """The text of a key of a Secret, fit for a header. Raises Denied."""
        if key not in self.secrets:
            raise Denied(f"{_named(key)} is not there, or the operator may not read it")
        text = self.secrets[key].strip()
        if not text:
            raise Denied(f"{_named(key)} is empty")
        if not text.isprintable():
            raise Denied(f"{_named(key)} holds a line break or another control character")
        return text

    def with_headers(self, headers: Mapping[str, str]) -> Access:
        """The same with more headers."""
        return replace(self, headers={**self.headers, **headers})

    def with_plain_headers(self, headers: Mapping[str, str]) -> Access:
        """The same with headers that a spec states. Raises Misconfigured for those that it may not."""
        for name, value in headers.items():
            if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
                raise Misconfigured(f"headers: {name[:50]!r} is no name of a header")
            if name.lower() in _RESERVED:
                raise Misconfigured(f"headers: {name} cannot be set; credentials go to bearer or basic")
            if not value.isprintable():
                raise Misconfigured(f"headers: the value of {name} holds a control character")
        return self.with_headers(headers)

    def quoted(self, words: str) -> str:
        """What a back end says, as it may be shown: redacted, in one line, cut."""
        return Mask(_spoken(self.secrets.values(), self.headers))(words)

    async def get(self, url: str) -> Json:
        """The JSON that is there."""
        return parse_json(await self.send("GET", url, accept="application/json"))

    async def post_form(self, url: str, form: Mapping[str, str], complaint: Complaint | None = None) -> Json:
        """The JSON that answers a form."""
        body = urlencode(form).encode()
        return parse_json(await self.send("POST", url, body, "application/x-www-form-urlencoded", complaint=complaint))

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        content_type: str | None = None,
        *,
        accept: str = "application/json",
        complaint: Complaint | None = None,
    ) -> bytes:
        """The body of the answer. Raises SourceError."""
        headers = {"Accept": accept, "User-Agent": "sluice", **self.headers}
        if content_type is not None:
            headers["Content-Type"] = content_type
        request = Request(method, url, headers, body, _spoken(self.secrets.values(), self.headers))
        if complaint is None:
            return await self.http.fetch(request, self.limits, self.trust)
        return await self.http.fetch(request, self.limits, self.trust, complaint)


def _spoken(secrets: Iterable[str], headers: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets of a request, also as its headers hold them."""
    texts = [text for secret in secrets for text in (secret, secret.strip())]
    sent = headers.get("Authorization", "")
    return (*texts, sent, sent.rpartition(" ")[2])


def _named(key: SecretKey) -> str:
    namespace = f"{key.namespace}/" if key.namespace else ""
    return f'key "{key.key}" of Secret {namespace}{key.name}'


def open_access(
    spec: MetricSourceSpec, secrets: Mapping[SecretKey, str], http: Http, scheme: str, max_bytes: int = MAX_BYTES
) -> Access:
    """What `spec` says of reaching a back end whose tokens have the Authorization scheme `scheme`. Raises SourceError.

    `max_bytes`: the greatest answer where it says nothing of it.
    """
    limit = parse_duration(spec.timeout) if spec.timeout is not None else TIMEOUT
    seconds = min(max(limit, LEAST_TIMEOUT), LONGEST_TIMEOUT).total_seconds()
    trust = Trust()
    if spec.tls is not None:
        ca = None
        if spec.tls.ca is not None:
            if spec.tls.ca not in secrets:
                raise Denied(f"{_named(spec.tls.ca)} is not there, or the operator may not read it")
            ca = secrets[spec.tls.ca]
            # Certificates are public, and no text that is to be kept out of messages.
            secrets = {key: text for key, text in secrets.items() if key != spec.tls.ca}
        trust = Trust(ca, spec.tls.server_name, spec.tls.insecure_skip_verify or False)
    access = Access(http, trust, Limits(seconds, spec.max_bytes or max_bytes), secrets)
    if spec.bearer is not None and spec.basic is not None:
        raise Misconfigured("bearer and basic are both given: only one can be sent")
    if spec.bearer is not None:
        return access.with_headers({"Authorization": f"{scheme} {access.secret(spec.bearer)}"})
    if spec.basic is not None:
        user, password = access.secret(spec.basic.username), access.secret(spec.basic.password)
        if ":" in user:
            raise Denied(f"{_named(spec.basic.username)} holds a colon, which basic authentication cannot send")
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return access.with_headers({"Authorization": f"Basic {pair}"})
    return access
