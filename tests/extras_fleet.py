"""The fixture server with everything that the plain ones lack, as a fleet has it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from garrison.catalog.spec import ServerSpec
from running_fleet import SERVERS
from speaking import DEADLINE_S, Json, Speaker

ERAS = ["legacy", "modern"]
ACROSS = [("legacy", "modern"), ("modern", "legacy")]
"""Eras of client and server, for what depends on each but not on the pair."""


def extras(name: str, *flags: str, **more: Any) -> ServerSpec:
    command = (sys.executable, str(SERVERS / "extras.py"), "--tag", name, *flags)
    return ServerSpec(name=name, transport="stdio", command=command, **more)


def flags(era: str) -> tuple[str, ...]:
    return ("--modern",) if era == "modern" else ()


async def told(client: Speaker, server: str) -> Json:
    """What the server's process was told: `heard`, `subscribed`."""
    result = await client.call(f"{server}__told")
    found: Json = json.loads(result["content"][0]["text"])
    return found


async def until_subscribed(client: Speaker, server: str, *uris: str) -> None:
    """Until the server's process knows of these subscriptions, and of no others."""
    async with asyncio.timeout(DEADLINE_S):
        while (await told(client, server))["subscribed"] != list(uris):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
