"""Fixtures of the stories: a shell in an empty folder, and nothing left behind whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import Shell
from garrison.kernel.home import Home
from garrison.runtimes import strays
from garrison.surfaces.launch import fleet_id


@pytest.fixture
def garrison(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell("down", "--now")
    assert strays.find(fleet_id(Home(shell.home))) == []
