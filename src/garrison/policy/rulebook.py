"""All rules of a snapshot, ready to be asked: grants as compiled, policies as written. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from garrison.catalog.access import PolicySpec
from garrison.catalog.spec import RoleSpec
from garrison.identity.roles import ADMIN_ROLE
from garrison.kernel.errors import Invalid
from garrison.policy.compiling import grant_text, is_odd, quoted
from garrison.policy.engine import Answer, PolicySet, policies_of, text_of
from garrison.policy.rules import Json, Rule, outlook, rule
from garrison.policy.shapes import Shapes, shapes_of
from garrison.policy.vocabulary import Fact
from garrison.policy.windows import Window, parse_window

SETS_MAX: Final = 256
ADMIN_RULE: Final = f"role {ADMIN_ROLE}"
_ADMIN_TEXT: Final = f"@id({quoted(ADMIN_RULE)})\npermit (principal in Role::{quoted(ADMIN_ROLE)}, action, resource);"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say: the first rule that decided, and what is still open."""

    permits: bool
    rule: Rule | None
    asks: bool = False
    depends: bool = False


@dataclass(frozen=True)
class Rulebook:
    rules: tuple[Rule, ...]
    windows: Mapping[str, Window]
    """Those that some rule asks for."""
    needs: frozenset[Fact]
    """Everything that any rule rests on."""
    server_patterns: tuple[str, ...] = ()
    name_patterns: tuple[str, ...] = ()
    """Patterns that Cedar's `like` cannot express; which of them fit is told to it."""
    roles: frozenset[str] = frozenset()
    """Those that some rule is for."""
    shapes: Shapes = field(default_factory=lambda: Shapes(False, ()))
    _sets: dict[tuple[frozenset[Fact], frozenset[str]], _Outlook] = field(default_factory=dict, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether a policy may allow something to those who have no role."""
        return any(not one.forbids and one.policy["principal"]["op"] != "in" for one in self.rules)

    def text(self) -> str:
        """Everything as Cedar policies."""
        return text_of([one.policy for one in self.rules])

    def ask(
        self, unknown: frozenset[Fact], roles: Iterable[str], requests: list[dict[str, Any]], entities: str
    ) -> list[Verdict]:
        """What holds whatever the unknown facts turn out to be, and what is possible. `roles`: of who asks.

        Only the rules of those roles are asked, and those of no role: others cannot hold, and each costs its time.
        """
        key = (unknown, self.roles.intersection(roles))
        found = self._sets.get(key)
        if found is None:
            if len(self._sets) >= SETS_MAX:
                self._sets.clear()
            rules = tuple(one for one in self.rules if one.role is None or one.role in key[1])
            found = self._sets[key] = _Outlook(rules, unknown)
        return found.ask(requests, entities)

    def server_matches(self, server: str) -> list[str]:
        return [one for one in self.server_patterns if fnmatchcase(server, one)]

    def matches(self, name: str) -> list[str]:
        return [one for one in self.name_patterns if fnmatchcase(name, one)]


class _Outlook:
    """The rules without their conditions on what is unknown.

    One that forbids, and would lose a condition, must not forbid here; but it has to be known whether it might. So it
    stands among those that permit, and is told apart by its position.
    """

    def __init__(self, rules: tuple[Rule, ...], unknown: frozenset[Fact]) -> None:
        self._rules = rules
        seen = [outlook(one, unknown) for one in rules]
        self._is_open = tuple(is_open for _, is_open in seen)
        self._set = PolicySet([_as_permit(policy) if is_open else policy for policy, is_open in seen])

    def ask(self, requests: list[dict[str, Any]], entities: str) -> list[Verdict]:
        return [self._verdict(answer) for answer in self._set.ask(requests, entities)]

    def _verdict(self, answer: Answer) -> Verdict:
        rules, is_open = self._rules, self._is_open
        if answer.failed:
            return Verdict(False, None)
        if not answer.permits:
            return Verdict(False, rules[answer.rules[0]] if answer.rules else None)
        permits = [number for number in answer.rules if not rules[number].forbids]
        if not permits:
            return Verdict(False, None)
        firm = [number for number in permits if not is_open[number]]
        asking = [number for number in permits if rules[number].asks]
        may_be_forbidden = len(permits) < len(answer.rules)
        must_ask = any(not is_open[number] for number in asking)
        depends = may_be_forbidden or not firm or (bool(asking) and not must_ask)
        asks = must_ask or len(asking) == len(permits)
        deciding = asking if asks else firm or permits
        return Verdict(True, rules[deciding[0]], asks, depends)


def _as_permit(policy: Json) -> Json:
    return {**policy, "effect": "permit"}


def rulebook(roles: Mapping[str, RoleSpec], policies: Mapping[str, PolicySpec]) -> Rulebook:
    """Raises `Invalid` for what is no policy; `checking.problems` tells all of them, with places."""
    if ADMIN_ROLE in roles:
        raise Invalid("role.reserved", "The role admin is built in and cannot be redefined.", "Choose another name.")
    written = "\n".join([_ADMIN_TEXT, *(text for _, text in grant_texts(roles))])
    found: list[tuple[str, Json]] = [(one["annotations"]["id"], one) for one in policies_of(written)]
    for name, spec in policies.items():
        found += list(named_policies(name, _policies(name, spec.cedar)))
    rules = tuple(rule(name, number, policy) for number, (name, policy) in enumerate(found))
    texts = {window for one in rules for window in one.windows}
    grants = [grant for role in roles.values() for grant in role.grants]
    named = [pattern for one in grants for pattern in (*one.tools, *one.prompts, *one.resources, *one.approves)]
    return Rulebook(
        rules,
        {text: parse_window(text) for text in sorted(texts)},
        frozenset().union(*(one.needs for one in rules)),
        _odd(pattern for one in grants for pattern in one.servers),
        _odd(named),
        frozenset(one.role for one in rules if one.role is not None),
        shapes_of(rules, _odd(named)),
    )


def grant_texts(roles: Mapping[str, RoleSpec]) -> Iterable[tuple[str, str]]:
    """Each grant by its rule's name, as Cedar; nothing for grants of nothing."""
    for role in roles.values():
        for number, grant in enumerate(role.grants, 1):
            text = grant_text(role.name, number, grant)
            if text:
                yield f"role {role.name}, grant {number}", text


def named_policies(name: str, policies: list[Json]) -> Iterable[tuple[str, Json]]:
    """`policy NAME`, and of several in one text also which: by its own `@id`, or by number."""
    for number, policy in enumerate(policies, 1):
        own = policy.get("annotations", {}).get("id")
        yield f"policy {name}" + (f" {own}" if own else f" #{number}" if len(policies) > 1 else ""), policy


def _policies(name: str, text: str) -> list[Json]:
    try:
        return policies_of(text)
    except ValueError as error:
        raise Invalid("policy.bad", f"policy {name} cannot be read: {error}", "`garrison policy check`") from None


def _odd(patterns: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({one for one in patterns if is_odd(one)}))
