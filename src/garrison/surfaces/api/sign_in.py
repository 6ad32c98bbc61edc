"""Signing in at servers: three pages for browsers, and what administrators may do about it.

The pages need no key. What they let somebody do hangs on a ticket that only we make, and on the browser's cookie.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from garrison.gateway.invitations import Invitation
from garrison.identity.oauth.registration import client_document
from garrison.identity.oauth.sign_in import Pending
from garrison.identity.oauth.tokens import Token
from garrison.kernel.clock import SystemClock, rfc3339
from garrison.kernel.errors import GarrisonError, Invalid, Kind, NotFound
from garrison.protection.entries import Entry
from garrison.surfaces.api.pages import consent_page, done_page, failed_page
from garrison.surfaces.wiring.fleet import Fleet
from garrison.surfaces.wiring.records import record_change

COOKIE = "garrison_sign_in"
FORM_BYTES_MAX = 8192
_STATUS = {Kind.NOT_FOUND: 404, Kind.DENIED: 403, Kind.LIMITED: 429, Kind.INVALID: 400}
_TOKEN_PRINCIPAL = re.compile(r"[A-Za-z0-9._-]{1,253}:[A-Za-z0-9-]{0,40}:[0-9a-f]{24}")

Restart = Callable[[str, str], Awaitable[None]]
Withdraw = Callable[[str, str], Awaitable[None]]


class SignInRoutes:
    """`restart(server, who asks)` lets a server begin anew, for which the administrator has just signed in or out;
    `withdraw(server, principal)` has other workers show nothing for a principal any more.
    """

    def __init__(self, fleet: Callable[[], Fleet], restart: Restart, withdraw: Withdraw) -> None:
        self._fleet = fleet
        self._withdraw = withdraw
        self._restart = restart

    # ── for browsers ──

    async def begin(self, request: Request) -> Response:
        """GET shows what is agreed to; POST goes to the issuer."""
        if request.method == "HEAD":
            return Response(status_code=405, headers={"allow": "GET, POST"})  # whoever previews a link opens nothing
        try:
            if request.method == "POST":
                ticket = await _ticket_in(request)
                there = self._fleet().sign_ins.go(ticket, request.cookies.get(COOKIE, ""))
                return RedirectResponse(there, 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"})
            pending = await self._opened(request.query_params.get("ticket", ""), request.cookies.get(COOKIE, ""))
        except GarrisonError as error:
            return self._failed(request, error)
        return self._with_cookie(consent_page(pending), pending)

    async def callback(self, request: Request) -> Response:
        """The issuer sends the browser back. Names that stand twice are refused: readers differ about them."""
        try:
            answer = _once_each(request)
            pending = await self._fleet().sign_ins.finish(answer, request.cookies.get(COOKIE, ""))
        except GarrisonError as error:
            return self._failed(request, error)
        fleet, server = self._fleet(), pending.server
        record_change(fleet.ledger, pending.principal, "auth.signed_in", server, {"issuer": pending.issuer})
        if pending.principal == fleet.administrator:
            await self._restart(server, pending.principal)
        page = done_page(pending)
        page.delete_cookie(COOKIE, path="/oauth")
        return page

    async def document(self, request: Request) -> Response:
        """What we say of ourselves as a client; its URL is our client id where issuers take one."""
        base = self._fleet().authenticator.resources.base
        content = {"client_id": f"{base}/oauth/client.json", **client_document(base)}
        return JSONResponse(content, headers={"cache-control": "max-age=3600"})

    # ── for administrators ──

    async def list_standing(self, request: Request) -> Response:
        return JSONResponse({"sign_ins": await standing_rows(self._fleet())})

    async def prepare(self, request: Request) -> Response:
        fleet, server = self._fleet(), request.path_params["name"]
        principal, name = self._principal(request.query_params.get("principal", ""))
        spec = fleet.dialer.spec_of(server)
        pending = await fleet.sign_ins.prepare(spec, principal, name, self._base())
        record_change(fleet.ledger, request.state.principal.id, "auth.sign_in_begun", server, {"for": principal})
        return JSONResponse({"url": pending.url, "server": server, "principal": principal, "name": name})

    async def forget(self, request: Request) -> Response:
        fleet, server = self._fleet(), request.path_params["name"]
        principal, _ = self._principal(request.query_params.get("principal", ""))
        found = await fleet.sign_ins.end(server, principal)
        await self._withdraw(server, principal)
        record_change(fleet.ledger, request.state.principal.id, "auth.signed_out", server, {"for": principal})
        if found and principal == fleet.administrator and server in fleet.directory.upstreams:
            await self._restart(server, request.state.principal.id)
        return JSONResponse({"server": server, "principal": principal, "was_signed_in": found})

    # ── inside ──

    async def _opened(self, ticket: str, browser: str) -> Pending:
        """By a ticket that the command line was given, or by an invitation that a client was."""
        fleet = self._fleet()
        try:
            return fleet.sign_ins.open(ticket, browser)
        except NotFound:
            invited = fleet.gateway.invitations.open(ticket) if fleet.gateway.invitations is not None else None
            if invited is None or fleet.sign_ins.is_spent(ticket):
                raise
        return await self._prepared(invited, ticket, browser)

    async def _prepared(self, invited: Invitation, ticket: str, browser: str) -> Pending:
        fleet = self._fleet()
        spec = fleet.dialer.spec_of(invited.server)
        principal, name, scopes = invited.principal, invited.name, invited.scopes
        await fleet.sign_ins.prepare(spec, principal, name, self._base(), ticket=ticket, scopes=scopes)
        return fleet.sign_ins.open(ticket, browser)

    def _principal(self, wanted: str) -> tuple[str, str]:
        """Id and name: of a key, by either; of a token's bearer, by the id; the administrator without any."""
        fleet = self._fleet()
        wanted = wanted or fleet.administrator
        for record in fleet.keys.list():
            if wanted in (record.principal, record.name):
                return record.principal, record.name
        if _TOKEN_PRINCIPAL.fullmatch(wanted):
            return wanted, wanted.split(":")[1] or wanted
        hint = "`garrison keys list` names those with keys; of a token's bearer, give the id that the ledger shows"
        raise NotFound("principal.unknown", f"there is no principal {wanted[:64]!r}", hint)

    def _base(self) -> str:
        return self._fleet().authenticator.resources.base

    def _with_cookie(self, page: HTMLResponse, pending: Pending) -> HTMLResponse:
        secure = pending.base.startswith("https://")
        page.set_cookie(COOKIE, pending.browser, 600, path="/oauth", secure=secure, httponly=True, samesite="lax")
        return page

    def _failed(self, request: Request, error: GarrisonError) -> Response:
        detail = {"from": request.client.host if request.client else "", "why": error.message}
        now_ns = SystemClock().wall_ns()
        self._fleet().ledger.append(Entry(now_ns, "refusal", action="auth.sign_in", outcome=error.code, detail=detail))
        return failed_page(error, _STATUS.get(error.kind, 502))


