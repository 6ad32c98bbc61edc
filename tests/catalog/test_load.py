"""Files that cannot be read, several files as one, discovery, the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from garrison.catalog.discover import discover, fleet_files
from garrison.catalog.load import Loaded, load, load_all
from garrison.catalog.problems import Problem
from garrison.catalog.report import render_report, summary

_DISCOVERED = """garrison.yaml .mcp.json mcp.json team.mcp.json .vscode/mcp.json .github/mcp.json .cursor/mcp.json
    .codex/config.toml .gemini/settings.json .zed/settings.json opencode.json .roo/mcp.json
    .kiro/settings/mcp.json"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    assert [p.code for p in load(tmp_path / "none.json").problems] == ["file.missing"]
    assert [p.code for p in load(tmp_path).problems] == ["file.folder"]
    assert [p.code for p in load(tmp_path / "a\0b").problems] == ["file.unreadable"]
    assert [p.code for p in load(Path("/proc/self/mem")).problems] == ["file.unreadable"]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    path.write_bytes(b'{"a":' + b" " * (4 * 1024 * 1024) + b"1}")
    assert [p.code for p in load(path).problems] == ["file.too_large"]


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (b'\xef\xbb\xbf{"mcpServers": {"a": {"command": "x"}}}', []),
        ('\ufeff{"mcpServers": {"a": {"command": "x"}}}'.encode("utf-16-le"), ["file.utf16"]),
        (b'{"mcpServers": {"a": {"command": "x", "description": "caf\xe9"}}}', ["file.encoding"]),
    ],
)
def test_encodings_are_recognised(tmp_path: Path, data: bytes, codes: list[str]) -> None:
    path = tmp_path / ".mcp.json"
    path.write_bytes(data)
    loaded = load(path)
    assert list(loaded.snapshot.servers) == ["a"]
    assert [problem.code for problem in loaded.problems] == codes


def test_of_two_files_the_first_wins_and_conflicts_are_named(tmp_path: Path) -> None:
    one = write(tmp_path / ".mcp.json", '{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}')
    two = write(
        tmp_path / ".cursor/mcp.json",
        '{"mcpServers": {"a": {"command": "x"}, "b": {"command": "z"}, "c": {"command": "x"}}}',
    )
    loaded = load_all((one, two))
    assert {name: spec.command for name, spec in loaded.snapshot.servers.items()} == {
        "a": ("x",),
        "b": ("y",),
        "c": ("x",),
    }
    assert [(p.code, Path(p.file).parent.name) for p in loaded.problems] == [
        ("server.repeated", ".cursor"),
        ("server.conflict", ".cursor"),
        ("server.duplicate", ".cursor"),
    ]
    assert loaded.origins["c"] == two
    assert loaded.files == (one, two)


def test_secrets_of_several_files_have_names_of_their_own(tmp_path: Path) -> None:
    one = write(tmp_path / ".mcp.json", '{"mcpServers": {"a-b": {"command": "x", "env": {"T_KEY": "secret-one"}}}}')
    two = write(tmp_path / "mcp.json", '{"mcpServers": {"a_b": {"command": "x", "env": {"T_KEY": "secret-two"}}}}')
    loaded = load_all((one, two))
    assert loaded.secrets == {"A_B_T_KEY": "secret-one", "A_B_T_KEY_2": "secret-two"}
    assert loaded.secret(lambda name: f"stored {name}")("A_B_T_KEY") == "secret-one"
    assert loaded.secret(lambda name: f"stored {name}")("OTHER") == "stored OTHER"


def test_the_same_content_has_the_same_version(tmp_path: Path) -> None:
    path = write(tmp_path / ".mcp.json", '{"mcpServers": {"a": {"command": "x"}}}')
    assert load(path).snapshot.version == load(path).snapshot.version


def test_nothing_gives_nothing() -> None:
    assert load_all(()) == Loaded()


def test_discovery_follows_the_order_of_precedence(tmp_path: Path) -> None:
    project, home = tmp_path / "project", tmp_path / "home"
    names = _DISCOVERED.split()
    for name in reversed(names):
        write(project / name, "{}")
    write(project / "package.json", "{}")
    write(home / ".claude.json", "{}")
    write(home / ".config/goose/config.yaml", "{}")
    found = discover(project)
    assert [str(one.path.relative_to(project)) for one in found] == names
    assert [one.client for one in found][:2] == ["Garrison", "Claude Code"]
    both = discover(project, user_home=home)
    assert both[: len(found)] == found
    assert [(one.path.name, one.user) for one in both[len(found) :]] == [(".claude.json", True), ("config.yaml", True)]


def test_a_garrison_file_is_the_whole_fleet(tmp_path: Path) -> None:
    write(tmp_path / ".mcp.json", "{}")
    write(tmp_path / ".vscode/mcp.json", "{}")
    assert [path.name for path in fleet_files(discover(tmp_path))] == [".mcp.json", "mcp.json"]
    ours = write(tmp_path / "garrison.yaml", "servers: {}")
    assert fleet_files(discover(tmp_path)) == (ours,)
    assert discover(tmp_path / "nowhere") == ()


def test_a_report_names_place_severity_message_code_and_hint() -> None:
    problems = [
        Problem(severity="error", code="a.b", message="it is wrong", hint="put it right", file="f", line=2, column=3),
        Problem(severity="note", code="c.d", message="so it is", file="f"),
    ]
    assert (
        render_report(problems)
        == "f:2:3: error: it is wrong [a.b]\n    put it right\nf: note: so it is [c.d]\n1 error, 1 note\n"
    )
    assert render_report([]) == ""
    assert summary([]) == "no problems"


def test_a_file_without_an_ending_is_read_as_what_it_looks_like(tmp_path: Path) -> None:
    assert list(load(write(tmp_path / "fleet", "servers:\n  a: {command: [x]}\n")).snapshot.servers) == ["a"]
    assert list(load(write(tmp_path / "config", '{"mcpServers": {"a": {"command": "x"}}}')).snapshot.servers) == ["a"]
