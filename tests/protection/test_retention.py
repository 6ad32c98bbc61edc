"""Retention and legal hold: what may go, what never goes, and that the log verifies whatever went."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import NotFound
from garrison.protection.entries import Entry, EntryKind, Recorded, encode
from garrison.protection.ledger import writing_once
from garrison.protection.place import Place
from garrison.protection.pruning import add_hold, holds, plan, prune, release_hold
from garrison.protection.reader import verify
from garrison.protection.retention import DAY_NS, Hold, expired, horizon, is_expired
from garrison.protection.search import Query, entries, search
from garrison.telemetry.redaction import redactor

kinds: st.SearchStrategy[EntryKind] = st.sampled_from(["call.intent", "call.outcome", "refusal", "change"])
some_entries = st.lists(
    st.builds(
        Entry,
        time_ns=st.integers(0, 100),
        kind=kinds,
        principal=st.sampled_from(["a", "b", ""]),
        server=st.sampled_from(["git", "time", ""]),
    ),
    max_size=30,
)
some_holds = st.lists(
    st.builds(
        Hold,
        id=st.just("h"),
        principal=st.sampled_from(["a", ""]),
        server=st.sampled_from(["git", ""]),
        since_ns=st.integers(0, 60),
        until_ns=st.integers(40, 100),
    ),
    max_size=2,
)


@given(some_entries, some_holds, st.integers(0, 100))
def test_runs_are_exactly_what_has_expired(found: list[Entry], held: list[Hold], horizon_ns: int) -> None:
    numbered = [Recorded(seq, one, "") for seq, one in enumerate(found, 1)]
    runs = list(expired(numbered, held, horizon_ns))
    gone = [seq for first, last in runs for seq in range(first, last + 1)]
    assert gone == [one.seq for one in numbered if is_expired(one.entry, held, horizon_ns)]
    assert all(second[0] > first[1] + 1 for first, second in pairwise(runs))
    for seq in gone:
        entry = found[seq - 1]
        assert entry.kind != "change"
        assert entry.time_ns < horizon_ns
        assert not any(hold.covers(entry.principal, entry.server, entry.time_ns) for hold in held)


def test_zero_days_keep_everything() -> None:
    assert horizon(10**18, 0) == 0
    assert horizon(40 * DAY_NS, 30) == 10 * DAY_NS


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Ten days with four entries each, by two principals at two servers; a change on each of them."""
    place = Place(tmp_path / "ledger.sqlite")
    clock = ManualClock(10 * DAY_NS)
    with writing_once(place, clock) as log:
        for day in range(10):
            found = [
                Entry(day * DAY_NS, "call.intent", f"c{day}", "key:a", "tools/call", "git", "status"),
                Entry(day * DAY_NS + 1, "call.outcome", f"c{day}", "key:a", "tools/call", "git", "status", "ok"),
                Entry(day * DAY_NS + 2, "refusal", f"r{day}", "key:b", "tools/call", "time", "now", "grant.missing"),
                Entry(day * DAY_NS + 3, "change", "", "garrison", "server.started", "git"),
            ]
            log.note(log.append([encode(one, redactor) for one in found]))
    return place


def kept(place: Place) -> list[int]:
    return [one.seq for one in entries(place)]


def test_what_has_expired_goes_and_the_log_still_verifies(place: Place) -> None:
    assert plan(place, 3 * DAY_NS).count == 9
    count, _ = prune(place, 3 * DAY_NS, "garrison", "retention of 7 days")
    assert count == 9
    assert kept(place) == [4, 8, *range(12, 42)]
    assert verify(place).ok
    record = search(place, Query(method="ledger.pruned")).entries[0].entry
    assert record.detail == {"runs": [[1, 3], [5, 7], [9, 11]], "why": "retention of 7 days"}
    assert plan(place, 3 * DAY_NS).count == 0


def test_nothing_is_recorded_when_nothing_goes(place: Place) -> None:
    assert prune(place, 0, "garrison", "x") == (0, 1)
    assert len(kept(place)) == 40


def test_a_held_entry_stays_and_goes_after_the_release(place: Place) -> None:
    clock = ManualClock(11 * DAY_NS)
    add_hold(place, Hold(id="h1", principal="key:b", reason="case 7", by="local:ops"), clock)
    add_hold(place, Hold(id="h2", server="git", since_ns=DAY_NS, until_ns=DAY_NS, reason="x", by="local:ops"), clock)
    assert [hold.id for hold in holds(place)] == ["h1", "h2"]
    prune(place, 3 * DAY_NS, "garrison", "x")
    assert [seq for seq in kept(place) if seq < 12] == [3, 4, 5, 7, 8, 11]
    release_hold(place, "h1", "local:ops", "case closed", clock)
    prune(place, 3 * DAY_NS, "garrison", "x")
    assert [seq for seq in kept(place) if seq < 12] == [4, 5, 8]
    assert [(hold.id, hold.by, hold.reason) for hold in holds(place)] == [("h2", "local:ops", "x")]
    assert verify(place).ok


def test_a_hold_that_is_not_there_cannot_be_released(place: Place) -> None:
    with pytest.raises(NotFound):
        release_hold(place, "h9", "local:ops", "")


def test_a_pruning_can_go_on_where_the_last_one_ended(place: Place) -> None:
    _, begin = prune(place, 3 * DAY_NS, "garrison", "x")
    assert begin == 13
    count, _ = prune(place, 5 * DAY_NS, "garrison", "x", begin)
    assert count == 6
    assert verify(place).ok
