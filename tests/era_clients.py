"""A client of each era by hand, so that a test sees what is on the wire: every message of a response, in order."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import httpx2

from running_fleet import Running

Json = dict[str, Any]
Era = Literal["legacy", "modern"]

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
META = "io.modelcontextprotocol/"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
ANSWERS: dict[str, Json] = {
    "elicitation/create": {"action": "accept", "content": {"name": "Ada"}},
    "sampling/createMessage": {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m"},
    "roots/list": {"roots": [{"uri": "file:///home/ada"}]},
}
"""What our users say when they are asked."""
ABLE: Json = {"elicitation": {}, "sampling": {}, "roots": {}}


class Got:
    """A response in pieces. `status` and `kind` (media type) stand when it begins, `messages` fill as they come."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.kind = response.headers.get("content-type", "").partition(";")[0]
        self.messages: list[Json] = []
        self._response = response

    def __aiter__(self) -> AsyncIterator[Json]:
        return self._read()

    async def _read(self) -> AsyncIterator[Json]:
        if self.kind != "text/event-stream":
            body = await self._response.aread()
            if body:
                self.messages.append(json.loads(body))
                yield self.messages[-1]
            return
        async for line in self._response.aiter_lines():
            if line.startswith("data: "):
                self.messages.append(json.loads(line[6:]))
                yield self.messages[-1]

    @property
    def last(self) -> Json:
        return self.messages[-1]

    @property
    def result(self) -> Json:
        assert "result" in self.last, self.last
        found: Json = self.last["result"]
        return found

    @property
    def error(self) -> Json:
        assert "error" in self.last, self.last
        found: Json = self.last["error"]
        return found

    def of(self, method: str) -> list[Json]:
        """The parameters of all messages with this method."""
        return [message.get("params", {}) for message in self.messages if message.get("method") == method]


class EraClient:
    """`able`: the capabilities that it declares. `questions` are the methods that it was asked by, `rounds` how many
    POSTs its last request took."""

    def __init__(self, running: Running, http: httpx2.AsyncClient, era: Era, path: str, able: Json) -> None:
        self.era = era
        self.prefix = "" if path != "/mcp" else "{}__"
        self.questions: list[str] = []
        self.rounds = 0
        self.session = ""
        self._url = running.url + path
        self._key = running.admin_key
        self._http = http
        self._able = able
        self._ids = itertools.count(1)

    async def open(self) -> None:
        if self.era == "modern":
            return
        hello = {
            "protocolVersion": LEGACY,
            "capabilities": self._able,
            "clientInfo": {"name": "by hand", "version": "1"},
        }
        async with self.request("initialize", hello) as got:
            async for _ in got:
                pass
            self.session = got._response.headers["mcp-session-id"]
        assert got.result["protocolVersion"] == LEGACY
        assert await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"}) == 202

    async def ask(self, method: str, params: Json | None = None) -> Got:
        """A whole request: questions on the way are answered, in the way of this client's era."""
        self.rounds = 0
        given: Json = {}
        while True:
            self.rounds += 1
            async with self.request(method, {**(params or {}), **given}) as got:
                async for message in got:
                    if "method" in message and "id" in message:
                        await self._answer(message)
            result = got.last.get("result", {})
            if result.get("resultType") != "input_required":
                return got
            given = {"inputResponses": self._answers(result["inputRequests"])}
            if "requestState" in result:
                given["requestState"] = result["requestState"]

    async def call(self, name: str, server: str = "", **arguments: object) -> Got:
        return await self.ask("tools/call", {"name": self.prefix.format(server) + name, "arguments": arguments})

    @asynccontextmanager
    async def request(self, method: str, params: Json, request_id: object = None) -> AsyncIterator[Got]:
        """One POST, and its response while it comes; leaving early closes the stream."""
        own = next(self._ids) if request_id is None else request_id
        body: Json = {"jsonrpc": "2.0", "id": own, "method": method, "params": self._with_meta(params)}
        async with self._http.stream("POST", self._url, json=body, headers=self._headers(method, params)) as response:
            yield Got(response)

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[Got]:
        """The legacy session's own stream."""
        headers = {**self._headers("", {}), "accept": "text/event-stream"}
        async with self._http.stream("GET", self._url, headers=headers) as response:
            assert response.status_code == 200
            yield Got(response)

    async def post(self, message: Json) -> int:
        """A notification or a response: the status."""
        response = await self._http.post(self._url, json=message, headers=self._headers("", {}))
        return response.status_code

    def _with_meta(self, params: Json) -> Json:
        if self.era == "legacy":
            return params
        own = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": self._able}
        return {**params, "_meta": {**params.get("_meta", {}), **own}}

    def _headers(self, method: str, params: Json) -> dict[str, str]:
        found = {"authorization": f"Bearer {self._key}", "accept": "application/json, text/event-stream"}
        if self.era == "modern":
            found |= {"mcp-protocol-version": MODERN, "mcp-method": method}
            if method in NAMED:
                found["mcp-name"] = str(params[NAMED[method]])
        elif self.session:
            found |= {"mcp-protocol-version": LEGACY, "mcp-session-id": self.session}
        return found

    async def _answer(self, question: Json) -> None:
        """A legacy server's question, on the stream: the answer is a POST of its own."""
        assert self.era == "legacy", "nobody sends requests to a modern client"
        self.questions.append(question["method"])
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": ANSWERS[question["method"]]}
        assert await self.post(answer) == 202

    def _answers(self, asked: Json) -> Json:
        assert self.era == "modern", "a legacy client knows no input_required"
        self.questions += [one["method"] for one in asked.values()]
        return {key: ANSWERS[one["method"]] for key, one in asked.items()}


class Clients:
    """One client for each era, path and set of capabilities, opened when it is first wanted and then kept."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self._http = httpx2.AsyncClient(timeout=20, limits=httpx2.Limits(max_connections=None))
        self._open: dict[tuple[Era, str, bool], EraClient] = {}
        self._opening = asyncio.Lock()

    async def get(self, era: Era, path: str, *, able: bool = False) -> EraClient:
        async with self._opening:
            key = (era, path, able)
            if key not in self._open:
                self._open[key] = EraClient(self.running, self._http, era, path, ABLE if able else {})
                await self._open[key].open()
            return self._open[key]

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def era_clients(running: Running) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        found = Clients(running)
        stack.push_async_callback(found.close)
        yield found
