"""Pins over the admin API: what is pinned and held, and people's decisions about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from garrison.catalog.pin_book import Taken
from garrison.kernel.errors import Invalid
from garrison.surfaces.pin_rows import differences, pin_rows
from garrison.surfaces.wiring.fleet import Fleet
from garrison.surfaces.wiring.records import record_change

BODY_BYTES_MAX = 64 * 1024


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    """`sha256`: only if this is what is held."""

    server: str
    name: str = ""
    sha256: str = ""


class PinRoutes:
    """`changed` lets all workers take over what was decided."""

    def __init__(self, fleet: Callable[[], Fleet], changed: Callable[[], Awaitable[None]]) -> None:
        self._fleet = fleet
        self._changed = changed

    async def all(self, request: Request) -> Response:
        book = self._fleet().directory.pins.book
        asked = (request.query_params.get("server", ""), request.query_params.get("name", ""))
        return JSONResponse({"pins": pin_rows(book, *asked), "held": differences(book, *asked)})

    async def reload(self, request: Request) -> Response:
        """Take over a lock that was edited or merged."""
        self._fleet().directory.pins.reload()
        await self._changed()
        return JSONResponse({})

    async def approve(self, request: Request) -> Response:
        asked = await _read(request)
        taken = self._fleet().directory.pins.approve(asked.server, asked.name, asked.sha256)
        return await self._done(request, "pins.approve", asked, taken)

    async def revoke(self, request: Request) -> Response:
        asked = await _read(request)
        taken = self._fleet().directory.pins.revoke(asked.server, asked.name)
        return await self._done(request, "pins.revoke", asked, taken)

    async def _done(self, request: Request, change: str, asked: _Asked, taken: list[Taken]) -> Response:
        for detail in details(asked.name, taken):
            record_change(self._fleet().ledger, request.state.principal.id, change, asked.server, detail)
        await self._changed()
        return JSONResponse({"taken": [one._asdict() for one in taken]})


def details(name: str, taken: list[Taken]) -> list[dict[str, Any]]:
    """For the ledger: each decision with both hashes; one entry, too, where a whole server was approved as it is."""
    each = [{"kind": one.kind, "name": one.name, "before": one.before, "after": one.after} for one in taken]
    return each or [{"name": name, "definitions": 0}]


async def _read(request: Request) -> _Asked:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise Invalid("pins.request", "the request is too long", f"at most {BODY_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(body, type=_Asked)
    except msgspec.MsgspecError as error:
        raise Invalid("pins.request", f"the request is not understood: {error}", "server, name and sha256") from error
