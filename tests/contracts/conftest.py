from __future__ import annotations

from collections.abc import Iterator

import pytest

from postgres_server import Postgres, postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server
