"""From `garrison up` in an empty folder to `garrison down`, with deaths in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from command_line import GARRISON, Shell, environment
from garrison.kernel.home import Home
from garrison.runtimes import strays
from garrison.surfaces.launch import fleet_id

pytestmark = pytest.mark.slow

ANYWHERE = ("--listen", "127.0.0.1:0")


def until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """Poll until the condition holds; its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.1)
    return value


def all_running(garrison: Shell) -> dict[str, Any] | None:
    said = garrison("status", "--output", "json")
    return said.json if said.code == 0 and all(row["state"] == "running" for row in said.json["servers"]) else None


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and ") Z" not in Path(f"/proc/{pid}/stat").read_text()


def test_up_prints_what_scripts_rely_on_and_down_leaves_nothing(garrison: Shell) -> None:
    subprocess.run(["git", "init", "-q", str(garrison.folder)], check=True)
    said = garrison("up", *ANYWHERE, "--output", "json", code=0)
    assert list(said.json)[:4] == ["url", "key_file", "pid", "servers"]
    assert said.json["key_file"] == str(garrison.home / "admin.key")
    rows = {row["name"]: row for row in said.json["servers"]}
    assert all(list(row)[:5] == ["name", "state", "era", "tools", "error"] for row in rows.values())
    assert {name: row["state"] for name, row in rows.items()} == dict.fromkeys(("filesystem", "time", "git"), "running")
    key_file = garrison.home / "admin.key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.read_text() not in said.out + said.err
    assert "starting" in said.err
    assert garrison("down", code=0).out == "the fleet is down\n"
    assert strays.find(fleet_id(Home(garrison.home))) == []
    assert not is_alive(said.json["pid"])
    assert garrison("audit", "verify", code=0).code == 0


def test_a_second_up_reports_and_changes_nothing(garrison: Shell) -> None:
    first = garrison("up", *ANYWHERE, "--output", "json", code=0).json
    second = garrison("up", "--output", "json", code=0)
    assert "nothing has changed" in second.err
    assert (second.json["pid"], second.json["url"]) == (first["pid"], first["url"])
    assert [row["pid"] for row in second.json["servers"]] == [row["pid"] for row in first["servers"]]
    assert len(list((garrison.home / "revisions").glob("*.json"))) == 1


