"""The command line without a fleet: help, exit codes, streams, forms of output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY

import pytest

from command_line import Shell, parse
from garrison.kernel.errors import Kind
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.fleet_up import flags_of
from garrison.surfaces.cli.main import COMMANDS, load_command


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its full name, groups and the ones in them included."""
    for name in COMMANDS:
        command = load_command(name)
        yield name, command
        yield from ((f"{name} {part}", one) for part, one in getattr(command, "commands", {}).items())


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_every_command_explains_itself_with_examples(name: str, command: Any) -> None:
    assert f"Examples: garrison {name}" in command.help
    undocumented = [one.name for one in command.params if not getattr(one, "help", "")]
    assert undocumented == []


@pytest.mark.parametrize(("name", "command"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_every_example_of_a_command_is_one_that_its_command_line_takes(name: str, command: Any) -> None:
    for example in re.split(r";\s+", command.help.partition("Examples: ")[2]):
        parse(example)


def test_every_kind_of_error_has_its_exit_code() -> None:
    assert set(exits.OF_KIND) == set(Kind)
    assert set(exits.OF_KIND.values()) <= set(exits.MEANINGS)


def test_help_needs_no_command_to_be_loaded(garrison: Shell) -> None:
    said = garrison("--help", code=0)
    assert all(name in said.out for name in COMMANDS)
    assert "Exit codes" in said.out


def test_the_version_is_told(garrison: Shell) -> None:
    assert garrison("--version", code=0).out.startswith("garrison 0.")


def test_a_wrong_command_is_corrected(garrison: Shell) -> None:
    said = garrison("statsu", code=2)
    assert "'status'" in said.err
    assert said.out == ""


@pytest.mark.parametrize("command", [["status"], ["server", "list"], ["call", "x__y"], ["server", "restart", "x"]])
def test_without_a_fleet_it_says_so_and_how_to_start_one(garrison: Shell, command: list[str]) -> None:
    said = garrison(*command, code=3)
    assert "no fleet runs" in said.err
    assert "garrison up" in said.err
    assert said.out == ""
    assert not garrison.home.exists()


def test_down_without_a_fleet_is_harmless(garrison: Shell) -> None:
    assert garrison("down", code=0).out == "nothing was running\n"
    assert garrison("down", "--output", "json", code=0).json["was_running"] is False
    assert not garrison.home.exists()


def test_a_broken_configuration_starts_nothing_and_says_where_it_is_broken(garrison: Shell) -> None:
    (garrison.folder / "garrison.yaml").write_text("servers:\n  a: {command: [x]}\n  b: {comand: [y]}\n")
    said = garrison("up", code=2)
    assert "garrison.yaml:3:" in said.err
    assert "did you mean" in said.err
    assert "nothing was started" in said.err
    assert said.out == ""
    assert list((garrison.home / "run").glob("*.json")) == []


def test_listening_beyond_loopback_is_refused(garrison: Shell) -> None:
    said = garrison("up", "--listen", "0.0.0.0:0", code=2)
    assert "allow_plaintext" in said.err


def test_unknown_settings_are_corrected(garrison: Shell) -> None:
    said = garrison("up", "--set", "edge.lissten=127.0.0.1:0", code=2, GARRISON_LIMITS__BRUST="3")
    assert "did you mean edge.listen?" in said.err
    assert "did you mean limits.burst?" in said.err
    assert "GARRISON_LIMITS__BRUST" in said.err


def test_settings_tell_their_origin(garrison: Shell) -> None:
    (garrison.folder / "garrison.yaml").write_text("servers: {a: {command: [x]}}\nsettings: {edge: {drain_s: 3}}\n")
    said = garrison("settings", "show", "--origin", "--output", "json", code=0, GARRISON_LOGS__LEVEL="debug")
    rows = {row["setting"]: row for row in said.json}
    assert rows["edge.drain_s"]["value"] == 3.0
    assert rows["edge.drain_s"]["origin"] == f"file {garrison.folder}/garrison.yaml"
    assert rows["logs.level"] == {
        "setting": "logs.level",
        "value": "debug",
        "origin": "environment GARRISON_LOGS__LEVEL",
    }
    assert rows["edge.listen"]["origin"] == "default"


def test_check_reports_all_problems_and_missing_programs(garrison: Shell) -> None:
    servers = {"good": {"command": "no-such-x"}, "bad": {"args": ["y"]}, "old": {"command": "npx", "args": ["pkg"]}}
    (garrison.folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}, indent=1))
    said = garrison("check", "--output", "json", code=1)
    codes = [problem["code"] for problem in said.json["problems"]]
    assert {"entry.nothing_to_run", "launcher.missing", "package.unpinned"} <= set(codes)
    assert said.json["missing_launchers"]["no-such-x"] == ["good"]
    assert said.json["hardware"]["cores"] >= 1
    assert garrison("check", code=1).out.count("hint") == 0


def test_check_of_a_good_configuration_is_content(garrison: Shell) -> None:
    (garrison.folder / "garrison.yaml").write_text("servers: {a: {command: [sh]}}")
    assert "no problems" in garrison("check", code=0).out
    assert garrison("check", "garrison.yaml", "--output", "yaml", code=0).out.startswith("source:")


