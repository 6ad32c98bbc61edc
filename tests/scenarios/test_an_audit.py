"""An auditor comes: what was asked and answered, what ran when, what must be kept, what must be forgotten."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from brought_up import fixture_server, write
from command_line import Said, Shell
from garrison.kernel.home import Home
from garrison.protection.place import Place
from garrison.surfaces.former_state import state_at
from garrison.surfaces.moments import moment_ns
from protection_receivers import Listener, eventually

pytestmark = pytest.mark.slow

TWO = {"one": fixture_server("modern_only"), "two": fixture_server("modern_only")}


def up(garrison: Shell, servers: dict[str, Any], **settings: dict[str, object]) -> dict[str, Any]:
    write(garrison.folder, servers, **settings)
    found: dict[str, Any] = garrison("up", "--output", "json", code=0).json
    return found


def echo(garrison: Shell, text: str, server: str = "one", **more: Any) -> Said:
    return garrison("call", f"{server}__echo", json.dumps({"text": text}), **more)


def search(garrison: Shell, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = garrison("audit", "search", *words, "--output", "json", code=0).json["entries"]
    return found


def servers_of(status: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["state"] for row in status["servers"]}


def test_an_auditor_comes_to_a_fleet_that_runs_and_stays_when_it_is_down(garrison: Shell) -> None:
    with Listener() as listener:
        forward = f"syslog+tcp://127.0.0.1:{listener.port}"
        status = up(garrison, TWO, audit={"bodies": "both", "bodies_servers": ["one"], "forward": forward})
        _bodies_are_encrypted_masked_shown_to_who_may_and_forgotten_for_good(garrison)
        _questions_are_answered_over_http(garrison, status["url"])
        hostile = 'x"|=]\n<34>1 evil'
        echo(garrison, hostile, code=0)
        garrison("call", f"one__{hostile}", "{}")
        garrison("down", code=0)
        eventually(lambda: b"fleet.stopped" in b"".join(list(listener.messages)), "the last entry")
        seqs = [int(n) for one in list(listener.messages) for n in re.findall(rb'seq="(\d+)"', one)]
        assert sorted(set(seqs)) == list(range(1, max(seqs) + 1))
    _holds_are_on_the_record_and_entries_are_exported_and_sent(garrison)


def _bodies_are_encrypted_masked_shown_to_who_may_and_forgotten_for_good(garrison: Shell) -> None:
    canary, secret = f"canary-{secrets.token_hex(8)}", f"gsn_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
    assert canary in echo(garrison, f"{canary} {secret}", code=0).out
    echo(garrison, canary, server="two", code=0)
    eventually(lambda: len(search(garrison, "--method", "tools/call", "--kind", "call.outcome")) == 2, "both calls")
    first, second = search(garrison, "--method", "tools/call", "--kind", "call.outcome")[::-1]
    assert "commitment" in first["detail"]["response"]
    assert "response" not in second["detail"]
    shown = garrison("audit", "show", first["call"], "--bodies", "--output", "json", code=0).json
    asked, answered = shown[0]["bodies"]["request"], shown[1]["bodies"]["response"]
    assert canary in asked
    assert canary in answered
    assert secret not in asked + answered
    assert search(garrison, "--method", "audit.bodies_read")[0]["detail"] == {"entries": [one["seq"] for one in shown]}
    assert traces(garrison.home, canary) == []
    backup = garrison.folder / "backup"
    backup.mkdir()
    for file in garrison.home.glob("bodies.sqlite*"):
        shutil.copy(file, backup)
    who = first["principal"]
    garrison("audit", "forget", who, "--reason", "asked for", "--yes", code=0)
    assert search(garrison, "--method", "audit.forget")[0]["detail"]["reason"] == "asked for"
    for file in backup.iterdir():
        shutil.copy(file, garrison.home)
    again = garrison("audit", "show", first["call"], "--bodies", "--output", "json", code=0).json
    assert [one["bodies"] for one in again] == [{"request": "(forgotten)"}, {"response": "(forgotten)"}]
    assert garrison("audit", "verify", code=0).out.startswith("the ledger holds")


def traces(folder: Path, canary: str) -> list[str]:
    files = [one for one in folder.rglob("*") if one.is_file()]
    return [str(one) for one in files if canary.encode() in one.read_bytes()]


def test_the_state_of_a_moment_is_what_status_said_then(garrison: Shell) -> None:
    said: list[tuple[str, dict[str, str], str]] = []

    def look() -> None:
        status = garrison("status", "--output", "json").json
        said.append((now(), servers_of(status), status["snapshot"]))

    up(garrison, TWO)
    look()
    garrison("keys", "create", "ci", "--role", "admin", code=0)
    with_key = now()
    up(garrison, {"one": fixture_server("modern_only"), "three": fixture_server("modern_only")})
    look()
    garrison("--reason", "lost laptop ü\n", "keys", "revoke", "ci", "--yes", code=0)
    broken = {"command": ["/bin/false"]}
    write(garrison.folder, {**TWO, "bad": broken})
    garrison("up", "--output", "json")
    look()
    garrison("--reason", "it was slow ü\n", "server", "restart", "one", code=0)
    look()
    garrison("down", code=0)
    reasons = {row["action"]: row["detail"].get("reason") for row in search(garrison, "--kind", "change")[::-1]}
    assert reasons["keys.revoke"] == "lost laptop ü\n"
    assert reasons["server.restart_asked"] == "it was slow ü\n"
    assert reasons["server.started"] is None
    for at, servers, version in said:
        told = state_at(Home(garrison.home), Place(garrison.home / "ledger.sqlite"), moment_ns(at, 0))
        assert (servers_of(told), told["snapshot"], told["up"]) == (servers, version, True), at
    after = garrison("state", "--output", "json", code=0).json
    assert not after["up"]
    assert set(servers_of(after).values()) == {"stopped"}
    told = garrison("state", "--at", with_key, "--output", "json", code=0).json
    assert [key["name"] for key in told["keys"]] == ["admin", "ci"]
    assert told["keys"][1]["by"].startswith("local:")
    compared = garrison("state", "--at", with_key, "--diff", said[1][0], "--output", "json", code=0).json
    assert {(row["what"], row["name"]) for row in compared["differences"]} >= {("server", "two"), ("server", "three")}
    assert "fleet.applied" in [row["action"] for row in compared["changes"]]
    assert "three" in garrison("state", "--at", said[1][0], code=0).out


def now() -> str:
    """A moment that nothing else falls into."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() % 10**9 // 1000:06d}Z"


