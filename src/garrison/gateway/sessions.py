"""Sessions of legacy clients: sealed tokens that carry all a gateway needs to know, so that none is kept.

A token is AES-256-GCM over the session's content (NIST SP 800-38D, random 96-bit nonces). Whoever has the key can
serve it: another replica, or this gateway after a restart. It is bound to the principal that opened it, and to the
endpoint. What is noted here is which ones are in use, so that their number has a bound and their end is told.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from garrison.gateway.worker import NONCE_BYTES, Worker
from garrison.kernel.clock import Clock
from garrison.kernel.ids import Ids
from garrison.protocol import methods

SESSION_LIFE_S = 24 * 3600
OPENED_MAX = 10_000
PER_PRINCIPAL_MAX = 1_000
"""Sessions of one principal at once. Many clients never end theirs, so one more ends the one that rested longest."""
ENDED_MAX = 10_000
"""Ended sessions that are remembered of each principal."""
_TOKEN_CHARS_MAX = 2048
_CAPABILITY_BYTES_MAX = 512


class Session(msgspec.Struct, frozen=True, array_like=True):
    """What a legacy client agreed on in `initialize`. `expires_s`: seconds since the epoch."""

    id: str
    principal: str
    endpoint: str
    version: str
    client: str
    expires_s: int
    capabilities: dict[str, Any] = {}
    """What its client can be asked: of sampling, elicitation and roots, as it declared them."""


class Sessions:
    """Seals and opens session ids. Ended ones are remembered until they would have expired, within a bound."""

    def __init__(
        self,
        key: bytes,
        clock: Clock,
        ids: Ids,
        lived: Callable[[float], None] = lambda seconds: None,
        *,
        per_principal_max: int = PER_PRINCIPAL_MAX,
        worker: Worker = Worker(),  # noqa: B008  immutable
    ) -> None:
        """`key`: 32 random bytes. `lived` takes the seconds that an ended session lived."""
        self._lived = lived
        self._cipher = AESGCM(key)
        self._worker = worker
        self._clock = clock
        self._ids = ids
        self._per_principal_max = per_principal_max
        self._opened: OrderedDict[str, Session] = OrderedDict()
        self._live: dict[str, OrderedDict[str, Session]] = {}
        """By principal and id; the one used last is the last."""
        self._ended: dict[str, OrderedDict[str, None]] = {}
        self._on_ended: list[Callable[[Session], None]] = []

    def on_ended(self, listener: Callable[[Session], None]) -> None:
        """Call back with each session that ends: by its client, by time, or for too many others."""
        self._on_ended.append(listener)

    def count(self, principal: str) -> int:
        """Sessions of this principal that are in use here."""
        return len(self._live.get(principal, ()))

    def begin(
        self, principal: str, endpoint: str, version: str, client: str, capabilities: Mapping[str, Any] | None = None
    ) -> Session:
        """A new session; `seal` gives the id that the client knows it by."""
        able = {key: value for key, value in (capabilities or {}).items() if key in methods.NEGOTIATED}
        if len(msgspec.json.encode(able)) > _CAPABILITY_BYTES_MAX:
            able = {key: {} for key in able}
        expires_s = self._now_s() + SESSION_LIFE_S
        session = Session(self._ids.new(), principal, endpoint, version, client[:100], expires_s, able)
        self._note(session)
        return session

    def seal(self, session: Session) -> str:
        """The session's id, for the `Mcp-Session-Id` header."""
        nonce = self._worker.nonce()
        sealed = nonce + self._cipher.encrypt(nonce, msgspec.json.encode(session), b"session")
        return _text(sealed)

    def open(self, token: str) -> Session | None:
        """The session behind an id; None when it is not ours, was changed, has expired or was ended."""
        session = self._opened.get(token) or self._unseal(token)
        if session is None or session.expires_s <= self._now_s():
            return None
        try:
            self._live[session.principal].move_to_end(session.id)
        except KeyError:  # its first request here, or it has ended
            if session.id in self._ended.get(session.principal, ()):
                return None
            self._note(session)
        return session

    def has_ended(self, session: Session) -> bool:
        return session.id in self._ended.get(session.principal, ())

    def end(self, session: Session) -> None:
        """It is known no more, and whoever listens is told; harmless when it has ended."""
        ended = self._ended.setdefault(session.principal, OrderedDict())
        if session.id in ended:
            return
        ended[session.id] = None
        while len(ended) > ENDED_MAX:
            ended.popitem(last=False)
        self._live.get(session.principal, OrderedDict()).pop(session.id, None)
        self._lived(max(0.0, SESSION_LIFE_S - (session.expires_s - self._now_s())))
        for listener in self._on_ended:
            listener(session)

    def expire(self) -> None:
        """End those whose time is over."""
        for principal in tuple(self._live):
            self._expire(principal)

    def _note(self, session: Session) -> None:
        """It is in use; one more than may be ends the one that rested longest."""
        live = self._live.setdefault(session.principal, OrderedDict())
        live[session.id] = session
        if len(live) > self._per_principal_max:
            self._expire(session.principal)
        while len(live) > self._per_principal_max:
            self.end(next(iter(live.values())))

    def _expire(self, principal: str) -> None:
        now_s, live = self._now_s(), self._live[principal]
        for session in [session for session in live.values() if session.expires_s <= now_s]:
            self.end(session)
        if not live:
            del self._live[principal]

    def _unseal(self, token: str) -> Session | None:
        if len(token) > _TOKEN_CHARS_MAX:
            return None
        try:
            sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            if _text(sealed) != token:
                return None  # another spelling of the same bytes
            content = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], b"session")
            session = msgspec.json.decode(content, type=Session)
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            return None
        self._opened[token] = session
        while len(self._opened) > OPENED_MAX:
            self._opened.popitem(last=False)
        return session

    def _now_s(self) -> int:
        return self._clock.wall_ns() // 1_000_000_000


def _text(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()
