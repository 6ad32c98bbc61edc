"""The architecture as tests: layers, rooms, sizes, boundaries, lock files, and that the documents tell the truth."""

from __future__ import annotations

import ast
import io
import re
import shlex
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from architecture.settings_page import PAGE, page
from command_line import parse
from garrison.gateway.pipeline import ORDER
from garrison.servers.command import parsed
from garrison.servers.registry import SERVERS
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.main import COMMANDS, load_command

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "garrison"
LINES_MAX = 400
FUNCTION_LINES_MAX = 60
"""The habit is under 40; a command with many documented options is longer without being harder to read."""

MODULES = sorted(SOURCE.rglob("*.py"))
ROOMS = sorted(path for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE)


def named(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.slow
def test_imports_point_downwards_only() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", ROOMS, ids=named)
def test_a_room_says_in_one_line_what_it_is_for(path: Path) -> None:
    body = ast.parse(path.read_text()).body
    assert len(body) == 1, "nothing but the docstring"
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert len(docstring) > 20
    assert "\n" not in docstring


def test_every_module_begins_with_what_it_is() -> None:
    assert [named(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_file_is_longer_than_one_can_hold_in_mind() -> None:
    long = {named(path): lines for path in MODULES if (lines := len(path.read_text().splitlines())) > LINES_MAX}
    assert long == {}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{named(path)}:{node.lineno} {node.name}"
        for path in MODULES
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []


def test_names_say_what_things_are() -> None:
    vague = {"utils", "helpers", "manager", "common", "misc", "base"}
    assert [named(path) for path in MODULES if vague & set(path.stem.split("_"))] == []


def test_broad_excepts_name_their_boundary() -> None:
    unnamed = []
    for path in MODULES:
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.ExceptHandler) and is_broad(node) and not raises_again(node):
                near = " ".join(lines[max(0, node.lineno - 2) : node.lineno + 1])
                if "boundary" not in near.lower():
                    unnamed.append(f"{named(path)}:{node.lineno}")
    assert unnamed == []


def is_broad(node: ast.ExceptHandler) -> bool:
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    names = {one.id for one in caught if isinstance(one, ast.Name)}
    return node.type is None or bool(names & {"Exception", "BaseException"})


def raises_again(node: ast.ExceptHandler) -> bool:
    return isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None


def test_nothing_is_imported_inside_functions() -> None:
    inside = [
        f"{named(path)}:{inner.lineno}"
        for path in MODULES
        for node in functions(path)
        for inner in ast.walk(node)
        if isinstance(inner, (ast.Import, ast.ImportFrom))
    ]
    assert inside == []


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = []
    for path in MODULES:
        tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        found += [
            f"{named(path)}:{token.start[0]}"
            for token in tokens
            if token.type == tokenize.COMMENT and marks.search(token.string)
        ]
    assert found == []


@pytest.mark.parametrize(
    "path", [*(ROOT / "requirements").glob("*.txt"), *(ROOT / "tests").glob("*/package-lock.json")], ids=str
)
def test_no_lock_file_names_a_host(path: Path) -> None:
    assert re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links|\"resolved\"", path.read_text()) == []


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_every_locked_package_has_a_hash(path: Path) -> None:
    entries = re.split(r"\n(?=\S)", path.read_text().strip())
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


# ── the documents tell the truth ──

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def shell_lines(path: Path) -> list[str]:
    """Every line of the document's code blocks for a shell, without its remark."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]


def commands_in(path: Path) -> list[str]:
    return [line for line in shell_lines(path) if line.startswith("garrison ")]


def test_the_readme_shows_every_command() -> None:
    assert {line.split()[1] for line in commands_in(ROOT / "README.md")} >= set(COMMANDS)


@pytest.mark.parametrize("line", dict.fromkeys(line for path in DOCUMENTS for line in commands_in(path)))
def test_each_command_of_the_documents_is_understood(line: str) -> None:
    parse(line)


def test_each_server_that_a_document_starts_by_itself_takes_its_flags() -> None:
    alone = "python -m garrison.servers "
    lines = [line for path in DOCUMENTS for line in shell_lines(path) if line.startswith(alone)]
    assert {parsed(shlex.split(line.removeprefix(alone)))["name"] for line in lines} == set(SERVERS)


def test_each_command_that_a_document_names_in_passing_is_there() -> None:
    for path in DOCUMENTS:
        for first, second in re.findall(r"`garrison ([a-z]+)(?: ([a-z]+))?[` ]", path.read_text()):
            assert first in COMMANDS, (path.name, first)
            parts = getattr(load_command(first), "commands", None)
            assert parts is None or not second or second in parts, (path.name, first, second)


def test_each_script_that_a_document_runs_is_there() -> None:
    lines = [line for path in DOCUMENTS for line in shell_lines(path)]
    words = [
        word for line in lines for word in re.sub(r"> *\S+", "", line).split()
    ]  # what a line writes is not there yet
    scripts = {word for word in words if re.fullmatch(r"[\w./-]+\.(?:py|sh)", word)}
    assert scripts >= {"./deploy.sh", "./test.sh"}
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


def test_the_page_of_settings_is_made_of_the_settings() -> None:
    assert PAGE.read_text() == page(), "renew it: .venv/bin/python tests/architecture/settings_page.py"


def test_the_readme_lists_every_exit_code() -> None:
    text = (ROOT / "README.md").read_text()
    assert [code for code in exits.MEANINGS if f"| {code} |" not in text] == []


def test_the_scripts_of_the_readme_are_there_and_run() -> None:
    for name in re.findall(r"\./([a-z]+\.sh)", (ROOT / "README.md").read_text()):
        assert (ROOT / name).stat().st_mode & 0o111, name


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_decisions_are_numbered_without_gaps_and_all_listed() -> None:
    pages = sorted(path.name for path in (ROOT / "docs" / "adr").glob("0*.md"))
    assert [int(name[:4]) for name in pages] == list(range(1, len(pages) + 1))
    rows = re.findall(r"^\| \[(\d{4})\]\((.+?)\)", (ROOT / "docs/adr/README.md").read_text(), re.MULTILINE)
    assert rows == [(name[:4], name) for name in pages]
    titles = [(ROOT / "docs" / "adr" / name).read_text().partition(" ")[2].partition(".")[0] for name in pages]
    assert [int(number) for number in titles] == list(range(1, len(pages) + 1))


def test_the_documents_know_the_stages_of_the_pipeline_in_their_order() -> None:
    assert " · ".join(ORDER) in (ROOT / "ARCHITECTURE.md").read_text()
    table = re.findall(r"^ +\| `(\w+)` \|", (ROOT / "docs/life-of-a-call.md").read_text(), re.MULTILINE)
    assert tuple(table) == ORDER


def test_every_dependency_says_why_it_is_there() -> None:
    names = re.findall(r'^\s+"([A-Za-z0-9_.-]+)[<>=]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    text = (ROOT / "docs" / "dependencies.md").read_text()
    assert [name for name in names if f"`{name}`" not in text] == []
