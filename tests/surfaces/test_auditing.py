"""Upkeep of a home's ledger: what has expired goes by itself, with its bodies, and goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import Invalid
from garrison.kernel.home import Home
from garrison.protection.bodies import Whose
from garrison.protection.entries import Entry, encode
from garrison.protection.ledger import writing_once
from garrison.protection.place import Place
from garrison.protection.pruning import add_hold, release_hold
from garrison.protection.reader import verify
from garrison.protection.retention import DAY_NS, Hold
from garrison.protection.search import entries
from garrison.protection.search_index import index_path
from garrison.surfaces import settings
from garrison.surfaces.moments import moment_ns
from garrison.surfaces.setting_groups.audit import AuditSettings
from garrison.surfaces.wiring.auditing import Auditing, Upkeep, body_store, forwarder, kept_bodies
from garrison.telemetry.exposition import render
from garrison.telemetry.metrics import Metrics
from garrison.telemetry.redaction import redactor


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    clock = ManualClock(20 * DAY_NS)
    with writing_once(made.ledger, clock) as log:
        days = [Entry(day * DAY_NS, "call.outcome", f"c{day}", "key:a", "tools/call", "git") for day in range(20)]
        log.note(log.append([encode(one, redactor) for one in days]))
    return made


def left(home: Home) -> list[str]:
    return [one.entry.call for one in entries(home.ledger) if one.entry.kind == "call.outcome"]


def test_what_has_expired_goes_with_its_bodies_and_holds_are_kept(home: Home) -> None:
    store = body_store(home)
    old = store.keep(Whose("c1", "request", "key:a", "git", DAY_NS), b"old")
    held = store.keep(Whose("c5", "request", "key:a", "git", 5 * DAY_NS), b"held")
    clock = ManualClock(20 * DAY_NS)
    place = Place(home.ledger)
    add_hold(place, Hold(id="h", since_ns=5 * DAY_NS, until_ns=5 * DAY_NS, by="local:me", reason="r"), clock)
    upkeep = Upkeep(home, place, 10, clock)
    assert upkeep.once() == 9
    assert left(home) == ["c5", *(f"c{day}" for day in range(10, 20))]
    assert [store.read(one).state for one in (old, held)] == ["gone", "kept"]
    clock.advance(86_400)
    assert upkeep.once() == 1
    release_hold(place, "h", "local:me", "over", clock)
    assert upkeep.once() == 1
    assert left(home) == [f"c{day}" for day in range(11, 20)]
    assert store.read(held).state == "gone"
    store.close()
    assert verify(place).ok


def test_without_a_time_nothing_goes_and_the_index_grows(home: Home) -> None:
    assert Upkeep(home, Place(home.ledger), 0, ManualClock(400 * DAY_NS)).once() == 0
    assert len(left(home)) == 20
    assert index_path(Place(home.ledger)).exists()


def test_nothing_is_kept_or_forwarded_by_default(home: Home) -> None:
    assert kept_bodies(home, AuditSettings()) is None
    assert forwarder(home, Place(home.ledger), settings.Settings()) is None
    assert not home.bodies.exists()


def test_what_a_receiver_does_not_have_yet_is_a_number_to_watch(home: Home) -> None:
    metrics, auditing = Metrics(), AuditSettings(forward="syslog+tcp://127.0.0.1:1")
    made = Auditing(home, Place(home.ledger), settings.Settings(audit=auditing), metrics)
    assert made.forwarder is not None
    made.forwarder.behind = 7
    assert b"garrison_audit_forward_behind 7" in render(metrics)
    assert not Auditing(home, Place(home.ledger), settings.Settings(), Metrics()).status()


def test_a_wrong_receiver_is_refused_when_settings_are_read() -> None:
    loaded = settings.load({"audit": {"forward": "http://siem"}}, "garrison.yaml", {}, {})
    (problem,) = loaded.problems
    assert "audit.forward" in problem.message
    assert "syslog+tls://" in problem.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", 10**18),
        ("2h", 10**18 - 7200 * 10**9),
        ("3w", 10**18 - 21 * DAY_NS),
        ("2026-11-22T08:30:00Z", 1_795_336_200 * 10**9),
        ("2026-11-22T09:30:00.000001+01:00", 1_795_336_200 * 10**9 + 1000),
        ("2026-11-22", 1_795_305_600 * 10**9),
    ],
)
def test_moments_are_read_as_people_write_them(text: str, expected: int) -> None:
    assert moment_ns(text, 10**18) == expected


@pytest.mark.parametrize(
    "text",
    ["", "2", "h", "-2h", "yesterday", "2026-13-01", "٢h", "9999999999d", "0001-01-01T00:00:00+14:00", "2300-01-01"],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no moment"):
        moment_ns(text, 10**18)
