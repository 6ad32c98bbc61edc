"""Client certificates: what one says, and which principal that is. TLS has verified it before it comes here.

Sources: RFC 5280 (subjectAltName), RFC 4514 (names as text).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256

from garrison.catalog.certificates import CertificateSpec
from garrison.identity.principals import Principal

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Presented:
    """What a verified certificate says. `ends_ns`: wall clock. `authority`: empty where it is not known by itself."""

    fingerprint: str
    subject: str
    uris: tuple[str, ...]
    dns: tuple[str, ...]
    authority: str
    ends_ns: int


def read_certificate(der: bytes, authorities: Sequence[x509.Certificate]) -> Presented | None:
    """None for one that cannot be read: TLS libraries take more than is well-formed."""
    try:
        return _read(x509.load_der_x509_certificate(der), authorities)
    except Exception:  # noqa: BLE001 (boundary to the parser of what strangers send, which has errors of many kinds)
        return None


def _read(found: x509.Certificate, authorities: Sequence[x509.Certificate]) -> Presented:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return Presented(
        fingerprint_of(found),
        found.subject.rfc4514_string(),
        tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        tuple(name.lower() for name in names.get_values_for_type(x509.DNSName)),
        next((fingerprint_of(one) for one in authorities if _issued(one, found)), ""),
        int(found.not_valid_after_utc.timestamp() * 1e9),
    )


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256, hexadecimal, lower case, no colons."""
    return certificate.fingerprint(SHA256()).hex()


class Certificates:
    """Whom certificates name, as the present snapshot says."""

    def __init__(self, specs: Mapping[str, CertificateSpec]) -> None:
        self._entries = tuple(_Entry(name, spec) for name, spec in specs.items())
        self.edition = object()
        """Another one whenever the entries were replaced."""

    def replace(self, specs: Mapping[str, CertificateSpec]) -> None:
        other = Certificates(specs)
        self._entries, self.edition = other._entries, other.edition

    def principal(self, presented: Presented, now_ns: int) -> Principal | None:
        """None for one that no entry fits, or whose time is over: connections outlive certificates."""
        if now_ns >= presented.ends_ns:
            return None
        found = (entry.principal(presented) for entry in self._entries)
        return next((one for one in found if one is not None), None)


class _Entry:
    """`principal`: None for a certificate that it does not fit."""

    def __init__(self, name: str, spec: CertificateSpec) -> None:
        self._name = name
        self._spec = spec
        self._fingerprint, self._authority = _plain(spec.fingerprint), _plain(spec.authority)
        self._uri = re.compile(translate(spec.uri)) if spec.uri else None

    def principal(self, presented: Presented) -> Principal | None:
        spec = self._spec
        if self._fingerprint and presented.fingerprint != self._fingerprint:
            return None
        if self._authority and presented.authority != self._authority:
            return None
        if spec.subject and presented.subject != spec.subject:
            return None
        uri = next((uri for uri in presented.uris if self._uri.match(uri)), None) if self._uri else ""
        dns = next((one for one in presented.dns if fnmatchcase(one, spec.dns.lower())), None) if spec.dns else ""
        if uri is None or dns is None or not any((self._fingerprint, spec.subject, uri, dns)):
            return None
        return self._known(uri if _is_pattern(spec.uri) else "", dns if _is_pattern(spec.dns) else "")

    def _known(self, uri: str, dns: str) -> Principal:
        """A pattern fits many: each is a principal of its own, by what fitted."""
        name = "/".join(part for part in (self._name, uri, dns) if part)
        spec = self._spec
        return Principal(f"certificate:{name}", "certificate", name, spec.roles, spec.groups, issuer="client_ca")


def _plain(fingerprint: str | None) -> str:
    return (fingerprint or "").replace(":", "").lower()


def _is_pattern(text: str | None) -> bool:
    return bool(text and _WILD.search(text))


def _issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
