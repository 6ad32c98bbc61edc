"""Grants become Cedar policies: what is decided by is standard text, and there is one engine.

What cannot be told for certain counts against the caller: a condition of `deny` holds as well when an argument is of
another type than the condition speaks of, one of `allow` or `approve` does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from garrison.catalog.access import ArgumentSpec, WhenSpec
from garrison.catalog.spec import GrantSpec
from garrison.policy.vocabulary import ACTION, TYPE

PREDICATE = {"allow": "permit", "approve": "permit", "deny": "forbid"}


def quoted(text: str) -> str:
    """A Cedar string literal: its escapes are Rust's, of which these are the same as JSON's, or written out."""
    found = []
    for char in text:
        if char in '"\\':
            found.append("\\" + char)
        elif " " <= char <= "~":
            found.append(char)
        else:
            found.append(f"\\u{{{ord(char):x}}}")
    return '"' + "".join(found) + '"'


def grant_text(role: str, number: int, grant: GrantSpec) -> str:
    """The policies of one grant: one for each kind of thing that it speaks of."""
    name = f"role {role}, grant {number}"
    kinds = (("tool", grant.tools), ("prompt", grant.prompts), ("resource", grant.resources))
    found = [_policy(name, role, kind, ACTION[kind], patterns, grant) for kind, patterns in kinds if patterns]
    if grant.approves:
        found.append(_policy(name, role, "tool", "approve", grant.approves, grant, effect="allow"))
    return "\n".join(found)


def _policy(
    name: str, role: str, kind: str, action: str, patterns: tuple[str, ...], grant: GrantSpec, effect: str = ""
) -> str:
    effect = effect or grant.effect
    notes = [f"@id({quoted(name)})"]
    if effect == "approve":
        notes.append('@effect("approve")')
    lines = [
        *notes,
        f"{PREDICATE[effect]} (",
        f"  principal in Role::{quoted(role)},",
        f'  action == Action::"{action}",',
        f"  resource is {TYPE[kind]}",
        ")",
    ]
    lines += [f"when {{ {one} }}" for one in _conditions(kind, patterns, grant, denies=effect == "deny")]
    return "\n".join(lines) + ";"


def _conditions(kind: str, patterns: tuple[str, ...], grant: GrantSpec, *, denies: bool) -> Iterator[str]:
    when = grant.when
    yield from _fits("server", "serverMatches", grant.servers)
    yield from _fits("name", "matches", patterns)
    if kind == "tool":
        yield from _annotations(when)
    if kind != "resource" or when.arguments:
        for argument, spec in when.arguments.items():
            yield from argument_conditions(argument, spec, denies=denies)
    if when.during:
        yield _any(f"context.windows.contains({quoted(one)})" for one in when.during)
    if when.clients:
        yield _any(f"context.client.name like {quoted(one)}" for one in when.clients)
    if when.addresses:
        yield _any(f"context.client.address.isInRange(ip({quoted(one)}))" for one in when.addresses)
    if when.eras:
        yield f"[{', '.join(map(quoted, when.eras))}].contains(context.client.era)"


def _fits(attribute: str, matches: str, patterns: tuple[str, ...]) -> Iterator[str]:
    """Nothing for a pattern that everything fits. Cedar's `like` knows `*` alone; whatever else is matched for it."""
    if "*" in patterns:
        return
    yield _any(
        f"resource.{matches}.contains({quoted(one)})" if is_odd(one) else _like(f"resource.{attribute}", one)
        for one in patterns
    )


def is_odd(pattern: str) -> bool:
    return "?" in pattern or "[" in pattern


def _like(what: str, pattern: str) -> str:
    return f"{what} like {quoted(pattern)}" if "*" in pattern else f"{what} == {quoted(pattern)}"


def _annotations(when: WhenSpec) -> Iterator[str]:
    for hint in when.annotations.__struct_fields__:
        wanted = getattr(when.annotations, hint)
        if wanted is not None:
            yield f"resource.{hint}" if wanted else f"!resource.{hint}"


def argument_conditions(argument: str, spec: ArgumentSpec, *, denies: bool) -> Iterator[str]:
    """Each is a condition of its own; all have to hold."""
    key = quoted(argument)
    if spec.absent:
        yield f"!context.given.contains({key})"
    if spec.like:
        yield _typed("text", key, _any(_like(f"context.text.getTag({key})", one) for one in spec.like), denies=denies)
    if spec.below:
        yield _typed("text", key, _below(f"context.text.getTag({key})", spec.below, denies=denies), denies=denies)
    if spec.one_of:
        yield _one_of(key, spec.one_of, denies=denies)
    bounds = [(">=", spec.at_least), ("<=", spec.at_most)]
    numbers = [f"context.numbers.getTag({key}) {sign} {bound}" for sign, bound in bounds if bound is not None]
    if numbers:
        yield _typed("numbers", key, " && ".join(numbers), denies=denies)


def _typed(tags: str, key: str, condition: str, *, denies: bool) -> str:
    """The condition where the argument is of the type; where it is of another, what is worse for the caller."""
    if denies:
        return f"context.given.contains({key}) && (if context.{tags}.hasTag({key}) then {condition} else true)"
    return f"context.{tags}.hasTag({key}) && ({condition})"


def _below(text: str, folders: tuple[str, ...], *, denies: bool) -> str:
    bases = [one.rstrip("/") for one in folders]
    inside = _any(one for base in bases for one in _inside(text, base))
    climbs = f'({text} like "*/../*" || {text} like "*/..")'
    if denies:
        unclear = f'{text} like "*//*" || {text} like "*/./*" || !({text} like "/*")'
        return f"({inside} || {climbs} || {unclear})"
    return f"{inside} && !{climbs}"


def _inside(text: str, base: str) -> Iterator[str]:
    if base:
        yield f"{text} == {quoted(base)}"
    yield f"{text} like {like_literal(base)}"


def like_literal(base: str) -> str:
    """`BASE/*` as a pattern in which a star of the folder's own name is only a star."""
    return quoted(base).removesuffix('"').replace("*", "\\*") + '/*"'


def _one_of(key: str, values: tuple[str | int | bool, ...], *, denies: bool) -> str:
    flags = [one for one in values if isinstance(one, bool)]
    numbers = [one for one in values if isinstance(one, int) and not isinstance(one, bool)]
    texts = [one for one in values if isinstance(one, str)]
    branches = [
        ("text", f"[{', '.join(map(quoted, texts))}].contains(context.text.getTag({key}))", texts),
        ("numbers", f"[{', '.join(map(str, numbers))}].contains(context.numbers.getTag({key}))", numbers),
        ("flags", f"[{', '.join(map(json.dumps, flags))}].contains(context.flags.getTag({key}))", flags),
        ("lists", _of_list(key, texts, denies=denies), texts),
    ]
    found = "true" if denies else "false"
    for tags, condition, wanted in reversed(branches):
        found = f"if context.{tags}.hasTag({key}) then {condition if wanted else 'false'} else ({found})"
    return f"context.given.contains({key}) && ({found})"


def _of_list(key: str, texts: list[str], *, denies: bool) -> str:
    wanted = f"[{', '.join(map(quoted, texts))}]"
    if denies:
        return f"context.lists.getTag({key}).containsAny({wanted})"
    return f"{wanted}.containsAll(context.lists.getTag({key}))"


def _any(conditions: Iterable[str]) -> str:
    found = list(conditions) or ["false"]
    return found[0] if len(found) == 1 else "(" + " || ".join(found) + ")"
