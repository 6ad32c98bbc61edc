"""Secrets are planted in every field that somebody can fill, and looked for in everything that is written or shown."""

from __future__ import annotations

import asyncio
import json
import secrets
import string
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from authorisation_server import ROBOT, authorisation_server, robot_token
from brought_up import fixture_server
from command_line import Shell
from identity.signing import EC, signed
from remote_servers import remote

pytestmark = pytest.mark.slow

_LETTERS = string.ascii_letters + string.digits


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def word() -> str:
    """A password: nothing tells that it is one but the place where it stands."""
    return f"canary{_random(18)}"


def token() -> str:
    """A credential whose form tells what it is, as people paste it where it does not belong."""
    return f"ghp_{_random(36)}"


class Garden:
    """What was planted, and where."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}

    def plant(self, where: str, value: str) -> str:
        self.planted[where] = value
        return value

    def found_in(self, text: bytes) -> list[str]:
        return [where for where, value in self.planted.items() if value.encode() in text]


META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


def messages(garden: Garden) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests, each with a canary: in values wherever one can stand, in names as a token that looks like one."""
    plant = garden.plant

    def call(tool: str, arguments: Any, **meta: Any) -> dict[str, Any]:
        return {"name": tool, "arguments": arguments, "_meta": {**META, **meta}}

    yield "tools/call", call("one__echo", {"text": plant("a right argument", word())})
    yield "tools/call", call("one__add", {"a": plant("an argument of a wrong type", word()), "b": 1})
    yield "tools/call", call("one__add", {"a": 1, "b": {"inner": [plant("deep in a wrong argument", word())]}})
    yield "tools/call", call("one__echo", {plant("the name of an argument", token()): 1, "text": "a"})
    yield "tools/call", call("one__echo", plant("in place of arguments", word()))
    yield "tools/call", call(f"one__{plant('the name of an unknown tool', token())}", {})
    yield "tools/call", call(plant("the name of a tool of no server", token()), {})
    yield "tools/call", call("one__echo", {"text": "a"}, **{"x/own": plant("a member of _meta", word())})
    yield "tools/call", call("one__echo", {"text": "a"}, progressToken=plant("the progress token", word()))
    client = {"name": plant("the client's name", token()), "version": plant("the client's version", word())}
    yield "tools/call", call("one__echo", {"text": "a"}, **{"io.modelcontextprotocol/clientInfo": client})
    yield "prompts/get", {"name": plant("the name of a prompt", token()), "arguments": {}, "_meta": META}
    yield (
        "prompts/get",
        {"name": "one__greet", "arguments": {"name": plant("a prompt's argument", word())}, "_meta": META},
    )
    uri = f"file:///x?access_token={plant('the query of a URI', word())}"
    yield "resources/read", {"uri": uri, "_meta": META}
    yield "resources/read", {"uri": f"https://ada:{plant('the password in a URI', word())}@host/x", "_meta": META}
    yield "resources/read", {"uri": f"one://{plant('the path of a URI', token())}", "_meta": META}
    yield f"x/{plant('an unknown method', token())}", {"_meta": META}
    yield "tools/list", {"cursor": plant("a cursor", word()), "_meta": META}
    yield "tools/call", {**call("one__echo", {"text": "a"}), "requestState": plant("a request's state", word())}


def requests(garden: Garden, key: str) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """Path, headers and body."""
    plant = garden.plant
    own = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    for method, params in messages(garden):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        name = params.get("name", params.get("uri", ""))
        yield "/mcp", {**own, **_modern(method, name)}, body.encode()
    plain = {"jsonrpc": "2.0", "id": plant("the id", token()), "method": "tools/list", "params": {"_meta": META}}
    text = json.dumps(plain).encode()
    modern = {**own, **_modern("tools/list", "")}
    yield "/mcp", modern, text
    yield f"/mcp?key={plant('the query', word())}", modern, text
    yield f"/servers/{plant('the name of a server', token())}/mcp", modern, text
    yield f"/{plant('a path', token())}", modern, text
    yield "/mcp", {**modern, "cookie": f"session={plant('a cookie', word())}"}, text
    yield "/mcp", {**modern, "x-api-key": plant("a header of a telling name", word())}, text
    yield "/mcp", {**modern, "x-own": plant("a header", word())}, text
    yield "/mcp", {**modern, "mcp-session-id": plant("a session id", word())}, text
    yield "/mcp", {**modern, "user-agent": plant("the user agent", token())}, text
    for path in ("/mcp", "/api/v1/status", "/metrics", "/sse", "/servers/one/mcp"):
        where = f"a wrong key at {path}"
        yield path, {**modern, "authorization": f"Bearer {plant(where, word())}"}, text
        yield path, {**modern, "authorization": f"Basic {plant(f'a basic {where}', word())}"}, text
        claims = {"iss": "https://login.example", "sub": plant(f"the subject of {where}", word())}
        forged = plant(f"{where}, of a token", signed({"alg": "ES256", "kid": "ec"}, claims, EC, "ES256"))
        yield path, {**modern, "authorization": f"Bearer {forged}"}, text
    yield "/mcp", own, b'{"jsonrpc":"2.0","id":1,"method":"' + plant("broken JSON", word()).encode()
    yield "/mcp", own, plant("no JSON", word()).encode()


