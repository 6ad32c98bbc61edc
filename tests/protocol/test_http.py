"""Streamable HTTP against real servers of both eras, in JSON and in event streams."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import legacy_only
import modern_only
import pytest
from everything import http_app
from msgspec import Raw

from garrison.kernel.errors import TimedOut, Unavailable
from garrison.protocol.connection import Connection
from garrison.protocol.handshake import Refused
from garrison.protocol.messages import Message, params_of, raw
from garrison.protocol.transports import http as streamable
from protocol.peers import SERVERS, Recorded, descriptors, http, listening, spawned, until, web

APPS = {
    "both eras, streams": http_app,
    "both eras, JSON": lambda: http_app(json_response=True),
    "legacy, streams": lambda: legacy_only.LegacyHttp().app(),
    "legacy, JSON": lambda: legacy_only.LegacyHttp(json_response=True).app(),
    "modern": lambda: modern_only.ModernHttp().app(),
}


async def called(connection: Connection, tool: str, **arguments: Any) -> Any:
    return json.loads(bytes(await connection.ask("tools/call", {"name": tool, "arguments": arguments})))


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("legacy", [False, True])
async def test_everything_that_is_offered_can_be_used(name: str, legacy: bool) -> None:
    async with web(APPS[name]()) as url, http(url) as connection:
        connection._legacy_only = legacy and name != "modern"
        await connection.open(10)
        assert (await called(connection, "echo", text="häll\no"))["content"][0]["text"] == "häll\no"
        assert (await called(connection, "add", a=1, b=2.5))["structuredContent"] == {"sum": 3.5}
        assert (await called(connection, "fail"))["isError"] is True
        assert "done" in str(await called(connection, "slow", steps=2))
        assert len((await called(connection, "big", size_bytes=2_000_000))["content"][0]["text"]) == 2_000_000
        with pytest.raises(Refused, match="refused as asked"):
            await called(connection, "refuse", code=-32050)
        uri = "memo://täst/two words"
        assert uri in str(json.loads(bytes(await connection.ask("resources/read", {"uri": uri}))))
        assert b"Hello, Ada!" in bytes(
            await connection.ask("prompts/get", {"name": "greeting", "arguments": {"who": "Ada"}})
        )


@pytest.mark.parametrize("name", ["both eras, streams", "legacy, streams", "modern"])
async def test_progress_streams_before_the_result(name: str) -> None:
    async with web(APPS[name]()) as url, http(url) as connection:
        await connection.open(10)
        own, reply = connection.reserve(), Recorded()
        meta = json.loads(bytes(connection.own_meta())) if connection.info.era == "modern" else {}
        params = {
            "name": raw("slow"),
            "arguments": raw({"steps": 3, "step_s": 0.01}),
            "_meta": raw({**meta, "progressToken": own}),
        }
        connection.request(own, "tools/call", params, reply)
        assert isinstance(await reply.end(), Raw)
        assert [json.loads(bytes(params_of(each)["progress"])) for each in reply.messages] == [1, 2, 3]


async def test_many_calls_at_once_each_get_their_own_answer() -> None:
    async with web(APPS["modern"]()) as url, http(url) as connection:
        await connection.open(10)
        answers = await asyncio.gather(*(called(connection, "echo", text=f"t{n}") for n in range(100)))
        assert [answer["content"][0]["text"] for answer in answers] == [f"t{n}" for n in range(100)]


async def test_warm_connections_are_used_again() -> None:
    async with web(APPS["legacy, JSON"]()) as url, http(url) as connection:
        await connection.open(10)
        await called(connection, "echo", text="x")
        before = descriptors()
        for _ in range(20):
            await called(connection, "echo", text="x")
        assert descriptors() == before


async def test_a_session_is_named_in_every_request_and_ended_at_close() -> None:
    server = legacy_only.LegacyHttp()
    async with web(server.app()) as url, http(url) as connection:
        await connection.open(10)
        (session,) = server.sessions.values()
        await called(connection, "echo", text="x")
        assert [each["method"] for each in session.received] == ["notifications/initialized", "tools/call"]
        await connection.close()
        assert (server.sessions, server.ended) == ({}, 1)


async def test_the_sdks_lost_session_is_replaced_too() -> None:
    first, second = http_app(), http_app()
    async with web(first) as url, http(url) as connection:
        connection._legacy_only = True
        await connection.open(10)
        async with web(second) as other:
            connection._transport._pool._origin = streamable.parse_url(other)  # type: ignore[attr-defined]
            connection._transport._pool._idle.clear()  # type: ignore[attr-defined]
            assert (await called(connection, "echo", text="x"))["content"][0]["text"] == "x"
            assert connection.closed is None


@pytest.mark.parametrize("name", ["legacy, streams", "both eras, streams"])
async def test_a_changed_list_is_announced_on_the_get_stream(name: str) -> None:
    heard: list[Message] = []
    async with web(APPS[name]()) as url, http(url) as connection:
        connection._legacy_only = True
        await connection.open(10)
        connection.on_message(heard.append)
        await asyncio.sleep(0.1)
        await called(connection, "grow")
        await until(lambda: heard)
        assert heard[0].method == "notifications/tools/list_changed"


@pytest.mark.parametrize("name", ["modern", "both eras, streams"])
async def test_a_modern_server_announces_to_who_listens(name: str) -> None:
    async with web(APPS[name]()) as url, http(url) as connection:
        await connection.open(10)
        own, reply = connection.reserve(), Recorded()
        params = {"notifications": raw({"toolsListChanged": True}), "_meta": connection.own_meta()}
        connection.request(own, "subscriptions/listen", params, reply)
        await until(lambda: reply.messages)
        await called(connection, "grow")
        await until(lambda: len(reply.messages) > 1)
        assert reply.messages[0].method == "notifications/subscriptions/acknowledged"
        assert reply.messages[1].method == "notifications/tools/list_changed"
        connection.cancel(own)


async def test_a_modern_request_is_cancelled_by_closing_its_stream() -> None:
    server = modern_only.ModernHttp()
    async with web(server.app()) as url, http(url) as connection:
        await connection.open(10)
        own, reply = connection.reserve(), Recorded()
        arguments = raw({"steps": 100, "step_s": 0.05})
        params = {"name": raw("slow"), "arguments": arguments, "_meta": connection.own_meta()}
        connection.request(own, "tools/call", params, reply)
        await until(lambda: len(server.headers) == 2)
        await asyncio.sleep(0.05)
        connection.cancel(own)
        await until(lambda: server.given_up == 1)
        assert len(server.headers) == 2  # no notification went out
        assert reply.ends == []


async def test_a_legacy_request_is_cancelled_by_a_notification() -> None:
    server = legacy_only.LegacyHttp()
    async with web(server.app()) as url, http(url) as connection:
        await connection.open(10)
        (session,) = server.sessions.values()
        own = connection.reserve()
        connection.request(own, "tools/call", {"name": raw("slow"), "arguments": raw({"steps": 50})}, Recorded())
        await until(lambda: len(session.received) == 2)
        connection.cancel(own)
        await until(lambda: len(session.received) == 3)
        assert session.received[2]["params"]["requestId"] == own


async def test_a_modern_server_is_sent_the_headers_that_its_revision_wants() -> None:
    server = modern_only.ModernHttp()
    async with (
        web(server.app()) as url,
        http(url, **{"X-Key": "k", "User-Agent": "mine", "Mcp-Name": "x"}) as connection,
    ):
        await connection.open(10)
        await called(connection, "echo", text="x")
        sent = server.headers[-1]
    assert sent["mcp-protocol-version"] == "2026-07-28"
    assert (sent["mcp-method"], sent["mcp-name"]) == ("tools/call", "echo")
    assert (sent["x-key"], sent["user-agent"], sent["accept"]) == ("k", "mine", "application/json, text/event-stream")
    assert "mcp-session-id" not in sent


async def test_credentials_in_the_url_become_a_header_and_are_in_no_error() -> None:
    server = modern_only.ModernHttp()
    async with web(server.app()) as url:
        async with http(url.replace("://", "://ada:s3cr%2Ft@")) as connection:
            await connection.open(10)
        expected = base64.b64encode(b"ada:s3cr/t").decode()
        assert {sent["authorization"] for sent in server.headers} == {f"Basic {expected}"}
        assert all("s3cr" not in sent["host"] for sent in server.headers)
    async with http(url.replace("://", "://ada:s3cr%2Ft@")) as connection:
        with pytest.raises(Unavailable) as caught:
            await connection.open(10)
        assert "s3cr" not in f"{caught.value.message} {caught.value.hint} {connection.closed} {caught.value!r}"


@pytest.mark.slow
async def test_a_killed_http_server_fails_what_is_in_flight_once() -> None:
    command = (str(SERVERS / "modern_only.py"), "--http", "0")
    async with spawned(*command) as (_, child):
        await until(lambda: child.noise, 20)
        url = child.noise[0].decode().strip()
        await listening(url)
        async with http(url) as connection:
            await connection.open(10)
            replies = [Recorded() for _ in range(5)]
            arguments = raw({"steps": 100, "step_s": 0.1})
            params = {"name": raw("slow"), "arguments": arguments, "_meta": connection.own_meta()}
            for reply in replies:
                connection.request(connection.reserve(), "tools/call", params, reply)
            await asyncio.sleep(0.2)
            child.process.kill()
            ends = [await reply.end() for reply in replies]
            assert {(type(end), end.code) for end in ends} == {(TimedOut, "server.lost")}
            assert all(len(reply.ends) == 1 for reply in replies)


@pytest.mark.parametrize("name", APPS)
async def test_nothing_stays_open_after_close(name: str) -> None:
    async with web(APPS[name]()) as url:
        before, tasks = descriptors(), asyncio.all_tasks()
        connection_to_close = http(url)
        connection = await connection_to_close.__aenter__()
        await connection.open(10)
        await asyncio.gather(*(called(connection, "echo", text="x") for _ in range(5)))
        pending = Recorded()
        params = {"name": raw("slow"), "arguments": raw({"steps": 100, "step_s": 0.1})}
        if connection.info.era == "modern":
            params["_meta"] = connection.own_meta()
        connection.request(connection.reserve(), "tools/call", params, pending)
        await asyncio.sleep(0.05)
        await connection_to_close.__aexit__(None, None, None)
        assert len(pending.ends) == 1
        await until(lambda: len(descriptors()) <= len(before))
        own = {task for task in asyncio.all_tasks() - tasks if "garrison" in repr(task.get_coro())}
        assert own == set()
