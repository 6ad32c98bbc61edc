from __future__ import annotations

import sys
from pathlib import Path

import pytest

from garrison.kernel.errors import Invalid, Unavailable, Unsupported
from garrison.protection.ledger import Ledger, LedgerSettings
from garrison.protection.place import Place
from garrison.protection.store import POSTGRES, open_store
from garrison.protection.verifying import verify_log

CANARY = "Canary-91ab77"


def test_without_the_extra_the_error_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, POSTGRES, raising=False)
    with pytest.raises(Unsupported) as caught:
        Ledger(path, LedgerSettings(url=f"postgresql://me:{CANARY}@127.0.0.1:9/x"))
    assert (caught.value.code, caught.value.hint) == ("ledger.postgres_missing", "pip install 'garrison[postgres]'")


@pytest.mark.parametrize("url", [f"mysql://me:{CANARY}@db/x", f"{CANARY}", f"file:///{CANARY}"])
def test_another_scheme_is_refused_and_the_url_is_not_shown(path: Path, url: str) -> None:
    with pytest.raises(Invalid) as caught:
        open_store(Place(path, url))
    assert caught.value.code == "ledger.url"
    assert CANARY not in str(caught.value) + caught.value.hint


def test_a_database_that_is_not_there_is_an_error_without_the_password(path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        Ledger(path, LedgerSettings(url=f"postgresql://me:{CANARY}@127.0.0.1:9/x"))
    assert caught.value.code == "ledger.unwritable"
    assert CANARY not in str(caught.value) + repr(caught.value.__cause__)


def test_files_beside_the_database_belong_to_one_database_whatever_its_password(path: Path) -> None:
    one = Place(path, "postgresql://me:a@db/x")
    assert one.beside == Place(path, "postgresql://you:b@db/x?sslmode=require").beside
    others = {
        Place(path).beside,
        Place(path, "postgresql://me:a@db/y").beside,
        Place(path, "postgresql://me:a@other/x").beside,
    }
    assert one.beside not in others
    assert len(others) == 3
    assert {one.key.parent, one.checkpoint.parent} == {path.parent}


def test_a_database_that_is_away_is_no_proof_that_anything_was_changed(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        verify_log(Place(tmp_path / "ledger", "postgresql://garrison@127.0.0.1:1/ledger"))
