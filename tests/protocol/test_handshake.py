"""Era detection (design: over HTTP read the 400 body; over stdio probe first; any non-modern answer means legacy)."""

from __future__ import annotations

import asyncio
import json

import legacy_only
import modern_only
import pytest
from everything import http_app

from garrison.kernel.errors import GarrisonError, Invalid, TimedOut, Unavailable, Unsupported
from garrison.protocol import handshake
from garrison.protocol.connection import Connection
from garrison.protocol.handshake import Refused
from protocol.peers import SERVERS, Asked, http, raw_server, scripted, spawned, until, web

INFO = {"era": "legacy", "version": "2025-11-25", "name": "script"}


def facts(connection: Connection) -> dict[str, str]:
    info = connection.info
    return {"era": info.era, "version": info.version, "name": info.name}


SERVES = """
while True:
    message = read()
    method, own = message["method"], message.get("id")
    if method == "initialize": result(own, **HELLO)
    elif own is not None: %s
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "era", "title"),
    [("everything.py", "modern", "everything"), ("legacy_only.py", "legacy", "legacy-only"),
     ("modern_only.py", "modern", "modern-only")],
)  # fmt: skip
async def test_each_kind_of_server_is_recognised_over_pipes(name: str, era: str, title: str) -> None:
    async with spawned(str(SERVERS / name)) as (connection, _):
        await connection.open(20)
        version = "2026-07-28" if era == "modern" else "2025-11-25"
        assert facts(connection) == {"era": era, "version": version, "name": title}
        assert len(json.loads(bytes(await connection.ask("tools/list")))["tools"]) > 10
        await connection.ping(5)


async def test_each_kind_of_server_is_recognised_over_http() -> None:
    apps = {
        "everything": http_app(),
        "legacy-only": legacy_only.LegacyHttp().app(),
        "modern-only": modern_only.ModernHttp().app(),
    }
    for name, app in apps.items():
        async with web(app) as url, http(url) as connection:
            await connection.open(10)
            era = "legacy" if name == "legacy-only" else "modern"
            assert (connection.info.name, connection.info.era) == (name, era)
            assert len(json.loads(bytes(await connection.ask("tools/list")))["tools"]) > 10
            await connection.ping(5)


@pytest.mark.parametrize(
    "answer",
    ["error(own)", "error(own, -32602, 'Invalid params')", "error(own, -32000, 'not initialized')",
     "error(own, -32022, 'Unsupported version')", "result(own)", "result(own, supportedVersions=['2025-11-25'])",
     "result(own, supportedVersions='2026-07-28')", "say({'jsonrpc': '2.0', 'id': own, 'result': [1]})",
     "say({'jsonrpc': '2.0', 'id': own, 'error': 'no'})", "say({'jsonrpc': '2.0', 'id': own})",
     "say({'jsonrpc': '2.0', 'id': own, 'result': None, 'error': {'code': 'x', 'message': 7}})",
     "say('{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":%s}' % (own, '[' * 700 + ']' * 700))",
     "error(str(own))"],
)  # fmt: skip
async def test_any_answer_that_is_not_modern_means_legacy(answer: str) -> None:
    async with scripted(SERVES % answer) as (connection, _):
        await connection.open(10)
        assert facts(connection) == INFO


async def test_string_ids_and_null_errors_are_understood() -> None:
    source = (
        "read(); say({'jsonrpc': '2.0', 'id': '1', 'error': {'code': 1, 'message': 'm'}})\n" + SERVES % "error(own)"
    )
    source = source.replace(
        "result(own, **HELLO)", "say({'jsonrpc': '2.0', 'id': str(own), 'result': HELLO, 'error': None})"
    )
    async with scripted(source) as (connection, _):
        await connection.open(10)
        assert facts(connection) == INFO


async def test_silence_on_the_probe_means_legacy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "PROBE_GRACE_S", 0.05)
    async with scripted(SERVES % "pass") as (connection, _):
        await connection.open(10)
        assert facts(connection) == INFO
        assert connection.in_flight == 0


async def test_a_slow_modern_server_that_answers_the_probe_after_initialize_was_sent_is_modern(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshake, "PROBE_GRACE_S", 0.05)
    source = """
