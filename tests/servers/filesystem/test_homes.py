"""A home of Garrison's beneath an allowed folder: seen, but never entered."""

from __future__ import annotations

from pathlib import Path

import pytest

from garrison.kernel.errors import GarrisonError
from garrison.kernel.home import MARK, Home
from garrison.servers.filesystem import searcher
from garrison.servers.toolkit.paths import Roots, opened_directory, opened_file


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    home = Home(tmp_path / "work" / "state")
    home.create()
    home.admin_key.write_text("the-key")
    (tmp_path / "work" / "notes.txt").write_text("the-key is elsewhere")
    (tmp_path / "work" / "link").symlink_to("state")
    return Roots([str(tmp_path)])


@pytest.mark.parametrize("path", ["work/state/admin.key", "work/link/admin.key", "work/state/logs/../admin.key"])
def test_no_path_leads_into_a_home(roots: Roots, path: str) -> None:
    with pytest.raises(GarrisonError) as refused, opened_file(roots.place(path)):
        raise AssertionError("it was opened")
    assert "admin" not in refused.value.hint


def test_a_home_is_not_listed(roots: Roots) -> None:
    with pytest.raises(GarrisonError), opened_directory(roots.place("work/state")):
        raise AssertionError("it was opened")


def test_a_search_passes_a_home_by(roots: Roots) -> None:
    with opened_directory(roots.place(".")) as top:
        found = [path for _, _, path, _ in searcher.walk(top, "", lambda path: False)]
    assert "work/notes.txt" in found
    assert "work/state" in found
    assert not [path for path in found if path.startswith("work/state/")]


def test_the_search_knows_a_home_by_the_same_mark() -> None:
    assert searcher.HOME_MARK == MARK
