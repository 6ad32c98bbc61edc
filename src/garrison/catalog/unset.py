"""References to variables that are not set, found before a server needs them."""

from __future__ import annotations

from collections.abc import Mapping

from garrison.catalog.checks import values
from garrison.catalog.merge import Numbered
from garrison.catalog.notes import Notes
from garrison.catalog.references import how_to_set, resolve


def warn_of_unset(drafts: list[Numbered], notes: list[Notes], environment: Mapping[str, str]) -> None:
    """A warning and no error, for the fleet may be started with more variables than the file is checked with;
    a note where the server is disabled."""
    for index, draft in drafts:
        about = notes[index].about(draft.name)
        for where, text in values(draft):
            _resolved, missing = resolve(text.value, environment, _any_secret)
            for name in missing:
                message = f"{where} needs the variable {name}, which is not set here"
                report = about.warn if draft.enabled else about.note
                report("variable.missing", message, how_to_set(name), text.place)


def _any_secret(_name: str) -> str:
    return ""
