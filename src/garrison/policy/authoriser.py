"""May this principal do this? Decided by the rules of the present snapshot, and remembered.

A principal may do what some grant of its roles or some policy allows and none forbids; nothing else. The role `admin`
is built in and allows everything that no policy forbids. Pure but for the clock, which is injected.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from garrison.catalog.access import GroupSpec, PolicySpec
from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import RoleSpec
from garrison.identity.principals import Principal
from garrison.identity.reach import is_bounded, reaches
from garrison.identity.roles import ADMIN_ROLE
from garrison.policy import requests
from garrison.policy.decision import NOWHERE, Circumstances, Decision, Hints
from garrison.policy.membership import Standing, standing_of
from garrison.policy.rulebook import Rulebook, Verdict, rulebook
from garrison.policy.vocabulary import Fact, Kind

CACHED_MAX: Final = 65_536
CACHED_NAME_CHARS_MAX: Final = 256
STANDINGS_MAX: Final = 8192
FOREVER_NS: Final = 2**63 - 1
OUT_OF_REACH: Final = Decision("deny", "the key's own bounds (--scope) leave this out")
_WORST: Final = Hints()
_ARGUMENTS: Final[frozenset[Fact]] = frozenset({"arguments"})
_UNTOLD: Final[frozenset[Fact]] = frozenset({"arguments", "annotations"})
_AS_SERVER: Final[frozenset[Fact]] = frozenset({"arguments", "annotations", "name"})
_NOTHING: Final[frozenset[Fact]] = frozenset()

Asked = tuple[str, Hints | None]
"""A thing's own name, and what its server says of it; None where it has not been listed, or is no tool."""


CacheKey = tuple[Hashable, Kind, str, str | bytes, Hints | None]
"""Who asks how (`whose`), for what kind of thing of which server, its name or its name's shape, and its hints."""


