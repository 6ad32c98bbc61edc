"""What can be said of shown names before any server has told what it has: names that two things want, or that are
another server's. All warnings: the gateway shows SERVER__NAME instead, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from garrison.catalog.draft import Draft
from garrison.catalog.notes import Notes, Place, brief, did_you_mean
from garrison.catalog.parse.tree import Node, Table
from garrison.catalog.shown_names import SEPARATOR, Named, owner, preferred, start_of
from garrison.catalog.spec import Offer, ServerSpec

_HINT = "change one of the names; until then SERVER__NAME is shown"


@dataclass(frozen=True, slots=True)
class _Renamed:
    """One line of a `rename:`."""

    kind: Named
    server: str
    name: str
    shown: str
    place: Place


def check_shown(drafts: Iterable[Draft], servers: Node | None, notes: Notes) -> None:
    """Prefixes and renames against each other."""
    specs = {draft.name: _shown_part(draft) for draft in drafts}
    _check_prefixes(specs, servers, notes)
    seen: dict[tuple[Named, str], _Renamed] = {}
    for one in _renames(specs, servers):
        earlier = seen.setdefault((one.kind, one.shown), one)
        whose = owner(one.shown, specs)
        if earlier is not one:
            message = f"{brief(one.shown)} is also what {brief(earlier.name)} of {brief(earlier.server)} is shown as"
            notes.about(one.server).warn("shown.conflict", message, _HINT, one.place)
        elif whose not in (None, one.server):
            message = (
                f"names that begin with {brief(f'{whose}{SEPARATOR}')} are those of the server {brief(whose or '')}"
            )
            notes.about(one.server).warn("shown.taken", message, _HINT, one.place)


def _shown_part(draft: Draft) -> ServerSpec:
    return ServerSpec(
        name=draft.name, transport="stdio", prefix=draft.prefix, tools=draft.shown_tools, prompts=draft.prompts
    )


def _check_prefixes(specs: dict[str, ServerSpec], servers: Node | None, notes: Notes) -> None:
    seen: dict[str, str] = {}
    for name, spec in specs.items():
        start = start_of(spec)
        place = _node_at(servers, name, "prefix")
        earlier = seen.setdefault(start, name)
        if place is None:
            continue
        whose = owner(f"{start}x", specs)
        if whose not in (None, name):
            message = f"names that begin with {brief(start)} are those of the server {brief(whose or '')}"
            notes.about(name).warn("shown.taken", message, _HINT, place.place)
        elif earlier != name:
            message = f"its names begin as those of {brief(earlier)} do"
            hint = "a name that both have is shown as SERVER__NAME"
            notes.about(name).note("shown.shared_prefix", message, hint, place.place)


def _renames(specs: dict[str, ServerSpec], servers: Node | None) -> Iterator[_Renamed]:
    kinds: tuple[tuple[Named, str], ...] = (("tool", "tools"), ("prompt", "prompts"))
    for server, spec in specs.items():
        for kind, key in kinds:
            offer: Offer = getattr(spec, key)
            for name in offer.rename:
                node = _node_at(servers, server, key, "rename", name)
                if node is not None:
                    yield _Renamed(kind, server, name, preferred(spec, kind, name), node.place)


def _node_at(node: Node | None, *path: str) -> Node | None:
    for key in path:
        node = node.get(key) if isinstance(node, Table) else None
    return node


def check_profiles(profiles: Node | None, servers: frozenset[str], notes: Notes) -> None:
    """A profile of a server that does not exist is a slip of the pen."""
    for profile in profiles if isinstance(profiles, Table) else ():
        chosen = profile.value.get("servers") if isinstance(profile.value, Table) else None
        for entry in chosen if isinstance(chosen, Table) else ():
            if entry.key not in servers:
                hint = did_you_mean(entry.key, servers) or "the profile shows nothing of it"
                message = f"the profile {brief(profile.key)} names the server {brief(entry.key)}, which is not here"
                notes.warn("profile.no_such_server", message, hint, entry.place)
