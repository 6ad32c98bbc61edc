"""Server-Sent Events, read byte by byte as they come and written (WHATWG HTML, 9.2)."""

from __future__ import annotations

from dataclasses import dataclass

from garrison.kernel.errors import Invalid

EVENT_BYTES_MAX = 16 * 1024 * 1024
"""Bound of one event; a tool result with images fits, an endless line does not."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    data: bytes
    type: str = "message"
    id: str = ""


def write_event(data: bytes, kind: bytes = b"message") -> bytes:
    """One event; `data` is JSON, where a line break can only stand between tokens."""
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    return b"event: " + kind + b"\ndata: " + data + b"\n\n"


class EventReader:
    """Turns chunks of a stream into events. Raises `Invalid` when one event grows over the bound."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        """The unfinished line, as it came: joined once, so that a slow drip costs no more than a burst."""
        self._parts_size = 0
        self._after_cr = False
        self._begun = False
        self._data: list[bytes] = []
        self._type = ""
        self._id = ""
        self._size = 0
        self.last_id = ""
        """Of the last whole event, even one without data: where the stream can be taken up again."""
        self.retry_ms: int | None = None
        """How long to wait before that, if the server said so."""

    def feed(self, chunk: bytes) -> list[Event]:
        *lines, rest = self._one_line_end(chunk).split(b"\n")
        events = []
        for line in lines:
            event = self._line(self._whole(line))
            if event is not None:
                events.append(event)
        if rest:
            self._parts.append(rest)
            self._parts_size += len(rest)
            self._check_bound()
        return events

    def _one_line_end(self, chunk: bytes) -> bytes:
        """CR, LF and CRLF all end a line; a CRLF may be cut in two."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" not in chunk:
            return chunk
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _whole(self, end: bytes) -> bytes:
        if self._parts:
            end = b"".join((*self._parts, end))
            self._parts, self._parts_size = [], 0
        if not self._begun:
            self._begun = True
            return end.removeprefix(_BYTE_ORDER_MARK)
        return end

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            self._check_bound()
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry_ms = int(value[:9])
        return None

    def _dispatch(self) -> Event | None:
        data, kind = self._data, self._type or "message"
        self._data, self._type, self._size = [], "", 0
        self.last_id = self._id
        return Event(b"\n".join(data), kind, self._id) if data else None

    def _check_bound(self) -> None:
        if self._parts_size + self._size > EVENT_BYTES_MAX:
            raise Invalid("server.event_too_large", f"an event of the stream is larger than {EVENT_BYTES_MAX} bytes")
