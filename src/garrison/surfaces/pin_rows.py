"""Pins and proposals as people and scripts see them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from garrison.catalog.pin_book import PinBook, Place
from garrison.catalog.pins import KINDS
from garrison.kernel.clock import rfc3339


def pin_rows(book: PinBook, server: str = "", name: str = "") -> list[dict[str, Any]]:
    """All of them, or a server's, or those of one name of it: what is held first, then what is pinned."""
    wanted = [row for row in _rows(book) if server in ("", row["server"]) and name in ("", row["name"])]
    return sorted(wanted, key=lambda row: (row["server"], row["state"] == "pinned", row["kind"], row["name"]))


def _rows(book: PinBook) -> Iterator[dict[str, Any]]:
    for server, pins in book.servers.items():
        for kind in KINDS:
            for name, pin in pins.of(kind).items():
                if (server, kind, name) not in book.proposals:
                    yield _row((server, kind, name), "pinned", pin.sha256, "", pin.text)
    for place, proposal in book.proposals.items():
        row = _row(place, proposal.why or "pinned", proposal.before, proposal.after, proposal.text)
        row["first_seen"] = rfc3339(proposal.first_seen_ns)
        row["findings"] = list(proposal.findings)
        yield row


def _row(place: Place, state: str, pinned: str, offered: str, text: str) -> dict[str, Any]:
    """`offered`: the hash of what is held; empty where what is offered is what is pinned."""
    server, kind, name = place
    return {
        "server": server,
        "kind": kind,
        "name": name,
        "state": state,
        "pinned": pinned,
        "offered": offered,
        "first_seen": "",
        "text": text,
        "findings": [],
    }


def differences(book: PinBook, server: str = "", name: str = "") -> list[dict[str, Any]]:
    """What is held, with what would change."""
    places = [place for place in sorted(book.proposals) if server in ("", place[0]) and name in ("", place[2])]
    rows = {(row["server"], row["kind"], row["name"]): row for row in pin_rows(book)}
    return [{**rows[place], "diff": book.difference(place)} for place in places]
