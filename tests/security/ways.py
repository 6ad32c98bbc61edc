"""Every way in which a message reaches a server: transports, eras and endpoints. What must hold, must hold on each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import httpx2

from garrison.catalog.spec import ProfileSpec, Selection
from garrison.protocol.headers import encode_value
from running_fleet import Running

Json = dict[str, Any]
Transport = Literal["modern", "legacy", "older", "batch"]
META = "io.modelcontextprotocol/"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
VERSIONS: dict[Transport, str] = {
    "modern": "2026-07-28",
    "legacy": "2025-11-25",
    "older": "2024-11-05",
    "batch": "2025-03-26",
}
ALL = ProfileSpec(name="all", servers={"one": Selection()})
"""The profile that the ways through a profile need; its server is `one`."""


@dataclass(frozen=True)
class Way:
    """`prefix`: what tools' names begin with there."""

    transport: Transport
    endpoint: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.transport} {self.endpoint or '/'}"

    @property
    def path(self) -> str:
        return self.endpoint + ("/sse" if self.transport == "older" else "/mcp")


WAYS = tuple(
    Way(transport, endpoint, prefix)
    for transport in VERSIONS
    for endpoint, prefix in (("", "one__"), ("/servers/one", ""), ("/profiles/all", "one__"))
)


@dataclass(frozen=True)
class Reply:
    """What came back. `status` is 0 where an answer has none of its own (an event, a part of a batch)."""

    status: int
    message: Json

    @property
    def allowed(self) -> bool:
        return "result" in self.message

    @property
    def code(self) -> Any:
        """Our dotted code where the refusal carries one, else JSON-RPC's."""
        error = self.message.get("error", {})
        data = error.get("data")
        return data.get("code") if isinstance(data, dict) and "code" in data else error.get("code")


class Caller:
    """One client on one way. Ids are counted from `first_id`, so that two callers can use the same."""

    def __init__(self, way: Way, http: httpx2.AsyncClient, running: Running, first_id: int = 1) -> None:
        self.way = way
        self.session = ""
        self._http = http
        self._running = running
        self._ids = count(first_id)
        self._post_path = way.path
        self._events: AsyncIterator[str] | None = None

    async def begin(self) -> Reply:
        if self.way.transport == "modern":
            return await self.ask("server/discover")
        hello = {"protocolVersion": VERSIONS[self.way.transport], "capabilities": {}}
        body = self.body("initialize", {**hello, "clientInfo": {"name": "way", "version": "1"}})
        response = await self._post(body)
        self.session = response.headers.get("mcp-session-id", "")
        return await self._reply(response, body)

    async def ask(self, method: str, **params: Any) -> Reply:
        body = self.body(method, params)
        response = await self._post([body] if self.way.transport == "batch" else body)
        return await self._reply(response, body)

    async def call(self, tool: str, **arguments: Any) -> Reply:
        return await self.ask("tools/call", name=self.way.prefix + tool, arguments=arguments)

    async def tools(self) -> set[str]:
        """As the server itself calls them."""
        reply = await self.ask("tools/list")
        return {tool["name"].removeprefix(self.way.prefix) for tool in reply.message["result"]["tools"]}

    def body(self, method: str, params: Json) -> Json:
        if self.way.transport == "modern":
            own = {f"{META}protocolVersion": VERSIONS["modern"], f"{META}clientCapabilities": {}}
            params = {**params, "_meta": {**own, **params.get("_meta", {})}}
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}

    def headers(self, body: Any) -> dict[str, str]:
        if self.way.transport != "modern":
            return {"mcp-session-id": self.session} if self.session else {}
        found = {"mcp-protocol-version": VERSIONS["modern"], "mcp-method": body["method"]}
        key = NAMED.get(body["method"])
        return {**found, "mcp-name": encode_value(body["params"][key])} if key else found

    async def raw(self, content: bytes, headers: dict[str, str]) -> httpx2.Response:
        """Bytes in place of a message; its answer, or the event that answers it, as it came."""
        url = self._running.url + self._post_path
        response = await self._http.post(url, content=content, headers={"content-type": "application/json", **headers})
        if response.status_code == 202 and self._events is not None:
            return httpx2.Response(202, content=await self._event())
        return response

    async def _post(self, body: Any) -> httpx2.Response:
        return await self.raw(json.dumps(body).encode(), self.headers(body))

    async def _reply(self, response: httpx2.Response, body: Json) -> Reply:
        status = 0 if response.status_code == 202 else response.status_code
        text = response.text
        if "event-stream" in response.headers.get("content-type", ""):
            text = [line[5:] for line in text.splitlines() if line.startswith("data:")][-1]
        found = json.loads(text)
        if isinstance(found, list):
            (found,) = found
        if "result" in found:
            assert found["id"] == body["id"]
        return Reply(status, found)

    async def open_older(self, lines: AsyncIterator[str]) -> None:
        self._events = lines
        self._post_path = await self._event()

    async def _event(self) -> str:
        assert self._events is not None
        async with asyncio.timeout(20):
            async for line in self._events:
                if line.startswith("data: "):
                    return line[6:]
        raise AssertionError("the stream ended")


@asynccontextmanager
async def on(way: Way, running: Running, key: str = "", first_id: int = 1) -> AsyncIterator[Caller]:
    """A client that has introduced itself."""
    headers = {
        "authorization": f"Bearer {key or running.admin_key}",
        "accept": "application/json, text/event-stream",
    }
    async with httpx2.AsyncClient(headers=headers, timeout=20) as http:
        caller = Caller(way, http, running, first_id)
        if way.transport != "older":
            await caller.begin()
            yield caller
            return
        async with http.stream("GET", running.url + way.path, headers={"accept": "text/event-stream"}) as stream:
            assert stream.status_code == 200
            await caller.open_older(stream.aiter_lines())
            await caller.begin()
            yield caller
