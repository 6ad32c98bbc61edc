"""Who may do what, asked from outside of a call: by the configuration, with the keys of a home, or by what runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from garrison.catalog.load import load_all
from garrison.catalog.snapshot import Snapshot
from garrison.identity.keys import KeyStore
from garrison.identity.principals import Principal
from garrison.kernel.clock import SystemClock
from garrison.kernel.errors import GarrisonError, Invalid, NotFound
from garrison.kernel.home import Home
from garrison.policy.authoriser import Authoriser
from garrison.policy.checking import Places, place_of
from garrison.policy.decision import Circumstances, Decision, Hints
from garrison.policy.vocabulary import Kind
from garrison.surfaces.configuration import Wanted, configure
from garrison.surfaces.desired import read_desired
from garrison.surfaces.presence import running_node


@dataclass(frozen=True)
class Thing:
    """A tool, prompt or resource: by its server and its own name there; `shown` at `/mcp`."""

    kind: Kind
    server: str
    name: str
    shown: str = ""
    hints: Hints | None = None


@dataclass(frozen=True)
class Access:
    """Everything that a decision rests on. `source`: where the rules are from."""

    authoriser: Authoriser
    snapshot: Snapshot
    places: Places
    source: str
    offered: Sequence[Thing] = field(default_factory=tuple)
    """What servers list now; empty where nothing runs."""

    def thing(self, named: str) -> Thing:
        """`SERVER/NAME`, or the name that clients know. Raises `NotFound`."""
        for one in self.offered:
            if named in (one.shown, f"{one.server}/{one.name}"):
                return one
        server, slash, name = named.partition("/")
        if slash and server in self.snapshot.servers:
            return Thing("tool", server, name, named)
        for server, spec in self.snapshot.servers.items():
            prefix = server if spec.prefix is None else spec.prefix
            start = f"{prefix}__" if prefix else ""
            if start and named.startswith(start):
                shown = named[len(start) :]
                own = {new: old for old, new in spec.tools.rename.items()}
                return Thing("tool", server, own.get(shown, shown), named)
        hint = f"write SERVER/TOOL or SERVER__TOOL; servers are {', '.join(self.snapshot.servers) or 'none'}"
        raise NotFound("tool.unknown", f"no server here offers {named[:200]!r}", hint)

    def place(self, rule: str) -> str:
        """Where the rule stands, as `file:line`; empty for what is built in or was not said."""
        return place_of(rule, self.places)

    def told(self, decision: Decision, who: Principal) -> dict[str, Any]:
        standing = self.authoriser.standing(who)
        return {
            "decision": word(decision),
            "rule": decision.rule,
            "place": self.place(decision.rule),
            "principal": who.id,
            "roles": list(standing.roles),
            "groups": list(standing.groups),
        }


def word(decision: Decision) -> str:
    """For people: what is possible is not yet allowed."""
    return f"{decision.effect}, depending on the call" if decision.depends else decision.effect


def access(home: Home, config: Path | None, env_name: str, at_ns: int | None = None, offered: Any = ()) -> Access:
    """By `config`, else by what runs, else by the configuration of the current folder. `at_ns`: the time to decide for.

    Raises `Invalid` for rules that cannot be decided by.
    """
    clock = (lambda: at_ns) if at_ns is not None else SystemClock().wall_ns
    if config is None and running_node(home) is not None:
        desired = read_desired(home)
        snapshot, source = desired.snapshot(), "the running fleet"
        places = load_all([Path(one) for one in desired.source if Path(one).is_file()]).rule_places
    else:
        found = configure(Wanted(Path.cwd(), config, env_name, environment=os.environ))
        snapshot, source = found.desired.snapshot(), ", ".join(found.desired.source)
        places = found.rule_places
    return Access(Authoriser.of(snapshot, clock), snapshot, places, source, tuple(things(offered)))


def things(rows: Sequence[Mapping[str, Any]]) -> Iterator[Thing]:
    """From the admin API's words."""
    for row in rows:
        hints = Hints(**row["hints"]) if row["hints"] is not None else None
        yield Thing(row["kind"], row["server"], row["name"], row["shown"], hints)


def principals(home: Home) -> list[Principal]:
    """Those of all live keys, oldest first."""
    if not home.keys.exists():
        return []
    now_ns = SystemClock().wall_ns()
    with closing(KeyStore(home.keys)) as store:
        live = [record for record in store.list() if record.is_live(now_ns)]
    found = {
        one.principal: Principal(one.principal, "key", one.name, one.roles, one.groups, one.scopes) for one in live
    }
    return list(found.values())


def principal(home: Home, named: str, roles: Sequence[str], groups: Sequence[str]) -> Principal:
    """A key's by its name or id; with roles or groups one that is made up. Raises `NotFound`."""
    if roles or groups:
        return Principal(named, "token" if groups else "key", named, tuple(roles), tuple(groups))
    found = next((one for one in principals(home) if named in (one.name, one.id)), None)
    if found is None:
        hint = "`garrison keys list` shows the keys; for others say --role or --group"
        raise NotFound("principal.unknown", f"no live key is called {named[:100]!r}", hint)
    return found


def moment_ns(text: str) -> int | None:
    """RFC 3339, or a date with a time, which is UTC then. Raises `Invalid`."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("time.invalid", f"{text[:60]!r} is no time", "for example 2026-11-22T09:30:00Z") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp() * 1e9)


def decided(
    found: Access, who: Principal, thing: Thing, arguments: Mapping[str, Any] | None, how: Circumstances
) -> Decision:
    """With arguments for good, without them what is possible."""
    about = (thing.server, thing.name)
    possible = found.authoriser.decide(who, thing.kind, *about, how, thing.hints)
    if arguments is None or not possible.allowed:
        return possible
    return found.authoriser.judge(who, thing.kind, *about, arguments, how, thing.hints)


def offers_of(home: Home, ask: Any) -> Any:
    """What the running fleet lists; nothing where none runs, or it does not answer."""
    try:
        return ask(home)
    except GarrisonError:
        return ()
