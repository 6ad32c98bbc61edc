"""Fixtures of the surfaces' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Shell


@pytest.fixture
def garrison(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
