from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from garrison.identity.secrets import SecretsFile
from garrison.kernel.errors import Invalid, NotFound, Unavailable
from garrison.telemetry.redaction import MASK, Redactor

VALUE = "s3cret-välue\nsecond line"


@pytest.fixture
def file(tmp_path: Path) -> SecretsFile:
    return SecretsFile(tmp_path / "secrets.json", tmp_path / "secrets.key", Redactor())


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
    assert list(tmp_path.iterdir()) == []
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
    other = SecretsFile(tmp_path / "other.json", tmp_path / "other.key", Redactor())
    other.set("x", "y")
    key = tmp_path / "secrets.key"
    key.write_bytes((tmp_path / "other.key").read_bytes())
    for act in (lambda: file.get("a"), lambda: file.set("b", "2")):
        with pytest.raises(Invalid, match="is not the key") as caught:
            act()
        assert caught.value.code == "secrets.wrong_key"
    key.write_bytes(b"nonsense!")
    with pytest.raises(Invalid, match="holds no key"):
        file.get("a")
    key.unlink()
    for act in (lambda: file.get("a"), lambda: file.set("b", "2")):
        with pytest.raises(Unavailable) as missing:
            act()
        assert missing.value.code == "secrets.key_missing"
    assert not key.exists(), "a lost key is never replaced silently"


def test_a_value_moved_to_another_name_is_noticed(file: SecretsFile, tmp_path: Path) -> None:
    file.set("harmless", "x")
    file.set("admin", VALUE)
    path = tmp_path / "secrets.json"
    content = json.loads(path.read_text())
    content["entries"]["harmless"] = content["entries"]["admin"]
    path.write_text(json.dumps(content))
    with pytest.raises(Invalid) as caught:
        file.get("harmless")
    assert caught.value.code == "secrets.tampered"


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
    SecretsFile(tmp_path / "s.json", tmp_path / "s.key", Redactor()).set("a", "plain-looking")
    mask = Redactor()
    assert mask.text("plain-looking") == "plain-looking"
    SecretsFile(tmp_path / "s.json", tmp_path / "s.key", mask).get("a")
    assert mask.text("it is plain-looking") == f"it is {MASK}"


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        SecretsFile(tmp_path / "no" / "s.json", tmp_path / "no" / "s.key").set("a", "b")


SET_MANY = """
import sys
from pathlib import Path
from garrison.identity.secrets import SecretsFile
folder, who = Path(sys.argv[1]), sys.argv[2]
file = SecretsFile(folder / "secrets.json", folder / "secrets.key")
for number in range(20):
    file.set(f"{who}-{number}", f"value {who} {number}")
"""


@pytest.mark.slow
def test_two_processes_lose_nothing_of_each_other(file: SecretsFile, tmp_path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", SET_MANY, str(tmp_path), f"p{who}"]) for who in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(file.list()) == 60
    assert file.get("p2-19") == "value p2 19"
