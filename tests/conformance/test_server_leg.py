"""The suite's server scenarios: what passes against a server directly passes through its transparent endpoint."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conformance.bearer import with_key
from conformance.suite import REVISIONS, diff, lost, run_suite
from garrison.catalog.spec import ServerSpec
from running_fleet import running_fleet

pytestmark = pytest.mark.slow

SCORED = {"2025-11-25": 30, "2026-07-28": 37}
KNOWN_GAPS: dict[str, dict[str, str]] = {
    "2025-11-25": {
        "server-sse-polling": "not scored: the gateway itself fetches what is left of a stream that its server "
        "ended early, so that clients have nothing to come back for",
    },
    "2026-07-28": {},
}
"""Requirements → scenario → why checks are lost through the gateway. It only ever shrinks."""


@pytest.fixture
async def everything() -> AsyncIterator[str]:
    """The URL of an everything server in a process of its own."""
    script = Path(__file__).parent / "everything_server.py"
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("requirements", REVISIONS)
async def test_the_transparent_endpoint_passes_every_check_that_the_server_passes(
    everything: str, requirements: str, tmp_path: Path
) -> None:
    direct = await run_suite("server", requirements, folder(tmp_path, "direct"), "--url", everything)
    failing = [name for name, scenario in direct.items() if scenario.scored and not scenario.conforms]
    assert not failing, "the fixture server itself does not conform"
    assert sum(scenario.scored for scenario in direct.values()) == SCORED[requirements]

    spec = ServerSpec(name="everything", transport="http", url=everything)
    async with (
        running_fleet(tmp_path, (spec,)) as running,
        with_key(running.url, running.admin_key) as front,
    ):
        url = f"{front}/servers/everything/mcp"
        through = await run_suite("server", requirements, folder(tmp_path, "through"), "--url", url)

    losses = lost(direct, through)
    known = KNOWN_GAPS[requirements]
    fresh = {name: lines for name, lines in losses.items() if name not in known}
    assert not fresh, f"lost through the gateway:\n{diff(fresh)}"
    assert not known.keys() - losses.keys(), "these gaps are closed: take them off the list"


def folder(root: Path, name: str) -> Path:
    made = root / name
    made.mkdir()
    return made
