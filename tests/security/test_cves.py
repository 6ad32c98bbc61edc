"""One test for each published hole of other gateways, clients and servers of MCP whose shape ours could have as well.

Each is named by its id. What must hold, is shown on every way on which a message can come (`ways.py`).
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.kernel.home import Home
from raw_http import exchange
from running_fleet import Running, StartFleet, stdio
from security.ways import ALL, WAYS, Caller, Way, on

pytestmark = pytest.mark.slow

READER = RoleSpec(name="reader", grants=(GrantSpec(servers=("one",), tools=("echo",)),))


async def everything(start_fleet: StartFleet, **more: Any) -> Running:
    return await start_fleet(stdio("one", "everything", session="shared"), roles=(READER,), profiles=(ALL,), **more)


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


# ── who may speak at all ──


async def test_cve_2025_49596_a_page_in_a_browser_cannot_make_us_start_a_program(start_fleet: StartFleet) -> None:
    """MCP Inspector: its proxy took `?command=` from any page."""
    running = await everything(start_fleet)
    before = children()
    async with httpx2.AsyncClient() as http:
        for path in ("/mcp", "/sse", "/servers/one/mcp"):
            for verb in ("GET", "POST"):
                url = f"{running.url}{path}?transportType=stdio&command=touch&args=/tmp/owned"
                answer = await http.request(
                    verb, url, headers={"origin": "http://evil.example"}, json={"command": "id"}
                )
                assert answer.status_code == 403, (verb, path)
                assert (await http.request(verb, url, json={"command": "id"})).status_code == 401
    assert children() == before


async def test_cve_2026_42271_no_request_names_a_command(start_fleet: StartFleet) -> None:
    """LiteLLM: a "test connection" endpoint ran what its body named."""
    running = await everything(start_fleet)
    before = children()
    wanted = {"command": "sh", "args": ["-c", "id"], "transport": "stdio", "url": "file:///etc/passwd"}
    for way in WAYS:
        async with on(way, running) as caller:
            for method in ("server/start", "servers/test", "initialize", "tools/list", "tools/call"):
                await caller.ask(method, name=f"{way.prefix}echo", **wanted)
    own = {process for process in children() - before if _command(process)[:1] == ["sh"]}
    assert not own


def _command(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return []


HOSTS = (
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "localhost/../mcp?x=",
    "[::1].evil.example",
)


async def test_cve_2026_48710_the_host_header_decides_nothing(start_fleet: StartFleet) -> None:
    """A Host header that was pasted into the path led around the check of who may use it."""
    running = await everything(start_fleet)
    for path in ("/mcp", "/servers/one/mcp", "/profiles/all/mcp", "/sse", "/api/v1/status", "/metrics"):
        for host in HOSTS:
            head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}"
            answer = await exchange(running, head.encode())
            assert answer.split(b" ", 2)[1] in (b"400", b"421"), (path, host, answer)


@pytest.mark.parametrize("cve", ["cve_2025_66414", "cve_2026_33252"])
async def test_cve_2025_66414_and_2026_33252_strange_origins_hosts_and_types_are_refused(
    start_fleet: StartFleet, cve: str
) -> None:
    """The SDKs of TypeScript and Go took requests from any page, under any name, and of any content type."""
    running = await everything(start_fleet)
    bad = (
        [{"origin": "https://evil.example"}, {"origin": "null"}, {"host": "evil.example"}]
        if cve == "cve_2025_66414"
        else [
            {"content-type": "text/plain"},
            {"content-type": "application/x-www-form-urlencoded"},
            {"content-type": ""},
        ]
    )
    for way in WAYS:
        async with on(way, running) as caller:
            body = caller.body("tools/list", {})
            for headers in bad:
                sent = {**caller.headers(body), **headers}
                answer = await caller.raw(json.dumps(body).encode(), sent)
                assert answer.status_code in (403, 415, 421), (way, headers, answer.status_code)


# ── ids belong to somebody ──


async def test_cve_2026_52869_a_session_is_its_principals_alone(start_fleet: StartFleet) -> None:
    """Whoever knew a session's id could go on with it."""
    running = await everything(start_fleet)
    stranger = {"authorization": f"Bearer {running.key('admin', name='stranger')}"}
    for way in (way for way in WAYS if way.transport != "modern"):
        async with on(way, running) as caller:
            body = caller.body("tools/list", {})
            content = json.dumps([body] if way.transport == "batch" else body).encode()
            answer = await caller.raw(content, {**caller.headers(body), **stranger})
            assert answer.status_code == 404 or (way.transport == "batch" and b'"error"' in answer.content), way
            assert b'"tools"' not in answer.content, way
            assert (await caller.ask("tools/list")).allowed, way


