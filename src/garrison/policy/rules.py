"""Policies as Cedar's JSON: what each rests on, and what is left of it while something is not known yet. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from garrison.policy.vocabulary import ANNOTATIONS, ARGUMENTS, Fact

Json = dict[str, Any]
EVERYTHING: Final[frozenset[Fact]] = frozenset(
    {"arguments", "annotations", "name", "windows", "now", "client", "principal"}
)
_OF_CONTEXT: Final[dict[str, Fact]] = {
    **dict.fromkeys(ARGUMENTS, "arguments"),
    "windows": "windows",
    "now": "now",
    "client": "client",
}
_OF_RESOURCE: Final[dict[str, Fact]] = {**dict.fromkeys(ANNOTATIONS, "annotations"), "name": "name", "matches": "name"}
_CONTAINS: Final = frozenset({"contains", "containsAny", "containsAll"})
_SERVER: Final = frozenset({"server", "serverMatches"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy. `name` tells people which it is; `order` in which they are named. `policy`: Cedar's JSON."""

    name: str
    order: int
    policy: Json = field(repr=False)
    needs: frozenset[Fact] = frozenset()
    windows: frozenset[str] = frozenset()
    """The time windows that it asks for."""

    @property
    def role(self) -> str | None:
        """The one role that it is for; None where it is for others as well."""
        principal = self.policy["principal"]
        entity = principal.get("entity", {}) if principal["op"] == "in" else {}
        return entity["id"] if entity.get("type") == "Role" else None

    @property
    def forbids(self) -> bool:
        return bool(self.policy["effect"] == "forbid")

    @property
    def asks(self) -> bool:
        """Whether what it permits has to be approved."""
        return bool(self.policy.get("annotations", {}).get("effect") == "approve")


def rule(name: str, order: int, policy: Json) -> Rule:
    """What a policy rests on is found out here, once."""
    needs = frozenset(_scope_facts(policy)).union(*(facts_of(one["body"]) for one in policy["conditions"]))
    windows = frozenset(window for one in policy["conditions"] for window in _windows(one["body"]))
    return Rule(name, order, policy, needs, windows)


def _scope_facts(policy: Json) -> Iterator[Fact]:
    principal, resource = policy["principal"], policy["resource"]
    entity = principal.get("entity", principal.get("in", {}).get("entity"))
    if entity is not None and entity["type"] not in ("Role", "Group"):
        yield "principal"
    entity = resource.get("entity", resource.get("in", {}).get("entity"))
    if entity is not None and entity["type"] != "Server":
        yield "name"


def facts_of(node: Any) -> frozenset[Fact]:
    """What an expression rests on. Variables on their own, which could mean anything, count for everything of them."""
    return frozenset(_facts(node))


def _facts(node: Any) -> Iterator[Fact]:
    if isinstance(node, list):
        for one in node:
            yield from _facts(one)
    elif isinstance(node, dict):
        known = _member(node)
        if known is not None:
            yield from _of_member(*known)
        elif "Var" in node:
            yield from _of_variable(node["Var"])
        elif _is_membership(node):
            return
        elif "Value" not in node:
            for one in node.values():
                yield from _facts(one)


def _member(node: Json) -> tuple[str, str] | None:
    """`variable.attribute`, or whether it has one."""
    for operator in (".", "has"):
        inner = node.get(operator)
        if isinstance(inner, dict) and isinstance(inner.get("left"), dict) and "Var" in inner["left"]:
            attribute = inner.get("attr")
            return (inner["left"]["Var"], attribute) if isinstance(attribute, str) else None
    return None


def _is_membership(node: Json) -> bool:
    """`principal in Role::"x"`, `resource in Server::"y"`: what is known of everybody and everything at once."""
    inner = node.get("in")
    if not isinstance(inner, dict) or "Var" not in inner.get("left", {}):
        return False
    wanted = {"principal": ("Role", "Group"), "resource": ("Server",)}.get(inner["left"]["Var"], ())
    entities = inner["right"].get("Set", [inner["right"]])
    return all(one.get("Value", {}).get("__entity", {}).get("type") in wanted for one in entities)


def _of_member(variable: str, attribute: str) -> Iterator[Fact]:
    if variable == "context":
        yield from (_OF_CONTEXT[attribute],) if attribute in _OF_CONTEXT else EVERYTHING
    elif variable == "resource" and attribute not in _SERVER:
        yield from (_OF_RESOURCE[attribute],) if attribute in _OF_RESOURCE else ("name", "annotations")
    elif variable == "principal":
        yield "principal"


def _of_variable(variable: str) -> Iterator[Fact]:
    if variable == "context":
        yield from EVERYTHING
    elif variable == "resource":
        yield from ("name", "annotations")
    elif variable == "principal":
        yield "principal"


def _windows(node: Any) -> Iterator[str]:
    """The texts that `context.windows` is asked for."""
    if isinstance(node, list):
        for one in node:
            yield from _windows(one)
    elif isinstance(node, dict):
        for operator, inner in node.items():
            if operator in _CONTAINS and _member(inner["left"]) == ("context", "windows"):
                yield from _texts(inner["right"])
            else:
                yield from _windows(inner)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for one in node:
            yield from _texts(one)
    elif isinstance(node, dict):
        if isinstance(node.get("Value"), str):
            yield node["Value"]
        for key, one in node.items():
            if key != "Value":
                yield from _texts(one)


# ── what is not known yet ──


def outlook(one: Rule, unknown: frozenset[Fact]) -> tuple[Json, bool]:
    """The policy without its conditions on what is unknown, and whether there were any.

    It holds wherever the whole could hold. A whole condition is a conjunction's part: `a && b` are two.
    """
    policy = one.policy
    parts = [part for condition in policy["conditions"] for part in _parts(condition["kind"], condition["body"])]
    kept = [{"kind": kind, "body": body} for kind, body in parts if not facts_of(body) & unknown]
    found = {**policy, "conditions": kept}
    is_open = len(kept) < len(parts)
    if "name" in unknown:
        found, of_scope = _of_servers(found)
        is_open = is_open or of_scope
    return found, is_open


def _parts(kind: str, body: Json) -> Iterator[tuple[str, Json]]:
    """Those that all have to hold: of `when { a && b }` and of `unless { a || b }`."""
    inner = body.get("&&" if kind == "when" else "||")
    if isinstance(inner, dict):
        yield from _parts(kind, inner["left"])
        yield from _parts(kind, inner["right"])
    else:
        yield kind, body


def _of_servers(policy: Json) -> tuple[Json, bool]:
    """As it speaks of servers as such: to whom something on one is allowed, that one is visible."""
    resource, action = policy["resource"], policy["action"]
    found, is_open = dict(policy), False
    entity = resource.get("entity", resource.get("in", {}).get("entity"))
    if entity is not None and entity["type"] != "Server":
        found["resource"], is_open = {"op": "All"}, True
    elif resource["op"] == "is":
        found["resource"], is_open = ({"op": "in", "entity": entity} if entity else {"op": "All"}), True
    named = [one["id"] for one in action.get("entities", [action["entity"]] if "entity" in action else [])]
    if named and all(one == "approve" for one in named):
        found["conditions"] = [*found["conditions"], {"kind": "when", "body": {"Value": False}}]
    found["action"] = {"op": "All"}
    return found, is_open or bool(named)
