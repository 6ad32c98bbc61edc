"""What an endpoint shows: which things of which servers, and under which names. Pure.

Names of tools and prompts, in this order; nothing is ever shown under a name that could mean two things:

1. as the configuration says: PREFIX__NAME, where the prefix is the server's name unless it says otherwise;
2. SERVER__OWN_NAME, when two things want the first name, or when it is another server's (it begins with that one's
   name and two underscores) or is what another thing is called by this rule;
3. none, when the second name is another server's as well: the thing is held back.

Whatever does not get its first name is a conflict, and conflicts are reported. URIs of resources are not renamed: of
several servers that list one, the first in the catalog's order has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from garrison.catalog.shown_names import Listed, Named, offer_of, owner, qualified, start_of
from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import Selection, ServerSpec
from garrison.gateway import apps
from garrison.gateway.heads import AGGREGATE, profile_endpoint
from garrison.gateway.sieve import Sieve


class Ref(NamedTuple):
    """A tool, prompt or resource by its own name at its server."""

    server: str
    name: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A thing that is not called what it should be: `shown` is what it is called, empty if it is held back."""

    kind: Listed
    ref: Ref
    wanted: str
    shown: str

    @property
    def text(self) -> str:
        """`wanted` stands for itself where it is the thing's own URI."""
        about = f"{self.kind} {self.ref.name[:128]} of server {self.ref.server} cannot be shown as {self.wanted[:160]}"
        return f"{about}, it is shown as {self.shown[:160]}" if self.shown else f"{about} and is held back"


@dataclass(frozen=True, slots=True)
class Index:
    """Names that are shown now, both ways: `refs[shown] == ref` exactly where `shown[ref] == shown`."""

    refs: Mapping[str, Ref]
    shown: Mapping[Ref, str]
    conflicts: tuple[Conflict, ...] = ()


class Face:
    """One server as one endpoint shows it: the server's filters, and the profile's on top."""

    def __init__(self, spec: ServerSpec, selection: Selection) -> None:
        self.spec = spec
        self.selection = selection
        self._sieves: dict[Listed, Sieve] = {
            "tool": Sieve(spec.tools, selection.tools),
            "prompt": Sieve(spec.prompts, selection.prompts),
            "resource": Sieve(spec.resources, selection.resources),
        }
        self._start = start_of(spec)

    @property
    def start(self) -> str:
        """What its names begin with."""
        return self._start

    def offers(self, kind: Listed, name: str) -> bool:
        sieve = self._sieves[kind]
        return sieve.is_open or sieve.passes(name)

    def preferred(self, kind: Named, name: str) -> str:
        return self._start + offer_of(self.spec, kind).rename.get(name, name)

    def description(self, kind: Named, name: str) -> str | None:
        """What stands in place of the server's own description; None for that one."""
        return offer_of(self.spec, kind).describe.get(name)

    def own(self, kind: Named, shown: str) -> str | None:
        """The thing whose preferred name this is; None where that can be none or several."""
        name = shown[len(self._start) :]
        if not shown.startswith(self._start) or not name:
            return None
        renames = offer_of(self.spec, kind).rename
        meant = [own for own, new in renames.items() if new == name] or ([] if name in renames else [name])
        return meant[0] if len(meant) == 1 else None


class View:
    """`servers`: the names of all servers, shown or not, which nobody else's things may take."""

    def __init__(self, faces: Mapping[str, Face], servers: Collection[str], description: str = "") -> None:
        self.faces = faces
        self.description = description
        self._servers = frozenset(servers)

    def __eq__(self, other: object) -> bool:
        """Whether both show the same, as far as configuration goes."""
        return isinstance(other, View) and self._content() == other._content()

    __hash__ = None  # type: ignore[assignment]

    @property
    def starts(self) -> Mapping[str, str]:
        """What each server's names begin with."""
        return {name: face.start for name, face in self.faces.items()}

    def index(self, kind: Named, offered: Mapping[str, Iterable[str]]) -> Index:
        """Give names to all that the servers list now, in their order."""
        faces = self.faces.items()
        refs = [Ref(one, name) for one, face in faces for name in offered.get(one, ()) if face.offers(kind, name)]
        wanted = {ref: self.faces[ref.server].preferred(kind, ref.name) for ref in refs}
        full = {ref: qualified(*ref) for ref in refs}
        second = {name: ref for ref, name in full.items() if self._may_have(ref.server, name)}
        first = self._undisputed(wanted, second)
        held_back = {ref for ref, name in full.items() if ref not in first and second.get(name) != ref}
        shown = {ref: first.get(ref, full[ref]) for ref in refs if ref not in held_back}
        at_odds = (ref for ref in refs if ref not in first)
        conflicts = tuple(Conflict(kind, ref, wanted[ref], shown.get(ref, "")) for ref in at_odds)
        return Index({name: ref for ref, name in shown.items()}, shown, conflicts)

    def _undisputed(self, wanted: Mapping[Ref, str], full: Mapping[str, Ref]) -> dict[Ref, str]:
        """Those that get the name that they want: nobody else wants it, and it is not another's by its full name."""
        free = [
            ref
            for ref, name in wanted.items()
            if (full[name] == ref if name in full else self._may_have(ref.server, name))
        ]
        count = Counter(wanted[ref] for ref in free)
        return {ref: wanted[ref] for ref in free if count[wanted[ref]] == 1}

    def resources(self, offered: Mapping[str, Iterable[str]]) -> Index:
        """URIs, each with the first server that lists it; those of apps carry their server's name."""
        refs: dict[str, Ref] = {}
        conflicts = []
        for server, face in self.faces.items():
            for uri in filter(partial(face.offers, "resource"), offered.get(server, ())):
                ref = Ref(server, uri)
                if refs.setdefault(apps.shown(server, uri), ref) != ref:
                    conflicts.append(Conflict("resource", ref, uri, ""))
        return Index(refs, {ref: uri for uri, ref in refs.items()}, tuple(conflicts))

    def meant(self, kind: Named, shown: str) -> list[Ref]:
        """What a name may mean by configuration alone: for servers that have not told yet what they have."""
        whose = owner(shown, self._servers)
        faces = self.faces.items() if whose is None else [(whose, self.faces[whose])] if whose in self.faces else []
        refs = [Ref(server, own) for server, face in faces if (own := face.own(kind, shown)) is not None]
        return [ref for ref in refs if self.faces[ref.server].offers(kind, ref.name)]

    def _may_have(self, server: str, shown: str) -> bool:
        return owner(shown, self._servers) in (None, server)

    def _content(self) -> object:
        parts = [
            (name, face.spec.prefix, face.spec.tools, face.spec.prompts, face.spec.resources, face.selection)
            for name, face in self.faces.items()
        ]
        return parts, self._servers, self.description


def views_of(snapshot: Snapshot) -> Mapping[str, View]:
    """The view of each endpoint that shows several servers: the aggregate, and each profile."""
    servers = {name: spec for name, spec in snapshot.servers.items() if spec.enabled}
    everything = {name: Face(spec, Selection()) for name, spec in servers.items()}
    views = {AGGREGATE: View(everything, servers)}
    for profile in snapshot.profiles.values():
        chosen = {name: Face(spec, profile.servers[name]) for name, spec in servers.items() if name in profile.servers}
        views[profile_endpoint(profile.name)] = View(chosen, servers, profile.description)
    return MappingProxyType(views)
