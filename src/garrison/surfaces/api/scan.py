"""What the scanner finds in what servers list now, held definitions included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from garrison.gateway.upstreams.upstream import Upstream
from garrison.kernel.errors import NotFound
from garrison.policy.scanner.scan import Offered, scan_fleet
from garrison.protocol import methods
from garrison.surfaces.wiring.fleet import Fleet


class ScanRoutes:
    def __init__(self, fleet: Callable[[], Fleet]) -> None:
        self._fleet = fleet

    async def all(self, request: Request) -> Response:
        """`server`: only what concerns this one; the others count as its neighbours."""
        server = request.query_params.get("server", "")
        offered = list(self._offered())
        if server and server not in self._fleet().directory.upstreams:
            raise NotFound("server.unknown", f"there is no server {server[:64]!r}", "see `garrison server list`")
        found = await asyncio.to_thread(scan_fleet, offered)
        kept = [finding for finding in found if not server or finding.server == server]
        body = {"servers": [one.server for one in offered if server in ("", one.server)], "findings": kept}
        return Response(msgspec.json.encode(body), media_type="application/json")

    def _offered(self) -> Iterator[Offered]:
        for name, upstream in self._fleet().directory.upstreams.items():
            info = upstream.info
            instructions = info.instructions if info is not None else ""
            yield Offered(
                name,
                instructions if isinstance(instructions, str) else "",
                _contents(upstream, methods.TOOLS_LIST),
                _contents(upstream, methods.PROMPTS_LIST),
                _contents(upstream, methods.RESOURCES_LIST),
                _contents(upstream, methods.TEMPLATES_LIST),
            )


def _contents(upstream: Upstream, method: str) -> list[dict[str, Any]]:
    """As the server listed it, with what is kept from everybody."""
    return [one for one in upstream.given.get(method, ()) if isinstance(one, dict)]