async def standing_rows(fleet: Fleet) -> list[dict[str, Any]]:
    """Servers that are shown something, and who has signed in there. Nothing of what is shown."""
    known = {record.principal: record.name for record in fleet.keys.list() if record.principal}
    rows: list[dict[str, Any]] = []
    for name, upstream in fleet.directory.upstreams.items():
        auth = upstream.spec.auth
        if auth is None:
            continue
        row = {"server": name, "kind": auth.kind, "principal": "", "name": "", "state": "", "ends": "", "scopes": ""}
        if auth.kind != "authorization_code":
            rows.append({**row, "state": "configured"})
            continue
        people = {**known, **{one: one for one in fleet.sign_ins.principals(name)}, **known}
        found = [(one, await fleet.sign_ins.standing(name, one)) for one in people]
        rows += [{**row, **_standing(one, people[one], token)} for one, token in found if token is not None]
        if all(one != fleet.administrator for one, token in found if token is not None):
            rows.append({**row, **_standing(fleet.administrator, known.get(fleet.administrator, ""), None)})
    return rows


def _standing(principal: str, name: str, token: Token | None) -> dict[str, Any]:
    if token is None:
        return {"principal": principal, "name": name, "state": "auth-needed"}
    ends = rfc3339(int(token.ends_s * 1e9))
    is_over = not token.refresh and not token.is_good(SystemClock().wall_ns() / 1e9)
    state = "ended" if is_over else "signed in"
    return {"principal": principal, "name": name, "state": state, "ends": ends, "scopes": " ".join(token.scopes)}


async def _ticket_in(request: Request) -> str:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Invalid("auth.bad_form", "this is not the form of our own page", "begin a new sign-in")
    body = await request.body()
    if len(body) > FORM_BYTES_MAX:
        raise Invalid("auth.bad_form", "the form is too large", "begin a new sign-in")
    return dict(parse_qsl(body.decode("ascii", "replace"))).get("ticket", "")


def _once_each(request: Request) -> dict[str, str]:
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) != len(pairs):
        raise Invalid("auth.bad_answer", "the issuer's answer names something twice", "begin a new sign-in")
    return dict(pairs)
