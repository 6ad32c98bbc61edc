"""Whom a client certificate names."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.certificates import CertificateSpec
from garrison.identity.certificates import Certificates, Presented, fingerprint_of, read_certificate
from garrison.surfaces.issuing import Issued, new_authority, new_client, new_server

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_NS = int(NOW.timestamp() * 1e9)
DAY = timedelta(days=1)
AUTHORITY, OTHER = new_authority("one", NOW, DAY), new_authority("other", NOW, DAY)


def presented(issued: Issued) -> Presented:
    der = issued.certificate.public_bytes(Encoding.DER)
    found = read_certificate(der, [AUTHORITY.certificate, OTHER.certificate])
    assert found is not None
    return found


BUILD = presented(new_client(AUTHORITY, "build", "spiffe://acme/build", NOW, DAY))


def name_of(given: Presented, now_ns: int = NOW_NS, **specs: CertificateSpec) -> str | None:
    found = Certificates(specs).principal(given, now_ns)
    return found.name if found is not None else None


def test_a_certificate_says_its_names_its_authority_and_its_end() -> None:
    assert BUILD.subject == "CN=build"
    assert BUILD.uris == ("spiffe://acme/build",)
    assert BUILD.authority == fingerprint_of(AUTHORITY.certificate)
    assert BUILD.ends_ns == NOW_NS + 86_400 * 10**9
    server = presented(new_server(AUTHORITY, ["Build.Example", "127.0.0.1"], NOW, DAY))
    assert server.dns == ("build.example",)


def test_entries_fit_by_fingerprint_subject_uri_or_dns() -> None:
    colons = ":".join(BUILD.fingerprint[place : place + 2] for place in range(0, 64, 2)).upper()
    for spec in (
        CertificateSpec(fingerprint=colons),
        CertificateSpec(subject="CN=build"),
        CertificateSpec(uri="spiffe://acme/build"),
        CertificateSpec(uri="spiffe://acme/build", subject="CN=build", authority=BUILD.authority),
    ):
        assert name_of(BUILD, build=spec) == "build"
    for spec in (
        CertificateSpec(fingerprint="0" * 64),
        CertificateSpec(subject="CN=buil"),
        CertificateSpec(uri="spiffe://acme/BUILD"),
        CertificateSpec(dns="*"),
        CertificateSpec(subject="CN=build", uri="spiffe://else/*"),
        CertificateSpec(),
        CertificateSpec(authority=BUILD.authority),
    ):
        assert name_of(BUILD, build=spec) is None


def test_the_same_name_of_another_authority_is_somebody_else() -> None:
    spec = CertificateSpec(subject="CN=build", authority=fingerprint_of(AUTHORITY.certificate))
    assert name_of(BUILD, build=spec) == "build"
    assert name_of(presented(new_client(OTHER, "build", "spiffe://acme/build", NOW, DAY)), build=spec) is None


def test_whom_a_pattern_fits_each_is_a_principal_of_its_own() -> None:
    entry = CertificateSpec(uri="spiffe://acme/*", roles=("dev",), groups=("ci",))
    found = Certificates({"agents": entry}).principal(BUILD, NOW_NS)
    assert found is not None
    assert (found.id, found.kind) == ("certificate:agents/spiffe://acme/build", "certificate")
    assert (found.roles, found.groups) == (("dev",), ("ci",))


def test_the_first_entry_that_fits_counts_and_none_after_the_end() -> None:
    specs = {"first": CertificateSpec(subject="CN=build"), "second": CertificateSpec(uri="*")}
    assert name_of(BUILD, **specs) == "first"
    assert name_of(BUILD, BUILD.ends_ns, **specs) is None


def test_another_snapshot_is_another_edition() -> None:
    certificates = Certificates({})
    before = certificates.edition
    certificates.replace({"build": CertificateSpec(subject="CN=build")})
    assert certificates.edition is not before
    assert certificates.principal(BUILD, NOW_NS) is not None


@given(st.binary(max_size=300))
def test_whatever_bytes_come_nothing_is_raised(der: bytes) -> None:
    assert read_certificate(der, []) is None


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_a_damaged_certificate_names_nobody_else(seed: int, flips: int) -> None:
    """It is verified by TLS before; here it must not break."""
    chance, der = random.Random(seed), bytearray(new_bytes())
    for _ in range(flips):
        der[chance.randrange(len(der))] ^= 1 << chance.randrange(8)
    read_certificate(bytes(der), [AUTHORITY.certificate])


def new_bytes() -> bytes:
    return _DER


_DER = new_client(AUTHORITY, "build", "spiffe://acme/build", NOW, DAY).certificate.public_bytes(Encoding.DER)


def test_what_is_issued_is_what_rfc_5280_asks_for() -> None:
    client = new_client(AUTHORITY, "x" * 100, "urn:x", NOW, DAY).certificate
    assert not client.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    client.verify_directly_issued_by(AUTHORITY.certificate)
    with pytest.raises(ValueError):
        client.verify_directly_issued_by(OTHER.certificate)
