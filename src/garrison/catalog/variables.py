"""The references of other clients, turned into ours: `${env:X}`, `${input:x}`, `$X`, `{env:X}`, `{{X}}`, `%X%`, …

Text between them is escaped, so that what the client would pass on unchanged stays unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from garrison.catalog.notes import Notes, Place, brief
from garrison.catalog.references import NAME, escape
from garrison.catalog.words import word_set

_FOREIGN = re.compile(
    rf"""
      \$\{{\{{\s*(?:[\w-]+\.)?(?P<doubled>{NAME})\s*\}}\}}                # ${{{{ secrets.X }}}}
    | \$\{{(?P<braced>(?:[^{{}}]|\$?\{{[^{{}}]*\}})*)\}}                  # ${{…}}
    | (?<!\{{)\{{\{{\s*(?:[\w-]+\.)?(?P<mustache>{NAME})\s*\}}\}}(?!\}})  # {{{{X}}}}
    | (?<![\w$}}])\{{env:(?P<single>{NAME})\}}                            # {{env:X}}
    | (?<![\w$}}])\{{file:(?P<file>[^{{}}]+)\}}                           # {{file:path}}
    | (?<![^\s/:;,="'])\$(?P<bare>[A-Z_][A-Z0-9_]*)(?![^\s/:;,="'.\\-])   # $X, standing alone
    | %(?P<windows>[A-Za-z_][\w()]{{2,}})%                                # %X%
    """,
    re.VERBOSE | re.ASCII,
)
_PLAIN = re.compile(rf"({NAME})(?:(:?[-=?+])(.*))?\Z", re.DOTALL | re.ASCII)
_ENV = re.compile(rf"env[:.]({NAME})(?::?-(.*))?\Z", re.DOTALL | re.ASCII | re.IGNORECASE)
_HOME_FOLDERS = {"DESKTOP": "Desktop", "DOCUMENTS": "Documents", "DOWNLOADS": "Downloads"}

_FOLDERS = word_set(
    "workspaceFolder workspaceRoot fileWorkspaceFolder projectRoot projectDir cwd CLAUDE_PROJECT_DIR "
    "workspacePath PROJECT_DIR PROJECT_ROOT WORKSPACE_FOLDER"
)
_FILE_FOLDERS = frozenset({"CLAUDE_PLUGIN_ROOT", "PLUGIN_ROOT", "extensionPath", "__dirname"})


@dataclass(frozen=True, slots=True)
class Setting:
    """What the references of one file mean. `folder`: the project's; `file_folder`: where the file is."""

    folder: str
    file_folder: str
    known: Mapping[str, str]
    """From `catalog.family.Reading.variables`."""


def translate(text: str, setting: Setting, notes: Notes, place: Place, *, shell: bool = False) -> str:
    """The text in our references; what has no meaning here stays literal and is reported.

    `shell`: a shell will read the text, so that `$X` is its own business.
    """
    if not set(text) & set("${%"):
        return text
    pieces: list[str] = []
    end = 0
    for match in _FOREIGN.finditer(text):
        ours = None if shell and match["bare"] else _ours(match, setting, notes, place)
        if ours is None:
            continue
        pieces += [escape(text[end : match.start()]), ours]
        end = match.end()
    return "".join([*pieces, escape(text[end:])])


def _ours(match: re.Match[str], setting: Setting, notes: Notes, place: Place) -> str | None:
    """The reference in our words; None leaves it as text."""
    name = match["doubled"] or match["mustache"] or match["single"] or match["bare"]
    if name:
        return _named(name, setting, notes, place)
    if match["windows"]:
        if "://" in match.string:
            return None
        notes.warn(
            "path.windows", f"%{match['windows']}% is a variable of Windows", "use a path of this machine", place
        )
        return "${" + match["windows"] + "}"
    if match["file"]:
        message = "the text of a file is put in here, which is not supported yet"
        notes.warn("reference.unsupported", message, "use a variable or a secret", place)
        return None
    return _braced(match["braced"], setting, notes, place)


def _braced(body: str, setting: Setting, notes: Notes, place: Place) -> str | None:
    if body in setting.known:
        ours = setting.known[body]
        variable = re.sub(r"^\$\{|(?::-.*)?\}$", "", ours, flags=re.DOTALL)
        message = f"the client asks for {brief(body.partition(':')[2] or body)}; here it is the variable {variable}"
        notes.note("reference.input", message, "it has a default" if ":-" in ours else f"set {variable}", place)
        return ours
    if match := _ENV.match(body):
        return _with_default(match[1], match[2], setting, notes, place)
    if match := _PLAIN.match(body):
        default = match[3] if match[2] and match[2] in (":-", "-", ":=", "=") else None
        if default is not None:
            return _with_default(match[1], default, setting, notes, place)
        return _named(match[1], setting, notes, place)
    return _of_the_editor(body, setting, notes, place)


def _with_default(name: str, default: str | None, setting: Setting, notes: Notes, place: Place) -> str:
    if default is None:
        return "${" + name + "}"
    return "${" + name + ":-" + translate(default, setting, notes, place) + "}"


def _named(name: str, setting: Setting, notes: Notes, place: Place) -> str:
    if name in _FOLDERS or name in _FILE_FOLDERS:
        return _folder(name, setting, notes, place)
    if name in ("userHome", "HOMEPATH", "USERPROFILE"):
        return "${HOME}"
    if name == "pathSeparator":
        return "/"
    if name in _HOME_FOLDERS:
        return "${HOME}/" + _HOME_FOLDERS[name]
    return "${" + name + "}"


def _folder(name: str, setting: Setting, notes: Notes, place: Place) -> str:
    folder = setting.file_folder if name in _FILE_FOLDERS else setting.folder
    what = "the folder of the file" if name in _FILE_FOLDERS else "the project's folder"
    notes.note("reference.folder", f"{brief('${' + name + '}')} is taken as {what}", "", place)
    return escape(folder)


def _of_the_editor(body: str, setting: Setting, notes: Notes, place: Place) -> str | None:
    kind, _, rest = body.partition(":") if ":" in body else body.partition(".")
    if kind == "secret" and rest:
        return "${" + body + "}"
    if kind == "workspaceFolder":
        return _folder("workspaceFolder", setting, notes, place)
    if kind == "/":
        return "/"
    if kind in ("input", "user_config", "prompt", "promptString", "secrets") and rest:
        variable = re.sub(r"[^A-Z0-9_]+", "_", rest.upper()).strip("_") or "INPUT"
        variable = f"_{variable}" if variable[0].isdigit() else variable
        message = f"the client asks for {brief(rest)}; here it is the variable {variable}"
        notes.note("reference.input", message, f"set {variable}", place)
        return "${" + variable + "}"
    message = f"{brief('${' + body + '}')} has no meaning outside its client; it stays as it is"
    notes.warn("reference.unsupported", message, "write ${VARIABLE} for a variable of the environment", place)
    return None
