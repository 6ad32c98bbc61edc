"""The command line of a draft, made plain: words apart, wrappers off, launchers complete.

What changes is noted; what a program would notice does not change.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final

from garrison.catalog.coerce import words
from garrison.catalog.draft import Draft, Text
from garrison.catalog.notes import Notes, brief
from garrison.catalog.words import word_set

LAUNCHERS: Final = word_set(
    "npx npm pnpm pnpx yarn bunx bun node deno tsx uvx uv python python3 pipx docker podman java dotnet dnx go cargo "
    "cmd powershell pwsh sh bash zsh env wsl ruby php pipenv poetry nix mise"
)
_SHELLS = word_set("sh bash zsh dash ash fish")
_BRIDGES = word_set("mcp-remote mcp-remote-client mcp-proxy supergateway mcp-client-bridge")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_WINDOWS_PATH = re.compile(r"^[A-Za-z]:[\\/]|^\\\\[^\\]|\.(?:exe|cmd|bat|ps1)$", re.IGNORECASE)
_PLAIN_SCRIPT = re.compile(r"[^|&;<>()`\n]*\Z")


def program(command: list[Text]) -> str:
    """The program's bare name: `C:\\x\\npx.cmd` and `/usr/bin/npx` are `npx`."""
    return bare_name(command[0].value) if command else ""


def bare_name(word: str) -> str:
    name = PureWindowsPath(word).name if "\\" in word else PurePosixPath(word).name
    lowered = name.lower()
    for suffix in (".exe", ".cmd", ".bat"):
        lowered = lowered.removesuffix(suffix)
    return lowered


def make_plain(draft: Draft, notes: Notes) -> None:
    """All steps, in an order where each sees what the one before uncovered."""
    for step in STEPS:
        if draft.command:
            step(draft, notes)


def _split_line(draft: Draft, notes: Notes) -> None:
    """`command: "npx -y thing"` holds its arguments too."""
    if len(draft.command) != 1 or not re.search(r"\s", draft.command[0].value):
        return
    line = draft.command[0]
    parts = words(line.value) if "\\" not in line.value else line.value.split()
    if not parts or (bare_name(parts[0]) not in LAUNCHERS and not _reads_as_line(line.value, parts, draft)):
        return
    draft.command = [Text(part, line.place) for part in parts]
    notes.warn(
        "command.one_text",
        "command holds a whole command line; it was split into words",
        "write the program in command: and the rest in args:",
        line.place,
    )


def _reads_as_line(line: str, parts: list[str], draft: Draft) -> bool:
    """A path with a space in it is one word; a bare program with arguments is several."""
    return not draft.args and not _WINDOWS_PATH.search(line) and "/" not in parts[0]


def _join(draft: Draft, notes: Notes) -> None:
    draft.command, draft.args = [*draft.command, *draft.args], []


def _without_windows_shell(draft: Draft, notes: Notes) -> None:
    """`cmd /c npx …` is `npx …` anywhere else."""
    if program(draft.command) != "cmd":
        return
    rest = draft.command[1:]
    while rest and re.fullmatch(r"/[a-zA-Z]", rest[0].value):
        rest = rest[1:]
    if len(rest) == 1 and " " in rest[0].value:
        rest = [rest[0].with_value(word) for word in words(rest[0].value)]
    if rest:
        notes.note("command.wrapper", "`cmd /c` is for Windows; it was taken off", "", draft.command[0].place)
        draft.command = rest


def _without_wsl(draft: Draft, notes: Notes) -> None:
    """`wsl.exe -d Debian -- bash -c …` runs in Linux what we can run ourselves."""
    if program(draft.command) != "wsl":
        return
    rest = draft.command[1:]
    while rest and rest[0].value.startswith("-"):
        takes_value = rest[0].value in ("-d", "--distribution", "-u", "--user", "--cd")
        ends = rest[0].value in ("-e", "--exec", "--")
        rest = rest[2:] if takes_value else rest[1:]
        if ends:
            break
    if rest:
        message = "`wsl` leads from Windows into Linux; it was taken off"
        notes.note("command.wrapper", message, "check the paths in it", draft.command[0].place)
        draft.command = rest


def _without_env(draft: Draft, notes: Notes) -> None:
    """`env A=1 program …`: the variables belong to env."""
    if program(draft.command) != "env" or len(draft.command) < 2:
        return
    rest = draft.command[1:]
    if rest[0].value == "-S" and len(rest) > 1:
        rest = [rest[1].with_value(word) for word in words(rest[1].value)] + rest[2:]
    if rest and rest[0].value.startswith("-"):
        return
    while rest and (match := _ASSIGNMENT.fullmatch(rest[0].value)):
        draft.env.setdefault(match[1], rest[0].with_value(match[2]))
        rest = rest[1:]
    if rest:
        notes.note("command.wrapper", "`env` was taken off; its variables are in env:", "", draft.command[0].place)
        draft.command = rest


