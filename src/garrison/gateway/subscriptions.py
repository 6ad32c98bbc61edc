"""Subscriptions to single resources: of legacy sessions (`resources/subscribe`) and of modern streams
(`subscriptions/listen` with `resourceSubscriptions`). The owning server is asked once, however many want to hear.

Whoever has a connection of its own to a server subscribes there, for what it does there is seen there only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET

from garrison.gateway import routing
from garrison.gateway.call import Call, Outcome
from garrison.gateway.circumstances import how
from garrison.gateway.endpoints import Endpoints
from garrison.gateway.feeds import Feed, Subscriber
from garrison.gateway.streams import Streams
from garrison.gateway.unasked import Place, Unasked
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import Key, OwnConnections, Owner
from garrison.gateway.upstreams.upstream import Upstream
from garrison.identity.principals import Principal
from garrison.kernel.errors import GarrisonError, Limited
from garrison.policy.authoriser import Authoriser
from garrison.policy.decision import Circumstances
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.handshake import Refused
from garrison.protocol.messages import EMPTY, Message, notification_frame, params_of, raw, text

PER_SUBSCRIBER_MAX = 1_000
SUBSCRIPTIONS_MAX = 50_000
AGAIN_FIRST_S = 1.0
AGAIN_MAX_S = 60.0

FeedKey = tuple[str, Key | None]

log = logging.getLogger("garrison.gateway")


@dataclass(frozen=True)
class _Held:
    """One subscription of one subscriber: where it is, by the server's own URI."""

    feed: FeedKey
    uri: str