async def test_cve_2026_25536_answers_go_to_who_asked_though_ids_are_equal(start_fleet: StartFleet) -> None:
    """The TypeScript SDK gave one client's answer to another with the same request id."""
    running = await everything(start_fleet)
    keys = [running.key("admin", name=name) for name in ("ada", "alan")]

    async def talk(way: Way, key: str, word: str) -> None:
        async with on(way, running, key, first_id=1) as caller:
            for number in range(10):
                reply = await caller.call("echo", text=f"{word}-{number}")
                assert f"{word}-{number}" in json.dumps(reply.message), way

    talks = [talk(way, key, f"{index}{way.transport}") for way in WAYS for index, key in enumerate(keys)]
    await asyncio.gather(*talks)


async def test_cve_2026_59951_sessions_end_and_have_a_bound(start_fleet: StartFleet) -> None:
    """Sessions that nobody ended stayed for ever. What is kept for one of ours is bounded."""
    running = await start_fleet(stdio("one", "legacy_only", sessions_max=2, session_idle_s=2), profiles=(ALL,))
    way = next(way for way in WAYS if way.transport == "legacy")
    async with on(way, running) as first, on(way, running) as second, on(way, running) as third:
        assert (await first.call("count")).allowed
        assert (await second.call("count")).allowed
        assert (await third.call("count")).code == "server.sessions_full"
        async with asyncio.timeout(20):
            while not (await third.call("count")).allowed:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


# ── bounds ──


