"""`./deploy.sh` from a fresh checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import environment

ROOT = Path(__file__).parents[2]
DELIVERED = ("deploy.sh", "scripts", "requirements", "pyproject.toml", "README.md", "src")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a clone holds, without anything that was made from it."""
    folder = tmp_path_factory.mktemp("checkout") / "garrison"
    folder.mkdir()
    for name in DELIVERED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, folder / name)
    yield folder
    deploy(folder, "--down")


def deploy(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "deploy.sh", *words],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_it_explains_itself() -> None:
    assert "--rollback" in deploy(ROOT, "--help").stdout


def test_a_wrong_option_is_said_so() -> None:
    done = deploy(ROOT, "--confg", "x")
    assert done.returncode == 2
    assert "unknown option --confg" in done.stderr


def test_an_option_without_its_value_is_said_so() -> None:
    done = deploy(ROOT, "--config")
    assert done.returncode == 2
    assert "--config needs a value" in done.stderr
    assert "hint: " in done.stderr


def test_a_step_that_fails_says_which_one_and_what_to_do(tmp_path: Path) -> None:
    for name in ("deploy.sh", "scripts", "pyproject.toml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, tmp_path / name)
    (tmp_path / "requirements").mkdir()
    lock = f"surely-nothing==1.0 --hash=sha256:{64 * '0'}\n"
    (tmp_path / "requirements/core.txt").write_text(lock)
    done = deploy(tmp_path, PIP_NO_INDEX="1")
    assert done.returncode != 0
    assert done.stderr.count("error: could not install") == 1
    assert "is the network reachable?" in done.stderr


def test_before_the_first_run_there_is_nothing_to_show(tmp_path: Path) -> None:
    for name in ("deploy.sh", "scripts"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, tmp_path / name)
    done = deploy(tmp_path, "--status")
    assert done.returncode == 3
    assert "run ./deploy.sh first" in done.stderr


def test_without_a_python_it_says_what_to_install(tmp_path: Path) -> None:
    for name in ("deploy.sh", "scripts"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, tmp_path / name)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "env", "dirname", "cat", "id"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    done = deploy(tmp_path, PATH=str(tools))
    assert done.returncode == 2
    assert "no Python 3.11 or newer was found" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slow
def test_one_command_leads_to_a_fleet_that_answered_a_call_and_a_second_one_only_reports(checkout: Path) -> None:
    first = deploy(checkout, "--listen", "127.0.0.1:0", "--output", "json")
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert list(report)[:4] == ["url", "key_file", "pid", "servers"]
    assert report["key_file"] == str(checkout / ".garrison" / "admin.key")
    assert all(row["state"] == "running" and row["verified"]["ok"] for row in report["servers"])
    assert "machine: Linux" in first.stderr
    second = deploy(checkout)
    assert second.returncode == 0, second.stderr
    assert "nothing has changed" in second.stderr
    assert "installing" not in second.stderr
    assert "export GARRISON_KEY" in second.stdout
    assert deploy(checkout, "--status", "--output", "json").returncode == 0
    assert deploy(checkout, "--rollback").returncode == 3
    assert deploy(checkout, "--down").stdout == "the fleet is down\n"
    assert deploy(checkout, "--status").returncode == 3
