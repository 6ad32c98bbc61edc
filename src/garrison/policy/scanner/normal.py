# ruff: noqa: E501 (tables and patterns read better on one line)
"""A text as a model reads it: without what only hides words from a machine, and with the way back to what was written.

Compatibility forms, accents, zero-width characters, HTML entities, homoglyphs inside of words, case and runs of
white space are evened out. Each character of the result knows where it came from.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from garrison.policy.scanner.findings import is_invisible

_PLAIN: Final = re.compile(r"[!-$'-\[\]-~]+(?: [!-$'-\[\]-~]+)*")
_PIECE: Final = re.compile(
    r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,10});|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|(?:%[2-7][0-9a-fA-F]){4,}|.",
    re.DOTALL,
)
_WORD: Final = re.compile(r"[^\W\d_]+")
_LATIN_OF: Final = {
    "а": "a", "е": "e", "о": "o", "р": "p", "с": "c", "у": "y", "х": "x", "і": "i", "ѕ": "s", "ј": "j", "һ": "h", "ԁ": "d",
    "ԛ": "q", "ԝ": "w", "ʏ": "y", "в": "b", "к": "k", "м": "m", "н": "h", "т": "t", "ь": "b", "ү": "y", "ӏ": "l",
    "α": "a", "β": "b", "γ": "y", "ε": "e", "η": "n", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p", "τ": "t", "υ": "u",
    "χ": "x", "ω": "w", "ζ": "z", "օ": "o", "ս": "u", "հ": "h", "ո": "n", "ք": "p", "ց": "g", "զ": "q",
    "ɑ": "a", "ɡ": "g", "ɩ": "i", "ı": "i", "ſ": "s", "ʋ": "v", "ɪ": "i", "ᴀ": "a", "ᴄ": "c", "ᴅ": "d", "ᴇ": "e", "ᴊ": "j",
    "ᴋ": "k", "ᴍ": "m", "ɴ": "n", "ᴏ": "o", "ᴘ": "p", "ʀ": "r", "ꜱ": "s", "ᴛ": "t", "ᴜ": "u", "ᴠ": "v", "ᴡ": "w", "ᴢ": "z",
    "ʟ": "l", "ʜ": "h", "ø": "o", "ł": "l", "đ": "d",
}  # fmt: skip
"""Letters that look like a Latin one."""
_LEET_I: Final = str.maketrans("01345789@$!|", "oieastbgasii")
_LEET_L: Final = str.maketrans("01345789@$!|", "oleastbgasll")
_LEET_WORD: Final = re.compile(
    r"(?<![a-z0-9@$!|])(?=[0-9@$!|]{0,24}[a-z])(?=[a-z]{0,24}[013457@$!|])[a-z0-9@$!|]{2,48}"
)


class Normal(NamedTuple):
    """`at[i]` is where character `i` stands in the original; None where both are the same."""

    text: str
    at: list[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the original that a stretch of this text came from."""
        if self.at is None:
            return start, end
        return self.at[start], self.at[end - 1] + 1 if end > start else self.at[start]


def normal(text: str) -> Normal:
    if _PLAIN.fullmatch(text):
        return Normal(text.lower(), None)
    chars: list[str] = []
    at: list[int] = []
    for char, place in _folded(text):
        if char == " " and (not chars or chars[-1] == " "):
            continue
        chars.append(char)
        at.append(place)
    flat = "".join(chars)
    return Normal(flat if flat.isascii() else _without_homoglyphs(flat), at)


def _folded(text: str) -> Iterator[tuple[str, int]]:
    for piece in _PIECE.finditer(text):
        place = piece.start()
        for char in _decoded(piece[0]):
            for part in unicodedata.normalize("NFKD", char) if char > "\x7f" else char:
                if part.isspace():
                    yield " ", place
                elif not (unicodedata.combining(part) or unicodedata.category(part) == "Mn" or is_invisible(part)):
                    yield from ((low, place) for low in part.lower()[:1])


def _decoded(piece: str) -> str:
    if len(piece) == 1:
        return piece
    if piece[0] == "&":
        return html.unescape(piece)[:2]
    if piece[0] == "%":
        return bytes.fromhex(piece.replace("%", "")).decode("ascii", "replace")
    return chr(int(piece[-4:].lstrip("\\x"), 16))


def _without_homoglyphs(text: str) -> str:
    """Letters of other scripts that look Latin, in words that are otherwise Latin or in texts that mostly are."""
    latin = sum(char.isascii() and char.isalpha() for char in text)
    other = sum(not char.isascii() and char.isalpha() for char in text)
    mostly_latin = latin > 2 * other

    def fold(word: re.Match[str]) -> str:
        found = word[0]
        if found.isascii():
            return found
        strange = [char for char in found if not char.isascii()]
        if not all(char in _LATIN_OF for char in strange):
            return found
        return found.translate(_TABLE) if mostly_latin or len(strange) < len(found) else found

    return _WORD.sub(fold, text)


_TABLE: Final = str.maketrans(_LATIN_OF)


def folded_word(word: str) -> str:
    """A name with everything evened out that looks alike: for comparing, not for reading."""
    flat = "".join(char for char, _ in _folded(word)).translate(_TABLE)
    return re.sub(r"[\W_]+", "", flat.translate(_LEET_L).replace("i", "l"))


def leet_views(text: str) -> list[str]:
    """The text with digits and signs read as the letters that they stand for; nothing where there are none."""
    if not _LEET_WORD.search(text):
        return []
    views = (_LEET_WORD.sub(partial(_spelled, table=table), text) for table in (_LEET_I, _LEET_L))
    return [view for view in dict.fromkeys(views) if view != text]


def _spelled(word: re.Match[str], table: dict[int, int]) -> str:
    return word[0].translate(table)


def mixes_scripts(name: str) -> bool:
    """Whether a word of the name has letters that only look like its Latin ones."""
    for word in _WORD.findall(unicodedata.normalize("NFKC", name).lower()):
        strange = [char for char in word if char in _LATIN_OF and not char.isascii()]
        if strange and any(char.isascii() for char in word):
            return True
    return False
