"""The fast path does what the stages do: the same scripts of calls against two fleets, one of them without it.

Answers, ledger, metrics and counts must be the same, and `taken` tells that the fast path was taken where it should be.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from garrison.gateway import flows
from gateway.twins import SERVERS, Pair, clients, hang_up, shown, the_same, twins, warm
from gateway.wired import META, Answer, Json, Wired

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LANES = [
    ("/servers/{}/mcp", False),
    ("/mcp", True),
    ("/profiles/some/mcp", False),
]
"""Path, and whether the client can be asked."""


@dataclass(frozen=True)
class Case:
    """One request. `fast`: whether it takes the fast path after calls like it; None where that depends."""

    name: str
    fast: bool | None
    what: str = "say"
    tool: str = "do"
    edit: Callable[[Json], Json] = lambda body: body
    """Changes the body before it is written."""
    rewrite: Callable[[bytes], bytes] = lambda body: body
    """Changes the written body."""
    headers: dict[str, str | None] = field(default_factory=dict)


def with_arguments(**arguments: Any) -> Callable[[Json], Json]:
    return lambda body: {**body, "params": {**body["params"], "arguments": {"what": "say", **arguments}}}


def with_params(**params: Any) -> Callable[[Json], Json]:
    return lambda body: {**body, "params": {**body["params"], **params}}


def with_meta(**meta: Any) -> Callable[[Json], Json]:
    return lambda body: {**body, "params": {**body["params"], "_meta": {**body["params"].get("_meta", {}), **meta}}}


def without(member: str) -> Callable[[Json], Json]:
    return lambda body: {key: value for key, value in body.items() if key != member}


def without_param(member: str) -> Callable[[Json], Json]:
    return lambda body: {**body, "params": {key: one for key, one in body["params"].items() if key != member}}


def replacing(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(before, after)


NESTED = b"[" * 300 + b"]" * 300
TOO_DEEP = b"[" * 100_000 + b"]" * 100_000

CASES = [
    # arguments
    Case("plain", True),
    Case("optional", True, edit=with_arguments(note=7)),
    Case("unknown argument", True, edit=with_arguments(more=[1, {"a": None}])),
    Case("huge numbers", True, edit=with_arguments(any=[2**200, -(2**200), 1e300, -0.0])),
    Case("large", None, edit=with_arguments(any="ä" * 200_000)),  # comes in pieces, and its head is read anew
    Case("escapes", True, edit=with_arguments(any='\u2028\x00"\\ \U0001f600')),
    Case("wrong type", False, edit=with_arguments(note="seven")),
    Case("null for optional", False, edit=with_arguments(note=None)),
    Case("null for required", False, edit=with_arguments(what=None)),
    Case("none", False, edit=without_param("arguments")),
    Case("arguments null", False, edit=with_params(arguments=None)),
    Case("arguments a list", False, edit=with_params(arguments=[1])),
    Case("a key twice", False, rewrite=replacing(b'{"what":', b'{"what": 7, "what":')),
    Case("a bad key twice", False, rewrite=replacing(b'{"what": "say"', b'{"what": "say", "what": 7')),
    Case("nested", None, rewrite=replacing(b'"say"', b'"say", "any": ' + NESTED)),
    Case("nested too deep", False, rewrite=replacing(b'"say"', b'"say", "any": ' + TOO_DEEP)),
    Case("no UTF-8", False, rewrite=replacing(b'"say"', b'"say", "any": "\xff"')),
    Case("half a surrogate", False, rewrite=replacing(b'"say"', b'"say", "any": "\\ud800"')),
    Case("number too large", False, rewrite=replacing(b'"say"', b'"say", "any": 1e999')),
    Case("line breaks", True, rewrite=replacing(b'"say"', b'"say",\r\n"any":\n1')),
    # ids
    Case("id text", True, edit=lambda body: {**body, "id": 'a "b" ä'}),
    Case("id empty", True, edit=lambda body: {**body, "id": ""}),
    Case("id negative", True, edit=lambda body: {**body, "id": -(2**63)}),
    Case("id large", False, edit=lambda body: {**body, "id": 2**70}),
    Case("id long", False, edit=lambda body: {**body, "id": "x" * 101}),
    Case("id too long", False, edit=lambda body: {**body, "id": "x" * 2000}),
    Case("id of escapes", True, edit=lambda body: {**body, "id": "\x00" * 100}),
    Case("id a fraction", False, edit=lambda body: {**body, "id": 1.5}),
    Case("id true", False, edit=lambda body: {**body, "id": True}),
    Case("id null", False, edit=lambda body: {**body, "id": None}),
    Case("no id", False, edit=without("id")),
    Case("id twice", False, rewrite=replacing(b'"id": 1', b'"id": 1, "id": 2')),
    # envelope
    Case("extra member", False, edit=lambda body: {**body, "more": 1}),
    Case("a result too", False, edit=lambda body: {**body, "result": {}}),
    Case("no version", False, edit=without("jsonrpc")),
    Case("another version", False, edit=lambda body: {**body, "jsonrpc": "1.0"}),
    Case("another method", False, edit=lambda body: {**body, "method": "tools/list"}),
    Case("no method", False, edit=without("method")),
    Case("no params", False, edit=without("params")),
    Case("params a list", False, edit=lambda body: {**body, "params": [1]}),
    Case("extra param", False, edit=with_params(more=1)),
    Case("a task", False, edit=with_params(task={"ttl": 1000})),
    Case("a state", False, edit=with_params(requestState="forged")),
    Case("no name", False, edit=without_param("name")),
    Case("unknown tool", False, edit=with_params(name="nobody")),
    Case("name a number", False, edit=with_params(name=7)),
    Case("no JSON", False, rewrite=lambda body: body[:-2]),
    Case("two messages", False, rewrite=lambda body: body + body),
    Case("a batch", False, rewrite=lambda body: b"[" + body + b"]"),
    Case("empty", False, rewrite=lambda body: b""),
    Case("white space", True, rewrite=lambda body: b" \n" + body + b"\n"),
    # _meta
    Case("more meta", False, edit=with_meta(own=1)),
    Case("a token", False, edit=with_meta(progressToken="mine")),
    Case("meta null", False, edit=with_params(_meta=None)),
    Case("meta a list", False, edit=with_params(_meta=[1])),
    Case("a trace", False, edit=with_meta(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
    Case("another era's meta", False, edit=with_meta(**{f"{META}protocolVersion": "2020-01-01"})),
    # headers
    Case("no key", False, headers={"authorization": None}),
    Case("a wrong key", False, headers={"authorization": "Bearer gsn_nobody"}),
    Case("another version header", False, headers={"mcp-protocol-version": "2025-06-18"}),
    Case("an unknown version", False, headers={"mcp-protocol-version": "1999-01-01"}),
    Case("another session", False, headers={"mcp-session-id": "nobody"}),
    Case("another method header", False, headers={"mcp-method": "tools/list"}),
    Case("another name header", False, headers={"mcp-name": "tell"}),
    Case("another type", False, headers={"content-type": "text/plain"}),
    Case("takes nothing", False, headers={"accept": "text/html"}),
    Case("compressed", False, headers={"content-encoding": "gzip"}),
    Case("a parameter header", False, headers={"mcp-param-what": "say"}),
    # results
    Case("tool error", True, "fail"),
    Case("server error", True, "error"),
    Case("odd type", True, "odd"),
    Case("no tool result", True, "no result"),
    Case("a list for a result", True, "list"),
    Case("a large result", True, "large"),
    Case("structured", True, "good", "tell"),
    Case("structured, not owed", True, "bad"),
    Case("structured wrongly", True, "bad", "tell"),
    Case("structured deeply", True, "deep", "tell"),
    Case("not structured", True, "say", "tell"),
    Case("failed, not structured", True, "fail", "tell"),
]
FAR = [
    Case("a stream", True, "stream"),
    Case("a log", True, "log"),
    Case("an HTTP error", True, "status"),
    Case("hung up", True, "hang up"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows, "HOLDS_S", 60.0)  # the machine may rest between two calls
        async with AsyncExitStack() as stack:
            yield await twins(stack, (tmp_path_factory.mktemp("fast"), tmp_path_factory.mktemp("long")))


async def ask(one: Wired, case: Case) -> Answer:
    body = case.rewrite(json.dumps(case.edit(json.loads(one.body(case.tool, {"what": case.what})))).encode())
    return await one.post(body, case.tool, **{name.replace("-", "_"): value for name, value in case.headers.items()})


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize(("path", "able"), LANES)
async def test_whatever_is_asked_and_answered_is_as_on_the_long_way(
    pair: Pair, era: str, path: str, able: bool
) -> None:
    for server in SERVERS[::3] if path.startswith("/profiles") else SERVERS:
        both = await clients(pair, era, path, server, able=able)
        for case in CASES + (FAR if server.startswith("far") else []):
            await warm(pair, both, case.tool)
            before = pair.taken()
            fast, long = await asyncio.gather(ask(both[0], case), ask(both[1], case))
            assert shown(fast) == shown(long), (server, case.name)
            if case.fast is not None:
                assert (pair.taken() > before) == case.fast, (server, case.name)
        await hang_up(both)
    await the_same(pair)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_who_is_asked_in_a_call_on_the_fast_path_is_asked_as_on_the_long_way(
    pair: Pair, era: str, server: str
) -> None:
    both = await clients(pair, era, "/mcp", server, able=True)
    for _ in range(3):
        await warm(pair, both)
        before = pair.taken()
        fast, long = await asyncio.gather(*(one.call(what="ask") for one in both))
        assert shown(fast) == shown(long)
        assert '"Ada"' in fast.text
        assert pair.taken() == before + 1
    await hang_up(both)
    await the_same(pair)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_who_wants_the_servers_log_gets_it_on_the_fast_path_too(pair: Pair, era: str, server: str) -> None:
    both = await clients(pair, era, "/servers/{}/mcp", server, able=False)
    level = b'{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"info"}}'
    for one in both:
        if era == "modern":
            one.meta = {f"{META}logLevel": "info"}
        else:
            assert (await one.post(level)).status == 200
    await warm(pair, both)
    before = pair.taken()
    fast, long = await asyncio.gather(*(one.call(what="log") for one in both))
    assert shown(fast) == shown(long)
    assert pair.taken() == before + 1
    if server == "near_modern":
        assert [message.get("method") for message in fast.messages] == ["notifications/message", None]
    await hang_up(both)
    await the_same(pair)
