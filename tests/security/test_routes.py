"""The six shapes that holes of gateways take, tried on every route there is.

The table of routes is read from the application itself: a route that nobody has decided about fails here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal, cast

import httpx2
import psutil
import pytest
from starlette.routing import Route

from brought_up import Up, brought_up, fixture_server
from garrison.surfaces.api.app import make_app
from garrison.surfaces.edge.reading import is_mcp_path
from runtimes.small_fleet import alive

pytestmark = pytest.mark.slow

Who = Literal["anyone", "ticket", "principal", "admin"]
"""`ticket`: whoever has one that we made a moment ago; no key opens it."""
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")

DECIDED: dict[str, Who] = {
    # served by the edge itself
    "/mcp": "principal",
    "/sse": "principal",
    "/sse/{token}": "principal",
    "/servers/{name}/mcp": "principal",
    "/servers/{name}/sse": "principal",
    "/servers/{name}/sse/{token}": "principal",
    "/profiles/{name}/mcp": "principal",
    "/profiles/{name}/sse": "principal",
    "/profiles/{name}/sse/{token}": "principal",
    # whoever watches us need not be known
    "/healthz": "anyone",
    "/readyz": "anyone",
    # the rest of the application
    "/metrics": "admin",
    "/.well-known/oauth-protected-resource": "anyone",
    "/.well-known/oauth-protected-resource{path:path}": "anyone",
    "/api/v1/whoami": "principal",
    "/api/v1/status": "admin",
    # pages for browsers: what they let somebody do hangs on a ticket of ours and a cookie
    "/oauth/begin": "ticket",
    "/oauth/callback": "ticket",
    "/oauth/client.json": "anyone",
    "/api/v1/auth": "admin",
    "/api/v1/auth/{name}": "admin",
    "/approvals/{id}": "ticket",  # its random name: tells how it stands, and nothing of what it is about
    "/api/v1/approvals": "principal",
    "/api/v1/approvals/{id}": "principal",
    "/api/v1/approvals/{id}/approve": "principal",
    "/api/v1/approvals/{id}/deny": "principal",
    # what everybody uses, did and was refused, and what everything offers, is for administrators alone
    "/api/v1/limits": "admin",
    "/api/v1/limits/report": "admin",
    "/api/v1/audit/search": "admin",
    "/api/v1/audit/state": "admin",
    "/api/v1/pins": "admin",
    "/api/v1/pins/approve": "admin",
    "/api/v1/pins/revoke": "admin",
    "/api/v1/pins/reload": "admin",
    "/api/v1/offers": "admin",
    "/api/v1/scan": "admin",
    "/api/v1/apply": "admin",
    "/api/v1/stop": "admin",
    "/api/v1/servers/{name}/restart": "admin",
}
"""Who may use a route at all. What a principal may do there, the pipeline decides (see `test_cves.py`)."""

HARMFUL = {"/api/v1/stop"}
"""What ends the fleet when it is allowed: tried by those who may not only."""


def registered() -> set[str]:
    """All routes of the application, and those that the edge takes before it."""
    app = make_app(cast("Any", None))
    assert all(isinstance(route, Route) for route in app.routes), "mounted applications would escape this table"
    at_the_edge = {path for path in DECIDED if is_mcp_path(_filled(path).encode())}
    return {route.path for route in app.routes if isinstance(route, Route)} | at_the_edge


def _filled(path: str) -> str:
    path = path.replace("{path:path}", "/mcp")
    return re.sub(r"\{name[^}]*\}", "one", re.sub(r"\{token\}", "A" * 40, re.sub(r"\{id[^}]*\}", "1", path)))


def test_somebody_has_decided_who_may_use_each_route() -> None:
    assert registered() == set(DECIDED)


ROUTES = sorted(DECIDED)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("routes")
    one = {**fixture_server("everything"), "session": "shared"}
    fleet = brought_up(folder, {"one": one})
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete(fleet.__aenter__())
    loop.run_until_complete(fleet.__aexit__(None, None, None))
    loop.close()


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=20) as client:
        yield client


def _mcp(body: dict[str, Any] | None = None) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", **(body or {})}).encode()


async def _ask(
    http: httpx2.AsyncClient, up: Up, verb: str, path: str, key: str = "", body: bytes = b"", **headers: str
) -> httpx2.Response:
    sent = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    sent |= {"authorization": f"Bearer {key}"} if key else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.stream(verb, up.url + _filled(path), headers=sent, content=body) as response:
        streams = "event-stream" in response.headers.get("content-type", "")
        content = b"" if streams else await response.aread()
        return httpx2.Response(response.status_code, headers=response.headers, content=content)


def children(up: Up) -> set[int]:
    return {child.pid for child in psutil.Process(up.pid).children(recursive=True)}


@pytest.fixture(scope="module")
def keys(up: Up) -> dict[str, str]:
    """Of somebody without a role, and with one that nobody defined."""
    return {
        name: next(
            word for word in up.shell("keys", "create", name, *more, code=0).out.split() if word.startswith("gsn_")
        )
        for name, more in {"nobody": (), "stray": ("--role", "undefined")}.items()
    }


BAD_KEYS = ("", "x", "gsn_aaaaaaaa_" + "A" * 43, "null")


@pytest.mark.parametrize("path", ROUTES)
async def test_nobody_unknown_uses_it(up: Up, http: httpx2.AsyncClient, path: str) -> None:
    """Shapes 2 and 4: no route without a check, no default that opens."""
    for verb in VERBS:
        for key in BAD_KEYS:
            answer = await _ask(http, up, verb, path, key, _mcp())
            allowed = DECIDED[path] == "anyone" and verb in ("GET", "HEAD")
            told = answer.status_code == 404 and path.startswith("/.well-known/")  # no issuer, nothing to tell
            assert answer.is_success == (allowed and not told), (verb, path, key, answer.status_code)
            assert answer.status_code < 500, (verb, path, key)
            assert len(answer.content) <= 4096


@pytest.mark.parametrize("path", [path for path in ROUTES if DECIDED[path] == "admin"])
async def test_only_administrators_use_it(up: Up, http: httpx2.AsyncClient, keys: dict[str, str], path: str) -> None:
    for verb in VERBS:
        for name, key in keys.items():
            answer = await _ask(http, up, verb, path, key)
            assert answer.status_code in (403, 404, 405), (verb, path, name, answer.status_code)


NAMING = {"command": "touch", "args": ["/tmp/owned"], "cmd": ["id"], "env": {"X": "1"}, "transport": "stdio"}


@pytest.mark.parametrize("path", [path for path in ROUTES if path not in HARMFUL])
async def test_no_body_names_what_is_run_or_reached(up: Up, http: httpx2.AsyncClient, path: str) -> None:
    """Shapes 1 and 5: neither a program nor an address comes from a request."""
    reached = asyncio.Event()
    listener = await asyncio.start_server(lambda reader, writer: reached.set(), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/x"
    before = children(up)
    wanted = {**NAMING, "url": address, "uri": address, "callback": address, "redirect_uri": address, "$ref": address}
    for body in (
        json.dumps(wanted).encode(),
        _mcp({"params": wanted}),
        _mcp({"method": "initialize", "params": wanted}),
    ):
        for verb in ("GET", "POST"):
            await _ask(http, up, verb, f"{path}?command=touch&url={address}", up.key, body)
    assert not reached.is_set()
    assert all(alive(pid) is False or pid in before for pid in children(up)) or _same_programs(up, before)
    listener.close()


def _same_programs(up: Up, before: set[int]) -> bool:
    """Restarted servers are new processes of the same programs."""
    return all("everything.py" in " ".join(psutil.Process(pid).cmdline()) for pid in children(up) - before)


@pytest.mark.parametrize("path", [path for path in ROUTES if path not in HARMFUL])
async def test_what_comes_has_a_bound(up: Up, path: str) -> None:
    """Shape 6: a body, a header and a target without end are cut off, with 4xx."""
    auth = f"Host: localhost\r\nAuthorization: Bearer {up.key}\r\nContent-Type: application/json\r\n"
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    filled = _filled(path)
    for head, body in (
        (f"POST {filled} HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\n\r\n", chunk * 6 + b"0\r\n\r\n"),
        (f"POST {filled} HTTP/1.1\r\n{auth}Content-Length: 99999999999\r\n\r\n", b"{}"),
        (f"GET {filled} HTTP/1.1\r\n{auth}X-Long: {'a' * 70_000}\r\n\r\n", b""),
        (f"GET {filled}?{'a' * 70_000} HTTP/1.1\r\n{auth}\r\n", b""),
        (f"GET {filled} HTTP/1.1\r\n{auth}" + "X-A: 1\r\n" * 1000 + "\r\n", b""),
    ):
        answer = await up.exchange(head.encode() + body)
        unread = answer.startswith(b"HTTP/1.1 200") and not head.startswith("GET") and DECIDED[path] == "admin"
        assert re.match(rb"HTTP/1\.1 4\d\d ", answer) or unread, (path, head[:60], answer[:100])
        assert answer.count(b"HTTP/1.1 ") == 1, (path, answer[:200])


@pytest.mark.parametrize("path", ROUTES)
async def test_pages_of_others_and_other_names_reach_nothing(up: Up, http: httpx2.AsyncClient, path: str) -> None:
    """Shape 4, for browsers: neither a strange origin nor a strange host is served, whoever asks."""
    if DECIDED[path] == "anyone":
        pytest.skip("it tells nothing that a page could use")
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"host": "evil.example"}):
        for verb in ("GET", "POST"):
            answer = await _ask(http, up, verb, path, up.key, _mcp(), **headers)
            assert answer.status_code in (403, 421), (verb, path, headers, answer.status_code)
