"""OAuth 2.1 as clients of MCP go through it, against a real authorisation server."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from authorisation_server import authorisation_server
from garrison.catalog.issuers import IssuerSpec
from garrison.catalog.sections import Sections
from garrison.catalog.spec import GrantSpec, RoleSpec
from running_fleet import Running, StartFleet, stdio

pytestmark = pytest.mark.slow

READER = RoleSpec(name="reader", grants=(GrantSpec(servers=("demo",), tools=("do",)),))
WRITER = RoleSpec(name="writer", grants=(GrantSpec(servers=("demo",), tools=("*",)),))
BACK = "http://127.0.0.1:1/callback"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with authorisation_server() as found:
        yield found


class Memory:
    """Where the client keeps what it got."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Browser:
    """Follows the redirects of the authorisation server up to the client's own address."""

    def __init__(self) -> None:
        self.asked: dict[str, list[str]] = {}
        self.answer: dict[str, list[str]] = {}

    async def go(self, url: str) -> None:
        self.asked = parse_qs(urlsplit(url).query)
        async with httpx2.AsyncClient(timeout=20) as http:
            while not url.startswith(BACK):
                response = await http.get(url)
                assert response.is_redirect, response.text
                url = str(response.next_request.url) if response.next_request else ""
        self.answer = parse_qs(urlsplit(url).query)

    async def result(self) -> AuthorizationCodeResult:
        one = {name: values[0] for name, values in self.answer.items()}
        return AuthorizationCodeResult(code=one["code"], state=one.get("state"), iss=one.get("iss"))


async def fleet_for(issuer: str, start_fleet: StartFleet, **more: object) -> Running:
    spec = IssuerSpec(
        issuer=issuer,
        audiences=("https://nobody.example",),
        roles_by_scope={"mcp:read": ("reader",), "mcp:write": ("writer",)},
        ask_scopes=("mcp:read",),
    )
    sections = Sections(issuers={"tests": spec})
    return await start_fleet(stdio("demo", "obedient"), roles=(READER, WRITER), sections=sections, **more)


@pytest.mark.parametrize("path", ["/mcp", "/servers/demo/mcp"])
async def test_a_stock_client_gets_in_by_itself(issuer: str, path: str, start_fleet: StartFleet) -> None:
    running = await fleet_for(issuer, start_fleet)
    memory, browser = Memory(), Browser()
    metadata = OAuthClientMetadata(redirect_uris=[BACK], client_name="a stock client")
    provider = OAuthClientProvider(running.url + path, metadata, memory, browser.go, browser.result)
    prefix = "demo__" if path == "/mcp" else ""
    async with (
        httpx2.AsyncClient(auth=provider, timeout=20) as http,
        Client(streamable_http_client(running.url + path, http_client=http)) as client,
    ):
        assert [tool.name for tool in (await client.list_tools()).tools] == [f"{prefix}do"]
        result = await client.call_tool(f"{prefix}do", {"what": "answer"})
    assert not result.is_error
    assert browser.asked["resource"] == [running.url + path]
    assert browser.asked["scope"] == ["mcp:read offline_access"]
    assert browser.asked["code_challenge_method"] == ["S256"]
    whose = {entry.principal for entry in running.records() if entry.action == "tools/call"}
    assert len(whose) == 1
    assert next(iter(whose)).startswith("127.0.0.1:ada:")
