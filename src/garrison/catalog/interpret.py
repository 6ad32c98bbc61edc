"""From drafts as read to drafts as meant: command lines plain, references ours, names allowed, everything checked."""

from __future__ import annotations

import posixpath

from garrison.catalog.checks import check
from garrison.catalog.draft import Draft, Text
from garrison.catalog.family import Origin, Reading
from garrison.catalog.launch import make_plain, program, shell_script
from garrison.catalog.naming import allowed, is_allowed, unused
from garrison.catalog.notes import Notes, brief
from garrison.catalog.references import escape
from garrison.catalog.variables import Setting, translate


def interpret(reading: Reading, origin: Origin, notes: Notes) -> list[Draft]:
    """All drafts of one document, in their order, with names of their own."""
    setting = Setting(origin.folder, str(origin.path.parent), reading.variables)
    taken: set[str] = {draft.name for draft in reading.drafts if is_allowed(draft.name)}
    for draft in reading.drafts:
        about = notes.about(draft.declared_name or draft.name)
        if reading.native:
            draft.command, draft.args = [*draft.command, *draft.args], []
        else:
            make_plain(draft, about)
            _translate(draft, setting, about)
        draft.folder = escape(origin.folder)
        check(draft, about)
        _settle_folder(draft, origin, about, native=reading.native)
    _settle_names(reading.drafts, taken, notes)
    return reading.drafts


def _translate(draft: Draft, setting: Setting, notes: Notes) -> None:
    def ours(text: Text, *, shell: bool = False) -> Text:
        return text.with_value(translate(text.value, setting, notes, text.place, shell=shell))

    shell = bool(shell_script(draft)) or program(draft.command) in ("sh", "bash", "zsh")
    draft.command = [ours(word, shell=shell) for word in draft.command]
    draft.env = {name: ours(text) for name, text in draft.env.items()}
    draft.headers = {name: ours(text) for name, text in draft.headers.items()}
    draft.url = ours(draft.url) if draft.url else None
    draft.urls = [ours(url) for url in draft.urls]
    draft.cwd = ours(draft.cwd) if draft.cwd else None


def _settle_folder(draft: Draft, origin: Origin, notes: Notes, *, native: bool) -> None:
    """A program starts in its `cwd`, else in the project's folder, where its client would start it."""
    if draft.url is not None:
        draft.cwd = None
        return
    folder = escape(origin.folder)
    if draft.cwd is None:
        draft.cwd = Text(folder, draft.place)
    elif draft.cwd.value == "~" or draft.cwd.value.startswith("~/"):
        draft.cwd = draft.cwd.with_value("${HOME}" + draft.cwd.value[1:])
    elif not draft.cwd.value.startswith(("/", "$")) and draft.cwd.value[1:3] not in (":\\", ":/"):
        if not native:
            message = "cwd is relative; it is taken from the project's folder"
            notes.note("path.relative_cwd", message, "", draft.cwd.place)
        draft.cwd = draft.cwd.with_value(posixpath.normpath(posixpath.join(folder, draft.cwd.value)))


def _settle_names(drafts: list[Draft], taken: set[str], notes: Notes) -> None:
    """Allowed names first come to those that have them already."""
    seen: set[str] = set()
    for draft in drafts:
        declared = draft.declared_name or draft.name
        if is_allowed(draft.name) and draft.name not in seen:
            name = draft.name
        else:
            name = unused(allowed(draft.name), taken | seen)
        seen.add(name)
        if name != declared:
            draft.declared_name = declared
            hint = "names are 1 to 64 of A-Z a-z 0-9 _ - and become the prefix of tool names"
            notes.about(declared).note(
                "name.changed", f"the name {brief(declared)} became {brief(name)}", hint, draft.place
            )
        draft.name = name
