from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.errors import Conflict, Denied, GarrisonError, Invalid, NotFound
from garrison.servers.toolkit.paths import LINKS_MAX, Roots, entry, opened_directory, opened_file


def read(roots: Roots, path: str) -> bytes:
    with opened_file(roots.place(path)) as descriptor:
        return os.read(descriptor, 1_000)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """`root` is allowed, `root-evil` beside it is not."""
    for name in ("root/sub", "root-evil"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "root" / "sub" / "file").write_text("inside")
    (tmp_path / "root-evil" / "file").write_text("outside")
    return tmp_path


@pytest.fixture
def roots(world: Path) -> Roots:
    return Roots([str(world / "root")])


def test_relative_and_absolute_paths_lead_to_the_same_file(world: Path, roots: Roots) -> None:
    for path in ("sub/file", "./sub//file", f"{world}/root/sub/file", "sub/../sub/file", f"{world}/x/../root/sub/file"):
        assert read(roots, path) == b"inside"


def test_cve_2025_53110_a_folder_with_the_same_prefix_is_not_beneath(world: Path, roots: Roots) -> None:
    for path in (
        f"{world}/root-evil/file",
        f"{world}/root-evil",
        "../root-evil/file",
        f"{world}/root/../root-evil/file",
    ):
        with pytest.raises(Denied) as caught:
            read(roots, path)
        assert caught.value.code == "path.outside"


@pytest.mark.parametrize(
    "target", ["../root-evil/file", "{world}/root-evil/file", "/etc/passwd", "sub/../../root-evil/file"]
)
def test_cve_2025_53109_a_symbolic_link_does_not_lead_outside(world: Path, roots: Roots, target: str) -> None:
    (world / "root" / "link").symlink_to(target.format(world=world))
    with pytest.raises(Denied):
        read(roots, "link")


def test_cve_2025_53109_a_link_in_the_middle_of_a_path_does_not_lead_outside(world: Path, roots: Roots) -> None:
    (world / "root" / "door").symlink_to(world / "root-evil")
    (world / "root" / "hall").symlink_to("door")
    for path in ("door/file", "hall/file", "sub/../door/file"):
        with pytest.raises(Denied):
            read(roots, path)


def test_links_that_stay_beneath_are_followed(world: Path, roots: Roots) -> None:
    (world / "root" / "relative").symlink_to("sub/file")
    (world / "root" / "absolute").symlink_to(world / "root" / "sub")
    (world / "root" / "sub" / "up").symlink_to("../relative")
    for path in ("relative", "absolute/file", "absolute/up", "sub/up"):
        assert read(roots, path) == b"inside"


def test_links_can_be_refused_altogether(world: Path, roots: Roots) -> None:
    (world / "root" / "link").symlink_to("sub")
    (world / "root" / "sub" / "link").symlink_to("file")
    for path in ("link/file", "sub/link"):
        with pytest.raises(Invalid, match="0 symbolic links"), opened_file(roots.place(path), follow_links=False):
            pass
    with opened_file(roots.place("sub/file"), follow_links=False) as descriptor:
        assert os.read(descriptor, 100) == b"inside"


def test_a_link_to_itself_ends_with_an_error(world: Path, roots: Roots) -> None:
    (world / "root" / "loop").symlink_to("loop")
    with pytest.raises(Invalid, match=str(LINKS_MAX)):
        read(roots, "loop")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", "path.empty"),
        ("a\0b", "path.nul"),
        ("/etc/passwd\0.txt", "path.nul"),
        ("x" * 256, "path.too_long"),
        ("x/" * 300 + "x", "path.too_long"),
        ("ä" * 3_000, "path.too_long"),
        ("bad\ud800", "path.encoding"),
        ("../x", "path.outside"),
        ("sub/../../x", "path.outside"),
        ("/", "path.outside"),
        ("//etc/passwd", "path.outside"),
        ("~/x", "path.missing"),
        ("sub/nothing", "path.missing"),
        ("nothing/at/all", "path.missing"),
        ("sub/file/below", "path.not_a_folder"),
        ("sub", "path.is_a_folder"),
        (".", "path.is_a_folder"),
    ],
)
def test_strange_paths_get_clear_errors(roots: Roots, path: str, code: str) -> None:
    with pytest.raises(GarrisonError) as caught:
        read(roots, path)
    assert caught.value.code == code


