"""Bounds and groups of API keys, and tables of keys that an earlier release made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.identity.keys import KeyStore
from garrison.identity.principals import Principal
from garrison.identity.reach import reaches
from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import Invalid
from garrison.policy.authoriser import Authoriser

FORMER = """
CREATE TABLE keys (
    prefix TEXT PRIMARY KEY, principal TEXT NOT NULL, name TEXT NOT NULL, roles TEXT NOT NULL, digest BLOB NOT NULL,
    created_ns INTEGER NOT NULL, expires_ns INTEGER, revoked_ns INTEGER, used_ns INTEGER
) STRICT
"""
NAMES = st.sampled_from(["git", "files", "git_status", "git_log", "read_file", "a/b", "*", ""])
SCOPES = st.lists(
    st.sampled_from(["git", "g*", "files/read_*", "git/git_*", "*/git_log", "*", "files/*"]), max_size=4
).map(tuple)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    opened = KeyStore(tmp_path / "keys.sqlite", ManualClock())
    yield opened
    opened.close()


def holder(scopes: tuple[str, ...] | None, kind: Literal["key", "token"] = "key") -> Principal:
    return Principal("x", kind, "x", ("all",), (), scopes)


def test_groups_and_bounds_are_kept_through_rotation(store: KeyStore) -> None:
    store.create("ci", ["reader"], groups=["platform"], scopes=["git", "files/read_*"])
    _, key = store.rotate("ci", 60)
    principal = store.verify(key)
    assert principal is not None
    assert (principal.groups, principal.scopes) == (("platform",), ("git", "files/read_*"))
    record = store.list()[-1]
    assert (record.groups, record.scopes) == (("platform",), ("git", "files/read_*"))


def test_the_former_and_the_new_secret_both_count_while_a_rotation_overlaps(tmp_path: Path) -> None:
    clock = ManualClock()
    store = KeyStore(tmp_path / "keys.sqlite", clock)
    _, old = store.create("ci", ["reader"])
    _, new = store.rotate("ci", 60)
    assert store.verify(old) == store.verify(new)
    clock.advance(60)
    assert store.verify(old) is None
    assert store.verify(new) is not None
    store.close()


@pytest.mark.parametrize("scope", ["", "/tool", "git/", "x" * 300, "git\n", "git/\x1b[0m"])
def test_what_is_no_bound_is_refused(store: KeyStore, scope: str) -> None:
    with pytest.raises(Invalid):
        store.create("ci", [], scopes=[scope])
    assert store.list() == ()


def test_a_table_of_an_earlier_release_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    fresh = KeyStore(tmp_path / "other.sqlite", ManualClock())
    record, key = fresh.create("ci", ["reader"])
    fresh.close()
    with sqlite3.connect(tmp_path / "other.sqlite") as source, sqlite3.connect(path) as former:
        former.execute(FORMER)
        columns = "prefix, principal, name, roles, digest, created_ns, expires_ns, revoked_ns, used_ns"
        rows = source.execute(f"SELECT {columns} FROM keys").fetchall()
        former.executemany("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    former.close()
    source.close()
    stores = [KeyStore(path, ManualClock()) for _ in range(2)]
    principal = stores[0].verify(key)
    assert principal == Principal(record.principal, "key", "ci", ("reader",))
    assert stores[1].create("bounded", [], scopes=["git"])[0].scopes == ("git",)
    with sqlite3.connect(path) as former:  # an earlier release beside us goes on as before
        former.execute(
            f"INSERT INTO keys ({columns}) SELECT 'former00', {columns.partition(', ')[2]} FROM keys LIMIT 1"
        )
    former.close()
    assert [one.scopes for one in stores[0].list() if one.prefix == "former00"] == [None]
    for one in stores:
        one.close()


@given(SCOPES, NAMES, NAMES, st.sampled_from(["tool", "prompt", "resource", "server"]))
def test_a_key_reaches_what_one_of_its_bounds_names(scopes: tuple[str, ...], server: str, name: str, kind: str) -> None:
    wanted = any(
        fnmatchcase(server, one.partition("/")[0])
        and ("/" not in one or kind == "server" or (kind == "tool" and fnmatchcase(name, one.partition("/")[2])))
        for one in scopes
    )
    assert reaches(holder(scopes), kind, server, name) is wanted
    assert reaches(holder(None), kind, server, name)
    assert reaches(holder(scopes, "token"), kind, server, name)


@given(SCOPES, st.lists(NAMES, min_size=1, max_size=6), NAMES)
def test_lists_and_calls_of_a_bounded_key_are_decided_alike(
    scopes: tuple[str, ...], names: list[str], server: str
) -> None:
    authoriser = Authoriser({"all": RoleSpec(name="all", grants=(GrantSpec(servers=("*",), tools=("*",)),))})
    unbounded, bounded = holder(None), holder(scopes)
    listed = authoriser.decide_all(bounded, "tool", server, [(name, None) for name in names])
    for name, decision in zip(names, listed, strict=True):
        allowed = reaches(bounded, "tool", server, name)
        assert decision.allowed is allowed
        assert authoriser.decide(bounded, "tool", server, name).allowed is allowed
        assert authoriser.judge(bounded, "tool", server, name, {}).allowed is allowed
        assert authoriser.decide(unbounded, "tool", server, name).allowed
    assert authoriser.whose(bounded) != authoriser.whose(unbounded)
