from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.spec import ServerSpec
from garrison.runtimes import failures
from garrison.runtimes.driver import Exit
from garrison.runtimes.environment import DEFAULT_PATH, child_environment

SPEC = ServerSpec(name="a", transport="stdio", command=("x",), env={"TOKEN": "t", "PATH": "/own"})
PLAIN = ServerSpec(name="a", transport="stdio", command=("x",))


def test_the_servers_own_variables_win_and_the_mark_wins_over_them() -> None:
    ours = {
        "PATH": "/usr/bin",
        "HOME": "/root",
        "AWS_SECRET_ACCESS_KEY": "x",
        "npm_config_registry": "r",
        "LC_ALL": "C",
    }
    made = child_environment(ours, SPEC, {"MARK": "m"}, ("/extra/bin", "/more"))
    assert made == {
        "PATH": "/own:/extra/bin:/more",
        "HOME": "/root",
        "npm_config_registry": "r",
        "LC_ALL": "C",
        "TOKEN": "t",
        "MARK": "m",
    }


@given(st.dictionaries(st.text(min_size=1).map(lambda name: f"GARRISON_{name}"), st.text()))
def test_nothing_of_ours_reaches_a_server(ours: dict[str, str]) -> None:
    assert child_environment(ours, PLAIN, {}) == {"PATH": DEFAULT_PATH}


def tail(*lines: str) -> list[str]:
    return [f"2026-11-22T00:00:00.000000Z err| {line}" for line in lines] + ["2026-11-22T00:00:00.000000Z ---| exited"]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("npm error 404 Not Found - GET https://registry/…", "npm registry"),
        ("getaddrinfo EAI_AGAIN registry", "network"),
        ("ModuleNotFoundError: No module named 'x'", "install what it imports"),
        ("Error: listen EADDRINUSE: address already in use", "port is taken"),
        ("something else", "garrison logs a"),
    ],
)
def test_the_last_lines_of_a_log_explain_an_early_exit(line: str, hint: str) -> None:
    error = failures.exited_early("a", Exit("exited with code 1", 1), tail("first", line))
    assert error.code == "server.exited_early"
    assert error.message.startswith(f"server a exited with code 1 before it was ready: {line[:20]}")
    assert hint in error.hint


def test_the_line_that_tells_is_found_among_those_that_do_not() -> None:
    before = [*tail("an older problem"), "2026-11-22T00:00:01.000000Z ---| started npx as process 7"]
    npm = tail("npm error code E404", "npm error 404 Not Found", "npm error A complete log of this run: x")
    node = tail("Error: no database", "    at Module._compile (node:internal)", "", "Node.js v24.1.0")
    assert failures.telling_line(before + npm) == "npm error 404 Not Found"
    gone = "npm error 404  'x@*' is not in this registry."
    advice = tail("npm error 404 Note that you can also install from a", "npm error 404 tarball, folder, http url")
    assert failures.telling_line(before + tail("npm error 404 Not Found - GET x", gone) + advice) == gone
    assert failures.telling_line(before + node) == "Error: no database"
    assert failures.telling_line(before) == ""


def test_without_a_log_an_early_exit_is_still_a_sentence() -> None:
    error = failures.exited_early("a", Exit("was killed by SIGKILL", -9), [])
    assert error.message == "server a was killed by SIGKILL before it was ready"


def test_each_launcher_has_a_hint_of_its_own() -> None:
    assert "nodejs" in failures.command_not_found("a", "npx").hint
    assert "uv" in failures.command_not_found("a", "uvx").hint
    assert "full path" in failures.command_not_found("a", "thing").hint
