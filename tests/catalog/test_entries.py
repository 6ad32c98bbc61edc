"""What else is in files in the wild: each oddity, what is made of it and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from garrison.catalog.load import Loaded
from garrison.catalog.spec import ServerSpec

Load = Callable[[str, str], Loaded]
IGNORED = {"package.unpinned"}


@pytest.fixture
def one(load_text: Load) -> Callable[..., tuple[ServerSpec | None, list[str]]]:
    """Loads one entry; gives its spec and the codes of its problems."""

    def load_one(entry: Any, name: str = "s") -> tuple[ServerSpec | None, list[str]]:
        loaded = load_text(".mcp.json", json.dumps({"mcpServers": {name: entry, "other": {"command": "other"}}}))
        specs = [spec for key, spec in loaded.snapshot.servers.items() if key != "other"]
        return (specs[0] if specs else None), [p.code for p in loaded.problems if p.code not in IGNORED]

    return load_one


One = Callable[..., tuple[ServerSpec | None, list[str]]]


@pytest.mark.parametrize(
    ("entry", "command", "codes"),
    [
        ({"command": "npx -y thing@1.0.0 --a 'b c'"}, ("npx", "-y", "thing@1.0.0", "--a", "b c"), ["command.one_text"]),
        ({"command": "npx thing@1.0.0"}, ("npx", "-y", "thing@1.0.0"), ["command.one_text", "package.no_yes"]),
        ({"command": "my-server --flag"}, ("my-server", "--flag"), ["command.one_text"]),
        ({"command": "/Applications/My App/bin/x"}, ("/Applications/My App/bin/x",), []),
        ({"command": ["node", "x.js"], "args": ["-v"]}, ("node", "x.js", "-v"), []),
        ({"command": "x", "args": "-a 'b c'"}, ("x", "-a", "b c"), ["entry.one_text"]),
        ({"command": "x", "args": ["--port", 8080, True]}, ("x", "--port", "8080", "true"), ["entry.not_text"] * 2),
        ({"command": "x", "args": ["a", None, {"b": 1}]}, ("x", "a"), ["entry.type", "entry.type"]),
        ({"command": "x", "args": None}, ("x",), []),
        ({"command": " x "}, ("x",), []),
        ({"command": "cmd", "args": ["/c", "npx", "-y", "t@1.0.0"]}, ("npx", "-y", "t@1.0.0"), ["command.wrapper"]),
        ({"command": "cmd.exe", "args": ["/C", "npx -y t@1.0.0"]}, ("npx", "-y", "t@1.0.0"), ["command.wrapper"]),
        ({"command": "sh", "args": ["-lc", "npx -y t@1.0.0"]}, ("sh", "-lc", "npx -y t@1.0.0"), ["command.shell"]),
        (
            {"command": "bash", "args": ["-c", "cd /x && npx t@1.0.0"]},
            ("bash", "-c", "cd /x && npx t@1.0.0"),
            ["package.no_yes", "command.shell"],
        ),
        (
            {"command": "wsl.exe", "args": ["-d", "Debian", "--", "bash", "-c", "uvx t==1"]},
            ("bash", "-c", "uvx t==1"),
            ["command.wrapper", "command.shell"],
        ),
        ({"command": "env", "args": ["A=1", "x"]}, ("x",), ["command.wrapper"]),
        ({"command": "npx", "args": ["--yes", "t@1.0.0"]}, ("npx", "--yes", "t@1.0.0"), []),
        ({"command": "npx.cmd", "args": ["-y", "t@1.0.0"]}, ("npx", "-y", "t@1.0.0"), ["command.wrapper"]),
        ({"command": "C:\\x\\node.exe", "args": []}, ("C:\\x\\node.exe",), ["path.windows"]),
        ({"command": "node", "args": ["C:/x/y.js"]}, ("node", "C:/x/y.js"), ["path.windows"]),
        ({"command": "docker", "args": ["run", "--rm", "i:1"]}, ("docker", "run", "--rm", "i:1"), ["command.no_input"]),
    ],
)
def test_command_lines_of_every_kind(one: One, entry: Any, command: tuple[str, ...], codes: list[str]) -> None:
    spec, found = one(entry)
    assert spec is not None
    assert spec.command == command
    assert sorted(found) == sorted(codes)


@pytest.mark.parametrize(
    ("entry", "kind", "codes"),
    [
        ({"command": "x", "url": "https://h"}, "stdio", ["entry.two_ways"]),
        ({"command": "x", "url": "https://h", "type": "http"}, "http", ["entry.two_ways"]),
        ({"type": "stdio", "url": "https://h"}, "http", ["entry.kind"]),
        ({"type": "http", "command": "x"}, "stdio", ["entry.kind"]),
        ({"type": "Streamable_HTTP", "url": "https://h"}, "http", []),
        ({"transport": "sse", "url": "https://h"}, "sse", []),
        ({"transport": {"type": "sse", "url": "https://h"}}, "sse", []),
        ({"type": "htpp", "url": "https://h"}, "http", ["entry.kind"]),
        ({"url": "https://h", "auth": {"type": "bearer", "token": "${T}"}}, "http", []),
        ({"url": "https://h", "auth": {"CLIENT_ID": "x"}}, "http", ["entry.unsupported"]),
        ({"url": "https://h/sse"}, "sse", ["entry.kind_guessed"]),
        ({"url": "https://h/sse", "type": "http"}, "http", []),
        ({"url": "h/mcp"}, "http", ["url.invalid"]),
        ({"url": "${BASE}/mcp"}, "http", []),
    ],
)
def test_ways_to_talk(one: One, entry: Any, kind: str, codes: list[str]) -> None:
    spec, found = one(entry)
    assert spec is not None
    assert spec.transport == kind
    assert found == codes


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({}, "entry.nothing_to_run"),
        ({"args": ["x"]}, "entry.nothing_to_run"),
        ({"command": ""}, "entry.nothing_to_run"),
        ({"command": None}, "entry.nothing_to_run"),
        ({"link": "https://page"}, "entry.link"),
        ({"type": "websocket"}, "entry.kind"),
        ([], "entry.type"),
        (None, "entry.not_a_server"),
        ("some text", "entry.not_a_server"),
        (3, "entry.not_a_server"),
    ],
)
def test_what_is_no_server_is_left_out_and_reported(one: One, entry: Any, code: str) -> None:
    spec, found = one(entry)
    assert spec is None
    assert code in found


def test_an_address_alone_is_a_remote_server(one: One) -> None:
    spec, found = one("https://h/mcp")
    assert spec is not None
    assert spec.url == "https://h/mcp"
    assert found == ["entry.short"]


def test_remarks_between_servers_are_silent_and_remarked_servers_disabled(load_text: Load) -> None:
    loaded = load_text(
        ".mcp.json",
        """{"_comment": "x", "mcpServers": {"_comment_a": "text", "//": "text", "a": {"command": "x", "_note": "y"},
            "_b": {"command": "y"}}}""",
    )
    assert {name: spec.enabled for name, spec in loaded.snapshot.servers.items()} == {"a": True, "_b": False}
    assert [problem.code for problem in loaded.problems] == ["entry.commented_out"]


@pytest.mark.parametrize(
    ("env", "expected", "codes"),
    [
        ({"A": 1, "B": True, "C": 1.50, "D": None}, {"A": "1", "B": "true", "C": "1.5", "D": ""}, 4),
        (["A=1", "B"], {"A": "1", "B": "${B}"}, 0),
        ([{"name": "A", "value": "1"}, {"name": "B"}], {"A": "1", "B": "${B}"}, 0),
        ({"A": {"value": "1"}}, {"A": "1"}, 0),
        (None, {}, 0),
        ("A=1", {}, 1),
        ({"A=B": "1", "": "2", "C": "x\0"}, {}, 3),
    ],
)
def test_environments_of_every_kind(one: One, env: Any, expected: dict[str, str], codes: int) -> None:
    spec, found = one({"command": "x", "env": env})
    assert spec is not None
    assert spec.env == expected
    assert len(found) == codes


@pytest.mark.parametrize(
    ("key", "value", "call", "startup"),
    [
        ("timeout", 30, 30, 120),
        ("timeout", 30000, 30, 120),
        ("timeout", "45s", 45, 120),
        ("timeout", "2m", 120, 120),
        ("timeout_ms", 500, 0.5, 120),
        ("timeoutMs", 5000, 5, 120),
        ("timeout_s", 5000, 5000, 120),
        ("tool_timeout_sec", 7, 7, 120),
        ("startup_timeout_ms", 20000, 60, 20),
        ("startup_timeout_sec", 20, 60, 20),
        ("initTimeout", 9000, 60, 9),
        ("timeout", 0, 60, 120),
        ("timeout", -5, 60, 120),
        ("timeout", "soon", 60, 120),
        ("timeout", 1e300, 60, 120),
    ],
)
def test_timeouts_become_seconds(one: One, key: str, value: Any, call: float, startup: float) -> None:
    spec, _ = one({"command": "x", key: value})
    assert spec is not None
    assert (spec.timeout_s, spec.startup_timeout_s) == (call, startup)


def test_switches_are_read_in_every_spelling(one: One) -> None:
    for entry in ({"disabled": True}, {"enabled": False}, {"isActive": False}, {"disabled": "true"}, {"enabled": 0}):
        spec, _ = one({"command": "x", **entry})
        assert spec is not None
        assert not spec.enabled, entry
    spec, _ = one({"command": "x", "autoStart": False})
    assert spec is not None
    assert spec.start == "lazy"


def test_an_unknown_key_is_a_warning_with_the_nearest_one(load_text: Load) -> None:
    loaded = load_text(".mcp.json", '{"mcpServers": {"a": {\n "command": "x", "evn": {}}}}')
    (problem,) = loaded.problems
    assert (problem.code, problem.line, problem.column, problem.severity) == ("entry.unknown_key", 2, 18, "warning")
    assert problem.hint == "did you mean `env`?"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GSD-2 Code", "GSD-2-Code"),
        ("io.github/x", "io-github-x"),
        ("0dai", "0dai"),
        ("Ünïcode", "Unicode"),
        ("日本", "server"),
        ("", "server"),
        ("x" * 100, "x" * 64),
        ("a\nb", "a-b"),
    ],
)
def test_names_become_prefixes(one: One, name: str, expected: str) -> None:
    spec, found = one({"command": "x"}, name)
    assert spec is not None
    assert spec.name == expected
    assert ("name.changed" in found) == (name != expected)


def test_names_stay_unique(load_text: Load) -> None:
    loaded = load_text(
        ".mcp.json", '{"mcpServers": {"a b": {"command": "1"}, "a-b": {"command": "2"}, "a.b": {"command": "3"}}}'
    )
    assert {name: spec.command[0] for name, spec in loaded.snapshot.servers.items()} == {
        "a-b-2": "1",
        "a-b": "2",
        "a-b-3": "3",
    }


@pytest.mark.parametrize(
    "value",
    [
        "YOUR_KEY",
        "your-api-key-here",
        "<token>",
        "REPLACE_ME",
        "changeme",
        "xxx",
        "sk-...",
        "placeholder_pass",
        "TODO",
        "/path/to/x",
    ],
)
def test_placeholders_are_told_from_values(one: One, value: str) -> None:
    _, found = one({"command": "x", "env": {"API_KEY": value}})
    assert found == ["value.placeholder"]


@pytest.mark.parametrize(
    "value", ["${KEY}", "$KEY", "${env:KEY}", "{{KEY}}", "${input:KEY}", "${KEY:-}", "${{ secrets.KEY }}", "{env:KEY}"]
)
def test_references_are_neither_secrets_nor_placeholders(one: One, value: str) -> None:
    spec, found = one({"command": "x", "env": {"API_KEY": value}})
    assert spec is not None
    assert spec.env["API_KEY"] in ("${KEY}", "${KEY:-}")
    assert set(found) <= {"reference.input"}


def test_a_bridge_to_a_remote_server_is_recognised(one: One) -> None:
    for command in (
        ["npx", "-y", "mcp-remote@0.1.2", "https://h/sse"],
        ["sh", "-c", "npx -y mcp-remote@0.1.2 https://h/sse"],
    ):
        spec, found = one({"command": command[0], "args": command[1:]})
        assert spec is not None
        assert "command.bridge" in found


def test_the_folder_of_the_project_is_the_default_and_relative_folders_start_there(load_text: Load) -> None:
    loaded = load_text(
        ".cursor/mcp.json", '{"mcpServers": {"a": {"command": "x"}, "b": {"command": "x", "cwd": "./sub/../s2"}}}'
    )
    folder = loaded.snapshot.servers["a"].cwd
    assert not folder.endswith(".cursor")
    assert loaded.snapshot.servers["b"].cwd == f"{folder}/s2"
    assert [problem.code for problem in loaded.problems] == ["path.relative_cwd"]


def test_home_folders_are_written_as_a_reference(one: One) -> None:
    spec, _ = one({"command": "~/bin/x", "cwd": "~/y"})
    assert spec is not None
    assert (spec.command[0], spec.cwd) == ("${HOME}/bin/x", "${HOME}/y")


def test_twins_in_one_file_are_noticed(load_text: Load) -> None:
    loaded = load_text(
        ".mcp.json",
        '{"mcpServers": {"a": {"url": "https://h/"}, "b": {"url": "https://h"}, "c": {"url": "https://i"}}}',
    )
    assert [problem.code for problem in loaded.problems] == ["server.duplicate"]
    assert list(loaded.snapshot.servers) == ["a", "b", "c"]


def test_a_shell_keeps_its_own_variables(one: One) -> None:
    spec, _ = one({"command": "sh", "args": ["-c", "exec $HOME/x --t $TOKEN"]})
    assert spec is not None
    assert spec.command[2] == "exec $HOME/x --t $TOKEN"


def test_dollar_signs_that_mean_themselves_survive(one: One) -> None:
    spec, _ = one({"command": "x", "args": ["^a$", "a$$b", "${weird thing}"]})
    assert spec is not None
    assert spec.command[1:] == ("^a$$", "a$$$$b", "$${weird thing}")
