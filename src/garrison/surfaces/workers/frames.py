"""What workers say to each other: MessagePack with its length in front, on private Unix sockets.

Who dials asks; who is dialled answers. A request of a client's keeps its number from `Ask` to `Answer` or `Ended`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from garrison.identity.principals import Principal

FRAME_BYTES_MAX = 1 << 30
_LENGTH = struct.Struct(">I")


class Hello(msgspec.Struct, array_like=True, tag=0):
    """The first frame: who dials."""

    number: int


class HeadCopy(msgspec.Struct, array_like=True):
    verb: str
    path: str
    headers: dict[str, str]
    repeated: tuple[str, ...]


class Ask(msgspec.Struct, array_like=True, tag=1):
    """A client's request. `head` is the slot of its head; `fresh` what to put there, if it is not there yet."""

    id: int
    head: int
    fresh: HeadCopy | None
    body: bytes
    client: str
    certificate: Principal | None = None


class Gone(msgspec.Struct, array_like=True, tag=2):
    """The client has left."""

    id: int


class Answer(msgspec.Struct, array_like=True, tag=3):
    id: int
    status: int
    body: bytes
    headers: dict[str, str]


class Opened(msgspec.Struct, array_like=True, tag=4):
    """The answer is a stream."""

    id: int
    headers: dict[str, str]


class Event(msgspec.Struct, array_like=True, tag=5):
    id: int
    frame: bytes
    kind: bytes


class Comment(msgspec.Struct, array_like=True, tag=6):
    id: int


class Ended(msgspec.Struct, array_like=True, tag=7):
    id: int


class Order(msgspec.Struct, array_like=True, tag=8):
    """Something that the asked worker shall do, or say."""

    id: int
    name: str
    detail: Any


class Done(msgspec.Struct, array_like=True, tag=9):
    """`error`: why it could not be done; else empty."""

    id: int
    result: Any
    error: str


class News(msgspec.Struct, array_like=True, tag=10):
    """What wants no answer."""

    topic: str
    detail: Any


Frame = Hello | Ask | Gone | Answer | Opened | Event | Comment | Ended | Order | Done | News

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


def written(frame: Frame) -> bytes:
    content = _encode(frame)
    return _LENGTH.pack(len(content)) + content


class FrameReader:
    """Bytes in, cut anywhere; frames out."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Raises `msgspec.MsgspecError` for what is no frame."""
        self._kept += data
        start = 0
        while len(self._kept) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._kept, start)
            if length > FRAME_BYTES_MAX:
                raise msgspec.DecodeError("a frame is too long")
            end = start + _LENGTH.size + length
            if len(self._kept) < end:
                break
            content = bytes(self._kept[start + _LENGTH.size : end])
            start = end
            yield _decode(content)
        del self._kept[:start]
