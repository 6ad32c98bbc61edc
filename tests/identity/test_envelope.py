from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import keyring
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import PasswordDeleteError

from garrison.identity import master_keys
from garrison.identity.envelope import Envelope, envelope_of
from garrison.identity.master_keys import VARIABLE, EnvironmentKeys, KeyFile, source_named
from garrison.identity.rekeying import finish, rekey
from garrison.identity.secrets import secrets_of
from garrison.kernel.errors import Conflict, Invalid, NotFound, Unavailable, Unsupported
from garrison.kernel.home import Home

KEY = b64encode(b"k" * 32).decode()
OTHER = b64encode(b"o" * 32).decode()


def fresh(folder: Path) -> Envelope:
    """As another process would have it."""
    return Envelope(folder / "envelope.json", folder / "secrets.key")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(data=st.binary(max_size=300), context=st.text(max_size=20), other=st.text(max_size=20))
def test_what_is_sealed_opens_in_its_context_alone(tmp_path: Path, data: bytes, context: str, other: str) -> None:
    sealed = fresh(tmp_path).wrap(data, context)
    assert fresh(tmp_path).unwrap(sealed, context) == data
    if other != context:
        with pytest.raises(Invalid):
            fresh(tmp_path).unwrap(sealed, other)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(data=st.data())
