"""JSON as people write it: comments, trailing commas, and an answer to every mistake.

Linear in the size of the text, never raises. What strict JSON allows is read as RFC 8259 says; comments and trailing
commas are taken silently (JSONC); everything else is reported and repaired as well as can be.
"""

from __future__ import annotations

import math
import re

from garrison.catalog.notes import Notes, Place
from garrison.catalog.parse.tree import (
    DEPTH_MAX,
    SYNTAX_PROBLEMS_MAX,
    Entry,
    Listing,
    Node,
    Parsed,
    Places,
    Scalar,
    Table,
    unique,
)

_SPACE = re.compile(r"[\s\ufeff]*")
_LINE_COMMENT = re.compile(r"//[^\n]*")
_CONFLICT = re.compile(r"(?:<{7}|={7}|>{7}|\|{7})[^\n]*")
_PLAIN_STRING = re.compile(r'"([^"\\\x00-\x1f]*)"')
_STRING_RUN = re.compile(r"[^\"'\\\n]+")
_WORD = re.compile(r"[^\s,:{}\[\]\"']+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?\Z", re.ASCII)
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_KEY_AHEAD = re.compile(r'"[^"\\\n]*"\s*:')
_BRACKET = re.compile(r"[{\[]")
_NESTING = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[{}\[\]]')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_MISSPELT: dict[str, bool | None] = {"True": True, "False": False, "None": None, "undefined": None, "nil": None}
_DIGITS_MAX = 300
_DOCUMENTS_MAX = 8


