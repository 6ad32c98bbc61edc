"""Compressed answers: whom they are for, that they say so, and that large ones do not hold up others."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.surfaces.edge.compression import COMPRESS_FROM_BYTES, THREAD_FROM_BYTES, compress, takes_gzip
from raw_http import HOST, JSON, auth, exchange, length
from running_fleet import Running, StartFleet, stdio


@pytest.mark.parametrize(
    ("accept_encoding", "taken"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.2", True),
        ("gzip;q=0", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True),
        ("br", False),
        ("gzip;q=high", False),
        ("gzip;level=9", False),
        ("gzip;q=nan", False),
    ],
)
def test_gzip_is_sent_to_whom_it_is_welcome(accept_encoding: str, taken: bool) -> None:
    assert takes_gzip(accept_encoding) is taken


@given(st.text(max_size=60))
def test_no_accept_encoding_is_too_strange(accept_encoding: str) -> None:
    assert takes_gzip(accept_encoding) in (True, False)


@given(st.binary(max_size=20_000))
def test_what_is_compressed_can_be_read_again(body: bytes) -> None:
    assert gzip.decompress(compress(body)) == body


async def big(running: Running, size: int, accept_encoding: bytes) -> tuple[str, bytes]:
    """Head and body of an answer with a text of this size; stateless, by hand."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "one__big", "arguments": {"size_bytes": size}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    modern = b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: one__big\r\n"
    head = HOST + JSON + auth(running) + modern + b"Accept-Encoding: " + accept_encoding + b"\r\n" + length(body)
    data = b"POST /mcp HTTP/1.1\r\nConnection: close\r\n" + head + b"\r\n" + body
    answer, _, content = (await exchange(running, data, half_close=False)).partition(b"\r\n\r\n")
    return answer.decode().lower(), content


@pytest.mark.slow
@pytest.mark.parametrize("size", [COMPRESS_FROM_BYTES, 4 * THREAD_FROM_BYTES])
async def test_a_large_answer_is_compressed_and_says_so(start_fleet: StartFleet, size: int) -> None:
    running = await start_fleet(stdio("one", "modern_only"))
    head, body = await big(running, size, b"gzip")
    assert head.startswith("http/1.1 200")
    assert "content-encoding: gzip" in head
    assert "vary: accept-encoding" in head
    text = json.loads(zlib.decompress(body, 31))["result"]["content"][0]["text"]
    assert text == "x" * size
    plain_head, plain = await big(running, size, b"br")
    assert "content-encoding" not in plain_head
    assert "vary: accept-encoding" in plain_head
    assert json.loads(plain)["result"]["content"][0]["text"] == text


@pytest.mark.slow
async def test_small_answers_are_not_compressed_and_compressed_requests_not_read(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("one", "modern_only"))
    head, _ = await big(running, 100, b"gzip")
    assert "content-encoding" not in head
    assert "vary" not in head
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    refused = await running.post("/mcp", gzip.compress(json.dumps(ping).encode()), content_encoding="gzip")
    assert refused.status_code in (400, 415)
    assert (await running.post("/mcp", ping, content_encoding="gzip")).status_code == 415
