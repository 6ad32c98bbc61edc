"""OCSF 1.7.0 (schema.ocsf.io), one JSON object a line. Pure.

| Entry | Class | |
|---|---|---|
| calls, and refusals of somebody known | API Activity | 6003 |
| refusals of somebody unknown | Authentication | 3002 |
| changes | Entity Management | 3004 |
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from garrison.kernel.clock import rfc3339
from garrison.protection.entries import Entry, Recorded
from garrison.protection.export.event import Grade, Origin, grade, is_good, members, reason, sentence, source_ip
from garrison.telemetry.printable import in_json

VERSION: Final = "1.7.0"
API_ACTIVITY: Final = 6003
AUTHENTICATION: Final = 3002
ENTITY_MANAGEMENT: Final = 3004
CLASS_NAMES: Final = {
    API_ACTIVITY: "API Activity",
    AUTHENTICATION: "Authentication",
    ENTITY_MANAGEMENT: "Entity Management",
}
CATEGORY_NAMES: Final = {3: "Identity & Access Management", 6: "Application Activity"}
SEVERITIES: Final[dict[Grade, tuple[int, str]]] = {
    "info": (1, "Informational"),
    "low": (2, "Low"),
    "medium": (3, "Medium"),
    "high": (4, "High"),
    "critical": (5, "Critical"),
}
_CREATE, _READ, _UPDATE, _DELETE, _OTHER = (1, "Create"), (2, "Read"), (3, "Update"), (4, "Delete"), (99, "Other")
_CHANGES: Final = {
    **dict.fromkeys(("create", "add", "set", "started"), _CREATE),
    **dict.fromkeys(("applied", "rotate", "rotated", "restarted", "approve", "update"), _UPDATE),
    **dict.fromkeys(("revoke", "remove", "release", "forget", "pruned", "stopped"), _DELETE),
}
"""The last word of a change's name → what it does; any other is `Other`, by its own name."""
_STATUS: Final = {None: (0, "Unknown"), True: (1, "Success"), False: (2, "Failure")}


def render(one: Recorded, origin: Origin) -> bytes:
    """One event on one line, without its end."""
    event = _common(one, origin)
    event |= {
        API_ACTIVITY: _of_api,
        AUTHENTICATION: _of_authentication,
        ENTITY_MANAGEMENT: _of_entity,
    }[event["class_uid"]](one.entry)
    event["type_uid"] = event["class_uid"] * 100 + event["activity_id"]
    event["type_name"] = f"{event['class_name']}: {event['activity_name']}"
    return in_json(msgspec.json.encode(event).decode()).encode()


def class_of(entry: Entry) -> int:
    if entry.kind == "change":
        return ENTITY_MANAGEMENT
    is_unknown = entry.kind == "refusal" and not entry.principal and not entry.outcome.startswith("grant.")
    return AUTHENTICATION if is_unknown else API_ACTIVITY


def _common(one: Recorded, origin: Origin) -> dict[str, Any]:
    entry = one.entry
    class_uid, (severity_id, severity) = class_of(entry), SEVERITIES[grade(entry)]
    status_id, status = _STATUS[is_good(entry)]
    event: dict[str, Any] = {
        "category_uid": class_uid // 1000,
        "category_name": CATEGORY_NAMES[class_uid // 1000],
        "class_uid": class_uid,
        "class_name": CLASS_NAMES[class_uid],
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "time": entry.time_ns // 1_000_000,
        "message": sentence(entry),
        "metadata": _metadata(one, origin),
    }
    optional = {"status_code": entry.outcome, "status_detail": reason(entry), "unmapped": members(entry)}
    return event | {name: value for name, value in optional.items() if value}


def _metadata(one: Recorded, origin: Origin) -> dict[str, Any]:
    entry = one.entry
    found: dict[str, Any] = {
        "version": VERSION,
        "product": {"name": "Garrison", "vendor_name": "Garrison", "version": origin.version},
        "uid": str(one.seq),
        "sequence": one.seq,
        "log_name": "ledger",
        "event_code": entry.kind,
        "original_time": rfc3339(entry.time_ns),
    }
    if entry.call:
        found["correlation_uid"] = entry.call
    return found


def _of_api(entry: Entry) -> dict[str, Any]:
    is_reading = entry.action.endswith(("/list", "/read", "/get"))
    activity_id, activity = _READ if is_reading else _OTHER
    api: dict[str, Any] = {"operation": entry.action or "unknown"}
    if entry.server:
        api["service"] = {"name": entry.server}
    if entry.call:
        api["request"] = {"uid": entry.call}
    event: dict[str, Any] = {
        "activity_id": activity_id,
        "activity_name": activity if is_reading else entry.action or "unknown",
        "actor": {"user": _user(entry)},
        "api": api,
        "src_endpoint": _source(entry),
    }
    if entry.target:
        event["resources"] = [{"name": entry.target, "uid": f"{entry.server}/{entry.target}"}]
    if entry.kind == "call.outcome":
        event["duration"] = entry.duration_us // 1000
    return event


def _of_authentication(entry: Entry) -> dict[str, Any]:
    return {
        "activity_id": 1,
        "activity_name": "Logon",
        "user": _user(entry),
        "service": {"name": "Garrison"},
        "src_endpoint": _source(entry),
        "auth_protocol_id": 99,
        "auth_protocol": "HTTP Bearer",
    }


def _of_entity(entry: Entry) -> dict[str, Any]:
    kind, _, word = entry.action.rpartition(".")
    activity_id, activity = _CHANGES.get(word, (99, entry.action or "unknown"))
    event: dict[str, Any] = {
        "activity_id": activity_id,
        "activity_name": activity,
        "actor": {"user": _user(entry)},
        "entity": {"name": entry.server or entry.target or kind or "fleet", "type": kind or "fleet"},
    }
    return event | ({"comment": reason(entry)} if reason(entry) else {})


def _user(entry: Entry) -> dict[str, Any]:
    return {"uid": entry.principal} if entry.principal else {"name": "unknown"}


def _source(entry: Entry) -> dict[str, Any]:
    """An endpoint has to have an address or a name."""
    address, client = source_ip(entry), str(members(entry).get("client", ""))
    found = {"ip": address} if address else {"name": "unknown"}
    return {**found, "svc_name": client} if client else found
