"""Streamable HTTP against servers that do what servers should not."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from garrison.kernel.errors import GarrisonError, Invalid, Limited, TimedOut, Unavailable
from garrison.protocol import events
from garrison.protocol.connection import Connection
from garrison.protocol.transports import heads, http_answers, links
from garrison.protocol.transports import http as streamable
from garrison.protocol.transports.origin import parse_url
from protocol.peers import Asked, RawServer, Recorded, descriptors, http, raw_server, until

Write = Callable[[asyncio.StreamWriter, int], Awaitable[bool | None]]
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "raw"}}


def plain(status: int, body: bytes | str = b"", *headers: str, kind: str = "application/json") -> bytes:
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(content)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def result(own: int, **content: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": own, "result": content}).encode()


def chunked(*pieces: bytes) -> bytes:
    return b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces if piece) + b"0\r\n\r\n"


def answering(write: Write, session: str = "") -> Callable[[Asked, asyncio.StreamWriter], Awaitable[bool | None]]:
    """A legacy server that shakes hands as it should and answers the first call as `write` says."""

    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
        message = json.loads(asked.body or b"{}")
        method = message.get("method", "")
        if method == "server/discover":
            writer.write(plain(400, "no"))
        elif method == "initialize":
            extra = (f"mcp-session-id: {session}",) if session else ()
            writer.write(plain(200, result(message["id"], **HELLO), *extra))
        elif method == "test/call":
            return await write(writer, message["id"])
        else:
            writer.write(plain(405 if asked.verb == "GET" else 202))
        return True

    return talk


async def ended(connection: Connection) -> Any:
    """How one call ends."""
    reply = Recorded()
    connection.request(connection.reserve(), "test/call", {}, reply)
    end = await reply.end()
    await asyncio.sleep(0)
    assert len(reply.ends) == 1
    return end


async def meets(write: Write) -> tuple[Any, RawServer]:
    async with raw_server(answering(write)) as server, http(server.url) as connection:
        await connection.open(5)
        end = await ended(connection)
        assert connection.in_flight == 0
        return end, server


def sends(data: bytes, keep: bool = True) -> Write:
    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        writer.write(data)
        return keep

    return write


ANSWER = b'{"jsonrpc":"2.0","id":3,"result":{"n":1}}'  # 41 bytes; the handshake takes the ids 1 and 2
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + ANSWER, False),
        (b"HTTP/1.0 200 OK\r\n\r\n" + ANSWER, False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n" + chunked(ANSWER), True),
        (CHUNKED + b"5;x=y\r\n" + ANSWER[:5] + b"\r\n24\r\n" + ANSWER[5:] + b"\r\n0\r\nx: y\r\n\r\n", True),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + plain(200, ANSWER), True),
        (OK + b"content-type: Text/Event-Stream; charset=utf-8\r\n\r\n"
         b": hi\r\rid: 1\rdata:\r\revent: ping\rdata: x\r\rdata: " + ANSWER + b"\r\r", False),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 41\r\n\r\n" + ANSWER, True),
    ],
)  # fmt: skip
async def test_odd_framing_that_http_allows_is_understood(data: bytes, keep: bool) -> None:
    end, _ = await meets(sends(data, keep))
    assert isinstance(end, Raw), end
    assert bytes(end) == b'{"n":1}'


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (plain(401, '{"error":"invalid_token"}'), Unavailable, "server.auth_needed"),
        (plain(401, '{"jsonrpc":"2.0","error":{"code":-1,"message":"no"}}'), Unavailable, "server.auth_needed"),
        (plain(403, "Forbidden"), Unavailable, "server.auth_needed"),
        (plain(404, "Not found"), Invalid, "server.no_endpoint"),
        (plain(405), Invalid, "server.no_endpoint"),
        (plain(301, "", "location: http://169.254.169.254/"), Invalid, "server.redirected"),
        (plain(307, "", "location: /elsewhere"), Invalid, "server.redirected"),
        (plain(304), Invalid, "server.redirected"),
        (plain(413, "<html>big</html>"), Invalid, "server.http_error"),
        (plain(503, "<html>"), Unavailable, "server.unavailable"),
        (plain(500, "Traceback"), TimedOut, "server.http_error"),
        (plain(504), TimedOut, "server.http_error"),
        (plain(200, "<html>login</html>", kind="text/html"), Invalid, "server.bad_response"),
        (plain(200, b"\xff\xfe"), Invalid, "server.bad_response"),
        (plain(200, b"[" * 50_000), Invalid, "server.bad_response"),
        (plain(200, '[{"jsonrpc":"2.0","id":1,"result":{}}]'), Invalid, "server.bad_response"),
        (plain(200, b'{"jsonrpc":"2.0","id":3,"result":{"a":"\xff"}}'), Invalid, "server.bad_response"),
        (plain(200), TimedOut, "server.no_answer"),
        (plain(202), TimedOut, "server.no_answer"),
        (plain(200, b'{"jsonrpc":"2.0","id":99999,"result":{}}'), TimedOut, "server.no_answer"),
        (plain(200, b"data: x\n\n", kind="text/event-stream"), Invalid, "server.bad_response"),
        (plain(200, b"id: 1\ndata:\n\n", kind="text/event-stream"), TimedOut, "server.no_answer"),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", TimedOut, "server.lost"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", TimedOut, "server.lost"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef", TimedOut, "server.lost"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", TimedOut, "server.lost"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", TimedOut, "server.lost"),
        (b"\0\0\0\0", TimedOut, "server.lost"),
    ],
)  # fmt: skip
async def test_each_bad_answer_is_one_clear_error(data: bytes, kind: type[GarrisonError], code: str) -> None:
    end, _ = await meets(sends(data))
    assert isinstance(end, GarrisonError), end
    assert (type(end), end.code) == (kind, code), end.message


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123",
     b"HTTP/1.1 100 Continue\r\nlink: x\r\n\r\n", CHUNKED + b"5\r\n12345\r\n"],
)  # fmt: skip
async def test_a_server_that_breaks_off_leaves_the_outcome_unknown(data: bytes) -> None:
    end, _ = await meets(sends(data, keep=False))
    assert isinstance(end, TimedOut)
    assert end.code == "server.lost"
    assert "unknown" in end.message


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("²", 1.0),
        ("-1", 1.0),
        ("9" * 400, 1.0),
        ("999999999", 3600.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0),
    ],
)
async def test_a_limit_says_when_to_come_back(header: str, wait_s: float) -> None:
    end, _ = await meets(sends(plain(429, '{"error":"slow down"}', f"retry-after: {header}")))
    assert isinstance(end, Limited)
    assert end.retry_after_s == wait_s


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 10_000), max_size=6), st.booleans())
async def test_an_answer_may_be_cut_anywhere(places: list[int], streamed: bool) -> None:
    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        body = result(own, text="ä\u2028" * 20)
        if streamed:
            body = b"event: message\r\ndata: " + body + b"\r\n\r\n"
        kind = b"text/event-stream" if streamed else b"application/json"
        pieces = [body[i : i + 37] for i in range(0, len(body), 37)]
        data = (
            b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(*pieces)
        )
        marks = sorted({place % len(data) for place in places})
        for start, stop in zip([0, *marks], [*marks, len(data)], strict=True):
            writer.write(data[start:stop])
            await writer.drain()
            await asyncio.sleep(0)
        return True

    end, _ = await meets(write)
    assert json.loads(bytes(end)) == {"text": "ä\u2028" * 20}


async def test_a_connection_that_the_server_closed_while_idle_is_not_used_again() -> None:
    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        writer.write(plain(200, result(own)))
        return False

    async with raw_server(answering(write)) as server, http(server.url) as connection:
        await connection.open(5)
        for _ in range(3):
            assert isinstance(await ended(connection), Raw)
            await asyncio.sleep(0.02)


async def test_a_second_answer_to_one_request_is_nobodys_answer() -> None:
    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        forged = plain(200, result(own + 1, forged=True))
        writer.write(plain(200, result(own, real=own)) + forged)
        return True

    async with raw_server(answering(write)) as server, http(server.url) as connection:
        await connection.open(5)
        for _ in range(3):
            assert b"real" in bytes(await ended(connection))


async def test_what_a_server_says_unasked_closes_its_link() -> None:
    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        writer.write(plain(200, result(own)))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(plain(200, result(own + 1, forged=True)))
        return True

    async with raw_server(answering(write)) as server, http(server.url) as connection:
        await connection.open(5)
        await ended(connection)
        await asyncio.sleep(0.1)
        assert b"forged" not in bytes(await ended(connection))


# bounds


def endless(head: bytes, piece: bytes, sent: list[int]) -> Write:
    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        writer.write(head)
        while not writer.is_closing():
            writer.write(piece)
            sent.append(len(piece))
            await writer.drain()
        return False

    return write


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", "server.body_too_large"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ", "server.event_too_large"),
        (b"HTTP/1.1 500 X\r\ncontent-type: text/plain\r\n\r\n", "server.http_error"),
        (b"HTTP/1.1 200 OK\r\nx: ", "server.lost"),
        (b"HTTP/1.1 200 ", "server.lost"),
    ],
)
async def test_an_endless_answer_is_broken_off_at_the_bound(
    head: bytes, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_answers, "BODY_BYTES_MAX", 300_000)
    monkeypatch.setattr(events, "EVENT_BYTES_MAX", 300_000)
    sent: list[int] = []
    write = endless(head, b"x" * 16_384, sent)
    async with raw_server(answering(write)) as server, http(server.url) as connection:
        await connection.open(5)
        end = await ended(connection)
        assert end.code == code
        await asyncio.sleep(0.05)
        before = len(sent)
        await asyncio.sleep(0.05)
        assert len(sent) == before, "the server could go on"
    assert sum(sent) < 12_000_000


async def test_a_body_at_the_bound_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_answers, "BODY_BYTES_MAX", 100_000)

    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        rest = 100_000 - len(result(own, text=""))
        writer.write(plain(200, result(own, text="x" * rest)))
        return True

    end, _ = await meets(write)
    assert isinstance(end, Raw)


async def test_a_slow_drip_is_ended_by_the_deadline_and_frees_its_link() -> None:
    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)
        return False

    async with raw_server(answering(write)) as server, http(server.url) as connection:
        await connection.open(5)
        before = len(descriptors())
        with pytest.raises(TimedOut) as caught:
            await connection.ask("test/call", timeout_s=0.1)
        assert caught.value.code == "server.timeout"
        assert connection.in_flight == 0
        await until(lambda: len(descriptors()) <= before + 2)


async def test_a_server_that_never_acknowledges_notifications_uses_up_no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_answers, "NOTICE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(streamable, "DELIVERY_S", 0.05)
    monkeypatch.setattr(links, "LINKS_MAX", 8)

    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        writer.write(plain(200, result(own)))
        return True

    proper = answering(write)

    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
        if b"notifications/" in asked.body:
            await asyncio.sleep(30)
        return await proper(asked, writer)

    async with raw_server(talk) as server, http(server.url) as connection:
        await connection.open(5)
        for _ in range(30):
            connection.notify("notifications/x")
        assert isinstance(await ended(connection), Raw)


async def test_more_calls_than_links_wait_their_turn_and_given_up_ones_never_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "LINKS_MAX", 2)
    gate = asyncio.Event()

    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        await gate.wait()
        writer.write(plain(200, result(own)))
        return True

    async with raw_server(answering(write)) as server, http(server.url) as connection:
        await connection.open(5)
        replies = {connection.reserve(): Recorded() for _ in range(6)}
        for own, reply in replies.items():
            connection.request(own, "test/call", {}, reply)
        given_up = list(replies)[3]
        connection._pending.pop(given_up)
        connection._transport.abandon(given_up)
        gate.set()
        for own, reply in replies.items():
            if own != given_up:
                assert isinstance(await reply.end(), Raw)
        called = [json.loads(asked.body)["id"] for asked in server.asked if b"test/call" in asked.body]
        assert sorted(called) == sorted(set(replies) - {given_up})


# reaching it


async def test_a_server_that_closes_connections_at_once_is_an_error_and_no_hang() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with http(f"http://127.0.0.1:{port}/mcp") as connection:
        with pytest.raises(GarrisonError):
            await connection.open(3)
    server.close()
    await server.wait_closed()


async def test_a_connection_that_is_refused_does_not_end_calls_that_are_being_answered() -> None:
    gate = asyncio.Event()

    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        await gate.wait()
        writer.write(plain(200, result(own)))
        return True

    async with raw_server(answering(write)) as server, http(server.url) as connection:
        await connection.open(5)
        running = [Recorded() for _ in range(4)]
        for reply in running:
            connection.request(connection.reserve(), "test/call", {}, reply)
        await until(lambda: len([asked for asked in server.asked if b"test/call" in asked.body]) == 4)
        connection._transport._pool._origin = parse_url("http://127.0.0.1:1/mcp")  # type: ignore[attr-defined]
        connection._transport._pool._idle.clear()  # type: ignore[attr-defined]
        assert (await ended(connection)).code == "server.unreachable"
        gate.set()
        assert all([isinstance(await reply.end(), Raw) for reply in running])
        assert connection.closed is None


async def test_a_half_open_server_is_given_up_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with http(f"http://127.0.0.1:{port}/mcp") as connection:
        with pytest.raises(TimedOut) as caught:
            await connection.open(0.2)
        assert caught.value.code == "server.handshake_timeout"
    server.close()
    await server.wait_closed()


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = built.add_extension(here, critical=False)
    (folder / "cert.pem").write_bytes(built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_a_certificate_that_is_not_trusted_is_named_as_the_reason(tmp_path: Path) -> None:
    async with raw_server(answering(sends(plain(200))), ssl=self_signed(tmp_path)) as server:
        async with http(server.url) as connection:
            with pytest.raises(Unavailable, match=r"certificate is not trusted .*self.signed"):
                await connection.open(5)
        assert server.asked == []


async def test_a_certificate_that_is_trusted_by_the_environment_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        writer.write(plain(200, result(own, text="x" * 500_000)))
        return True

    context = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    async with raw_server(answering(write), ssl=context) as server:
        before = len(descriptors())
        async with http(server.url) as connection:
            await connection.open(5)
            for _ in range(5):
                assert isinstance(await ended(connection), Raw)
            assert server.connections <= 4
        await until(lambda: len(descriptors()) <= before)


async def test_tls_towards_a_plain_server_is_a_clear_error() -> None:
    async def plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(400, "this is no TLS"))
        writer.close()

    server = await asyncio.start_server(plainly, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with http(f"https://127.0.0.1:{port}/mcp") as connection:
        with pytest.raises(Unavailable, match="TLS failed"):
            await connection.open(5)
    server.close()
    await server.wait_closed()


# injection


@pytest.mark.parametrize("session", ["a b", "a\tb", "ä", "x" * 2000, ""])
async def test_a_session_id_that_is_none_is_never_sent(session: str) -> None:
    async with raw_server(answering(sends(plain(200, ANSWER)), session or " ")) as server:
        async with http(server.url) as connection:
            await connection.open(5)
            await ended(connection)
        assert all("mcp-session-id" not in asked.header for asked in server.asked)


async def test_a_session_id_cannot_be_changed_after_the_handshake() -> None:
    async def write(writer: asyncio.StreamWriter, own: int) -> bool:
        writer.write(plain(200, result(own), "mcp-session-id: other"))
        return True

    async with raw_server(answering(write, "first")) as server, http(server.url) as connection:
        await connection.open(5)
        await ended(connection)
        await ended(connection)
    late = [asked.header.get("mcp-session-id") for asked in server.asked[2:]]
    assert set(late) == {"first"}
    assert server.asked[-1].verb == "DELETE"


@settings(max_examples=30, deadline=None)
@given(
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=1), st.text(st.characters(blacklist_categories=["Cs"]))
)
async def test_no_method_or_name_can_add_a_header(method: str, name: str) -> None:
    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        message = json.loads(asked.body)
        versions = {"supportedVersions": ["2026-07-28"], "capabilities": {}}
        writer.write(plain(200, result(message["id"], **versions)))
        return True

    async with raw_server(talk) as server, http(server.url) as connection:
        await connection.open(5)
        await connection.ask(method, {"name": name})
        await connection.ask("tools/call", {"name": name})
    wanted = {"host", "user-agent", "mcp-protocol-version", "mcp-method", "content-type", "content-length", "accept"}
    assert [set(asked.header) for asked in server.asked] == [wanted, wanted, wanted | {"mcp-name"}]


@pytest.mark.parametrize(
    ("name", "value"),
    [("x", "a\r\nb: c"), ("x\r\ny", "s3cret"), ("", "s3cret"), ("x y", "s3cret"), ("x", "s3\0cret"), ("x", "日")],
)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(name: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        heads.fixed_headers("h", "http://h/", {name: value})
    assert value not in caught.value.message


@pytest.mark.parametrize(
    "url", ["http://u:s3cr/et@h/x", "http://u:p@h:port/", "http://h:99999/", "http://h/a b", "//h", "http://h/\u00e4"]
)
def test_a_url_that_cannot_be_used_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_url(url)
    assert "s3cr" not in caught.value.message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [("http://h", "h", "/"), ("https://h:443/x?y=z#f", "h", "/x?y=z"), ("http://h:8080/", "h:8080", "/"),
     ("http://[::1]:80/", "[::1]", "/"), ("http://u:p@Häuser.example/", "xn--huser-gra.example", "/")],
)  # fmt: skip
def test_a_url_is_taken_apart(url: str, authority: str, target: str) -> None:
    origin = parse_url(url)
    assert (origin.authority, origin.target) == (authority, target)


# the stream of a session


async def test_a_get_stream_that_misbehaves_is_given_up_or_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamable, "STREAM_RETRY_S", (0.01,))
    answers = [
        plain(500),
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: garbage\n\n",
        plain(200, "<html>", kind="text/html"),
    ]
    proper = answering(sends(plain(200)))
    left = list(answers)

    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
        if asked.verb != "GET":
            return await proper(asked, writer)
        writer.write(left.pop(0))
        return True

    async with raw_server(talk) as server, http(server.url) as connection:
        await connection.open(5)
        await until(lambda: not left)
        await asyncio.sleep(0.05)
        assert len([asked for asked in server.asked if asked.verb == "GET"]) == 3
        assert connection.closed is None


async def test_a_session_lost_again_at_once_shows_on_the_stream_that_once_was_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streamable, "STREAM_RETRY_S", (0.01,))
    hello = plain(200, b": hi\n\n", kind="text/event-stream")
    left = [hello, plain(404), hello, plain(404)]
    proper = answering(sends(plain(200)), "s")

    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
        if asked.verb != "GET":
            return await proper(asked, writer)
        writer.write(left.pop(0))
        return True

    async with raw_server(talk) as server, http(server.url) as connection:
        await connection.open(5)
        await until(lambda: connection.closed)
        assert connection.closed == "its session has ended"
