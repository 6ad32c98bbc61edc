"""Whoever asks the ledger of a key by its name is asked about: the ledger names principals otherwise."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from command_line import Shell
from garrison.identity.keys import KeyStore
from garrison.kernel.errors import Invalid, NotFound
from garrison.kernel.home import Home
from garrison.protection.entries import Entry, encode
from garrison.protection.ledger import writing_once
from garrison.surfaces.whose import principal_id
from garrison.telemetry.redaction import redactor


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / ".garrison")
    home.create()
    return home


def test_a_keys_name_stands_for_its_principal_live_or_not(home: Home) -> None:
    with closing(KeyStore(home.keys)) as store:
        record, _ = store.create("ci", ("reader",))
        assert principal_id(home, "key:ci") == record.principal
        store.rotate("ci")
        store.revoke("ci")
        assert principal_id(home, "key:ci") == record.principal
        other, _ = store.create("ci", ("reader",))
    with pytest.raises(Invalid, match="several principals") as caught:
        principal_id(home, "key:ci")
    assert record.principal in caught.value.hint
    assert other.principal in caught.value.hint
    assert principal_id(home, other.principal) == other.principal
    assert principal_id(home, "local:root") == "local:root"
    with pytest.raises(NotFound, match="ever called"):
        principal_id(home, "key:nobody")


def test_a_hold_on_a_key_names_its_principal(home: Home, tmp_path: Path) -> None:
    with closing(KeyStore(home.keys)) as store:
        record, _ = store.create("ci", ("reader",))
    with writing_once(home.ledger) as log:
        log.note(log.append([encode(Entry(1, "call.outcome", "c1", record.principal, "tools/call"), redactor)]))
    shell = Shell(tmp_path)
    asked = ("audit", "hold", "add", "--principal", "key:ci", "--reason", "case 7", "-o", "json")
    assert shell(*asked, code=0).json["principal"] == record.principal
    found = shell("audit", "search", "--principal", "key:ci", "-o", "json", code=0).json["entries"]
    assert [one["call"] for one in found] == ["c1"]
    assert shell("audit", "search", "--principal", "key:other", code=3)
