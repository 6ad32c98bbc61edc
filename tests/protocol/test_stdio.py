from __future__ import annotations

import asyncio
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, decode_message, members, raw
from garrison.protocol.transports import stdio
from garrison.protocol.transports.stdio import StdioTransport, one_line
from protocol.peers import CLIENT, Recorded, scripted

NOISE = st.binary(max_size=20).filter(lambda line: b"\n" not in line and line.strip() != b"")
NOTICE = st.integers(0, 999).map(lambda n: json.dumps({"jsonrpc": "2.0", "method": f"notifications/n{n}"}).encode())


def bound() -> tuple[StdioTransport, list[bytes], list[str]]:
    """A transport whose writes go nowhere: noise and the methods that were heard."""
    noise: list[bytes] = []
    heard: list[str] = []
    channel = StdioTransport(lambda _: None, on_noise=noise.append)
    Connection(channel, CLIENT, label="tested").on_message(lambda message: heard.append(str(message.method)))
    return channel, noise, heard


@given(
    st.lists(st.tuples(st.booleans(), NOISE, NOTICE), max_size=6), st.lists(st.integers(0), max_size=8), st.booleans()
)
def test_any_cutting_of_any_lines_gives_the_same_messages_and_noise(
    lines: list[tuple[bool, bytes, bytes]], places: list[int], carriage: bool
) -> None:
    end = b"\r\n" if carriage else b"\n"
    stream = b"".join((notice if is_notice else noise) + end for is_notice, noise, notice in lines)
    marks = sorted({place % (len(stream) + 1) for place in places})
    channel, noise, heard = bound()
    for start, stop in zip([0, *marks], [*marks, len(stream)], strict=True):
        channel.data_received(stream[start:stop])
    assert heard == [json.loads(notice)["method"] for is_notice, _, notice in lines if is_notice]
    assert [line.strip() for line in noise] == [line.strip() for is_notice, line, _ in lines if not is_notice]


@pytest.mark.parametrize(
    "line",
    [b"Server listening on stdio", b'{"level":"info","msg":"started","id":1}', b'{"method":"GET","path":"/"}', b"[]",
     b"\xff\xfe", b"[" * 100_000, b'{"jsonrpc":"1.0","id":1,"result":{}}',
     b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff"}}'],
)  # fmt: skip
def test_a_line_that_is_no_json_rpc_is_noise_and_ends_nothing(line: bytes) -> None:
    channel, noise, heard = bound()
    channel.data_received(line + b"\n" + b'{"jsonrpc":"2.0","method":"notifications/x"}\n')
    assert noise == [line]
    assert heard == ["notifications/x"]


def test_what_comes_before_the_connection_is_kept_for_it() -> None:
    heard: list[Message] = []
    channel = StdioTransport(lambda _: None)
    channel.data_received(b'{"jsonrpc":"2.0","method":"notifications/early"}\n')
    connection = Connection(channel, CLIENT, label="tested")
    connection.on_message(heard.append)
    assert connection.closed is None
    channel.connection_lost("over")
    assert connection.closed == "over"
    late = StdioTransport(lambda _: None)
    late.connection_lost("before")
    assert Connection(late, CLIENT, label="tested").closed == "before"


def test_an_oversized_line_ends_the_connection_and_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdio, "LINE_BYTES_MAX", 1_000_000)
    channel, noise, heard = bound()
    closed: list[str] = []
    channel._connection.on_closed(closed.append)  # type: ignore[union-attr]
    tracemalloc.start()
    for _ in range(400):
        channel.data_received(b"x" * 65536)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    channel.data_received(b'\n{"jsonrpc":"2.0","method":"notifications/x"}\n')
    assert closed == ["it sent a line of over 1000000 bytes"]
    assert (noise, heard) == ([], [])
    assert peak < 3_000_000


def test_a_last_line_without_an_end_is_read_before_the_loss_is_told() -> None:
    channel, noise, heard = bound()
    channel.data_received(b'{"jsonrpc":"2.0","method":"notifications/last"}')
    channel.connection_lost("it exited")
    assert heard == ["notifications/last"]
    other, noise, _ = bound()
    other.data_received(b"Segmentation fault")
    other.connection_lost("it exited")
    assert noise == [b"Segmentation fault"]


@given(st.text(max_size=10), st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n \r"]))
def test_a_frame_is_one_line_and_still_the_same_json(text: str, line_break: bytes) -> None:
    value = {"a": [1, {"b": text}], "c": "\n\r\u2028"}
    pretty = json.dumps(value, indent=1).encode().replace(b"\n", line_break)
    line = one_line(pretty)
    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line) == value


async def test_a_line_break_in_a_clients_body_smuggles_no_message_to_the_server() -> None:
    written: list[bytes] = []
    connection = Connection(StdioTransport(written.append), CLIENT, label="tested")
    forged = b'{"a":\n{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"forbidden"}}\r\n}'
    connection.request(
        connection.reserve(), "tools/call", {"arguments": members(b'{"x":' + forged + b"}")["x"]}, Recorded()
    )
    await asyncio.sleep(0)
    lines = b"".join(written).splitlines()
    assert len(lines) == 1
    assert decode_message(lines[0]).id == 1


async def test_frames_of_one_turn_are_one_write() -> None:
    written: list[bytes] = []
    connection = Connection(StdioTransport(written.append), CLIENT, label="tested")
    for _ in range(3):
        connection.notify("notifications/x", {"a": raw(1)})
    await asyncio.sleep(0)
    assert len(written) == 1
    assert len(written[0].splitlines()) == 3


async def test_a_server_that_prints_a_banner_is_used_all_the_same() -> None:
    source = """
print("Welcome to the server!\\n\\n  [info] ready")
say({"level": "info", "id": 1})
error(read()["id"]); result(read()["id"], **HELLO); read()
result(read()["id"], tools=[])
sys.stdout.write("bye"); sys.stdout.flush()
"""
    async with scripted(source) as (connection, child):
        await connection.open(10)
        assert bytes(await connection.ask("tools/list")) == b'{"tools": []}'
        await child.exited.wait()
        await asyncio.sleep(0.01)
    assert child.noise == [b"Welcome to the server!", b"  [info] ready", b'{"level": "info", "id": 1}', b"bye"]
