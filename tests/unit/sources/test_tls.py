"""TLS: whom a source believes, and what it says when it does not."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sluice.planning.metrics import Series
from sluice.sources.base import Denied, Misconfigured, SourceError, Unreachable
from sluice.sources.http import Http
from sluice.sources.registry import build
from sluice.sources.scrapes import Scrapes
from tests.unit.sources.back_end import BackEnd, instant, secret, spec_of

EMPTY = {"status": "success", "data": {"resultType": "vector", "result": []}}


def certificate(folder: Path, *names: str) -> tuple[str, ssl.SSLContext]:
    """(PEM, context of a server that shows it): a certificate that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "metrics")])
    alternatives = [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1))  # noqa: DTZ001
        .not_valid_after(datetime(2020, 1, 1) + timedelta(days=36500))  # noqa: DTZ001
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{'-'.join(names)}.pem"
    file.write_bytes(pem + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return pem.decode(), context


async def ask(url: str, ca: str | None, **tls: Any) -> tuple[Series, ...]:
    fields = {"prometheus": {"address": url}, "tls": {**tls, **({"ca": secret("ca")} if ca is not None else {})}}
    spec = spec_of(**fields)
    assert spec.tls is not None
    secrets = {spec.tls.ca: ca} if spec.tls.ca is not None and ca is not None else {}
    async with Http() as http:
        return await build(spec, secrets, http, Scrapes()).ask(instant())


async def test_a_server_is_believed_whose_authority_is_in_the_secret(tmp_path: Path) -> None:
    pem, context = certificate(tmp_path, "127.0.0.1")
    async with BackEnd(context) as back_end:
        back_end.say(EMPTY)
        assert await ask(back_end.url, pem) == ()


async def test_another_authority_is_not_believed(tmp_path: Path) -> None:
    _, context = certificate(tmp_path, "127.0.0.1")
    other, _ = certificate(tmp_path, "127.0.0.1")
    async with BackEnd(context) as back_end:
        with pytest.raises(Unreachable, match=r"TLS: .*certificate verify failed"):
            await ask(back_end.url, other)
        with pytest.raises(Unreachable, match=r"TLS: .*certificate verify failed"):
            await ask(back_end.url, None)
        assert back_end.asked == []


async def test_the_name_in_the_certificate_has_to_be_the_hosts_or_the_one_that_is_given(tmp_path: Path) -> None:
    pem, context = certificate(tmp_path, "metrics.acme")
    async with BackEnd(context) as back_end:
        back_end.say(EMPTY)
        with pytest.raises(Unreachable, match=r"TLS: "):
            await ask(back_end.url, pem)
        assert await ask(back_end.url, pem, serverName="metrics.acme") == ()


async def test_any_certificate_will_do_where_the_user_says_so(tmp_path: Path) -> None:
    _, context = certificate(tmp_path, "metrics.acme")
    async with BackEnd(context) as back_end:
        back_end.say(EMPTY)
        assert await ask(back_end.url, None, insecureSkipVerify=True) == ()


async def test_plain_http_behind_https_is_unreachable(back_end: BackEnd) -> None:
    back_end.say(EMPTY)
    with pytest.raises(SourceError):
        await ask(back_end.url.replace("http:", "https:"), None)


@pytest.mark.parametrize("text", ["no certificate", "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
async def test_an_authority_that_cannot_be_read_is_told_without_quoting_it(text: str, back_end: BackEnd) -> None:
    back_end.say(EMPTY)
    with pytest.raises(Misconfigured, match=r"^tls.ca: the Secret's key holds no certificate in PEM$"):
        await ask(back_end.url, text)


async def test_an_authority_that_is_not_there_is_denied(http: Http) -> None:
    spec = spec_of(prometheus={"address": "https://x"}, tls={"ca": secret("ca")})
    with pytest.raises(Denied, match='key "ca" of Secret metrics is not there'):
        build(spec, {}, http, Scrapes())
