"""What servers list now, for who looks into who may use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from garrison.gateway.upstreams.definition import KIND
from garrison.protocol import methods
from garrison.surfaces.wiring.fleet import Fleet


class OfferRoutes:
    def __init__(self, fleet: Callable[[], Fleet]) -> None:
        self._fleet = fleet

    async def all(self, request: Request) -> Response:
        return JSONResponse({"offers": list(self._rows())})

    def _rows(self) -> Iterator[dict[str, Any]]:
        """At `/mcp`, in the order of its lists."""
        endpoint = self._fleet().gateway.endpoints.find("")
        for method in (methods.TOOLS_LIST, methods.PROMPTS_LIST, methods.RESOURCES_LIST, methods.TEMPLATES_LIST):
            if endpoint is None:
                return
            shown = endpoint.index(method).shown
            for ref, (upstream, definition, _) in zip(shown, endpoint.entries(method), strict=True):
                yield {
                    "kind": KIND[method],
                    "server": upstream.name,
                    "name": definition.name,
                    "shown": shown[ref] if method in (methods.TOOLS_LIST, methods.PROMPTS_LIST) else definition.name,
                    "hints": definition.hints._asdict() if method == methods.TOOLS_LIST else None,
                }
