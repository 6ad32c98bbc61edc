"""Continuous forwarding: whatever happens to the receiver or to us, it gets every entry, in order."""

from __future__ import annotations

import re
from pathlib import Path

from garrison.protection.entries import Entry
from garrison.protection.export import syslog
from garrison.protection.export.event import Origin
from garrison.protection.export.forwarding import Destination, Forwarder, read_cursor
from garrison.protection.export.receiver import Address
from garrison.protection.ledger import Ledger
from garrison.protection.place import Place
from protection_receivers import Listener, eventually


def fill(ledger: Ledger, first: int, last: int) -> None:
    for number in range(first, last + 1):
        ledger.append(Entry(number, "change", action=f"test.{number}"))
    ledger.flush()


def forwarder(path: Path, cursor: Path, listener: Listener) -> Forwarder:
    to = Destination(Address("tcp", "127.0.0.1", listener.port), syslog.render, Origin("fleet-1"))
    made = Forwarder(Place(path), cursor, to)
    made.start()
    return made


def numbers(listener: Listener) -> list[int]:
    return [int(found[1]) for one in list(listener.messages) if (found := re.search(rb'seq="(\d+)"', one))]


def distinct(listener: Listener) -> list[int]:
    """In the order in which they were first seen."""
    return list(dict.fromkeys(numbers(listener)))


def test_entries_are_sent_as_they_come(ledger: Ledger, path: Path, cursor: Path, listener: Listener) -> None:
    fill(ledger, 1, 700)
    forwarding = forwarder(path, cursor, listener)
    eventually(lambda: len(listener.messages) >= 700, "those that were there")
    fill(ledger, 701, 710)
    eventually(lambda: len(listener.messages) >= 710, "those that came")
    eventually(lambda: read_cursor(cursor).seq == 710, "the cursor")
    forwarding.stop()
    assert numbers(listener) == list(range(1, 711))


def test_after_a_restart_it_goes_on_where_it_was(ledger: Ledger, path: Path, cursor: Path, listener: Listener) -> None:
    fill(ledger, 1, 20)
    first = forwarder(path, cursor, listener)
    eventually(lambda: read_cursor(cursor).seq == 20, "the first twenty")
    first.stop()
    fill(ledger, 21, 30)
    second = forwarder(path, cursor, listener)
    eventually(lambda: read_cursor(cursor).seq == 30, "the others")
    second.stop()
    assert numbers(listener) == list(range(1, 31))


def test_nothing_is_lost_while_the_receiver_is_down(
    ledger: Ledger, path: Path, cursor: Path, listener: Listener
) -> None:
    fill(ledger, 1, 10)
    forwarding = forwarder(path, cursor, listener)
    eventually(lambda: read_cursor(cursor).seq == 10, "the first ten")
    listener.go_away()
    fill(ledger, 11, 60)
    eventually(lambda: bool(forwarding.problem), "the problem is seen")
    assert read_cursor(cursor).seq == 10
    eventually(lambda: forwarding.behind == 50, "what waits is counted")
    listener.come_back()
    eventually(lambda: read_cursor(cursor).seq == 60, "all the rest")
    forwarding.stop()
    assert (forwarding.problem, forwarding.behind) == ("", 0)
    assert distinct(listener) == list(range(1, 61))
