"""Who may use a route of the admin API: administrators, or whoever is known. Refusals are on the record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from garrison.gateway.heads import presented_key
from garrison.identity.principals import Principal
from garrison.identity.reach import is_bounded
from garrison.identity.roles import ADMIN_ROLE
from garrison.kernel.clock import SystemClock
from garrison.kernel.errors import Denied, GarrisonError, Unauthenticated
from garrison.protection import reasons
from garrison.protection.entries import Entry
from garrison.surfaces.wiring.fleet import Fleet

Endpoint = Callable[[Request], Awaitable[Response]]
RESOURCE = ""
"""Tokens for `/mcp` are good here too; the role decides."""


class Guarding:
    """Wraps endpoints; `request.state.principal` is who asks."""

    def __init__(self, fleet: Callable[[], Fleet]) -> None:
        self._fleet = fleet

    def administrators(self, action: str, endpoint: Endpoint) -> Endpoint:
        """Only for principals with the role `admin`, and for no key with bounds of its own."""
        return self._only(action, endpoint, self._check_administrator)

    def anybody_known(self, action: str, endpoint: Endpoint) -> Endpoint:
        """For every principal; what is answered may concern nobody else."""
        return self._only(action, endpoint, lambda principal: None)

    def _only(self, action: str, endpoint: Endpoint, check: Callable[[Principal], None]) -> Endpoint:
        async def run(request: Request) -> Response:
            try:
                principal = await self._identified(request)
                check(principal)
            except GarrisonError as error:
                self._record_refusal(request, action, error)
                raise
            request.state.principal = principal
            reasons.give(reasons.from_header(request.headers.get(reasons.HEADER, "")))
            return await endpoint(request)

        return run

    async def _identified(self, request: Request) -> Principal:
        """By a key or token; without one, whom the client certificate of the connection names."""
        authenticator, presented = self._fleet().authenticator, presented_key(request.headers)
        certificate: Principal | None = getattr(request.state, "certificate", None)
        if not presented and certificate is not None:
            return certificate
        address = request.client.host if request.client else ""
        try:
            found = authenticator.identify(presented, RESOURCE, address)
            return found if isinstance(found, Principal) else await found
        except Unauthenticated as error:
            what = "" if error.code == "key.missing" else "invalid_token"
            error.challenge = authenticator.resources.challenge("/mcp", what)
            raise

    def _record_refusal(self, request: Request, action: str, error: GarrisonError) -> None:
        detail = {"from": request.client.host if request.client else "", "why": error.message}
        entry = Entry(SystemClock().wall_ns(), "refusal", action=action, outcome=error.code, detail=detail)
        self._fleet().ledger.append(entry)

    def _check_administrator(self, principal: Principal) -> None:
        if ADMIN_ROLE not in self._fleet().authoriser.standing(principal).roles:
            raise Denied("grant.missing", f"{principal.name!r} has no role `admin`", "use the admin key")
        if is_bounded(principal):
            raise Denied("grant.bounded", f"key {principal.name!r} is bounded by scopes", "use a key without --scope")
