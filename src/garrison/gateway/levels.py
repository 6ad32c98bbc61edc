"""Levels of log messages, and where requests and messages have them. Pure."""

from __future__ import annotations

import msgspec

from garrison.protocol import methods
from garrison.protocol.messages import EMPTY, Message, Params, members, params_of, raw, text

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""RFC 5424's, from the least to the most severe."""


def level_in(message: Message) -> str:
    """The level of a log message; empty where it has none."""
    try:
        return text(params_of(message), "level")
    except (msgspec.MsgspecError, RecursionError):
        return ""


def at_least(level: str, wanted: str) -> bool:
    """Whether a message of this level is for somebody who wants that one. An unknown level is told."""
    if level not in LEVELS or wanted not in LEVELS:
        return level not in LEVELS
    return LEVELS.index(level) >= LEVELS.index(wanted)


def with_level(params: Params, level: str) -> Params:
    """A request to a modern server, which is told with each one what to log."""
    if not level:
        return params
    return {**params, "_meta": raw({**members(params.get("_meta", EMPTY)), methods.META_LOG_LEVEL: level})}


def level_wanted(params: Params) -> str:
    """The level that a request of 2026-07-28 asks for; empty where it wants no log."""
    try:
        return text(members(params["_meta"]), methods.META_LOG_LEVEL)
    except (KeyError, msgspec.MsgspecError, RecursionError):
        return ""