def _without_suffix(draft: Draft, notes: Notes) -> None:
    """`npx.cmd` is how Windows spells `npx`."""
    word = draft.command[0]
    if re.fullmatch(r"[\w-]+\.(?:exe|cmd|bat)", word.value, re.IGNORECASE):
        message = f"{brief(word.value)} is a name of Windows; its ending was taken off"
        notes.note("command.wrapper", message, "", word.place)
        draft.command[0] = word.with_value(word.value.rsplit(".", 1)[0])


def _home_in_path(draft: Draft, notes: Notes) -> None:
    """No client runs the program through a shell, so nobody would expand `~`."""
    for where in (draft.command[0], draft.cwd):
        if where is None or not where.value.startswith("~/"):
            continue
        ours = where.with_value("${HOME}" + where.value[1:])
        notes.note("path.home", f"{brief('~/')} is written {brief('${HOME}/')}", "", where.place)
        if where is draft.cwd:
            draft.cwd = ours
        else:
            draft.command[0] = ours


def _yes_for_npx(draft: Draft, notes: Notes) -> None:
    """Without `-y` npx asks before it installs, on an input that is the protocol's."""
    if program(draft.command) == "npx" and not has_yes(draft.command):
        place = draft.command[0].place
        draft.command = [draft.command[0], Text("-y", place), *draft.command[1:]]
        notes.note("package.no_yes", "npx without -y asks before it installs; -y was added", "", place)


def has_yes(command: list[Text]) -> bool:
    """Only flags before the package are npx's own."""
    for word in command[1:]:
        if word.value in ("-y", "--yes", "--no-install", "--offline", "--no") or word.value.startswith("--yes="):
            return True
        if not word.value.startswith("-"):
            return False
    return False


def shell_script(draft: Draft) -> list[Text]:
    """The words of the one command that `sh -c "…"` runs; empty if there is no shell, or more than one command."""
    if program(draft.command) not in _SHELLS:
        return []
    for position, word in enumerate(draft.command[1:-1], 1):
        if re.fullmatch(r"-[a-z]*c", word.value):
            script = draft.command[position + 1]
            last = re.split(r"&&|;|\|\|", script.value)[-1].strip()
            if not _PLAIN_SCRIPT.match(last):
                return []
            parts = [script.with_value(part) for part in words(last)]
            while parts and (parts[0].value == "exec" or _ASSIGNMENT.fullmatch(parts[0].value)):
                parts = parts[1:]
            return parts
    return []


def really(draft: Draft) -> list[Text]:
    """The command that counts: what a shell line runs, or the command itself."""
    return shell_script(draft) or draft.command


def _note_shell(draft: Draft, notes: Notes) -> None:
    if program(draft.command) in _SHELLS and (script := shell_script(draft)):
        message = f"a shell starts {brief(bare_name(script[0].value))}"
        notes.note("command.shell", message, "name the program itself in command:", draft.command[0].place)


def _note_bridge(draft: Draft, notes: Notes) -> None:
    """`npx mcp-remote URL` runs a local program only to reach a remote server."""
    command = really(draft)
    bridge = next((word for word in command if _package(word.value) in _BRIDGES), None)
    if bridge is None:
        return
    after = command[command.index(bridge) + 1 :]
    url = next((word for word in after if word.value.startswith(("http://", "https://"))), None)
    if url is None:
        return
    host = re.match(r"https?://(?:[^/@]*@)?([A-Za-z0-9.-]+(?::\d+)?)(?=[/?#]|$)", url.value)
    where = f" ({brief(host[1])})" if host else ""
    message = f"really a remote server{where}, reached through {_package(bridge.value)}"
    hint = "url: reaches it without the extra process; keep the bridge if the server asks for a login in the browser"
    notes.note("command.bridge", message, hint, url.place)


def _package(word: str) -> str:
    return re.sub(r"(?<=.)@[^/@]*$", "", word)


STEPS: Final[tuple[Callable[[Draft, Notes], None], ...]] = (
    _split_line,
    _join,
    _without_windows_shell,
    _without_wsl,
    _without_env,
    _without_suffix,
    _home_in_path,
    _yes_for_npx,
    _note_shell,
    _note_bridge,
)
