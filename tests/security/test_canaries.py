"""Secrets are planted in every field that somebody can fill, and looked for in everything that is written or shown."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from brought_up import fixture_server
from command_line import Shell

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
    yield "/mcp", own, b'{"jsonrpc":"2.0","id":1,"method":"' + plant("broken JSON", word()).encode()
    yield "/mcp", own, plant("no JSON", word()).encode()


def _modern(method: str, name: str) -> dict[str, str]:
    found = {"mcp-protocol-version": "2026-07-28", "mcp-method": method}
    return {**found, "mcp-name": name} if name else found


def configure(shell: Shell, garden: Garden) -> None:
    plant = garden.plant
    shell("secrets", "set", "TOKEN", stdin=plant("a stored secret", word()), code=0)
    shell("secrets", "set", "HEADER", stdin=plant("a secret of a header", word()), code=0)
    one = {**fixture_server("everything"), "session": "shared"}
    one["env"] = {"API_TOKEN": "${secret:TOKEN}", "PASSWORD": "${FROM_OUTSIDE}"}
    away = {"url": "http://127.0.0.1:9/mcp", "headers": {"Authorization": "Bearer ${secret:HEADER}"}, "start": "lazy"}
    listen = {"edge": {"listen": "127.0.0.1:0"}, "logs": {"level": "debug"}}
    (shell.folder / "garrison.yaml").write_text(json.dumps({"servers": {"one": one, "away": away}, "settings": listen}))


def shown(shell: Shell) -> Iterator[tuple[str, bytes]]:
    """What commands say."""
    for words in (
        ("status",),
        ("status", "--output", "json"),
        ("logs", "--lines", "10000"),
        ("logs", "one", "--lines", "10000"),
        ("audit", "tail", "--limit", "10000"),
        ("audit", "tail", "--limit", "10000", "--output", "json"),
        ("audit", "export", "--format", "jsonl"),
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


def test_no_secret_is_written_or_shown_anywhere(garrison: Shell) -> None:
    garden = Garden()
    configure(garrison, garden)
    outside = garden.plant("a variable of the environment", word())
    garrison("up", FROM_OUTSIDE=outside)
    url = json.loads((garrison.home / "run" / "node.json").read_text())["url"]
    key = garden.plant("the admin key", (garrison.home / "admin.key").read_text().strip())
    made = garrison("keys", "create", "reader", "--role", "reader", code=0)
    garden.plant("a key that was made", next(part for part in made.out.split() if part.startswith("gsn_")))
    answered = set()
    with httpx2.Client(timeout=20) as http:
        for path, headers, body in requests(garden, key):
            answered.add(http.post(url + path, headers=headers, content=body).status_code)
    assert {200, 400, 401, 404} <= answered
    garrison("call", "away__x", code=None)
    leaks: dict[str, list[str]] = {}
    for where, text in [*shown(garrison), *written(garrison.home), *processes()]:
        if where == "admin.key":  # the one place where that key belongs; and the search finds it
            assert garden.found_in(text) == ["the admin key"]
            continue
        if found := garden.found_in(text):
            leaks[where] = found
    garrison("down", code=0)
    for where, text in written(garrison.home):
        if where != "admin.key" and (found := garden.found_in(text)):
            leaks[f"{where} after the end"] = found
    assert leaks == {}