probe, second = read(), read()
assert second["method"] == "initialize"
error(second["id"])
result(probe["id"], supportedVersions=["2026-07-28"], capabilities={"tools": {}})
read()
"""
    async with scripted(source) as (connection, _):
        await connection.open(10)
        assert (connection.info.era, connection.info.capabilities) == ("modern", {"tools": {}})


async def test_a_slow_legacy_server_that_refuses_the_probe_late_is_legacy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "PROBE_GRACE_S", 0.05)
    source = "probe, second = read(), read(); error(probe['id']); result(second['id'], **HELLO)\n" + SERVES % "pass"
    async with scripted(source) as (connection, _):
        await connection.open(10)
        assert facts(connection) == INFO


async def test_a_legacy_server_never_hears_that_the_handshake_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "PROBE_GRACE_S", 0.05)
    source = """
heard = []
while True:
    message = read(); heard.append(message["method"])
    if message["method"] == "initialize": result(message["id"], **HELLO)
    if message["method"] == "heard": result(message["id"], heard=heard)
"""
    async with scripted(source) as (connection, _):
        await connection.open(10)
        await asyncio.sleep(0)
        heard = json.loads(bytes(await connection.ask("heard")))["heard"]
    assert heard == ["server/discover", "initialize", "notifications/initialized", "heard"]


async def test_answering_twice_does_no_harm() -> None:
    source = (SERVES % "error(own); error(own)").replace("result(own, **HELLO)", "result(own, **HELLO); result(own)")
    async with scripted(source) as (connection, _):
        await connection.open(10)
        assert facts(connection) == INFO
        with pytest.raises(Refused, match="-32601"):
            await connection.ask("tools/list")


async def test_a_server_that_dies_of_the_probe_is_said_to_be_gone() -> None:
    async with scripted("read(); sys.exit(3)") as (connection, _):
        with pytest.raises(TimedOut) as caught:
            await connection.open(10)
        assert caught.value.code == "server.lost"
        assert connection.closed == "its process ended"


async def test_such_a_server_can_be_told_to_be_legacy() -> None:
    source = "message = read(); assert message['method'] == 'initialize'; result(message['id'], **HELLO); read()"
    async with scripted(source, legacy_only=True) as (connection, _):
        await connection.open(10)
        assert facts(connection) == INFO


async def test_garbage_is_no_handshake_and_the_limit_holds() -> None:
    async with scripted("while True: read(); say('what?')") as (connection, child):
        with pytest.raises(TimedOut) as caught:
            await connection.open(0.4)
        assert caught.value.code == "server.handshake_timeout"
        assert connection.in_flight == 0
        assert child.noise


@pytest.mark.parametrize("version", ["'1999-01-01'", "None", "['2025-11-25']", "{}", "7", "'2026-07-28'"])
async def test_a_revision_that_we_do_not_speak_is_named(version: str) -> None:
    source = (SERVES % "error(own)").replace("**HELLO", f"protocolVersion={version}")
    async with scripted(source) as (connection, _):
        with pytest.raises(Unsupported, match="speaks protocol revision"):
            await connection.open(10)


async def test_an_initialize_that_is_refused_is_passed_on() -> None:
    source = "while True: error(read()['id'], -32001, 'licence expired')"
    async with scripted(source) as (connection, _):
        with pytest.raises(Refused, match="licence expired"):
            await connection.open(10)


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18"])
async def test_an_older_revision_is_taken_as_it_is(version: str) -> None:
    source = (SERVES % "error(own)").replace("**HELLO", f"**{{**HELLO, 'protocolVersion': '{version}'}}")
    async with scripted(source) as (connection, _):
        await connection.open(10)
        assert connection.info.version == version


async def test_odd_members_of_the_handshake_are_left_out() -> None:
    odd = "protocolVersion='2025-11-25', capabilities=[1], serverInfo='me', instructions={'a': 1}"
    async with scripted((SERVES % "error(own)").replace("**HELLO", odd)) as (connection, _):
        await connection.open(10)
        assert connection.info.capabilities == {}
        assert connection.info.name == ""


# over HTTP


def answering(status: int, body: str, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def hello(own: int) -> str:
    found = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "script"}}
    return json.dumps({"jsonrpc": "2.0", "id": own, "result": found})


@pytest.mark.parametrize(
    ("status", "body"),
    [(400, '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}'),
     (400, "Missing session"), (404, "nothing here"), (405, ""), (406, "{}"), (500, "Internal Server Error"),
     (501, "<html>"), (200, "<html>login</html>"), (200, ""), (202, ""), (502, ""), (403, "no")],
)  # fmt: skip
async def test_a_legacy_http_server_may_refuse_the_probe_in_any_way(status: int, body: str) -> None:
    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        message = json.loads(asked.body or b"{}")
        if message.get("method") == "initialize":
            assert "mcp-protocol-version" not in asked.header
            writer.write(answering(200, hello(message["id"])))
        elif message.get("method") == "server/discover":
            writer.write(answering(status, body))
        else:
            writer.write(answering(405 if asked.verb == "GET" else 202, ""))
        return True

    async with raw_server(talk) as server, http(server.url) as connection:
        if status == 403:
            with pytest.raises(Unavailable):
                await connection.open(5)
        else:
            await connection.open(5)
            assert facts(connection) == INFO


async def test_a_connection_that_breaks_on_the_probe_is_tried_once_more_with_initialize() -> None:
    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        message = json.loads(asked.body or b"{}")
        if message.get("method") == "server/discover":
            return False
        body = hello(message["id"]) if message.get("method") == "initialize" else ""
        writer.write(answering(200 if body else 405, body))
        return True

    async with raw_server(talk) as server, http(server.url) as connection:
        await connection.open(5)
        assert facts(connection) == INFO


async def test_a_credential_that_is_missing_is_asked_for_once() -> None:
    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(answering(401, '{"error":"invalid_token","error_description":"expired"}'))
        return True

    async with raw_server(talk) as server, http(server.url) as connection:
        with pytest.raises(Unavailable) as caught:
            await connection.open(5)
        assert caught.value.code == "server.auth_needed"
        assert len(server.asked) == 1


async def test_initialized_arrives_before_any_other_request() -> None:
    order: list[str] = []

    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        message = json.loads(asked.body or b"{}")
        method = message.get("method", asked.verb)
        if method == "notifications/initialized":
            await asyncio.sleep(0.1)
        order.append(method)
        body = hello(message["id"]) if method == "initialize" else ""
        if method == "tools/list":
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": []}})
        writer.write(answering({"GET": 405, "notifications/initialized": 202}.get(method, 200), body))
        return True

    async with raw_server(talk) as server, http(server.url) as connection:
        await connection.open(5)
        await connection.ask("tools/list")
        await until(lambda: "GET" in order)
    assert order[:3] == ["server/discover", "initialize", "notifications/initialized"]


async def test_nobody_there_is_said_at_once() -> None:
    async with http("http://127.0.0.1:1/mcp") as connection:
        with pytest.raises(GarrisonError) as caught:
            await connection.open(5)
        assert (caught.value.code, connection.closed) == ("server.unreachable", "cannot be reached: connection refused")
        with pytest.raises(Unavailable, match="not connected"):
            await connection.ask("tools/list")


async def test_a_host_that_is_no_name_is_refused_before_anything_is_sent() -> None:
    for url in ("http://" + "a" * 70 + ".example/mcp", "http://a..b/mcp", "http://[::1/mcp", "ftp://x/", "http:///mcp"):
        with pytest.raises(Invalid):
            async with http(url):
                pass
