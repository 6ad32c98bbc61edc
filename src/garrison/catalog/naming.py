"""Server names: 1 to 64 of `A-Za-z0-9_-`, since they become the prefix of tool names and a part of the URL."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

NAME_LENGTH_MAX = 64
SECRET_NAME_LENGTH_MAX = 120
_ALLOWED = re.compile(r"[A-Za-z0-9_-]{1,64}\Z", re.ASCII)
_OTHER = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)


def is_allowed(name: str) -> bool:
    return _ALLOWED.match(name) is not None


def allowed(name: str) -> str:
    """The nearest allowed name: accents dropped, anything else that is not allowed becomes `-`."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return _OTHER.sub("-", ascii_name.strip()).strip("-")[:NAME_LENGTH_MAX].strip("-") or "server"


def unused(name: str, taken: Container[str]) -> str:
    """The name, or `name-2`, `name-3`, … if it is taken."""
    candidate, number = name, 2
    while candidate in taken:
        suffix = f"-{number}"
        candidate = name[: NAME_LENGTH_MAX - len(suffix)] + suffix
        number += 1
    return candidate


def secret_name(server: str, key: str, taken: Container[str]) -> str:
    """`GITHUB_TOKEN` for the token of `github`; never one that is taken."""
    parts = [re.sub(r"[^A-Z0-9]+", "_", part.upper()).strip("_") for part in (server, key)]
    whole = parts[1] if parts[1].startswith(f"{parts[0]}_") else "_".join(part for part in parts if part)
    whole = whole[:SECRET_NAME_LENGTH_MAX] or "SECRET"
    candidate, number = whole, 2
    while candidate in taken:
        candidate, number = f"{whole}_{number}", number + 1
    return candidate
