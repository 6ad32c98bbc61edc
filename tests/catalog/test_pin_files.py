"""Canonical JSON, pins, the lock file and the book that keeps them."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.canonical import canonical, digest
from garrison.catalog.lock_file import Lock, parsed, rendered
from garrison.catalog.pin_book import PinBook, book_of
from garrison.catalog.pins import Pin, Proposal, ServerPins, diff_text, held_because, pin_of, short_text, source_of
from garrison.catalog.spec import ServerSpec
from garrison.kernel.errors import Invalid, NotFound
from garrison.kernel.home import Home

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_the_canonical_form_means_the_same(value: Any) -> None:
    """As numbers have it in ECMAScript: whole ones are doubles as well."""
    assert json.loads(canonical(value), parse_int=float) == json.loads(json.dumps(value), parse_int=float)


@given(st.dictionaries(st.text(), st.integers(), max_size=8))
def test_the_order_of_members_does_not_matter(value: dict[str, int]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


@given(JSON, JSON)
def test_what_differs_has_another_digest(one: Any, other: Any) -> None:
    is_same = canonical(one) == canonical(other)
    assert (digest(one) == digest(other)) == is_same


# RFC 8785, appendix B: bits of a double, and how ECMAScript writes it.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_the_rfc_has_them(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(value) == text


def test_the_rfcs_own_example() -> None:
    given = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert canonical(given) == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    sorted_names = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(names, 1)))) == sorted_names


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1: 2}.keys()])
def test_what_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(Invalid):
        canonical(value)


def test_what_is_nested_deeply_still_has_a_digest() -> None:
    deep: Any = []
    for _ in range(800):
        deep = [deep]
    assert len(digest({"inputSchema": deep})) == 64


TOOL: dict[str, Any] = {"name": "mail", "description": "Send a letter", "inputSchema": {"type": "object"}}


@given(st.sampled_from(["title", "description", "annotations", "icons", "_meta", "outputSchema", "anything"]), JSON)
def test_every_member_of_a_definition_counts(member: str, value: Any) -> None:
    changed = {**TOOL, member: value}
    assert (pin_of(changed).sha256 == pin_of(TOOL).sha256) == (canonical(changed) == canonical(TOOL))


def test_what_is_pinned_must_be_as_it_was_and_what_is_new_depends() -> None:
    pins = ServerPins(tools={"mail": Pin("a")})
    assert held_because(pins, "tool", "mail", "a", "approve") == ""
    assert held_because(pins, "tool", "mail", "b", "trust") == "changed"
    assert held_because(pins, "prompt", "mail", "b", "trust") == ""
    assert held_because(None, "tool", "mail", "a", "trust") == ""
    assert held_because(None, "tool", "mail", "a", "approve") == "new"
    assert held_because(msgspec.structs.replace(pins, approved=True), "tool", "other", "a", "trust") == "new"


def test_a_source_is_what_runs_and_the_names_of_what_it_gets_not_the_values() -> None:
    spec = ServerSpec(name="a", transport="stdio", command=("npx", "x@1"), env={"TOKEN": "secret"})
    same = msgspec.structs.replace(spec, env={"TOKEN": "other"}, timeout_s=5, name="b")
    assert source_of(spec) == source_of(same)
    for changes in ({"command": ("npx", "x@2")}, {"env": {}}, {"cwd": "/"}, {"url": "https://x"}):
        assert source_of(msgspec.structs.replace(spec, **changes)) != source_of(spec)


def test_a_difference_is_told_by_field_and_hides_nothing() -> None:
    after = {
        **TOOL,
        "description": "Send a letter\u200b\u202e and\x1b[31m more\U000e0041",
        "inputSchema": {"type": "object", "properties": {"to": {"type": "string"}}},
    }
    told = diff_text(TOOL, after)
    assert "  description\n    -Send a letter\n    +Send a letter\\u200b\\u202e and\\x1b[31m more\\U000e0041" in told
    assert "  inputSchema/properties/to/type\n    +string" in told
    assert "name" not in told
    assert told.replace("\n", "").isprintable()
    assert diff_text(TOOL, TOOL) == ""
    assert len(diff_text(None, {"description": "x\n" * 5000}).splitlines()) <= 401
    assert short_text({"description": "\n  First\u202e line\nmore"}) == "First\\u202e line"


NAMES = st.text(min_size=1, max_size=12)
KEPT = st.dictionaries(NAMES, st.builds(Pin, st.sampled_from(["a" * 64, "1" * 64, "1e" * 32]), NAMES), max_size=2)
SERVERS = st.builds(ServerPins, source=st.just("2" * 64), approved=st.booleans(), tools=KEPT, resources=KEPT)


@given(st.dictionaries(NAMES, SERVERS, max_size=3))
def test_a_lock_is_read_as_it_was_written_and_is_plain_text(servers: dict[str, ServerPins]) -> None:
    lock = Lock(servers=servers)
    text = rendered(lock)
    assert parsed(text, "x") == lock
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert rendered(Lock(servers=dict(reversed(servers.items())))) == text


@pytest.mark.parametrize(
    "text",
    [
        "<<<<<<< HEAD\nversion: 1",
        "version: 2",
        "servers: {a: {tools: {b: {sha256: 'short'}}}}",
        "servers: {a: {unknown: 1}}",
        "[1, 2]",
        "servers:\n  a: {}\n  a: {}",
        "servers: &a [*a]",
    ],
)
def test_a_lock_that_is_none_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(Invalid, match=r"garrison\.lock") as caught:
        parsed(text, "garrison.lock")
    assert caught.value.code == "pins.lock"


def changed_book(folder: Path) -> PinBook:
    """`mail` is pinned, and something else is offered."""
    book = book_of(Home(folder), folder / "garrison.lock")
    book.pin(("post", "tool", "mail"), pin_of(TOOL), TOOL, "s" * 64)
    book.save()
    after = {**TOOL, "description": "Send all letters"}
    pin = pin_of(after)
    found = Proposal("tool", "mail", "changed", pin_of(TOOL).sha256, pin.sha256, pin.text, 5, 5)
    book.propose("post", found, after)
    book.save()
    return book


def test_a_book_is_read_as_it_was_saved_and_tells_differences(tmp_path: Path) -> None:
    changed_book(tmp_path)
    book = book_of(Home(tmp_path), tmp_path / "garrison.lock")
    book.read()
    (place,) = book.proposals
    assert "+Send all letters" in book.difference(place)
    with pytest.raises(Invalid, match="looked at"):
        book.approve("post", "mail", "0" * 64)
    (taken,) = book.approve("post", "mail")
    assert (taken.before, book.servers["post"].tools["mail"].sha256) == (pin_of(TOOL).sha256, taken.after)
    book.save()
    assert len(list((tmp_path / "pins").glob("*.json"))) == 2, "what nothing points to is cleared away"
    with pytest.raises(NotFound):
        book.approve("post", "mail")
    (taken,) = book.revoke("post", "mail")
    assert held_because(book.servers["post"], "tool", "mail", taken.before, "trust") == "new"


def test_what_others_wrote_into_the_lock_meanwhile_stays(tmp_path: Path) -> None:
    book = changed_book(tmp_path)
    lock = tmp_path / "garrison.lock"
    merged = parsed(lock.read_text(), "").servers | {"other": ServerPins(source="x", tools={"look": Pin("b" * 64)})}
    lock.write_text(rendered(Lock(servers=merged)))
    book.approve("post", "mail")
    book.save()
    found = parsed(lock.read_text(), "").servers
    assert "look" in found["other"].tools
    assert found["post"].tools["mail"].sha256 != pin_of(TOOL).sha256


def test_proposals_keep_when_they_were_first_seen(tmp_path: Path) -> None:
    book = changed_book(tmp_path)
    (place,) = book.proposals
    book.propose("post", msgspec.structs.replace(book.proposals[place], first_seen_ns=9, seen_ns=9), TOOL)
    assert (book.proposals[place].first_seen_ns, book.proposals[place].seen_ns) == (5, 9)
