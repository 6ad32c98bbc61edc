"""One forwarded request and what comes back for it: puts ids and tokens back, carries questions to the client, and
ends the call exactly once.
"""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import UNSET, Raw

from garrison.gateway import bridge, outbound, routing
from garrison.gateway.backchannel import BackChannel
from garrison.gateway.call import Call, Outcome
from garrison.gateway.heads import is_transparent, reading_of
from garrison.gateway.levels import at_least, level_in, level_wanted
from garrison.gateway.parked import ParkedCalls
from garrison.gateway.passage import BodySink, Hooks, Passage, can_pass
from garrison.gateway.screens import passed_on, screened
from garrison.kernel.errors import GarrisonError, Invalid, TimedOut
from garrison.protocol import methods
from garrison.protocol.connection import Connection
from garrison.protocol.headers import Headers
from garrison.protocol.large import LargeReply, Pieces, Valve
from garrison.protocol.messages import Message, Params, RpcError, members, notification_frame, params_of, raw
from garrison.protocol.question import Question

_TOKEN = "progressToken"  # noqa: S105  names a member, holds no secret
ROUNDS_MAX = 10
"""How often a modern server may ask a legacy client within one call."""


class Exchange(LargeReply):
    """The `Reply` to a forwarded request. While its call is parked, it has no client to talk to."""

    __slots__ = (
        "_answers",
        "_back_channel",
        "_call",
        "_connection",
        "_deadline",
        "_early",
        "_params",
        "_parked",
        "_questions",
        "_request_id",
        "_rounds",
        "_timeout_s",
        "_token",
    )

    def __init__(
        self, call: Call, connection: Connection, timeout_s: float, back_channel: BackChannel, parked: ParkedCalls
    ) -> None:
        self._call = call
        self._connection = connection
        self._timeout_s = timeout_s
        self._back_channel = back_channel
        self._parked = parked
        self._request_id = 0
        self._token: Raw | None = None
        self._params: Params = {}
        self._answers: dict[str, Raw] = {}
        self._questions: list[Question] = []
        self._rounds = 0
        self._early: Outcome | None = None
        self._deadline = asyncio.get_running_loop().call_later(timeout_s, self.expire)

    def send(self, params: Params) -> None:
        """Forward the call with these parameters; again for each round of questions."""
        call = self._call
        call.on_cancel = self._cancel
        self._params = params
        self._request_id = self._connection.reserve()
        own = self._with_own_token(params)
        self._connection.request(self._request_id, call.method, own, self, self._headers(params))

    def take_over(self, request_id: int, params: Params, left_s: float) -> None:
        """The same for a request that is under way, without a progress token; its answer is due in `left_s`."""
        self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(left_s, self.expire)
        self._call.on_cancel = self._cancel
        self._params = params
        self._request_id = request_id

    # ── the reply ──

    def message(self, message: Message) -> None:
        """Progress and logs of this request, to the client's stream as they come."""
        if self._call.finished or message.method is UNSET:
            return
        if message.method == methods.LOG and self._call.era == "modern":
            wanted = self.log_level
            if not wanted or not at_least(level_in(message), wanted):
                return
        params: Params | Raw | None = None if message.params is UNSET else message.params
        if message.method == methods.PROGRESS:
            if self._token is None:
                return
            params = {**params_of(message), _TOKEN: self._token}
            self._postpone()
        self._tell(notification_frame(message.method, params))

    @property
    def log_level(self) -> str:
        """What its client wants of the server's log; empty for nothing."""
        return level_wanted(self._params if self._connection.info.era == "modern" else self._call.params)

    def streaming(self) -> None:
        """On its transparent endpoint a legacy server's stream stays one."""
        if self._call.era == "legacy" and is_transparent(self._call.endpoint):
            self._open_stream()

    def large(self, room_bytes: int | None, valve: Valve) -> Pieces | None:
        """A large result has begun: it goes to the client piece by piece, if nobody has to see the whole."""
        call = self._call
        if not isinstance(call.sink, BodySink) or not can_pass(call, self._connection):
            return None
        hooks = Hooks(self._postpone, self._deadline_off, self._end)
        passage = Passage(call.sink, outbound.start_of_result(call), room_bytes, valve, hooks, screened(call))
        if not passage.open(outbound.JSON):
            return None
        call.streaming, call.sink = True, passage
        self._postpone()
        return passage

    def question(self, question: Question) -> None:
        """A legacy server asks: over the open stream of a legacy client, or by a round trip of a modern one."""
        call = self._call
        if call.finished:
            self._questions.append(question)  # parked: this one's turn comes after the client's retry
        elif methods.ASKED_BY.get(question.method) not in routing.askable(call):
            question.refuse()
        elif call.session is not None:
            self._postpone()
            asked = (question.method, question.params)
            self._back_channel.ask(call.session.id, asked, self._tell, question.settle, call)
        else:
            self._park(question)

    def result(self, result: Raw) -> None:
        call = self._call
        era = self._connection.info.era
        try:
            if era == "modern" and call.era == "legacy":
                wanted = bridge.input_wanted(result)
                if wanted is not None:
                    self._ask_client(*wanted)
                    return
            self._end(Outcome(result=bridge.result(result, call.method, call.era, era)))
        except (msgspec.MsgspecError, RecursionError):
            why = f"server {self._connection.label} sent a result that is no object"
            self._end(Outcome(failure=Invalid("server.bad_response", why)))

    def error(self, error: RpcError) -> None:
        self._end(Outcome(error=bridge.error(error, self._call.era)))

    def failed(self, error: GarrisonError) -> None:
        self._end(Outcome(failure=error))

    # ── a modern server asks a legacy client ──

    def _ask_client(self, questions: dict[str, tuple[str, Raw]], state: Raw) -> None:
        """Put each question to the client; when all are answered, send the request again with the answers."""
        call = self._call
        self._rounds += 1
        if call.session is None or self._rounds > ROUNDS_MAX or not questions:
            why = f"server {self._connection.label} asks without end, or asks nothing"
            self._end(Outcome(failure=Invalid("server.bad_input_request", why)))
            return
        self._answers = {}
        self._postpone()
        for key, asked in questions.items():
            answered = lambda answer, key=key: self._client_answered(key, answer, len(questions), state)  # noqa: E731
            self._back_channel.ask(call.session.id, asked, self._tell, answered, call)

    def _client_answered(self, key: str, answer: Raw | RpcError, wanted: int, state: Raw) -> None:
        if self._call.finished:
            return
        if isinstance(answer, RpcError):
            self._end(Outcome(error=answer))
            return
        self._answers[key] = answer
        if len(self._answers) == wanted:
            self._postpone()
            self.send({**self._params, "inputResponses": raw(self._answers), "requestState": state})

    # ── a legacy server asks a modern client ──

    def _park(self, question: Question) -> None:
        try:
            outcome = self._parked.park(self._call, question, self._resumed, self._cancel)
        except GarrisonError as error:
            question.refuse()
            self._end(Outcome(failure=error))
            return
        self._deadline.cancel()
        self._call.on_cancel = None
        self._call.finish(outcome)

    def _resumed(self, call: Call) -> None:
        """The client came back with its answers; `call` is its retry."""
        self._call = call
        call.on_cancel = self._cancel
        self._postpone()
        if self._early is not None:
            self._end(self._early)
        elif self._questions:
            self._park(self._questions.pop(0))

    # ── inside ──

    def _tell(self, frame: bytes) -> bool:
        """Put a message on the client's stream, which the first one opens; False when the client takes no stream."""
        if not self._open_stream():
            return False
        if frame := passed_on(self._call, frame):
            self._call.sink.event(frame)
        return True

    def _open_stream(self) -> bool:
        call = self._call
        if call.finished or isinstance(call.sink, Passage) or not reading_of(call.request.head).accepts_stream:
            return False
        if not call.streaming:
            call.streaming = True
            call.sink.open_stream(outbound.STREAM)
        return True

    def _headers(self, params: Params) -> Headers | None:
        """None lets the connection choose; only `Mcp-Param-*` come from here, because they need the tool's schema."""
        call = self._call
        if self._connection.info.era == "legacy" or call.definition is None or call.arguments is None:
            return None
        own = call.definition.headers(call.arguments)
        return Headers({**self._connection.headers(call.method, params), **own}) if own else None

    def _with_own_token(self, params: Params) -> Params:
        """A progress token must be unique on the connection, and many clients share it: ours is the request's id."""
        if "_meta" not in params:
            return params
        try:
            meta = members(params["_meta"])
        except (msgspec.MsgspecError, RecursionError):
            return params
        self._token = meta.get(_TOKEN)
        if self._token is None:
            return params
        return {**params, "_meta": raw({**meta, _TOKEN: self._request_id})}

    def _postpone(self) -> None:
        """Progress and questions are signs of life."""
        self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(self._timeout_s, self.expire)

    def _deadline_off(self) -> None:
        self._deadline.cancel()

    def expire(self) -> None:
        """The answer did not come in time."""
        server, timeout_s = self._connection.label, self._timeout_s
        self._connection.cancel(self._request_id, "timed out")
        message = f"server {server} did not answer within {timeout_s:g} s; whether the call took effect is unknown"
        hint = "raise the server's timeout_s if it is only slow"
        self._end(Outcome(failure=TimedOut("server.timeout", message, hint)))

    def _cancel(self, reason: str) -> None:
        self._connection.cancel(self._request_id, reason)
        self._end(Outcome(failure=TimedOut("call.cancelled", f"the call was given up: {reason}")))

    def _end(self, outcome: Outcome) -> None:
        self._deadline.cancel()
        if self._call.finished:
            self._early = outcome  # parked: the retry gets it
            return
        self._call.on_cancel = None
        self._call.finish(outcome)
