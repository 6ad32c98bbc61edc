"""The snapshot: everything that should exist, immutable and versioned. Both planes read it, none writes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from garrison.catalog.sections import Sections
from garrison.catalog.spec import ProfileSpec, RoleSpec, ServerSpec


@dataclass(frozen=True)
class Snapshot:
    servers: Mapping[str, ServerSpec] = field(default_factory=lambda: MappingProxyType({}))
    roles: Mapping[str, RoleSpec] = field(default_factory=lambda: MappingProxyType({}))
    profiles: Mapping[str, ProfileSpec] = field(default_factory=lambda: MappingProxyType({}))
    sections: Sections = field(default_factory=Sections)

    @property
    def version(self) -> str:
        """The content's address: 16 hexadecimal digits of SHA-256 over the specs."""
        content = [self.servers, self.roles, self.profiles, self.sections]
        return hashlib.sha256(msgspec.json.encode(content, order="sorted", enc_hook=dict)).hexdigest()[:16]
