"""What workers say to each other, what they count together, and where requests belong."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.snapshot import Snapshot
from garrison.gateway.call import HttpRequest
from garrison.gateway.endpoints import Endpoints
from garrison.gateway.heads import Head
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.worker import Worker
from garrison.kernel.errors import Conflict
from garrison.surfaces.launch import open_listeners
from garrison.surfaces.workers import frames, sockets
from garrison.surfaces.workers.totals import Totals, dump
from garrison.surfaces.workers.whereabouts import Whereabouts, state_of, worker_of
from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics
from running_fleet import stdio

FRAMES = [
    frames.Hello(2),
    frames.Ask(1, 0, frames.HeadCopy("POST", "/mcp", {"host": "a"}, ("x",)), b"{}", "127.0.0.1"),
    frames.Answer(1, 200, b"{}", {"content-type": "application/json"}),
    frames.Event(1, b"{}", b"message"),
    frames.News("let in", {"accounts": {"ada": [1, 2]}}),
    frames.Done(3, None, "no"),
]


@given(st.lists(st.sampled_from(FRAMES), max_size=8), st.lists(st.integers(1, 40), max_size=20))
def test_frames_arrive_whole_however_they_are_cut(sent: list[frames.Frame], cuts: list[int]) -> None:
    data, reader, found = b"".join(map(frames.written, sent)), frames.FrameReader(), []
    for cut in cuts:
        found += list(reader.feed(data[:cut]))
        data = data[cut:]
    found += list(reader.feed(data))
    assert found == sent


def test_what_is_no_frame_is_not_understood() -> None:
    with pytest.raises(msgspec.MsgspecError):
        list(frames.FrameReader().feed(b"\x00\x00\x00\x01\xc1"))
    with pytest.raises(msgspec.MsgspecError):
        list(frames.FrameReader().feed(b"\xff" * 8))


# ── totals ──


def counted(calls: int, in_flight: int, seconds: float, running: int = 1, state: int = 0) -> Metrics:
    metrics = Metrics()
    metrics.counter("garrison.retries", "Retries.", (names.SERVER,)).cell("one").add(calls)
    metrics.gauge("garrison.calls.in_flight", "In flight.").cell().set(in_flight)
    metrics.gauge(names.SERVER_RUNNING, "Runs.", (names.SERVER,)).cell("one").set(running)
    metrics.gauge("garrison.breaker.state", "State.", (names.SERVER,)).cell("one").set(state)
    metrics.histogram("garrison.waits", "Waits.").cell().observe(seconds)
    return metrics


def lines(text: bytes) -> dict[str, float]:
    found = (line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in found}


def test_counters_are_summed_and_facts_are_the_primarys() -> None:
    totals = Totals()
    totals.add(2, 0, json.loads(json.dumps(dump(counted(5, 3, 0.2, running=1, state=2)))))
    found = lines(totals.render(counted(2, 1, 0.1)))
    assert found['garrison_retries_total{garrison_server_name="one"}'] == 7
    assert found["garrison_calls_in_flight"] == 4
    assert found["garrison_waits_seconds_count"] == 2
    assert found["garrison_waits_seconds_sum"] == pytest.approx(0.3)
    assert found['garrison_breaker_state{garrison_server_name="one"}'] == 2, "the worst of them"
    running = next(value for name, value in found.items() if "running" in name)
    assert running == 1, "a server runs once, however many look at it"


def test_no_counter_falls_when_a_worker_begins_afresh() -> None:
    totals, own, retries = Totals(), counted(2, 0, 0.1), 'garrison_retries_total{garrison_server_name="one"}'
    totals.add(2, 0, dump(counted(5, 3, 0.2)))
    totals.gone(2)
    assert lines(totals.render(own))[retries] == 7
    assert lines(totals.render(own))["garrison_calls_in_flight"] == 0
    for life in (1, 2, 3):
        totals.add(2, life, dump(counted(1, 1, 0.2)))
    assert lines(totals.render(own))[retries] == 2 + 5 + 3
    assert lines(totals.render(own))["garrison_waits_seconds_count"] == 5


# ── whereabouts ──


def whereabouts(number: int = 1) -> Whereabouts:
    directory = Directory()
    directory.apply(Snapshot({"one": stdio("one", "everything")}, {}, {}))
    return Whereabouts(Worker(number, 2), directory, Endpoints(directory))


def sealed_by(number: int) -> str:
    return urlsafe_b64encode(Worker(number, 2).nonce() + b"content").decode()


def request(body: object = None, **headers: str) -> HttpRequest:
    sent = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return HttpRequest(Head("POST", "/servers/one/mcp", sent), json.dumps(body or {}).encode())


MODERN = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": "echo"}


@pytest.mark.parametrize("number", [1, 2])
def test_a_legacy_session_belongs_where_it_began(number: int) -> None:
    asked = request(mcp_session_id=sealed_by(2))
    assert whereabouts(number).elsewhere(asked) == (None if number == 2 else 2)


def test_what_has_no_state_is_served_where_it_arrives() -> None:
    assert whereabouts().elsewhere(request()) is None
    assert whereabouts().elsewhere(request({"params": {"name": "echo"}}, **MODERN)) is None


def test_the_retry_of_a_parked_call_belongs_where_it_is_parked() -> None:
    asked = request({"params": {"name": "echo", "requestState": sealed_by(2)}}, **MODERN)
    assert whereabouts().elsewhere(asked) == 2
    assert not whereabouts().is_plain(asked)


@pytest.mark.parametrize("key", ["a", "b", "c", "d"])
def test_tasks_and_subscriptions_to_resources_go_by_the_key(key: str) -> None:
    expected = worker_of(key, 2) if worker_of(key, 2) != 1 else None
    named = {**MODERN, "authorization": f"Bearer {key}"}
    assert whereabouts().elsewhere(request(**{**named, "mcp_method": "tasks/get"})) == expected
    listen = {"params": {"notifications": {"resourceSubscriptions": ["memo://one"]}}}
    assert whereabouts().elsewhere(request(listen, **{**named, "mcp_method": "subscriptions/listen"})) == expected


@given(st.binary(max_size=60))
def test_a_state_is_read_from_whatever_is_sent(body: bytes) -> None:
    assert isinstance(state_of(body), str)
    assert isinstance(state_of(b'{"params":{"requestState":' + body + b"}}"), str)


# ── sockets ──


async def test_a_socket_is_its_owners_alone_and_its_folders_path_may_be_long(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    path = sockets.worker_socket(folder, 2)
    with sockets.listen(path):
        assert path.stat().st_mode & 0o777 == 0o600
        line = await sockets.dial(path, _Quiet)
        assert line.transport is not None
        line.transport.close()


class _Quiet(asyncio.Protocol):
    transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


def test_workers_share_an_address_and_nobody_else_does() -> None:
    listeners = open_listeners("127.0.0.1:0", 3)
    address = listeners[0].getsockname()
    try:
        assert {one.getsockname() for one in listeners} == {address}
        with pytest.raises(Conflict, match="taken"):
            open_listeners(f"127.0.0.1:{address[1]}", 2)
    finally:
        for one in listeners:
            one.close()
