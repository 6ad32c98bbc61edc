from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from garrison.protection.entries import BODY_BYTES_MAX, Entry, Lines, decode, encode
from garrison.telemetry.redaction import Redactor

mask = Redactor()
texts = st.text(max_size=300)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=10,
)
entries = st.builds(
    Entry,
    time_ns=st.integers(),
    kind=st.sampled_from(["call.intent", "call.outcome", "refusal", "change"]),
    call=texts,
    principal=texts,
    action=texts,
    server=texts,
    target=st.text() | st.text(min_size=5000, max_size=6000),
    outcome=texts,
    duration_us=st.integers(),
    detail=st.none() | st.dictionaries(st.text(max_size=20), json_values, max_size=4),
)


def test_the_body_is_an_array_with_the_version_first() -> None:
    entry = Entry(5, "call.outcome", "c1", "alice", "tools/call", "git", "status", "ok", 12, {"size": 3})
    body = encode(entry, mask)
    assert json.loads(body) == [
        1,
        5,
        "call.outcome",
        "c1",
        "alice",
        "tools/call",
        "git",
        "status",
        "ok",
        12,
        {"size": 3},
    ]
    assert decode(body) == entry


@given(entries)
def test_any_entry_becomes_one_bounded_line_that_can_be_read_back(entry: Entry) -> None:
    body = encode(entry, mask)
    assert len(body) <= BODY_BYTES_MAX
    assert b"\n" not in body
    read = decode(body)
    assert read.action != "ledger.unreadable"
    assert read.kind == entry.kind


def test_long_names_are_cut_and_marked() -> None:
    read = decode(encode(Entry(1, "refusal", target="x" * 10_000), mask))
    assert read.target == "x" * 256 + "…[cut 9744]"


def test_long_details_are_cut_and_marked() -> None:
    read = decode(encode(Entry(1, "change", detail={"a": "x" * 10_000}), mask))
    assert read.detail is not None
    assert str(read.detail["cut"]).startswith('{"a":"xxx')
    assert "…[cut " in str(read.detail["cut"])


def test_what_cannot_be_json_is_recorded_all_the_same() -> None:
    cycle: dict[str, object] = {}
    cycle["me"] = cycle
    for detail in ({"it": object()}, {"big": 10**400}, {"lone": "\ud800"}, cycle, {"nan": float("nan")}):
        assert decode(encode(Entry(1, "change", action="x", detail=detail), mask)).action == "x"


def test_secrets_are_masked_in_every_field_that_callers_fill() -> None:
    canary = "Canary-77aa88bb"
    masking = Redactor()
    masking.add(canary)
    for shape in (canary, f"https://user:{canary}@host/x", f"gsn_abcdefgh_{canary}", f"Bearer {canary}"):
        for entry in (
            Entry(1, "refusal", action=shape),
            Entry(1, "refusal", server=shape),
            Entry(1, "refusal", target=shape),
            Entry(1, "refusal", detail={"inner": [shape]}),
            Entry(1, "refusal", detail={shape: 1}),
        ):
            assert canary.encode() not in encode(entry, masking)
    assert b"s3cret" not in encode(Entry(1, "change", detail={"password": "s3cret"}), masking)
    assert b"s3cret" not in encode(Entry(1, "change", detail={"why": "token=s3cret"}), masking)


def test_a_body_that_cannot_be_read_is_shown_as_such() -> None:
    assert decode(b"\xff[").action == "ledger.unreadable"
    assert decode(b'{"a":1}').action == "ledger.unreadable"


@given(st.text(max_size=40), st.text(max_size=40), st.integers(min_value=0, max_value=2**62))
def test_a_line_made_of_known_parts_is_the_very_encoding(principal: str, target: str, number: int) -> None:
    lines = Lines(mask)
    entry = Entry(number, "call.outcome", "0a1b", principal, "tools/call", "s", target, "ok", 7, {"client": target})
    for _ in range(2):
        key = (principal, target)
        assert lines.of(lambda: entry, key).line(number, "call.outcome", "0a1b", "ok", 7) == encode(entry, mask)


def test_a_secret_that_becomes_known_later_is_masked_in_lines_too() -> None:
    masking = Redactor()
    lines = Lines(masking)
    entry = Entry(1, "call.intent", target="file:///hunter2-hunter2")
    assert b"hunter2" in lines.of(lambda: entry, ("t",)).line(1, "call.intent", "c", "", 0)
    masking.add("hunter2-hunter2")
    assert b"hunter2" not in lines.of(lambda: entry, ("t",)).line(1, "call.intent", "c", "", 0)
