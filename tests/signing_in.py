"""Fleets in front of the fixture server `guarded`, which demands tokens; and a person with a browser who signs in."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from authorisation_server import ROBOT
from garrison.catalog.credentials import AuthSpec
from garrison.catalog.spec import GrantSpec, RoleSpec, ServerSpec
from garrison.runtimes.instance import State
from garrison.surfaces.setting_groups.outbound import OutboundSettings
from garrison.surfaces.settings import Settings
from running_fleet import Running

LOCAL = Settings(outbound=OutboundSettings(allow=("127.0.0.0/8",)))
"""The servers of these tests name authorisation servers on this machine."""
EVERYTHING = RoleSpec(name="all", grants=(GrantSpec(tools=("*",), resources=("*",), prompts=("*",)),))


def spec(url: str, kind: str = "authorization_code", **more: Any) -> ServerSpec:
    return ServerSpec(name="vault", transport="http", url=url, auth=AuthSpec(kind=kind, **more))  # type: ignore[arg-type]


def as_robot(issuer: str, **more: Any) -> dict[str, Any]:
    return {"issuer": issuer, "client_id": ROBOT[0], "client_secret": ROBOT[1], **more}


async def seen(url: str) -> list[dict[str, str]]:
    async with httpx2.AsyncClient() as http:
        found: list[dict[str, str]] = (await http.get(url.removesuffix("/mcp") + "/seen")).json()
        return found


async def call(fleet: Running, key: str = "", tool: str = "whoami", **headers: Any) -> dict[str, Any]:
    """One call of a modern client at the aggregate: the result, or the error."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}} if "asks" in headers else {},
    }
    params = {"name": f"vault__{tool}", "arguments": {}, "_meta": meta}
    params |= {"inputResponses": headers["answers"]} if "answers" in headers else {}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    sent = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": f"vault__{tool}"}
    answer = await fleet.post("/mcp", body, **sent, authorization=f"Bearer {key or fleet.admin_key}")
    found: dict[str, Any] = answer.json()
    return found.get("result") or found["error"]


def told(result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result["content"][0]["text"])
    return found


async def sign_in(fleet: Running, principal: str = "", url: str = "") -> httpx2.Response:
    """As a person with a browser does: our page, the issuer's pages, and back."""
    async with browser() as http:
        if not url:
            query = f"?principal={principal}" if principal else ""
            begun = await http.post(f"{fleet.url}/api/v1/auth/vault{query}", headers=admin(fleet))
            assert begun.status_code == 200, begun.text
            url = begun.json()["url"]
        page = await http.get(url)
        assert page.status_code == 200, page.text
        return await agreed(http, fleet, page.text)


async def agreed(http: httpx2.AsyncClient, fleet: Running, page: str) -> httpx2.Response:
    ticket = re.search(r'name="ticket" value="([^"]+)"', page)
    assert ticket is not None
    origin = {"origin": fleet.url}
    response = await http.post(f"{fleet.url}/oauth/begin", data={"ticket": ticket[1]}, headers=origin)
    while response.next_request is not None:
        response = await http.send(response.next_request)
    return response


def browser() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(timeout=20, follow_redirects=False)


def admin(fleet: Running) -> dict[str, str]:
    return {"authorization": f"Bearer {fleet.admin_key}"}


def state(fleet: Running) -> State:
    return fleet.fleet.supervisor.observed()["vault"].state


async def until(what: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@asynccontextmanager
async def other_place() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Somebody who would like to be asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
