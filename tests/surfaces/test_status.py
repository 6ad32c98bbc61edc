"""One server's row: what went wrong is told once, and the most telling thing of it."""

from __future__ import annotations

import pytest

from garrison.catalog.spec import ServerSpec
from garrison.gateway.breakers import State
from garrison.runtimes.instance import Observed
from garrison.runtimes.instance import State as Lifecycle
from garrison.surfaces.status import server_row

SPEC = ServerSpec(name="one", transport="stdio", command=("x",))


@pytest.mark.parametrize(("breaker", "told"), [("closed", ""), ("half-open", "tried out"), ("open", "left alone")])
def test_a_server_that_is_left_alone_says_so(breaker: State, told: str) -> None:
    row = server_row(SPEC, Observed("one", SPEC, Lifecycle.RUNNING), None, breaker)
    assert row["breaker"] == breaker
    assert told in row["error"]
    assert bool(row["error"]) is bool(told)


def test_what_the_supervisor_knows_comes_first() -> None:
    assert (
        server_row(SPEC, Observed("one", SPEC, Lifecycle.FATAL, error="exited 3"), None, "open")["error"] == "exited 3"
    )
