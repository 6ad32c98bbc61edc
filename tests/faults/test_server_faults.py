"""A server fails in the middle of something, seen through the real protocol: one error, no hang, nothing left."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Raw

from garrison.kernel.errors import GarrisonError, TimedOut
from garrison.kernel.ids import RandomIds
from garrison.protocol.connection import Connection
from garrison.protocol.messages import Message, RpcError
from garrison.protocol.question import Question
from garrison.protocol.transports.stdio import StdioTransport
from garrison.runtimes import strays
from garrison.runtimes.drivers.process import ProcessDriver, Surroundings
from garrison.runtimes.instance import Instance, State, StdioEndpoint
from garrison.runtimes.reaper import Reaper
from garrison.runtimes.supervisor import Supervisor
from runtimes.small_fleet import QUICK_GRACES, WATCHFUL, python, snapshot, until

LEGACY = """
import json, sys, time
def say(message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
for line in sys.stdin:
    m = json.loads(line)
    method = m.get("method")
    if method == "initialize":
        info = {"name": "x", "version": "1"}
        say({"id": m["id"], "result": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}})
    elif method == "ping":
        say({"id": m["id"], "result": {}})
    elif method == "server/discover":
        say({"id": m["id"], "error": {"code": -32601, "message": "no"}})
    elif method == "tools/call":
        CALL
"""
HANGS_IN_CALL = LEGACY.replace("CALL", "time.sleep(60)")
CRASHES_IN_CALL = LEGACY.replace("CALL", "sys.exit(9)")
HALF_AN_ANSWER = LEGACY.replace("CALL", """print('{"jsonrpc": "2.0", "id"', end='', flush=True); sys.exit(9)""")
BABBLES = "print('Welcome!'); print('{\"not\": \"rpc\"}'); print('[1, 2')\n" + LEGACY.replace(
    "CALL", "print('thinking...'); say({'id': m['id'], 'result': {'content': []}})"
)


class Outcomes:
    """Counts what comes back for one request."""

    def __init__(self) -> None:
        self.results: list[bytes] = []
        self.errors: list[GarrisonError | RpcError] = []

    def message(self, message: Message) -> None:
        raise AssertionError("nothing was to be reported")

    def streaming(self) -> None:
        """Not of interest."""

    def question(self, question: Question) -> None:
        raise AssertionError("nothing was to be asked")

    def result(self, result: Raw) -> None:
        self.results.append(bytes(result))

    def error(self, error: RpcError) -> None:
        self.errors.append(error)

    def failed(self, error: GarrisonError) -> None:
        self.errors.append(error)

    def __len__(self) -> int:
        return len(self.results) + len(self.errors)


def connect(instance: Instance) -> Connection:
    assert isinstance(instance.endpoint, StdioEndpoint)
    channel = instance.endpoint.channel
    assert isinstance(channel, StdioTransport)
    return Connection(channel, {"name": "test", "version": "1"}, label=instance.server)


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor[Connection]]:
    fleet_id = f"fault{RandomIds().new()}"
    where = Surroundings(fleet_id, tmp_path, dict(os.environ), graces=QUICK_GRACES)
    made = Supervisor({"stdio": ProcessDriver(where, StdioTransport, Reaper())}, connect, policies=WATCHFUL)
    yield made
    await made.stop_all()
    assert strays.find(fleet_id) == []


async def running(supervisor: Supervisor[Connection], program: str) -> Connection:
    await supervisor.apply(snapshot(python("s", program)))
    await supervisor.settled()
    connection = supervisor.connection("s")
    assert connection is not None
    return connection


async def test_a_server_killed_in_mid_call_gives_exactly_one_error_within_a_second(
    supervisor: Supervisor[Connection],
) -> None:
    connection = await running(supervisor, HANGS_IN_CALL)
    calls = [Outcomes() for _ in range(3)]
    for call in calls:
        connection.request(connection.reserve(), "tools/call", None, call)
    await asyncio.sleep(0.05)
    began = time.monotonic()
    os.kill(supervisor.observed()["s"].pid, 9)
    await until(lambda: all(len(call) for call in calls), seconds=10)
    print(f"errors after {time.monotonic() - began:.3f} s")  # noqa: T201
    await until(lambda: supervisor.observed()["s"].state is State.RUNNING)
    assert [len(call.errors) for call in calls] == [1, 1, 1]
    error = calls[0].errors[0]
    assert isinstance(error, TimedOut)
    assert "unknown" in error.message


@pytest.mark.parametrize("program", [CRASHES_IN_CALL, HALF_AN_ANSWER])
async def test_a_server_that_crashes_in_a_call_gives_exactly_one_error(
    supervisor: Supervisor[Connection], program: str
) -> None:
    connection = await running(supervisor, program)
    call = Outcomes()
    connection.request(connection.reserve(), "tools/call", None, call)
    await until(lambda: len(call), seconds=1)
    await until(lambda: supervisor.observed()["s"].restarts == 1)
    assert (len(call.errors), len(call.results)) == (1, 0)


async def test_what_a_server_babbles_between_messages_harms_no_call(supervisor: Supervisor[Connection]) -> None:
    connection = await running(supervisor, BABBLES)
    call = Outcomes()
    connection.request(connection.reserve(), "tools/call", None, call)
    await until(lambda: len(call))
    assert call.results == [b'{"content": []}']
    log = "\n".join(supervisor.logs("s", 50))
    assert "out| Welcome!" in log
    assert "out| thinking..." in log


async def test_a_server_stopped_by_a_signal_is_found_hanging_and_replaced(supervisor: Supervisor[Connection]) -> None:
    await running(supervisor, HANGS_IN_CALL)
    first = supervisor.observed()["s"].pid
    os.kill(first, 19)
    await until(lambda: supervisor.observed()["s"].pid not in (0, first))
    await until(lambda: supervisor.observed()["s"].state is State.RUNNING)
