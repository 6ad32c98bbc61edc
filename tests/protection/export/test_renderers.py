"""CEF, OCSF and syslog: golden files, parsers that get every text back, and nothing that could be injected."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.protection.entries import Entry, EntryKind, Recorded
from garrison.protection.export import cef, ocsf, syslog
from garrison.protection.export.event import Origin, bounded

GOLDEN = Path(__file__).parents[2] / "golden" / "audit"
ORIGIN = Origin("fleet-1.example", "1.2.3")
TIME_NS = 1_795_331_696_123_456_789
EXAMPLES = (
    Entry(TIME_NS, "call.intent", "c1", "key:ci", "tools/call", "git", "git_status"),
    Entry(TIME_NS, "call.outcome", "c1", "key:ci", "tools/call", "git", "git_status", "ok", 1500, {"client": "probe", "from": "192.0.2.7", "era": "modern"}),  # noqa: E501
    Entry(TIME_NS, "call.outcome", "c2", "key:ci", "tools/list", "git", "", "server.unreachable", 20, {"from": "::1", "why": "server git is fatal"}),  # noqa: E501
    Entry(TIME_NS, "refusal", "c3", "key:ci", "tools/call", "git", "git|push=[x]", "grant.missing", 3, {"why": "no grant: a=b | c]"}),  # noqa: E501
    Entry(TIME_NS, "refusal", "c4", "", "tools/call", "", "", "key.unknown", 3, {"from": "192.0.2.9", "why": "no valid API key"}),  # noqa: E501
    Entry(TIME_NS, "change", "", "local:ops", "keys.revoke", "", "ci", "", 0, {"prefix": "gsn_abc", "reason": "lost laptop"}),  # noqa: E501
    Entry(TIME_NS, "change", "", "garrison", "ledger.gap", "", "", "found", 0, {"from": 7, "to": 9}),
)  # fmt: skip
RENDERERS = {"cef": cef.render, "ocsf": ocsf.render, "syslog": syslog.render}
HOSTILE = ["\n", "\r\n", "|", "=", "]", '"', "\\", "\x1b[2J", "\x00", "\u2028", "\u202e", " k=v", "\x85", '"] [x@1 a="']
texts = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=6)), max_size=5).map("".join)
kinds: st.SearchStrategy[EntryKind] = st.sampled_from(["call.intent", "call.outcome", "refusal", "change"])
entries = st.builds(
    Entry,
    time_ns=st.integers(0, 4 * 10**18),
    kind=kinds,
    call=texts,
    principal=texts,
    action=texts,
    server=texts,
    target=texts,
    outcome=texts,
    duration_us=st.integers(0, 10**9),
    detail=st.none()
    | st.dictionaries(texts, texts, max_size=2)
    | st.fixed_dictionaries({"why": texts, "client": texts, "from": texts}),
)
recorded = st.builds(Recorded, st.integers(1, 2**53), entries, st.just(""))


def numbered(entry: Entry, seq: int = 17) -> Recorded:
    return Recorded(seq, entry, "")


@pytest.mark.parametrize("form", RENDERERS)
def test_the_examples_look_as_in_the_golden_file(form: str) -> None:
    made = b"".join(RENDERERS[form](numbered(one, 17 + at), ORIGIN) + b"\n" for at, one in enumerate(EXAMPLES))
    assert made == (GOLDEN / f"examples.{form}").read_bytes()


@pytest.mark.parametrize("form", RENDERERS)
@given(one=recorded)
def test_an_event_is_one_printable_line_whatever_is_in_it(form: str, one: Recorded) -> None:
    line = RENDERERS[form](one, ORIGIN).decode().replace("\ufeff", "")
    assert line.isprintable()


# ── CEF ──


def parsed_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """By the format's own rules: header fields end at a pipe that is not escaped, values before the next ` key=`."""
    fields = _hidden(line).split("|", 7)
    *header, extension = [_back(field) for field in fields]
    pairs = re.findall(r"(\w+)=((?:\\.|[^\\=])*?)(?= \w+=|$)", extension)
    return header, {key: _unescaped(value) for key, value in pairs}


def _hidden(line: str) -> str:
    """Escaped pairs out of the way, so that what is left separates."""
    return re.sub(r"\\(.)", lambda match: f"\ue000{ord(match[1]):04x}", line)


def _back(text: str) -> str:
    return re.sub("\ue000([0-9a-f]{4})", lambda match: "\\" + chr(int(match[1], 16)), text)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "r": "\r"}.get(match[1], match[1]), text)


def _as_shown(text: str) -> str:
    return "\n".join(map(bounded, text.replace("\r\n", "\n").replace("\r", "\n").split("\n")))


@given(one=recorded.filter(lambda one: "\ue000" not in repr(one)))
def test_a_cef_parser_gets_every_field_back_and_no_other(one: Recorded) -> None:
    header, extension = parsed_cef(cef.render(one, ORIGIN).decode())
    entry = one.entry
    assert header[:4] == ["CEF:0", "Garrison", "Garrison", "1.2.3"]
    assert len(header) == 7
    assert 0 <= int(header[6]) <= 10
    known = {"suser": entry.principal, "act": entry.action, "destinationServiceName": entry.server}
    known |= {"outcome": entry.outcome, "cs1": entry.target, "cs2": entry.call, "externalId": str(one.seq)}
    assert {key: extension.get(key, "") for key in known} == {key: _as_shown(text) for key, text in known.items()}
    allowed = {"rt", "dvchost", "cat", "src", "requestClientApplication", "reason", "cn1", "cn1Label"}
    allowed |= {*known, *(f"cs{n}" for n in range(1, 5)), *(f"cs{n}Label" for n in range(1, 5))}
    assert set(extension) <= allowed


