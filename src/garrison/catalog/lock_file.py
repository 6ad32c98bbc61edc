"""`garrison.lock`: the pins of all servers as a file to be reviewed. Text to pins and back; pure.

YAML, sorted, a few lines for each definition, so that two people's changes merge and a reviewer sees what changed.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from garrison.catalog.pins import KINDS, MEMBER, Pin, ServerPins
from garrison.kernel.errors import Invalid

NAME: Final = "garrison.lock"
SIZE_BYTES_MAX: Final = 32 * 1024 * 1024
_HEADER: Final = """\
# What the servers of this fleet offer, as first seen or approved. Kept by Garrison; to be reviewed and committed.
# `garrison pins diff` shows what has changed since, `garrison pins approve` takes it over.
"""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int = 1
    servers: dict[str, ServerPins] = {}


def rendered(lock: Lock) -> str:
    """Always the same text for the same pins."""
    return _HEADER + "\n".join(["version: 1", "servers:", *_servers(lock.servers)]) + "\n"


def parsed(text: str, where: str) -> Lock:
    """Raises `Invalid` (`pins.lock`), with the line if it is known; `where` is the file's name."""
    if len(text) > SIZE_BYTES_MAX:
        raise Invalid("pins.lock", f"{where} is too long", f"at most {SIZE_BYTES_MAX} bytes")
    try:
        found = YAML(typ="safe", pure=True).load(io.StringIO(text))
        lock = msgspec.convert(_filled(found), Lock)
    except (YAMLError, msgspec.ValidationError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        why = str(getattr(error, "problem", None) or error)[:200]
        hint = "resolve the conflict of a merge, restore the file, or remove it to begin anew"
        raise Invalid("pins.lock", f"{where}{line} cannot be read: {why}", hint) from error
    _check(lock, where)
    return lock


def _servers(servers: Mapping[str, ServerPins]) -> Iterator[str]:
    for server, pins in sorted(servers.items()):
        yield f"  {_quoted(server)}:"
        yield f"    source: {_quoted(pins.source)}"
        yield f"    approved: {'true' if pins.approved else 'false'}"
        for kind in KINDS:
            yield from _pins(MEMBER[kind], pins.of(kind))


def _pins(member: str, pins: Mapping[str, Pin]) -> Iterator[str]:
    if pins:
        yield f"    {member}:"
    for name, pin in sorted(pins.items()):
        yield f"      {_quoted(name)}:"
        yield f"        sha256: {_quoted(pin.sha256)}"
        yield f"        text: {_quoted(pin.text)}"


def _quoted(text: str) -> str:
    """A double-quoted scalar of YAML, of printable ASCII alone, so that nothing hides in it."""
    quoted = json.dumps(text)
    surrogates = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")
    return surrogates.sub(lambda pair: f"\\U{_code_point(pair[1], pair[2]):08x}", quoted).replace("\x7f", "\\x7f")


def _code_point(high: str, low: str) -> int:
    return 0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00)


def _filled(found: object) -> object:
    """`servers:` without anything below it is null."""
    if isinstance(found, dict) and found.get("servers", {}) is None:
        return {**found, "servers": {}}
    return found if found is not None else {}


def _check(lock: Lock, where: str) -> None:
    if lock.version != 1:
        raise Invalid("pins.lock", f"{where} is of version {lock.version}, which is not known", "update Garrison")
    for server, pins in lock.servers.items():
        for kind in KINDS:
            for name, pin in pins.of(kind).items():
                if not _SHA256.fullmatch(pin.sha256):
                    message = f"{where}: {kind} {name[:64]!r} of server {server[:64]!r} has no hash"
                    raise Invalid("pins.lock", message, "restore the file")
