"""Which configuration counts, and what a bad one may and may not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from garrison.catalog.spec import ServerSpec
from garrison.surfaces.configuration import Wanted, configure, files_of, keep_last_good
from garrison.surfaces.desired import Catalog, Desired


def wanted(folder: Path, **more: Any) -> Wanted:
    return Wanted(folder, **more)


def write_mcp(folder: Path, **servers: Any) -> Path:
    path = folder / ".mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    return path


def test_with_nothing_there_the_demo_fleet_is_taken(tmp_path: Path) -> None:
    configuration = configure(wanted(tmp_path))
    assert configuration.is_demo
    assert list(configuration.desired.servers) == ["filesystem", "time"]
    assert configuration.problems == ()


def test_in_a_repository_the_demo_fleet_has_git(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert "git" in configure(wanted(tmp_path)).desired.servers


def test_the_demo_fleet_survives_strange_folder_names(tmp_path: Path) -> None:
    folder = tmp_path / "a ${HOME} b"
    folder.mkdir()
    assert configure(wanted(folder)).desired.servers["filesystem"].command[-1].endswith("a $${HOME} b")


def test_garrison_yaml_stands_alone_and_clients_files_come_together(tmp_path: Path) -> None:
    mcp = write_mcp(tmp_path, one={"command": "a"})
    (tmp_path / ".vscode").mkdir()
    vscode = tmp_path / ".vscode" / "mcp.json"
    vscode.write_text('{"servers": {"two": {"command": "b"}}}')
    assert files_of(wanted(tmp_path)) == (mcp, vscode)
    ours = tmp_path / "garrison.yaml"
    ours.write_text("servers: {three: {command: [c]}}")
    assert files_of(wanted(tmp_path)) == (ours,)
    assert files_of(wanted(tmp_path, config=mcp)) == (mcp,)


def test_an_environment_has_its_own_file_if_it_is_there(tmp_path: Path) -> None:
    ours = tmp_path / "garrison.yaml"
    ours.write_text("servers: {a: {command: [a]}}")
    assert files_of(wanted(tmp_path, env_name="staging")) == (ours,)
    staging = tmp_path / "garrison.staging.yaml"
    staging.write_text("servers: {b: {command: [b]}}")
    assert files_of(wanted(tmp_path, env_name="staging")) == (staging,)


def test_a_spoilt_server_of_a_client_is_left_out_and_its_neighbours_stay(tmp_path: Path) -> None:
    write_mcp(tmp_path, good={"command": "a"}, bad={"args": ["x"]})
    configuration = configure(wanted(tmp_path))
    assert list(configuration.desired.servers) == ["good"]
    assert list(configuration.left_out) == ["bad"]
    assert configuration.blocking == ()


def test_a_broken_file_blocks_the_whole(tmp_path: Path) -> None:
    (tmp_path / ".mcp.json").write_text('{"mcpServers": {"a": {"command": "x"')
    assert configure(wanted(tmp_path)).blocking != ()


def test_a_missing_file_blocks_the_whole(tmp_path: Path) -> None:
    configuration = configure(wanted(tmp_path, config=tmp_path / "nowhere.yaml"))
    assert "file.missing" in [problem.code for problem in configuration.blocking]


def test_an_error_in_our_own_file_blocks_the_whole(tmp_path: Path) -> None:
    (tmp_path / "garrison.yaml").write_text("servers: {a: {command: [a]}, b: {command: 5}}")
    assert configure(wanted(tmp_path)).blocking != ()


def test_a_file_without_servers_blocks(tmp_path: Path) -> None:
    (tmp_path / "garrison.yaml").write_text("servers: {}")
    assert "fleet.empty" in [problem.code for problem in configure(wanted(tmp_path)).blocking]


def test_settings_of_file_environment_and_flags_meet_here(tmp_path: Path) -> None:
    (tmp_path / "garrison.yaml").write_text("servers: {a: {command: [a]}}\nsettings: {edge: {drain_s: 3, lissten: x}}")
    configuration = configure(
        wanted(tmp_path, environment={"GARRISON_LOGS__LEVEL": "debug"}, flags={"edge.listen": "127.0.0.1:0"})
    )
    edge, logs = configuration.desired.settings.edge, configuration.desired.settings.logs
    assert (edge.drain_s, edge.listen, logs.level) == (3, "127.0.0.1:0", "debug")
    (problem,) = configuration.blocking
    assert problem.code == "settings.invalid"
    assert problem.hint == "did you mean edge.listen?"
    assert problem.place == f"{tmp_path}/garrison.yaml:2:31"


def test_secrets_in_plain_text_are_taken_out(tmp_path: Path) -> None:
    token = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"
    write_mcp(tmp_path, a={"command": "x", "env": {"GITHUB_TOKEN": token}})
    configuration = configure(wanted(tmp_path))
    assert list(configuration.secrets.values()) == [token]
    assert token not in repr(configuration)


UNSET = """
servers:
  a:
    command: [x, "${ARG}"]
    env:
      KEY: ${KEY}-${THERE}
      MODE: ${MODE:-fast}
      DEEP: ${ONE:-${TWO}}
      STORED: ${secret:none}
      PLAIN: $${NOT_A_REFERENCE}
  off: {command: [x], enabled: false, env: {K: "${OFF}"}}
"""


def test_a_reference_to_an_unset_variable_is_reported_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "garrison.yaml"
    file.write_text(UNSET)
    configuration = configure(wanted(tmp_path, environment={"THERE": "1"}))
    assert [(one.severity, one.place, one.message) for one in configuration.problems] == [
        ("warning", f"{file}:4:18", "a: an argument needs the variable ARG, which is not set here"),
        ("warning", f"{file}:6:12", "a: the variable `KEY` needs the variable KEY, which is not set here"),
        ("warning", f"{file}:8:13", "a: the variable `DEEP` needs the variable TWO, which is not set here"),
        ("note", f"{file}:11:48", "off: the variable `K` needs the variable OFF, which is not set here"),
    ]
    assert {one.code for one in configuration.problems} == {"variable.missing"}
    assert configuration.blocking == ()


def test_references_of_other_clients_count_as_well(tmp_path: Path) -> None:
    write_mcp(tmp_path, a={"url": "https://h/mcp", "headers": {"X-Team": "${env:TEAM}"}})
    (problem,) = configure(wanted(tmp_path)).problems
    assert problem.message == "a: the header `X-Team` needs the variable TEAM, which is not set here"
    assert problem.hint == "export TEAM=… before starting, or write ${TEAM:-default}"
    assert configure(wanted(tmp_path, environment={"TEAM": ""})).problems == ()


def test_what_cannot_be_read_any_more_stays_as_it_runs(tmp_path: Path) -> None:
    write_mcp(tmp_path, good={"command": "new"}, bad={"args": ["x"]})
    old = {name: ServerSpec(name=name, transport="stdio", command=("old",)) for name in ("good", "bad", "gone")}
    kept = keep_last_good(configure(wanted(tmp_path)), Desired(catalog=Catalog(servers=old)))
    assert {name: spec.command for name, spec in kept.desired.servers.items()} == {"good": ("new",), "bad": ("old",)}


@pytest.mark.parametrize("text", ["", "[]", "null", "servers: 3", "\x00", "servers: {a: {command: [x]}}\n---\n{}"])
def test_whatever_the_file_holds_there_is_an_answer(tmp_path: Path, text: str) -> None:
    (tmp_path / "garrison.yaml").write_text(text)
    configure(wanted(tmp_path))
