"""Sections of garrison.yaml that the reader takes as they are written: one field each, its type in a file of its own.

A type is a frozen struct (`kw_only`, `forbid_unknown_fields`, `omit_defaults`) whose fields carry descriptions for the
schema. It holds references in place of secrets, as specs do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from garrison.catalog.access import Groups, Policies, check_access
from garrison.catalog.certificates import Certificates, check_certificates
from garrison.catalog.issuers import Issuers, check_issuers
from garrison.catalog.limits import Limits, check_limits
from garrison.catalog.notes import Notes
from garrison.catalog.parse.tree import Table
from garrison.catalog.screening import Screening


class Sections(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Besides servers, roles, profiles and settings, whose types the reader translates."""

    groups: Groups = {}
    policies: Policies = {}
    issuers: Issuers = {}
    limits: Limits = {}
    certificates: Certificates = {}
    screening: Screening = Screening()


Check = Callable[[Table, Sections, Notes], None]
CHECKS: Final[tuple[Check, ...]] = (
    lambda root, sections, notes: check_access(root, sections.groups, sections.policies, notes),
    lambda root, sections, notes: check_issuers(root, sections.issuers, notes),
    lambda root, sections, notes: check_limits(root, sections.limits, notes),
    lambda root, sections, notes: check_certificates(root, sections.certificates, notes),
)
"""What types cannot say, each told at its place: they get the whole document."""


def sections_of(document: Sections) -> Sections:
    """What a document says of them, without the rest of it."""
    return Sections(**{name: getattr(document, name) for name in Sections.__struct_fields__})


def merged(first: Sections, second: Sections) -> Sections:
    """Two files as one: of two entries of one name the first file's is taken, and so of two sections."""
    return Sections(**{name: _both(name, first, second) for name in Sections.__struct_fields__})


def _both(name: str, first: Sections, second: Sections) -> Any:
    mine, other = getattr(first, name), getattr(second, name)
    if isinstance(mine, dict):
        return {**other, **mine}
    return other if mine == getattr(Sections(), name) else mine
