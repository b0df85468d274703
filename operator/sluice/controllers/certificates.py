"""Certificates of the admission webhook, without cert-manager: made in memory at every start, renewed long before they
end.

The private key never leaves the process: no Secret holds it. Each replica has an authority of its own and adds it to
the caBundle of the webhook configuration, which may hold several; what has expired is dropped from it.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=30)
RENEW_AFTER = LIFETIME * 2 / 3
SKEW = timedelta(minutes=10)
"""A certificate is valid from a little before it was made: clocks differ."""
MAX_AUTHORITIES = 8
"""Authorities kept in the bundle: our own and the newest others. More only come from a crash loop."""


@dataclass(frozen=True)
class ServingCertificate:
    """What a TLS server needs, and what its clients have to trust. All in PEM."""

    authority: bytes
    certificate: bytes
    key: bytes
    renew_at: datetime


def make_certificate(service: str, namespace: str, now: datetime) -> ServingCertificate:
    """A fresh authority and a certificate by it for `service`. ECDSA P-256."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sluice webhook authority")])
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .add_extension(_usage(sign=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    host = f"{service}.{namespace}.svc"
    names = [host, f"{host}.cluster.local", f"{service}.{namespace}", service]
    certificate = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])]), ca_name, key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(_usage(sign=False), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return ServingCertificate(
        authority=ca.public_bytes(pem),
        certificate=certificate.public_bytes(pem),
        key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        renew_at=now + RENEW_AFTER,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        key_cert_sign=sign,
        crl_sign=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def merge_bundle(current: str, authority: bytes, now: datetime) -> str:
    """The caBundle (base64 of PEM) with `authority` added: without what has expired, the newest last, at most eight."""
    own = x509.load_pem_x509_certificate(authority)
    others: list[x509.Certificate] = []
    for certificate in _read(current):
        if certificate.not_valid_after_utc > now and certificate != own and certificate not in others:
            others.append(certificate)
    others.sort(key=_begin)
    kept = sorted([*others[1 - MAX_AUTHORITIES :], own], key=_begin)
    pem = b"".join(row.public_bytes(serialization.Encoding.PEM) for row in kept)
    return base64.b64encode(pem).decode()


def _begin(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_before_utc


def _read(bundle: str) -> Iterable[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(base64.b64decode(bundle)) if bundle else ()
    except ValueError:
        return ()  # not a bundle: it is replaced