def test_fifos_and_devices_are_refused_and_never_block(world: Path, roots: Roots) -> None:
    os.mkfifo(world / "root" / "fifo")
    with pytest.raises(Invalid, match="neither"):
        read(roots, "fifo")


def test_a_root_swapped_for_a_link_is_not_followed(world: Path) -> None:
    roots = Roots([str(world / "root" / "sub")])
    (world / "root" / "sub").rename(world / "root" / "old")
    (world / "root" / "sub").symlink_to(world / "root-evil")
    with pytest.raises(Invalid, match="not a folder"):
        read(roots, "file")


def test_a_root_that_was_made_again_is_the_new_one(world: Path, roots: Roots) -> None:
    (world / "root").rename(world / "old")
    (world / "root").mkdir()
    (world / "root" / "file").write_text("new")
    assert read(roots, "file") == b"new"


def test_a_root_may_be_named_through_a_link(world: Path) -> None:
    (world / "alias").symlink_to(world / "root")
    roots = Roots([str(world / "alias")])
    assert read(roots, f"{world}/alias/sub/file") == read(roots, f"{world}/root/sub/file") == b"inside"


def test_the_innermost_of_nested_roots_counts(world: Path) -> None:
    roots = Roots([str(world / "root"), str(world / "root" / "sub")])
    assert roots.place(f"{world}/root/sub/file").parts == ("file",)


def test_a_missing_root_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Roots([str(tmp_path / "nothing")])
    with pytest.raises(Invalid):
        Roots([])


def test_entries_are_links_themselves_and_never_a_root(world: Path, roots: Roots) -> None:
    (world / "root" / "link").symlink_to("/etc/passwd")
    with entry(roots.place("link")) as (parent, name):
        assert os.readlink(name, dir_fd=parent) == "/etc/passwd"
    with pytest.raises(Denied), entry(roots.place(".")):
        pass


def test_no_descriptor_is_left_open(world: Path, roots: Roots) -> None:
    (world / "root" / "out").symlink_to("/etc")
    before = descriptors()
    for path in ("sub/file", "out/passwd", "sub/nothing", "../x", "sub/file/below"):
        try:
            read(roots, path)
        except GarrisonError:
            continue
    assert descriptors() == before


@pytest.mark.slow
def test_cve_2025_53109_a_folder_swapped_for_a_link_in_a_race_never_gives_outside_content(
    world: Path, roots: Roots
) -> None:
    """One thread swaps `sub` between a folder and a link to the outside; readers see inside, or an error."""
    root, stop = world / "root", threading.Event()
    (root / "evil").symlink_to("../root-evil")

    def swap() -> None:
        while not stop.is_set():
            (root / "sub").rename(root / "kept")
            (root / "evil").rename(root / "sub")
            (root / "sub").rename(root / "evil")
            (root / "kept").rename(root / "sub")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = {attempt(roots) for _ in range(1_500)}
    finally:
        stop.set()
        swapper.join()
    assert b"inside" in seen
    assert "path.outside" in seen, "the race never happened"
    assert seen <= {b"inside", "path.outside", "path.missing", "path.changed", "path.not_a_folder"}


def attempt(roots: Roots) -> bytes | str:
    try:
        with opened_directory(roots.place("sub")) as folder:
            if os.stat("file", dir_fd=folder).st_size != len("inside"):
                return "another folder was opened"
        return read(roots, "sub/file")
    except (Denied, NotFound, Conflict, Invalid) as error:
        return error.code


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


parts = st.sampled_from(["..", ".", "", "sub", "file", "root-evil", "root", "link", "abs", "up", "-x", "~"])


@given(st.lists(parts, max_size=8), st.booleans())
def test_no_path_whatever_reads_outside(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], absolute: bool
) -> None:
    base = tmp_path_factory.getbasetemp() / "beneath"
    if not base.exists():
        (base / "root" / "sub").mkdir(parents=True)
        (base / "root-evil").mkdir()
        (base / "root" / "file").write_text("inside")
        (base / "root" / "sub" / "file").write_text("inside")
        (base / "root-evil" / "file").write_text("outside")
        (base / "file").write_text("outside")
        (base / "root" / "link").symlink_to("../root-evil")
        (base / "root" / "abs").symlink_to(base)
        (base / "root" / "sub" / "up").symlink_to("..")
    path = "/".join(names)
    try:
        content = read(Roots([str(base / "root")]), f"{base}/root/{path}" if absolute else path)
    except GarrisonError:
        return
    assert content == b"inside"
