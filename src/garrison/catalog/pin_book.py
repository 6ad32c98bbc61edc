"""The pins and proposals of one fleet, in memory and in files: `garrison.lock`, and in the home what it points to.

garrison.lock               what is approved: for people, for review
HOME/pins/proposals.json    what is held, since when
HOME/pins/SHA256.json       definitions in full, so that a difference can be shown
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from garrison.catalog.canonical import canonical
from garrison.catalog.lock_file import NAME, Lock, parsed, rendered
from garrison.catalog.pins import KINDS, Kind, Pin, Proposal, ServerPins, diff_text
from garrison.kernel.errors import GarrisonError, Invalid, NotFound, Unavailable
from garrison.kernel.home import Home, write_private

Content = Mapping[str, Any]
Edit = Callable[[dict[str, ServerPins]], None]
Place = tuple[str, Kind, str]
"""Server, kind and name."""

_PROPOSALS: Final = msgspec.json.Decoder(dict[str, list[Proposal]])


class Taken(NamedTuple):
    """A pin that was approved or revoked, for the record. Hashes are empty where there is none."""

    server: str
    kind: Kind
    name: str
    before: str
    after: str


class PinBook:
    """`save` writes what has changed; nothing else does. Made by `opened`, or empty for a fleet without files."""

    def __init__(self, lock: Path | None = None, folder: Path | None = None) -> None:
        self.path = lock
        self._folder = folder
        self.servers: dict[str, ServerPins] = {}
        self.proposals: dict[Place, Proposal] = {}
        self._contents: dict[str, Content] = {}
        self._edits: list[Edit] = []
        """Of the pins, since they were last read or written: done again if the lock was edited meanwhile."""
        self._changed = False
        self._written = ""

    def read(self) -> None:
        """Take over what the files say. Raises `Invalid` for a lock that cannot be read; then nothing changes."""
        text = _text(self.path) if self.path is not None else ""
        if text != self._written or not text:
            self.servers = dict(parsed(text, str(self.path)).servers) if text else {}
            self._written = text
        self.proposals = dict(self._read_proposals())
        self._edits.clear()
        self._changed = False

    def _read_proposals(self) -> Iterator[tuple[Place, Proposal]]:
        path = self._folder / "proposals.json" if self._folder is not None else None
        try:
            found = _PROPOSALS.decode(path.read_bytes()) if path is not None else {}
        except (OSError, msgspec.MsgspecError):
            return  # they are seen again when lists are read
        for server, proposals in found.items():
            for proposal in proposals:
                yield (server, proposal.kind, proposal.name), proposal

    # ── what is known ──

    def content(self, sha256: str) -> Content | None:
        """A definition in full; None if it was not kept."""
        if sha256 in self._contents:
            return self._contents[sha256]
        try:
            data = (self._folder / f"{sha256}.json").read_bytes() if self._folder is not None and sha256 else b"null"
            found: Content | None = msgspec.json.decode(data)
        except (OSError, msgspec.MsgspecError):
            return None
        return found

    def difference(self, place: Place) -> str:
        """What a proposal would change, for people."""
        proposal = self.proposals[place]
        after = self.content(proposal.after)
        before = self.content(proposal.before) if proposal.before else None
        if proposal.before and before is None:
            return f"  the former definition is not kept here; its hash was {proposal.before}\n" + diff_text(
                None, after
            )
        return diff_text(before, after)

    def named(self, server: str, name: str = "") -> list[Place]:
        """The proposals of a server, or of one name of it, whatever its kind."""
        return [place for place in sorted(self.proposals) if place[0] == server and name in ("", place[2])]

    # ── what changes ──

    def pin(self, place: Place, pin: Pin, content: Content, source: str) -> None:
        server, kind, name = place

        def edit(servers: dict[str, ServerPins]) -> None:
            servers[server] = (servers.get(server) or ServerPins(source=source)).with_pin(kind, name, pin)

        self._edit(edit)
        self._contents[pin.sha256] = content
        self.proposals.pop(place, None)

    def propose(self, server: str, proposal: Proposal, content: Content) -> None:
        """What is held, kept with the time when it was first seen so."""
        place = (server, proposal.kind, proposal.name)
        known = self.proposals.get(place)
        if known is not None and known.after == proposal.after:
            proposal = msgspec.structs.replace(proposal, first_seen_ns=known.first_seen_ns)
        if known is None or known.after != proposal.after or known.before != proposal.before:
            self._changed = True
        self.proposals[place] = proposal
        self._contents[proposal.after] = content

    def withdraw(self, place: Place) -> None:
        """It is as it was pinned again."""
        if self.proposals.pop(place, None) is not None:
            self._changed = True

    def moved(self, server: str, source: str) -> None:
        """The server comes from elsewhere now."""
        self._edit(lambda servers: _replaced(servers, server, source=source))

    def approve(self, server: str, name: str = "", sha256: str = "") -> list[Taken]:
        """Take over proposals of a server: all, and with it what it offers is approved as a whole; or those of a name.

        `sha256`: only if this is what was looked at. Raises `NotFound` for a server that nothing is known of.
        """
        places = self.named(server, name)
        if (name and not places) or (server not in self.servers and not places):
            what = f"{server}/{name}" if name else server
            raise NotFound("pins.no_proposal", f"nothing of {what[:160]} is held", "`garrison pins list` shows all")
        if sha256 and [self.proposals[place].after for place in places] != [sha256]:
            raise Invalid("pins.other_proposal", "what is held now is not what was looked at", "look at it again")
        taken = [self._approved(place) for place in places]
        if not name:
            self._edit(lambda servers: _replaced(servers, server, approved=True))
        return taken

    def _approved(self, place: Place) -> Taken:
        proposal = self.proposals[place]
        content = self.content(proposal.after) or {}
        self.pin(place, Pin(proposal.after, proposal.text), content, "")
        return Taken(*place, proposal.before, proposal.after)

    def revoke(self, server: str, name: str = "") -> list[Taken]:
        """Remove pins: of a server, or of one name of it. What is offered then is held until it is approved."""
        pins = self.servers.get(server)
        found = [(server, kind, one) for kind in KINDS for one in (pins.of(kind) if pins is not None else ())]
        places = [place for place in found if name in ("", place[2])]
        if pins is None or (name and not places):
            what = f"{server}/{name}" if name else server
            raise NotFound("pins.none", f"nothing of {what[:160]} is pinned", "`garrison pins list` shows all")
        taken = [Taken(*place, pins.of(place[1])[place[2]].sha256, "") for place in places]

        def edit(servers: dict[str, ServerPins]) -> None:
            for _, kind, one in places:
                servers[server] = servers.get(server, ServerPins()).with_pin(kind, one, None)
            _replaced(servers, server, approved=True)

        self._edit(edit)
        return taken

    def _edit(self, edit: Edit) -> None:
        edit(self.servers)
        self._edits.append(edit)
        self._changed = True

    # ── files ──

    def save(self) -> None:
        """Write what has changed since the last time. Raises `Unavailable`."""
        if not self._changed:
            return
        try:
            self._save_home()
            self._save_lock()
        except OSError as error:
            message = f"the pins cannot be written to {error.filename}: {error.strerror}"
            raise Unavailable("pins.unwritable", message, "check the folder's permissions and free space") from error
        self._changed = False

    def _save_home(self) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for sha256, content in self._contents.items():
            path = self._folder / f"{sha256}.json"
            if not path.exists():
                path.write_text(_document(content), errors="replace")
        self._contents.clear()
        by_server: dict[str, list[Proposal]] = {}
        for (server, _, _), proposal in sorted(self.proposals.items()):
            by_server.setdefault(server, []).append(proposal)
        write_private(self._folder / "proposals.json", msgspec.json.format(msgspec.json.encode(by_server), indent=1))
        self._clear_away()

    def _clear_away(self) -> None:
        """Definitions that nothing points to any more."""
        assert self._folder is not None
        pins = (pin.sha256 for one in self.servers.values() for kind in KINDS for pin in one.of(kind).values())
        needed = {*pins, *(one.after for one in self.proposals.values()), "proposals"}
        for path in self._folder.glob("*.json"):
            if path.stem not in needed:
                path.unlink(missing_ok=True)

    def _save_lock(self) -> None:
        if self.path is None:
            return
        found = _text(self.path)
        if found != self._written:  # somebody edited or merged it meanwhile
            self.servers = dict(parsed(found, str(self.path)).servers) if found else {}
            for edit in self._edits:
                edit(self.servers)
        text = rendered(Lock(servers=self.servers))
        if text != found and (self.servers or found):
            write_private(self.path, text.encode())
            self.path.chmod(0o644)  # it is a file of the project, for all who work on it
        self._written = text
        self._edits.clear()


def book_of(home: Home, lock: Path | None) -> PinBook:
    """Where the fleet's pins are; beside its configuration, or in the home if it has none of its own."""
    return PinBook(lock or home.root / NAME, home.root / "pins")


def _replaced(servers: dict[str, ServerPins], server: str, **members: object) -> None:
    servers[server] = msgspec.structs.replace(servers.get(server) or ServerPins(), **members)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {error}"
        raise Invalid("pins.lock", message, "restore it, or remove it to begin anew") from error


def _document(content: Content) -> str:
    try:
        return canonical(content)
    except GarrisonError:
        return msgspec.json.encode(content).decode()