def test_no_changed_byte_opens(tmp_path: Path, data: st.DataObject) -> None:
    envelope = fresh(tmp_path)
    sealed = bytearray(envelope.wrap(b"some data", "x"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Invalid):
        envelope.unwrap(bytes(sealed), "x")
    with pytest.raises(Invalid):
        envelope.unwrap(bytes(sealed[: data.draw(st.integers(0, 43))]), "x")


def test_keys_are_private_unlike_each_other_and_in_no_repr(tmp_path: Path) -> None:
    envelope = fresh(tmp_path)
    assert envelope.wrap(b"same", "x") != envelope.wrap(b"same", "x")
    key = (tmp_path / "secrets.key").read_text()
    shown = f"{envelope!r}{vars(envelope)!r}{KeyFile(tmp_path / 'secrets.key')!r}{EnvironmentKeys({VARIABLE: KEY})!r}"
    assert key not in shown
    assert KEY not in shown
    for name in ("secrets.key", "envelope.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_rekeying_makes_another_master_key_and_everything_opens(tmp_path: Path) -> None:
    running, sealed = fresh(tmp_path), fresh(tmp_path).wrap(b"before", "x")
    key = (tmp_path / "secrets.key").read_bytes()
    done = rekey(fresh(tmp_path))
    assert done.is_finished
    assert (tmp_path / "secrets.key").read_bytes() != key
    assert len((tmp_path / "secrets.key").read_text().split()) == 1
    for each in (running, fresh(tmp_path)):
        assert each.unwrap(sealed, "x") == b"before"
    (tmp_path / "secrets.key").write_bytes(key)
    with pytest.raises(Invalid, match="is not the key"):
        fresh(tmp_path).unwrap(sealed, "x")


def test_both_keys_hold_until_the_former_one_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = fresh(tmp_path).wrap(b"before", "x")
    monkeypatch.setenv(VARIABLE, KEY)
    assert not rekey(fresh(tmp_path), EnvironmentKeys(), keep_former=True).is_finished
    monkeypatch.delenv(VARIABLE)
    assert fresh(tmp_path).unwrap(sealed, "x") == b"before", "by the key file"
    with pytest.raises(Unavailable):
        finish(fresh(tmp_path))
    monkeypatch.setenv(VARIABLE, KEY)
    assert finish(fresh(tmp_path)).source == "environment"
    assert not (tmp_path / "secrets.key").exists()
    assert fresh(tmp_path).unwrap(sealed, "x") == b"before"
    with pytest.raises(Conflict):
        rekey(fresh(tmp_path))
    monkeypatch.setenv(VARIABLE, f"{KEY} {OTHER}")
    rekey(fresh(tmp_path))
    monkeypatch.setenv(VARIABLE, OTHER)
    assert fresh(tmp_path).unwrap(sealed, "x") == b"before"
    assert rekey(fresh(tmp_path), KeyFile(tmp_path / "secrets.key")).source == "file"
    monkeypatch.delenv(VARIABLE)
    assert fresh(tmp_path).unwrap(sealed, "x") == b"before"


def test_a_new_data_key_seals_what_is_new_and_the_former_one_opens_the_rest(tmp_path: Path) -> None:
    running = fresh(tmp_path)
    sealed = running.wrap(b"before", "x")
    assert rekey(fresh(tmp_path), new_data=True).data_keys == 2
    after = running.wrap(b"after", "x")
    assert after[3:11] != sealed[3:11], "a running process takes the new one"
    assert fresh(tmp_path).unwrap(sealed, "x") == b"before"
    assert fresh(tmp_path).unwrap(after, "x") == b"after"


def test_the_first_master_key_is_the_environments_where_it_holds_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    sealed = fresh(tmp_path).wrap(b"data", "x")
    assert not (tmp_path / "secrets.key").exists()
    assert fresh(tmp_path).unwrap(sealed, "x") == b"data"
    for wrong, code in ((OTHER, "secrets.wrong_key"), ("short", "secrets.wrong_key"), ("", "secrets.key_missing")):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises((Invalid, Unavailable)) as caught:
            fresh(tmp_path).unwrap(sealed, "x")
        assert caught.value.code == code
        assert not wrong or wrong not in f"{caught.value} {caught.value.hint}"


def test_there_is_nothing_to_rekey_before_something_is_sealed(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        rekey(fresh(tmp_path))


class InMemory(KeyringBackend):
    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError


def test_the_keyring_keeps_the_master_key(tmp_path: Path) -> None:
    before, backend = keyring.get_keyring(), InMemory()
    keyring.set_keyring(backend)
    try:
        sealed = fresh(tmp_path).wrap(b"data", "x")
        rekey(fresh(tmp_path), source_named("keyring", {"account": "a home"}, tmp_path / "secrets.key"))
        assert not (tmp_path / "secrets.key").exists()
        assert list(backend.kept) == [("garrison", "a home")]
        assert fresh(tmp_path).unwrap(sealed, "x") == b"data"
        rekey(fresh(tmp_path))
        assert len(backend.kept["garrison", "a home"].split()) == 1
        rekey(fresh(tmp_path), KeyFile(tmp_path / "secrets.key"))
        assert backend.kept == {}
        keyring.set_keyring(NoKeyring())
        with pytest.raises(Unavailable) as caught:
            source_named("keyring", {"account": "a home"}, tmp_path / "secrets.key").wrap(b"", b"")
        assert caught.value.code == "secrets.keyring"
    finally:
        keyring.set_keyring(before)


def test_without_the_package_for_a_source_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(master_keys, "ELSEWHERE", {"keyring": "garrison.identity.not_installed"})
    with pytest.raises(Unsupported, match="not installed") as caught:
        source_named("keyring", {}, tmp_path / "secrets.key")
    assert "garrison[keyring]" in caught.value.hint


REKEY_FOR_EVER = """
import sys
from pathlib import Path
from garrison.identity.envelope import Envelope
from garrison.identity.rekeying import rekey
from garrison.identity.secrets import SecretsFile
folder = Path(sys.argv[1])
print("ready", flush=True)
while True:
    envelope = Envelope(folder / "envelope.json", folder / "secrets.key")
    rekey(envelope, new_data=True)
    SecretsFile(folder / "secrets.json", envelope).renew()
"""


@pytest.mark.slow
def test_rekeying_that_is_killed_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    home, chance = Home(tmp_path), random.Random(4)
    secrets_of(home).set("token", "a value")
    sealed = envelope_of(home).wrap(b"data", "x")
    reader = secrets_of(home)
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", REKEY_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            for _ in range(chance.randrange(1, 60)):
                assert reader.get("token") == "a value", "a reader meanwhile"
                assert fresh(tmp_path).unwrap(sealed, "x") == b"data", "one that begins meanwhile"
            os.kill(worker.pid, signal.SIGKILL)
        assert fresh(tmp_path).unwrap(sealed, "x") == b"data"
    done = rekey(fresh(tmp_path))
    assert done.is_finished
    assert len((tmp_path / "secrets.key").read_text().split()) == 1, "what was left over is cleared away"
    assert reader.get("token") == "a value"
