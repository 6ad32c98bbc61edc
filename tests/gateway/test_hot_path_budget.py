"""A gate without a stopwatch: how many functions one call runs through. Machines differ in speed, not in this number.

When it grows for a good reason, raise the budget in the same change and say why there.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from garrison.catalog.spec import ServerSpec
from garrison.gateway import flows
from garrison.surfaces.bench.echo import Answering, HttpEcho
from garrison.surfaces.bench.load import run_load
from running_fleet import StartFleet

WARM_UP, CALLS = 50, 300
PYTHON_CALLS_MAX = 70
"""Functions of Garrison and of uvicorn that one `tools/call` enters, from its first byte to its answer's last."""
BUILT_IN_CALLS_MAX = 64
"""Functions written in C that those call."""


@contextmanager
def counted(python: Counter[str], built_in: Counter[str]) -> Iterator[None]:
    """Count what our own code calls on this thread; the load generator and the upstream do not count."""

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if (
            "/garrison/" not in code.co_filename and "/uvicorn/" not in code.co_filename
        ) or "/bench/" in code.co_filename:
            return
        if event == "call":
            python[f"{code.co_filename.rpartition('/')[2]}:{code.co_qualname}"] += 1
        elif event == "c_call":
            built_in[getattr(argument, "__qualname__", str(argument))] += 1

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def request_of(url: str, key: str) -> bytes:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "echo", "arguments": {"text": "hello"}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    head = (
        f"POST /servers/echo/mcp HTTP/1.1\r\nhost: {url.removeprefix('http://')}\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: echo\r\n"
    )
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def test_one_call_stays_within_its_budget_of_function_calls(
    start_fleet: StartFleet, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "HOLDS_S", 60.0)  # however slow the machine is: one call in thousands takes the long way
    upstream = await asyncio.get_running_loop().create_server(lambda: HttpEcho(Answering(3, "modern")), "127.0.0.1", 0)
    port = upstream.sockets[0].getsockname()[1]
    running = await start_fleet(ServerSpec(name="echo", transport="http", url=f"http://127.0.0.1:{port}/mcp"))
    asked = request_of(running.url, running.admin_key)
    first = await run_load(running.url, asked, 1, 10, WARM_UP)
    assert (first.calls, first.refused) == (WARM_UP, 0), first.first_answer
    python, built_in = Counter[str](), Counter[str]()
    with counted(python, built_in):
        load = await run_load(running.url, asked, 1, 20, CALLS)
    assert (load.calls, load.refused) == (CALLS, 0)
    upstream.close()
    found = (python.total() / CALLS, built_in.total() / CALLS)
    with capsys.disabled():
        sys.stdout.write(f"\none call: {found[0]:.0f} Python and {found[1]:.0f} built-in function calls\n")
    dearest = "\n".join(f"{count / CALLS:5.1f} {name}" for name, count in python.most_common(40))
    assert found[0] <= PYTHON_CALLS_MAX, dearest
    assert found[1] <= BUILT_IN_CALLS_MAX, built_in.most_common(40)
