"""Which programs servers are started with, and which of them are missing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from garrison.catalog.spec import ServerSpec
from garrison.surfaces import launchers
from garrison.surfaces.hardware import hardware


def spec(name: str, *command: str, **more: object) -> ServerSpec:
    return ServerSpec(name=name, transport="stdio", command=command, **more)  # type: ignore[arg-type]


def test_missing_programs_are_named_with_the_servers_that_need_them() -> None:
    specs = [spec("a", "no-such-x"), spec("b", "sh"), spec("c", "no-such-x", "arg"), spec("d", "/no/such/program")]
    assert launchers.missing_launchers(specs) == {"no-such-x": ["a", "c"], "/no/such/program": ["d"]}


def test_servers_without_a_program_or_switched_off_need_none() -> None:
    remote = ServerSpec(name="r", transport="http", url="http://127.0.0.1:1/mcp")
    assert launchers.missing_launchers([remote, spec("off", "no-such-x", enabled=False), spec("v", "${TOOL}")]) == {}


def test_a_missing_program_is_a_warning_with_a_hint() -> None:
    (problem,) = launchers.as_problems({"npx": ["a", "b"]})
    assert problem.severity == "warning"
    assert "needed by a, b" in problem.message
    assert "Node.js" in problem.hint


def test_the_programs_of_our_environment_are_found_last() -> None:
    assert launchers.search_path("/usr/bin", ["/ours"]) == f"/usr/bin{os.pathsep}/ours"
    assert all(Path(folder).is_dir() for folder in launchers.launcher_folders())


def test_npx_of_the_wheel_runs() -> None:
    assert launchers.install_launchers()
    npx = Path(launchers.launcher_folders()[-1]) / "npx"
    assert subprocess.run([npx, "--version"], capture_output=True, check=True, timeout=60).stdout[:2].isdigit()


def test_the_machine_is_described() -> None:
    found = hardware()
    assert found.cores >= 1
    assert found.memory_bytes >= found.memory_free_bytes > 0
    assert f"{found.cores} cores" in found.line
