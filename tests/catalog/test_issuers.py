"""The section `issuers` of garrison.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from garrison.catalog.issuers import IssuerSpec, is_safe_url
from garrison.catalog.load import Loaded, load

SERVERS = "servers: {time: {command: [uvx, mcp-server-time==2026.10.19]}}\n"
GOOD = "issuer: https://login.example, audiences: [https://mcp.example/mcp]"


def loaded(tmp_path: Path, issuers: str, more: str = "") -> Loaded:
    file = tmp_path / "garrison.yaml"
    file.write_text(f"{SERVERS}{more}issuers:\n{issuers}")
    return load(file)


def said(found: Loaded) -> list[tuple[str, str, int]]:
    return [(one.severity, one.code, one.line) for one in found.problems]


def test_an_issuer_needs_its_identifier_and_audiences_and_no_more(tmp_path: Path) -> None:
    found = loaded(tmp_path, f"  corp: {{{GOOD}}}\n")
    assert said(found) == []
    assert found.snapshot.sections.issuers == {
        "corp": IssuerSpec(issuer="https://login.example", audiences=("https://mcp.example/mcp",))
    }


@pytest.mark.parametrize(
    ("issuers", "expected"),
    [
        ("  corp: {issuer: https://login.example}\n", ("error", "config.missing_key", 3)),
        ("  corp: {audiences: [x]}\n", ("error", "config.missing_key", 3)),
        ("  corp: {issuer: https://login.example, audiences: []}\n", ("error", "config.value", 3)),
        ("  corp: {issuer: login.example, audiences: [x]}\n", ("error", "config.value", 3)),
        (f"  corp: {{{GOOD}, algorithms: [HS256]}}\n", ("error", "config.type", 3)),
        (f"  corp: {{{GOOD}, algorithms: [none]}}\n", ("error", "config.type", 3)),
        (f"  corp: {{{GOOD}, requires: {{hd: corp.example}}}}\n", ("error", "config.unknown_key", 3)),
        (f"  corp: {{{GOOD}, claims: {{group: x}}}}\n", ("error", "config.unknown_key", 3)),
        (f"  corp: {{{GOOD}, leeway_s: 3600}}\n", ("error", "config.value", 3)),
        (f"  corp: {{{GOOD}, jwks: http://login.example/jwks}}\n", ("error", "issuer.plain", 3)),
        ("  corp: {issuer: http://login.example, audiences: [x]}\n", ("error", "issuer.plain", 3)),
        (f"  one: {{{GOOD}}}\n  two: {{{GOOD}}}\n", ("error", "issuer.twice", 4)),
        (f"  corp: {{{GOOD}, roles: [nobody]}}\n", ("warning", "issuer.no_such_role", 3)),
        (f"  corp: {{{GOOD}, roles_by_scope: {{read: [nobody]}}}}\n", ("warning", "issuer.no_such_role", 3)),
    ],
)
def test_what_is_wrong_is_said_at_its_place(tmp_path: Path, issuers: str, expected: tuple[str, str, int]) -> None:
    assert said(loaded(tmp_path, issuers)) == [expected]


def test_declared_roles_and_admin_may_be_given(tmp_path: Path) -> None:
    more = "roles: {reader: {grants: [{servers: [time], tools: ['*']}]}}\n"
    issuers = f"  corp: {{{GOOD}, roles: [reader], roles_by_scope: {{'mcp:admin': [admin]}}}}\n"
    assert said(loaded(tmp_path, issuers, more)) == []


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://login.example", True),
        ("https://[2001:db8::1]:8443/x", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost/realm", True),
        ("http://[::1]:1", True),
        ("http://login.example", False),
        ("http://127.0.0.1.attacker.example", False),
        ("http://localhost.attacker.example", False),
        ("https://user:password@login.example", False),
        ("https://", False),
        ("https://login.example:port", False),
        ("ftp://login.example", False),
        ("file:///etc/passwd", False),
    ],
)
def test_only_what_nobody_can_change_on_the_way_is_read(url: str, is_safe: bool) -> None:
    assert is_safe_url(url) is is_safe
