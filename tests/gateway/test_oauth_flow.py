"""OAuth 2.1 as clients of MCP go through it, against a real authorisation server."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from authorisation_server import authorisation_server, robot_token
from garrison.catalog.issuers import IssuerSpec
from garrison.catalog.sections import Sections
from garrison.catalog.spec import GrantSpec, RoleSpec, ServerSpec
from garrison.surfaces.bench.echo import Answering, HttpEcho
from garrison.surfaces.setting_groups.identity import AuthSettings
from garrison.surfaces.settings import Settings
from gateway.wired import META, MODERN, Wired
from identity.signing import AUDIENCE, EC, ISSUER, Web, signed
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


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_both_eras_get_in(issuer: str, mode: str, start_fleet: StartFleet) -> None:
    running = await fleet_for(issuer, start_fleet)
    token = await robot_token(issuer, f"{running.url}/mcp", "mcp:write")
    async with running.client(key=token, mode=mode) as client:
        assert not (await client.call_tool("demo__do", {"what": "answer"})).is_error


def challenge_of(response: httpx2.Response) -> dict[str, str]:
    scheme, _, rest = response.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"', rest))


def ask(era: str, tool: str, **headers: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The body and the headers of one call; a legacy client's first word."""
    if era == "legacy":
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}, headers
    meta = {f"{META}protocolVersion": MODERN, f"{META}clientCapabilities": {}}
    params = {"name": tool, "arguments": {"what": "answer"}, "_meta": meta}
    more = {"mcp_protocol_version": MODERN, "mcp_method": "tools/call", "mcp_name": tool}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, {**more, **headers}


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("path", ["/mcp", "/servers/demo/mcp", "/servers/nobody/mcp"])
async def test_whoever_is_not_known_is_told_where_tokens_come_from(
    issuer: str, path: str, era: str, start_fleet: StartFleet
) -> None:
    running = await fleet_for(issuer, start_fleet)
    body, headers = ask(era, "do")
    where = f"{running.url}/.well-known/oauth-protected-resource{path}"
    for presented, error in (("", None), ("Bearer nonsense", "invalid_token"), ("Bearer a.b.c", "invalid_token")):
        answer = await running.post(path, body, authorization=presented, **headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == -32051
        expected = {"realm": "garrison", "scope": "mcp:read", "resource_metadata": where}
        assert challenge_of(answer) == {**expected, **({"error": error} if error else {})}
    async with httpx2.AsyncClient() as http:
        metadata = (await http.get(where)).json()
        assert metadata["resource"] == running.url + path
        assert metadata["authorization_servers"] == [issuer]
        assert metadata["scopes_supported"] == ["mcp:read", "mcp:write"]
        assert (await http.get(f"{running.url}/.well-known/oauth-protected-resource")).json()["resource"] == running.url
        assert (await http.get(f"{running.url}/.well-known/oauth-protected-resource/api")).status_code == 404
        assert (await http.post(where)).status_code == 405


async def test_without_issuers_there_is_no_metadata_and_keys_are_asked_for(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("demo", "obedient"))
    body, headers = ask("modern", "do")
    answer = await running.post("/mcp", body, authorization="Bearer a.b.c", **headers)
    assert challenge_of(answer) == {"realm": "garrison", "error": "invalid_token"}
    async with httpx2.AsyncClient() as http:
        assert (await http.get(f"{running.url}/.well-known/oauth-protected-resource/mcp")).status_code == 404


async def test_a_call_that_lacks_a_scope_says_which_and_a_token_with_it_gets_in(
    issuer: str, start_fleet: StartFleet
) -> None:
    running = await fleet_for(issuer, start_fleet)
    path, resource = "/servers/demo/mcp", f"{running.url}/servers/demo/mcp"
    body, headers = ask("modern", "tell")
    token = await robot_token(issuer, resource, "mcp:read")
    answer = await running.post(path, body, authorization=f"Bearer {token}", **headers)
    assert answer.status_code == 403
    assert challenge_of(answer) == {
        "realm": "garrison",
        "error": "insufficient_scope",
        "scope": "mcp:read mcp:write",
        "resource_metadata": f"{running.url}/.well-known/oauth-protected-resource{path}",
    }
    further = await robot_token(issuer, resource, challenge_of(answer)["scope"])
    assert (await running.post(path, body, authorization=f"Bearer {further}", **headers)).status_code == 200
    _, key = running.fleet.keys.create("poor", ["reader"])
    poor = await running.post(path, body, authorization=f"Bearer {key}", **headers)
    assert poor.status_code == 400  # to who cannot help it, the tool is not there
    assert "www-authenticate" not in poor.headers


async def test_a_token_is_good_for_the_endpoint_that_it_is_meant_for(issuer: str, start_fleet: StartFleet) -> None:
    running = await fleet_for(issuer, start_fleet)
    body, headers = ask("modern", "do")
    token = await robot_token(issuer, f"{running.url}/servers/demo/mcp", "mcp:read")
    for _ in range(3):  # from the fast path, too
        good = await running.post("/servers/demo/mcp", body, authorization=f"Bearer {token}", **headers)
        assert good.status_code == 200, good.text
        for path in ("/mcp", "/servers/other/mcp", "/profiles/demo/mcp"):
            assert (await running.post(path, body, authorization=f"Bearer {token}", **headers)).status_code == 401
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http:
        assert (await http.get(f"{running.url}/api/v1/whoami")).status_code == 401


async def test_calls_with_a_token_take_the_fast_path_and_not_beyond_the_issuer(
    issuer: str, start_fleet: StartFleet
) -> None:
    running = await fleet_for(issuer, start_fleet)
    token = await robot_token(issuer, f"{running.url}/servers/demo/mcp", "mcp:write")
    wired = await Wired(running, "modern", "/servers/demo/mcp", key=token).open()
    fast = running.fleet.gateway._fast
    for _ in range(5):
        assert (await wired.call("do", what="answer")).status == 200
    assert fast.taken >= 3
    running.fleet.authenticator.replace({})
    assert (await wired.call("do", what="answer")).status == 401
    await wired.hang_up()


async def test_a_session_belongs_to_the_issuers_subject_and_outlives_its_token(
    issuer: str, start_fleet: StartFleet
) -> None:
    running = await fleet_for(issuer, start_fleet)
    resource = f"{running.url}/servers/demo/mcp"
    first = await Wired(
        running, "legacy", "/servers/demo/mcp", key=await robot_token(issuer, resource, "mcp:write")
    ).open()
    assert (await first.call("do", what="answer")).status == 200
    renewed = Wired(running, "legacy", "/servers/demo/mcp", key=await robot_token(issuer, resource, "mcp:write"))
    assert (await renewed.resume(first.session).call("do", what="answer")).status == 200
    stranger = Wired(running, "legacy", "/servers/demo/mcp", key=running.key("writer", name="robot"))
    assert (await stranger.resume(first.session).call("do", what="answer")).status == 404
    for one in (first, renewed, stranger):
        await one.hang_up()


async def test_nothing_that_a_caller_is_known_by_reaches_a_server(issuer: str, start_fleet: StartFleet) -> None:
    heard = bytearray()

    class Listening(HttpEcho):
        def data_received(self, data: bytes) -> None:
            heard.extend(data)
            super().data_received(data)

    upstream = await asyncio.get_running_loop().create_server(lambda: Listening(Answering(3, "modern")), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}/mcp"
    spec = IssuerSpec(issuer=issuer, audiences=("https://nobody.example",), roles=("all",))
    role = RoleSpec(name="all", grants=(GrantSpec(servers=("*",), tools=("*",)),))
    running = await start_fleet(
        ServerSpec(name="demo", transport="http", url=url), roles=(role,), sections=Sections(issuers={"tests": spec})
    )
    token = await robot_token(issuer, f"{running.url}/servers/demo/mcp")
    body, headers = ask("modern", "echo", cookie="session=canary-cookie", proxy_authorization="Basic canary-proxy")
    body["params"]["arguments"] = {"text": "canary-argument"}
    for credential in (token, running.key("all"), running.admin_key):
        for _ in range(3):
            answer = await running.post("/servers/demo/mcp", body, authorization=f"Bearer {credential}", **headers)
            assert answer.status_code == 200, answer.text
        api_key = {**headers, "x_api_key": credential}
        assert (await running.post("/servers/demo/mcp", body, authorization="", **api_key)).status_code == 200
        assert credential.encode() not in heard
        assert credential.rpartition(".")[2].encode() not in heard
    upstream.close()
    assert b"canary-argument" in heard
    for word in (b"canary-cookie", b"canary-proxy", b"authorization", b"x-api-key", b"cookie"):
        assert word not in heard.lower()


async def test_an_administrator_may_come_with_a_token(issuer: str, start_fleet: StartFleet) -> None:
    spec = IssuerSpec(
        issuer=issuer, audiences=("https://nobody.example",), roles_by_scope={"mcp:write": ("admin",)}, ask_scopes=()
    )
    running = await start_fleet(stdio("demo", "obedient"), sections=Sections(issuers={"tests": spec}))
    for scope, status in (("mcp:read", 403), ("mcp:write", 200)):
        token = await robot_token(issuer, f"{running.url}/mcp", scope)
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http:
            assert (await http.get(f"{running.url}/api/v1/status")).status_code == status
            who = (await http.get(f"{running.url}/api/v1/whoami")).json()
            assert who["kind"] == "token"
            assert who["issuer"] == issuer
            assert (who["roles"] == ["admin"]) is (status == 200)
    assert token.encode() not in b"".join(
        path.read_bytes() for path in running.fleet.home.root.rglob("*") if path.is_file()
    )


async def test_an_issuer_out_of_reach_is_our_trouble_and_not_the_callers(start_fleet: StartFleet) -> None:
    spec = IssuerSpec(issuer="http://127.0.0.1:1", audiences=(AUDIENCE,))
    running = await start_fleet(stdio("demo", "obedient"), sections=Sections(issuers={"tests": spec}))
    token = signed({"alg": "ES256", "kid": "x"}, {"iss": spec.issuer}, EC, "ES256")
    for era in ("legacy", "modern"):
        body, headers = ask(era, "do")
        answer = await running.post("/mcp", body, authorization=f"Bearer {token}", **headers)
        assert answer.status_code == 503
        assert answer.json()["error"]["data"]["code"] == "issuer.unreachable"
        assert int(answer.headers["retry-after"]) >= 1
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as http:
        assert (await http.get(f"{running.url}/api/v1/whoami")).status_code == 503


async def test_who_guesses_is_slowed_down_and_whoever_is_right_is_not(start_fleet: StartFleet) -> None:
    settings = Settings(auth=AuthSettings(failures_per_minute=3))
    running = await start_fleet(stdio("demo", "obedient"), settings=settings)
    body, headers = ask("modern", "do")
    guesses = [
        await running.post("/mcp", body, authorization=f"Bearer guess{number}", **headers) for number in range(6)
    ]
    assert [one.status_code for one in guesses] == [401, 401, 401, 429, 429, 429]
    assert 1 <= int(guesses[-1].headers["retry-after"]) <= 20
    assert guesses[-1].json()["error"]["code"] == -32054
    assert (await running.post("/servers/demo/mcp", body, **headers)).status_code == 200
    async with httpx2.AsyncClient() as http:
        wrong = {"authorization": "Bearer wrong"}
        assert (await http.get(f"{running.url}/api/v1/whoami", headers=wrong)).status_code == 429
        right = {"authorization": f"Bearer {running.admin_key}"}
        assert (await http.get(f"{running.url}/api/v1/whoami", headers=right)).status_code == 200
    refused = [entry.outcome for entry in running.records() if entry.kind == "refusal"]
    assert refused == ["key.unknown"] * 3 + ["auth.failures"] * 4


async def test_a_bounded_key_may_do_no_more_than_its_bounds_and_nothing_at_the_admin_api(
    start_fleet: StartFleet,
) -> None:
    running = await start_fleet(stdio("demo", "obedient"), stdio("other", "obedient"), roles=(WRITER,))
    _, key = running.fleet.keys.create("bounded", ["admin"], scopes=["demo/do"])
    async with running.client(key=key) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["demo__do"]
        assert not (await client.call_tool("demo__do", {"what": "answer"})).is_error
        for tool in ("demo__tell", "other__do"):
            with pytest.raises(MCPError, match="Unknown tool"):
                await client.call_tool(tool, {"what": "answer"})
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}) as http:
        assert (await http.get(f"{running.url}/api/v1/status")).status_code == 403
        who = (await http.get(f"{running.url}/api/v1/whoami")).json()
        assert who["scopes"] == ["demo/do"]


