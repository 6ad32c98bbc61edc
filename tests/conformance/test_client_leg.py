"""The suite's client scenarios: a client that goes through the gateway behaves towards the server as it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.driver import driver
from conformance.suite import REVISIONS, Findings, run_suite

pytestmark = pytest.mark.slow

SCORED = {"2025-11-25": 18, "2026-07-28": 32}
SUITE_MS = "100000"
"""For one scenario: all are started at once and wait for their turn."""

KNOWN_GAPS: dict[str, dict[str, str]] = {
    "2025-11-25": {},
    "2026-07-28": {},
}
"""Requirements → scenario → why it does not conform through the gateway. It only ever shrinks."""
AUTHORISATION = "auth/"
"""Scenarios of signing in to a server: the gateway sends the credentials it is configured with, and asks nobody."""


@pytest.mark.parametrize("requirements", REVISIONS)
async def test_a_client_behind_the_gateway_conforms(requirements: str, tmp_path: Path) -> None:
    found = await run(requirements, tmp_path, through_gateway=True)
    judge(found, KNOWN_GAPS[requirements], requirements)


@pytest.mark.parametrize("requirements", REVISIONS)
async def test_the_client_conforms_without_a_gateway(requirements: str, tmp_path: Path) -> None:
    judge(await run(requirements, tmp_path, through_gateway=False), {}, requirements)


async def run(requirements: str, folder: Path, *, through_gateway: bool) -> Findings:
    (folder / "out").mkdir()
    async with driver(folder, through_gateway=through_gateway) as command:
        return await run_suite("client", requirements, folder / "out", "--command", command, "--timeout", SUITE_MS)


def judge(found: Findings, known: dict[str, str], requirements: str) -> None:
    scored = {name: scenario for name, scenario in found.items() if scenario.scored}
    assert len(scored) == SCORED[requirements]
    failing = {name: scenario for name, scenario in scored.items() if not scenario.conforms}
    signing_in = {name for name in scored if name.startswith(AUTHORISATION)}
    fresh = failing.keys() - known.keys() - signing_in
    why = "\n".join(
        f"{name}: {check}: {failing[name].reasons[check]}" for name in sorted(fresh) for check in failing[name].failed
    )
    assert not fresh, f"these do not conform: {sorted(fresh)}\n{why}"
    closed = (known.keys() | signing_in) - failing.keys()
    assert not closed, "these gaps are closed: take them off the list"
