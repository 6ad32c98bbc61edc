"""Tasks: calls whose result is fetched later. Their ids go out sealed and find their way back (gateway/taskids.py).

2025-11-25 has tasks in its core (`params.task`, `tasks/get|result|list|cancel`), 2026-07-28 as an extension
(`resultType: task`, `tasks/get|update|cancel`). What is known of each task is kept within a bound, for lists and
for status notifications; without it a task is still found by its id.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from garrison.gateway.call import Call, Outcome, Sink, Target
from garrison.gateway.endpoints import Endpoints
from garrison.gateway.heads import reading_of
from garrison.gateway.refusals import header_mismatch
from garrison.gateway.taskids import TaskIds, TaskPlace
from garrison.gateway.unasked import Place, Unasked
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import Key, OwnConnections, mark_of
from garrison.kernel.errors import GarrisonError, Invalid, NotFound
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.handshake import Refused
from garrison.protocol.messages import Message, Params, encode, members, notification_frame, params_of, raw, text

KNOWN_MAX = 10_000
LISTED_MAX = 1_000
ASKED_MAX = 50
"""Of so many of the newest, the servers are asked how they stand when they are listed."""
MEMBER_BYTES_MAX = 2_000
RUNS_S_MAX = 3600.0
"""How long a client's own connection is kept for a task that nothing more is heard of."""
ASK_S = 2.0
"""How long a server may take to say how a task stands before the last known state is listed."""
_AT = "#"
"""Before the number of an instance, where a task lives at one of several."""
_STATE = (
    *("status", "statusMessage", "createdAt", "lastUpdatedAt"),
    *("ttl", "pollInterval", "ttlMs", "pollIntervalMs", "ttlSeconds", "pollIntervalMilliseconds"),
)
_ENDED = frozenset({"completed", "failed", "cancelled"})


class Known:
    """One task. `state`: what its server said last, with the sealed id; `session`: the legacy one that began it."""

    def __init__(self, principal: str, place: TaskPlace, session: str) -> None:
        self.principal = principal
        self.place = place
        self.session = session
        self.state: Params = {}
        self._heard_s = 0.0

    def take(self, said: Params, sealed_id: str) -> None:
        """What a server says of it, without results: these stay with the server."""
        about = {key: said[key].copy() for key in _STATE if key in said and len(bytes(said[key])) <= MEMBER_BYTES_MAX}
        self.state = {**self.state, **about, "taskId": raw(sealed_id)}
        self._heard_s = asyncio.get_running_loop().time()

    @property
    def has_ended(self) -> bool:
        return text(self.state, "status") in _ENDED

    @property
    def may_run(self) -> bool:
        """Whether it has not ended, as far as has been heard within the last hour."""
        return not self.has_ended and asyncio.get_running_loop().time() - self._heard_s < RUNS_S_MAX


