"""A call needs its principal to sign in at the server first: the client is told where, in the way of its era.

2025-11-25: error -32042 with a URL to open; 2026-07-28: `input_required` with one. Clients that open no URLs get an
error that says it in words. The URL is a page of ours, sealed for a server and a principal, and soon leads nowhere.
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

import msgspec

from garrison.gateway import routing
from garrison.gateway.call import Call, Outcome
from garrison.gateway.seals import Seal
from garrison.identity.oauth.held import SignInNeeded
from garrison.identity.oauth.sign_in import BEGIN, LIFE_S
from garrison.identity.resources import Resources
from garrison.kernel.clock import Clock
from garrison.protocol import codes, methods
from garrison.protocol.messages import RpcError, decode_any, encode, members, raw

KEY = "garrison.sign_in"
"""Names our question among those of a modern server."""
ASKING = frozenset({methods.TOOLS_CALL, methods.PROMPTS_GET, methods.RESOURCES_READ})
"""Requests that a modern answer may ask something back for."""


class Invitation(NamedTuple):
    """Whose sign-in is meant, and until when (Unix seconds)."""

    server: str
    principal: str
    name: str
    ends_s: float
    nonce: str
    scopes: tuple[str, ...] = ()
    """What the server wants beside the usual."""


class Invitations:
    """`resources` knows the URL that clients reach us by."""

    def __init__(self, key: bytes, clock: Clock, resources: Resources) -> None:
        self._seal = Seal(key, "sign-in")
        self._clock = clock
        self._resources = resources

    def answer(self, call: Call, needed: SignInNeeded) -> Outcome:
        """The outcome of a call that has to wait for a sign-in."""
        base, principal = self._resources.base, call.principal
        if principal is None or principal.id != needed.principal or not base:
            return Outcome(failure=needed)
        wanted = routing.askable(call).get("elicitation")
        if not isinstance(wanted, dict) or "url" not in wanted:
            return Outcome(failure=needed)
        ticket = self.ticket(needed.server, principal.id, principal.name, needed.scopes)
        asked = {
            "mode": "url",
            "elicitationId": secrets.token_urlsafe(16),
            "url": f"{base}{BEGIN}?ticket={ticket}",
            "message": f"Sign in, so that Garrison can use the server {needed.server} for you.",
        }
        if call.era == "legacy":
            error = RpcError(codes.URL_ELICITATION_REQUIRED, needed.message, raw({"elicitations": [asked]}))
            return Outcome(error=error)
        if call.method not in ASKING:
            return Outcome(failure=needed)
        questions = {KEY: {"method": "elicitation/create", "params": asked}}
        return Outcome(result=encode({"resultType": "input_required", "inputRequests": questions}))

    def ticket(self, server: str, principal: str, name: str, scopes: tuple[str, ...] = ()) -> str:
        ends_s = self._clock.wall_ns() / 1e9 + LIFE_S
        return self._seal.seal(encode(Invitation(server, principal, name, ends_s, secrets.token_urlsafe(12), scopes)))

    def open(self, ticket: str) -> Invitation | None:
        """None when it is not ours, or is over."""
        content = self._seal.open(ticket)
        if content is None:
            return None
        found = Invitation(*msgspec.json.decode(content))
        return found if found.ends_s > self._clock.wall_ns() / 1e9 else None


def without_ours(call: Call) -> None:
    """The answer to our own question is not the server's business."""
    given = call.params.get("inputResponses")
    if given is None:
        return
    try:
        answers: dict[str, Any] = dict(members(given))
    except (msgspec.MsgspecError, RecursionError):
        return
    if KEY in answers:
        del answers[KEY]
        kept = {key: value for key, value in call.params.items() if key != "inputResponses"}
        call.params = {**kept, "inputResponses": raw(answers)} if answers else kept


def declined(call: Call) -> bool:
    """Whether the client has answered our question with anything but yes."""
    try:
        said = decode_any(members(call.params["inputResponses"])[KEY])
    except (KeyError, msgspec.MsgspecError, RecursionError):
        return False
    return not isinstance(said, dict) or said.get("action") != "accept"
