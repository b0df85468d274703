"""Certificates of the webhook, and the bundle of authorities."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from sluice.controllers.certificates import LIFETIME, MAX_AUTHORITIES, make_certificate, merge_bundle

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def authority(**ago: float) -> bytes:
    return make_certificate("sluice-webhook", "sluice-system", NOW - timedelta(**ago)).authority


def read(bundle: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(base64.b64decode(bundle))


def bundle_of(*authorities: bytes) -> str:
    return base64.b64encode(b"".join(authorities)).decode()


def pem(certificate: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate)


def test_a_certificate_is_signed_by_its_authority_for_every_name_of_the_service() -> None:
    made = make_certificate("sluice-webhook", "sluice-system", NOW)
    certificate, issuer = pem(made.certificate), pem(made.authority)
    certificate.verify_directly_issued_by(issuer)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "sluice-webhook.sluice-system.svc" in names.get_values_for_type(x509.DNSName)
    assert certificate.not_valid_before_utc < NOW < made.renew_at < certificate.not_valid_after_utc
    assert certificate.not_valid_after_utc <= issuer.not_valid_after_utc == NOW + LIFETIME


def test_the_common_name_stays_within_64_characters() -> None:
    made = make_certificate("w" * 63, "n" * 63, NOW)
    assert pem(made.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_an_authority_is_added_behind_the_older_ones() -> None:
    old, new = authority(days=1), authority()
    assert read(merge_bundle(bundle_of(old), new, NOW)) == [pem(old), pem(new)]
    assert read(merge_bundle(bundle_of(new), old, NOW)) == [pem(old), pem(new)]


def test_a_bundle_that_has_the_authority_is_left_as_it_is() -> None:
    bundle = merge_bundle(bundle_of(authority(days=2)), authority(days=1), NOW)
    assert merge_bundle(bundle, b"".join(bytes(row) for row in _last(bundle)), NOW) == bundle


def _last(bundle: str) -> list[bytes]:
    return [base64.b64decode(bundle)[base64.b64decode(bundle).rindex(b"-----BEGIN") :]]


def test_what_has_expired_is_dropped() -> None:
    new = authority()
    assert read(merge_bundle(bundle_of(authority(days=31), new), new, NOW)) == [pem(new)]


def test_of_many_authorities_the_newest_stay_and_our_own_whatever_its_age() -> None:
    own = authority(days=20)
    others = [authority(days=10 - i) for i in range(MAX_AUTHORITIES + 3)]
    kept = read(merge_bundle(bundle_of(*others), own, NOW))
    assert kept == [pem(own), *map(pem, others[-(MAX_AUTHORITIES - 1) :])]


@pytest.mark.parametrize("garbage", ["", "%%%", base64.b64encode(b"no certificate").decode(), "Cg=="])
def test_what_is_no_bundle_is_replaced(garbage: str) -> None:
    new = authority()
    assert read(merge_bundle(garbage, new, NOW)) == [pem(new)]
