from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Pem, make_certificates
from protection_receivers import Listener


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Pem:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as made:
        yield made


@pytest.fixture
def cursor(tmp_path: Path) -> Path:
    return tmp_path / "forward.json"
