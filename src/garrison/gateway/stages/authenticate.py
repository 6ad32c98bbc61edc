"""authenticate: who is asking? Without a valid key nothing else happens."""

from __future__ import annotations

from collections.abc import Callable

from garrison.gateway.call import Call
from garrison.gateway.inbound import session_unknown
from garrison.gateway.stage import Stage, Step
from garrison.identity.principals import Principal
from garrison.kernel.errors import Unauthenticated

_HINT = "send `Authorization: Bearer KEY`; `garrison keys create` makes a key"


class Authenticate(Stage):
    """`verify` turns a presented key into its principal, or None."""

    name = "authenticate"
    gives = frozenset({"principal"})

    def __init__(self, verify: Callable[[str], Principal | None]) -> None:
        self._verify = verify

    def enter(self, call: Call) -> Step:
        key = call.presented_key
        if not key:
            raise Unauthenticated("key.missing", "no API key was presented", _HINT)
        principal = self._verify(key)
        if principal is None:
            raise Unauthenticated("key.unknown", "the API key is not known, expired or revoked", _HINT)
        call.principal = principal
        call.presented_key = ""  # nothing below needs it, so nothing below can leak it
        if call.session is not None and call.session.principal != principal.id:
            raise session_unknown()
        return None
