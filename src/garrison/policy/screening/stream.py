"""Screening of results that are passed on in pieces: a window is held back until nothing in it can go on in the next.

What is found is replaced by no more characters than it had, because the answer's length may have been promised. A
secret that is longer than the window (`WINDOW_CHARS`), which only private keys can be, is masked from its beginning on.
"""

from __future__ import annotations

import re
from typing import Final

from garrison.policy.screening.finding import Screened
from garrison.policy.screening.prefilter import Hit
from garrison.policy.screening.screener import FINDINGS_MAX, Screener

WINDOW_CHARS: Final = 16 * 1024
_OPEN_KEY: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
_ESCAPED: Final = re.compile(rb"\\(?:\\|/|u00[2-7][0-9a-fA-F]|.)", re.DOTALL)
_ESCAPES: Final = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD]...|u....|.)", re.DOTALL)
_QUOTE: Final = re.compile(rb'\\.|(")', re.DOTALL)
_KEEP: Final = frozenset(b'"\\')


class StreamScreen:
    """`feed` takes pieces of one JSON text and gives what may go on; `end` gives the rest."""

    def __init__(self, screener: Screener) -> None:
        self._screener = screener
        self._held = b""
        self._inside = False
        self._offset = 0
        self.findings: list[Screened] = []

    def feed(self, piece: bytes) -> bytes:
        window = self._held + piece
        if len(window) <= 2 * WINDOW_CHARS:
            self._held = window
            return b""
        return self._go_on(window, _cut_at(window, len(window) - WINDOW_CHARS))

    def end(self) -> bytes:
        """The rest; nothing follows it."""
        return self._go_on(self._held, len(self._held))

    def _go_on(self, window: bytes, cut: int) -> bytes:
        """Screen the whole window, let go what stands before the cut. What is found across the cut moves it."""
        is_end, plain = cut == len(window), _readable(window)
        hits = self._screener.hits(plain)
        if hits:
            window = self._masked(plain, hits, is_end=is_end)
            cut = len(window) if is_end else _cut_at(window, max(0, len(window) - WINDOW_CHARS))
        out, self._held = window[:cut], window[cut:]
        self._inside ^= _quotes(out) % 2 == 1
        self._offset += len(out)
        return out

    def _masked(self, plain: bytes, hits: list[Hit], *, is_end: bool) -> bytes:
        verdict = self._screener.mask(plain, hits, inside=self._inside, offset=self._offset, is_end=is_end)
        room = FINDINGS_MAX - len(self.findings)
        known = {finding.code for finding in self.findings}
        self.findings += [one for one in verdict.findings if one.action != "warn" or one.code not in known][:room]
        return verdict.json


def _readable(window: bytes) -> bytes:
    """Without escapes of printable ASCII, so that what is looked for and what is sent are the same text."""
    if b"\\u00" not in window and b"\\/" not in window:
        return window
    return _ESCAPED.sub(_spelled, window)


def _spelled(escape: re.Match[bytes]) -> bytes:
    found = escape[0]
    if found == b"\\/":
        return b"/"
    if found[1:2] != b"u" or len(found) < 6:
        return found
    code = int(found[2:].decode("ascii"), base=16)
    return found if code in _KEEP or code == 0x7F else bytes((code,))


def _cut_at(window: bytes, wanted: int) -> int:
    """Not within an escape, a character or a surrogate pair, nor within a private key that may go on."""
    begun = _OPEN_KEY.search(window, max(0, wanted - WINDOW_CHARS), len(window))
    if begun is not None and begun.start() < wanted and b"PRIVATE KEY-----" not in window[begun.end() + 5 :]:
        wanted = begun.start() or wanted
    if b"\\" in window[max(0, wanted - 12) : wanted]:
        inside = (one.start() for one in _ESCAPES.finditer(window, 0, wanted + 12) if one.start() < wanted < one.end())
        wanted = next(inside, wanted)
    while 0 < wanted < len(window) and window[wanted] & 0xC0 == 0x80:
        wanted -= 1
    return wanted


def _quotes(piece: bytes) -> int:
    if b"\\" not in piece:
        return piece.count(b'"')
    return sum(1 for quote in _QUOTE.finditer(piece) if quote[1])
