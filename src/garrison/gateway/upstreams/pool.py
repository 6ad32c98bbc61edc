"""The instances of one server that serve: to which of them a call goes, and how each of them does.

The one with the fewest calls in flight is chosen, in turn among equals. Left out are those whose breaker is open, and,
as long as there are others, those that stand out (outliers.py). Whoever may come back is tried out by one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from garrison.gateway.breakers import Breaker, BreakerPolicy, Permit, State, Verdict, Wait, verdict_of
from garrison.gateway.refusals import Busy
from garrison.gateway.upstreams.outliers import OutlierPolicy, Outliers
from garrison.kernel.clock import SystemClock
from garrison.kernel.errors import GarrisonError, Limited
from garrison.protocol import methods
from garrison.protocol.connection import Connection

PROBES = 3
"""So many good calls, one after the other, and an instance's breaker is closed."""

FULL_AGAIN_S = 1.0


@dataclass(frozen=True)
class Spread:
    """How calls are spread over the instances of a server. `monotonic_s` is injected."""

    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    outliers: OutlierPolicy = field(default_factory=OutlierPolicy)
    calls_max: int = 0
    """Calls at one instance without an answer yet; 0: no bound."""
    monotonic_s: Callable[[], float] = field(default_factory=lambda: SystemClock().monotonic_s)


class Caller(Protocol):
    """What a pool needs to know of a call, and fills in."""

    method: str
    connection: Connection | None
    permit: Permit | None


class Member:
    """One life of an instance, from its handshake to its end."""

    __slots__ = ("_empty", "breaker", "connection", "in_flight", "is_tried", "number")

    def __init__(self, number: int, connection: Connection, breaker: Breaker) -> None:
        self.number = number
        self.connection = connection
        self.breaker = breaker
        """That of its number: it has seen the lives before."""
        self.in_flight = 0
        self.is_tried = False
        """Whether a call is under way that tries it out."""
        self._empty = asyncio.Event()
        self._empty.set()

    def entered(self) -> None:
        self.in_flight += 1
        self._empty.clear()

    def left(self) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self._empty.set()

    async def drained(self) -> None:
        await self._empty.wait()


@dataclass(frozen=True, slots=True, eq=False)
class Seat(Permit):
    """A call's place at an instance."""

    member: Member
    permit: Permit
    """Of the instance's own breaker."""
    taken_s: float
    is_probe: bool
    is_fixed: bool
    """Only this instance will do: the client's state is there."""


