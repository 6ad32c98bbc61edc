"""Raw bytes against the edge: whatever comes, the answer is 4xx and the next client is served."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from garrison.surfaces.edge.guard import Guard, hostname, is_loopback
from garrison.surfaces.edge.reading import read_head
from raw_http import HOST, JSON, PING, auth, exchange, length, post
from running_fleet import StartFleet

MALFORMED = {
    "no host": (post(JSON + length(PING)), 400),
    "two hosts": (post(HOST + b"Host: evil\r\n" + JSON + length(PING)), 400),
    "a foreign host": (post(b"Host: evil.example\r\n" + JSON + length(PING)), 421),
    "a foreign origin": (post(HOST + b"Origin: https://evil.example\r\n" + JSON + length(PING)), 403),
    "length and chunks": (post(HOST + JSON + length(PING) + b"Transfer-Encoding: chunked\r\n"), 400),
    "an unknown coding": (post(HOST + JSON + b"Transfer-Encoding: gzip, chunked\r\n"), 400),
    "two lengths": (post(HOST + JSON + length(PING) + b"Content-Length: 3\r\n"), 400),
    "a negative length": (post(HOST + JSON + b"Content-Length: -1\r\n"), 400),
    "a length with a sign": (post(HOST + JSON + b"Content-Length: +40\r\n"), 400),
    "a body over the limit": (post(HOST + JSON + b"Content-Length: 99999999\r\n", b""), 413),
    "a bad chunk size": (post(HOST + JSON + b"Transfer-Encoding: chunked\r\n", b"zz\r\nabc\r\n"), 400),
    "HTTP/2.0 in the request line": (b"POST /mcp HTTP/2.0\r\n" + HOST + b"\r\n", 400),
    "HTTP/0.9": (b"GET /mcp\r\n\r\n", 400),
    "a bare LF in a header": (b"POST /mcp HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", 400),
    "an obs-fold": (b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400),
    "a NUL in a header": (post(HOST + b"X: a\x00b\r\n" + JSON + length(PING)), 400),
    "a space before the colon": (post(b"Host : localhost\r\n" + JSON + length(PING)), 400),
    "too many headers": (post(HOST + b"".join(b"X-%d: 1\r\n" % n for n in range(200))), 431),
    "a huge header": (post(HOST + b"X: " + b"a" * 60_000 + b"\r\n"), 431),
    "a huge target": (b"GET /mcp?" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "no content type": (post(HOST + length(PING)), 401),
}


@pytest.mark.slow
async def test_malformed_requests_are_refused_with_4xx_and_the_next_one_is_served(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    seen = {}
    for name, (data, _) in MALFORMED.items():
        answer = await exchange(running, data)
        seen[name] = int(answer.split(b" ", 2)[1]) if answer else 0
    assert seen == {name: status for name, (_, status) in MALFORMED.items()}
    assert (await running.post("/mcp", json.loads(PING))).status_code == 400  # no session: but it is answered


JSON_BODIES = {
    b"": -32700,
    b"{": -32700,
    b"\xef\xbb\xbf{}": -32700,
    b"\xff\xfe{\x00}\x00": -32700,
    b"[" * 100_000: -32700,
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":NaN}': -32700,
    b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}': -32700,
    b"[]": -32600,
    b"null": -32600,
    b'"text"': -32600,
    b"{}": -32600,
    b'{"jsonrpc":"1.0","id":1,"method":"ping"}': -32600,
    b'{"jsonrpc":"2.0","id":null,"method":"ping"}': -32600,
    b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}': -32600,
    b'{"jsonrpc":"2.0","id":{},"method":"ping"}': -32600,
    b'{"jsonrpc":"2.0","id":1,"method":7}': -32600,
    b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}': -32602,
    b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}': -32600,
}


@pytest.mark.slow
async def test_malformed_messages_get_the_json_rpc_error_that_fits(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    for body, code in JSON_BODIES.items():
        response = await running.post("/mcp", body)
        assert response.status_code == 400, body[:60]
        assert response.json()["error"]["code"] == code, body[:60]
        assert len(response.content) <= 4096


@pytest.mark.slow
async def test_modern_headers_must_say_what_the_body_says(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a", "arguments": {}, "_meta": meta}}
    right = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": "a"}
    assert (await running.post("/mcp", body, **right)).json()["error"]["code"] == -32602  # there is no such tool
    for wrong in ({"mcp_method": "tools/list"}, {"mcp_name": "b"}, {"mcp_name": "=?base64?!!?="}):
        response = await running.post("/mcp", body, **{**right, **wrong})
        assert (response.status_code, response.json()["error"]["code"]) == (400, -32020)
    bare = {**body, "params": {"name": "a"}}
    assert (await running.post("/mcp", bare, **right)).json()["error"]["code"] == -32602
    unknown = await running.post("/mcp", body, **{**right, "mcp_protocol_version": "2099-01-01"})
    assert unknown.json()["error"]["code"] == -32022
    assert "2026-07-28" in unknown.json()["error"]["data"]["supported"]


@pytest.mark.slow
async def test_verbs_media_types_and_unknown_methods(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    ping = json.loads(PING)
    assert (await running.post("/mcp", ping, content_type="text/plain")).status_code == 415
    assert (await running.post("/mcp", ping, accept="text/html")).status_code == 406
    assert (await running.post("/servers/nobody/mcp", {**ping, "method": "initialize"})).json()["error"][
        "code"
    ] == -32602
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    for removed in ("ping", "initialize", "logging/setLevel", "no/such"):
        body = {"jsonrpc": "2.0", "id": 1, "method": removed, "params": {"_meta": meta}}
        response = await running.post("/mcp", body, mcp_protocol_version="2026-07-28", mcp_method=removed)
        assert (response.status_code, response.json()["error"]["code"]) == (404, -32601), removed
    put = await exchange(running, b"PUT /mcp HTTP/1.1\r\n" + HOST + auth(running) + b"Content-Length: 0\r\n\r\n")
    assert b" 405 " in put.split(b"\r\n")[0]


@pytest.mark.slow
async def test_pipelined_requests_are_answered_in_order(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    bodies = [b'{"jsonrpc":"2.0","id":%d,"method":"initialize","params":{}}' % number for number in range(5)]
    requests = b"".join(post(HOST + JSON + auth(running) + length(body), body) for body in bodies)
    answer = await exchange(running, requests)
    assert [int(part.split(b",")[0]) for part in answer.split(b'"id":')[1:]] == [0, 1, 2, 3, 4]


@pytest.mark.slow
async def test_a_body_in_chunks_is_read(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    body = b'{"jsonrpc":"2.0","id":7,"method":"initialize","params":{}}'
    chunks = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n\r\n"
    answer = await exchange(running, post(HOST + JSON + auth(running) + b"Transfer-Encoding: chunked\r\n", chunks))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"id":7' in answer


@given(st.binary(max_size=300))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_a_host_is_loopback_only_if_it_means_this_machine(name: bytes) -> None:
    host = hostname(name.decode("latin-1"))
    if is_loopback(host):
        assert host in ("localhost", "::1") or host.startswith("127.")


@pytest.mark.parametrize(
    "host", ["localhost.evil.example", "127.0.0.1.evil.example", "evil@localhost", "[::1", "0.0.0.0"]
)
def test_names_that_only_look_like_loopback_are_refused(host: str) -> None:
    guard = Guard()
    refusal = guard.check(b"POST", b"/mcp", "1.1", [(b"host", host.encode())])
    assert (refusal is None) == (host == "[::1")


def test_white_space_around_a_header_is_no_part_of_its_value() -> None:
    head = read_head("POST", b"/mcp", [(b"mcp-name", b" an echo\t  "), (b"x", b" ")], keep_alive=True)
    assert head.headers == {"mcp-name": "an echo", "x": ""}
