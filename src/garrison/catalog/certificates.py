"""`certificates:` in garrison.yaml: whom a client certificate names."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from garrison.catalog.notes import Notes, did_you_mean
from garrison.catalog.parse.tree import Table

Fingerprint = Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$")]
Name = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
Text = Annotated[str, Meta(min_length=1)]


class CertificateSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fits a certificate that fits all that is said here; the first entry that fits counts."""

    description: Annotated[str, Meta(description="Whose it is, in one line.")] = ""
    fingerprint: Annotated[
        Fingerprint | None, Meta(description="SHA-256 of the certificate itself, hexadecimal, with or without colons.")
    ] = None
    subject: Annotated[
        Text | None, Meta(description="Its subject as RFC 4514 writes it: `CN=build,O=Acme`. Exactly, no pattern.")
    ] = None
    uri: Annotated[
        Text | None, Meta(description="Pattern of a URI in its subjectAltName: `spiffe://acme.example/agents/*`.")
    ] = None
    dns: Annotated[Text | None, Meta(description="Pattern of a DNS name in its subjectAltName.")] = None
    authority: Annotated[
        Fingerprint | None,
        Meta(
            description="SHA-256 of the authority's certificate in edge.client_ca that issued it. Needed where several "
            "authorities are trusted and one could issue the other's names."
        ),
    ] = None
    roles: Annotated[tuple[Name, ...], Meta(description="The roles of whoever shows it.")] = ()
    groups: Annotated[tuple[Text, ...], Meta(description="The groups of whoever shows it.")] = ()


Certificates = Annotated[
    dict[Name, CertificateSpec],
    Meta(description="Whom client certificates name, where edge.client_certificates asks for them."),
]


def check_certificates(root: Table, certificates: dict[str, CertificateSpec], notes: Notes) -> None:
    """An entry that says nothing of the certificate would fit each that the authority ever issues."""
    table, defined = root.get("certificates"), root.get("roles")
    roles = defined.keys if isinstance(defined, Table) else frozenset()
    for name, spec in certificates.items():
        node = table.get(name) if isinstance(table, Table) else None
        place = node.place if node is not None else root.place
        if not any((spec.fingerprint, spec.subject, spec.uri, spec.dns)):
            hint = "give fingerprint, subject, uri or dns"
            notes.error("certificate.fits_all", f"the certificate {name} would fit any certificate", hint, place)
        for role in sorted(set(spec.roles) - roles - {"admin"}):
            hint = did_you_mean(role, roles) or "declare it below roles; until then it grants nothing"
            notes.warn("certificate.no_such_role", f"the certificate {name} gives a role that is not here", hint, place)