class Tasks:
    def __init__(
        self, ids: TaskIds, directory: Directory, endpoints: Endpoints, own: OwnConnections, unasked: Unasked
    ) -> None:
        self._ids = ids
        self._directory = directory
        self._endpoints = endpoints
        self._own = own
        self._unasked = unasked
        self._known: OrderedDict[tuple[str, str, str], Known] = OrderedDict()
        own.kept_by(self._holds)
        for method in methods.TASK_NOTIFICATIONS:
            unasked.hear(method, self._heard)

    def __len__(self) -> int:
        return len(self._known)

    # ── on the way down ──

    def route(self, call: Call) -> None:
        """A request about a task goes to where the task lives. Raises `NotFound`; somebody else's is not found."""
        assert call.principal is not None
        token = text(call.params, "taskId")
        if not token:
            raise Invalid("message.unnamed", f"{call.method} needs params.taskId, a string")
        if call.era == "modern" and reading_of(call.request.head).name not in ("", token):
            raise header_mismatch("Mcp-Name")
        place = self._ids.open(call.principal.id, token)
        if place is None or not self._reaches(call.endpoint, place):
            raise _unknown(token)
        call.upstream = self._directory.get(place.server)
        call.target = Target("tool" if place.tool else "server", place.server, place.tool)
        call.connection = self._connection(place)
        call.params["taskId"] = raw(place.id)

    def place_of(self, call: Call) -> TaskPlace:
        """Where the task lives that this call is about, or will live if it begins one."""
        mark = ""
        if call.connection is not None:
            mark = self._own.mark_for(call.connection) or _instance_mark(call.connection)
        return TaskPlace(call.target.server, mark, call.target.name if call.target.kind == "tool" else "", "")

    def sealing(self, call: Call, place: TaskPlace) -> Sink:
        """A sink for this call that names tasks by their sealed ids."""
        return _SealingSink(call.sink, lambda frame: self._frame(call, place, frame))

    # ── on the way up ──

    def sealed(self, call: Call, place: TaskPlace, content: bytes | Raw) -> bytes | Raw:
        """A result as its client may see it; what it says of a task is remembered."""
        assert call.principal is not None
        if b'"taskId"' not in bytes(content):
            return content
        try:
            parts = members(content)
            task = members(parts["task"]) if "task" in parts else parts
            changed = self._sealed(call.principal.id, place, parts)
        except (msgspec.MsgspecError, RecursionError):
            return content
        if text(task, "taskId"):
            session = call.session.id if call.session is not None else ""
            self._keep(call.principal.id, _at(place, text(task, "taskId")), session, task)
        return encode(changed)

    def _sealed(self, principal: str, place: TaskPlace, parts: Params) -> Params:
        """The same with each task's id sealed: of a task itself, of one inside, and of the one that it is about.

        Raises `msgspec.MsgspecError` or `RecursionError` where these are no objects.
        """
        changed = dict(parts)
        if text(parts, "taskId"):
            changed["taskId"] = raw(self._ids.seal(principal, _at(place, text(parts, "taskId"))))
        if "task" in parts:
            changed["task"] = raw(self._sealed(principal, place, members(parts["task"])))
        meta = members(parts["_meta"]) if "_meta" in parts else {}
        if methods.META_TASK in meta:
            about = self._sealed(principal, place, members(meta[methods.META_TASK]))
            changed["_meta"] = raw({**meta, methods.META_TASK: raw(about)})
        return changed

    def _frame(self, call: Call, place: TaskPlace, frame: bytes) -> bytes:
        """A notification or question on the call's stream; responses are sealed already."""
        assert call.principal is not None
        try:
            message = members(frame)
            if "method" not in message or "params" not in message:
                return frame
            return encode({**message, "params": self._sealed(call.principal.id, place, members(message["params"]))})
        except (msgspec.MsgspecError, RecursionError):
            return frame

    # ── what servers say of them ──

    def _heard(self, place: Place, message: Message) -> bool:
        """How a task stands: for the session that began it, and for nobody else."""
        found = self._status(place.server, place.mark, message)
        if found is not None and found[0].session:
            self._unasked.streams.send(found[0].session, found[1])
        return True

    def _status(self, server: str, mark: str, message: Message) -> tuple[Known, bytes] | None:
        assert message.method is not UNSET
        try:
            params = params_of(message)
            known = self._find(server, mark, text(params, "taskId"))
            if known is None:
                return None
            changed = self._sealed(known.principal, known.place, params)
        except (msgspec.MsgspecError, RecursionError):
            return None
        known.take(params, text(changed, "taskId"))
        return known, notification_frame(message.method, changed)

    def _find(self, server: str, mark: str, task_id: str) -> Known | None:
        """Instances speak up without saying which one they are: what is not found is looked for at all of them."""
        found = self._known.get((server, mark, task_id))
        if found is None and not mark and self._directory.get(server).pool is not None:
            keys = (key for key in self._known if key[0] == server and key[2] == task_id and key[1].startswith(_AT))
            found = next((self._known[key] for key in keys), None)
        return found

    # ── the list ──

    async def listed(self, call: Call) -> Outcome:
        """The caller's own tasks, newest first, at the servers that this endpoint reaches (2025-11-25)."""
        assert call.principal is not None
        owner = call.principal.id
        mine = [one for one in reversed(self._known.values()) if one.principal == owner]
        reached = [one for one in mine if self._reaches(call.endpoint, one.place)][:LISTED_MAX]
        asked = (self._state(one, is_asked=number < ASKED_MAX) for number, one in enumerate(reached))
        states = await asyncio.gather(*asked)
        return Outcome(result=encode({"tasks": [state for state in states if state is not None]}))

    async def _state(self, known: Known, *, is_asked: bool) -> Params | None:
        """How a task stands; the last known state where its server does not say in time, None where it is gone."""
        place = known.place
        if not is_asked or known.has_ended:
            return known.state
        try:
            said = members(await self._connection(place).ask(methods.TASKS_GET, {"taskId": place.id}, ASK_S))
        except Refused:
            self._known.pop((place.server, place.mark, place.id), None)
            return None
        except (GarrisonError, msgspec.MsgspecError, RecursionError):
            return known.state
        if text(said, "taskId") == place.id:
            self._keep(known.principal, place, known.session, said)
        return known.state

    def _connection(self, place: TaskPlace) -> Connection:
        if not place.mark:
            return self._directory.get(place.server).live_for_all()
        if place.mark.startswith(_AT):
            found = self._directory.get(place.server).at(int(place.mark[len(_AT) :]))
        else:
            found = self._own.marked(place.mark)
        if found is None:
            raise _unknown(place.id)
        return found

    # ── inside ──

    def _reaches(self, endpoint: str, place: TaskPlace) -> bool:
        return self._endpoints.reaches(endpoint, place.server, "tool", place.tool)

    def _keep(self, principal: str, place: TaskPlace, session: str, task: Params) -> None:
        key = (place.server, place.mark, place.id)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Known(principal, place, session)
            while len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        if known.principal == principal:
            known.take(task, self._ids.seal(principal, place))

    def _holds(self, key: Key) -> bool:
        """A client's own connection is kept while a task runs there."""
        mark = mark_of(key)
        return any(known.place.mark == mark and known.may_run for known in self._known.values())


class _SealingSink:
    """Passes everything on; what names a task on its stream is sealed before."""

    def __init__(self, sink: Any, sealed: Callable[[bytes], bytes]) -> None:
        self._sink = sink
        self._sealed = sealed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def event(self, frame: bytes, kind: bytes = b"message") -> None:
        self._sink.event(self._sealed(frame) if b'"taskId"' in frame else frame, kind)


def _instance_mark(connection: Connection) -> str:
    """Which instance of several a connection leads to; empty where there is but one."""
    return f"{_AT}{connection.instance}" if connection.instance else ""


def _at(place: TaskPlace, task_id: str) -> TaskPlace:
    return TaskPlace(place.server, place.mark, place.tool, task_id)


def _unknown(token: str) -> NotFound:
    return NotFound("task.unknown", f"there is no task {token[:100]!r}", "it may have expired, or its session ended")
