"""Drafts of several files become one fleet: earlier files win, conflicts and twins are reported."""

from __future__ import annotations

from garrison.catalog.draft import Draft
from garrison.catalog.notes import Notes, brief

Numbered = tuple[int, Draft]
"""A draft and the index of its file."""


def merge(files: list[list[Draft]], notes: list[Notes]) -> list[Numbered]:
    """The drafts that remain, in order; `notes` has one collection for each file."""
    kept: dict[str, Numbered] = {}
    for index, drafts in enumerate(files):
        for draft in drafts:
            earlier = kept.get(draft.name)
            if earlier is None:
                kept[draft.name] = (index, draft)
            else:
                _report(draft, notes[index], earlier, notes)
    return list(kept.values())


def _report(draft: Draft, here: Notes, earlier: Numbered, notes: list[Notes]) -> None:
    index, first = earlier
    where = "above" if notes[index] is here else f"in {notes[index].file}:{first.place.line}"
    about = here.about(draft.name)
    if identity(draft) == identity(first):
        about.note("server.repeated", f"the same server is declared {where}; it is taken once", "", draft.place)
    else:
        message = f"another server of this name is declared {where}; that one is taken"
        about.warn("server.conflict", message, "rename one of the two to have both", draft.place)


def identity(draft: Draft) -> tuple[object, ...]:
    """What makes two entries one server: what runs, and with what."""
    command = tuple(word.value for word in draft.command if word.value != "-y")
    urls = tuple(url.value.rstrip("/") for url in draft.addresses)
    env = tuple(sorted((name, text.value) for name, text in draft.env.items()))
    headers = tuple(sorted((name.lower(), text.value) for name, text in draft.headers.items()))
    return command, urls, env, headers, draft.cwd.value if draft.cwd else ""


def warn_of_twins(drafts: list[Numbered], notes: list[Notes]) -> None:
    """Two names for one server: twice the processes, and every tool twice."""
    seen: dict[tuple[object, ...], Numbered] = {}
    for index, draft in drafts:
        earlier = seen.setdefault(identity(draft), (index, draft))
        if earlier[1] is draft:
            continue
        place = f"line {earlier[1].place.line}"
        where = place if earlier[0] == index else f"{notes[earlier[0]].file}, {place}"
        message = f"the same server as {brief(earlier[1].name)} ({where}): its tools will be there twice"
        notes[index].about(draft.name).warn("server.duplicate", message, "keep one of the two", draft.place)
