"""Files to load, and golden files: `pytest tests/catalog --update-golden` writes them anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from garrison.catalog.load import Loaded, load

FIXTURES = Path(__file__).parents[1] / "fixtures" / "mcp-configs"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with a golden file, or writes it."""
    update = request.config.getoption("--update-golden", default=False)

    def compare(path: Path, text: str) -> None:
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: run with --update-golden, then read what it wrote"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def load_text(tmp_path: Path) -> Callable[[str, str], Loaded]:
    """Loads a text as a file of this name."""

    def load_it(name: str, text: str) -> Loaded:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
        return load(path)

    return load_it
