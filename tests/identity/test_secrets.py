from __future__ import annotations

import json
import stat
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from garrison.identity.envelope import Envelope
from garrison.identity.master_keys import key_id
from garrison.identity.secrets import SecretsFile
from garrison.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from garrison.telemetry.redaction import MASK, Redactor

VALUE = "s3cret-välue\nsecond line"


@pytest.fixture
def file(tmp_path: Path) -> SecretsFile:
    return in_folder(tmp_path)


def in_folder(folder: Path, mask: Redactor | None = None) -> SecretsFile:
    envelope = Envelope(folder / "envelope.json", folder / "secrets.key")
    return SecretsFile(folder / "secrets.json", envelope, mask or Redactor())


def test_a_secret_is_kept_listed_replaced_and_removed(file: SecretsFile) -> None:
    file.set("b.token", VALUE)
    file.set("a", "first")
    file.set("a", "second")
    assert file.list() == ("a", "b.token")
    assert file.get("b.token") == VALUE
    assert file.get("a") == "second"
    file.remove("a")
    assert file.list() == ("b.token",)
    for act in (file.get, file.remove):
        with pytest.raises(NotFound):
            act("a")


def test_nothing_readable_is_on_disk_and_both_files_are_private(file: SecretsFile, tmp_path: Path) -> None:
    file.set("token", VALUE)
    assert b"s3cret" not in (tmp_path / "secrets.json").read_bytes()
    assert "s3cret" not in repr(file) + repr(vars(file))
    for name in ("secrets.json", "secrets.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_the_key_is_made_on_the_first_use_only(file: SecretsFile, tmp_path: Path) -> None:
    assert file.list() == ()
    with pytest.raises(NotFound):
        file.get("x")
    assert [one.name for one in tmp_path.iterdir() if one.suffix != ".lock"] == []
    file.set("a", "1")
    key = (tmp_path / "secrets.key").read_bytes()
    file.set("b", "2")
    assert (tmp_path / "secrets.key").read_bytes() == key


def test_equal_values_look_different(file: SecretsFile, tmp_path: Path) -> None:
    file.set("a", "same")
    file.set("b", "same")
    entries = json.loads((tmp_path / "secrets.json").read_text())["entries"]
    assert entries["a"] != entries["b"]


def test_a_wrong_key_a_missing_key_and_no_key_are_told_apart(file: SecretsFile, tmp_path: Path) -> None:
    file.set("a", VALUE)
    (tmp_path / "other").mkdir()
    in_folder(tmp_path / "other").set("x", "y")
    key = tmp_path / "secrets.key"
    key.write_bytes((tmp_path / "other" / "secrets.key").read_bytes())
    for act in (lambda: in_folder(tmp_path).get("a"), lambda: in_folder(tmp_path).set("b", "2")):
        with pytest.raises(Invalid, match="is not the key") as caught:
            act()
        assert caught.value.code == "secrets.wrong_key"
    key.write_bytes(b"nonsense!")
    with pytest.raises(Invalid, match="holds no key"):
        in_folder(tmp_path).get("a")
    key.unlink()
    for act in (lambda: in_folder(tmp_path).get("a"), lambda: in_folder(tmp_path).set("b", "2")):
        with pytest.raises(Unavailable) as missing:
            act()
        assert missing.value.code == "secrets.key_missing"
    assert not key.exists(), "a lost key is never replaced silently"
    (tmp_path / "envelope.json").unlink()
    with pytest.raises(Invalid):
        in_folder(tmp_path).set("b", "2")


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "moved": lambda file: file["entries"].update(harmless=file["entries"]["admin"]),
    "removed": lambda file: file["entries"].pop("admin"),
    "added": lambda file: file["entries"].update(third=file["entries"]["admin"]),
    "an older version": lambda file: file["entries"]["rotated"].pop(),
    "another time": lambda file: file["entries"]["admin"][0].update(since_ns=5),
    "another number": lambda file: file.update(change=file["change"] + 7),
    "no manifest": lambda file: file.update(manifest=""),
    "emptied": lambda file: file.update(manifest="", entries={}, change=0),
}


@pytest.mark.parametrize("how", CHANGES)
def test_whatever_is_done_to_the_file_is_noticed(file: SecretsFile, tmp_path: Path, how: str) -> None:
    file.set("harmless", "x")
    file.set("admin", VALUE)
    file.set("rotated", "1")
    file.rotate("rotated", "2")
    changed(tmp_path / "secrets.json", CHANGES[how])
    for act in (lambda: in_folder(tmp_path).get("harmless"), in_folder(tmp_path).list, lambda: file.set("new", "y")):
        with pytest.raises(Invalid) as caught:
            act()
        assert caught.value.code in ("secrets.tampered", "secrets.rolled_back")


