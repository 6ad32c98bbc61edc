"""What was brought up is kept, and the way back leads to what differs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import Invalid, NotFound
from garrison.kernel.home import Home
from garrison.surfaces import revisions
from garrison.surfaces.desired import Catalog, Desired, read_desired, write_desired


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    return home


def desired(*names: str) -> Desired:
    servers = {name: ServerSpec(name=name, transport="stdio", command=(name,)) for name in names}
    return Desired(catalog=Catalog(servers=servers), source=("garrison.yaml",), listen_fd=7)


def test_what_is_written_is_what_is_read(home: Home) -> None:
    write_desired(home, desired("a", "b"))
    assert read_desired(home) == desired("a", "b")
    assert (home.run / "desired.json").stat().st_mode & 0o777 == 0o600


def test_a_missing_or_damaged_document_is_a_typed_error(home: Home) -> None:
    with pytest.raises(NotFound):
        read_desired(home)
    (home.run / "desired.json").write_text('{"snapshot": 3}')
    with pytest.raises(Invalid):
        read_desired(home)


def test_revisions_are_numbered_and_the_newest_is_current(home: Home) -> None:
    revisions.store(home, desired("a"))
    second = revisions.store(home, desired("a", "b"))
    assert second.path.name == f"0002-{desired('a', 'b').snapshot().version}.json"
    assert revisions.current(home) == second
    assert second.read() == msgspec.structs.replace(desired("a", "b"), listen_fd=-1)


def test_the_same_content_is_kept_once(home: Home) -> None:
    revisions.store(home, desired("a"))
    revisions.store(home, msgspec.structs.replace(desired("a"), listen_fd=9))
    assert len(revisions.revisions(home)) == 1


def test_going_back_twice_goes_back_two_steps(home: Home) -> None:
    first, second, _ = [revisions.store(home, desired(name)) for name in "abc"]
    assert revisions.before_current(home) == second
    revisions.make_current(home, second)
    assert revisions.before_current(home) == first
    revisions.make_current(home, first)
    with pytest.raises(NotFound, match="no earlier configuration"):
        revisions.before_current(home)


def test_the_way_back_skips_what_is_the_same(home: Home) -> None:
    first, second = (revisions.store(home, desired(name)) for name in "ab")
    revisions.make_current(home, first)
    revisions.store(home, desired("b"))
    assert [one.version for one in revisions.revisions(home)] == [first.version, second.version, second.version]
    assert revisions.before_current(home) == first


def test_without_any_there_is_no_way_back(home: Home) -> None:
    with pytest.raises(NotFound):
        revisions.before_current(home)
