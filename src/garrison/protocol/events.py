"""Server-Sent Events, read byte by byte as they come and written (WHATWG HTML, 9.2)."""

from __future__ import annotations

from dataclasses import dataclass

from garrison.kernel.errors import Invalid

EVENT_BYTES_MAX = 16 * 1024 * 1024
"""Bound of one event; a tool result with images fits, an endless line does not."""


@dataclass(frozen=True, slots=True)
class Event:
    data: bytes
    type: str = "message"
    id: str = ""


def write_event(data: bytes) -> bytes:
    """One `message` event; `data` is JSON in one line."""
    return b"event: message\ndata: " + data + b"\n\n"


class EventReader:
    """Turns chunks of a stream into events. Raises `Invalid` when one event grows over the bound."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._type = ""
        self._id = ""
        self._size = 0

    def feed(self, chunk: bytes) -> list[Event]:
        lines = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) + self._size > EVENT_BYTES_MAX:
            raise Invalid("server.event_too_large", f"an event of the stream is larger than {EVENT_BYTES_MAX} bytes")
        events = []
        for line in lines:
            event = self._line(line.rstrip(b"\r"))
            if event is not None:
                events.append(event)
        return events

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id":
            self._id = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> Event | None:
        data, kind = self._data, self._type or "message"
        self._data, self._type, self._size = [], "", 0
        return Event(b"\n".join(data), kind, self._id) if data else None
