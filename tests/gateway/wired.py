"""A client on one kept connection that sends just what it is told, so that its heads are the same bytes each time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from running_fleet import Running

Json = dict[str, Any]
MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = "io.modelcontextprotocol/"
ABLE: Json = {"elicitation": {}}
DEADLINE_S = 30.0


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    messages: list[Any] = field(default_factory=list)

    @property
    def last(self) -> Any:
        return self.messages[-1] if self.messages else None

    @property
    def text(self) -> str:
        """Of a tool's result."""
        assert "result" in self.last, self.last
        return str(self.last["result"]["content"][0]["text"])

    @property
    def code(self) -> str:
        """Of our own refusals."""
        assert "error" in self.last, self.last
        return str(self.last["error"]["data"]["code"])


class Wired:
    """`prefix`: what tools' names begin with at the endpoint. `meta`: more for each call's `_meta`."""

    def __init__(
        self, running: Running, era: str, path: str, *, able: bool = False, key: str = "", address: str = ""
    ) -> None:
        self.running, self.era, self.path = running, era, path
        self.prefix = ""
        self.meta: Json = {}
        self.session = ""
        self._able = ABLE if able else {}
        self._key = key or running.admin_key
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._beside: Wired | None = None

    async def open(self) -> Wired:
        if self.era == "legacy":
            hello = {
                "protocolVersion": LEGACY,
                "capabilities": self._able,
                "clientInfo": {"name": "wired", "version": "1"},
            }
            body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
            answer = await self.post(json.dumps(body).encode())
            self.session = answer.headers["mcp-session-id"]
            await self.post(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        return self

    def resume(self, session: str) -> Wired:
        """The same session on a connection of its own."""
        self.session = session
        return self

    async def call(self, tool: str = "do", request_id: object = 1, **arguments: Any) -> Answer:
        """A call as clients make them; a server's question is answered in the client's way."""
        answer = await self.post(self.body(tool, arguments, request_id), tool)
        result = answer.last.get("result") if isinstance(answer.last, dict) else None
        if isinstance(result, dict) and result.get("resultType") == "input_required":
            given = {"inputResponses": dict.fromkeys(result["inputRequests"], ANSWER)}
            given["requestState"] = result["requestState"]
            again = await self.post(self.body(tool, arguments, request_id, **given), tool)
            again.messages.insert(0, "asked")
            return again
        return answer

    def body(self, tool: str, arguments: Any, request_id: object = 1, **more: Any) -> bytes:
        params = {"name": self.prefix + tool, "arguments": arguments, **self._own_meta(), **more}
        return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}).encode()

    def _own_meta(self) -> Json:
        meta = dict(self.meta)
        if self.era == "modern":
            meta |= {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": self._able}
        return {"_meta": meta} if meta else {}

    def headers(self, tool: str) -> dict[str, str]:
        found = {
            "host": urlsplit(self.running.url).netloc,
            "authorization": f"Bearer {self._key}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
        }
        if self.era == "modern":
            return found | {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": self.prefix + tool}
        if self.session:
            found |= {"mcp-protocol-version": LEGACY, "mcp-session-id": self.session}
        return found

    async def post(self, body: bytes, tool: str = "do", verb: str = "POST", **headers: str | None) -> Answer:
        """Exactly these bytes. `headers` replace the usual ones, None leaves one out."""
        await self.send(body, tool, verb, **headers)
        async with asyncio.timeout(DEADLINE_S):
            return await self.receive()

    async def send(self, body: bytes, tool: str = "do", verb: str = "POST", **headers: str | None) -> None:
        if self._streams is None:
            where = urlsplit(self.running.url)
            self._streams = await asyncio.open_connection(
                where.hostname, where.port, local_addr=(self._address, 0) if self._address else None
            )
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**self.headers(tool), **changed}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if value is not None)
        head = f"{verb} {self.path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
        self._streams[1].write(head.encode() + body)

    async def receive(self) -> Answer:
        assert self._streams is not None
        reader = self._streams[0]
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        answer = Answer(int(first.split()[1]), headers)
        if headers.get("transfer-encoding") == "chunked":
            async for message in _events(reader):
                answer.messages.append(message)
                if "method" in message and "id" in message:
                    await self._answer(message)
        elif int(headers.get("content-length", "0")):
            answer.messages.append(json.loads(await reader.readexactly(int(headers["content-length"]))))
        if headers.get("connection") == "close":
            await self.hang_up()
        return answer

    async def beside(self) -> Wired:
        """The same client on another connection."""
        if self._beside is None:
            self._beside = Wired(self.running, self.era, self.path, able=bool(self._able), key=self._key)
            self._beside.session, self._beside.prefix = self.session, self.prefix
        return self._beside

    async def hang_up(self) -> None:
        if self._beside is not None:
            await self._beside.hang_up()
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def _answer(self, question: Json) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": ANSWER}).encode()
        assert (await (await self.beside()).post(body)).status == 202


ANSWER: Json = {"action": "accept", "content": {"name": "Ada"}}


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[Json]:
    kept = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        kept += (await reader.readexactly(size + 2))[:-2]
        *events, kept = kept.split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(b"data: ") and line[6:]:
                    yield json.loads(line[6:])
    await reader.readexactly(2)