class Subscriptions:
    def __init__(
        self,
        directory: Directory,
        endpoints: Endpoints,
        own: OwnConnections,
        authoriser: Authoriser,
        streams: Streams,
        unasked: Unasked,
    ) -> None:
        self._directory = directory
        self._endpoints = endpoints
        self._own = own
        self._authoriser = authoriser
        self._streams = streams
        self._unasked = unasked
        self._feeds: dict[FeedKey, Feed] = {}
        self._held: dict[str, dict[str, _Held]] = {}
        self._work: set[asyncio.Task[None]] = set()
        own.kept_by(lambda key: (key[1], key) in self._feeds)
        directory.on_connected(lambda server: self._renew((server, None)))
        directory.on_renewed(lambda server: self._forgotten((server, None)))
        unasked.hear(methods.UPDATED, self._updated)
        unasked.on_ready(self._ready)
        streams.offer("resourceSubscriptions", self)

    def __len__(self) -> int:
        return sum(len(held) for held in self._held.values())

    # ── legacy sessions ──

    async def subscribe(self, call: Call) -> Outcome:
        """`resources/subscribe`: the answer comes when the server has agreed."""
        assert call.session is not None
        assert call.upstream is not None
        assert call.principal is not None
        session, given = call.session.id, text(call.params, "uri") or call.target.name
        may_read = partial(self._may_read, call.principal, how(call), call.target.server, call.target.name)

        def tell(uri: str) -> None:
            if may_read():
                self._streams.send(session, notification_frame(methods.UPDATED, raw({"uri": uri})))

        owner = call.owner if call.connection is not None else None
        try:
            await self._add(call.upstream, owner, session, call.target.name, Subscriber(session, given, tell))
        except Refused as refused:
            return Outcome(error=refused.error)
        return Outcome(result=EMPTY)

    def _may_read(self, principal: Principal, came: Circumstances, server: str, uri: str) -> bool:
        """Asked for each update: grants are taken away while subscriptions last."""
        return self._authoriser.decide(principal, "resource", server, uri, came).allowed

    def unsubscribe(self, call: Call) -> Outcome:
        """What was not subscribed to is unsubscribed from as well."""
        assert call.session is not None
        self._remove(call.session.id, text(call.params, "uri"))
        return Outcome(result=EMPTY)

    def drop(self, subscriber_id: str) -> None:
        """A session has ended."""
        for given in tuple(self._held.get(subscriber_id, ())):
            self._remove(subscriber_id, given)

    # ── modern streams ──

    async def honour(self, call: Call, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those of the wanted resources that will be announced."""
        uris = asked.get("resourceSubscriptions")
        wanted = [uri for uri in uris if isinstance(uri, str)] if isinstance(uris, list) else []
        unique = list(dict.fromkeys(wanted))[:PER_SUBSCRIBER_MAX]
        found = await asyncio.gather(*(self._honour(call, uri) for uri in unique))
        return {"resourceSubscriptions": [uri for uri, good in zip(unique, found, strict=True) if good]}

    async def _honour(self, call: Call, given: str) -> bool:
        assert call.principal is not None
        try:
            upstream, uri = self._endpoints.resource(call.endpoint, given)
            may_read = partial(self._may_read, call.principal, how(call), upstream.name, uri)
            if not may_read():
                return False
            await self._woken(upstream)
            owner = routing.owner_of(call, upstream)

            def tell(shown: str) -> None:
                if may_read():
                    self._streams.tell(call, methods.UPDATED, {"uri": shown})

            await self._add(upstream, owner, "", uri, Subscriber(call.id, given, tell))
        except GarrisonError as error:
            log.info("a resource is not announced", extra={"uri": given[:200], "why": error.message})
            return False
        return True

    async def _woken(self, upstream: Upstream) -> None:
        if upstream.is_asleep and self._directory.demand is not None:
            await self._directory.demand(upstream.name)

    def ended(self, call: Call) -> None:
        """A modern stream has closed."""
        self.drop(call.id)

    def close(self) -> None:
        for work in self._work:
            work.cancel()

    # ── other workers ──

    async def hold(self, upstream: Upstream, uri: str, subscriber: Subscriber) -> None:
        """On the shared connection, for somebody in another process. Raises what the server says against it."""
        await self._add(upstream, None, "", uri, subscriber)

    def release(self, subscriber_id: str, uri: str) -> None:
        self._remove(subscriber_id, uri)

    # ── inside ──

    async def _add(
        self, upstream: Upstream, owner: Owner | None, session: str, uri: str, subscriber: Subscriber
    ) -> None:
        held = self._held.setdefault(subscriber.id, {})
        if subscriber.uri not in held and (len(held) >= PER_SUBSCRIBER_MAX or len(self) >= SUBSCRIPTIONS_MAX):
            raise Limited("subscriptions.too_many", "too many subscriptions", "unsubscribe from some first", 30.0)
        key: FeedKey = (upstream.name, owner.key if owner is not None else None)
        held[subscriber.uri] = _Held(key, uri)
        try:
            await self._feed(key, owner, session).add(uri, subscriber)
        except BaseException:
            self._forget(subscriber.id, subscriber.uri)
            raise
        if subscriber.uri not in self._held.get(subscriber.id, {}):
            self._leave(key, uri, subscriber.id)  # it went away meanwhile

    def _remove(self, subscriber_id: str, given: str) -> None:
        held = self._forget(subscriber_id, given)
        if held is not None:
            self._leave(held.feed, held.uri, subscriber_id)

    def _forget(self, subscriber_id: str, given: str) -> _Held | None:
        of_subscriber = self._held.get(subscriber_id, {})
        held = of_subscriber.pop(given, None)
        if not of_subscriber:
            self._held.pop(subscriber_id, None)
        if held is not None and (feed := self._feeds.get(held.feed)) is not None and feed.is_empty:
            del self._feeds[held.feed]
        return held

    def _leave(self, key: FeedKey, uri: str, subscriber_id: str) -> None:
        feed = self._feeds.get(key)
        if feed is None:
            return
        feed.remove(uri, subscriber_id)
        if feed.is_empty:
            del self._feeds[key]
        self._spawn(self._settled(feed))

    def _feed(self, key: FeedKey, owner: Owner | None, session: str) -> Feed:
        feed = self._feeds.get(key)
        if feed is None:
            connect = partial(self._shared, key[0]) if owner is None else partial(self._owned, owner, session)
            heard = lambda message: self._directory.hear(key[0], message)  # noqa: E731
            feed = self._feeds[key] = Feed(key[0], connect, heard, lambda: self._renew(key))
        return feed

    async def _shared(self, server: str) -> Connection:
        return self._directory.get(server).live_for_all()

    async def _owned(self, owner: Owner, session: str) -> Connection:
        upstream = self._directory.get(owner.server)
        held = await self._own.open(owner, upstream.spec, self._unasked.ready(owner, upstream, session))
        return held.connection

    # ── after a reconnection ──

    def _ready(self, place: Place, connection: Connection) -> None:
        """An own connection: its server knows nothing of what was asked on an earlier one, and forgets this one's."""
        assert place.owner is not None
        key = (place.server, place.owner.key)
        connection.on_closed(lambda reason: self._renew(key))
        connection.on_renewed(lambda: self._forgotten(key))

    def _renew(self, key: FeedKey) -> None:
        feed = self._feeds.get(key)
        if feed is not None and not feed.is_live:
            self._forgotten(key)

    def _forgotten(self, key: FeedKey) -> None:
        """Its server knows nothing of what was asked, whether the connection is another one or only its session."""
        feed = self._feeds.get(key)
        if feed is not None:
            feed.outdated()
            self._spawn(self._until_settled(key, feed))

    async def _until_settled(self, key: FeedKey, feed: Feed) -> None:
        """On the shared connection the next instance comes by itself; one of a client's own has to be opened."""
        pause_s = AGAIN_FIRST_S
        while self._feeds.get(key) is feed:
            try:
                await feed.settle()
                return
            except GarrisonError as error:
                log.info("resources are not announced for now", extra={"server": key[0], "why": error.message})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, AGAIN_MAX_S)

    async def _settled(self, feed: Feed) -> None:
        try:
            await feed.settle()
        except GarrisonError as error:
            log.info("a server was not told who left", extra={"why": error.message})

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _updated(self, place: Place, message: Message) -> bool:
        """False where nobody subscribed through here: on its transparent endpoint a client may have done so itself."""
        feed = self._feeds.get((place.server, place.owner.key if place.owner is not None else None))
        if feed is None or message.params is UNSET:
            return False
        try:
            feed.updated(text(params_of(message), "uri"))
        except (msgspec.MsgspecError, RecursionError):
            log.info("an update names no resource", extra={"server": place.server})
        return True
