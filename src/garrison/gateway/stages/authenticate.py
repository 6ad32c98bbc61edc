"""authenticate: who is asking? Without a valid key, token or certificate nothing else happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from garrison.gateway.call import Call, Outcome
from garrison.gateway.heads import reading_of
from garrison.gateway.inbound import session_unknown
from garrison.gateway.refusals import Busy
from garrison.gateway.stage import Stage, Step
from garrison.identity.authenticator import Authenticator
from garrison.identity.principals import Principal
from garrison.identity.resources import path_of
from garrison.identity.step_up import scopes_to_ask
from garrison.kernel.errors import Denied, GarrisonError, Unauthenticated, Unavailable

Allows = Callable[[Principal, Call], bool]
"""Whether somebody like this might make this call."""


class Authenticate(Stage):
    """What is presented becomes a principal; who is refused is told how to become one, and who lacks a scope, which."""

    name = "authenticate"
    gives = frozenset({"principal"})

    def __init__(self, authenticator: Authenticator, allows: Allows) -> None:
        self._authenticator = authenticator
        self._identify = authenticator.identify
        self._allows = allows

    def enter(self, call: Call) -> Step:
        presented = call.presented_key
        call.presented_key = ""  # nothing below needs it, so nothing below can leak it
        if not presented and call.request.certificate is not None:
            _meet(call, call.request.certificate)
            return None
        try:
            found = self._identify(presented, call.endpoint, call.request.client)
        except GarrisonError as error:
            raise self._told(call, error) from None
        if not isinstance(found, Principal):
            return self._later(call, found)
        _meet(call, found)
        return None

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        """A call that was denied for want of a scope says which one to ask for (RFC 6750, 3.1)."""
        failure, principal = outcome.failure, call.principal
        if isinstance(failure, Denied) and principal is not None and principal.kind == "token":
            resources = self._authenticator.resources
            scopes = scopes_to_ask(resources.issuers.values(), principal, lambda other: self._allows(other, call))
            if scopes:
                failure.challenge = resources.challenge(_resource(call), "insufficient_scope", scopes)
        return outcome

    def still_knows(self, call: Call) -> bool:
        """Whether what was presented then would still do: keys are revoked, tokens expire, streams stay open."""
        presented, principal = reading_of(call.request.head).key, call.principal
        if not presented or principal is None:
            return True
        try:
            known = self._authenticator.known(presented, call.endpoint)
        except GarrisonError:  # the keys cannot be read: no reason to end what goes on
            return True
        return known is not None and known[0].id == principal.id

    async def _later(self, call: Call, found: Awaitable[Principal]) -> None:
        """An issuer's keys have to be read first."""
        try:
            principal = await found
        except GarrisonError as error:
            raise self._told(call, error) from None
        _meet(call, principal)

    def _told(self, call: Call, error: GarrisonError) -> GarrisonError:
        if isinstance(error, Unauthenticated):
            # Without a credential there is no error to name (RFC 6750, 3.1).
            what = "" if error.code == "key.missing" else "invalid_token"
            error.challenge = self._authenticator.resources.challenge(_resource(call), what)
        if isinstance(error, Unavailable) and error.code.startswith("issuer."):
            return Busy(error.code, error.message, error.hint)
        return error


def _resource(call: Call) -> str:
    """The path of what the client asks for; for the older transport, whose path is no endpoint's, all of us."""
    return "" if reading_of(call.request.head).older else path_of(call.endpoint)


def _meet(call: Call, principal: Principal) -> None:
    call.principal = principal
    if call.session is not None and call.session.principal != principal.id:
        raise session_unknown()
