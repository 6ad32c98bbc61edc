"""Callers' own tokens, kept for as long as they are needed to exchange them. In memory alone, and sent to no server."""

from __future__ import annotations

from collections import OrderedDict

CALLERS_MAX = 10_000


class CallerTokens:
    """The last verified token of each principal."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[str, str] = OrderedDict()

    def note(self, principal: str, token: str) -> None:
        """`token` was verified, and speaks of this principal."""
        self._tokens[principal] = token
        self._tokens.move_to_end(principal)
        if len(self._tokens) > CALLERS_MAX:
            self._tokens.popitem(last=False)

    def get(self, principal: str) -> str:
        """Empty where there is none."""
        return self._tokens.get(principal, "")
