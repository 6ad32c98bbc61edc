from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mcp_types import version as official

from garrison.protocol import versions


def test_the_revisions_are_the_official_ones_in_order() -> None:
    assert [*versions.LEGACY_VERSIONS, *versions.MODERN_VERSIONS] == list(official.KNOWN_PROTOCOL_VERSIONS)
    assert list(versions.MODERN_VERSIONS) == list(official.MODERN_PROTOCOL_VERSIONS)


@given(st.text())
def test_an_unknown_revision_is_answered_with_our_newest_legacy_one(requested: str) -> None:
    wanted = requested if requested in versions.LEGACY_VERSIONS else "2025-11-25"
    assert versions.negotiate(requested) == wanted


def test_a_known_revision_is_answered_with_itself_and_a_modern_one_never() -> None:
    assert [versions.negotiate(each) for each in versions.LEGACY_VERSIONS] == list(versions.LEGACY_VERSIONS)
    assert versions.negotiate("2026-07-28") == "2025-11-25"
