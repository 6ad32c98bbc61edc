"""Which package a launcher runs, and whether its version is fixed. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from garrison.catalog.launch import bare_name
from garrison.catalog.notes import brief
from garrison.catalog.words import word_set

_NPX_VALUES = word_set("-c --call -w --workspace --registry --cache --userconfig --prefix")
_UVX_VALUES = word_set(
    "--python -p --with --with-editable --with-requirements --index --index-url -i --extra-index-url --directory "
    "--project --cache-dir --config-file --env-file --index-strategy --find-links -f --constraints -c --overrides"
)
_DOCKER_VALUES = word_set(
    "-e --env --env-file -v --volume --mount -p --publish --name --network --net -u --user -w --workdir --entrypoint "
    "-m --memory --cpus --add-host -l --label --platform --pull --gpus --device --cap-add --cap-drop --security-opt "
    "-h --hostname --ulimit --tmpfs --shm-size --log-driver --restart --ipc --pid --dns --volumes-from --expose --link"
)
_SIMPLE_VALUES = word_set("-p --package --spec --python --registry")
_EXACT = re.compile(r"v?\d+(?:\.\w+)*(?:[-+][\w.-]+)?\Z", re.ASCII)
_EXACT_PYTHON = re.compile(r"[^=!<>~]*==\s*[^*\s]+\Z")
_COMMIT = re.compile(r"[@#](?:v?\d+\.\d+[\w.-]*|[0-9a-f]{7,40})(?:#.*)?\Z")


@dataclass(frozen=True, slots=True)
class Package:
    """`index`: the word of the command line that names it."""

    name: str
    index: int
    pinned: bool
    kind: str


def pinning_hint(package: Package) -> str:
    """How to fix its version."""
    if "://" in package.name or package.name.startswith("git+"):
        return "name a release: a tag or a commit"
    if package.kind == "image":
        return f"write {brief(package.name.removesuffix(':latest') + ':VERSION')}"
    base = re.sub(r"(?<=.)@[^/@]*$|[=<>!~].*$", "", package.name)
    return f"write {brief(base + ('==VERSION' if package.kind == 'python' else '@VERSION'))}"


def package_of(command: list[str]) -> Package | None:
    """The package that the command line downloads and runs; None if it runs what is there."""
    for launcher, subcommands, find in _FINDERS:
        if command and bare_name(command[0]) == launcher:
            rest = [word for word in command[1:] if not word.startswith("-")]
            if not subcommands or rest[: len(subcommands)] == list(subcommands):
                start = _after(command, subcommands)
                return find(command, start)
    return None


def _after(command: list[str], subcommands: tuple[str, ...]) -> int:
    start = 1
    for word in subcommands:
        start = command.index(word, start) + 1
    return start


def _first_argument(command: list[str], start: int, with_values: frozenset[str]) -> int | None:
    """The first word that is neither an option nor an option's value."""
    position = start
    while position < len(command):
        word = command[position]
        if word == "--":
            return position + 1 if position + 1 < len(command) else None
        if not word.startswith("-"):
            return position
        position += 2 if word in with_values else 1
    return None


def _option(command: list[str], start: int, names: frozenset[str]) -> int | None:
    """The word that holds the value of one of the options, before the first argument."""
    for position in range(start, len(command)):
        word = command[position]
        if word in names and position + 1 < len(command):
            return position + 1
        if word.startswith("--") and word.partition("=")[0] in names and "=" in word:
            return position
        if not word.startswith("-") and command[position - 1] not in names:
            return None
    return None


def _npm(command: list[str], start: int) -> Package | None:
    named = _option(command, start, frozenset({"-p", "--package"}))
    index = named if named is not None else _first_argument(command, start, _NPX_VALUES)
    if index is None or command[index].startswith((".", "/", "~", "file:")):
        return None
    word = command[index].partition("=")[2] if command[index].startswith("--") else command[index]
    return Package(word, index, _npm_pinned(word), "npm")


def _npm_pinned(word: str) -> bool:
    if "://" in word or word.startswith(("git+", "github:")) or re.fullmatch(r"[\w.-]+/[\w.-]+(?:#.*)?", word):
        return bool(_COMMIT.search(word))
    return "@" in word[1:] and bool(_EXACT.match(word.rsplit("@", 1)[1]))


def _python(command: list[str], start: int) -> Package | None:
    named = _option(command, start, frozenset({"--from", "--spec"}))
    index = named if named is not None else _first_argument(command, start, _UVX_VALUES | {"--from"})
    if index is None or command[index].startswith((".", "/", "~")):
        return None
    word = command[index].partition("=")[2] if command[index].startswith("--") else command[index]
    return Package(word, index, _python_pinned(word), "python")


def _python_pinned(word: str) -> bool:
    if "://" in word or word.startswith("git+"):
        return bool(_COMMIT.search(word.partition("://")[2]))
    return bool(_EXACT_PYTHON.match(word)) or ("@" in word and bool(_EXACT.match(word.rsplit("@", 1)[1])))


def _image(command: list[str], start: int) -> Package | None:
    index = _first_argument(command, start, _DOCKER_VALUES)
    if index is None:
        return None
    image = command[index]
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return Package(image, index, "@sha256:" in image or tag not in ("", "latest"), "image")


def _deno(command: list[str], start: int) -> Package | None:
    index = _first_argument(command, start, frozenset())
    if index is None or not command[index].startswith(("npm:", "jsr:", "https://")):
        return None
    word = command[index]
    return Package(word, index, bool(re.search(r"@v?\d+\.\d+", word)), "deno")


_FINDERS: Final[tuple[tuple[str, tuple[str, ...], Callable[[list[str], int], Package | None]], ...]] = (
    ("npx", (), _npm),
    ("bunx", (), _npm),
    ("pnpx", (), _npm),
    ("bun", ("x",), _npm),
    ("npm", ("exec",), _npm),
    ("npm", ("x",), _npm),
    ("pnpm", ("dlx",), _npm),
    ("yarn", ("dlx",), _npm),
    ("uvx", (), _python),
    ("uv", ("tool", "run"), _python),
    ("pipx", ("run",), _python),
    ("docker", ("run",), _image),
    ("docker", ("container", "run"), _image),
    ("podman", ("run",), _image),
    ("deno", ("run",), _deno),
)
