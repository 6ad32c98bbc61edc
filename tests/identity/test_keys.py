from __future__ import annotations

import hashlib
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.identity.key_format import digest_of, mint, prefix_of
from garrison.identity.keys import KeyStore
from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from garrison.kernel.home import Home


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def store(home: Home, clock: ManualClock) -> Iterator[KeyStore]:
    opened = KeyStore(home.keys, clock)
    yield opened
    opened.close()


@pytest.fixture
def other(home: Home, clock: ManualClock) -> Iterator[KeyStore]:
    """The same keys as another process has them open."""
    opened = KeyStore(home.keys, clock)
    yield opened
    opened.close()


def test_a_key_has_the_documented_form() -> None:
    key = mint()
    assert re.fullmatch(r"gsn_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", key)
    assert prefix_of(key) == key[4:12]
    assert digest_of(key) == hashlib.sha256(key.encode()).digest()
    assert len({mint() for _ in range(100)}) == 100


def test_a_created_key_is_known_and_its_principal_has_its_roles(store: KeyStore) -> None:
    record, key = store.create("ci", ["reader", "writer"])
    principal = store.verify(key)
    assert principal is not None
    assert re.fullmatch(r"ci-[0-9a-f]{12}", principal.id)
    assert (principal.id, principal.kind, principal.name, principal.roles) == (
        record.principal,
        "key",
        "ci",
        ("reader", "writer"),
    )


def test_neither_the_key_nor_its_secret_is_stored(store: KeyStore, home: Home) -> None:
    _, key = store.create("ci", [])
    store.close()
    content = b"".join(file.read_bytes() for file in home.root.glob("keys.sqlite*"))
    assert key[13:].encode() not in content
    assert key.encode() not in content
    assert stat.S_IMODE(home.keys.stat().st_mode) == 0o600


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyStore]:
    """One store for many examples."""
    opened = KeyStore(tmp_path_factory.mktemp("keys") / "keys.sqlite")
    opened.create("one", [])
    yield opened
    opened.close()


@given(presented=st.text(max_size=60) | st.text(alphabet="gsn_aZ09-", min_size=56, max_size=56))
def test_nothing_else_is_accepted(standing: KeyStore, presented: str) -> None:
    assert standing.verify(presented) is None


def test_every_wrong_character_is_noticed(store: KeyStore) -> None:
    _, key = store.create("ci", [])
    for at in range(len(key)):
        wrong = key[:at] + ("A" if key[at] != "A" else "B") + key[at + 1 :]
        assert store.verify(wrong) is None, at
    assert store.verify(key + "\n") is None
    assert store.verify("") is None


def test_an_expired_key_is_refused_from_its_instant_on(store: KeyStore, clock: ManualClock) -> None:
    _, key = store.create("ci", [], expires_at_ns=clock.wall_ns() + 10_000_000_000)
    clock.advance(9.9)
    assert store.verify(key)
    clock.advance(0.1)
    assert store.verify(key) is None


def test_a_revoked_key_is_refused_at_once_by_name_or_prefix(store: KeyStore) -> None:
    record, one = store.create("one", [])
    _, two = store.create("two", [])
    assert [gone.name for gone in store.revoke(record.prefix)] == ["one"]
    assert [gone.name for gone in store.revoke("two")] == ["two"]
    assert store.verify(one) is None
    assert store.verify(two) is None
    with pytest.raises(NotFound, match="no live key"):
        store.revoke("two")


def test_a_revocation_by_another_process_counts_within_a_second(
    store: KeyStore, other: KeyStore, clock: ManualClock
) -> None:
    _, key = store.create("ci", [])
    clock.advance(1)
    assert other.verify(key)
    store.revoke("ci")
    clock.advance(1)
    assert other.verify(key) is None


def test_a_key_created_by_another_process_counts_within_a_second(
    store: KeyStore, other: KeyStore, clock: ManualClock
) -> None:
    _, key = store.create("ci", [])
    clock.advance(1)
    assert other.verify(key)


def test_rotation_keeps_the_principal_and_ends_the_old_key_after_the_overlap(
    store: KeyStore, clock: ManualClock
) -> None:
    _, old = store.create("ci", ["reader"])
    before = store.verify(old)
    record, new = store.rotate("ci", overlap_s=60)
    assert store.verify(new) == store.verify(old) == before
    assert record.roles == ("reader",)
    clock.advance(59.9)
    assert store.verify(old)
    clock.advance(0.1)
    assert store.verify(old) is None
    assert store.verify(new) == before


def test_rotation_without_overlap_ends_the_old_key_at_once_and_never_prolongs_it(
    store: KeyStore, clock: ManualClock
) -> None:
    _, first = store.create("ci", [])
    _, second = store.rotate("ci")
    assert store.verify(first) is None
    store.rotate("ci", overlap_s=10)
    store.rotate("ci", overlap_s=1000)
    clock.advance(10)
    assert store.verify(second) is None
    with pytest.raises(NotFound):
        store.rotate("nobody")


def test_a_name_is_used_by_one_live_key_and_free_again_after_revocation(store: KeyStore) -> None:
    first, _ = store.create("ci", [])
    with pytest.raises(Conflict, match="already"):
        store.create("ci", [])
    store.revoke("ci")
    second, _ = store.create("ci", [])
    assert first.principal != second.principal, "sessions of the first must not pass to the second"


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "a/b", "ä", "admin"])
def test_unusable_names_are_refused(store: KeyStore, name: str) -> None:
    with pytest.raises(Invalid):
        store.create(name, [])


