"""The ledger at the command line, as an auditor uses it: checkpoints, proofs, exports, keys; PostgreSQL too."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from brought_up import Up, brought_up
from command_line import Shell
from garrison.kernel.errors import Invalid
from garrison.kernel.home import Home
from garrison.surfaces.ledger_place import place_in
from garrison.surfaces.settings import load
from postgres_server import PASSWORD, Postgres, postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


async def calls(up: Up, count: int) -> None:
    async with httpx2.AsyncClient(timeout=20) as http:
        answers = await asyncio.gather(*(up.call(http, "echo", text=f"n{one}") for one in range(count)))
    assert {answer.status_code for answer in answers} == {200}


def alone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(folder / "verify.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.slow
async def test_an_auditor_verifies_what_a_fleet_did_and_notices_what_was_undone(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    async with brought_up(tmp_path) as up:
        await calls(up, 20)
        (tmp_path / "kept.checkpoint").write_text(shell("audit", "checkpoint", code=0).out)
        (tmp_path / "ledger.pub").write_text(shell("audit", "key", code=0).out)
        shell("audit", "rotate-key", "--yes", code=0)
        await calls(up, 5)
    verdict = shell("audit", "verify", "--since", "kept.checkpoint", "--output", "json", code=0).json
    assert verdict["ok"]
    assert verdict["entries"] > 50
    assert verdict["checkpoints"] >= 3
    (tmp_path / "verify.py").write_text(shell("audit", "verifier", code=0).out)
    (tmp_path / "new.pub").write_text(shell("audit", "key", code=0).out)
    shell("audit", "export", "--file", "all.jsonl", code=0)
    done = alone(tmp_path, "all.jsonl", "--key", "new.pub", "--since", "kept.checkpoint")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert alone(tmp_path, "all.jsonl", "--key", "ledger.pub").returncode == 1
    (tmp_path / "proof.json").write_text(shell("audit", "prove", "17", code=0).out)
    (tmp_path / "grown.json").write_text(shell("audit", "prove", "--from", "10", code=0).out)
    for file in ("proof.json", "grown.json", "all.jsonl"):
        shell("audit", "verify", file, "--key", "new.pub", code=0)
    assert shell("audit", "verify", file).code == 2, "without a key there is nothing to believe"
    forge(shell.home / "ledger.sqlite")
    assert shell("audit", "verify", "--output", "json", code=1).json["reason"]


def holding(folder: Path, text: str) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


def forge(ledger: Path) -> None:
    connection = sqlite3.connect(ledger)
    connection.execute("DROP TRIGGER pages_never_change")
    connection.execute("UPDATE pages SET bodies = replace(bodies, 'tools/call', 'tools/list')")
    connection.commit()
    connection.close()


@pytest.mark.slow
async def test_a_fleet_keeps_its_ledger_in_postgres_and_its_password_nowhere(tmp_path: Path, server: Postgres) -> None:
    shell, url = Shell(tmp_path), server.database().replace(PASSWORD, "${secret:pg}")
    shell("secrets", "set", "pg", stdin=PASSWORD, code=0)
    async with brought_up(tmp_path, ledger={"url": url}) as up:
        await calls(up, 10)
        said = [
            shell("audit", "verify", "--output", "json", code=0),
            shell("audit", "tail", "--output", "json", code=0),
            shell("settings", "show", code=0),
            shell("status", "--output", "json", code=0),
            shell("keys", "create", "ci", "--role", "reader", code=0),
        ]
        assert said[0].json["entries"] > 20
        log = up.log()
    shell("audit", "export", "--file", "all.jsonl", code=0)
    shell("audit", "verify", "all.jsonl", "--key", shell("audit", "key", code=0).out.strip(), code=0)
    assert "keys.create" in (tmp_path / "all.jsonl").read_text()
    assert PASSWORD not in log + "".join(one.out + one.err for one in said)
    assert holding(tmp_path, PASSWORD) == []


def test_there_is_no_ledger_to_speak_of_before_the_first_start(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for words in (["verify"], ["checkpoint"], ["key"], ["prove", "1"], ["export"]):
        assert shell("audit", *words).code == 3, words


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("", True),
        ("postgresql://garrison@db/ledger", True),
        ("postgresql://garrison:${secret:pg}@db/ledger", True),
        ("postgresql://garrison:${PG_PASSWORD}@db/ledger?sslmode=verify-full", True),
        ("${secret:ledger_url}", True),
        ("postgresql://garrison:hunter2@db/ledger", False),
        ("postgresql://garrison@db/ledger?password=hunter2", False),
        ("mysql://db/ledger", False),
        ("ledger.sqlite", False),
    ],
)
def test_a_password_in_plain_text_and_what_is_no_postgres_are_refused(url: str, fine: bool) -> None:
    problems = load({"ledger": {"url": url}}, "garrison.yaml", {}, {}).problems
    assert [problem.setting for problem in problems] == ([] if fine else ["ledger.url"])
    assert "hunter2" not in "".join(problem.message + problem.hint for problem in problems)


def test_what_a_reference_holds_is_put_into_the_url_whatever_its_letters(tmp_path: Path) -> None:
    home = Home(tmp_path)
    found = place_in(home, "postgresql://me:${PW}@db/ledger", {"PW": "a@b:/ c"})
    assert found.url == "postgresql://me:a%40b%3A%2F%20c@db/ledger"
    assert place_in(home, "${URL}", {"URL": "postgresql://me:x@db/l"}).url == "postgresql://me:x@db/l"
    with pytest.raises(Invalid, match="PW"):
        place_in(home, "postgresql://me:${PW}@db/ledger", {})
    assert json.dumps(repr(found)).count("a%40b") == 0
