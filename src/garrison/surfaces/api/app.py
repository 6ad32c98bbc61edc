"""The ASGI application: `/healthz` and `/readyz` for everyone, the rest for keys with the role `admin`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from garrison.gateway.heads import presented_key
from garrison.identity.principals import Principal
from garrison.kernel.clock import SystemClock
from garrison.kernel.errors import Denied, GarrisonError, NotFound, Unauthenticated
from garrison.protection.entries import Entry
from garrison.surfaces.api.problems import on_garrison_error
from garrison.surfaces.wiring.fleet import Fleet

Endpoint = Callable[[Request], Awaitable[Response]]


class NodeControl(Protocol):
    """What the admin API may ask of the process that it runs in."""

    @property
    def fleet(self) -> Fleet: ...

    def ready(self) -> list[str]:
        """Why the node is not ready; empty when it is."""
        ...

    def health(self) -> list[str]:
        """What does not live, of all that should; empty when all is well."""
        ...

    async def metrics(self) -> bytes:
        """Of all workers together, in Prometheus's text format."""
        ...

    def status(self) -> dict[str, Any]: ...

    def server_status(self, name: str) -> dict[str, Any]:
        """Raises `NotFound`."""
        ...

    async def apply(self, principal: str) -> list[dict[str, str]]: ...

    async def restart(self, name: str, principal: str) -> None: ...

    def stop(self, principal: str) -> None: ...


def make_app(node: NodeControl) -> Starlette:
    """`node`: the process that serves this application."""
    admin = _Admin(node)
    routes = [
        Route("/healthz", admin.health),
        Route("/readyz", admin.readiness),
        Route("/metrics", admin.guarded("metrics/read", admin.metrics)),
        Route("/api/v1/status", admin.guarded("status/read", admin.status)),
        Route("/api/v1/apply", admin.guarded("fleet.apply", admin.apply), methods=["POST"]),
        Route("/api/v1/stop", admin.guarded("fleet.stop", admin.stop), methods=["POST"]),
        Route("/api/v1/servers/{name}/restart", admin.guarded("server.restart", admin.restart), methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={GarrisonError: on_garrison_error})


class _Admin:
    def __init__(self, node: NodeControl) -> None:
        self._node = node

    def guarded(self, action: str, endpoint: Endpoint) -> Endpoint:
        """Only for administrators; refusals are on the record, as in the pipeline."""

        async def run(request: Request) -> Response:
            try:
                request.state.principal = self._administrator(request)
            except GarrisonError as error:
                self._record_refusal(request, action, error)
                raise
            return await endpoint(request)

        return run

    async def health(self, request: Request) -> Response:
        """The processes live and their event loops turn."""
        missing = self._node.health()
        return PlainTextResponse("\n".join([*missing, ""]) if missing else "ok\n", 503 if missing else 200)

    async def readiness(self, request: Request) -> Response:
        """Whether calls should be sent here."""
        missing = self._node.ready()
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    async def metrics(self, request: Request) -> Response:
        return Response(await self._node.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def status(self, request: Request) -> Response:
        return JSONResponse(self._node.status())

    async def apply(self, request: Request) -> Response:
        return JSONResponse({"actions": await self._node.apply(request.state.principal.id)})

    async def restart(self, request: Request) -> Response:
        name = request.path_params["name"]
        self._node.server_status(name)
        await self._node.restart(name, request.state.principal.id)
        return JSONResponse(self._node.server_status(name))

    async def stop(self, request: Request) -> Response:
        self._node.stop(request.state.principal.id)
        return JSONResponse({"stopping": True}, 202)

    def _administrator(self, request: Request) -> Principal:
        key = presented_key(request.headers)
        principal = self._node.fleet.keys.verify(key) if key else None
        if principal is None:
            raise Unauthenticated("key.unknown", "no valid API key was presented", "send `Authorization: Bearer KEY`")
        if "admin" not in principal.roles:
            raise Denied("grant.missing", f"key {principal.name!r} has no role `admin`", "use the admin key")
        return principal

    def _record_refusal(self, request: Request, action: str, error: GarrisonError) -> None:
        detail = {"from": request.client.host if request.client else "", "why": error.message}
        entry = Entry(SystemClock().wall_ns(), "refusal", action=action, outcome=error.code, detail=detail)
        self._node.fleet.ledger.append(entry)


def row_not_found(name: str) -> NotFound:
    return NotFound("server.unknown", f"there is no server {name[:64]!r}", "`garrison server list` shows the servers")
