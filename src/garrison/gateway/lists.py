"""The aggregate's lists as bytes: encoded once for all who may see the same, handed out until something changes.

Pure: whoever asks brings what the list was made of. Nothing has to be told of a change, so none can be missed.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw

from garrison.gateway import bridge
from garrison.kernel.errors import Invalid
from garrison.protocol import methods
from garrison.protocol.messages import Params, decode_any, encode
from garrison.protocol.versions import Era

PAGE_ITEMS: Final = 1000
SIZE_BYTES_MAX: Final = 32 * 1024 * 1024
ENTRY_SHARE: Final = 4
"""One list may take this part of the room at most; a larger one is made anew each time."""
_CURSOR_CHARS_MAX = 64

Pages = tuple[bytes, ...]


class KeptLists:
    """Whole lists, cut into pages and encoded. The least recently used go first when the room is full."""

    def __init__(self, size_bytes_max: int = SIZE_BYTES_MAX) -> None:
        self._size_bytes_max = size_bytes_max
        self._kept: OrderedDict[tuple[str, Era, Hashable], Pages] = OrderedDict()
        self._sources: dict[str, tuple[object, ...]] = {}
        self.size_bytes = 0
        self.encodings = 0
        """How many lists were encoded so far."""

    def page(
        self,
        method: str,
        era: Era,
        whose: Hashable,
        sources: tuple[object, ...],
        start: int,
        entries: Callable[[], Iterable[Raw]],
    ) -> bytes:
        """The result that begins with entry `start`, empty beyond the end.

        `whose`: equal for those who see the same. `sources`: what all lists of this method are made of; when they are
        not those of the last time, everything kept of the method is forgotten.
        """
        if self._sources.get(method) != sources:
            self._forget(method)
            self._sources[method] = sources
        key = (method, era, whose)
        pages = self._kept.get(key)
        if pages is None:
            pages = self._made(key, entries())
        else:
            self._kept.move_to_end(key)
        number = start // PAGE_ITEMS
        return pages[number] if number < len(pages) else _encoded(method, era, [], 0)

    def _made(self, key: tuple[str, Era, Hashable], entries: Iterable[Raw]) -> Pages:
        method, era, _ = key
        items = list(entries)
        starts = range(0, max(len(items), 1), PAGE_ITEMS)
        pages = tuple(_encoded(method, era, items, start) for start in starts)
        self.encodings += 1
        size = _size(pages)
        if size * ENTRY_SHARE <= self._size_bytes_max:
            self._kept[key] = pages
            self.size_bytes += size
        while self.size_bytes > self._size_bytes_max:
            self.size_bytes -= _size(self._kept.popitem(last=False)[1])
        return pages

    def _forget(self, method: str) -> None:
        for key in [key for key in self._kept if key[0] == method]:
            self.size_bytes -= _size(self._kept.pop(key))


def start_of(params: Params) -> int:
    """Where the page begins that is asked for. Raises `Invalid` for a cursor that is not ours."""
    if "cursor" not in params:
        return 0
    try:
        token = decode_any(params["cursor"])
        start = int(urlsafe_b64decode(token[:_CURSOR_CHARS_MAX])) if isinstance(token, str) else -1
    except (ValueError, msgspec.MsgspecError, RecursionError):
        start = -1
    if start < 0 or start % PAGE_ITEMS:
        raise Invalid("cursor.invalid", "the cursor is not one of this gateway's", "start again without a cursor")
    return start


def _encoded(method: str, era: Era, items: list[Raw], start: int) -> bytes:
    """One page. Its cursor is the number of entries that were given out."""
    end = start + PAGE_ITEMS
    result: dict[str, Any] = {methods.LIST_MEMBER[method]: items[start:end]}
    if end < len(items):
        result["nextCursor"] = urlsafe_b64encode(str(end).encode()).decode()
    content = encode(result)
    return bridge.modern_result(content, method) if era == "modern" else content


def _size(pages: Pages) -> int:
    """Bytes, and some for what holds them."""
    return sum(len(page) + 200 for page in pages)
