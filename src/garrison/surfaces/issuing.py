"""Certificates of our own making: for trials, and for our command line to show to its own node.

P-256 keys and SHA-256, as every TLS library of today takes them. Names follow RFC 5280: what counts is subjectAltName.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

EARLIER: Final = timedelta(minutes=5)
"""Clocks differ: what is new is valid from a little earlier on."""


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def new_authority(name: str, now: datetime, life: timedelta) -> Issued:
    """Its certificate is what others trust. It can issue, and issue authorities no further."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, name, key, now, life)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(is_authority=True), critical=True)
    return Issued(builder.sign(key, SHA256()), key)


def new_server(authority: Issued, hosts: Sequence[str], now: datetime, life: timedelta) -> Issued:
    """For a server that is reached by these names and addresses."""
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    return _issued(authority, hosts[0], names, ExtendedKeyUsageOID.SERVER_AUTH, now, life)


def new_client(authority: Issued, name: str, uri: str, now: datetime, life: timedelta) -> Issued:
    """For a client; `uri` is what it is known by, beside its common name."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    return _issued(authority, name, names, ExtendedKeyUsageOID.CLIENT_AUTH, now, life)


def new_self_signed_client(name: str, now: datetime, life: timedelta) -> Issued:
    """Vouches for itself, and can vouch for nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _leaf(_builder(name, name, key, now, life), key, ExtendedKeyUsageOID.CLIENT_AUTH)
    return Issued(builder.sign(key, SHA256()), key)


def _issued(
    authority: Issued,
    name: str,
    names: x509.SubjectAlternativeName,
    purpose: x509.ObjectIdentifier,
    now: datetime,
    life: timedelta,
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    builder = _leaf(_builder(name, str(issuer), key, now, life), authority.key, purpose)
    builder = builder.add_extension(names, critical=False)
    return Issued(builder.sign(authority.key, SHA256()), key)


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(_name(issuer), _name(name), key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now.astimezone(UTC) - EARLIER).not_valid_after(now.astimezone(UTC) + life)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _leaf(
    builder: x509.CertificateBuilder, issuer: ec.EllipticCurvePrivateKey, purpose: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(is_authority=False), critical=True)
    return builder.add_extension(by, critical=False).add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])