class Authoriser:
    """Safe for several threads. `wall_ns`: the time that windows are measured by."""

    def __init__(
        self,
        roles: Mapping[str, RoleSpec],
        groups: Mapping[str, GroupSpec] | None = None,
        policies: Mapping[str, PolicySpec] | None = None,
        issuers: Mapping[str, str] | None = None,
        wall_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        """`issuers`: identifiers by name. Invalid for what cannot be decided by."""
        self._wall_ns = wall_ns
        self._defined = frozenset(roles) | {ADMIN_ROLE}
        self._groups = groups or {}
        self._issuers = issuers or {}
        self.book: Rulebook = rulebook(roles, policies or {})
        self._standings: dict[Principal, Standing] = {}
        self._cache: dict[CacheKey, Decision] = {}
        self._shaped: dict[CacheKey, Decision] = {}
        self.edition = object()
        """Another one whenever the rules were replaced, or a window has opened or closed since."""
        self._windows: frozenset[str] = frozenset()
        self.until_ns = FOREVER_NS if not self.book.windows else 0
        """Wall clock: until then the windows stay as they are."""

    @classmethod
    def of(cls, snapshot: Snapshot, wall_ns: Callable[[], int]) -> Authoriser:
        sections = snapshot.sections
        return cls(snapshot.roles, sections.groups, sections.policies, identifiers(snapshot), wall_ns)

    def replace(
        self,
        roles: Mapping[str, RoleSpec],
        groups: Mapping[str, GroupSpec] | None = None,
        policies: Mapping[str, PolicySpec] | None = None,
        issuers: Mapping[str, str] | None = None,
    ) -> None:
        """Take over another snapshot's rules. Invalid as for the first ones, and then nothing changes."""
        other = Authoriser(roles, groups, policies, issuers, self._wall_ns)
        self._defined, self._groups, self._issuers = other._defined, other._groups, other._issuers
        self.book, self._standings, self._cache, self._shaped = other.book, {}, {}, {}
        self.until_ns, self._windows, self.edition = other.until_ns, frozenset(), object()

    def take_over(self, snapshot: Snapshot) -> None:
        """The same, of a snapshot."""
        sections = snapshot.sections
        self.replace(snapshot.roles, sections.groups, sections.policies, identifiers(snapshot))

    # ── who ──

    def standing(self, principal: Principal) -> Standing:
        """Its roles, those of its groups included, and its groups."""
        found = self._standings.get(principal)
        if found is None:
            if len(self._standings) >= STANDINGS_MAX:
                self._standings.clear()
            found = self._standings[principal] = standing_of(principal, self._groups, self._issuers)
        return found

    def admits(self, principal: Principal) -> bool:
        """Whether there is anything that it may be allowed: by a role, or by policies, which may need none."""
        return bool(self.standing(principal).roles) or self.book.is_open

    def unknown_roles(self, principal: Principal) -> tuple[str, ...]:
        """Roles that the principal has and nobody defined; they grant nothing."""
        return tuple(role for role in self.standing(principal).roles if role not in self._defined)

    def whose(self, principal: Principal, how: Circumstances = NOWHERE) -> Hashable:
        """Equal for those about whom all is decided alike at this moment; None where no two moments are alike."""
        if "now" in self.book.needs:
            return None
        self._look_at_clock()
        is_itself = "principal" in self.book.needs or is_bounded(principal)
        who: Hashable = principal if is_itself else self.standing(principal)
        return who, how if "client" in self.book.needs else None, self._windows

    # ── may they ──

    def decide(
        self,
        principal: Principal,
        kind: Kind,
        server: str,
        name: str = "",
        how: Circumstances = NOWHERE,
        hints: Hints | None = None,
    ) -> Decision:
        """May this principal use this tool, prompt or resource of this server, or see the server at all?

        Arguments are not known, nor is what the server says of its tool without `hints`: what depends on them is
        possible. `judge` knows them.
        """
        if principal.scopes is not None and not reaches(principal, kind, server, name):
            return OUT_OF_REACH
        if not self.tells_hints:
            hints = None
        whose = self.whose(principal, how)
        key = (whose, kind, server, name, hints)
        found = self._cache.get(key) if whose is not None else None
        return found if found is not None else self._decided(principal, kind, server, ((name, hints),), how)[0]

    def decide_all(
        self, principal: Principal, kind: Kind, server: str, asked: Sequence[Asked], how: Circumstances = NOWHERE
    ) -> list[Decision]:
        """The same for many of one server, at once."""
        if is_bounded(principal):
            return [self.decide(principal, kind, server, name, how, hints) for name, hints in asked]
        if not self.tells_hints:
            asked = [(name, None) for name, _ in asked]
        whose = self.whose(principal, how)
        known = [self._cache.get((whose, kind, server, *one)) if whose is not None else None for one in asked]
        missing = [one for one, found in zip(asked, known, strict=True) if found is None]
        fresh = iter(self._decided(principal, kind, server, missing, how) if missing else ())
        return [found if found is not None else next(fresh) for found in known]

    @property
    def tells_hints(self) -> bool:
        """Whether any rule asks what a server says of its tools."""
        return "annotations" in self.book.needs

    def judge(
        self,
        principal: Principal,
        kind: Kind,
        server: str,
        name: str,
        arguments: Mapping[str, Any],
        how: Circumstances = NOWHERE,
        hints: Hints | None = None,
        action: str = "",
    ) -> Decision:
        """The same when everything is known; nothing of it is remembered. `action`: `approve` in place of the use."""
        if principal.scopes is not None and not reaches(principal, kind, server, name):
            return OUT_OF_REACH
        if principal.scopes is not None and not reaches(principal, kind, server, name):
            return OUT_OF_REACH
        verdict = self._ask(_NOTHING, principal, kind, server, ((name, hints),), how, arguments, action)[0]
        return self._decision(principal, verdict)

    def forget_time(self) -> None:
        """The clock was put back or forth: windows are looked at again."""
        self.until_ns = FOREVER_NS if not self.book.windows else 0

    # ── inside ──

    def _decided(
        self, principal: Principal, kind: Kind, server: str, asked: Sequence[Asked], how: Circumstances
    ) -> list[Decision]:
        """What no rule can tell apart is asked once."""
        whose, shape = self.whose(principal, how), self.book.shapes.of
        keys: list[CacheKey] = [(whose, kind, server, shape(name), hints) for name, hints in asked]
        found = {key: self._shaped[key] for key in keys if key in self._shaped}
        missing: dict[CacheKey, Asked] = {}
        for key, one in zip(keys, asked, strict=True):
            if key not in found:
                missing.setdefault(key, one)
        for is_told in (True, False):
            part = {key: one for key, one in missing.items() if (one[1] is not None) is is_told}
            if part:
                unknown = _AS_SERVER if kind == "server" else _ARGUMENTS if is_told or kind != "tool" else _UNTOLD
                verdicts = self._ask(unknown, principal, kind, server, list(part.values()), how)
                found |= {key: self._decision(principal, each) for key, each in zip(part, verdicts, strict=True)}
        if whose is not None:
            of_names: dict[CacheKey, Decision] = {
                (whose, kind, server, *one): found[key] for key, one in zip(keys, asked, strict=True)
            }
            self._remember(of_names, {key: found[key] for key in missing} if self.book.shapes.exact else {})
        return [found[key] for key in keys]

    def _ask(
        self,
        unknown: frozenset[Fact],
        principal: Principal,
        kind: Kind,
        server: str,
        asked: Sequence[Asked],
        how: Circumstances,
        arguments: Mapping[str, Any] | None = None,
        action: str = "",
    ) -> list[Verdict]:
        self._look_at_clock()
        book, facts = self.book, self.book.needs - unknown
        given, tagged = requests.arguments_entities(arguments or {}) if "arguments" in facts else ([], [])
        context = requests.context(facts, how, self._wall_ns(), self._windows, given)
        server_matches = book.server_matches(server)
        entities = [requests.principal_entity(principal, *self.standing(principal)), *tagged]
        entities += [
            requests.resource_entity(kind, server, name, hints or _WORST, book.matches(name), server_matches)
            for name, hints in dict(asked).items()
        ]
        wanted = [requests.request(principal, kind, server, name, context, action) for name, _ in asked]
        # A server's name is never known to rules that speak of what it offers, whether any does or not.
        of_servers: frozenset[Fact] = frozenset({"name"}) if kind == "server" else _NOTHING
        return book.ask(
            (unknown & book.needs) | of_servers, self.standing(principal).roles, wanted, requests.encode(entities)
        )

    def _decision(self, principal: Principal, verdict: Verdict) -> Decision:
        unsteady = "now" in self.book.needs
        if verdict.permits and verdict.rule is not None:
            return Decision("approve" if verdict.asks else "allow", verdict.rule.name, verdict.depends, unsteady)
        if verdict.rule is not None:
            return Decision("deny", verdict.rule.name, unsteady=unsteady)
        roles = self.standing(principal).roles
        rule = "; ".join(self._silent(role) for role in roles) or "the principal has no role"
        return Decision("deny", rule, unsteady=unsteady)

    def _silent(self, role: str) -> str:
        return f"no grant of role {role} matches" if role in self._defined else f"role {role} is not defined"

    def _remember(self, of_names: Mapping[CacheKey, Decision], of_shapes: Mapping[CacheKey, Decision]) -> None:
        for cache, found in ((self._cache, of_names), (self._shaped, of_shapes)):
            if len(cache) + len(found) > CACHED_MAX:  # starting afresh is cheaper than keeping track of age
                cache.clear()
            for key, decision in found.items():
                if len(key[3]) <= CACHED_NAME_CHARS_MAX:
                    cache[key] = decision

    def _look_at_clock(self) -> None:
        """What is decided holds until a window opens or closes."""
        if self.until_ns == FOREVER_NS:
            return
        now_ns = self._wall_ns()
        if now_ns < self.until_ns:
            return
        windows = self.book.windows
        now_open = frozenset(text for text, window in windows.items() if window.holds(now_ns))
        self.until_ns = min(window.changes_ns(now_ns) for window in windows.values())
        if now_open != self._windows:
            self._windows, self.edition = now_open, object()


def identifiers(snapshot: Snapshot) -> dict[str, str]:
    """Of the issuers, by the names that garrison.yaml gives them."""
    return {name: spec.issuer for name, spec in snapshot.sections.issuers.items()}
