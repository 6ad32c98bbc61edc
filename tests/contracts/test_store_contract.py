"""What every store of the ledger must do, each held to the same: SQLite, and a real PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from garrison.kernel.clock import ManualClock, SystemClock
from garrison.kernel.errors import NotFound
from garrison.protection.entries import GAP, Entry
from garrison.protection.ledger import Ledger, LedgerSettings, record_once, writing_once
from garrison.protection.log import Log
from garrison.protection.merkle import Frontier, leaf_hash, verify_consistency, verify_inclusion
from garrison.protection.pages import Page
from garrison.protection.place import Place
from garrison.protection.reader import Filter, show, tail, verify
from garrison.protection.reading import open_reading
from garrison.protection.records import PRUNED
from garrison.protection.store import Store, open_store
from garrison.protection.tree import StoredTree
from postgres_server import Postgres

FAILURES = (sqlite3.Error, OSError)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    url = ""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres_server")
        url = server.database()
    return Place(tmp_path / "ledger.sqlite", url)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    opened = open_store(place, create=True)
    yield opened
    opened.close()


def a_page(first: int, *bodies: bytes) -> Page:
    leaves = b"".join(leaf_hash(body) for body in bodies)
    return Page(first, first + len(bodies) - 1, leaves, b"n" * 32, b"\n".join(bodies))


def put(store: Store, *pages: Page) -> None:
    with store.writing():
        for page in pages:
            store.insert(page)


def entry(number: int, call: str = "") -> Entry:
    return Entry(number, "call.outcome", call or f"call{number}", "alice", "tools/call", "git", "ünïcode", "ok", 12)


def execute(place: Place, statement: str) -> None:
    """As anybody with access to the database could."""
    if place.url:
        with psycopg.connect(place.url, autocommit=True) as connection:
            connection.execute(statement.replace("pages", "ledger_pages").replace("checkpoints", "ledger_checkpoints"))
    else:
        other = sqlite3.connect(place.path)
        try:
            other.execute(statement)
            other.commit()
        finally:
            other.close()


def test_pages_come_back_as_they_were_put(store: Store) -> None:
    one, two = a_page(1, b"a", b"b"), a_page(3, "ü".encode())
    put(store, one, two)
    with store.reading():
        assert list(store.pages()) == [one, two]
        assert list(store.pages(backwards=True)) == [two, one]
        assert list(store.pages(2, 2)) == [one]
        assert list(store.pages(3)) == [two]
        assert list(store.pages(4)) == [two], "the page before is the last one that could hold it"
        assert list(store.pages(holding=b"b")) == [one]
        assert store.size() == 3


def test_leaves_and_nodes_are_read_without_bodies(store: Store) -> None:
    put(store, a_page(1, b"a", b"b", b"c"), a_page(4, b"d", b"e"))
    with store.reading():
        assert store.leaves(2, 4) == leaf_hash(b"b") + leaf_hash(b"c") + leaf_hash(b"d")
        assert store.leaves(5, 99) == leaf_hash(b"e")
        assert store.nodes_at(5) == (4, b"n" * 32)
        with pytest.raises(KeyError):
            store.nodes_at(6)


def test_an_empty_store_has_nothing(store: Store) -> None:
    with store.reading():
        assert (store.size(), store.leaves(1, 5), list(store.pages()), list(store.checkpoints())) == (0, b"", [], [])
        assert (store.mark("x"), store.fact("x")) == (0, "")


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.writing():
            store.insert(a_page(1, b"a"))
            store.set_marks([("spool", 5)])
            store.set_fact("key", "k")
            store.add_checkpoint(1, "note")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    with store.reading():
        assert (store.size(), store.mark("spool"), store.fact("key"), list(store.checkpoints())) == (0, 0, "", [])
    put(store, a_page(1, b"a"))


def test_marks_and_facts_are_replaced_and_checkpoints_listed(store: Store) -> None:
    with store.writing():
        store.set_marks([("one", 1), ("two", 2)])
        store.set_marks([("one", 2**40)])
        store.set_fact("key", "a")
        store.set_fact("key", "b")
        store.add_checkpoint(7, "seven\n— ü")
        store.add_checkpoint(9, "nine")
    with store.reading():
        assert (store.mark("one"), store.mark("two"), store.fact("key")) == (2**40, 2, "b")
        assert list(store.checkpoints()) == [(7, "seven\n— ü"), (9, "nine")]
        assert list(store.checkpoints(newest_only=True)) == [(9, "nine")]


@pytest.mark.parametrize("first", [1, 2, 4, 100])
def test_a_page_that_does_not_follow_is_refused(store: Store, first: int) -> None:
    put(store, a_page(1, b"a", b"b"))
    with pytest.raises(FAILURES):
        put(store, a_page(first, b"x"))
    with store.reading():
        assert store.size() == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pages SET last = last + 1",
        "UPDATE pages SET bodies = bodies",
        "UPDATE pages SET hashes = nodes",
        "DELETE FROM pages",
        "UPDATE checkpoints SET note = 'x'",
        "DELETE FROM checkpoints",
    ],
)
def test_the_database_itself_refuses_change_and_removal(store: Store, place: Place, statement: str) -> None:
    put(store, a_page(1, b"a"))
    with store.writing():
        store.add_checkpoint(1, "note")
    with pytest.raises((sqlite3.Error, psycopg.Error), match="append-only"):
        execute(place, statement)
    with store.reading():
        assert list(store.pages()) == [a_page(1, b"a")]


def test_pruning_changes_bodies_and_nothing_else(store: Store, place: Place) -> None:
    put(store, a_page(1, b"a", b"b"), a_page(3, b"c"))
    with store.writing():
        store.replace_bodies(1, b"null\nb")
    with store.reading():
        assert [page.bodies for page in store.pages()] == [b"null\nb", b"c"]
    with pytest.raises((sqlite3.Error, psycopg.Error), match="append-only"):
        execute(place, "UPDATE pages SET bodies = 'x'")


def test_a_reader_sees_one_moment(store: Store, place: Place) -> None:
    put(store, a_page(1, b"a"))
    other = open_store(place, read_only=True)
    with other.reading():
        assert other.size() == 1
        put(store, a_page(2, b"b"))
        assert other.size() == 1
        assert len(list(other.pages())) == 1
    with other.reading():
        assert other.size() == 2
    other.close()


def test_what_is_not_there_is_not_made_by_reading(place: Place) -> None:
    for read_only in (True, False):
        with pytest.raises(FileNotFoundError):
            open_store(place, read_only=read_only)
    with pytest.raises(NotFound):
        tail(place)


def test_writers_wait_for_one_another_and_build_one_tree(place: Place) -> None:
    def write(who: int) -> None:
        log = Log(place, SystemClock())
        for number in range(30):
            log.note(log.append([b"%d-%d-%d" % (who, number, part) for part in range(number % 7 + 1)]))
        log.close()

    Log(place, SystemClock()).close()
    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verdict = verify(place)
    assert verdict.ok, verdict
    assert verdict.entries == 4 * sum(number % 7 + 1 for number in range(30))
    with open_reading(place) as store:
        bodies = [body for page in store.pages() for body in page.lines]
    for who in range(4):
        mine = [body for body in bodies if body.startswith(b"%d-" % who)]
        assert mine == [b"%d-%d-%d" % (who, number, part) for number in range(30) for part in range(number % 7 + 1)]


def test_proofs_of_every_entry_and_every_size_hold(place: Place) -> None:
    bodies = [b"body %d" % number for number in range(600)]
    log = Log(place, ManualClock())
    for start in range(0, 600, 37):
        log.append(bodies[start : start + 37])
    log.close()
    frontier = Frontier()
    roots = [frontier.root()]
    for body in bodies:
        frontier.extend(leaf_hash(body))
        roots.append(frontier.root())
    with open_reading(place) as store:
        tree = StoredTree(store)
        for size in (1, 255, 256, 257, 511, 512, 600):
            assert tree.root(size) == roots[size]
            for seq in {1, 2, size // 2 + 1, size}:
                if seq <= size:
                    proof = tree.inclusion(seq, size)
                    assert verify_inclusion(leaf_hash(bodies[seq - 1]), seq - 1, size, proof, roots[size])
        for old in range(0, 601, 7):
            assert verify_consistency(old, 600, roots[old], roots[600], tree.consistency(old, 600))


def test_a_whole_ledger_works_on_it(place: Place) -> None:
    ledger = Ledger(place.path, LedgerSettings(url=place.url, window_s=0.001))
    for number in range(1, 301):
        ledger.append(entry(number))
    ledger.flush()
    assert record_once(place, Entry(7, "change", action="keys.create")) == 301
    assert ledger.record(entry(302)) == 302
    assert ledger.close() == 0
    assert [one.seq for one in tail(place, 2, Filter(principal="alice"))] == [300, 302]
    assert show(place, "call17")[0].entry == entry(17)
    verdict = verify(place)
    assert (verdict.ok, verdict.entries, verdict.checkpoints) == (True, 302, 1), verdict


def test_pruned_entries_verify_and_what_was_blanked_is_found(place: Place) -> None:
    ledger = Ledger(place.path, LedgerSettings(url=place.url))
    for number in range(1, 101):
        ledger.append(entry(number))
    ledger.close()
    with writing_once(place, ManualClock()) as log:
        assert log.prune([(10, 19), (30, 30), (90, 500)], "alice", "retention") == 22
        log.checkpoint()
    verdict = verify(place)
    assert (verdict.ok, verdict.pruned) == (True, 22), verdict
    assert [one.seq for one in tail(place, 200) if 8 <= one.seq <= 21] == [8, 9, 20, 21]
    [record] = tail(place, 1)
    assert (record.entry.action, record.entry.detail) == (
        PRUNED,
        {"runs": [[10, 19], [30, 30], [90, 100]], "why": "retention"},
    )
    store = open_store(place)
    with store.writing():
        page = next(iter(store.pages(40, 40)))
        lines = page.lines
        lines[40 - page.first] = b"null"
        store.replace_bodies(page.first, b"\n".join(lines))
    store.close()
    verdict = verify(place)
    assert (verdict.ok, verdict.first_bad_seq) == (False, 40), verdict


def test_an_end_that_was_cut_off_is_put_on_the_record(place: Place) -> None:
    ledger = Ledger(place.path, LedgerSettings(url=place.url))
    ledger.append(entry(1))
    ledger.close()
    older = Place(place.path.with_name("other.sqlite"), "")
    record_once(older, entry(1))
    head = older.path.with_suffix(".head").read_bytes().replace(b"0001 ", b"0009 ")
    place.beside.with_suffix(".head").write_bytes(head)
    Ledger(place.path, LedgerSettings(url=place.url)).close()
    [gap] = tail(place, 1)
    assert (gap.entry.action, gap.entry.detail) == (
        GAP,
        {"reason": "entries are missing at the end", "from": 2, "to": 9},
    )
    with suppress(NotFound):
        assert not verify(place).ok


def test_the_entries_can_be_asked_for_in_sql(place: Place) -> None:
    ledger = Ledger(place.path, LedgerSettings(url=place.url))
    for number in range(1, 4):
        ledger.append(entry(number))
    ledger.close()
    columns = "seq, time_ns, principal, target, outcome, duration_us, hash"
    if place.url:
        with psycopg.connect(place.url) as connection:
            rows = connection.execute(f"SELECT {columns} FROM ledger_entries ORDER BY seq").fetchall()
    else:
        with sqlite3.connect(place.path) as other:
            rows = other.execute(f"SELECT {columns} FROM entries").fetchall()
        other.close()
    assert [tuple(row[:6]) for row in rows] == [
        (number, number, "alice", "ünïcode", "ok", 12) for number in range(1, 4)
    ]
    assert [row[6] for row in rows] == [one.hash for one in tail(place, 3)]
