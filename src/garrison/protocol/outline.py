"""Following a JSON object piece by piece, to know where it ends and what stands at its top, without keeping it.

What is nested is only counted: brackets and strings must balance, the rest is not judged. What is kept is the outline:
the object with its nested values emptied and its long strings left out.
"""

from __future__ import annotations

import codecs
import re
from array import array
from itertools import accumulate

from garrison.kernel.errors import Invalid

OUTLINE_BYTES_MAX = 16 * 1024
"""Of a tool's result hardly a hundred are used; what has more members than fit is no result."""
STRING_BYTES_MAX = 128
"""Longer strings are left out of the outline."""
BLOCK_BYTES = 16 * 1024
"""What is looked at byte by byte at once."""

_TOKEN = re.compile(rb'["{}\[\]]')
_OPENS = frozenset(b"{[")
_SIGNS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"{[}]"))
_utf8 = codecs.getincrementaldecoder("utf-8")


class Outline:
    """`text` is the outline so far. Raises `Invalid` where the bytes are no UTF-8 or the outline grows too large."""

    def __init__(self) -> None:
        self.text = bytearray()
        self.complete = False
        self._depth = 0
        self._in_string = False
        self._escaped = False
        """The last byte was a backslash that escapes the next one."""
        self._string = bytearray()
        """The beginning of the string that we are in, if it stands at the top."""
        self._decoder = _utf8()
        self._partial = False

    def feed(self, piece: bytes) -> int:
        """How many bytes of the piece belong to the object; all, unless it ends there."""
        self._check_text(piece)
        if self._is_inside_string(piece):
            return len(piece)
        for start in range(0, len(piece), BLOCK_BYTES):
            block = piece[start : start + BLOCK_BYTES]
            passed = self._is_inside_string(block) or self._pass_over(block)
            end = None if passed else self._look_at(block)
            if len(self.text) > OUTLINE_BYTES_MAX:
                raise Invalid("server.bad_response", "the server's result has too many members")
            if end is not None:
                self.complete = True
                return start + end
        return len(piece)

    def _check_text(self, piece: bytes) -> None:
        if piece.isascii() and not self._partial:
            return
        try:
            self._decoder.decode(piece)
        except UnicodeDecodeError:
            raise Invalid("server.bad_response", "the server's answer is not UTF-8") from None
        self._partial = bool(self._decoder.getstate()[0])

    def _is_inside_string(self, piece: bytes) -> bool:
        """By far the most frequent kind of large content: a long text or an image, without a quotation mark."""
        if not self._in_string or b'"' in piece:
            return False
        self._escaped = _ends_escaping(piece, escaped=self._escaped)
        if self._depth == 1 and len(self._string) <= STRING_BYTES_MAX:
            self._string += piece[: STRING_BYTES_MAX + 1]
        return True

    def _pass_over(self, block: bytes) -> bool:
        """Only count, where the block does not reach the top; False, with nothing done, where it does."""
        if self._depth < 2:
            return False
        rest = block[1:] if self._escaped else block
        if b"\\" in rest:
            rest = rest.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = rest.split(b'"')
        outside = b"".join(parts[1 if self._in_string else 0 :: 2])
        steps = array("b", outside.translate(_SIGNS, _NO_BRACKETS))
        if steps and self._depth + min(accumulate(steps)) < 2:
            return False
        self._depth += sum(steps)
        self._in_string ^= len(parts) % 2 == 0
        self._escaped = _ends_escaping(block, escaped=self._escaped)
        return True

    def _look_at(self, block: bytes) -> int | None:
        """Token by token; where the object ends in this block, or None."""
        at = 0
        while at < len(block):
            if self._in_string:
                at = self._finish_string(block, at)
                continue
            token = _TOKEN.search(block, at)
            if self._depth == 1:
                self.text += block[at : token.start() if token else len(block)]
            if token is None:
                return None
            at = token.end()
            if self._take(block[token.start()]):
                return at
        return None

    def _take(self, token: int) -> bool:
        """A quotation mark or bracket outside of strings; True where it ends the object."""
        if token == ord('"'):
            self._in_string = True
            self._string.clear()
            return False
        if token not in _OPENS:
            self._depth -= 1
        if self._depth <= 1:
            self.text.append(token)
        if token in _OPENS:
            self._depth += 1
        return self._depth == 0

    def _finish_string(self, block: bytes, at: int) -> int:
        """Behind the string's end, or behind the block."""
        end = _string_end(block, at, escaped=self._escaped)
        content = block[at : end if end >= 0 else len(block)]
        if self._depth == 1 and len(self._string) <= STRING_BYTES_MAX:
            self._string += content[: STRING_BYTES_MAX + 1]
        if end < 0:
            self._escaped = _ends_escaping(content, escaped=self._escaped)
            return len(block)
        self._in_string = self._escaped = False
        if self._depth == 1:
            kept = self._string if len(self._string) <= STRING_BYTES_MAX else b""
            self.text += b'"%b"' % bytes(kept)
        return end + 1


def _string_end(block: bytes, at: int, *, escaped: bool) -> int:
    """Where the string's closing quotation mark stands; -1 where it does not."""
    start = at + 1 if escaped else at
    end = block.find(b'"', start)
    while end >= 0 and _ends_escaping(block[max(start, end - STRING_BYTES_MAX) : end], escaped=False):
        if end - start > STRING_BYTES_MAX and not block[end - STRING_BYTES_MAX : end].strip(b"\\"):
            return _slow_string_end(block, start)
        end = block.find(b'"', end + 1)
    return end


def _slow_string_end(block: bytes, start: int) -> int:
    """For rows of backslashes that only somebody who means harm writes."""
    found = re.compile(rb'(?:[^"\\]|\\.)*"', re.DOTALL).match(block, start)
    return found.end() - 1 if found else -1


def _ends_escaping(piece: bytes, *, escaped: bool) -> bool:
    """Whether the piece's last byte escapes what follows."""
    row = len(piece) - len(piece.rstrip(b"\\"))
    return (row - (escaped and row == len(piece))) % 2 == 1
