"""Values that are nearly right: numbers where text belongs, one text where a list belongs, units in words."""

from __future__ import annotations

import math
import re
import shlex

from garrison.catalog.draft import Text
from garrison.catalog.notes import Notes, brief
from garrison.catalog.parse.tree import Listing, Node, Scalar, Table

TIMEOUT_S_MAX = 86_400.0
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|sec|secs|seconds|m|min|minutes|h)?\s*\Z", re.IGNORECASE | re.ASCII)
_FACTORS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0, "minutes": 60.0}
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def kind_of(node: Node) -> str:
    """What a person would call the value."""
    if isinstance(node, Table):
        return "a group of keys"
    if isinstance(node, Listing):
        return "a list"
    if isinstance(node.value, bool):
        return "true or false"
    if isinstance(node.value, int | float):
        return "a number"
    return "nothing" if node.value is None else "a text"


def wrong(key: str, node: Node, wanted: str, notes: Notes) -> None:
    message = f"{brief(key)} should be {wanted}, not {kind_of(node)}"
    notes.error("entry.type", message, "it is left out", node.place)


def text(key: str, node: Node, notes: Notes) -> Text | None:
    """A text; numbers are taken as they are written."""
    if not isinstance(node, Scalar):
        wrong(key, node, "a text", notes)
        return None
    return None if node.value is None else Text(node.text, node.place)


def texts(key: str, node: Node, notes: Notes) -> list[Text]:
    """A list of texts. One text alone is split as a shell would; numbers are taken as they are written."""
    if isinstance(node, Scalar):
        if isinstance(node.value, str):
            return _split(key, node.value, node, notes)
        return [] if node.value is None else [Text(node.text, node.place)]
    if isinstance(node, Table):
        wrong(key, node, "a list of texts", notes)
        return []
    found: list[Text] = []
    for item in node.items:
        if not isinstance(item, Scalar) or item.value is None:
            wrong(f"an item of {key}", item, "a text", notes)
            continue
        if not isinstance(item.value, str):
            message = f"an item of {brief(key)} is {kind_of(item)}; it is taken as text"
            notes.note("entry.not_text", message, "put it into quotes", item.place)
        found.append(Text(item.text, item.place))
    return found


def _split(key: str, value: str, node: Scalar, notes: Notes) -> list[Text]:
    if not value.strip():
        return []
    hint = "write a list, one item for each word"
    notes.warn("entry.one_text", f"{brief(key)} is one text; it was split into words", hint, node.place)
    return [Text(word, node.place) for word in words(value)]


def words(line: str) -> list[str]:
    """A command line's words, as a POSIX shell splits them; at white space when its quotes do not close."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def text_map(key: str, node: Node, notes: Notes) -> dict[str, Text]:
    """Names and texts: from `{NAME: value}`, `["NAME=value", …]` or `[{name, value}, …]`."""
    if isinstance(node, Scalar) and node.value is None:
        return {}
    if isinstance(node, Table):
        return {entry.key: _value(entry.key, entry.value, notes) for entry in node}
    if isinstance(node, Listing):
        return _pairs(key, node, notes)
    wrong(key, node, "a group of names and texts", notes)
    return {}


def _value(name: str, node: Node, notes: Notes) -> Text:
    if isinstance(node, Scalar):
        if node.value is not None and not isinstance(node.value, str):
            hint = "put it into quotes: an environment holds texts"
            notes.note("entry.not_text", f"{brief(name)} is {kind_of(node)}; it is taken as text", hint, node.place)
        return Text(node.text, node.place)
    inner = node.get("value") or node.get("default") if isinstance(node, Table) else None
    if isinstance(inner, Scalar):
        return Text(inner.text, inner.place)
    message = f"{brief(name)} should be a text, not {kind_of(node)}"
    notes.error("entry.type", message, "it is taken as empty", node.place)
    return Text("", node.place)


def _pairs(key: str, node: Listing, notes: Notes) -> dict[str, Text]:
    found: dict[str, Text] = {}
    for item in node.items:
        if isinstance(item, Table):
            name, value = item.get("name") or item.get("key"), item.get("value")
            if isinstance(name, Scalar):
                found[name.text] = _value(name.text, value, notes) if value is not None else _same(name)
                continue
        elif isinstance(item, Scalar) and isinstance(item.value, str):
            name_, equals, value_ = item.value.partition("=")
            found[name_] = Text(value_, item.place) if equals else _same(item)
            continue
        wrong(f"an item of {key}", item, "NAME=value", notes)
    return found


def _same(name: Scalar) -> Text:
    """A name alone hands on the variable of the same name."""
    return Text("${" + name.text + "}", name.place)


def truth(key: str, node: Node, notes: Notes) -> bool | None:
    """A truth value; words that mean one are taken with a warning."""
    if isinstance(node, Scalar):
        if isinstance(node.value, bool):
            return node.value
        if node.value is None:
            return None
        word = node.text.lower()
        if word in _TRUE | _FALSE:
            meant = "true" if word in _TRUE else "false"
            notes.warn("entry.type", f"{brief(key)} should be true or false", f"it is taken as {meant}", node.place)
            return word in _TRUE
    wrong(key, node, "true or false", notes)
    return None


def seconds(key: str, node: Node, unit: str, notes: Notes) -> float | None:
    """A time span in seconds. `unit`: `s`, `ms`, or `guess` (from 1000 on it must be milliseconds)."""
    match = _SPAN.match(node.text) if isinstance(node, Scalar) and not isinstance(node.value, bool) else None
    if match is None or len(match[1]) > 15:
        if not (isinstance(node, Scalar) and node.value is None):
            wrong(key, node, "a number", notes)
        return None
    number = float(match[1])
    if match[2]:
        span = number * _FACTORS.get(match[2].lower(), 3600.0)
    elif unit == "s" or (unit == "guess" and number < 1000):
        span = number
    else:
        span = number / 1000
        if unit == "guess":
            message = f"{brief(key)} is taken as milliseconds: {span:g} s"
            notes.note("entry.unit", message, "clients differ in the unit", node.place)
    if not math.isfinite(span) or not 0 < span <= TIMEOUT_S_MAX:
        message = f"{brief(key)} must be more than 0 and at most a day"
        notes.warn("entry.range", message, "the default is used", node.place)
        return None
    return span


def patterns(key: str, node: Node, notes: Notes) -> tuple[str, ...]:
    """Names of tools; a group of keys gives its keys."""
    if isinstance(node, Table):
        return tuple(entry.key for entry in node)
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return tuple(part.strip() for part in node.value.split(",") if part.strip())
    return tuple(item.value for item in texts(key, node, notes))
