"""Bodies beside the ledger: read by who has the key, by nobody once it is destroyed, and never changed unseen."""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import Unavailable
from garrison.protection.bodies import SIDES, BodyKeeper, BodyStore, Whose, commitments
from garrison.protection.retention import Hold
from garrison.protection.subject_keys import SubjectKeys
from garrison.telemetry.redaction import Redactor

CLOCK = ManualClock(1000)


class PlainWrap:
    """Hides nothing, but holds the context to its word."""

    def wrap(self, data: bytes, context: str) -> bytes:
        return b64encode(context.encode()) + b"." + data

    def unwrap(self, sealed: bytes, context: str) -> bytes:
        known, _, data = sealed.partition(b".")
        if known != b64encode(context.encode()):
            raise ValueError(context)
        return data


def keys(folder: Path) -> SubjectKeys:
    return SubjectKeys(folder / "keys", PlainWrap(), CLOCK)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BodyStore]:
    made = BodyStore(tmp_path / "bodies.sqlite", keys(tmp_path))
    yield made
    made.close()


def whose(principal: str = "key:a", call: str = "c1", server: str = "git", time_ns: int = 10**18) -> Whose:
    return Whose(call, "request", principal, server, time_ns)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(content=st.binary(max_size=200), principal=st.text(min_size=1, max_size=20))
def test_what_was_kept_is_read_back(store: BodyStore, content: bytes, principal: str) -> None:
    body = store.read(store.keep(whose(principal), content))
    assert (body.state, body.content) == ("kept", content.decode("utf-8", "replace"))


def test_the_database_holds_nothing_readable_and_no_key(store: BodyStore, tmp_path: Path) -> None:
    store.keep(whose(), b"canary")
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.glob("bodies.sqlite*"))
    assert b"canary" not in content
    secret = keys(tmp_path).find("key:a")
    assert secret is not None
    assert secret not in content


def test_equal_bodies_have_different_commitments(store: BodyStore) -> None:
    assert store.keep(whose(), b"yes") != store.keep(whose(), b"yes")


def test_a_forgotten_subject_is_unreadable_in_a_copy_of_the_database_too(store: BodyStore, tmp_path: Path) -> None:
    mine, others = store.keep(whose(time_ns=2000), b"mine"), store.keep(whose("key:b"), b"theirs")
    copy = tmp_path / "copy.sqlite"
    with sqlite3.connect(tmp_path / "bodies.sqlite") as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    assert store.forget("key:a") == (1, True)
    assert store.forget("key:a") == (0, False)
    assert store.read(mine).state == "gone"
    assert store.read(others).content == "theirs"
    restored = BodyStore(copy, keys(tmp_path))
    assert restored.read(mine).state == "forgotten"
    CLOCK.advance(10)
    fresh = restored.keep(whose(time_ns=CLOCK.wall_ns()), b"new")
    assert restored.read(fresh).content == "new"
    assert restored.read(mine).state == "forgotten"
    restored.close()


def test_another_process_notices_that_a_key_was_destroyed(store: BodyStore, tmp_path: Path) -> None:
    commitment = store.keep(whose(), b"mine")
    keys(tmp_path).destroy("key:a")
    assert store.read(commitment).state == "forgotten"


@pytest.mark.parametrize("column", ["call", "side", "principal", "sealed", "commitment"])
def test_what_was_changed_or_moved_is_not_shown(store: BodyStore, tmp_path: Path, column: str) -> None:
    first, second = store.keep(whose(), b"one"), store.keep(whose("key:b", "c2"), b"two")
    store.close()
    with sqlite3.connect(tmp_path / "bodies.sqlite") as connection:
        if column == "commitment":
            connection.execute("DELETE FROM bodies WHERE commitment = ?", (first,))
            connection.execute("UPDATE bodies SET commitment = ?", (first,))
        else:
            other = connection.execute(f"SELECT {column} FROM bodies WHERE commitment = ?", (second,)).fetchone()[0]
            other = "response" if column == "side" else other
            connection.execute(f"UPDATE bodies SET {column} = ? WHERE commitment = ?", (other, first))
    connection.close()
    reopened = BodyStore(tmp_path / "bodies.sqlite", keys(tmp_path))
    found = reopened.read(first)
    reopened.close()
    assert found.state == "tampered"
    assert found.content == ""


def test_old_bodies_go_unless_they_are_held(store: BodyStore) -> None:
    old, held, young = (
        store.keep(whose(time_ns=10), b"old"),
        store.keep(whose("key:b", time_ns=10), b"held"),
        store.keep(whose(time_ns=30), b"young"),
    )
    assert store.prune(20, [Hold(id="h", principal="key:b")]) == 1
    assert [store.read(one).state for one in (old, held, young)] == ["gone", "kept", "kept"]


def keeper(tmp_path: Path, mode: str = "both", bytes_max: int = 1000, mask: Redactor | None = None) -> BodyKeeper:
    store = BodyStore(tmp_path / "bodies.sqlite", keys(tmp_path))
    return BodyKeeper(lambda: store, SIDES[mode], ["git*"], bytes_max, mask or Redactor())


def test_only_what_the_settings_ask_for_is_kept(tmp_path: Path) -> None:
    made = keeper(tmp_path, "requests")
    assert made.sides("github") == {"request"}
    assert made.sides("time") == frozenset()
    assert made.sides("") == frozenset()


def test_secrets_are_masked_before_anything_is_encrypted(tmp_path: Path) -> None:
    mask = Redactor()
    mask.add("hunter22")
    made = keeper(tmp_path, mask=mask)
    made.begin()
    detail = made.keep(whose(), {"password": "x123456", "text": "it is hunter22"})
    ((_, commitment),) = commitments({"request": detail})
    store = BodyStore(tmp_path / "bodies.sqlite", keys(tmp_path))
    assert store.read(commitment).content == '{"password":"[redacted]","text":"it is [redacted]"}'
    store.close()
    made.close()


def test_of_a_long_body_the_beginning_is_kept_and_that_is_said(tmp_path: Path) -> None:
    made = keeper(tmp_path, bytes_max=300)
    detail = made.keep(whose(), {"text": "x" * 1000})
    assert (detail["bytes"], detail["kept_bytes"]) == (1011, 300)
    made.close()


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner, max_size=3)))
def test_commitments_are_found_in_any_detail_without_a_crash(detail: Any) -> None:
    assert list(commitments(detail)) == []


def test_a_store_that_cannot_be_opened_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "bodies.sqlite").mkdir()
    with pytest.raises(Unavailable, match="cannot be kept"):
        BodyStore(tmp_path / "bodies.sqlite", keys(tmp_path))
