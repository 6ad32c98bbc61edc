"""Policies that stand in files of their own, read with the document that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import msgspec

from garrison.catalog.notes import Notes, Place
from garrison.catalog.sections import Sections

RulePlace = tuple[str, Place]
"""A file, and a place in it."""
SIZE_BYTES_MAX: Final = 1024 * 1024


class Naming(Protocol):
    """What one file gave: its sections and where its rules stand."""

    sections: Sections
    rule_places: dict[str, RulePlace]


def read_policy_files(file: Naming, folder: Path, notes: Notes) -> None:
    """Put the text of each named file into its policy; what cannot be read is an error at the policy."""
    policies = dict(file.sections.policies)
    for name, policy in policies.items():
        if not policy.file or policy.cedar:
            continue
        path = folder / policy.file
        text = _text(path)
        if text is None:
            message = f"policy {name}: {policy.file[:200]} cannot be read as text, or is larger than 1 MiB"
            place = file.rule_places.get(f"policy {name}", ("", Place()))[1]
            notes.error("policy.unreadable", message, "the path is relative to this file's folder", place)
            continue
        policies[name] = msgspec.structs.replace(policy, cedar=text)
        file.rule_places[f"policy {name}"] = (str(path), Place(1, 1))
    file.sections = msgspec.structs.replace(file.sections, policies=policies)


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > SIZE_BYTES_MAX:
            return None
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return None
