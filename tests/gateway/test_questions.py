"""A server asks its client in mid-call: every client era in front of every server era, over pipes and over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from garrison.catalog.spec import ServerSpec
from remote_servers import remote
from running_fleet import Running, StartFleet, stdio

pytestmark = pytest.mark.slow

SAID = {
    "elicitation": '"name": "Ada"',
    "sampling": "Paris",
    "roots": "file:///home/ada",
}


async def sample(context: Any, params: Any) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="Paris")
    return types.CreateMessageResult(role="assistant", content=content, model="m")


async def elicit(context: Any, params: Any) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def roots(context: Any) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root(uri="file:///home/ada")])


ABLE: dict[str, Any] = {"sampling_callback": sample, "elicitation_callback": elicit, "list_roots_callback": roots}


@pytest.fixture
async def one_server(start_fleet: StartFleet, script: str, transport: str) -> Any:
    async with AsyncExitStack() as stack:
        if transport == "stdio":
            yield await start_fleet(stdio("one", script))
            return
        url = await stack.enter_async_context(remote(script))
        yield await start_fleet(ServerSpec(name="one", transport="http", url=url))


@pytest.mark.parametrize("path", ["/mcp", "/servers/one/mcp"])
@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("script", ["legacy_only", "modern_only"])
async def test_a_question_in_mid_call_reaches_the_client_and_its_answer_the_server(
    one_server: Running, mode: str, path: str
) -> None:
    prefix = "one__" if path == "/mcp" else ""
    async with asyncio.timeout(20), one_server.client(path, mode, **ABLE) as client:
        for what, said in SAID.items():
            result = await client.call_tool(f"{prefix}inquire", {"what": what})
            assert said in str(result.content), what
        plain = await client.call_tool(f"{prefix}echo", {"text": "and a plain call between"})
        assert not plain.is_error


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("script", ["legacy_only", "modern_only"])
async def test_a_client_that_declared_nothing_is_not_asked(one_server: Running, mode: str) -> None:
    async with asyncio.timeout(20), one_server.client("/mcp", mode) as client:
        with pytest.raises(MCPError, match="did not declare"):
            await client.call_tool("one__inquire", {"what": "elicitation"})


@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize("script", ["legacy_only"])
async def test_two_clients_are_asked_each_its_own_question(one_server: Running) -> None:
    async def answers(name: str) -> str:
        async def elicit_name(context: Any, params: Any) -> types.ElicitResult:
            await asyncio.sleep(0.05)
            return types.ElicitResult(action="accept", content={"name": name})

        async with one_server.client("/mcp", "legacy", elicitation_callback=elicit_name) as client:
            results = [await client.call_tool("one__inquire", {"what": "elicitation"}) for _ in range(3)]
        return " ".join(str(result.content) for result in results)

    said = await asyncio.gather(*(answers(name) for name in ("Ada", "Alan", "Grace")))
    for name, heard in zip(("Ada", "Alan", "Grace"), said, strict=True):
        assert heard.count(name) == 3


@pytest.mark.parametrize("transport", ["stdio"])
@pytest.mark.parametrize("script", ["legacy_only"])
async def test_a_parked_calls_state_opens_for_its_own_principal_and_request_only(one_server: Running) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
    }
    arguments = {"what": "elicitation"}
    params = {"name": "one__inquire", "arguments": arguments, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": "one__inquire"}
    asked = (await one_server.post("/mcp", body, **headers)).json()["result"]
    assert asked["resultType"] == "input_required"
    assert len(one_server.fleet.gateway.parked) == 1
    (key,) = asked["inputRequests"]
    answer = {"action": "accept", "content": {"name": "Ada"}}
    given = {**params, "inputResponses": {key: answer}, "requestState": asked["requestState"]}

    stranger = f"Bearer {one_server.key('admin', name='stranger')}"
    for changed, who in (
        (given, {"authorization": stranger}),
        ({**given, "arguments": {"what": "roots"}}, {}),
        ({**given, "requestState": asked["requestState"][:-4] + "AAA="}, {}),
    ):
        response = await one_server.post("/mcp", {**body, "id": 2, "params": changed}, **{**headers, **who})
        assert "Ada" not in response.text
    assert len(one_server.fleet.gateway.parked) >= 1

    malformed = {**given, "inputResponses": [1]}
    refused = await one_server.post("/mcp", {**body, "id": 5, "params": malformed}, **headers)
    assert refused.json()["error"]["code"] == -32602
    assert len(one_server.fleet.gateway.parked) >= 1, "a malformed retry leaves the call parked"

    done = (await one_server.post("/mcp", {**body, "id": 3, "params": given}, **headers)).json()
    assert "Ada" in str(done["result"]["content"])
    again = await one_server.post("/mcp", {**body, "id": 4, "params": given}, **headers)
    assert again.json()["error"]["data"]["code"] == "call.not_parked"