def test_calls_need_the_key_and_are_on_the_record(garrison: Shell) -> None:
    (garrison.folder / "note.txt").write_text("find me")
    url = garrison("up", *ANYWHERE, "--output", "json", code=0).json["url"]
    assert httpx2.post(f"{url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).status_code == 401
    assert httpx2.get(f"{url}/api/v1/status").status_code == 401
    assert httpx2.get(f"{url}/healthz").status_code == httpx2.get(f"{url}/readyz").status_code == 200
    assert "note.txt" in garrison("call", "filesystem__search_text", "pattern=find", code=0).out
    assert garrison("call", "filesystem__read_text_file", "path=nowhere.txt", code=1).out
    garrison("call", "nobody__nothing", code=3)
    kinds = {entry["kind"] for entry in garrison("audit", "tail", "-n", "100", "--output", "json", code=0).json}
    assert {"change", "call.intent", "call.outcome", "refusal"} <= kinds
    garrison("keys", "create", "guest", "--to", "guest.key", code=0)
    as_guest = ("call", "time__get_current_time", "--key-file", "guest.key")
    assert "no role" in garrison(*as_guest, code=5).err
    garrison("keys", "revoke", "guest", "--yes", code=0)
    until(lambda: "no role" not in garrison(*as_guest, code=5).err, "the revoked key is nobody's any more")


def test_verify_makes_a_real_call_to_each_server(garrison: Shell) -> None:
    report = garrison("up", *ANYWHERE, "--verify", "--output", "json", code=0).json
    proofs = {row["name"]: row["verified"] for row in report["servers"]}
    assert all(proof["ok"] and proof["tools"] for proof in proofs.values())
    assert proofs["time"]["tool"] == "get_current_time"


def test_a_changed_configuration_is_taken_over_and_rolled_back(garrison: Shell) -> None:
    config = garrison.folder / "garrison.yaml"
    time_server = f"{{command: [{sys.executable}, -P, -m, garrison.servers, time]}}"
    config.write_text(f"servers:\n  one: {time_server}\n")
    first = garrison("up", *ANYWHERE, "--output", "json", code=0).json
    config.write_text(f"servers:\n  one: {time_server}\n  two: {time_server}\n")
    second = garrison("up", "--output", "json", code=0)
    assert "two: add" in second.err
    assert [row["name"] for row in second.json["servers"]] == ["one", "two"]
    assert second.json["servers"][0]["pid"] == first["servers"][0]["pid"]
    config.write_text("servers: {one: {comand: [x]}}")
    assert "runs on as it was" in garrison("up", code=2).err
    back = garrison("up", "--rollback", "--output", "json", code=0).json
    assert [(row["name"], row["pid"]) for row in back["servers"]] == [("one", first["servers"][0]["pid"])]
    assert "no earlier configuration" in garrison("up", "--rollback", code=3).err


def test_after_down_a_rollback_starts_the_configuration_before(garrison: Shell) -> None:
    config = garrison.folder / "garrison.yaml"
    for name in ("one", "two"):
        config.write_text(f"servers: {{{name}: {{command: [{sys.executable}, -P, -m, garrison.servers, time]}}}}")
        garrison("up", *ANYWHERE, code=0)
    garrison("down", code=0)
    assert [row["name"] for row in garrison("up", "--rollback", "--output", "json", code=0).json["servers"]] == ["one"]


def test_servers_that_do_not_run_are_said_with_a_hint_and_the_rest_runs(garrison: Shell) -> None:
    servers = {
        "good": {"command": sys.executable, "args": ["-P", "-m", "garrison.servers", "time"]},
        "gone": {"command": "no-such-program"},
        "dies": {"command": sys.executable, "args": ["-c", "raise SystemExit('no luck')"]},
        "unreadable": {"args": ["x"]},
        "unset": {"command": "sh", "args": ["-c", "${NO_SUCH_VARIABLE_X}"]},
    }
    (garrison.folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    rows = {row["name"]: row for row in garrison("up", *ANYWHERE, "--output", "json", code=4).json["servers"]}
    assert rows["good"]["state"] == "running"
    assert rows["gone"]["state"] == rows["unset"]["state"] == rows["unreadable"]["state"] == "fatal"
    assert "no luck" in rows["dies"]["error"]
    assert "NO_SUCH_VARIABLE_X" in rows["unset"]["error"]
    assert all(row["hint"] for name, row in rows.items() if name != "good")
    assert garrison("status", code=4).code == 4


@pytest.mark.parametrize("victim", ["server", "node", "guardian"])
def test_the_fleet_comes_back_by_itself_whatever_is_killed(garrison: Shell, victim: str) -> None:
    report = garrison("up", *ANYWHERE, "--output", "json", code=0).json
    guardian = int((garrison.home / "run" / "guardian.pid").read_text())
    pid = {"server": report["servers"][0]["pid"], "node": report["pid"], "guardian": guardian}[victim]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid), "it is dead")
    after = until(lambda: all_running(garrison), "all servers run again")
    assert after["url"] == report["url"]
    assert garrison("call", "time__get_current_time", code=0).out
    assert garrison("audit", "verify", code=0).code == 0
    garrison("down", code=0)
    assert strays.find(fleet_id(Home(garrison.home))) == []


