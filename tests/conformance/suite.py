"""Runs the official conformance suite and reads what it found, check by check."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from garrison.surfaces.launchers import launcher_folders

PROGRAM = Path(__file__).parent / "node_modules" / ".bin" / "conformance"
REVISIONS = ("2025-11-25", "2026-07-28")
_STAMP = re.compile(r"-\d{4}-\d\d-\d\dT[\d-]+Z$")
_NOT_SCORED = re.compile(r"^  [✓✗] (\S+) \((?:extension|added-after-release|pending)\)$", re.MULTILINE)
_DEADLINE_S = 150


@dataclass(frozen=True, order=True)
class Check:
    """One thing that the suite looked at. The same may be looked at several times in one scenario."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"{self.id} ({self.name})"


@dataclass
class Scenario:
    passed: Counter[Check] = field(default_factory=Counter)
    failed: Counter[Check] = field(default_factory=Counter)
    reasons: dict[Check, str] = field(default_factory=dict)
    scored: bool = True

    @property
    def conforms(self) -> bool:
        return bool(self.passed) and not self.failed


Findings = dict[str, Scenario]
"""Scenario → what was found."""


async def run_suite(leg: str, requirements: str, folder: Path, *more: str, **environment: str) -> Findings:
    """Run one leg ("server" or "client") of the suite against one frozen set of requirements."""
    if not PROGRAM.exists():
        pytest.fail("the conformance suite is not installed: run ./test.sh once, or npm ci in tests/conformance")
    argv = (str(PROGRAM), leg, "--requirements", requirements, "-o", str(folder), *more)
    process = await asyncio.create_subprocess_exec(
        *argv,
        env={**os.environ, **environment, "PATH": os.pathsep.join((*launcher_folders(), os.environ["PATH"]))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    (folder / "said.txt").write_bytes(said)
    return read_findings(leg, folder, set(_NOT_SCORED.findall(said.decode())))


def read_findings(leg: str, folder: Path, not_scored: set[str]) -> Findings:
    """What the suite wrote below the folder: one `checks.json` for each scenario."""
    findings: Findings = {}
    for path in sorted(folder.rglob("checks.json")):
        name = _STAMP.sub("", str(path.parent.relative_to(folder)))
        name = name.removeprefix("server-") if leg == "server" else name
        findings[name] = read_scenario(json.loads(path.read_text()), name not in not_scored)
    return findings


def read_scenario(checks: list[Mapping[str, str]], scored: bool) -> Scenario:
    """A warning is no pass: it says that something which should be there is not."""
    scenario = Scenario(scored=scored)
    for found in checks:
        check = Check(found["id"], found["name"])
        if found["status"] == "SUCCESS":
            scenario.passed[check] += 1
        elif found["status"] in ("FAILURE", "WARNING"):
            scenario.failed[check] += 1
            scenario.reasons[check] = found.get("errorMessage") or found["status"]
    return scenario


def lost(direct: Findings, through: Findings) -> dict[str, list[str]]:
    """Scenario → what passes directly and does not through the gateway, a line for each check."""
    losses: dict[str, list[str]] = {}
    for name, scenario in direct.items():
        other = through.get(name, Scenario())
        missing = scenario.passed - other.passed
        if missing:
            losses[name] = [f"{check}: {other.reasons.get(check, 'not reached')}" for check in sorted(missing)]
    return losses


def diff(losses: Mapping[str, list[str]]) -> str:
    """For people."""
    return "\n".join(f"{name}\n" + "\n".join(f"  - {line}" for line in lines) for name, lines in losses.items())
