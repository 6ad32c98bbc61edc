"""Who may do what, beside roles: the sections `groups` and `policies` of garrison.yaml; conditions of grants."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from garrison.catalog.notes import Notes, Place, brief, did_you_mean
from garrison.catalog.parse.tree import Listing, Node, Scalar, Table

Effect = Literal["allow", "deny", "approve"]
Value = str | int | bool
ClientEra = Literal["legacy", "modern"]

Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class ArgumentSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one argument of a call must be like; all that is said has to hold."""

    like: Annotated[tuple[str, ...], Meta(description="A text that one of these fits; `*` stands for anything.")] = ()
    below: Annotated[
        tuple[Annotated[str, Meta(pattern="^/")], ...],
        Meta(description="A path in one of these folders, by its text: a way out with `..` is not in it."),
    ] = ()
    one_of: Annotated[
        tuple[Value, ...], Meta(description="One of these values; of a list of texts, each of its items.")
    ] = ()
    at_least: Annotated[Whole | None, Meta(description="A whole number, this one or a larger one.")] = None
    at_most: Annotated[Whole | None, Meta(description="A whole number, this one or a smaller one.")] = None
    absent: Annotated[bool, Meta(description="true: the argument is not given.")] = False


class AnnotationsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the tool's server says of it. What a server does not say is taken as MCP's default, the worse of the two."""

    readOnlyHint: Annotated[bool | None, Meta(description="Does it change nothing?")] = None  # noqa: N815  MCP's names
    destructiveHint: Annotated[bool | None, Meta(description="Can it destroy?")] = None  # noqa: N815
    idempotentHint: Annotated[bool | None, Meta(description="Does a second call change nothing more?")] = None  # noqa: N815
    openWorldHint: Annotated[bool | None, Meta(description="Does it reach beyond its server?")] = None  # noqa: N815


class WhenSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Conditions of a grant; all that is said has to hold."""

    arguments: Annotated[
        dict[str, ArgumentSpec], Meta(description="By name; inside of objects by `name/inner`, as in JSON pointers.")
    ] = {}
    annotations: Annotated[AnnotationsSpec, Meta(description="What the tool's server says of it.")] = AnnotationsSpec()
    during: Annotated[
        tuple[str, ...],
        Meta(description="Times, one of which it must be: `mon-fri 08:00-18:00 Europe/Berlin`. Without a zone: UTC."),
    ] = ()
    clients: Annotated[
        tuple[str, ...], Meta(description="Names that clients call themselves, with `*`. They can say what they want.")
    ] = ()
    addresses: Annotated[
        tuple[str, ...], Meta(description="Where the client's connection comes from: addresses or networks.")
    ] = ()
    eras: Annotated[tuple[ClientEra, ...], Meta(description="Which era of MCP the client speaks.")] = ()


class GroupSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Principals that belong together, and the roles that this gives them."""

    description: Annotated[str, Meta(description="Who is in it, in one line.")] = ""
    roles: Annotated[tuple[str, ...], Meta(description="Roles that every member has.")] = ()
    members: Annotated[
        tuple[str, ...], Meta(description="Patterns of the names or ids of principals; names of API keys.")
    ] = ()
    claims: Annotated[
        tuple[str, ...], Meta(description="Names of groups in tokens; whose token says one of them is a member.")
    ] = ()
    issuer: Annotated[
        str, Meta(description="Only tokens of this issuer count for `claims`, by its identifier or its name here.")
    ] = ""


class PolicySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rules in Cedar's own language, in place or in a file beside garrison.yaml."""

    cedar: Annotated[str, Meta(description="The policies' text.")] = ""
    file: Annotated[str, Meta(description="A file that holds it; relative to this file's folder.")] = ""
    description: Annotated[str, Meta(description="What it is for, in one line.")] = ""


Groups = Annotated[
    dict[Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")], GroupSpec],
    Meta(description="Groups of principals, with the roles that belong to them."),
]
Policies = Annotated[
    dict[Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")], PolicySpec],
    Meta(description="Rules in the Cedar policy language, beside the grants of roles."),
]

BUILT_IN_ROLES: Final = frozenset({"admin"})


def check_access(root: Table, groups: dict[str, GroupSpec], policies: dict[str, PolicySpec], notes: Notes) -> None:
    """What types cannot say: roles that nobody declares, policies without text, conditions that cannot be met."""
    _check_groups(root, groups, notes)
    for name, policy in policies.items():
        if bool(policy.cedar.strip()) == bool(policy.file):
            message = f"policy {name} has to have either cedar or file"
            notes.error("policy.no_text", message, "write `cedar: |` and the policies below it", _at(root, name))
    for place, text in _texts(root, "addresses"):
        if not _is_network(text):
            message = f"{brief(text)} is neither an address nor a network"
            notes.error("grant.bad_address", message, "write it like 10.0.0.0/8, ::1 or 192.0.2.7", place)
    for place, text in _texts(root, "clients"):
        if set(text) & set("?["):
            notes.error("grant.bad_pattern", f"{brief(text)}: only `*` stands for anything here", "", place)


def _check_groups(root: Table, groups: dict[str, GroupSpec], notes: Notes) -> None:
    declared = root.get("roles")
    roles = (declared.keys if isinstance(declared, Table) else frozenset()) | BUILT_IN_ROLES
    for name, group in groups.items():
        for role in sorted(set(group.roles) - roles):
            hint = did_you_mean(role, roles) or "declare it below roles; until then it grants nothing"
            place = _at(root, name, "groups")
            message = f"group {name} gives the role {brief(role)}, which is not here"
            notes.warn("group.no_such_role", message, hint, place)


def rule_places(root: Table) -> dict[str, Place]:
    """Where each rule stands, by its name: `role reader, grant 2`, `policy freeze` (there, where its text begins)."""
    found: dict[str, Place] = {}
    for role, number, grant in _grants(root):
        found[f"role {role}, grant {number}"] = grant.place
    section = root.get("policies")
    for entry in section if isinstance(section, Table) else ():
        text = entry.value.get("cedar") if isinstance(entry.value, Table) else None
        found[f"policy {entry.key}"] = _first_line(text) if isinstance(text, Scalar) else entry.place
    return found


def _first_line(text: Scalar) -> Place:
    """Text of several lines stands below its key, as YAML's blocks do."""
    several = isinstance(text.value, str) and "\n" in text.value
    return Place(text.place.line + 1, 1) if several else text.place


def _grants(root: Table) -> Iterator[tuple[str, int, Node]]:
    roles = root.get("roles")
    for role in roles if isinstance(roles, Table) else ():
        grants = role.value.get("grants") if isinstance(role.value, Table) else None
        for number, grant in enumerate(grants.items if isinstance(grants, Listing) else (), 1):
            yield role.key, number, grant


def _texts(root: Table, key: str) -> Iterator[tuple[Place, str]]:
    """The items of a list in the conditions of all grants."""
    for _role, _number, grant in _grants(root):
        when = grant.get("when") if isinstance(grant, Table) else None
        items = when.get(key) if isinstance(when, Table) else None
        for item in items.items if isinstance(items, Listing) else ():
            if isinstance(item, Scalar) and isinstance(item.value, str):
                yield item.place, item.value


def _at(root: Table, name: str, section: str = "policies") -> Place:
    entries = root.get(section)
    node = entries.get(name) if isinstance(entries, Table) else None
    return node.place if node is not None else Place()


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
