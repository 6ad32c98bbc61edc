"""The ways of SQLite that all stores share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from garrison.kernel.store import connect, file_identity

WRITE_AND_LEAVE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO words VALUES ('theirs')")
connection.close()
"""


def test_a_second_connection_of_this_process_gives_up_no_lock_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "some.sqlite"
    first = connect(path)
    first.execute("CREATE TABLE words (word TEXT)")
    log = file_identity(tmp_path / "some.sqlite-wal")
    connect(path, create=False).close()

    subprocess.run([sys.executable, "-c", WRITE_AND_LEAVE, str(path)], check=True)

    assert file_identity(tmp_path / "some.sqlite-wal") == log, "the other process took itself for the last one"
    assert first.execute("SELECT word FROM words").fetchall() == [("theirs",)]
    first.close()


def test_a_new_file_is_private_and_a_missing_one_is_made_only_on_demand(tmp_path: Path) -> None:
    connect(tmp_path / "new.sqlite").close()
    assert (tmp_path / "new.sqlite").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileNotFoundError):
        connect(tmp_path / "missing.sqlite", create=False)
    assert not (tmp_path / "missing.sqlite").exists()
