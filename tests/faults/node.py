"""A node as small as can be: a supervisor with servers, a watch on its guardian, and a listening socket.

Started by the tests as `python node.py JSON`. It accepts on an inherited socket and answers with its pid.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

from garrison.runtimes.drivers.process import ProcessDriver, Surroundings
from garrison.runtimes.guardianship import Charge, GuardianWatch
from garrison.runtimes.reaper import Reaper
from garrison.runtimes.supervisor import Supervisor
from runtimes.small_fleet import QUICK, QUICK_GRACES, SmallChannel, SmallLink, python, snapshot


async def run(order: dict[str, str]) -> None:
    home = Path(order["home"])
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    reaper = Reaper()
    reaper.adopt()
    reaping = asyncio.ensure_future(reaper.run(0.05))
    watch = GuardianWatch(
        Charge((sys.executable, *sys.argv), home / "run", order["fleet"], order["mode"], fds(order)),  # type: ignore[arg-type]
        os.environ,
    )
    watch.start()
    driver = ProcessDriver(
        Surroundings(order["fleet"], home / "logs/servers", dict(os.environ), graces=QUICK_GRACES), SmallChannel, reaper
    )
    supervisor: Supervisor[SmallLink] = Supervisor({"stdio": driver}, SmallLink, policies=QUICK)
    await supervisor.apply(snapshot(*(python(name, program) for name, program in order["servers"].items())))  # type: ignore[attr-defined]
    await supervisor.settled()
    listen(order)
    (home / "ready").write_text(json.dumps({"node": os.getpid(), "guardian": watch.pid}))
    await stopping.wait()
    await supervisor.stop_all()
    reaping.cancel()
    watch.leave()


def fds(order: dict[str, str]) -> tuple[int, ...]:
    return (int(order["fd"]),) if order.get("fd") else ()


def listen(order: dict[str, str]) -> None:
    if order.get("fd"):
        listener = socket.socket(fileno=int(order["fd"]))
        listener.setblocking(False)
        asyncio.get_running_loop().add_reader(listener, answer, listener)


def answer(listener: socket.socket) -> None:
    client, _ = listener.accept()
    client.sendall(str(os.getpid()).encode())
    client.close()


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    if asked.get("crash"):
        sys.exit(int(asked["crash"]))
    asyncio.run(run(asked))
