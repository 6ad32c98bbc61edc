"""Approvals over HTTP: who may approve sees what waits, and decides; a page tells its reader how it stands."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from garrison.identity.principals import Principal
from garrison.kernel.clock import rfc3339
from garrison.kernel.errors import Invalid, NotFound
from garrison.policy.decision import Circumstances
from garrison.protection.approval_table import Approval
from garrison.protection.approvals import Verdict
from garrison.surfaces.wiring.fleet import Fleet
from garrison.telemetry.redaction import redactor

BODY_BYTES_MAX: Final = 16 * 1024
_ID: Final = re.compile(r"[0-9A-Za-z]{1,32}")


class _Decision(msgspec.Struct, forbid_unknown_fields=True):
    reason: str = ""


class ApprovalRoutes:
    """Everybody known may ask; each sees his own calls, and those that he may approve."""

    def __init__(self, fleet: Callable[[], Fleet]) -> None:
        self._fleet = fleet

    async def all(self, request: Request) -> Response:
        """The newest first."""
        found = [one for one in self._fleet().approvals.list() if self._may_see(request, one)]
        return JSONResponse({"approvals": [_shown(one, self._may_approve(request, one)) for one in found]})

    async def one(self, request: Request) -> Response:
        """With its arguments, for who may approve it, and for who asks."""
        found = self._found(request)
        arguments = redactor.value(self._fleet().approvals.arguments(found.id))
        return JSONResponse({**_shown(found, self._may_approve(request, found)), "arguments": arguments})

    async def approve(self, request: Request) -> Response:
        return await self._decide(request, "approve")

    async def deny(self, request: Request) -> Response:
        return await self._decide(request, "deny")

    async def page(self, request: Request) -> Response:
        """For the browser of who asks: how it stands, and nothing of what it is about. Its address is its secret."""
        approval_id = request.path_params["id"]
        known = {one.id: one.state for one in self._fleet().approvals.list()}
        state = known.get(approval_id) if _ID.fullmatch(approval_id) else None
        if state is None:
            raise NotFound("approval.unknown", "there is no such approval", "it may be over")
        headers = {"cache-control": "no-store", "refresh": "3", "content-security-policy": "default-src 'none'"}
        return HTMLResponse(_PAGE.format(id=html.escape(approval_id), state=state), headers=headers)

    # ── inside ──

    async def _decide(self, request: Request, verdict: Verdict) -> Response:
        found = self._found(request)
        if not self._may_approve(request, found) and found.principal != _who(request).id:
            raise NotFound("approval.unknown", f"there is no approval {found.id}", "it may be over")
        body = await _body(request)
        decided = self._fleet().approvals.decide(found.id, verdict, _who(request), body.reason)
        return JSONResponse(_shown(decided, may_approve=True))

    def _found(self, request: Request) -> Approval:
        """What one may not see is not there."""
        found = self._fleet().approvals.get(request.path_params["id"])
        if not self._may_see(request, found):
            raise NotFound("approval.unknown", f"there is no approval {found.id}", "it may be over")
        return found

    def _may_see(self, request: Request, one: Approval) -> bool:
        return one.principal == _who(request).id or self._may_approve(request, one)

    def _may_approve(self, request: Request, one: Approval) -> bool:
        """Some rule lets the principal approve calls of this tool, with these arguments, from where it asks."""
        fleet, who = self._fleet(), _who(request)
        if one.principal == who.id:
            return False
        arguments = fleet.approvals.arguments(one.id) or {}
        came = Circumstances("", request.client.host if request.client else "")
        judge = fleet.authoriser.judge
        return judge(who, "tool", one.server, one.tool, arguments, came, action="approve").allowed


_PAGE: Final = """<!doctype html><meta charset="utf-8"><title>Approval {id}</title>
<h1>Approval {id}</h1><p>It is <b>{state}</b>.</p>
<p>Somebody else decides: <code>garrison approvals show {id}</code></p>
"""


def _who(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


async def _body(request: Request) -> _Decision:
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > BODY_BYTES_MAX:
            raise Invalid("approval.bad_body", "the body is too large", f"at most {BODY_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(content, type=_Decision) if content else _Decision()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Invalid("approval.bad_body", "the body is no decision", 'send {"reason": "…"}, or nothing') from None


def _shown(one: Approval, may_approve: bool) -> dict[str, Any]:
    return {
        "id": one.id,
        "state": one.state,
        "asked_by": one.principal,
        "name": one.name,
        "tool": one.shown,
        "server": one.server,
        "own_name": one.tool,
        "rule": one.rule,
        "digest": one.digest,
        "asked": rfc3339(one.asked_ns),
        "until": rfc3339(one.expires_ns),
        "decided_by": one.decided_by,
        "decided": rfc3339(one.decided_ns) if one.decided_ns else None,
        "reason": one.reason,
        "may_approve": may_approve,
    }
