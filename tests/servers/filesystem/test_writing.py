from __future__ import annotations

import base64
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.servers.filesystem.diffs import unified


@pytest.fixture
def files(caller: Callable[..., Any], tmp_path: Path) -> Any:
    return caller("filesystem", roots=[str(tmp_path)], writable=True)


async def test_a_new_file_is_written_and_an_old_one_only_on_purpose(files: Any, tmp_path: Path) -> None:
    assert (await files("write_file", path="a.txt", content="ä")).data["created"]
    assert (await files("write_file", path="a.txt", content="b")).code == "path.exists"
    assert (tmp_path / "a.txt").read_text() == "ä"
    answer = (await files("write_file", path="a.txt", content="b", overwrite=True)).data
    assert (answer["created"], answer["size_bytes"]) == (False, 1)
    assert (tmp_path / "a.txt").read_text() == "b"
    assert names_in(tmp_path) == ["a.txt"]


async def test_bytes_are_written_from_base64(files: Any, tmp_path: Path) -> None:
    await files("write_file", path="a", content=base64.b64encode(b"\0\xff").decode(), encoding="base64")
    assert (tmp_path / "a").read_bytes() == b"\0\xff"
    assert (await files("write_file", path="b", content="%%", encoding="base64")).code == "file.base64"


async def test_a_replaced_file_keeps_its_permissions(files: Any, tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("a")
    (tmp_path / "run.sh").chmod(0o751)
    await files("write_file", path="run.sh", content="b", overwrite=True)
    assert stat.S_IMODE((tmp_path / "run.sh").stat().st_mode) == 0o751


async def test_writing_through_a_link_changes_its_target_beneath(files: Any, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("a")
    (tmp_path / "link").symlink_to("real")
    await files("write_file", path="link", content="b", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "b"


async def test_a_dangling_link_to_outside_creates_nothing(files: Any, tmp_path: Path) -> None:
    outside = tmp_path.parent / "created-by-link"
    (tmp_path / "link").symlink_to(outside)
    assert (await files("write_file", path="link", content="b")).code == "path.outside"
    assert not outside.exists()


async def test_folders_are_not_written_over(files: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (".", "folder"):
        answer = await files("write_file", path=path, content="", overwrite=True)
        assert answer.code in ("path.is_a_folder", "path.not_a_file")
    assert (await files("write_file", path="no/such/file", content="")).code == "path.missing"


async def test_a_dry_run_shows_the_diff_and_writes_nothing(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\ntwo\nthree\n")
    answer = await files("edit_file", path="a", edits=[{"old": "two", "new": "2"}], dry_run=True)
    assert "-two\n+2\n" in answer.data["diff"]
    assert not answer.data["written"]
    assert (tmp_path / "a").read_text() == "one\ntwo\nthree\n"


async def test_edits_apply_in_order_or_not_at_all(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one two two")
    edits = [{"old": "one", "new": "1"}, {"old": "two", "new": "2", "all": True}, {"old": "1 2", "new": "x"}]
    assert (await files("edit_file", path="a", edits=edits)).data["replacements"] == 4
    assert (tmp_path / "a").read_text() == "x 2"
    answer = await files("edit_file", path="a", edits=[{"old": "x", "new": "y"}, {"old": "absent", "new": ""}])
    assert answer.code == "edit.not_found"
    assert (tmp_path / "a").read_text() == "x 2"


async def test_an_ambiguous_edit_is_refused(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("two two")
    answer = await files("edit_file", path="a", edits=[{"old": "two", "new": "2"}])
    assert (answer.code, "2 times" in answer.text) == ("edit.ambiguous", True)


async def test_windows_line_ends_are_kept(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\r\ntwo\r\n")
    await files("edit_file", path="a", edits=[{"old": "one\ntwo", "new": "1\n2"}])
    assert (tmp_path / "a").read_bytes() == b"1\r\n2\r\n"


async def test_a_binary_file_is_not_edited(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    assert (await files("edit_file", path="a", edits=[{"old": "x", "new": "y"}])).code == "file.binary"


async def test_folders_are_made_with_those_above_them(files: Any, tmp_path: Path) -> None:
    assert (await files("create_directory", path="a/b/c")).data["created"] == 3
    assert (await files("create_directory", path="a/b/c")).data["created"] == 0
    (tmp_path / "file").write_text("")
    assert (await files("create_directory", path="file")).code == "path.not_a_folder"
    assert (await files("create_directory", path="file/x")).code == "path.not_a_folder"


async def test_moving_never_overwrites_unasked(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    assert (await files("move_file", source="a", destination="b")).code == "path.exists"
    assert (tmp_path / "b").read_text() == "b"
    await files("move_file", source="a", destination="b", overwrite=True)
    await files("move_file", source="b", destination="c")
    assert (names_in(tmp_path), (tmp_path / "c").read_text()) == (["c"], "a")


async def test_folders_and_links_are_moved_themselves(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("")
    (tmp_path / "link").symlink_to("/etc")
    await files("move_file", source="a", destination="b")
    await files("move_file", source="link", destination="b/link")
    assert (tmp_path / "b" / "link").readlink() == Path("/etc")
    assert (await files("move_file", source="b", destination="b/inside")).code == "move.into_itself"
    (tmp_path / "c").mkdir()
    assert (await files("move_file", source="b", destination="c")).code == "path.exists"


async def test_deleting_removes_links_and_not_what_they_point_to(files: Any, tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "file").write_text("kept")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("")
    (tmp_path / "a" / "link").symlink_to("../keep")
    assert (await files("delete", path="a")).code == "path.not_empty"
    assert (await files("delete", path="a", recursive=True)).data["removed"] == 4
    assert (tmp_path / "keep" / "file").read_text() == "kept"
    assert (await files("delete", path="a")).code == "path.missing"
    assert (await files("delete", path=".", recursive=True)).code == "path.is_root"


async def test_a_read_only_server_neither_offers_nor_runs_its_writing_tools(caller: Any, tmp_path: Path) -> None:
    files = caller("filesystem", roots=[str(tmp_path)])
    for name in ("write_file", "edit_file", "create_directory", "move_file", "delete"):
        assert (await files(name, path="x", content="x")).code == "server.read_only"
    assert names_in(tmp_path) == []


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


lines = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n"]), max_size=30)


@given(before=lines, after=lines)
def test_the_diff_patches_the_old_text_into_the_new(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], after: list[str]
) -> None:
    old, new = "".join(before), "".join(after)
    difference = unified(old, new, "f")
    assert (difference == "") == (old == new)
    assert patched(before, difference) == new


def patched(before: list[str], difference: str) -> str:
    """A strict reader of unified diffs: every context and removed line must be where the header says."""
    out, at = [], 0
    for line in difference.splitlines(keepends=True)[2:]:
        if line.startswith("@@"):
            start, _, length = line.split()[1][1:].partition(",")
            begin = int(start) - (length != "0")
            assert begin >= at
            out += before[at:begin]
            at = begin
        elif line.startswith("+"):
            out.append(line[1:])
        else:
            assert before[at] == line[1:]
            at += 1
            out += [line[1:]] if line.startswith(" ") else []
    return "".join(out + before[at:])


def test_the_real_patch_program_accepts_the_diff(tmp_path: Path) -> None:
    old = "".join(f"{n}\n" for n in range(100))
    new = old.replace("\n10\n", "\nten\n").replace("\n80\n", "\n").removesuffix("\n")
    (tmp_path / "f").write_text(old)
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=unified(old, new, "a/f"), text=True, check=True)
    assert (tmp_path / "f").read_text() == new
