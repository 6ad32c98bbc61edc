"""Which package a command line runs, and whether its version is fixed."""

from __future__ import annotations

import pytest

from garrison.catalog.packages import package_of


@pytest.mark.parametrize(
    ("line", "name", "pinned"),
    [
        ("npx -y @a/b", "@a/b", False),
        ("npx -y @a/b@latest", "@a/b@latest", False),
        ("npx -y @a/b@1.2.3", "@a/b@1.2.3", True),
        ("npx -y b@^1.2", "b@^1.2", False),
        ("npx -y -p alias@npm:@a/b@1.8.1 run", "alias@npm:@a/b@1.8.1", True),
        ("npx --package=b@1.0.0 run", "b@1.0.0", True),
        ("npx -y github:a/b", "github:a/b", False),
        ("npx -y github:a/b#1a2b3c4d", "github:a/b#1a2b3c4d", True),
        ("npx -y https://h/x", "https://h/x", False),
        ("/usr/bin/npx -y b", "b", False),
        ("bunx b", "b", False),
        ("pnpm dlx b@1.0.0", "b@1.0.0", True),
        ("npm exec -- b", "b", False),
        ("uvx b", "b", False),
        ("uvx b==1.0", "b==1.0", True),
        ("uvx b@1.0", "b@1.0", True),
        ("uvx b>=1.0", "b>=1.0", False),
        ("uvx --python 3.12 b", "b", False),
        ("uvx --from git+https://h/r@v1.2.3 b", "git+https://h/r@v1.2.3", True),
        ("uvx --from git+https://h/r b", "git+https://h/r", False),
        ("uvx --from=b[x]==2 c", "b[x]==2", True),
        ("uv tool run b", "b", False),
        ("pipx run b==1", "b==1", True),
        ("docker run -i --rm -e A -v x:y a/b", "a/b", False),
        ("docker run -i a/b:latest", "a/b:latest", False),
        ("docker run -i a/b:1.2", "a/b:1.2", True),
        ("docker run -i h:5000/a/b", "h:5000/a/b", False),
        ("podman run -i a@sha256:00", "a@sha256:00", True),
        ("deno run -A npm:b", "npm:b", False),
    ],
)
def test_a_package_is_found_behind_its_launcher(line: str, name: str, pinned: bool) -> None:
    command = line.split()
    package = package_of(command)
    assert package is not None
    assert (package.name, package.pinned) == (name, pinned)
    assert name in command[package.index]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "npx",
        "npx -y",
        "npx ./local",
        "uvx /abs",
        "node x.js",
        "uv run x",
        "docker ps",
        "npm run x",
        "docker",
        "uvx --from",
    ],
)
def test_what_is_there_already_is_no_package(line: str) -> None:
    assert package_of(line.split()) is None