def questions(garden: Garden, key: str) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Of the admin API and the pages: verb, path, headers and body."""
    plant = garden.plant
    own = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    for page in ("/oauth/begin?ticket=", "/oauth/callback?state=x&code=", "/oauth/callback?error_description="):
        yield "GET", page + plant(f"behind {page}", word()), {}, b""
    for path in ("/approvals/", "/api/v1/approvals/", "/api/v1/scan?server=", "/api/v1/pins?server="):
        yield "GET", path + plant(f"behind {path}", token()), own, b""
    for path in ("/api/v1/limits?principal=", "/api/v1/limits/report?by="):
        yield "GET", path + plant(f"behind {path}", token()), own, b""
    for field in ("principal", "tool", "server", "call", "outcome", "kind", "since", "until", "before"):
        yield "GET", f"/api/v1/audit/search?{field}={plant(f'the {field} of a question', token())}", own, b""
    yield "POST", f"/api/v1/auth/away?principal={plant('for whom to sign in', token())}", own, b""
    pin = {"server": "one", "name": plant("the name of a pin", token()), "sha256": plant("the hash of a pin", token())}
    for decision in ("approve", "revoke"):
        yield "POST", f"/api/v1/pins/{decision}", own, json.dumps(pin).encode()
    yield "POST", "/api/v1/pins/approve", own, json.dumps({plant("a member of a decision", token()): 1}).encode()
    reason = {"garrison-reason": f"look at {plant('the reason in a header', token())}"}
    yield "POST", "/api/v1/pins/reload", {**own, **reason}, b""


def _modern(method: str, name: str) -> dict[str, str]:
    found = {"mcp-protocol-version": "2026-07-28", "mcp-method": method}
    return {**found, "mcp-name": name} if name else found


def configure(shell: Shell, garden: Garden, issuer: str, guarded: str) -> None:
    plant = garden.plant
    for name, value in {
        "TOKEN": plant("a stored secret", word()),
        "HEADER": plant("a secret of a header", word()),
        "FIXED": plant("a secret of auth", word()),
        "CLIENT": plant("the secret of an OAuth client", ROBOT[1]),
    }.items():
        shell("secrets", "set", name, stdin=value, code=0)
    shell("secrets", "rotate", "FIXED", stdin=plant("a secret that was rotated", word()), code=0)
    one = {**fixture_server("everything"), "session": "shared"}
    one["env"] = {"API_TOKEN": "${secret:TOKEN}", "PASSWORD": "${FROM_OUTSIDE}"}
    away = {"url": "http://127.0.0.1:9/mcp", "headers": {"Authorization": "Bearer ${secret:HEADER}"}, "start": "lazy"}
    fixed = {"kind": "header", "header": "X-Api-Key", "value": "${secret:FIXED}"}
    client = {
        "kind": "client_credentials",
        "issuer": issuer,
        "client_id": ROBOT[0],
        "client_secret": "${secret:CLIENT}",
    }
    (shell.folder / "garrison.yaml").write_text(
        json.dumps(
            {
                "servers": {
                    "one": one,
                    "away": away,
                    "near": {"url": "http://127.0.0.1:9/mcp", "auth": fixed, "start": "lazy"},
                    "vault": {"url": guarded, "auth": client},
                },
                "issuers": {"tests": {"issuer": issuer, "audiences": ["urn:ours"], "roles": ["asker"]}},
                "roles": {
                    "asker": {"grants": [{"servers": ["one"], "tools": ["echo"], "effect": "approve"}]},
                    "free": {"grants": [{"servers": ["*"], "tools": ["*"]}]},
                },
                "limits": {"few": {"principals": ["nobody-*"], "calls": "1/hour"}},
                "settings": {
                    "edge": {"listen": "127.0.0.1:0"},
                    "logs": {"level": "debug"},
                    "approvals": {"wait_s": 0.1},
                    "audit": {"bodies": "both"},
                },
            }
        )
    )


def shown(shell: Shell) -> Iterator[tuple[str, bytes]]:
    """What commands say."""
    for words in (
        ("status",),
        ("status", "--output", "json"),
        ("logs", "--lines", "10000"),
        ("logs", "one", "--lines", "10000"),
        ("audit", "tail", "--limit", "10000"),
        ("audit", "tail", "--limit", "10000", "--output", "json"),
        *(("audit", "export", "--format", form) for form in ("jsonl", "cef", "ocsf", "syslog")),
        ("audit", "search", "--limit", "1000", "--output", "json"),
        ("audit", "search", "--outcome", "failed", "--limit", "1000"),
        ("audit", "checkpoint"),
        ("audit", "prove", "1"),
        ("state", "--at", "0s", "--output", "json"),
        ("scan", "--severity", "low", "--output", "json"),
        ("scan", "--severity", "low", "--output", "sarif"),
        ("pins", "list", "--output", "json"),
        ("limits", "show", "--output", "json"),
        ("limits", "report"),
        ("approvals", "list", "--output", "json"),
        ("auth", "status", "--output", "json"),
        ("policy", "show"),
        ("secrets", "list"),
        ("keys", "list", "--output", "json"),
        ("settings", "show", "--output", "json"),
        ("server", "list"),
        ("check",),
    ):
        said = shell(*words)
        yield " ".join(words), (said.out + said.err).encode()


def written(home: Path) -> Iterator[tuple[str, bytes]]:
    """All files, whatever they are."""
    for path in home.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(home)), path.read_bytes()


def processes() -> Iterator[tuple[str, bytes]]:
    """Command lines of all that runs; what `ps` shows to everybody."""
    for process in psutil.process_iter():
        try:
            yield f"process {process.pid}", "\0".join(process.cmdline()).encode()
        except psutil.Error:
            continue


def ask(url: str, garden: Garden, key: str) -> set[int]:
    found = set()
    with httpx2.Client(timeout=20) as http:
        for path, head, body in requests(garden, key):
            found.add(http.post(url + path, headers=head, content=body).status_code)
        for verb, path, head, body in questions(garden, key):
            found.add(http.request(verb, url + path, headers=head, content=body).status_code)
        found.add(http.get(f"{url}/metrics", headers={"authorization": f"Bearer {key}"}).status_code)
    return found


def call(url: str, key: str, tool: str, **arguments: str) -> httpx2.Response:
    params = {"name": tool, "arguments": arguments, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"authorization": f"Bearer {key}", **_modern("tools/call", tool)}
    return httpx2.post(f"{url}/mcp", json=body, headers=headers, timeout=20)


def decide(garrison: Shell, garden: Garden, url: str, bearer: str) -> None:
    """Somebody with a token asks, and somebody else decides: in one call, and with what both said."""
    for verdict in ("approve", "deny"):
        argument = garden.plant(f"an argument that waits for somebody to {verdict}", word())
        answer = call(url, bearer, "one__echo", text=argument)
        assert "approval.pending" in answer.text, answer.text
        waiting = garrison("approvals", "list", "--output", "json", code=0).json
        (mine,) = [one["id"] for one in waiting if one["state"] == "pending"]
        reason = garden.plant(f"the reason to {verdict}", token())
        garrison("approvals", verdict, mine, "--reason", f"because of {reason}", code=0)


def administer(garrison: Shell, garden: Garden) -> None:
    """Words that people give to commands that change or ask something."""
    plant = garden.plant
    garrison("--reason", f"see {plant('a reason', token())}", "keys", "revoke", "reader", "--yes", code=0)
    garrison("audit", "hold", "add", "--principal", "x", "--reason", plant("the reason of a hold", token()), code=0)
    garrison("audit", "search", "--principal", plant("whom somebody searched", token()), code=None)
    garrison("explain", "admin", "one__echo", "--arguments", json.dumps({"text": plant("a trial", word())}), code=None)
    garrison("pins", "approve", f"one/{plant('a pin', token())}", code=None)
    garrison("scan", plant("a server to scan", token()), code=None)


async def test_no_secret_is_written_or_shown_anywhere(garrison: Shell) -> None:
    with authorisation_server() as issuer:
        async with remote("guarded", "--issuer", issuer) as guarded:
            bearer = await robot_token(issuer, "urn:ours")
            leaks = await asyncio.to_thread(leaks_of_a_fleet, garrison, issuer, guarded, bearer)
    assert leaks == {}


def leaks_of_a_fleet(garrison: Shell, issuer: str, guarded: str, bearer: str) -> dict[str, list[str]]:
    garden = Garden()
    configure(garrison, garden, issuer, guarded)
    outside = garden.plant("a variable of the environment", word())
    garrison("up", FROM_OUTSIDE=outside, code=0)
    url = json.loads((garrison.home / "run" / "node.json").read_text())["url"]
    key = garden.plant("the admin key", (garrison.home / "admin.key").read_text().strip())
    made = garrison("keys", "create", "reader", "--role", "reader", code=0)
    garden.plant("a key that was made", next(part for part in made.out.split() if part.startswith("gsn_")))
    garden.plant("a token that was taken", bearer)
    garden.plant("the signature of a token that was taken", bearer.rpartition(".")[2])
    assert "robot" in call(url, key, "vault__whoami").text  # so Garrison has a token of its own there
    decide(garrison, garden, url, bearer)
    assert {200, 400, 401, 404} <= ask(url, garden, key)
    administer(garrison, garden)
    garrison("call", "away__x", code=None)
    garrison("call", "near__x", code=None)
    leaks = found_in(garden, [*shown(garrison), *written(garrison.home), *processes()])
    garrison("down", code=0)
    after = found_in(garden, written(garrison.home))
    return leaks | {f"{where} after the end": found for where, found in after.items()}


def found_in(garden: Garden, texts: Iterable[tuple[str, bytes]]) -> dict[str, list[str]]:
    leaks: dict[str, list[str]] = {}
    for where, text in texts:
        found = garden.found_in(text)
        if where == "admin.key":  # the one place where that key belongs; and the search finds it
            assert found == ["the admin key"]
        elif found:
            leaks[where] = found
    return leaks
