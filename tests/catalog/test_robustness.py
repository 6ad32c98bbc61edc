"""Whatever the bytes: no exception, places inside the file, no secret in a report, imports that read back."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from garrison.catalog.importer import plan_import
from garrison.catalog.load import Loaded, load
from garrison.catalog.problems import Problem
from garrison.catalog.report import render_report

FIXTURES = Path(__file__).parents[1] / "fixtures" / "mcp-configs"
FILES = sorted(path for path in FIXTURES.rglob("*") if path.is_file() and path.name != "README.md")
NAMES = st.sampled_from(
    [".mcp.json", "config.toml", "garrison.yaml", "mcp.yaml", "opencode.json", "server.json", "x.mcpb"]
)
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

_WORDS = """mcpServers servers mcp context_servers extensions internalServers packages remotes server mcp_config name
    command args env url type headers timeout disabled enabled tools inputs id auth token cwd roles grants settings
    transport identifier registryType environmentVariables packageArguments manifest_version user_config path httpUrl"""
KEYS = st.sampled_from(_WORDS.split())
TEXTS = st.sampled_from(
    ["npx", "x y", "https://h/p", "", "${A}", "${", "$$", "stdio", "npm", "~/x", "sh", "-c", "wsl", "cmd", "/c"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5),
    max_leaves=25,
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def examine(path: Path, data: bytes) -> Loaded:
    path.write_bytes(data)
    loaded = load(path)
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")) and path.suffix != ".mcpb":
        check_places(text, loaded.problems)
    check_import(loaded, path)
    return loaded


def check_places(text: str, problems: tuple[Problem, ...]) -> None:
    lines = text.split("\n")
    for problem in problems:
        assert 0 <= problem.line <= len(lines), problem
        assert problem.line == 0 or 1 <= problem.column <= len(lines[problem.line - 1]) + 1, problem
        assert "\n" not in problem.message
        assert len(problem.message) < 600


def check_import(loaded: Loaded, path: Path) -> None:
    plan = plan_import(loaded)
    ours = path.parent / "imported" / "garrison.yaml"
    ours.parent.mkdir(exist_ok=True)
    ours.write_text(plan_import(loaded, str(ours.parent)).yaml_text, encoding="utf-8")
    again = load(ours)
    assert again.snapshot.servers == loaded.snapshot.servers, plan.yaml_text
    assert again.snapshot.roles == loaded.snapshot.roles
    assert not [problem for problem in again.problems if problem.code.startswith(("yaml.", "config."))], plan.yaml_text
    assert not again.secrets


@RELAXED
@given(NAMES, st.binary(max_size=200))
def test_no_bytes_crash_the_loader(folder: Path, name: str, data: bytes) -> None:
    examine(folder / name, data)


@RELAXED
@given(NAMES, VALUES)
def test_no_json_value_crashes_the_loader(folder: Path, name: str, value: object) -> None:
    examine(folder / name, json.dumps(value, indent=1).encode())


@pytest.mark.slow
@settings(RELAXED, max_examples=300)
@given(st.dictionaries(st.text(max_size=5), st.dictionaries(KEYS, VALUES, max_size=5), max_size=4), st.data())
def test_no_server_entry_crashes_the_loader(folder: Path, servers: object, data: st.DataObject) -> None:
    root = data.draw(
        st.sampled_from(["mcpServers", "servers", "mcp", "context_servers", "extensions", "internalServers"])
    )
    examine(folder / ".mcp.json", json.dumps({root: servers}, indent=1).encode())


@pytest.mark.slow
@settings(RELAXED, max_examples=400)
@given(st.sampled_from(FILES), st.data())
def test_no_mutation_of_a_real_file_crashes_the_loader(folder: Path, path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, max(0, len(content) - 1)))
        length = data.draw(st.integers(0, 12))
        content[start : start + length] = data.draw(
            st.sampled_from(
                [
                    b"",
                    b"{",
                    b"}",
                    b"[",
                    b'"',
                    b",",
                    b":",
                    b"\n",
                    b"\\",
                    b"//",
                    b"/*",
                    b"${",
                    b"null",
                    b"\t",
                    b"\xff",
                    b"---\n",
                ]
            )
        )
    examine(folder / f"file{path.suffix}", bytes(content))


PLACES = [
    '{{"mcpServers": {{"a": {{"command": "x", "env": {{"API_KEY": "{0}"}}}}}}}}',
    '{{"mcpServers": {{"a": {{"command": "x", "args": ["--token", "{0}"]}}}}}}',
    '{{"mcpServers": {{"a": {{"url": "https://h/{0}/mcp", "headers": {{"Authorization": "Bearer {0}"}}}}}}}}',
    '{{"mcpServers": {{"a": {{"command": "npx", "args": ["mcp-remote", "https://u:{0}@h/?token={0}"]}}}}}}',
    '{{"servers": {{"a": {{"url": "https://h", "headers": {{"X-Api-Key": "{0}"}}, "evn": {{"K": "{0}"}}}}}}}}',
    '[mcp_servers.a]\ncommand = "x"\n[mcp_servers.a.env]\nGITHUB_TOKEN = "{0}"\n',
    "servers:\n  a:\n    command: [x, --api-key, {0}]\n    env: {{PASSWORD: {0}}}\n",
]


@pytest.mark.slow
@settings(RELAXED, max_examples=300)
@given(
    st.sampled_from(PLACES),
    st.text(alphabet="abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=24, max_size=40),
    st.integers(0, 200),
    st.sampled_from(["", "", ",", '"', "}", "\n", "x"]),
)
def test_no_secret_comes_into_a_report_however_broken_the_file(
    folder: Path, template: str, secret: str, position: int, noise: str
) -> None:
    secret = f"a2B3c4{secret}"
    text = template.format(secret)
    place = text.find(secret)
    cut = min(position, len(text))
    if not place - 2 <= cut <= place + len(secret) + 2:
        text = text[:cut] + noise + text[cut:]
    suffix = ".toml" if template.startswith("[") else ".yaml" if template.startswith("servers") else ".json"
    path = folder / f"leak{suffix}"
    path.write_text(text)
    loaded = load(path)
    assert secret not in render_report(loaded.problems)
    assert secret not in repr(loaded.problems)
    if not noise:
        plan = plan_import(loaded)
        assert plan.secrets
        assert all(secret in value for value in plan.secrets.values())
        visible = plan.yaml_text if '"evn"' not in text else ""
        assert secret not in visible + repr(plan) + repr(loaded)
