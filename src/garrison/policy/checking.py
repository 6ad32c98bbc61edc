"""What is wrong with grants and policies, as problems at their places; nothing is raised. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from garrison.catalog.notes import Place
from garrison.catalog.problems import Problem, Severity
from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import RoleSpec
from garrison.identity.roles import ADMIN_ROLE
from garrison.kernel.errors import Invalid
from garrison.policy.engine import Flaw, flaws_of, policies_of
from garrison.policy.rulebook import grant_texts, named_policies
from garrison.policy.rules import Rule, rule
from garrison.policy.windows import parse_window

Places = Mapping[str, tuple[str, Place]]
"""Files and places by the names of rules: `role reader, grant 2`, `policy freeze`."""
_STATEMENT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|\b(?:permit|forbid)\b|;', re.DOTALL)
_HINT: Final = "docs/authorisation.md has the words; `garrison policy show` prints what grants become"


def problems_of(snapshot: Snapshot, places: Places) -> list[Problem]:
    """All of them; each names its rule."""
    found = list(_of_roles(snapshot.roles, places))
    for name, spec in snapshot.sections.policies.items():
        if spec.cedar.strip():
            found += _of_policy(name, spec.cedar, places)
    return found


def _of_roles(roles: Mapping[str, RoleSpec], places: Places) -> Iterator[Problem]:
    if ADMIN_ROLE in roles:
        hint = "choose another name; members of a group can have the role admin"
        yield _problem("role.reserved", "the role admin is built in and cannot be redefined", hint, "", places)
    for name, text in grant_texts(roles):
        for flaw in flaws_of(text):
            yield _problem("grant.bad", f"{name}: {flaw.message}", _HINT, name, places)
        if not flaws_of(text):
            for policy in policies_of(text):
                yield from _of_rule(rule(name, 0, policy), name, 0, places)


def _of_policy(name: str, text: str, places: Places) -> Iterator[Problem]:
    about = f"policy {name}"
    flaws = flaws_of(text)
    starts = statement_lines(text)
    for flaw in flaws:
        line = _line(flaw, starts, text)
        yield _problem("policy.bad", f"{about}: {flaw.message}", _HINT, about, places, line)
    if any(flaw.number < 0 for flaw in flaws):
        return
    for number, (full, policy) in enumerate(named_policies(name, policies_of(text))):
        line = starts[number] if number < len(starts) else 0
        yield from _of_rule(rule(full, 0, policy), about, line, places)


def _of_rule(one: Rule, about: str, line: int, places: Places) -> Iterator[Problem]:
    effect = one.policy.get("annotations", {}).get("effect")
    if effect is not None and (effect != "approve" or one.forbids):
        message = f'{one.name}: the only @effect is "approve", of a permit'
        yield _problem("policy.bad_effect", message, "to refuse, write forbid", about, places, line)
    for text in sorted(one.windows):
        try:
            parse_window(text)
        except Invalid as error:
            yield _problem("policy.bad_window", f"{one.name}: {error.message}", error.hint, about, places, line)


def statement_lines(text: str) -> list[int]:
    """Lines, from 0, on which the policies of a text begin; what stands in texts and comments is none."""
    found: list[int] = []
    is_inside = False
    for match in _STATEMENT.finditer(text):
        if match[0] == ";":
            is_inside = False
        elif match[0] in ("permit", "forbid") and not is_inside:
            is_inside = True
            found.append(text.count("\n", 0, match.start()))
    return found


def _line(flaw: Flaw, starts: list[int], text: str) -> int:
    """Cedar does not say where; of a text that cannot be read the first statement that cannot is looked for."""
    if 0 <= flaw.number < len(starts):
        return starts[flaw.number]
    lines = text.split("\n")
    for start, end in pairwise([*starts, len(lines)]):
        if any(one.number < 0 for one in flaws_of("\n".join(lines[start:end]))):
            return start
    return 0


def _problem(
    code: str, message: str, hint: str, about: str, places: Places, line: int = 0, severity: Severity = "error"
) -> Problem:
    file, place = places.get(about, ("", Place()))
    where = place.line + line if place.line else 0
    column = place.column if where and not line else min(where, 1)
    return Problem(severity=severity, code=code, message=message, hint=hint, file=file, line=where, column=column)


def place_of(name: str, places: Places) -> str:
    """Where a rule stands, as `file:line`; several policies of one text stand where the text does."""
    about = max((one for one in places if name == one or name.startswith(f"{one} ")), key=len, default="")
    if not about:
        return ""
    file, place = places[about]
    return f"{file}:{place.line}" if place.line else file
