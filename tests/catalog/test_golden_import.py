"""Public files as they are: what is said about each, and what it becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from garrison.catalog.importer import plan_import
from garrison.catalog.load import load
from garrison.catalog.report import render_report

FIXTURES = Path(__file__).parents[1] / "fixtures" / "mcp-configs"
GOLDEN = Path(__file__).parents[1] / "golden" / "import"
FILES = sorted(path for path in FIXTURES.rglob("*") if path.is_file() and path.name != "README.md")


def test_there_are_files_to_try() -> None:
    assert len(FILES) == 46


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_public_file_is_reported_and_imported_as_agreed(path: Path, golden: Callable[[Path, str], None]) -> None:
    plan = plan_import(load(path))
    here = str(path.parent)
    target = GOLDEN / path.parent.name / path.name
    report = render_report(plan.problems) or "no problems\n"
    golden(target.with_suffix(".report.txt"), report.replace(f"{here}/", "").replace(here, "FOLDER"))
    golden(target.with_suffix(".garrison.yaml"), plan.yaml_text.replace(here, "FOLDER"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_was_imported_reads_back_as_the_same_servers(path: Path, tmp_path: Path) -> None:
    loaded = load(path)
    ours = tmp_path / "garrison.yaml"
    ours.write_text(plan_import(loaded, str(tmp_path)).yaml_text)
    again = load(ours)
    assert again.snapshot.servers == loaded.snapshot.servers
    assert not again.failed
    assert not again.secrets


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_importing_twice_changes_nothing(path: Path, tmp_path: Path) -> None:
    ours = tmp_path / "garrison.yaml"
    ours.write_text(plan_import(load(path), str(tmp_path)).yaml_text)
    once = plan_import(load(ours))
    ours.write_text(once.yaml_text)
    twice = plan_import(load(ours))
    assert twice.yaml_text == once.yaml_text
    assert twice.secrets == {}
