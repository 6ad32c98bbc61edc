"""docs/security.md tells the truth: what it names is there, and no file of security tests is missing.

The holes of others that each have a test here are listed too, by their ids.
"""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src" / "garrison"
PAGE = (TESTS.parent / "docs" / "security.md").read_text()

HOLES = (
    *("2025-49596", "2026-42271", "2026-48710", "2025-66414", "2026-33252", "2026-52869", "2026-25536", "2026-59951"),
    *("2026-39313", "2025-53365", "2026-27896", "2026-53709", "2026-77822", "2026-14537", "2026-77243", "2026-77244"),
    *("2026-45707", "2026-108586", "2025-6514", "2026-44430", "2025-69196", "2026-27124", "2025-62800", "2026-104850"),
    *("2026-111769", "2025-53109", "2025-53110", "2025-68143", "2025-68144", "2025-68145", "2026-32871", "2025-70040"),
    "2025-54136",
)
"""What was published about gateways, clients and servers of MCP, and has a shape that ours could have as well."""


def rows() -> list[list[str]]:
    """The cells of all controls: control, stops, where, default, proof."""
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if "::" in line]
    return [[cell.strip() for cell in cells] for cells in lines if len(cells) == 5]


def named_tests() -> list[tuple[str, str]]:
    return re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


def names_in(path: Path) -> set[str]:
    return set(re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE))


def test_every_test_that_is_named_exists() -> None:
    assert len(named_tests()) > len(rows()) > 30
    missing = [f"{file}::{name}" for file, name in named_tests() if name not in names_in(TESTS / file)]
    assert missing == []


def test_every_control_has_a_place_and_a_proof() -> None:
    for control, _, where, default, proof in rows():
        (place,) = re.findall(r"`([\w/.]+)`", where)
        assert (SOURCE / place).exists(), (control, place)
        assert default, control
        assert re.fullmatch(r"`[\w/]+\.py::test_\w+`(, `[\w/]+\.py::test_\w+`)*", proof), (control, proof)


def test_every_file_of_security_tests_is_named() -> None:
    files = {f"security/{path.name}" for path in (TESTS / "security").glob("test_*.py")}
    assert files - {file for file, _ in named_tests()} == set()


def test_each_hole_of_others_has_a_test_that_is_named_after_it() -> None:
    tested = " ".join(name for path in (TESTS / "security").glob("test_*.py") for name in names_in(path))
    assert len(set(HOLES)) == 33
    missing = [hole for hole in HOLES if not re.search(rf"(?<!\d){hole.replace('-', '_')}(?!\d)", tested)]
    assert missing == []
