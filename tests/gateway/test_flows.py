"""What the fast path reads of a request is what the long way reads: for any bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from garrison.gateway import flows
from garrison.gateway.flows import Flow, FlowTable
from garrison.gateway.heads import Head
from garrison.gateway.inbound import ID_BYTES_MAX, read_message
from garrison.protocol.messages import decode_any, encode, members, params_of, text

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
IDS = st.integers() | st.text(max_size=300) | SCALARS
PARAMS = st.lists(
    st.tuples(st.sampled_from(["name", "arguments", "_meta", "task"]), VALUES)
    | st.tuples(st.just("name"), st.text(max_size=8))
    | st.tuples(st.just("arguments"), st.dictionaries(st.text(), VALUES, max_size=3)),
    max_size=5,
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Calls, most of them nearly right; members may stand twice, in any order."""
    params = draw(PARAMS)
    written = [("jsonrpc", '"2.0"'), ("method", '"tools/call"'), ("id", json.dumps(draw(IDS)))]
    written.append(("params", _object([(key, json.dumps(value)) for key, value in params])))
    more = st.tuples(st.sampled_from(["id", "jsonrpc", "method", "result", "error", "more"]), VALUES.map(json.dumps))
    written += draw(st.lists(more, max_size=1))
    return draw(st.sampled_from(["", " ", "\n"])).encode() + _object(draw(st.permutations(written))).encode()


def _object(found: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in found) + "}"


@settings(max_examples=300, deadline=None)
@given(bodies())
@example(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"a":1,"a":2}}}')
@example(b'{"jsonrpc":"2.0","id":"\xff","method":"tools/call","params":{"name":"a"}}')
@example(b'{"jsonrpc":"2.0","id":"\\ud800","method":"tools/call","params":{"name":"a"}}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"a":"\xff"}}}')
@example(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}x')
@example(b'{"jsonrpc":"2.0","id":' + b"1" * 2000 + b',"method":"tools/call","params":{"name":"a"}}')
def test_whatever_is_read_on_the_fast_path_is_read_alike_on_the_long_way(body: bytes) -> None:
    try:
        found = flows.read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    if found.params.meta is not UNSET and not _is_known(found.params.meta):
        return  # a flow's `_meta` has been read on the long way, byte for byte
    message = read_message(body)
    params = params_of(message)
    assert (message.id, message.method) == (found.id, found.method)
    assert len(encode(found.id)) <= ID_BYTES_MAX
    assert text(params, "name") == found.params.name
    assert decode_any(params.get("arguments", Raw(b"{}"))) == (found.params.arguments or {})
    assert params.get("_meta", UNSET) == found.params.meta
    assert params.keys() <= {"name", "arguments", "_meta"}


def _is_known(meta: Raw) -> bool:
    try:
        return bool(bytes(meta).decode()) and members(meta) is not None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


@given(st.dictionaries(st.sampled_from(["name", "arguments", "_meta", "more"]), VALUES.map(encode).map(Raw)))
def test_a_request_in_its_frame_says_what_its_parameters_say(params: dict[str, Raw]) -> None:
    sent = {"name": Raw(b'"a"'), "arguments": Raw(b"{}"), **params}
    before, after = flows.frame_around(sent)
    frame = b'{"jsonrpc":"2.0","id":7%b%b%b' % (before, bytes(sent["arguments"]), after)
    assert decode_any(frame) == {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": decode_any(encode(sent))}


def flow(until_ns: int) -> Any:
    found = Flow.__new__(Flow)
    found.until_ns = until_ns
    return found


def head() -> Head:
    return Head("POST", "/mcp", {})


def test_a_flow_goes_when_another_comes_after_its_time() -> None:
    table, first, second = FlowTable(), head(), head()
    table.add(first, ("a", ""), flow(10), 0)
    table.add(second, ("b", ""), flow(30), 9)
    assert len(table) == 2
    table.add(second, ("c", ""), flow(40), 10)
    assert (len(table), first.flows, list(second.flows)) == (2, {}, [("b", ""), ("c", "")])


def test_what_replaced_a_flow_stays_when_that_ones_time_is_over() -> None:
    table, one = FlowTable(), head()
    table.add(one, ("a", ""), flow(10), 0)
    newer = flow(50)
    table.add(one, ("a", ""), newer, 5)
    table.add(head(), ("b", ""), flow(50), 20)
    assert one.flows == {("a", ""): newer}


def test_there_are_never_more_flows_than_fit_of_all_heads_or_of_one(monkeypatch: Any) -> None:
    monkeypatch.setattr(flows, "FLOWS_MAX", 5)
    monkeypatch.setattr(flows, "FLOWS_PER_HEAD_MAX", 3)
    table, one, heads = FlowTable(), head(), [head() for _ in range(20)]
    for number, each in enumerate(heads):
        table.add(one, (f"{number}", ""), flow(1000), 0)
        table.add(each, ("a", ""), flow(1000), 0)
        assert len(table) <= 5
        assert len(one.flows) <= 3
    assert sum(len(each.flows) for each in heads) <= 5
