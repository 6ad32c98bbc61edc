from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def files(caller: Callable[..., Any], tmp_path: Path) -> Any:
    return caller("filesystem", roots=[str(tmp_path)])


async def test_text_comes_exactly_as_it_is(files: Any, tmp_path: Path) -> None:
    text = "ä\r\nb\n\tc — no end"
    (tmp_path / "a.txt").write_bytes(text.encode())
    answer = await files("read_text_file", path="a.txt")
    assert answer.data["text"] == answer.text == text
    assert (answer.data["lines"], answer.data["next_line"]) == (3, None)


async def test_a_long_text_is_read_page_by_page(files: Any, tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(1, 26)]
    (tmp_path / "a.txt").write_text("".join(lines))
    seen, first = [], 1
    while first is not None:
        page = (await files("read_text_file", path="a.txt", first_line=first, line_count=10)).data
        seen += page["text"].splitlines(keepends=True)
        first = page["next_line"]
    assert seen == lines


async def test_pages_are_bounded_in_bytes_as_well(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{number:>999}\n" for number in range(1_200)))
    page = (await files("read_text_file", path="a.txt", line_count=20_000)).data
    assert len(page["text"]) <= 512 * 1024
    assert page["next_line"] == page["lines"] + 1 == len(page["text"]) // 1_000 + 1


async def test_one_endless_line_is_cut(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 2_000_000 + "\nnext\n")
    page = (await files("read_text_file", path="a.txt")).data
    assert (len(page["text"]), page["next_line"]) == (512 * 1024, 2)
    assert (await files("read_text_file", path="a.txt", first_line=2)).data["text"] == "next\n"


@pytest.mark.parametrize(("tail", "text"), [(1, "c\n"), (2, "b\nc\n"), (9, "a\nb\nc\n")])
async def test_the_end_of_a_file_can_be_read_alone(files: Any, tmp_path: Path, tail: int, text: str) -> None:
    (tmp_path / "a.txt").write_text("a\nb\nc\n")
    assert (await files("read_text_file", path="a.txt", tail=tail)).data["text"] == text


async def test_lines_beyond_the_end_are_empty(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    page = (await files("read_text_file", path="a.txt", first_line=7)).data
    assert (page["text"], page["lines"], page["next_line"]) == ("", 0, None)


async def test_a_binary_file_is_no_text_and_is_read_as_base64(files: Any, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4
    (tmp_path / "a.png").write_bytes(data)
    assert (await files("read_text_file", path="a.png")).code == "file.binary"
    page = (await files("read_binary_file", path="a.png", offset=10, length=500)).data
    assert base64.b64decode(page["base64"]) == data[10:510]
    assert (page["media_type"], page["next_offset"], page["size_bytes"]) == ("image/png", 510, 1024)
    assert (await files("read_binary_file", path="a.png", offset=510)).data["next_offset"] is None


async def test_information_is_about_the_link_itself(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("abc")
    (tmp_path / "a").chmod(0o640)
    (tmp_path / "link").symlink_to("/etc/passwd")
    info = (await files("get_file_info", path="a")).data
    assert (info["kind"], info["size_bytes"], info["permissions"], info["target"]) == ("file", 3, "0640", None)
    assert info["modified"].endswith("Z")
    link = (await files("get_file_info", path="link")).data
    assert (link["kind"], link["target"]) == ("link", "/etc/passwd")
    assert (await files("get_file_info", path=".")).data["kind"] == "directory"


async def test_a_folder_is_listed_in_pages_sorted_by_name(files: Any, tmp_path: Path) -> None:
    for name in "dbca":
        (tmp_path / name).write_text(name)
    (tmp_path / "e").mkdir()
    (tmp_path / "f").symlink_to("a")
    first = (await files("list_directory", limit=4)).data
    assert [each["path"] for each in first["entries"]] == ["a", "b", "c", "d"]
    rest = (await files("list_directory", limit=4, after=first["next_after"])).data
    assert [(each["path"], each["kind"]) for each in rest["entries"]] == [("e", "directory"), ("f", "link")]
    assert rest["next_after"] is None


async def test_a_name_that_is_not_unicode_is_still_listed(files: Any, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xff")).touch()
    assert [each["path"] for each in (await files("list_directory")).data["entries"]] == ["bad\ufffd"]


async def test_a_tree_has_a_depth_and_does_not_follow_links(files: Any, tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_text("")
    (tmp_path / "a" / "out").symlink_to("/etc")
    (tmp_path / ".git").mkdir()
    answer = await files("directory_tree", depth=2)
    assert [each["path"] for each in answer.data["entries"]] == ["a", "a/b", "a/out"]
    assert answer.text.splitlines()[1:] == ["  a/", "    b/", "    out -> /etc"]
    cut = (await files("directory_tree", limit=2)).data
    assert (len(cut["entries"]), cut["truncated"]) == (2, True)


async def test_the_allowed_folders_are_told(files: Any, tmp_path: Path) -> None:
    assert (await files("list_allowed_directories")).data == {"roots": [str(tmp_path)], "writable": False}


async def test_cve_2025_53110_tools_refuse_a_folder_with_the_same_prefix(caller: Any, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root-evil").mkdir()
    (tmp_path / "root-evil" / "secret").write_text("secret")
    files = caller("filesystem", roots=[str(tmp_path / "root")], writable=True)
    evil = str(tmp_path / "root-evil")
    for name, arguments in every_path_tool(f"{evil}/secret", f"{evil}/new", evil):
        answer = await files(name, **arguments)
        assert answer.code == "path.outside", name
        assert "secret" not in answer.text.replace(f"{evil}/secret", "")
    assert [each.name for each in (tmp_path / "root-evil").iterdir()] == ["secret"]


async def test_cve_2025_53109_tools_refuse_a_link_that_leads_outside(caller: Any, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "secret").write_text("secret")
    (tmp_path / "root" / "door").symlink_to(tmp_path / "other")
    files = caller("filesystem", roots=[str(tmp_path / "root")], writable=True)
    for name, arguments in every_path_tool("door/secret", "door/new", "door"):
        if name == "get_file_info" or arguments.get("path") != "door":
            assert (await files(name, **arguments)).code == "path.outside", name
    assert (tmp_path / "other" / "secret").read_text() == "secret"
    assert [each.name for each in (tmp_path / "other").iterdir()] == ["secret"]


def every_path_tool(file: str, new: str, folder: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("read_text_file", {"path": file}),
        ("read_binary_file", {"path": file}),
        ("get_file_info", {"path": file}),
        ("list_directory", {"path": folder}),
        ("directory_tree", {"path": folder}),
        ("search_files", {"path": folder, "pattern": "*"}),
        ("search_text", {"path": folder, "pattern": "secret"}),
        ("write_file", {"path": file, "content": "x", "overwrite": True}),
        ("write_file", {"path": new, "content": "x"}),
        ("edit_file", {"path": file, "edits": [{"old": "secret", "new": "x"}]}),
        ("create_directory", {"path": new}),
        ("move_file", {"source": file, "destination": "mine"}),
        ("delete", {"path": file}),
    ]
