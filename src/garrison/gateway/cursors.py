"""Cursors of the lists that we page ourselves: sealed, for one principal, one endpoint and one list.

A cursor is a position. When the list changes between two pages, the next one begins at that position of the list as
it is now; whoever listens has heard that it changed. Beyond the end there is an empty page, and no error.
"""

from __future__ import annotations

import msgspec

from garrison.gateway.seals import Seal
from garrison.kernel.errors import Invalid
from garrison.protocol.messages import Params, decode_any, raw

_MEMBER = b'"nextCursor":"'


class Cursors:
    """Stand between the pages, which all share that see the same, and clients. `key`: at least 32 secret bytes."""

    def __init__(self, key: bytes) -> None:
        self._seal = Seal(key, "cursors")

    def opened(self, params: Params, *whose: str) -> Params:
        """The parameters with the page's own cursor. Raises `Invalid` for one that is not ours, or not theirs."""
        if "cursor" not in params:
            return params
        try:
            token = decode_any(params["cursor"])
        except (msgspec.MsgspecError, RecursionError):
            token = None
        inner = self._seal.open(token, *whose) if isinstance(token, str) else None
        if inner is None:
            raise Invalid("cursor.invalid", "the cursor is not one of this list's", "start again without a cursor")
        return {**params, "cursor": raw(inner.decode())}

    def sealed(self, page: bytes, *whose: str) -> bytes:
        """A page, its cursor being the last member, with a cursor for these only."""
        if not page.endswith(b'"}'):
            return page
        start = page.rindex(_MEMBER) + len(_MEMBER)
        return page[:start] + self._seal.seal(page[start:-2], *whose).encode() + b'"}'
