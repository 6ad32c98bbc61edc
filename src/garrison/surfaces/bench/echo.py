"""An MCP server that costs as little as it can, to measure what stands in front of it. Nothing of it is for real use.

    python -m garrison.surfaces.bench.echo --http PORT [--tools N] [--era modern|legacy]
    python -m garrison.surfaces.bench.echo --stdio

Tools: `echo` answers about 100 bytes and has an input and an output schema; `large` answers as many characters as its
argument `size` says; `stream` answers as an event stream (over HTTP), its first event at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys

import msgspec
import uvloop

RESULT_CHARS_MAX = 4 * 1024 * 1024

_ID = re.compile(rb'"id":\s*(\d+|"[^"]{0,100}")')
_METHOD = re.compile(rb'"method":\s*"([^"]{1,100})"')
_TOOL = re.compile(rb'"name":\s*"(echo|large|stream)"')
_SIZE = re.compile(rb'"size":\s*(\d{1,7})')
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)

_TEXT = {"type": "object", "properties": {"text": {"type": "string", "maxLength": 1000}}, "required": ["text"]}
_SIZED = {"type": "object", "properties": {"size": {"type": "integer"}}}
_ECHO = b'{"resultType":"complete","content":[{"type":"text","text":"hello"}],"structuredContent":{"text":"hello"}}'
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_NOTE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"first"}}'


class Answering:
    """What is answered to a message, both eras; bytes in, bytes out."""

    def __init__(self, tools: int, era: str) -> None:
        tool = {"name": "echo", "inputSchema": _TEXT, "outputSchema": _TEXT}
        more = [{"name": name, "inputSchema": _SIZED} for name in ("large", "stream")]
        about = "One of many tools, to make the list as long as lists are."
        more += [{"name": f"tool{number}", "description": about, "inputSchema": _TEXT} for number in range(tools - 3)]
        server = {"name": "echo", "version": "1"}
        modern = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        self._modern = era == "modern"
        self._fixed = {
            b"tools/list": _encoded({**modern, "tools": [tool, *more]}),
            b"ping": b"{}",
            b"initialize": _encoded(
                {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": server}
            ),
        }
        if self._modern:
            self._fixed[b"server/discover"] = _encoded(
                {**modern, "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": server}
            )

    def answer(self, message: bytes) -> bytes | None:
        """The response, or None where a notification came."""
        method, number = _METHOD.search(message), _ID.search(message)
        if method is None or number is None:
            return None
        result = _called(message) if method[1] == b"tools/call" else self._fixed.get(method[1])
        if result is None:
            return b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":"no such method"}}' % number[1]
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (number[1], result)


def _called(message: bytes) -> bytes:
    tool = _TOOL.search(message)
    if tool is None or tool[1] == b"echo":
        return _ECHO
    size = _SIZE.search(message)
    return _text_result(min(int(size[1]), RESULT_CHARS_MAX) if size else 5)


_made: dict[int, bytes] = {}


def _text_result(size: int) -> bytes:
    if size not in _made:
        _made[size] = _encoded({"resultType": "complete", "content": [{"type": "text", "text": "x" * size}]})
    return _made[size]


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value)


class HttpEcho(asyncio.Protocol):
    """One connection; requests are answered in the order they come. Only `content-length` bodies are understood."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write  # type: ignore[attr-defined]  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (end := self._buffer.find(b"\r\n\r\n") + 4) > 3:
            length = _LENGTH.search(self._buffer, 0, end)
            whole = end + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            body, verb = self._buffer[end:whole], self._buffer[:4]
            self._buffer = self._buffer[whole:]
            self._write(self._response(body) if verb == b"POST" else b"HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n")

    def _response(self, body: bytes) -> bytes:
        answer = self._answering.answer(body)
        if answer is None:
            return b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
        if b'"name":"stream"' in body:
            return _STREAM_HEAD + _chunk(_NOTE) + _chunk(answer) + b"0\r\n\r\n"
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)
        return head + answer


def _chunk(message: bytes) -> bytes:
    event = b"event: message\ndata: %b\n\n" % message
    return b"%x\r\n%b\r\n" % (len(event), event)


async def serve_http(port: int, answering: Answering) -> None:
    """Serve on a loopback port; prints the port that it got."""
    server = await asyncio.get_running_loop().create_server(lambda: HttpEcho(answering), "127.0.0.1", port)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def serve_stdio(answering: Answering) -> None:
    """One message a line; everything that one read brings is answered with one write."""
    rest = b""
    while data := os.read(0, 1 << 18):
        *lines, rest = (rest + data).split(b"\n")
        answers = [answer for line in lines if line and (answer := answering.answer(line)) is not None]
        if answers:
            _write_all(b"\n".join(answers) + b"\n")


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def main() -> None:
    parser = argparse.ArgumentParser(prog="garrison.surfaces.bench.echo")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--http", type=int, metavar="PORT")
    way.add_argument("--stdio", action="store_true")
    parser.add_argument("--tools", type=int, default=3)
    parser.add_argument("--era", choices=("modern", "legacy"), default="modern")
    chosen = parser.parse_args()
    answering = Answering(chosen.tools, chosen.era)
    if chosen.stdio:
        serve_stdio(answering)
    else:
        uvloop.run(serve_http(chosen.http, answering))


if __name__ == "__main__":
    main()