class Pool:
    """The instances of one server, by number."""

    def __init__(self, server: str, spread: Spread) -> None:
        self._server = server
        self._spread = spread
        self._breaker = replace(spread.breaker, probes=PROBES)
        self._now = spread.monotonic_s
        self._members: dict[int, Member] = {}
        self._leaving: list[Member] = []
        """Those that take no further calls, while calls are still at them."""
        self._breakers: dict[int, Breaker] = {}
        self._outliers = Outliers(spread.outliers)
        self._turn = 0

    # ── who serves ──

    def follow(self, links: Mapping[int, Connection]) -> list[Connection]:
        """These serve now, and no others; returns those that are new."""
        joined = [number for number, link in links.items() if not self._has(number, link)]
        for number in [number for number in self._members if number in joined or number not in links]:
            member = self._members.pop(number)
            if member.in_flight:
                self._leaving.append(member)
        for number in joined:
            self._join(number, links[number])
        self._members = dict(sorted(self._members.items()))
        self._outliers.serve(self._members)
        return [links[number] for number in joined]

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, connection: Connection) -> bool:
        return any(member.connection is connection for member in self._members.values())

    @property
    def members(self) -> Mapping[int, Member]:
        return self._members

    def connections(self) -> dict[int, Connection]:
        return {number: member.connection for number, member in self._members.items()}

    def first(self) -> Connection | None:
        """Of the instance with the lowest number."""
        return next(iter(self.connections().values()), None)

    async def drained(self, number: int) -> None:
        """Wait until no call is at this instance."""
        for member in self._lives(number):
            await member.drained()

    def busy(self, number: int) -> bool:
        return any(member.in_flight for member in self._lives(number))

    # ── how they do ──

    def state(self) -> State:
        """Where the server stands: as its best instance."""
        states = {member.breaker.state for member in self._members.values()}
        return next((state for state in _BEST_FIRST if state in states), "closed")

    @property
    def opened(self) -> int:
        """How often a breaker of an instance has opened."""
        return sum(breaker.opened for breaker in self._breakers.values())

    @property
    def ejections(self) -> int:
        return self._outliers.ejections

    def left_alone(self) -> set[int]:
        """Those that get no calls now, or only one as a trial."""
        shut = {number for number, member in self._members.items() if member.breaker.state != "closed"}
        return shut | set(self._outliers.out())

    def places(self) -> list[int]:
        """Where a connection of a client's own can be opened: in turn, and last where calls are not sent now."""
        left_alone = self.left_alone()
        return sorted((member.number for member in self._in_turn()), key=lambda number: number in left_alone)

    # ── calls ──

    def take(self, call: Caller, avoid: Member | None = None) -> bool:
        """Give the call a place; False when no instance is concerned. Raises `Busy` or `Limited`.

        A connection that the call has already is that of a client's own: it stays where that leads to.
        """
        now_s = self._now()
        if call.connection is not None:
            member = self._members.get(call.connection.instance)
            if member is None:
                return False
            self._check(member, now_s)
            self._sit(call, member, now_s, is_probe=False, is_fixed=True)
            return True
        chosen = self._choose(now_s, avoid, in_order=call.method in methods.LIST_MEMBER)
        if chosen is None:
            return False
        member, is_probe = chosen
        call.connection = member.connection
        self._sit(call, member, now_s, is_probe=is_probe, is_fixed=False)
        return True

    def move(self, call: Caller, failure: GarrisonError) -> bool:
        """The call failed where it was and may be made again: elsewhere, if there is somebody else.

        False when nobody takes it.
        """
        seat = call.permit
        if not isinstance(seat, Seat) or seat.is_fixed:
            return True
        self.tell(seat, verdict_of(failure), self._now())
        call.permit = call.connection = None
        try:
            return self.take(call, avoid=seat.member)
        except GarrisonError:
            return False  # what it failed of says more

    def tell(self, permit: Permit, verdict: Verdict, now_s: float) -> None:
        """What became of a call: its place is free again."""
        assert isinstance(permit, Seat)
        member = permit.member
        member.left()
        if permit.is_probe:
            member.is_tried = False
        permit.permit.breaker.tell(permit.permit, verdict, now_s)
        if self._members.get(member.number) is not member:
            if not member.in_flight and member in self._leaving:
                self._leaving.remove(member)
        elif verdict != "unknown":
            good, took_s = verdict == "good", now_s - permit.taken_s
            self._outliers.tell(member.number, good=good, took_s=took_s, now_s=now_s, probe=permit.is_probe)

    # ── inside ──

    def _has(self, number: int, link: Connection) -> bool:
        return number in self._members and self._members[number].connection is link

    def _join(self, number: int, connection: Connection) -> None:
        connection.instance = number
        breaker = self._breakers.setdefault(number, Breaker(self._breaker))
        breaker.reconnected()
        self._members[number] = Member(number, connection, breaker)
        self._outliers.forget(number)

    def _lives(self, number: int) -> list[Member]:
        return [member for member in (*self._leaving, *self._members.values()) if member.number == number]

    def _choose(self, now_s: float, avoid: Member | None, *, in_order: bool) -> tuple[Member, bool] | None:
        """An instance, and whether the call tries it out; None when all have just gone. Raises when none may be asked.

        `in_order`: not the least loaded one but the first: pages of a list belong together.
        """
        able = [member for member in self._in_turn() if self._is_able(member, now_s) and member is not avoid]
        if not able and avoid is not None and self._is_able(avoid, now_s):
            able = [avoid]
        for member in able:
            if self._is_on_trial(member, now_s) and not member.is_tried:
                return member, True
        well = [member for member in able if not self._is_on_trial(member, now_s)]
        inside = [member for member in well if self._outliers.place(member.number, now_s) == "in"]
        usable = inside or well or able
        if not usable:
            self._refuse(now_s)
            return None
        return min(usable, key=_number if in_order else _load), False

    def _in_turn(self) -> Iterator[Member]:
        """All of them, beginning with another one each time, so that equals take turns."""
        members = list(self._members.values())
        self._turn = (self._turn + 1) % max(1, len(members))
        yield from members[self._turn :]
        yield from members[: self._turn]

    def _is_able(self, member: Member, now_s: float) -> bool:
        if member.connection.closed is not None or member.breaker.wait_s(now_s):
            return False
        return not self._is_full(member)

    def _is_full(self, member: Member) -> bool:
        return 0 < self._spread.calls_max <= member.in_flight

    def _is_on_trial(self, member: Member, now_s: float) -> bool:
        return member.breaker.state != "closed" or self._outliers.place(member.number, now_s) == "on probation"

    def _refuse(self, now_s: float) -> None:
        """Raises why none may be asked, unless none is there any more."""
        there = [member for member in self._members.values() if member.connection.closed is None]
        if there:
            self._check(min(there, key=lambda member: member.breaker.wait_s(now_s)), now_s)

    def _check(self, member: Member, now_s: float) -> None:
        """Raises when this instance may not be asked now."""
        wait_s = member.breaker.wait_s(now_s)
        if wait_s:
            message = f"server {self._server} has not answered lately and is left alone for {wait_s:.0f} s"
            raise Busy("breaker.open", message, "see its log; `garrison status` shows it", wait_s)
        if self._is_full(member):
            message = f"each instance of server {self._server} has {self._spread.calls_max} calls without an answer"
            raise Limited("limit.instances_busy", message, "give it more instances", FULL_AGAIN_S)

    def _sit(self, call: Caller, member: Member, now_s: float, *, is_probe: bool, is_fixed: bool) -> None:
        permit = member.breaker.ask(now_s)
        assert not isinstance(permit, Wait), "who must wait was left out before"
        member.entered()
        member.is_tried = member.is_tried or is_probe
        call.permit = Seat(self, member, permit, now_s, is_probe, is_fixed)


_BEST_FIRST: tuple[State, ...] = ("closed", "half-open", "open")


def _load(member: Member) -> int:
    return member.in_flight


def _number(member: Member) -> int:
    return member.number
