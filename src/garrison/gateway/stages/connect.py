"""connect: a lazy server is started, a client that needs a connection of its own gets it; the call waits for both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from garrison.gateway import routing
from garrison.gateway.call import Call, Outcome
from garrison.gateway.heads import reading_of
from garrison.gateway.invitations import declined, without_ours
from garrison.gateway.stage import Stage, Step
from garrison.gateway.unasked import Unasked
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import OwnConnections, Owner
from garrison.gateway.upstreams.standing import STANDING
from garrison.gateway.upstreams.upstream import Upstream
from garrison.identity.oauth.callers import CallerTokens
from garrison.kernel.errors import Denied, GarrisonError, Invalid, Limited, Unsupported
from garrison.protocol import methods

ONCE_MORE_S = 0.1
"""After this a server that could not be compared with its pins is asked again, before its caller is refused."""
_INTRODUCTIONS = frozenset({methods.INITIALIZE, methods.DISCOVER})


class Connect(Stage):
    name = "connect"
    needs = frozenset({"target", "decision"})
    gives = frozenset({"connected"})

    def __init__(
        self, directory: Directory, own: OwnConnections, unasked: Unasked, callers: CallerTokens | None = None
    ) -> None:
        self._callers = callers or CallerTokens()
        self._directory = directory
        self._own = own
        self._unasked = unasked

    def enter(self, call: Call) -> Step:
        upstream = call.upstream
        if upstream is None:
            return None
        if upstream.in_doubt and call.answer is None:
            return self._verified(call, upstream)
        return self._connect(call, upstream)

    async def _verified(self, call: Call, upstream: Upstream) -> Outcome | None:
        """Its lists are being read: what was known of it may not be so any more."""
        await upstream.settled()
        if upstream.holding.is_unread(upstream.name, call.target.kind):  # an instance may have gone while it was asked
            await asyncio.sleep(ONCE_MORE_S)
            upstream.refresh(tuple(upstream.holding.doubted))
            await upstream.settled()
        step = self._connect(call, upstream)
        return await step if isinstance(step, Awaitable) else step

    def _connect(self, call: Call, upstream: Upstream) -> Outcome | Awaitable[Outcome | None] | None:
        if call.owner is not None and call.owner.principal:
            if call.answer is not None and call.method in _INTRODUCTIONS:
                return None  # what the server says of itself is known, and no reason to have anybody sign in
            self._note_caller(call, upstream)
        if call.owner is not None:
            held = self._own.find(call.owner)
            if held is None:
                return self._open(call, upstream)
            call.connection = held.connection
            if call.method in STANDING and call.answer is None:
                self._own.note(call.owner, call.method, call.params)
        elif upstream.connection is None and upstream.is_asleep:
            return self._wake(call, upstream)
        return None

    async def reopen(self, call: Call) -> None:
        """The call's own connection has ended before the call was sent on it. Raises why there is no other."""
        assert call.upstream is not None
        call.connection = None
        await self._open(call, call.upstream)

    async def _wake(self, call: Call, upstream: Upstream) -> Outcome | None:
        if self._directory.demand is not None:
            await self._directory.demand(upstream.name)
            await upstream.settled()
        call.owner = routing.owner_of(call, upstream)
        return await self._open(call, upstream) if call.owner is not None else None

    def _note_caller(self, call: Call, upstream: Upstream) -> None:
        """What the server's credential for this principal may be made of; the caller's token goes no further."""
        if "inputResponses" in call.params:
            if declined(call):
                message = f"the sign-in at server {upstream.name} was declined"
                raise Denied("auth.declined", message, "call again, and sign in")
            without_ours(call)
        auth, principal = upstream.spec.auth, call.principal
        if auth is not None and auth.kind == "token_exchange" and principal is not None and principal.kind == "token":
            self._callers.note(routing.whose(principal, upstream), reading_of(call.request.head).key)

    async def _open_personal(self, call: Call, owner: Owner, upstream: Upstream) -> None:
        """Whether the shared connection serves says nothing: it shows another credential."""
        ready = self._unasked.ready(owner, upstream, call.session.id if call.session is not None else "")
        call.connection = (await self._own.open(owner, upstream.spec, ready)).connection
        if call.method in STANDING and call.answer is None:
            self._own.note(owner, call.method, call.params)

    async def _open(self, call: Call, upstream: Upstream) -> Outcome | None:
        if call.owner is not None and call.owner.principal:
            await self._open_personal(call, call.owner, upstream)
            return None
        if upstream.is_asleep and self._directory.demand is not None:
            await self._directory.demand(upstream.name)
            await upstream.settled()
        upstream.live()  # whoever cannot serve anybody is not asked for one process more
        owner = call.owner = routing.owner_of(call, upstream)
        if owner is None:
            return None
        ready = self._unasked.ready(owner, upstream, call.session.id if call.session is not None else "")
        try:
            call.connection = (await self._own.open(owner, upstream.spec, ready)).connection
        except GarrisonError as error:
            era = upstream.connection.info.era if upstream.connection is not None else "legacy"
            if era == "legacy" or isinstance(error, Limited):
                raise  # no room for one more says nothing of what the server speaks
            # Servers do not say whether they speak the older era too. Where this one does not, the bridge has to serve.
            upstream.leave_legacy_alone(for_good=says_modern_only(error))
            call.owner = None
            return None
        if call.method in STANDING and call.answer is None:
            self._own.note(owner, call.method, call.params)
        return None


def says_modern_only(error: GarrisonError) -> bool:
    """Whether a failed legacy handshake is the server's verdict. Silence, overload and a death pass."""
    return isinstance(error, (Invalid, Unsupported))
