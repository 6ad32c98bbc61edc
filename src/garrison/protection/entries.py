"""Ledger entries: what is recorded of a call, a refusal or a change, and the bytes that stand for it.

An entry's body is a JSON array in the order of the fields below, beginning with the format's version (1). The bytes
are made once, hashed, stored and never made again: what is verified is exactly what was written, so that no question
of canonical form arises. Sizes are bounded; what is too long is cut and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol

import msgspec

BODY_BYTES_MAX = 4096
EntryKind = Literal["call.intent", "call.outcome", "refusal", "change"]
GAP = "ledger.gap"
"""Action of the change that a writer records when it finds the end missing: from then on the chain itself tells."""
_INT_MAX = 2**63 - 1


class Entry(msgspec.Struct, array_like=True, frozen=True, tag=1, gc=False):
    """One record. Every text is printable data, none is a secret.

    time_ns: wall clock, nanoseconds since 1970-01-01 UTC. call: ties intent and outcome together.
    principal: who asked. action: method (`tools/call`) or name of the change (`keys.create`).
    server, target: the server and the tool, prompt or URI that were meant.
    outcome: `ok`, an error kind or an error code; empty for an intent. duration_us: microseconds.
    """

    time_ns: int
    kind: EntryKind
    call: str = ""
    principal: str = ""
    action: str = ""
    server: str = ""
    target: str = ""
    outcome: str = ""
    duration_us: int = 0
    detail: Mapping[str, object] | None = None


class Recorded(msgspec.Struct, frozen=True):
    """An entry as it stands in the ledger. hash: its leaf hash in the tree, in hexadecimal."""

    seq: int
    entry: Entry
    hash: str


class Masking(Protocol):
    """What an entry needs from the redactor. `version` grows when there is something new to mask."""

    @property
    def version(self) -> int: ...

    def suspects(self, text: str, names_too: bool = False) -> bool: ...

    def text(self, text: str) -> str: ...

    def value(self, value: object) -> object: ...


_encode = msgspec.json.Encoder(enc_hook=str).encode
_decode = msgspec.json.Decoder(Entry).decode
_decode_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode
LINES_MAX = 4096


def encode(entry: Entry, masking: Masking) -> bytes:
    """The body: at most `BODY_BYTES_MAX` bytes on one line. Any entry can be encoded."""
    try:
        body = _encode(entry)
        suspect = masking.suspects(entry.action + entry.server + entry.target)  # what callers can put their own text in
    except (TypeError, ValueError, OverflowError, RecursionError):  # a lone surrogate, a huge integer, a cycle
        return _carefully(entry, masking)
    if suspect or len(body) > BODY_BYTES_MAX or (entry.detail and masking.suspects(body.decode(), names_too=True)):
        return _carefully(entry, masking)
    return body


class Fixed(NamedTuple):
    """The parts of an entry's body that calls alike have in common, as JSON: the texts, and the detail."""

    texts: str
    detail: str

    def line(self, time_ns: int, kind: EntryKind, call: str, outcome: str, duration_us: int) -> bytes:
        """The body; `call` and `outcome` are words of ours, with nothing in them to be escaped."""
        return f'[1,{time_ns},"{kind}","{call}",{self.texts},"{outcome}",{duration_us},{self.detail}]'.encode()


class Lines:
    """Bodies of entries of which most is the same again and again: that is encoded, and looked at for secrets, once.

    Gives the very bytes that `encode` would. Bounded; when full, or when there are new secrets, it starts afresh.
    """

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._known: dict[tuple[object, ...], Fixed] = {}
        self._version = masking.version

    def of(self, entry_of: Callable[[], Entry], key: tuple[object, ...]) -> Fixed:
        """`key` holds every text that `entry_of` makes its entry of, besides those that `Fixed.line` takes."""
        if self._version != self._masking.version:
            self._known.clear()
            self._version = self._masking.version
        known = self._known.get(key)
        if known is None:
            known = self._remember(key, entry_of())
        return known

    def _remember(self, key: tuple[object, ...], entry: Entry) -> Fixed:
        parts = [bytes(part).decode() for part in _decode_parts(encode(entry, self._masking))]
        if len(self._known) >= LINES_MAX:
            self._known.clear()
        found = self._known[key] = Fixed(",".join(parts[4:8]), parts[10])
        return found


def decode(body: bytes) -> Entry:
    """The entry of a body; one that cannot be read is shown as such, so that one bad entry hides no other."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Entry(0, "change", action="ledger.unreadable", detail={"body": body[:256].decode("utf-8", "replace")})


def _carefully(entry: Entry, masking: Masking) -> bytes:
    detail = _plain(masking.value(entry.detail)) if entry.detail else ""
    for limit in (256, 64, 16):
        body = _encode(_cut_entry(entry, detail, limit, masking))
        if len(body) <= BODY_BYTES_MAX:
            break
    return body


def _cut_entry(entry: Entry, detail: str, limit: int, masking: Masking) -> Entry:
    def text(value: str) -> str:
        return _cut(masking.text(_plain(value)), limit)

    return Entry(
        time_ns=_bounded(entry.time_ns),
        kind=entry.kind,
        call=text(entry.call),
        principal=text(entry.principal),
        action=text(entry.action),
        server=text(entry.server),
        target=text(entry.target),
        outcome=text(entry.outcome),
        duration_us=_bounded(entry.duration_us),
        detail=_cut_detail(detail, 4 * limit),
    )


def _cut_detail(detail: str, limit: int) -> Mapping[str, object] | None:
    """The detail itself while it is short, else the beginning of its JSON."""
    if len(detail) > limit:
        return {"cut": _cut(detail, limit)}
    return msgspec.json.decode(detail, type=dict[str, object]) if detail else None


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…[cut {len(text) - limit}]"


def _plain(value: object) -> str:
    """A text without lone surrogates; anything else as JSON."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    try:
        return _encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _encode({"unreadable": _plain(repr(value))}).decode()


def _bounded(number: int) -> int:
    return max(-_INT_MAX, min(number, _INT_MAX))
