"""Who asks for what, and how, as Cedar is told: requests and entities in its JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

import msgspec

from garrison.identity.principals import Principal
from garrison.policy.decision import Circumstances, Hints
from garrison.policy.vocabulary import ACTION, TYPE, Fact, Kind

_LONG = range(-(2**63), 2**63)
_DEPTH_MAX = 32
NOBODYS_ADDRESS = "0.0.0.0"  # noqa: S104  what stands for an address that is not known; nothing is bound to it
_CALL = "call"
_TAGS: Final = {"text": "Text", "numbers": "Numbers", "flags": "Flags", "lists": "Lists"}


def principal_entity(principal: Principal, roles: Iterable[str], groups: Iterable[str]) -> dict[str, Any]:
    return {
        "uid": {"type": "Principal", "id": principal.id},
        "attrs": {
            "name": principal.name,
            "kind": principal.kind,
            "issuer": principal.issuer,
            "claims": list(principal.groups),
            "scopes": list(principal.scopes or ()),
        },
        "parents": [
            *({"type": "Role", "id": role} for role in roles),
            *({"type": "Group", "id": group} for group in groups),
        ],
    }


def resource_uid(kind: Kind, server: str, name: str) -> dict[str, str]:
    """A server's name holds no slash, so these are never alike."""
    return {"type": TYPE[kind], "id": f"{server}/{name}" if kind != "server" else server}


def resource_entity(
    kind: Kind, server: str, name: str, hints: Hints, matches: list[str], server_matches: list[str]
) -> dict[str, Any]:
    attributes: dict[str, Any] = {"server": server, "serverMatches": server_matches}
    if kind != "server":
        attributes |= {"name": name, "matches": matches}
    if kind == "tool":
        attributes |= hints._asdict()
    parents = [] if kind == "server" else [{"type": "Server", "id": server}]
    return {"uid": resource_uid(kind, server, name), "attrs": attributes, "parents": parents}


def arguments_entities(arguments: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """The names of all arguments, and their values by type."""
    tags: dict[str, dict[str, Any]] = {"Text": {}, "Numbers": {}, "Flags": {}, "Lists": {}}
    given = []
    for name, value in _flat(arguments, "", 0):
        given.append(name)
        kind = _type_of(value)
        if kind:
            tags[kind][name] = value
    return given, [
        {"uid": {"type": kind, "id": _CALL}, "attrs": {}, "tags": values, "parents": []}
        for kind, values in tags.items()
    ]


def _flat(values: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Everything that has a name; what lies too deep is given, and of no type."""
    for key, value in values.items():
        name = prefix + key.replace("~", "~0").replace("/", "~1")
        yield name, value
        if isinstance(value, dict) and depth < _DEPTH_MAX:
            yield from _flat(value, name + "/", depth + 1)


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "Flags"
    if isinstance(value, str):
        return "Text"
    if isinstance(value, int):
        return "Numbers" if value in _LONG else ""
    if isinstance(value, list):
        return "Lists" if all(isinstance(one, str) for one in value) else ""
    return ""


def context(facts: frozenset[Fact], how: Circumstances, now_ns: int, windows: Iterable[str], given: list[str]) -> str:
    """As a JSON text, of `facts` only: reading it is a good part of what a decision costs."""
    found: dict[str, Any] = {}
    if "client" in facts:
        address = {"__extn": {"fn": "ip", "arg": _address(how.address)}}
        found["client"] = {"name": how.client, "address": address, "era": how.era}
    if "now" in facts:
        found["now"] = {"__extn": {"fn": "datetime", "arg": _time(now_ns)}}
    if "windows" in facts:
        found["windows"] = sorted(windows)
    if "arguments" in facts:
        tags = {name: _entity(kind) for name, kind in _TAGS.items()}
        found |= {"given": given, **tags}
    return msgspec.json.encode(found).decode()


def _time(now_ns: int) -> str:
    """UTC, to the millisecond."""
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now_ns // 1_000_000 % 1000:03d}Z"


def _entity(kind: str) -> dict[str, Any]:
    return {"__entity": {"type": kind, "id": _CALL}}


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return NOBODYS_ADDRESS


def request(
    principal: Principal, kind: Kind, server: str, name: str, context_text: str, action: str = ""
) -> dict[str, Any]:
    return {
        "principal": {"type": "Principal", "id": principal.id},
        "action": {"type": "Action", "id": action or ACTION[kind]},
        "resource": resource_uid(kind, server, name),
        "context": context_text,
    }


def encode(entities: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(entities).decode()
