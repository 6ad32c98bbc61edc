"""Questions to the ledger: the index and the plain scan answer alike, page by page."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costs import cost
from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import NotFound
from garrison.protection import search_index
from garrison.protection.entries import Entry, encode
from garrison.protection.ledger import Ledger, writing_once
from garrison.protection.place import Place
from garrison.protection.search import Query, entries, search
from garrison.protection.search_index import index_path
from garrison.telemetry.redaction import redactor

COUNT = 300


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Segments of 32 entries, so that there are several; three calls in ten fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_index, "SEGMENT", 32)
        path = tmp_path_factory.mktemp("search") / "ledger.sqlite"
        fill(path, COUNT)
        yield path


def fill(path: Path, count: int, first: int = 1, page: int = 50) -> None:
    bodies = [encode(entry(number), redactor) for number in range(first, first + count)]
    with writing_once(path, ManualClock()) as log:
        for at in range(0, len(bodies), page):
            log.note(log.append(bodies[at : at + page]))


def entry(number: int) -> Entry:
    outcome = ("ok", "ok", "tool_error", "call.timeout", "ok")[number % 5]
    who, tool, server = f"key:{number % 7}", f"tool_{number % 11}", f"server-{number // 100}"
    return Entry(number * 1000, "call.outcome", f"call{number:06}", who, "tools/call", server, tool, outcome, 5)


def numbers(path: Path, indexed: bool = True, **wanted: Any) -> list[int]:
    return [one.seq for one in search(path, Query(**{"limit": 1000, **wanted}), indexed=indexed).entries]


def test_the_newest_come_first_and_the_next_page_follows(filled: Path) -> None:
    first = search(filled, Query(limit=40))
    assert [one.seq for one in first.entries] == list(range(COUNT, COUNT - 40, -1))
    second = search(filled, Query(limit=300, before=first.next))
    assert [one.seq for one in second.entries] == list(range(COUNT - 40, 0, -1))
    assert second.next == 0


queries = st.fixed_dictionaries(
    {},
    optional={
        "principal": st.sampled_from(["key:1", "key:6", "key:none"]),
        "tool": st.sampled_from(["tool_0", "tool_10", 'tool"\\']),
        "server": st.sampled_from(["server-0", "server-2"]),
        "outcome": st.sampled_from(["ok", "failed", "call.timeout"]),
        "method": st.sampled_from(["tools/call", "tools/list"]),
        "kind": st.sampled_from(["call.outcome", "change"]),
        "call": st.sampled_from(["call000017", "call000299"]),
        "since_ns": st.integers(0, COUNT * 1000),
        "until_ns": st.integers(0, COUNT * 1000),
        "before": st.integers(0, COUNT + 10),
    },
)


@settings(deadline=None)
@given(wanted=queries)
def test_the_index_changes_no_answer(filled: Path, wanted: dict[str, Any]) -> None:
    with_index, without = numbers(filled, **wanted), numbers(filled, indexed=False, **wanted)
    assert with_index == without
    query = Query(**{"limit": 1000, **wanted})
    end = query.before or COUNT + 1
    assert with_index == [number for number in range(COUNT, 0, -1) if number < end and query.matches(entry(number))]


def test_what_came_after_the_index_was_made_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "SEGMENT", 16)
    path = tmp_path / "ledger.sqlite"
    fill(path, 20)
    assert numbers(path, call="call000020") == [20]
    fill(path, 60, first=21)
    assert numbers(path, call="call000075") == [75]
    assert numbers(path, principal="key:3", since_ns=70_000) == [80, 73]


def test_an_index_of_another_ledger_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "SEGMENT", 16)
    one, other = tmp_path / "one.sqlite", tmp_path / "other.sqlite"
    fill(one, 64)
    fill(other, 64, first=1001)
    assert numbers(other, call="call001005") == [5]
    index_path(Place(one)).write_bytes(index_path(Place(other)).read_bytes())
    assert numbers(one, call="call000005") == [5]


def test_each_store_of_a_home_has_an_index_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    places = [Place(path, url) for url in ("", "postgresql://db/x", "postgresql://db/y")]
    assert len({index_path(one) for one in places}) == 3


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 100])
def test_a_damaged_index_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes) -> None:
    monkeypatch.setattr(search_index, "SEGMENT", 16)
    path = tmp_path / "ledger.sqlite"
    fill(path, 40)
    for _ in range(2):
        index_path(Place(path)).write_bytes(damage)
        assert numbers(path, call="call000005") == [5]
        assert numbers(path, call="call000039") == [39]


def test_only_segments_that_may_hold_the_words_are_read(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call's id is in one segment of ten; the filter lets hardly any other through."""
    numbers(filled, call="call000100")
    with sqlite3.connect(index_path(Place(filled))) as connection:
        assert connection.execute("SELECT count(*) FROM segments").fetchone()[0] == COUNT // 32
    connection.close()


def test_entries_come_in_order_and_in_their_range(filled: Path) -> None:
    assert [one.seq for one in entries(filled)] == list(range(1, COUNT + 1))
    assert [one.seq for one in entries(filled, 49, 52)] == [49, 50, 51, 52]
    assert list(entries(filled, COUNT + 1)) == []


def test_a_ledger_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        search(tmp_path / "none.sqlite", Query())


def test_entries_with_hostile_words_are_found_by_them(ledger: Ledger, path: Path) -> None:
    for name in ('a"b', "c\\d", "é\n", "]|="):
        ledger.append(Entry(1, "change", action="x", target=name))
    ledger.flush()
    for at, name in enumerate(('a"b', "c\\d", "é\n", "]|="), 1):
        assert numbers(path, tool=name) == [at]


@pytest.mark.slow
def test_a_rare_word_costs_a_small_part_of_reading_everything(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    fill(path, 60_000, page=250)
    numbers(path, call="call030000")  # makes the index
    everything = cost(lambda: numbers(path, indexed=False, since_ns=1, until_ns=1), 0)
    assert cost(lambda: numbers(path, call="call030000"), everything / 4) < everything / 4