async def test_cve_2026_39313_a_body_without_end_is_cut_off(start_fleet: StartFleet) -> None:
    """A gateway read whatever came into memory."""
    running = await everything(start_fleet)
    for way in WAYS:
        head = (
            f"POST {way.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.admin_key}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        answer = await exchange(running, head.encode() + chunk * 5, half_close=False)
        assert answer.split(b" ", 2)[1] in (b"413", b"405"), way


async def test_cve_2025_53365_no_message_ends_the_server(start_fleet: StartFleet) -> None:
    """The Python SDK's server died of an exception after its session had begun."""
    running = await everything(start_fleet)
    bad = (b"", b"{", b"null", b"[]", b"[[]]", b'"x"', b'{"jsonrpc":"2.0"}', b'{"jsonrpc":"2.0","id":{},"method":"x"}')
    for way in WAYS:
        async with on(way, running) as caller:
            headers = caller.headers(caller.body("tools/list", {}))
            for body in bad:
                answer = await caller.raw(body, headers)
                assert answer.status_code < 500, (way, body)
            assert (await caller.call("echo", text="alive")).allowed, way


# ── what is judged is what is done ──


async def test_cve_2026_27896_keys_in_other_letters_lead_around_nothing(start_fleet: StartFleet) -> None:
    """Go's JSON takes `Name` for `name`: a policy that read one let the other through."""
    running = await everything(start_fleet)
    key = running.key("reader")
    for way in WAYS:
        async with on(way, running, key) as caller:
            good = {"name": f"{way.prefix}echo", "arguments": {"text": "a"}}
            for params in ({**good, "Name": f"{way.prefix}add"}, {**good, "NAME": "add"}, {**good, "ARGUMENTS": {}}):
                body = caller.body("tools/call", params)
                await _refused(caller, json.dumps(body), body)
            body = caller.body("tools/call", good)
            for other in ("Method", "METHOD", "Params", "Id"):
                await _refused(caller, json.dumps({**body, other: "tools/list"}), body)
            text = json.dumps(body)
            await _refused(caller, text.replace('"name":', f'"name": "{way.prefix}add", "name":', 1), body)
            assert (await caller.call("echo", text="a")).allowed


async def _refused(caller: Caller, text: str, body: dict[str, Any]) -> None:
    text = f"[{text}]" if caller.way.transport == "batch" else text
    answer = await caller.raw(text.encode(), caller.headers(body))
    assert b'"error"' in answer.content, (caller.way, text)
    assert b'"result"' not in answer.content, (caller.way, text)


async def test_cve_2026_53709_every_secret_is_made_where_it_is_used(tmp_path: Path, start_fleet: StartFleet) -> None:
    """Gateways shipped a default signing key, the same for everybody."""
    await everything(start_fleet)
    ours = Home(tmp_path / "home")
    made = {name: getattr(ours, name).read_bytes() for name in ("admin_key", "session_key")}
    assert len(set(made.values())) == len(made)
    for name, value in made.items():
        assert len(value) >= 32, name
        assert getattr(ours, name).stat().st_mode & 0o077 == 0, name


@pytest.mark.parametrize("cve", ["cve_2026_14537", "cve_2026_77243"])
async def test_cve_2026_14537_and_2026_77243_what_may_not_be_called_cannot_be_on_any_route(
    start_fleet: StartFleet, cve: str
) -> None:
    """A legacy route skipped the scopes; a tool that was hidden from the list could be called by its name."""
    running = await everything(start_fleet)
    key = running.key("reader")
    for way in WAYS:
        async with on(way, running, key) as caller:
            assert await caller.tools() == {"echo"}, way
            for name in ("add", "one__add", "ADD", " add", "add ", "one__one__add", "echo/../add", "add\x00", "ａdd"):
                assert not (await caller.call(name, a=1, b=2)).allowed, (way, name)


async def test_cve_2026_77244_only_a_valid_key_opens(start_fleet: StartFleet) -> None:
    """Any token that looked like one was taken."""
    running = await everything(start_fleet)
    good = running.key("reader")
    forged = good[:-1] + ("A" if good[-1] != "A" else "B")
    bad = ["x", forged, good[:12] + "_" + "A" * 43, good.upper(), f"{good}x", "null", "undefined", good + good]
    for way in WAYS:
        async with on(way, running, good) as caller:
            body = caller.body("tools/list", {})
            for key in bad:
                headers = {**caller.headers(body), "authorization": f"Bearer {key}"}
                answer = await caller.raw(json.dumps(body).encode(), headers)
                assert answer.status_code in (401, 429), (way, key, answer.status_code)


async def test_cve_2026_45707_who_belongs_to_nobody_may_do_nothing(start_fleet: StartFleet) -> None:
    """A caller without a tenant fell back to the first one. A key without a role is nobody's, and may do nothing."""
    running = await everything(start_fleet)
    nobody = running.key(name="nobody")
    unknown = running.key("no-such-role", name="stray")
    for way in WAYS:
        for key in (nobody, unknown):
            async with httpx2.AsyncClient(timeout=20) as http:
                caller = Caller(way, http, running)
                if way.transport != "older":
                    body = caller.body("tools/call", {"name": f"{way.prefix}echo", "arguments": {"text": "a"}})
                    headers = {**caller.headers(body), "authorization": f"Bearer {key}"}
                    answer = await caller.raw(json.dumps(body).encode(), headers)
                    assert b'"result"' not in answer.content, way
                    continue
                stream = http.stream("GET", running.url + way.path, headers={"authorization": f"Bearer {key}"})
                async with stream as opened:
                    assert opened.status_code in (401, 403, 404) or key == unknown, way


async def test_cve_2026_108586_a_filter_says_what_is_allowed_and_escapes_change_nothing(
    start_fleet: StartFleet,
) -> None:
    """A filter that said what is *not* allowed was escaped from by another spelling of the same name."""
    role = RoleSpec(name="all-but", grants=(GrantSpec(servers=("*",), tools=("[!a]*",)),))
    running = await start_fleet(stdio("one", "everything", session="shared"), roles=(role,), profiles=(ALL,))
    key = running.key("all-but")
    for way in WAYS:
        async with on(way, running, key) as caller:
            assert "add" not in await caller.tools(), way
            for name in ("add", "\u0061dd", "add\u200b", "\ufeffadd", "ADD", "аdd"):
                assert not (await caller.call(name, a=1, b=2)).allowed, (way, name)
            text = json.dumps(caller.body("tools/call", {"name": f"{way.prefix}add", "arguments": {"a": 1, "b": 2}}))
            escaped = text.replace(f'{way.prefix}add"', f'{way.prefix}\\u0061dd"')
            content = f"[{escaped}]" if way.transport == "batch" else escaped
            answer = await caller.raw(content.encode(), caller.headers(json.loads(text)))
            assert b'"result"' not in answer.content, way
