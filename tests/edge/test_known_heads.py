"""Heads that were read before: the short way must never accept what the long way would not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.gateway.heads import Head
from garrison.surfaces.edge.known_heads import KnownHeads
from raw_http import HOST, JSON, auth, exchange, length, post
from running_fleet import StartFleet

HEAD = Head("POST", "/mcp", {})
START = b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: "


def known(*requests: bytes, limit: int = 1000) -> KnownHeads:
    heads = KnownHeads(limit)
    for request in requests:
        heads.keep(request, HEAD)
    return heads


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_a_known_head_is_found_with_any_body_of_the_length_it_says(first: bytes, second: bytes) -> None:
    heads = known(START + b"%d\r\n\r\n" % len(first) + first)
    found = heads.find(START + b"%d\r\n\r\n" % len(second) + second)
    assert found == (HEAD, second)


@given(st.binary(max_size=60), st.integers(min_value=0, max_value=200))
def test_a_body_of_another_length_goes_the_long_way(body: bytes, said: int) -> None:
    found = known(START + b"0\r\n\r\n").find(START + b"%d\r\n\r\n" % said + body)
    assert (found is not None) == (said == len(body))


@pytest.mark.parametrize(
    "request_",
    [
        START + b"3\r\n\r\nabc" + START + b"3\r\n\r\nabc",
        START + b"+3\r\n\r\nabc",
        START + b"3\r\nx: y\r\n\r\nabc",
        START + b"3\r\ncontent-length: 4\r\n\r\nabc",
        START + b"3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        START + b"3\n\r\nabc",
        START.replace(b"POST", b"GET") + b"3\r\n\r\nabc",
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\n\r\nabc",
        START + b"3\r\n\r\nab",
    ],
)
def test_whatever_differs_from_what_was_accepted_goes_the_long_way(request_: bytes) -> None:
    assert known(START + b"3\r\n\r\nabc").find(request_) is None


def test_what_must_be_looked_at_each_time_is_not_kept() -> None:
    for extra in (b"Expect: 100-continue", b"upgrade: websocket", b"Transfer-Encoding: chunked"):
        request = START + b"0\r\n" + extra + b"\r\n\r\n"
        assert known(request).find(request) is None


def test_the_body_limit_holds_on_the_short_way() -> None:
    assert known(START + b"3\r\n\r\nabc", limit=3).find(START + b"4\r\n\r\nabcd") is None


@pytest.mark.slow
async def test_both_ways_give_the_same_answer_on_one_connection(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    bodies = [b'{"jsonrpc":"2.0","id":%d,"method":"initialize","params":{}}' % number for number in (1, 22, 333)]
    for _ in range(3):
        for body in bodies:
            answer = await exchange(running, post(HOST + JSON + auth(running) + length(body), body))
            assert answer.startswith(b"HTTP/1.1 200")
            assert body[17:25].split(b",")[0] in answer


@pytest.mark.slow
async def test_a_revoked_key_is_refused_on_the_short_way_too(start_fleet: StartFleet) -> None:
    running = await start_fleet()
    secret = running.key("admin", name="short-lived")
    body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}'
    request = post(HOST + JSON + f"Authorization: Bearer {secret}\r\n".encode() + length(body), body)
    for _ in range(2):
        assert (await exchange(running, request)).startswith(b"HTTP/1.1 200")
    running.fleet.keys.revoke("short-lived")
    assert (await exchange(running, request)).startswith(b"HTTP/1.1 401")