def test_an_older_copy_put_back_is_noticed(file: SecretsFile, tmp_path: Path) -> None:
    path, head = tmp_path / "secrets.json", tmp_path / "secrets.head"
    file.set("a", "old")
    older, older_head = path.read_bytes(), head.read_bytes()
    file.set("a", "new")
    path.write_bytes(older)
    for each in (file, in_folder(tmp_path)):
        with pytest.raises(Invalid) as caught:
            each.get("a")
        assert caught.value.code == "secrets.rolled_back"
    head.unlink()
    with pytest.raises(Invalid):
        in_folder(tmp_path).get("a")
    head.write_bytes(older_head)
    assert in_folder(tmp_path).get("a") == "old", "both from one backup are a restored backup"
    with pytest.raises(Invalid):
        file.get("a")  # but whoever saw the newer one remembers
    path.unlink()
    with pytest.raises(Invalid):
        in_folder(tmp_path).list()


def test_a_rotated_secret_keeps_its_former_values_and_can_go_back(file: SecretsFile) -> None:
    with pytest.raises(NotFound):
        file.rotate("a", "x")
    file.set("a", "v1")
    for number in range(2, 9):
        file.rotate("a", f"v{number}")
    assert (file.get("a"), file.stored()[0].version, file.stored()[0].former) == ("v8", 8, 4)
    file.go_back("a")
    assert (file.get("a"), file.stored()[0].version) == ("v7", 7)
    file.set("a", "fresh")
    assert (file.get("a"), file.stored()[0].version, file.stored()[0].former) == ("fresh", 8, 0)
    with pytest.raises(Conflict):
        file.go_back("a")


def test_a_file_of_the_first_format_is_read_and_rewritten_with_the_next_change(tmp_path: Path) -> None:
    key = AESGCM.generate_key(256)
    (tmp_path / "secrets.key").write_bytes(b64encode(key))
    sealed = b64encode(b"n" * 12 + AESGCM(key).encrypt(b"n" * 12, VALUE.encode(), b"token")).decode()
    former = {"version": 1, "key_id": key_id(key), "entries": {"token": sealed}}
    (tmp_path / "secrets.json").write_text(json.dumps(former))
    assert in_folder(tmp_path).get("token") == VALUE
    in_folder(tmp_path).set("other", "x")
    assert json.loads((tmp_path / "secrets.json").read_text())["version"] == 2
    assert in_folder(tmp_path).get("token") == VALUE
    (tmp_path / "secrets.json").write_text(json.dumps(former))
    with pytest.raises(Invalid) as caught:
        in_folder(tmp_path).get("token")
    assert caught.value.code == "secrets.rolled_back"


def value_or_error(file: SecretsFile, name: str) -> str:
    try:
        return file.get(name)
    except (Invalid, NotFound) as error:
        return f"{error} {error.hint} {error.__cause__}"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_changed_byte_gives_another_value(file: SecretsFile, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "secrets.json"
    if not path.exists():
        file.set("name", VALUE)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    outcome = value_or_error(file, "name")
    path.write_bytes(whole)
    assert outcome == VALUE or "s3cret" not in outcome


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 129, "ä", "a\n"])
def test_unusable_names_are_refused(file: SecretsFile, name: str) -> None:
    with pytest.raises(Invalid, match="no name"):
        file.set(name, "x")


@pytest.mark.parametrize("value", ["", "a\x00b", "\ud800", "x" * 70_000])
def test_unusable_values_are_refused_and_not_repeated(file: SecretsFile, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        file.set("name", value)
    assert len(str(caught.value)) < 200


def test_a_value_that_was_read_is_masked_from_then_on(tmp_path: Path) -> None:
    in_folder(tmp_path).set("a", "plain-looking")
    mask = Redactor()
    assert mask.text("plain-looking") == "plain-looking"
    in_folder(tmp_path, mask).get("a")
    assert mask.text("it is plain-looking") == f"it is {MASK}"


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        in_folder(tmp_path / "no").set("a", "b")


SET_MANY = """
import sys
from pathlib import Path
from garrison.identity.secrets import secrets_of
from garrison.kernel.home import Home
folder, who = Path(sys.argv[1]), sys.argv[2]
file = secrets_of(Home(folder))
for number in range(20):
    file.set(f"{who}-{number}", f"value {who} {number}")
"""


@pytest.mark.slow
def test_two_processes_lose_nothing_of_each_other(file: SecretsFile, tmp_path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", SET_MANY, str(tmp_path), f"p{who}"]) for who in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(file.list()) == 60
    assert file.get("p2-19") == "value p2 19"