SLEEPER = {"command": sys.executable, "args": ["-c", "import time; time.sleep(1000)"]}
"""Starts, and never shakes hands."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing_half_started(garrison: Shell, number: signal.Signals) -> None:
    (garrison.folder / ".mcp.json").write_text(json.dumps({"mcpServers": {"sleeper": SLEEPER}}))
    process = subprocess.Popen(
        [*GARRISON, "up", *ANYWHERE], cwd=garrison.folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: strays.find(fleet_id(Home(garrison.home)), "sleeper"), "the server is starting")
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode not in (0, 4)
    assert "stopping what was started" in err
    assert strays.find(fleet_id(Home(garrison.home))) == []
    garrison("status", code=3)


def test_a_fleet_can_be_ended_while_it_is_starting(garrison: Shell) -> None:
    (garrison.folder / ".mcp.json").write_text(json.dumps({"mcpServers": {"sleeper": SLEEPER}}))
    process = subprocess.Popen(
        [*GARRISON, "up", *ANYWHERE], cwd=garrison.folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: strays.find(fleet_id(Home(garrison.home)), "sleeper"), "the server is starting")
        garrison("down", "--now", code=0)
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 6


def test_it_listens_on_ipv6_as_well(garrison: Shell) -> None:
    said = garrison("up", "--listen", "[::1]:0", "--verify", "--output", "json", code=0)
    assert said.json["url"].startswith("http://[::1]:")
    garrison("call", "time__get_current_time", code=0)


def test_a_taken_port_leaves_nothing_behind(garrison: Shell, tmp_path: Path) -> None:
    url = garrison("up", *ANYWHERE, "--output", "json", code=0).json["url"]
    other = tmp_path / "other"
    said = garrison("up", "--home", str(other), "--listen", url.removeprefix("http://"), code=7)
    assert "taken by another process" in said.err
    assert list((other / "run").glob("*.json")) == []
    assert not (other / "run" / "guardian.pid").exists()


def test_in_the_foreground_it_runs_until_sigterm(garrison: Shell) -> None:
    argv = [*GARRISON, "up", "--foreground", *ANYWHERE, "--output", "json"]
    process = subprocess.Popen(
        argv, cwd=garrison.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: all_running(garrison), "all servers run")
        assert "runs already" in garrison("up", "--foreground", code=7).err
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=40)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert json.loads(out)["pid"] == process.pid
    garrison("status", code=3)


def test_servers_can_be_restarted_and_their_logs_read(garrison: Shell) -> None:
    garrison("up", *ANYWHERE, code=0)
    before = garrison("server", "list", "--output", "json", code=0).json
    row = garrison("server", "restart", "time", "--output", "json", code=0).json
    assert row["state"] == "running"
    assert row["pid"] not in [one["pid"] for one in before]
    garrison("server", "restart", "nobody", code=3)
    assert "started" in garrison("logs", "time", code=0).out
    assert "nobody" in garrison("logs", "nobody", code=3).err
    assert "serving" in garrison("logs", code=0).out


def test_two_environments_of_one_folder_run_beside_each_other(garrison: Shell) -> None:
    first = garrison("up", *ANYWHERE, "--output", "json", code=0).json
    try:
        second = garrison("up", *ANYWHERE, "--env", "staging", "--output", "json", code=0).json
        assert first["pid"] != second["pid"]
        assert second["key_file"] == str(garrison.folder / ".garrison-staging" / "admin.key")
    finally:
        garrison("down", "--env", "staging", code=0)
    assert garrison("status", "--output", "json", code=0).json["pid"] == first["pid"]


def test_secrets_in_plain_text_reach_the_server_and_no_file(garrison: Shell) -> None:
    """Until then the token stands in the user's own file only."""
    token = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"
    program = "import os, sys; sys.stderr.write(str(len(os.environ['API_TOKEN']))); sys.exit(1)"
    servers = {"a": {"command": sys.executable, "args": ["-c", program], "env": {"API_TOKEN": token}}}
    (garrison.folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    said = garrison("up", *ANYWHERE, "--output", "json", code=4)
    assert str(len(token)) in said.json["servers"][0]["error"]
    garrison("down", code=0)
    assert token not in said.out + said.err
    assert all(token.encode() not in path.read_bytes() for path in garrison.home.rglob("*") if path.is_file())