def test_import_writes_a_configuration_without_secrets(garrison: Shell) -> None:
    token = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"
    servers = {"hub": {"command": "npx", "args": ["-y", "hub@1.0.0"], "env": {"GITHUB_TOKEN": token}}}
    (garrison.folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    said = garrison("import", "--output", "json", code=0)
    assert said.json["servers"] == ["hub"]
    written = (garrison.folder / "garrison.yaml").read_text()
    assert f"${{secret:{said.json['secrets'][0]}}}" in written
    assert token not in written + said.out + said.err
    assert all(token.encode() not in path.read_bytes() for path in garrison.home.rglob("*") if path.is_file())
    assert garrison("check", code=0).code == 0


def test_import_replaces_nothing_unasked(garrison: Shell) -> None:
    (garrison.folder / ".mcp.json").write_text('{"mcpServers": {"a": {"command": "sh"}}}')
    (garrison.folder / "garrison.yaml").write_text("# mine\n")
    assert garrison("import", code=7).err.count("--force") == 1
    assert (garrison.folder / "garrison.yaml").read_text() == "# mine\n"
    garrison("import", "--force", code=0)
    assert "sh" in (garrison.folder / "garrison.yaml").read_text()


def test_import_without_files_says_what_to_do(garrison: Shell) -> None:
    assert "--user" in garrison("import", code=3).err


@pytest.mark.slow
def test_keys_live_through_their_whole_life_on_the_record(garrison: Shell) -> None:
    made = garrison("keys", "create", "ci", "--role", "reader", "--expires", "30d", "--output", "json", code=0).json
    assert made["key"].startswith(f"gsn_{made['prefix']}_")
    assert garrison("keys", "create", "ci", code=7).out == ""
    assert "--yes" in garrison("keys", "rotate", "ci", code=2).err
    rotated = garrison("keys", "rotate", "ci", "--yes", "--to", "ci.key", "--output", "json", code=0)
    key_file = garrison.folder / "ci.key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.read_text() not in rotated.out
    assert "may do nothing" in garrison("keys", "create", "idle", code=0).err
    garrison("keys", "revoke", "idle", "--yes", code=0)
    garrison("keys", "revoke", "ci", "--yes", code=0)
    garrison("keys", "revoke", "nobody", "--yes", code=3)
    listed = garrison("keys", "list", "--output", "json", code=0).json
    assert {row["state"] for row in listed} <= {"revoked", "expired"}
    recorded = garrison("audit", "tail", "--output", "json", code=0).json
    assert [entry["action"] for entry in recorded] == [
        "keys.create",
        "keys.rotate",
        "keys.create",
        "keys.revoke",
        "keys.revoke",
    ]
    assert all(entry["principal"].startswith("local:") for entry in recorded)
    assert made["key"] not in json.dumps(recorded)
    assert garrison("audit", "show", "1", "--output", "json", code=0).json[0]["detail"]["roles"] == ["reader"]
    assert garrison("audit", "verify", code=0).out == "the ledger holds: 5 entries, 0 checkpoints\n"


def test_secrets_are_stored_unseen_and_on_the_record(garrison: Shell) -> None:
    garrison("secrets", "set", "token", code=0, stdin="opensesame-7\n")
    assert garrison("secrets", "list", "--output", "json", code=0).json == [
        {"name": "token", "version": 1, "since": ANY, "former": 0}
    ]
    assert garrison("secrets", "set", "bad name", code=2, stdin="x").out == ""
    assert "--yes" in garrison("secrets", "remove", "token", code=2).err
    garrison("secrets", "remove", "token", "--yes", code=0)
    garrison("secrets", "remove", "token", "--yes", code=3)
    recorded = garrison("audit", "tail", "--output", "json", code=0).json
    assert [(entry["action"], entry["target"]) for entry in recorded] == [
        ("secrets.set", "token"),
        ("secrets.remove", "token"),
    ]
    assert all(b"opensesame" not in path.read_bytes() for path in garrison.home.rglob("*") if path.is_file())


def test_a_ledger_that_does_not_hold_is_an_exit_code(garrison: Shell) -> None:
    garrison("keys", "create", "ci", code=0)
    head = next(garrison.home.glob("ledger*.head"), garrison.home / "ledger.head")
    (garrison.home / "ledger.sqlite").unlink()
    assert head.exists()
    assert "does NOT hold" in garrison("audit", "verify", code=1).out


def test_another_environment_has_a_home_of_its_own(garrison: Shell) -> None:
    garrison("keys", "create", "ci", "--env", "staging", code=0)
    assert (garrison.folder / ".garrison-staging" / "keys.sqlite").exists()
    assert not garrison.home.exists()
    assert "cannot name an environment" in garrison("status", "--env", "../x", code=2).err


def test_the_schema_is_json(garrison: Shell) -> None:
    assert garrison("schema", code=0).json["title"] == "garrison.yaml"


def test_a_built_in_server_explains_its_own_options(garrison: Shell) -> None:
    assert "--root" in garrison("serve", "filesystem", "--help", code=0).out


def test_flags_are_settings() -> None:
    assert flags_of("127.0.0.1:0", ["logs.level=debug"]) == {"logs.level": "debug", "edge.listen": "127.0.0.1:0"}


@pytest.mark.slow
def test_nothing_is_coloured_for_a_pipe(garrison: Shell) -> None:
    (garrison.folder / "garrison.yaml").write_text("servers: {a: {command: [sh]}}")
    for words in (["--help"], ["settings", "show"], ["check"], ["status"], ["keys", "list"]):
        said = garrison(*words)
        assert "\033[" not in said.out + said.err
