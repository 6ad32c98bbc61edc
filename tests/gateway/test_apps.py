"""MCP Apps on the aggregate: `ui://` resources of several servers, told apart and found again."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extras_fleet import ACROSS, ERAS, extras, flags
from garrison.gateway import apps
from running_fleet import StartFleet
from speaking import speaking

names = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)


@given(names, st.text(max_size=30))
def test_a_shown_uri_leads_back_to_its_server(server: str, rest: str) -> None:
    uri = f"ui://{rest}"
    assert apps.original(apps.shown(server, uri), {server}) == (server, uri)
    assert apps.original(apps.shown(server, uri), set()) is None


@given(names, st.text(max_size=20).filter(lambda uri: not uri.startswith("ui://")))
def test_other_uris_stay_as_they_are(server: str, uri: str) -> None:
    assert apps.shown(server, uri) == uri
    assert apps.original(uri, {server}) is None


def test_only_what_names_a_resource_is_rewritten() -> None:
    text = {"type": "text", "text": "ui://app/main.html"}
    link = {"type": "resource_link", "uri": "ui://app/main.html"}
    content = {"content": [text, link], "structuredContent": {"uri": "ui://x"}, "_meta": {"a": ["ui://y", 1]}}
    found = msgspec.json.decode(apps.result("git", msgspec.json.encode(content)))
    assert found == {
        "content": [text, {**link, "uri": "ui://git/app/main.html"}],
        "structuredContent": {"uri": "ui://x"},
        "_meta": {"a": ["ui://git/y", 1]},
    }


@given(st.binary(max_size=60))
def test_what_cannot_be_read_is_left_alone(junk: bytes) -> None:
    body = b"ui://" + junk
    assert apps.result("git", body) == body


@pytest.mark.slow
@pytest.mark.parametrize(("era", "upstream"), ACROSS)
async def test_two_servers_with_the_same_view_are_told_apart(start_fleet: StartFleet, era: str, upstream: str) -> None:
    running = await start_fleet(extras("one", *flags(upstream)), extras("two", *flags(upstream)))
    async with speaking(running, era) as client:
        tools = {tool["name"]: tool for tool in (await client.result("tools/list"))["tools"]}
        listed = {one["uri"] for one in (await client.result("resources/list"))["resources"]}
        for server in ("one", "two"):
            uri = f"ui://{server}/app/main.html"
            meta = tools[f"{server}__panel"]["_meta"]
            assert meta == {"ui": {"resourceUri": uri}, "ui/resourceUri": uri}
            assert uri in listed
            (content,) = (await client.result("resources/read", uri=uri))["contents"]
            assert content["uri"] == uri
            assert content["text"] == f"<p>{server} at ui://app/main.html</p>"
            link, inside = (result := await client.call(f"{server}__panel"))["content"]
            assert (link["uri"], inside["resource"]["uri"]) == (uri, uri)
            assert inside["resource"]["text"] == "see ui://app/main.html"
            assert result["_meta"]["ui"] == {"resourceUri": uri}
            assert result["structuredContent"] == {"uri": "ui://app/main.html"}


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_on_the_transparent_endpoint_nothing_is_rewritten(start_fleet: StartFleet, era: str) -> None:
    running = await start_fleet(extras("one", *flags(era)))
    uri = "ui://app/main.html"
    async with speaking(running, era, "/servers/one/mcp") as client:
        tools = {tool["name"]: tool for tool in (await client.result("tools/list"))["tools"]}
        assert tools["panel"]["_meta"]["ui"]["resourceUri"] == uri
        assert (await client.result("resources/read", uri=uri))["contents"][0]["uri"] == uri
        assert (await client.call("panel"))["content"][0]["uri"] == uri


@pytest.mark.slow
async def test_a_modern_answer_from_the_cache_is_rewritten_too(start_fleet: StartFleet) -> None:
    running = await start_fleet(extras("one", "--modern"))
    uri = "ui://one/app/main.html"
    async with speaking(running, "modern") as client:
        for _ in range(2):
            assert (await client.result("resources/read", uri=uri))["contents"][0]["uri"] == uri