def test_the_list_shows_state_and_last_use_but_no_secret(store: KeyStore, clock: ManualClock) -> None:
    _, key = store.create("ci", ["reader"])
    store.create("idle", [])
    clock.advance(5)
    store.verify(key)
    by_name = {record.name: record for record in store.list()}
    assert by_name["ci"].used_ns == clock.wall_ns()
    assert by_name["idle"].used_ns is None
    assert key[13:] not in repr(store.list())


def test_last_use_is_written_down_in_the_background(store: KeyStore, home: Home, clock: ManualClock) -> None:
    _, key = store.create("ci", [])
    store.verify(key)
    clock.advance(31)
    store.verify(key)
    deadline = time.monotonic() + 5
    connection = sqlite3.connect(home.keys)
    while connection.execute("SELECT used_ns FROM keys").fetchone()[0] is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    connection.close()


def test_keys_that_cannot_be_read_are_an_error_and_no_refusal(home: Home, clock: ManualClock) -> None:
    home.keys.write_bytes(b"x" * 5000)
    with pytest.raises(Unavailable, match="cannot be used"):
        KeyStore(home.keys, clock)


def test_a_replaced_file_is_noticed(store: KeyStore, home: Home, clock: ManualClock) -> None:
    _, key = store.create("ci", [])
    store.verify(key)
    for file in home.root.glob("keys.sqlite*"):
        file.unlink()
    clock.advance(1)
    assert store.verify(key) is None, "the keys that count are those in the file"
    _, fresh = store.create("new", [])
    assert store.verify(fresh)


def test_verifying_goes_on_while_another_thread_changes_keys(home: Home) -> None:
    store = KeyStore(home.keys)
    _, key = store.create("steady", [])
    failures: list[BaseException] = []

    def change() -> None:
        try:
            for number in range(15):
                store.create(f"k{number}", [])
                store.revoke(f"k{number}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=change)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert store.verify(key)
    assert not failures
    store.close()


def test_the_first_start_makes_an_admin_key_that_may_do_everything(store: KeyStore, home: Home) -> None:
    store.ensure_admin(home)
    key = home.admin_key.read_text()
    assert stat.S_IMODE(home.admin_key.stat().st_mode) == 0o600
    assert key == key.strip()
    principal = store.verify(key)
    assert principal is not None
    assert principal.roles == ("admin",)


def test_the_next_start_keeps_the_admin_key(store: KeyStore, home: Home) -> None:
    store.ensure_admin(home)
    key = home.admin_key.read_text()
    home.admin_key.chmod(0o644)
    store.ensure_admin(home)
    assert home.admin_key.read_text() == key
    assert stat.S_IMODE(home.admin_key.stat().st_mode) == 0o600
    assert len(store.list()) == 1


def test_the_record_of_the_admin_key_is_restored_when_it_is_missing(tmp_path: Path, clock: ManualClock) -> None:
    home = Home(tmp_path)
    key = mint()
    home.admin_key.write_text(key + "\n")
    store = KeyStore(home.keys, clock)
    store.ensure_admin(home)
    assert store.verify(key)
    store.close()


def test_a_revoked_admin_key_does_not_come_back_by_restarting(store: KeyStore, home: Home) -> None:
    store.ensure_admin(home)
    store.revoke("admin")
    store.ensure_admin(home)
    assert store.verify(home.admin_key.read_text()) is None


def test_a_lost_admin_file_gives_a_new_key_and_ends_the_old_one(store: KeyStore, home: Home) -> None:
    store.ensure_admin(home)
    old = home.admin_key.read_text()
    home.admin_key.unlink()
    store.ensure_admin(home)
    assert store.verify(old) is None
    assert store.verify(home.admin_key.read_text())


def test_an_admin_file_without_a_key_is_a_clear_error(store: KeyStore, home: Home) -> None:
    home.admin_key.write_text("secret")
    with pytest.raises(Invalid, match="holds no API key") as caught:
        store.ensure_admin(home)
    assert caught.value.hint
    assert home.admin_key.read_text() == "secret"


def test_rotating_the_admin_key_renews_its_file(store: KeyStore, home: Home, clock: ManualClock) -> None:
    store.ensure_admin(home)
    old = home.admin_key.read_text()
    with pytest.raises(Invalid):
        store.rotate("admin")
    store.rotate_admin(home, overlap_s=5)
    new = home.admin_key.read_text()
    assert new != old
    assert store.verify(old) == store.verify(new) is not None
    clock.advance(5)
    assert store.verify(old) is None


ENSURE = """
import sys
from pathlib import Path
from garrison.identity.keys import KeyStore
from garrison.kernel.home import Home
home = Home(Path(sys.argv[1]))
store = KeyStore(home.keys)
store.ensure_admin(home)
for number in range(10):
    store.create(f"{sys.argv[2]}-{number}", ["reader"])
assert store.verify(home.admin_key.read_text())
store.close()
"""


@pytest.mark.slow
def test_processes_that_start_together_agree_on_one_admin_key_and_lose_no_key(home: Home) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", ENSURE, str(home.root), f"p{who}"]) for who in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    store = KeyStore(home.keys)
    names = [record.name for record in store.list()]
    assert names.count("admin") == 1
    assert len(names) == 41
    assert store.verify(home.admin_key.read_text())
    store.close()