def parse_jsonc(text: str) -> Parsed:
    """Every document of the text, and its mistakes."""
    return _Reader(text).documents()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[str] = []
        self._ended = False
        self._places = Places(text)
        self._notes = Notes(limit=SYNTAX_PROBLEMS_MAX)

    # ── documents ──

    def documents(self) -> Parsed:
        roots: list[Node] = []
        self._blank()
        if not self._peek():
            self._error("file.empty", "the file is empty", "nothing is declared in it", Place())
        elif _KEY_AHEAD.match(self._text, self._at):
            self._error("json.no_braces", "the outer { } are missing", "put the whole text into { }")
            roots.append(self._table(0, braces=False))
        while self._next_document(first=not roots):
            roots.append(self._value(0))
            if len(roots) == _DOCUMENTS_MAX:
                break
        return Parsed(tuple(roots), self._notes.all)

    def _next_document(self, *, first: bool) -> bool:
        """Move to the next `{` or `[`; say what stands before it."""
        self._blank()
        if not self._peek():
            return False
        if self._peek() not in "{[":
            message = "text before the first {" if first else "text after the end of the document"
            self._error("json.stray", message, "remove it, or look for a bracket too many above it")
            found = _BRACKET.search(self._text, self._at)
            if not found:
                return False
            self._at = found.start()
        if not first:
            self._error("json.second_document", "a second document begins here", "a file can hold one: merge the two")
        return True

    # ── values ──

    def _value(self, depth: int) -> Node:
        start = self._at
        char = self._peek()
        if char in "{[" and char:
            if depth >= DEPTH_MAX:
                return self._too_deep()
            return self._table(depth) if char == "{" else self._listing(depth)
        if char in "\"'" and char:
            return Scalar(self._string(), self._places.at(start))
        if match := _WORD.match(self._text, self._at):
            self._at = match.end()
            return self._word(match[0], self._places.at(start))
        self._error("json.no_value", "a value is missing here", 'write a value, or "" or null')
        return Scalar(None, self._places.at(start))

    def _table(self, depth: int, *, braces: bool = True) -> Table:
        start = self._at
        self._at += braces
        self._open.append("}")
        entries: list[Entry] = []
        while self._more("}", start, braces=braces):
            if (entry := self._entry(depth)) is not None:
                entries.append(entry)
            self._separator("}")
        self._open.pop()
        return Table(unique(entries, self._notes, "json.duplicate_key", "warning"), self._places.at(start))

    def _listing(self, depth: int) -> Listing:
        start = self._at
        self._at += 1
        self._open.append("]")
        items: list[Node] = []
        while self._more("]", start):
            if self._peek() == ":":
                self._error("json.stray", "a colon stands in a list", "a list holds values, not keys")
                self._at += 1
                continue
            items.append(self._value(depth + 1))
            self._separator("]:")
        self._open.pop()
        return Listing(tuple(items), self._places.at(start))

    def _more(self, closing: str, start: int, *, braces: bool = True) -> bool:
        """Is there another item? Consumes commas and the closing bracket."""
        while True:
            self._blank()
            char = self._peek()
            if char == closing:
                self._at += 1
                return False
            if not char:
                self._ended_in(closing, start, braces=braces)
                return False
            if char == ",":
                self._error("json.stray", "a comma too many", "remove it")
            elif char in "}]":
                self._error("json.bracket", f"expected {closing}, found {char}", "brackets must close in pairs")
                if char in self._open[:-1]:
                    return False  # the enclosing value ends here; this one was left open
            else:
                return True
            self._at += 1

    def _ended_in(self, closing: str, start: int, *, braces: bool) -> None:
        """The text ended inside a bracket; the innermost one is reported, those around it follow from it."""
        if braces and not self._ended:
            message = f"the {'{' if closing == '}' else '['} is never closed"
            self._error("json.unclosed", message, f"add the missing {closing}", self._places.at(start))
        self._ended = True

    def _separator(self, closing: str) -> None:
        self._blank()
        char = self._peek()
        if char == ",":
            self._at += 1
        elif char and char not in "}]" and char not in closing:
            self._error("json.no_comma", "a comma is missing before this", "put a comma after the value before it")

    def _entry(self, depth: int) -> Entry | None:
        start = self._at
        place = self._places.at(start)
        key = self._key()
        if key is None:
            return None
        self._blank()
        if self._peek() in (":", "="):
            self._at += 1
        else:
            self._error("json.no_colon", "a colon is missing after the key", 'write "key": value')
        self._blank()
        return Entry(key, place, self._value(depth + 1))

    def _key(self) -> str | None:
        char = self._peek()
        if char in "\"'":
            return self._string()
        if match := _WORD.match(self._text, self._at):
            self._error("json.bare_key", "a key without quotes", "keys stand in double quotes")
            self._at = match.end()
            return match[0]
        self._error("json.no_key", "expected a key in quotes", 'an object holds "key": value')
        if char in "{[":
            self._pass_over()
        else:
            self._at += 1
        return None

    def _word(self, word: str, place: Place) -> Scalar:
        if word in _WORDS:
            return Scalar(_WORDS[word], place, word)
        if match := _NUMBER.match(word):
            return self._number(word, place, whole=match[1] is None and match[2] is None)
        if word in _MISSPELT:
            right = _MISSPELT[word]
            hint = f"write {'null' if right is None else str(right).lower()}"
            self._error("json.word", "a word that JSON does not know", hint, place)
            return Scalar(right, place)
        self._error("json.word", "a text without quotes", "texts stand in double quotes", place)
        return Scalar(word, place)

    def _number(self, word: str, place: Place, *, whole: bool) -> Scalar:
        if len(word) > _DIGITS_MAX or not math.isfinite(float(word)):
            self._error("json.number", "the number is too large", "use a smaller one", place)
            return Scalar(None, place)
        return Scalar(int(word) if whole else float(word), place, word)

    def _too_deep(self) -> Scalar:
        place = self._places.at(self._at)
        self._error("json.depth", f"brackets are nested more than {DEPTH_MAX} deep", "simplify the file")
        self._pass_over()
        return Scalar(None, place)

    def _pass_over(self) -> None:
        """Leave out a bracket with all that it holds, without recursion."""
        level = 0
        for match in _NESTING.finditer(self._text, self._at):
            level += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match[0], 0)
            if level == 0:
                self._at = match.end()
                return
        self._at = len(self._text)

    # ── strings ──

    def _string(self) -> str:
        if match := _PLAIN_STRING.match(self._text, self._at):
            self._at = match.end()
            return match[1]
        start, quote = self._at, self._peek()
        if quote == "'":
            self._error("json.quotes", "single quotes are not JSON", "use double quotes")
        self._at += 1
        pieces: list[str] = []
        while (char := self._peek()) != quote:
            if char in ("", "\n"):
                hint = "close it on the same line; a line break inside is written \\n"
                self._error("json.unclosed_text", "the text is never closed", hint, self._places.at(start))
                return "".join(pieces).rstrip("\r")
            pieces.append(self._piece())
        self._at += 1
        return self._whole("".join(pieces), self._places.at(start))

    def _piece(self) -> str:
        """A run of ordinary characters, an escape, or the other kind of quote."""
        if match := _STRING_RUN.match(self._text, self._at):
            self._at = match.end()
            return match[0]
        if self._peek() != "\\":
            self._at += 1
            return self._text[self._at - 1]
        letter = self._text[self._at + 1 : self._at + 2]
        if letter == "u" and (digits := _HEX4.match(self._text, self._at + 2)):
            self._at = digits.end()
            return chr(int(digits[0], 16))
        if letter in _ESCAPES and letter:
            self._at += 2
            return _ESCAPES[letter]
        self._error("json.escape", f"\\{letter.strip()} is not an escape", "a backslash is written \\\\")
        self._at += 1
        return "\\"

    def _whole(self, text: str, place: Place) -> str:
        """Join surrogate pairs; replace halves that have no partner."""
        if not any("\ud800" <= char <= "\udfff" for char in text):
            return text
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if "\ufffd" in joined:
            self._error("json.surrogate", "half a character (\\ud800 to \\udfff)", "write the character itself", place)
        return joined

    # ── below ──

    def _blank(self) -> None:
        """Pass over white space and comments."""
        while True:
            if match := _SPACE.match(self._text, self._at):
                self._at = match.end()
            start = self._at
            char = self._peek()
            if char == "/":
                self._comment()
            elif char and char in "<=>|#":
                self._foreign_line()
            if self._at == start:
                return

    def _comment(self) -> None:
        if match := _LINE_COMMENT.match(self._text, self._at):
            self._at = match.end()
        elif self._text.startswith("/*", self._at):
            self._block_comment()

    def _block_comment(self) -> None:
        end = self._text.find("*/", self._at + 2)
        if end < 0:
            self._error("json.unclosed", "the comment /* is never closed", "add the missing */")
        self._at = len(self._text) if end < 0 else end + 2

    def _foreign_line(self) -> None:
        """Lines that other tools leave behind: marks of a merge, comments of a shell."""
        if match := _CONFLICT.match(self._text, self._at):
            if self._text[self._at - 1 : self._at] in ("", "\n"):
                self._error("json.merge_conflict", "a mark of an unfinished merge", "finish the merge")
                self._at = match.end()
        elif self._peek() == "#":
            self._error("json.hash_comment", "# does not begin a comment in JSON", "use //")
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _error(self, code: str, message: str, hint: str, place: Place | None = None) -> None:
        self._notes.add("error", code, message, hint, self._places.at(self._at) if place is None else place)
