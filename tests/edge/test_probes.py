"""Probes against the real process: whatever comes, the answer is what the table says, nothing fails inside, memory
stays where it was, and the next call is served.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from brought_up import Up, brought_up, fixture_server
from edge import probes_http, probes_json
from faults.load import Caller, kind_of
from garrison.gateway import unanswered
from garrison.gateway.inbound import read_message
from garrison.gateway.refusals import ProtocolError
from garrison.protocol.messages import UNSET

pytestmark = pytest.mark.slow
in_one_loop = pytest.mark.asyncio(loop_scope="module")

GROWTH_KIB_MAX = 24 * 1024
"""Of all probes together. One of them alone sends three megabytes."""
ERROR_BYTES_MAX = 4096


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Probed]:
    servers = {"one": fixture_server("modern_only"), "old": fixture_server("legacy_only")}
    async with brought_up(tmp_path_factory.mktemp("probed"), servers) as found, httpx2.AsyncClient(timeout=20) as http:
        yield await Probed(found, http).warm()


class Probed:
    """A running fleet, and what it weighed before the first probe."""

    def __init__(self, up: Up, http: httpx2.AsyncClient) -> None:
        self.up = up
        self.http = http
        self.before_kib = 0

    async def warm(self) -> Probed:
        for _ in range(20):
            await self.check()
        self.before_kib = self.up.rss_kib()
        return self

    async def check(self, what: str = "") -> None:
        """A normal call works, nothing failed inside, and the process has not grown beyond the bound."""
        answer = await self.up.call(self.http, "echo", text="still here")
        assert (answer.status_code, "still here" in answer.text) == (200, True)
        failed = [line for line in self.up.log().splitlines() if '"level":"error"' in line or "Traceback" in line]
        assert not failed, failed[0][:2000]
        if self.before_kib:
            grown_kib = self.up.rss_kib() - self.before_kib
            print(f"{what}: grown by {grown_kib} KiB since the first probe")  # noqa: T201
            assert grown_kib < GROWTH_KIB_MAX

    async def raw(self, data: bytes) -> bytes:
        try:
            return await self.up.exchange(data.replace(b"Bearer KEY", b"Bearer " + self.up.key.encode()))
        except ConnectionError:
            return b""

    async def session(self, revision: str) -> dict[str, str]:
        hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": revision}}
        answer = await self.post(json.dumps(hello).encode(), {})
        return {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": revision}

    async def post(self, body: bytes, headers: dict[str, str]) -> httpx2.Response:
        always = {
            "authorization": f"Bearer {self.up.key}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
        }
        return await self.http.post(f"{self.up.url}/mcp", content=body, headers={**always, **headers})


def statuses(answer: bytes) -> list[int]:
    """Of all answers that came, in order."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


@in_one_loop
@pytest.mark.parametrize("kind", probes_http.ALL)
async def test_http_that_a_strict_reader_refuses(up: Probed, kind: str) -> None:
    probes = probes_http.ALL[kind]
    answers = {name: await up.raw(data) for name, (data, _) in probes.items()}
    assert {name: statuses(answer) for name, answer in answers.items()} == {
        name: want for name, (_, want) in probes.items()
    }
    for name, answer in answers.items():
        body = answer.rpartition(b"\r\n\r\n")[2]
        assert len(body) <= ERROR_BYTES_MAX, name
        if body.startswith(b'{"jsonrpc"'):
            assert json.loads(body)["error"]["code"] < -32000, name
    await up.check(kind)


def code_of(answer: httpx2.Response) -> int | None:
    found = answer.json() if answer.content else {}
    found = found[0] if isinstance(found, list) else found
    return found.get("error", {}).get("code") if isinstance(found, dict) else None


@in_one_loop
@pytest.mark.parametrize("kind", probes_json.LEGACY)
async def test_bodies_of_the_older_era(up: Probed, kind: str) -> None:
    session = await up.session("2025-11-25")
    for body, wanted in probes_json.LEGACY[kind].items():
        answer = await up.post(body, session)
        assert (answer.status_code, code_of(answer)) == wanted, (body[:200], answer.text[:200])
        assert wanted[1] is None or len(answer.content) <= ERROR_BYTES_MAX, body[:200]
    await up.check(kind)


@in_one_loop
async def test_bodies_and_headers_of_the_newer_era(up: Probed) -> None:
    for body, changed, status, code in probes_json.MODERN:
        answer = await up.post(body, probes_json.modern_headers(changed))
        assert (answer.status_code, code_of(answer)) == (status, code), (body[:200], changed, answer.text[:200])
        assert code is None or len(answer.content) <= ERROR_BYTES_MAX
    await up.check("the newer era")


@in_one_loop
async def test_batches(up: Probed) -> None:
    session = await up.session("2025-03-26")
    for body, wanted in probes_json.BATCHES.items():
        answer = await up.post(body, session)
        assert (answer.status_code, code_of(answer)) == wanted, (body[:200], answer.text[:200])
    await up.check("batches")


@in_one_loop
async def test_requests_with_some_bytes_changed_are_answered_or_refused(up: Probed) -> None:
    chance = random.Random(20260728)
    whole = [post for probes in probes_http.ALL.values() for post, _ in probes.values() if len(post) < 2000]
    for _ in range(8):
        answers = await asyncio.gather(*(up.raw(_mutated(chance, chance.choice(whole))) for _ in range(50)))
        for answer in answers:
            assert all(status < 500 and status != 202 for status in statuses(answer)), answer[:500]
    await up.check("changed bytes")