async def test_the_older_transport_is_a_part_of_all_of_us(issuer: str, start_fleet: StartFleet) -> None:
    running = await fleet_for(issuer, start_fleet)
    for path in ("/sse", "/servers/demo/sse"):
        async with httpx2.AsyncClient(timeout=20) as http:
            answer = await http.get(running.url + path, headers={"accept": "text/event-stream"})
            assert answer.status_code == 401
            metadata = (await http.get(challenge_of(answer)["resource_metadata"])).json()
        assert metadata["resource"] == running.url
        token = await robot_token(issuer, metadata["resource"], "mcp:write")
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=20) as http,
            http.stream("GET", running.url + path, headers={"accept": "text/event-stream"}) as stream,
        ):
            assert stream.status_code == 200


async def test_no_flow_outlives_its_token(start_fleet: StartFleet) -> None:
    running = await start_fleet(stdio("demo", "obedient"), roles=(WRITER,))
    running.fleet.authenticator._tokens._fetch = Web().fetch
    spec = IssuerSpec(issuer=ISSUER, audiences=(AUDIENCE,), roles=("writer",))
    running.fleet.authenticator.replace({"tests": spec})
    ends_s = time.time() + 3
    payload = {"iss": ISSUER, "sub": "ada", "aud": AUDIENCE, "exp": ends_s - spec.leeway_s}
    token = signed({"alg": "ES256", "kid": "ec"}, payload, EC, "ES256")
    wired = await Wired(running, "modern", "/servers/demo/mcp", key=token).open()
    first = (await wired.call("do", what="answer")).status
    while time.time() < ends_s:
        await wired.call("do", what="answer")
    assert first == 200
    assert running.fleet.gateway._fast.taken > 0
    assert (await wired.call("do", what="answer")).status == 401
    await wired.hang_up()
