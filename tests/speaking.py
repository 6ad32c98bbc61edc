"""Clients by hand, for what no SDK sends: a legacy session, or requests of 2026-07-28, each with an open stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx2

from running_fleet import Running

Json = dict[str, Any]
PREFIX = "io.modelcontextprotocol/"
MODERN = "2026-07-28"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
DEADLINE_S = 20.0


class Speaker:
    """One client. `heard` is what came on its own stream."""

    def __init__(self, http: httpx2.AsyncClient, url: str, *, modern: bool, capabilities: Json) -> None:
        self.heard: list[Json] = []
        self.modern = modern
        self.session = ""
        self.capabilities = capabilities
        self._http = http
        self._url = url
        self._ids = count(1)
        self._tasks: list[asyncio.Task[None]] = []

    async def ask(self, method: str, meta: Json | None = None, **params: Any) -> Json:
        """The whole response; what came before it on its stream is in `before`."""
        body = self._body(method, {**params, **({"_meta": meta} if meta else {})})
        async with self._http.stream("POST", self._url, json=body, headers=self._headers(body)) as response:
            if "event-stream" not in response.headers.get("content-type", ""):
                return {**json.loads(await response.aread()), "before": []}
            messages = [message async for message in _events(response)]
        (answer,) = [message for message in messages if message.get("id") == body["id"] and "method" not in message]
        return {**answer, "before": [message for message in messages if message is not answer]}

    async def result(self, method: str, meta: Json | None = None, **params: Any) -> Json:
        answer = await self.ask(method, meta, **params)
        assert "error" not in answer, answer
        found: Json = answer["result"]
        return found

    async def call(self, name: str, **arguments: Any) -> Json:
        return await self.result("tools/call", name=name, arguments=arguments)

    async def notify(self, method: str) -> None:
        body = {"jsonrpc": "2.0", "method": method}
        assert (await self._http.post(self._url, json=body, headers=self._headers(body))).status_code == 202

    async def listen(self, **notifications: Any) -> None:
        """Open the client's own stream: a GET, or `subscriptions/listen`; returns when it is open."""
        opened = asyncio.Event()
        self._tasks.append(asyncio.create_task(self._listen(notifications, opened)))
        async with asyncio.timeout(DEADLINE_S):
            await opened.wait()

    async def hears(self, wanted: Callable[[Json], bool]) -> Json:
        """The first message on its stream that fits."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = next((message for message in self.heard if wanted(message)), None)
                if found is not None:
                    return found
                await asyncio.sleep(0.01)

    async def begin(self) -> Json:
        """`initialize`, or `server/discover`."""
        if self.modern:
            return await self.result("server/discover")
        client = {"protocolVersion": "2025-11-25", "capabilities": self.capabilities}
        body = self._body("initialize", {**client, "clientInfo": {"name": "by hand", "version": "1"}})
        response = await self._http.post(self._url, json=body, headers=self._headers(body))
        self.session = response.headers["mcp-session-id"]
        await self.notify("notifications/initialized")
        found: Json = response.json()["result"]
        return found

    async def end(self) -> None:
        if self.session:
            await self._http.delete(self._url, headers={"mcp-session-id": self.session})

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, notifications: Json, opened: asyncio.Event) -> None:
        if self.modern:
            body = self._body("subscriptions/listen", {"notifications": notifications})
            request = self._http.stream("POST", self._url, json=body, headers=self._headers(body))
        else:
            headers = {"mcp-session-id": self.session, "accept": "text/event-stream"}
            request = self._http.stream("GET", self._url, headers=headers)
        async with request as response:
            if not self.modern:
                opened.set()
            async for message in _events(response):
                self.heard.append(message)
                opened.set()  # a modern one is open when it is acknowledged

    def _body(self, method: str, params: Json) -> Json:
        if self.modern:
            own = {f"{PREFIX}protocolVersion": MODERN, f"{PREFIX}clientCapabilities": self.capabilities}
            params = {**params, "_meta": {**own, **params.get("_meta", {})}}
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}

    def _headers(self, body: Json) -> dict[str, str]:
        if not self.modern:
            return {"mcp-session-id": self.session} if self.session else {}
        found = {"mcp-protocol-version": MODERN, "mcp-method": body["method"]}
        if body["method"] in NAMED:
            found["mcp-name"] = body["params"][NAMED[body["method"]]]
        elif "name" in body["params"]:
            found["mcp-name"] = body["params"]["name"]
        return found


@asynccontextmanager
async def speaking(
    running: Running, era: str, path: str = "/mcp", key: str = "", **capabilities: Any
) -> AsyncIterator[Speaker]:
    """A client that has introduced itself."""
    headers = {
        "authorization": f"Bearer {key or running.admin_key}",
        "accept": "application/json, text/event-stream",
    }
    async with httpx2.AsyncClient(headers=headers, timeout=DEADLINE_S) as http:
        client = Speaker(http, running.url + path, modern=era == "modern", capabilities=capabilities)
        try:
            await client.begin()
            yield client
        finally:
            await client.close()


async def _events(response: httpx2.Response) -> AsyncIterator[Json]:
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            yield json.loads(line[5:])
