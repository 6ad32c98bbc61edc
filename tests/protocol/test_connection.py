"""Requests in flight: every one ends exactly once, whatever the server does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from garrison.kernel.errors import TimedOut, Unavailable
from garrison.protocol.connection import Connection
from garrison.protocol.handshake import Refused, ServerInfo
from garrison.protocol.messages import Message, RpcError, params_of, raw
from garrison.protocol.transports.stdio import StdioTransport
from protocol.peers import CLIENT, SERVERS, Recorded, scripted, spawned, until


class Wire:
    """A connection on a pipe whose both ends are here."""

    def __init__(self, era: str = "legacy") -> None:
        self.written: list[dict[str, Any]] = []
        self.channel = StdioTransport(self._write)
        self.connection = Connection(self.channel, CLIENT, label="tested")
        version = "2025-11-25" if era == "legacy" else "2026-07-28"
        self.connection.info = ServerInfo(era, version)  # type: ignore[arg-type]

    def say(self, **message: Any) -> None:
        self.channel.data_received(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def request(self, method: str = "tools/call") -> tuple[int, Recorded]:
        own, reply = self.connection.reserve(), Recorded()
        self.connection.request(own, method, {}, reply)
        return own, reply

    def _write(self, data: bytes) -> None:
        self.written += [json.loads(line) for line in data.splitlines()]


DEEDS: dict[str, Callable[[Wire, int], None]] = {
    "result": lambda wire, own: wire.say(id=own, result={}),
    "error": lambda wire, own: wire.say(id=own, error={"code": -1, "message": "m"}),
    "empty": lambda wire, own: wire.say(id=own),
    "stranger": lambda wire, own: wire.say(id=f"{own}x", result={}),
    "progress": lambda wire, own: wire.say(method="notifications/progress", params={"progressToken": own}),
    "failed": lambda wire, own: wire.connection.failed(own, Unavailable("x.y", "z")),
    "lost": lambda wire, _: wire.connection.lost("gone"),
    "cancel": lambda wire, own: wire.connection.cancel(own),
}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["request", *DEEDS]), st.integers(1, 5)), max_size=30))
def test_each_request_ends_at_most_once_and_after_the_loss_exactly_once(events: list[tuple[str, int]]) -> None:
    async def run() -> None:
        wire, replies, cancelled = Wire(), dict[int, Recorded](), set[int]()
        for what, number in events:
            if what == "request":
                own, reply = wire.request()
                replies[own] = reply
                continue
            if what == "cancel" and number in replies and not replies[number].ends:
                cancelled.add(number)
            DEEDS[what](wire, number)
        wire.connection.lost("the end")
        assert wire.connection.in_flight == 0
        for own, reply in replies.items():
            assert len(reply.ends) == (0 if own in cancelled else 1)
        await asyncio.sleep(0)

    asyncio.run(run())


async def test_late_and_repeated_answers_are_dropped() -> None:
    wire = Wire()
    own, reply = wire.request()
    wire.say(id=own, result={"n": 1})
    wire.say(id=own, result={"n": 2})
    cancelled, silent = wire.request()
    wire.connection.cancel(cancelled)
    wire.say(id=cancelled, result={})
    assert [bytes(end) for end in reply.ends if isinstance(end, Raw)] == [b'{"n": 1}']
    assert silent.ends == []


async def test_nothing_is_heard_after_the_loss() -> None:
    wire, heard = Wire(), list[Message]()
    wire.connection.on_message(heard.append)
    wire.connection.lost("gone")
    wire.say(method="notifications/tools/list_changed")
    wire.say(method="ping", id=4)
    await asyncio.sleep(0)
    assert (heard, wire.written) == ([], [])


async def test_those_who_watch_are_told_of_the_loss_once() -> None:
    wire, told = Wire(), list[str]()
    wire.connection.on_closed(told.append)
    wire.connection.lost("gone")
    wire.connection.lost("gone again")
    await wire.connection.close()
    wire.connection.on_closed(told.append)
    assert told == ["gone", "gone"]


async def test_a_request_on_a_lost_connection_says_that_it_never_left() -> None:
    wire = Wire()
    wire.connection.lost("gone")
    _, reply = wire.request()
    end = await reply.end()
    assert isinstance(end, Unavailable)
    assert end.code == "server.gone"
    assert wire.written == []


async def test_the_server_may_ping_but_gets_nothing_else() -> None:
    wire = Wire()
    wire.say(method="ping", id="p-1")
    wire.say(method="sampling/createMessage", id=7, params={"messages": []})
    wire.say(method="x" * 5000, id=10**25)
    await asyncio.sleep(0)
    ping, sampling, long = wire.written
    assert ping == {"jsonrpc": "2.0", "id": "p-1", "result": {}}
    assert (sampling["id"], sampling["error"]["code"]) == (7, -32601)
    assert long["id"] == 10**25
    assert len(json.dumps(long)) < 300


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_cancelling_over_a_pipe_tells_the_server_in_both_eras(era: str) -> None:
    wire = Wire(era)
    own, reply = wire.request()
    wire.connection.cancel(own, "not wanted")
    wire.connection.cancel(own, "again")
    await asyncio.sleep(0)
    assert [each["method"] for each in wire.written] == ["tools/call", "notifications/cancelled"]
    assert wire.written[1]["params"] == {"requestId": own, "reason": "not wanted"}
    assert reply.ends == []


async def test_a_question_of_our_own_that_is_given_up_is_cancelled_too() -> None:
    wire = Wire()
    with pytest.raises(TimedOut) as caught:
        await wire.connection.ask("tools/list", timeout_s=0.02)
    await asyncio.sleep(0)
    assert caught.value.code == "server.timeout"
    assert [each["method"] for each in wire.written] == ["tools/list", "notifications/cancelled"]
    assert wire.connection.in_flight == 0


async def test_progress_finds_its_request_by_its_token_and_others_hear_nothing() -> None:
    wire, heard = Wire(), list[Message]()
    wire.connection.on_message(heard.append)
    own, reply = wire.request()
    _, other = wire.request()
    for token in (own, 99, True, "1", None, [1]):
        wire.say(method="notifications/progress", params={"progressToken": token, "progress": 0.5})
    wire.say(method="notifications/progress")
    wire.say(method="notifications/progress", params=[1])
    assert len(reply.messages) == 1
    assert other.messages == []
    assert len(heard) == 7


async def test_a_subscriptions_messages_find_the_request_that_listens() -> None:
    wire, heard = Wire("modern"), list[Message]()
    wire.connection.on_message(heard.append)
    own, reply = wire.request("subscriptions/listen")
    meta = {"io.modelcontextprotocol/subscriptionId": own}
    wire.say(method="notifications/tools/list_changed", params={"_meta": meta})
    wire.say(method="notifications/tools/list_changed")
    assert (len(reply.messages), len(heard)) == (1, 1)


async def test_a_changed_list_is_everybodys_matter_even_on_a_requests_stream() -> None:
    wire, heard = Wire(), list[Message]()
    wire.connection.on_message(heard.append)
    own, reply = wire.request()
    frame = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'
    wire.connection.received(frame, own)
    assert (len(reply.messages), len(heard)) == (0, 1)


async def test_on_a_requests_own_stream_only_it_is_answered() -> None:
    wire = Wire()
    own, reply = wire.request()
    other, untouched = wire.request()
    wire.connection.received(json.dumps({"jsonrpc": "2.0", "id": other, "result": {}}).encode(), own)
    assert (reply.ends, untouched.ends) == ([], [])
    wire.connection.received(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"m"}}', own)
    assert reply.ends == [RpcError(-32600, "m")]


@pytest.mark.parametrize(
    "error", ['"no"', "[]", "{}", '{"code":"x","message":"m"}', '{"code":1}', '{"code":1.5,"message":""}']
)
async def test_a_malformed_error_object_is_an_error_all_the_same(error: str) -> None:
    wire = Wire()
    own, reply = wire.request()
    wire.channel.data_received(f'{{"jsonrpc":"2.0","id":{own},"error":{error}}}\n'.encode())
    end = await reply.end()
    assert isinstance(end, RpcError)
    assert "malformed" in end.message


async def test_headers_follow_the_era_and_cannot_be_broken_out_of() -> None:
    legacy, modern = Wire().connection, Wire("modern").connection
    params = {"name": raw("täst\r\nX-Evil: 1"), "uri": raw("memo://x")}
    assert legacy.headers("tools/call", params) == {"mcp-protocol-version": "2025-11-25"}
    found = modern.headers("tools/call", params)
    assert found["mcp-method"] == "tools/call"
    assert found["mcp-name"].startswith("=?base64?")
    assert modern.headers("resources/read", params)["mcp-name"] == "memo://x"
    odd = modern.headers("x\r\nX-Evil: 1", None)
    assert all("\r" not in value and "\n" not in value for value in odd.values())


# against real processes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["everything.py", "legacy_only.py"])
async def test_a_killed_server_fails_every_request_in_flight_exactly_once(name: str) -> None:
    async with spawned(str(SERVERS / name)) as (connection, child):
        await connection.open(20)
        slow = {"name": raw("slow"), "arguments": raw({"steps": 100, "step_s": 0.1})}
        if connection.info.era == "modern":
            slow["_meta"] = connection.own_meta()
        replies = [Recorded() for _ in range(20)]
        for reply in replies:
            connection.request(connection.reserve(), "tools/call", slow, reply)
        await asyncio.sleep(0.05)
        started = asyncio.get_running_loop().time()
        child.process.kill()
        ends = [await reply.end() for reply in replies]
        assert asyncio.get_running_loop().time() - started < 1
        assert {(type(end), end.code) for end in ends} == {(TimedOut, "server.lost")}
        assert "unknown" in ends[0].message
        await asyncio.sleep(0.05)
        assert all(len(reply.ends) == 1 for reply in replies)


@pytest.mark.slow
async def test_progress_arrives_in_order_before_the_result() -> None:
    async with spawned(str(SERVERS / "everything.py")) as (connection, _):
        await connection.open(20)
        own, reply = connection.reserve(), Recorded()
        meta = json.loads(bytes(connection.own_meta())) | {"progressToken": own}
        params = {"name": raw("slow"), "arguments": raw({"steps": 4, "step_s": 0.01}), "_meta": raw(meta)}
        connection.request(own, "tools/call", params, reply)
        assert b"done after 4 steps" in bytes(await reply.end())
        seen = [json.loads(bytes(params_of(each)["progress"])) for each in reply.messages]
        assert seen == [1, 2, 3, 4]


async def test_a_cancelled_call_is_ended_in_the_server() -> None:
    async with spawned(str(SERVERS / "legacy_only.py"), legacy_only=True) as (connection, _):
        await connection.open(20)
        own, reply = connection.reserve(), Recorded()
        params = {"name": raw("slow"), "arguments": raw({"steps": 100, "step_s": 0.1})}
        connection.request(own, "tools/call", params, reply)
        await asyncio.sleep(0.02)
        connection.cancel(own)
        assert b"hi" in bytes(await connection.ask("tools/call", {"name": "echo", "arguments": {"text": "hi"}}))
        assert reply.ends == []


async def test_a_server_that_asks_its_client_is_answered_while_it_works() -> None:
    source = """
error(read()["id"]); result(read()["id"], **HELLO); read()
own = read()["id"]
say({"jsonrpc": "2.0", "id": "q", "method": "ping"})
say({"jsonrpc": "2.0", "id": 8, "method": "elicitation/create", "params": {}})
first, second = read(), read()
result(own, ping=first, elicitation=second)
"""
    async with scripted(source) as (connection, _):
        await connection.open(10)
        told = json.loads(bytes(await connection.ask("tools/call")))
        assert told["ping"] == {"jsonrpc": "2.0", "id": "q", "result": {}}
        assert told["elicitation"]["error"]["code"] == -32601


async def test_a_refusal_keeps_the_servers_error() -> None:
    async with spawned(str(SERVERS / "legacy_only.py"), legacy_only=True) as (connection, child):
        await connection.open(20)
        with pytest.raises(Refused) as caught:
            await connection.ask("tools/call", {"name": "refuse", "arguments": {"code": -32099}})
        assert caught.value.error.code == -32099
        await connection.close()
        assert connection.closed == "closed"
        child.process.kill()
        await until(child.exited.is_set)
