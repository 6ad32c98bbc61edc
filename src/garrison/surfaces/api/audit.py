"""The ledger over HTTP, for administrators: questions to it, and what stood at a moment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from garrison.kernel.clock import SystemClock
from garrison.kernel.errors import Invalid
from garrison.protection.place import Place
from garrison.protection.search import LIMIT_MAX, search
from garrison.surfaces.former_state import state_at
from garrison.surfaces.ledger_place import place_in
from garrison.surfaces.ledger_questions import query_of, row_of
from garrison.surfaces.moments import moment_ns
from garrison.surfaces.whose import principal_id
from garrison.surfaces.wiring.fleet import Fleet

WORDS: Final = frozenset({"kind", "call", "principal", "method", "server", "tool", "outcome", "since", "until"})
NUMBERS: Final = frozenset({"before", "limit"})
TEXT_CHARS_MAX = 1024


class AuditRoutes:
    """What is asked is read in a thread of its own: calls do not wait for it."""

    def __init__(self, fleet: Callable[[], Fleet]) -> None:
        self._fleet = fleet

    async def search(self, request: Request) -> Response:
        """`?principal=…&since=2h&limit=50&before=SEQ`; the answer's `next` is the `before` of the next page."""
        given = _parameters(request, WORDS | NUMBERS)
        numbers = {name: _number(name, given.pop(name)) for name in NUMBERS & given.keys()}
        if "principal" in given:
            given["principal"] = await asyncio.to_thread(principal_id, self._fleet().home, given["principal"])
        query = query_of(given, numbers.get("before", 0), min(numbers.get("limit", 50), LIMIT_MAX))
        found = await asyncio.to_thread(search, self._place(), query)
        return JSONResponse({"entries": [row_of(one) for one in found.entries], "next": found.next})

    async def state(self, request: Request) -> Response:
        """`?at=2h`; as `garrison state`."""
        given = _parameters(request, frozenset({"at"}))
        at_ns = moment_ns(given.get("at", "0s"), SystemClock().wall_ns())
        return JSONResponse(await asyncio.to_thread(state_at, self._fleet().home, self._place(), at_ns))

    def _place(self) -> Place:
        fleet = self._fleet()
        return place_in(fleet.home, fleet.settings.ledger.url, os.environ)


def _parameters(request: Request, known: frozenset[str]) -> dict[str, str]:
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    unknown = sorted(set(names) - known)
    if unknown or len(names) != len(set(names)) or any(len(text) > TEXT_CHARS_MAX for _, text in given):
        hint = f"once each, of: {', '.join(sorted(known))}"
        raise Invalid("audit.query", f"The query is not understood: {', '.join(unknown)[:64] or 'see the hint'}.", hint)
    return dict(given)


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 18:
        raise Invalid("audit.query", f"{name} is no number.", "for example 50")
    return int(text)
