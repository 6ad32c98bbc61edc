"""What servers offer is compared with what is pinned; what differs is held: not listed, not called, not read.

Everything that a server lists comes through `sift` before anybody sees it. What is used for the first time is trusted
and pinned, or held until it is approved, by setting; the scanner's worst findings hold it as well. Only one worker
writes (`keeps`); the others judge by the same file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from garrison.catalog.pin_book import PinBook, Place, Taken
from garrison.catalog.pins import (
    INSTRUCTIONS,
    FirstUse,
    Kind,
    Mode,
    Pin,
    Proposal,
    Why,
    held_because,
    pin_of,
    source_of,
)
from garrison.catalog.spec import ServerSpec
from garrison.gateway.upstreams.definition import KEY
from garrison.kernel.clock import Clock, SystemClock
from garrison.kernel.errors import Conflict, GarrisonError
from garrison.policy.scanner.findings import rank
from garrison.policy.scanner.scan import scan
from garrison.protocol import methods

SAVE_S: Final = 0.2
"""How long what was seen for the first time is collected before it is written."""
_FINDINGS_MAX: Final = 5
_JUDGED_MAX: Final = 20_000

KIND_OF: Final[Mapping[str, Kind]] = {
    methods.TOOLS_LIST: "tool",
    methods.PROMPTS_LIST: "prompt",
    methods.RESOURCES_LIST: "resource",
    methods.TEMPLATES_LIST: "template",
}
REASONS: Final[Mapping[Why, str]] = {
    "": "",
    "changed": "its definition is not the one that is pinned",
    "new": "it was not approved yet",
    "suspicious": "its definition looks as if it were made to deceive, and was not approved",
}

Record = Callable[[str, str, Mapping[str, Any]], None]
"""Takes a change, the server and a detail."""

log = logging.getLogger("garrison.gateway")


class Sifted(NamedTuple):
    """What of a list passes, and by name why something of it is held."""

    items: list[object]
    held: Mapping[str, Why]


@dataclass(frozen=True)
class PinPolicy:
    """`check_s`: seconds after which lists are read again without being asked; 0 for never."""

    mode: Mode = "enforce"
    first_use: FirstUse = "trust"
    check_s: float = 60.0


@dataclass
class _Told:
    """Instructions as they were judged last."""

    text: str = ""
    shown: str = ""
    edition: object = field(default_factory=object)


class Pinning:
    """`record` puts changes on the ledger. `keeps`: this process writes what is trusted and proposed."""

    def __init__(
        self,
        book: PinBook,
        policy: PinPolicy,
        record: Record = lambda change, server, detail: None,
        *,
        keeps: bool = True,
        clock: Clock = SystemClock(),  # noqa: B008  has no state
    ) -> None:
        self.book = book
        self.policy = policy
        self.is_on = policy.mode != "off"
        self.enforces = policy.mode == "enforce"
        self.edition = object()
        """Another one when somebody approved, revoked, or edited the lock."""
        self._record = record
        self._keeps = keeps
        self._clock = clock
        self._saving: asyncio.TimerHandle | None = None
        self._told: dict[str, _Told] = {}
        self._sources: dict[str, str] = {}
        self._harmful: dict[str, tuple[str, ...]] = {}
        """By hash, what the scanner had against a definition."""

    def sift(self, spec: ServerSpec, method: str, lists: Sequence[Iterable[object]]) -> Sifted:
        """The first of the lists, without what differs from its pin, in it or in one of the others."""
        first = list(lists[0]) if lists else []
        if not self.is_on:
            return Sifted(first, {})
        self._look_at_source(spec)
        held: dict[str, Why] = {}
        kind, key = KIND_OF[method], KEY[method]
        judged: dict[str, object] = {}
        for item in (one for items in lists for one in items):
            name = item.get(key) if isinstance(item, dict) else None
            if not isinstance(name, str) or not isinstance(item, dict):
                continue
            if name in held or judged.get(name) == item:
                continue
            judged.setdefault(name, item)
            if why := self._judged((spec.name, kind, name), item):
                held[name] = why
        if not self.enforces or not held:
            return Sifted(first, {})
        return Sifted([one for one in first if not (isinstance(one, dict) and one.get(key) in held)], held)

    def why_held(self, spec: ServerSpec, method: str, item: dict[str, Any]) -> Why:
        """Why this entry of a live list may not be shown."""
        found = self.sift(spec, method, [[item]])
        return found.held.get(str(item.get(KEY[method])), "")

    def instructions(self, server: str, text: str) -> str:
        """A server's instructions, if they are what is pinned; else none."""
        if not self.is_on or not text:
            return text
        told = self._told.setdefault(server, _Told())
        if told.edition is not self.edition or told.text != text:
            why = self._judged((server, "instructions", INSTRUCTIONS), {"text": text})
            told.text, told.shown, told.edition = text, "" if why and self.enforces else text, self.edition
        return told.shown

    def refusal(self, kind: Literal["tool", "prompt", "resource"], server: str, name: str, why: Why) -> GarrisonError:
        message = f"{kind} {name[:128]!r} of server {server} is held: {REASONS[why]}"
        hint = f"`garrison pins diff {server}` shows it; `garrison pins approve {server}` lets it serve"
        return Conflict("pin.held", message, hint)

    # ── people's decisions ──

    def approve(self, server: str, name: str = "", sha256: str = "") -> list[Taken]:
        """Raises `NotFound`, `Invalid`, `Unavailable`; to be followed by `Directory.rejudge`."""
        return self._decided(lambda: self.book.approve(server, name, sha256))

    def revoke(self, server: str, name: str = "") -> list[Taken]:
        return self._decided(lambda: self.book.revoke(server, name))

    def _decided(self, act: Callable[[], list[Taken]]) -> list[Taken]:
        self.save()
        taken = act()
        self.book.save()
        self.edition = object()
        return taken

    def reload(self) -> None:
        """Take over what the lock says now. One that cannot be read changes nothing, and that is logged."""
        self.save()
        try:
            self.book.read()
        except GarrisonError as error:
            log.error("the pins stay as they were", extra={"why": error.message})
        self.edition = object()

    def save(self) -> None:
        """What is trusted and proposed is written; what cannot be written is tried again with the next change."""
        if self._saving is not None:
            self._saving.cancel()
            self._saving = None
        if not self._keeps:
            return
        try:
            self.book.save()
        except GarrisonError as error:
            log.error("pins were not written", extra={"why": error.message})

    # ── inside ──

    def _judged(self, place: Place, content: dict[str, Any]) -> Why:
        """Why it is held; what is trusted is pinned."""
        server, kind, name = place
        pin = pin_of(content)
        pins = self.book.servers.get(server)
        why = held_because(pins, kind, name, pin.sha256, self.policy.first_use)
        pinned = pins.of(kind).get(name) if pins is not None else None
        if not why and pinned is not None:
            if place in self.book.proposals:
                self.book.withdraw(place)
                self._save_soon()
            return ""
        findings = self._findings(place, pin.sha256, content)
        if not why and not findings:
            self.book.pin(place, pin, content, self._sources.get(server, ""))
            self._save_soon()
            return ""
        why = why or "suspicious"
        self._propose(place, why, pinned.sha256 if pinned is not None else "", pin, content, findings)
        return why

    def _propose(
        self, place: Place, why: Why, before: str, pin: Pin, content: dict[str, Any], findings: tuple[str, ...]
    ) -> None:
        server, kind, name = place
        known, now_ns = self.book.proposals.get(place), self._clock.wall_ns()
        proposal = Proposal(kind, name, why, before, pin.sha256, pin.text, now_ns, now_ns, findings)
        self.book.propose(server, proposal, content)
        if known is None or known.after != pin.sha256:
            detail = {"kind": kind, "name": name[:256], "why": why, "before": before, "after": pin.sha256}
            told = {"server": server, kind: name[:256], "why": why}
            log.warning("a definition differs from its pin", extra=told)
            if self._keeps:
                self._record("pins.held" if self.enforces else "pins.differs", server, detail)
            self._save_soon()

    def _findings(self, place: Place, sha256: str, content: dict[str, Any]) -> tuple[str, ...]:
        """What the scanner finds that is bad enough to be looked at first."""
        found = self._harmful.get(sha256)
        if found is None:
            server, kind, _ = place
            scanned = scan(server, kind, content["text"] if kind == "instructions" else content)
            bad = [one for one in scanned if rank(one.severity) >= rank("high")]
            found = tuple(f"{one.code} {one.pointer}: {one.excerpt}" for one in bad[:_FINDINGS_MAX])
            if len(self._harmful) >= _JUDGED_MAX:
                self._harmful.clear()
            self._harmful[sha256] = found
        return found

    def _look_at_source(self, spec: ServerSpec) -> None:
        """Where a server comes from has changed: everything is compared as ever, and that it moved is on the record."""
        source = self._sources[spec.name] = source_of(spec)
        pins = self.book.servers.get(spec.name)
        if pins is None or pins.source == source:
            return
        before = pins.source
        self.book.moved(spec.name, source)
        if before:
            log.warning("a server comes from elsewhere than when it was pinned", extra={"server": spec.name})
            if self._keeps:
                self._record("pins.source_changed", spec.name, {"before": before, "after": source})
        self._save_soon()

    def _save_soon(self) -> None:
        if self._keeps and self._saving is None:
            self._saving = asyncio.get_running_loop().call_later(SAVE_S, self._save_now)

    def _save_now(self) -> None:
        self._saving = None
        self.save()


def no_pins() -> Pinning:
    """For fleets without."""
    return Pinning(PinBook(), PinPolicy(mode="off"))
