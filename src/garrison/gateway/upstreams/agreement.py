"""What all instances of a server offer: a call may go to any of them, so only what each of them has can be offered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from garrison.gateway.upstreams.definition import KEY
from garrison.kernel.errors import GarrisonError
from garrison.protocol.connection import Connection

TOGETHER_S = 10.0
"""How long the others wait for an instance that lists slowly."""

NAMED_MAX = 3

Items = list[object]

log = logging.getLogger("garrison.gateway")


def agreed(method: str, lists: Mapping[int, Items]) -> tuple[Items, dict[int, list[str]]]:
    """The entries of the first list that all others have too, and what each instance lacks or has otherwise. Pure.

    `lists` is not empty; an entry counts by its name, and is offered as the first list describes it.
    """
    key = KEY[method]
    named = {number: _by_name(key, items) for number, items in lists.items()}
    first = next(iter(named.values()))
    everything = {name: entry for entries in reversed(named.values()) for name, entry in entries.items()}
    differs = {
        number: [name for name, entry in everything.items() if entries.get(name) != entry]
        for number, entries in named.items()
    }
    common = [entry for name, entry in first.items() if all(name in entries for entries in named.values())]
    return common, {number: names for number, names in differs.items() if names}


def sentence(differs: Mapping[int, list[str]]) -> str:
    """For people: which instance differs in what; empty when none does."""
    if not differs:
        return ""
    each = [f"instance {number}: {_some(names)}" for number, names in differs.items()]
    return f"its instances do not offer the same, and only what all have is offered ({'; '.join(each)})"


async def lists_of(
    server: str, connections: Mapping[int, Connection], read: Callable[[Connection], Awaitable[Items]]
) -> dict[int, Items]:
    """Each instance's list, without those that fail to list. Raises what the first failed of when all do."""
    tasks = {number: asyncio.ensure_future(read(connection)) for number, connection in connections.items()}
    try:
        await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(tasks.values(), timeout=TOGETHER_S)
    finally:
        for task in tasks.values():
            task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    return _successes(server, tasks)


def _successes(server: str, tasks: Mapping[int, asyncio.Future[Items]]) -> dict[int, Items]:
    found: dict[int, Items] = {}
    failures: list[GarrisonError] = []
    for number, task in tasks.items():
        try:
            found[number] = task.result()
        except asyncio.CancelledError:
            log.warning("an instance did not list in time", extra={"server": server, "number": number})
        except GarrisonError as error:
            failures.append(error)
            log.warning("an instance did not list", extra={"server": server, "number": number, "why": error.message})
    if not found:
        raise failures[0]
    return found


def _by_name(key: str, items: Items) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for item in items:
        if isinstance(item, dict) and isinstance(item.get(key), str):
            named.setdefault(item[key], item)
    return named


def _some(names: list[str]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(name[:64] for name in names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