def _mutated(chance: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(found) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            found[place:place] = bytes([chance.randrange(256)])
        elif kind == 1:
            del found[place : place + chance.randint(1, 10)]
        elif kind == 2:
            found[place : place + 1] = bytes([chance.randrange(256)])
        else:
            found[place:place] = found[place : place + chance.randint(1, 30)]
    return bytes(found)


@in_one_loop
async def test_what_never_ends_takes_no_memory(up: Probed) -> None:
    """Heads, trailers and extensions without an end, from many at once, for as long as they are let."""
    before_kib = up.up.rss_kib()
    head = probes_http.post(probes_http.CHUNKED, b"").replace(b"Bearer KEY", b"Bearer " + up.up.key.encode())
    starts = [b"POST /" + b"a" * 100, b"POST /mcp HTTP/1.1\r\nX: ", head + b"5;", head + b"0\r\nX: "]
    starts.append(head.replace(b"/mcp", b"/api/v1/nothing") + b"0\r\nX: ")
    answers = await asyncio.gather(*(_endless(up.up, start) for start in starts * 4))
    grown_kib = up.up.rss_kib() - before_kib
    print(f"{len(answers)} that sent up to 16 MiB each: grown by {grown_kib} KiB")  # noqa: T201
    assert {status for answer in answers for status in statuses(answer)} == {404, 431}
    assert grown_kib < GROWTH_KIB_MAX
    await up.check("without an end")


async def _endless(up: Up, start: bytes) -> bytes:
    reader, writer = await up.connect()
    answered = asyncio.ensure_future(reader.read())
    try:
        writer.write(start)
        for _ in range(256):
            writer.write(b"a" * 65536)
            await asyncio.wait_for(writer.drain(), 20)
            if answered.done():
                break
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return (await asyncio.gather(answered, return_exceptions=True))[0] if answered.done() else b""


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=6,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | ANY,
        "id": st.integers() | ANY,
        "method": st.sampled_from(["ping", "notifications/x", "stream/open", ""]) | ANY,
        "params": ANY,
        "result": ANY,
        "error": st.fixed_dictionaries({"code": st.integers(), "message": st.text()}) | ANY,
    },
)


@given(MEMBERS)
def test_whatever_stands_in_an_envelope_is_a_message_or_refused(members: dict[str, object]) -> None:
    _read(json.dumps(members).encode())


@given(st.binary(max_size=200))
def test_whatever_bytes_are_posted_are_a_message_or_refused(body: bytes) -> None:
    _read(body)


@given(MEMBERS, st.integers(min_value=0, max_value=200), st.binary(min_size=1, max_size=3))
def test_a_message_with_changed_bytes_is_a_message_or_refused(
    members: dict[str, object], place: int, put: bytes
) -> None:
    body = json.dumps(members).encode()
    _read(body[:place] + put + body[place + 1 :])


def _read(body: bytes) -> None:
    """What is read without an error is one of the three kinds, and nothing else is acknowledged."""
    try:
        message = read_message(body)
        if message.id is UNSET or message.method is UNSET:
            unanswered.check(message, body)
    except ProtocolError as error:
        refused = (error.status, error.rpc)
    else:
        refused = None
    if refused is not None:
        assert refused in ((400, -32700), (400, -32600))
        return
    found = json.loads(body.decode())
    assert found["jsonrpc"] == "2.0"
    assert ("result" in found) + ("error" in found) + ("method" in found) == 1
    assert "id" in found or found["method"].startswith("notifications/")


SPOILT = {
    "bytes that are no UTF-8": (b'"text": "', b'"text": "\xff', -32700),
    "a lone surrogate": (b'"text": "', b'"text": "\\ud800', -32700),
    "an id that is no id": (b'"id": 1', b'"id": 1.0', -32600),
    "no id": (b'"id": 1, ', b"", -32600),
    "a huge id": (b'"id": 1', b'"id": "' + b"i" * 2000 + b'"', -32600),
    "a result beside the method": (b'"id": 1', b'"id": 1, "result": {}', -32600),
    "another revision of JSON-RPC": (b'"2.0"', b'"1.0"', -32600),
    "more after the end": (b"}}}}", b"}}}}x", -32700),
    "another method": (b'"tools/call"', b'"tools/list"', -32020),
    "another name": (b'"echo"', b'"count"', -32020),
    "capabilities of another type": (b'clientCapabilities": {}', b'clientCapabilities": 7', -32602),
    "no revision": (b'"io.modelcontextprotocol/protocolVersion": "2026-07-28", ', b"", -32602),
    "another revision": (b'protocolVersion": "2026-07-28"', b'protocolVersion": "2025-11-25"', -32020),
    "arguments that do not fit": (b'"text": "spoilt"', b'"text": 7', -32602),
    "arguments that are no object": (b'{"text": "spoilt"}', b"[]", -32602),
}


@in_one_loop
@pytest.mark.parametrize("times", [0, 30])
async def test_what_is_refused_at_first_is_refused_after_many_good_calls(up: Probed, times: int) -> None:
    """The same head on one connection, before and after it has become well known."""
    caller = Caller(up.up.url, up.up.key)
    try:
        for _ in range(times):
            assert kind_of(await caller.call("echo", text="spoilt")) == "ok"
        for name, (old, new, code) in SPOILT.items():
            answer = await _spoilt(caller, old, new)
            assert kind_of(answer) == str(code), (name, answer)
            assert kind_of(await caller.call("echo", text="and on")) == "ok"
    finally:
        caller.close()
    await up.check("spoilt calls")


async def _spoilt(caller: Caller, old: bytes, new: bytes) -> tuple[int, object]:
    head, _, body = caller.request("echo", text="spoilt").partition(b"\r\n\r\n")
    assert old in body
    spoilt = body.replace(old, new, 1)
    reader, writer = await caller.streams()
    writer.write(head.replace(b": %d" % len(body), b": %d" % len(spoilt)) + b"\r\n\r\n" + spoilt)
    return await asyncio.wait_for(caller.answer(reader), 20)
