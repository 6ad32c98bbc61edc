"""`garrison secrets` as a user runs it: what is stored shows nowhere but where it is used."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from base64 import b64encode
from pathlib import Path

import pytest

from brought_up import fixture_server
from command_line import Shell
from garrison.identity.envelope import envelope_of
from garrison.identity.oauth.tokens import Token
from garrison.identity.secrets import secrets_of
from garrison.kernel.clock import SystemClock
from garrison.kernel.home import Home
from garrison.protection.subject_keys import SubjectKeys
from garrison.surfaces.wiring.credentials import sealed_tokens, token_store

pytestmark = pytest.mark.slow


def traces(folder: Path, *canaries: str) -> list[str]:
    """Files below a folder that hold one of these."""
    wanted = [canary.encode() for canary in canaries]
    files = [one for one in folder.rglob("*") if one.is_file()]
    return [str(one) for one in files if any(each in one.read_bytes() for each in wanted)]


def test_a_secret_comes_by_stdin_and_is_in_no_file_line_or_record(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    first, second = (f"Canary/{secrets.token_hex(12)}" for _ in range(2))
    said = [
        shell("secrets", "set", "token", stdin=f"{first}\n", code=0),
        shell("secrets", "rotate", "token", stdin=second, code=0),
        shell("secrets", "list", "--output", "json", code=0),
        shell("secrets", "rotate", "nobody", stdin=first),
        shell("secrets", "set", "a name", stdin=first),
        shell("secrets", "rotate", "token", "--back", code=0),
        shell("secrets", "rotate", "token", "--generate", code=0),
        shell("secrets", "rekey", "--data-key", code=0),
    ]
    assert not any(canary in one.out + one.err for one in said for canary in (first, second))
    (row,) = shell("secrets", "list", "--output", "json", code=0).json
    assert (row["name"], row["version"], row["former"]) == ("token", 2, 1)
    assert traces(tmp_path, first, second) == []
    with sqlite3.connect(shell.home / "ledger.sqlite") as ledger:
        assert "secrets.rekey" in "".join(ledger.iterdump())
    assert "VALUE" not in shell("secrets", "set", "--help").out


def test_a_fleet_goes_on_while_its_master_key_moves_and_its_servers_never_see_it(tmp_path: Path) -> None:
    shell, canary = Shell(tmp_path), f"Canary/{secrets.token_hex(12)}"
    key = b64encode(secrets.token_bytes(32)).decode()
    server = {
        **fixture_server("modern_only"),
        "env": {"WANTED": "${secret:token}", "KEY": "${GARRISON_MASTER_KEY:-no}"},
    }
    (tmp_path / "garrison.yaml").write_text(
        json.dumps({"servers": {"one": server}, "settings": {"edge": {"listen": "127.0.0.1:0"}}})
    )
    shell("secrets", "set", "token", stdin=canary, code=0)
    try:
        shell("up", code=0, GARRISON_MASTER_KEY=key)
        moved = shell("secrets", "rekey", "--to", "environment", "--output", "json", code=0, GARRISON_MASTER_KEY=key)
        assert moved.json["is_finished"] is False, "the fleet that runs may need the former key"
        shell("server", "restart", "one", code=0)
        shell("secrets", "rekey", "--finish", code=0, GARRISON_MASTER_KEY=key)
        assert not (shell.home / "secrets.key").exists()
        shell("server", "restart", "one", code=0)
        status = shell("status", "--output", "json", code=0).json
        assert re.search(r"\"state\": ?\"running\"", json.dumps(status))
        (environment,) = environments(f"WANTED={canary}")
        assert "KEY=no" in environment
        assert key not in environment
        assert "secrets.key_missing" not in shell("secrets", "list", GARRISON_MASTER_KEY=key, code=0).err
    finally:
        shell("down")
    assert traces(tmp_path, canary, key) == []


def test_a_revoked_key_leaves_no_token_and_rekeying_orphans_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    home, made = Home(shell.home), {}
    for name in ("ada", "bob"):
        made[name] = shell("keys", "create", name, "--role", "dev", "--output", "json", code=0).json["principal"]
    shell("secrets", "set", "token", stdin="Canary", code=0)
    tokens = token_store(home, SystemClock())
    for principal in made.values():
        tokens.keep("mail", principal, Token(access=f"for-{principal}", ends_s=4e9))
    subject_key = SubjectKeys(home.body_keys, envelope_of(home)).of("ada")
    shell("keys", "revoke", "ada", "--yes", code=0)
    assert len(sealed_tokens(home, SystemClock()).list()) == 1
    for more in ((), ("--data-key",), ("--to", "environment")):
        key = b64encode(b"k" * 32).decode()
        shell("secrets", "rekey", *more, code=0, GARRISON_MASTER_KEY=key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GARRISON_MASTER_KEY", key)
        kept = token_store(home, SystemClock()).token("mail", made["bob"])
        assert kept is not None
        assert kept.access == f"for-{made['bob']}"
        assert secrets_of(home).get("token") == "Canary"
        assert SubjectKeys(home.body_keys, envelope_of(home)).find("ada") == subject_key


def environments(of: str) -> list[str]:
    """The environments of processes that have this in theirs, a variable a line."""
    found = []
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            text = process.read_bytes().replace(b"\0", b"\n").decode(errors="replace")
        except OSError:
            continue
        found += [text] if of in text.split("\n") else []
    return found
