"""Every string of a JSON value, with its place: values, and the names of members."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

STRINGS_MAX = 20_000
DEPTH_MAX = 64
Role = Literal["name", "key", "text", "data"]
_DATA_MEMBERS = frozenset({"data", "blob"})
_NAME_MEMBERS = frozenset({"name", "title"})


class Placed(NamedTuple):
    """A string. `pointer` is that of the value, or of the member whose name it is; `role` says which kind it is."""

    pointer: str
    text: str
    role: Role


def strings(value: object, pointer: str = "") -> Iterator[Placed]:
    """In the order in which they stand, so that what is spread over several reads on; bounded in number and depth."""
    return islice(_walk(value, pointer, "text", 0), STRINGS_MAX)


def _walk(value: object, pointer: str, role: Role, depth: int) -> Iterator[Placed]:
    if isinstance(value, str):
        if value:
            yield Placed(pointer, value, role)
    elif depth >= DEPTH_MAX:
        return
    elif isinstance(value, dict):
        for key, member in value.items():
            below = f"{pointer}/{escaped(str(key))}"
            yield Placed(below, str(key), "key")
            yield from _walk(member, below, _role_of(value, str(key), pointer), depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, f"{pointer}/{index}", role, depth + 1)


def _role_of(parent: dict[str, object], key: str, pointer: str) -> Role:
    """Binary content (`data` of an image or audio, `blob` of a resource) is no text."""
    if key in _DATA_MEMBERS and ("mimeType" in parent or parent.get("type") in ("image", "audio")):
        return "data"
    return "name" if key in _NAME_MEMBERS and not pointer.endswith("/properties") else "text"


def escaped(key: str) -> str:
    """A member's name in a JSON Pointer."""
    return key.replace("~", "~0").replace("/", "~1")