# ── syslog ──

_SYSLOG = re.compile(
    r"<(?P<pri>\d{1,3})>1 (?P<time>\S+) (?P<host>[\x21-\x7e]{1,255}) (?P<app>[\x21-\x7e]{1,48}) (?P<proc>-) "
    r"(?P<msgid>[\x21-\x7e]{1,32}) "
    r"(?P<data>\[[^ =\]\"]{1,32}(?: [^ =\]\"]{1,32}=\"(?:\\[\\\"\]]|[^\\\"\]])*\")*\]) (?P<text>.*)"
)


@given(one=recorded)
def test_a_syslog_parser_gets_every_value_back_and_no_other(one: Recorded) -> None:
    found = _SYSLOG.fullmatch(syslog.render(one, ORIGIN).decode())
    assert found is not None
    assert 0 <= int(found["pri"]) <= 191
    values = dict(re.findall(r' ([^ =\]"]+)="((?:\\.|[^\\"\]])*)"', found["data"]))
    values = {name: re.sub(r"\\([\\\"\]])", r"\1", text) for name, text in values.items()}
    entry = one.entry
    assert values["seq"] == str(one.seq)
    for name in ("call", "principal", "action", "server", "target", "outcome"):
        assert values.get(name, "") == bounded(getattr(entry, name))
    assert set(values) <= {"seq", "kind", "call", "principal", "action", "server", "target", "outcome", "duration_us", "reason", "detail"}  # noqa: E501  # fmt: skip


def test_a_framed_message_says_how_many_octets_it_has() -> None:
    message = "<110>1 ü".encode()
    assert syslog.framed(message) == b"9 " + message


# ── OCSF ──

REQUIRED = {
    ocsf.API_ACTIVITY: {"actor", "api", "src_endpoint"},
    ocsf.AUTHENTICATION: {"user"},
    ocsf.ENTITY_MANAGEMENT: {"entity"},
}
"""Attributes that schema.ocsf.io/1.7.0 calls required of each class, beside those of every event."""
OF_EVERY_EVENT = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
ACTIVITIES = {
    ocsf.API_ACTIVITY: {0, 1, 2, 3, 4, 99},
    ocsf.AUTHENTICATION: {0, 1, 2, 3, 4, 5, 6, 7, 99},
    ocsf.ENTITY_MANAGEMENT: {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 99},
}
AT_LEAST_ONE = {
    "user": {"account", "name", "uid"},
    "entity": {"name", "uid", "device", "group", "org", "policy", "user"},
    "src_endpoint": {"ip", "uid", "name", "hostname", "svc_name", "instance_uid", "interface_uid", "interface_name", "domain"},  # noqa: E501
    "service": {"name", "uid"},
    "actor": {"process", "user", "invoked_by", "session", "app_name", "app_uid"},
}  # fmt: skip


def check_ocsf(event: dict[str, Any]) -> None:
    class_uid = event["class_uid"]
    assert set(event) >= OF_EVERY_EVENT | REQUIRED[class_uid]
    assert event["activity_id"] in ACTIVITIES[class_uid]
    assert event["type_uid"] == class_uid * 100 + event["activity_id"]
    assert event["category_uid"] == class_uid // 1000
    assert event["severity_id"] in range(7)
    assert event["status_id"] in (0, 1, 2)
    assert event["metadata"]["version"] == "1.7.0"
    assert event["metadata"]["product"].keys() >= {"name", "vendor_name"}
    assert isinstance(event["time"], int)
    for name, one_of in AT_LEAST_ONE.items():
        if name in event:
            assert set(event[name]) & one_of, name
    if class_uid == ocsf.API_ACTIVITY:
        assert event["api"]["operation"]
    if class_uid == ocsf.AUTHENTICATION:
        assert "service" in event or "dst_endpoint" in event
    for resource in event.get("resources", []):
        assert resource["name"]


@given(one=recorded)
def test_an_ocsf_event_has_what_its_class_requires_and_every_text_as_it_was(one: Recorded) -> None:
    event = json.loads(ocsf.render(one, ORIGIN))
    check_ocsf(event)
    entry = one.entry
    assert event["metadata"]["sequence"] == one.seq
    assert event.get("status_code", "") == entry.outcome
    assert event.get("unmapped", {}) == (entry.detail or {})
    if event["class_uid"] == ocsf.API_ACTIVITY:
        assert event["actor"]["user"].get("uid", "") == entry.principal
        assert event["api"].get("service", {}).get("name", "") == entry.server
        assert event.get("resources", [{"name": ""}])[0]["name"] == entry.target


def test_calls_refusals_and_changes_have_their_classes() -> None:
    events = [json.loads(ocsf.render(numbered(one), ORIGIN)) for one in EXAMPLES]
    assert [event["class_uid"] for event in events] == [6003, 6003, 6003, 6003, 3002, 3004, 3004]
    assert [event["severity"] for event in events[3:]] == ["Medium", "Medium", "Low", "Critical"]
