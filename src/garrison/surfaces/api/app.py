"""The ASGI application: health and OAuth's metadata for everyone, `whoami` for whoever is known, the rest for
administrators."""

from __future__ import annotations

from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from garrison.gateway.asking import PAGE
from garrison.gateway.heads import endpoint_of, presented_key
from garrison.identity.oauth.registration import CALLBACK, DOCUMENT
from garrison.identity.oauth.sign_in import BEGIN
from garrison.identity.resources import WELL_KNOWN
from garrison.kernel.errors import GarrisonError, NotFound
from garrison.surfaces.api import limits
from garrison.surfaces.api.approvals import ApprovalRoutes
from garrison.surfaces.api.audit import AuditRoutes
from garrison.surfaces.api.guarding import Guarding
from garrison.surfaces.api.offers import OfferRoutes
from garrison.surfaces.api.pins import PinRoutes
from garrison.surfaces.api.problems import on_garrison_error
from garrison.surfaces.api.scan import ScanRoutes
from garrison.surfaces.api.sign_in import SignInRoutes
from garrison.surfaces.api.whoami import whoami
from garrison.surfaces.wiring.fleet import Fleet


class NodeControl(Protocol):
    """What the admin API may ask of the process that it runs in."""

    @property
    def fleet(self) -> Fleet: ...

    def ready(self) -> list[str]:
        """Why the node is not ready; empty when it is."""
        ...

    async def limits_of_others(self, principal: str) -> list[list[dict[str, Any]]]:
        """What further workers know of limits, each for itself."""
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

    async def withdraw(self, server: str, principal: str) -> None:
        """What this principal agreed to at a server counts no more, in no process."""
        ...

    async def pins_changed(self) -> None:
        """Somebody has approved or revoked pins: everybody takes that over."""
        ...

    def stop(self, principal: str) -> None: ...


def make_app(node: NodeControl) -> Starlette:
    """`node`: the process that serves this application."""
    admin, only = _Admin(node), Guarding(lambda: node.fleet)
    pins = PinRoutes(lambda: node.fleet, lambda: node.pins_changed())
    routes = [
        Route("/healthz", admin.health),
        Route("/readyz", admin.readiness),
        Route("/metrics", only.administrators("metrics/read", admin.metrics)),
        Route(WELL_KNOWN, admin.protected_resource),
        Route(WELL_KNOWN + "{path:path}", admin.protected_resource),
        Route("/api/v1/whoami", only.anybody_known("whoami/read", admin.whoami)),
        Route("/api/v1/status", only.administrators("status/read", admin.status)),
        Route("/api/v1/limits", only.administrators("limits/read", admin.limits)),
        Route("/api/v1/limits/report", only.administrators("limits/read", admin.limits_report)),
        Route("/api/v1/offers", only.administrators("offers/read", OfferRoutes(lambda: node.fleet).all)),
        Route("/api/v1/scan", only.administrators("scan/read", ScanRoutes(lambda: node.fleet).all)),
        Route("/api/v1/audit/search", only.administrators("audit/read", AuditRoutes(lambda: node.fleet).search)),
        Route("/api/v1/audit/state", only.administrators("audit/read", AuditRoutes(lambda: node.fleet).state)),
        Route("/api/v1/pins", only.administrators("pins/read", pins.all)),
        Route("/api/v1/pins/reload", only.administrators("pins.reload", pins.reload), methods=["POST"]),
        Route("/api/v1/pins/approve", only.administrators("pins.approve", pins.approve), methods=["POST"]),
        Route("/api/v1/pins/revoke", only.administrators("pins.revoke", pins.revoke), methods=["POST"]),
        Route("/api/v1/apply", only.administrators("fleet.apply", admin.apply), methods=["POST"]),
        Route("/api/v1/stop", only.administrators("fleet.stop", admin.stop), methods=["POST"]),
        Route("/api/v1/servers/{name}/restart", only.administrators("server.restart", admin.restart), methods=["POST"]),
    ]
    sign_in = SignInRoutes(
        lambda: node.fleet, lambda name, who: node.restart(name, who), lambda name, who: node.withdraw(name, who)
    )
    routes += _sign_in_routes(sign_in, only)
    routes += _approval_routes(ApprovalRoutes(lambda: node.fleet), only)
    return Starlette(routes=routes, exception_handlers={GarrisonError: on_garrison_error})


def _approval_routes(approvals: ApprovalRoutes, only: Guarding) -> list[Route]:
    """What somebody sees or decides there, his roles say."""
    place, post = "/api/v1/approvals/{id}", ["POST"]
    return [
        Route(PAGE + "{id}", approvals.page),
        Route("/api/v1/approvals", only.anybody_known("approvals/read", approvals.all)),
        Route(place, only.anybody_known("approvals/read", approvals.one)),
        Route(place + "/approve", only.anybody_known("approval.approve", approvals.approve), methods=post),
        Route(place + "/deny", only.anybody_known("approval.deny", approvals.deny), methods=post),
    ]


def _sign_in_routes(sign_in: SignInRoutes, only: Guarding) -> list[Route]:
    return [
        Route(BEGIN, sign_in.begin, methods=["GET", "POST"]),
        Route(CALLBACK, sign_in.callback),
        Route(DOCUMENT, sign_in.document),
        Route("/api/v1/auth", only.administrators("auth/read", sign_in.list_standing)),
        Route("/api/v1/auth/{name}", only.administrators("auth.sign_in", sign_in.prepare), methods=["POST"]),
        Route("/api/v1/auth/{name}", only.administrators("auth.sign_out", sign_in.forget), methods=["DELETE"]),
    ]


class _Admin:
    def __init__(self, node: NodeControl) -> None:
        self._node = node

    async def health(self, request: Request) -> Response:
        """The processes live and their event loops turn."""
        missing = self._node.health()
        return PlainTextResponse("\n".join([*missing, ""]) if missing else "ok\n", 503 if missing else 200)

    async def readiness(self, request: Request) -> Response:
        """Whether calls should be sent here."""
        missing = self._node.ready()
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    async def protected_resource(self, request: Request) -> Response:
        """RFC 9728: where to get tokens for an endpoint. Open to all, and the same for every name: it says of none
        whether it is there."""
        path = request.path_params.get("path", "")
        if path:
            endpoint_of(path)
        found = self._node.fleet.authenticator.resources.metadata(path)
        if found is None:
            raise NotFound("oauth.none", "tokens are not taken here", "use an API key")
        return JSONResponse(found, headers={"cache-control": "max-age=60"})

    async def whoami(self, request: Request) -> Response:
        return JSONResponse(whoami(self._node.fleet, request.state.principal, presented_key(request.headers)))

    async def metrics(self, request: Request) -> Response:
        return Response(await self._node.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def status(self, request: Request) -> Response:
        return JSONResponse(self._node.status())

    async def limits(self, request: Request) -> Response:
        return await limits.show(self._node.fleet, request, self._node.limits_of_others)

    async def limits_report(self, request: Request) -> Response:
        return await limits.used(self._node.fleet, request)

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


def row_not_found(name: str) -> NotFound:
    return NotFound("server.unknown", f"there is no server {name[:64]!r}", "`garrison server list` shows the servers")