def _holds_are_on_the_record_and_entries_are_exported_and_sent(garrison: Shell) -> None:
    hold = garrison("audit", "hold", "add", "--server", "two", "--reason", "case 7", "--output", "json", code=0).json
    assert [one["reason"] for one in garrison("audit", "hold", "list", "--output", "json", code=0).json] == ["case 7"]
    assert garrison("audit", "prune", "--yes").code == 2
    assert garrison("audit", "prune", "--days", "1", "--dry-run", "--output", "json", code=0).json["entries"] == 0
    garrison("audit", "hold", "release", hold["id"], "--reason", "closed", "--yes", code=0)
    count = search(garrison)[0]["seq"]
    lines = garrison("audit", "export", "--format", "ocsf", code=0).out.splitlines()
    assert len(lines) == count
    assert all(line.isprintable() for line in lines)
    with Listener() as listener:
        url = f"syslog+tcp://127.0.0.1:{listener.port}"
        assert garrison("audit", "export", "--format", "cef", "--send", url, code=0).out == f"sent {count} entries\n"
        eventually(lambda: len(listener.messages) == count, "all entries")


def _questions_are_answered_over_http(garrison: Shell, url: str) -> None:
    key = (garrison.home / "admin.key").read_text().strip()
    with httpx2.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as http:
        found = http.get("/api/v1/audit/search", params={"method": "tools/call", "limit": "1"})
        assert [one["kind"] for one in found.json()["entries"]] == ["call.outcome"]
        assert found.json()["next"] > 1
        assert http.get("/api/v1/audit/search", params={"what": "x"}).status_code == 400
        assert http.get("/api/v1/audit/state", params={"at": "0s"}).json()["up"] is True
        assert http.get("/api/v1/status").json()["forwarding"]["problem"] == ""
        assert http.get("/api/v1/audit/search", headers={"authorization": "Bearer x"}).status_code == 401
