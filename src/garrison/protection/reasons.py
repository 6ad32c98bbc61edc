"""The reason that somebody gave for what is being done: it goes on the record with each change that this makes."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import quote, unquote

HEADER: Final = "garrison-reason"
"""Of requests to the admin API: the reason, percent-encoded UTF-8."""
CHARS_MAX: Final = 500

_given: ContextVar[str] = ContextVar("reason", default="")


def give(reason: str) -> None:
    """From here on, in this task or command; empty: none."""
    _given.set(reason[:CHARS_MAX])


def given() -> str:
    return _given.get()


def with_reason(detail: Mapping[str, Any] | None) -> dict[str, Any]:
    """The change's detail, and the reason, if one was given and the detail has none of its own."""
    found = dict(detail or {})
    if given() and not found.get("reason"):
        found["reason"] = given()
    return found


def to_header(reason: str) -> str:
    return quote(reason, safe=" ")


def from_header(text: str) -> str:
    return unquote(text, errors="replace")[:CHARS_MAX]
